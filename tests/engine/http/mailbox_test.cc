#include "engine/http/mailbox.h"

#include <gtest/gtest.h>

#include <atomic>
#include <nlohmann/json.hpp>
#include <stdexcept>
#include <thread>
#include <vector>

namespace pfsync::engine::http {
namespace {

using std::chrono::milliseconds;
constexpr milliseconds long_time{60'000}, turn{1000};

Json echo(const Json& request) { return {{"ok", true}, {"was", request}}; }

/// Serves until one request was answered.
void serve_one(Mailbox& mailbox, const std::function<Json(const Json&)>& handler) {
  while (mailbox.serve(handler, 1, turn) == 0) std::this_thread::yield();
}

TEST(Mailbox, TheAnswerComesFromTheServingThread) {
  Mailbox mailbox{2};
  std::optional<Json> answer;
  std::thread client{[&] { answer = mailbox.post({{"a", 1}}, long_time); }};
  serve_one(mailbox, echo);
  client.join();
  ASSERT_TRUE(answer.has_value());
  EXPECT_EQ((*answer)["was"]["a"], 1);
}

TEST(Mailbox, WhatComesLateIsNotCarriedOut) {
  Mailbox mailbox{2};
  EXPECT_FALSE(mailbox.post({{"a", 1}}, milliseconds{1}).has_value());
  EXPECT_EQ(mailbox.late(), 1u);
  EXPECT_EQ(mailbox.serve(echo, 10, turn), 0u);
}

TEST(Mailbox, OneTooManyIsRefusedAtOnce) {
  Mailbox mailbox{1};
  std::optional<Json> first;
  std::thread client{[&] { first = mailbox.post({{"a", 1}}, long_time); }};
  while (mailbox.waiting() == 0) std::this_thread::yield();
  EXPECT_FALSE(mailbox.post({{"a", 2}}, long_time).has_value());
  EXPECT_EQ(mailbox.refused(), 1u);
  serve_one(mailbox, echo);
  client.join();
  ASSERT_TRUE(first.has_value());
  EXPECT_EQ((*first)["was"]["a"], 1);
}

TEST(Mailbox, ClosingWakesWhoWaits) {
  Mailbox mailbox{2};
  std::optional<Json> answer = Json{};
  std::thread client{[&] { answer = mailbox.post({{"a", 1}}, long_time); }};
  mailbox.close();
  client.join();
  EXPECT_FALSE(answer.has_value());
  EXPECT_FALSE(mailbox.post({{"a", 1}}, long_time).has_value());
}

TEST(Mailbox, WhatTheHandlerThrowsIsAnAnswer) {
  Mailbox mailbox{2};
  std::optional<Json> answer;
  std::thread client{[&] { answer = mailbox.post({{"a", 1}}, long_time); }};
  serve_one(mailbox, [](const Json&) -> Json { throw std::runtime_error{"no more room"}; });
  client.join();
  ASSERT_TRUE(answer.has_value());
  EXPECT_EQ((*answer)["ok"], false);
  EXPECT_NE((*answer)["error"].get<std::string>().find("no more room"), std::string::npos);
}

TEST(Mailbox, ATurnIsBoundedInNumberAndTime) {
  Mailbox mailbox{8};
  std::vector<std::thread> clients;
  for (int i = 0; i < 4; ++i)
    clients.emplace_back([&mailbox, i] { EXPECT_TRUE(mailbox.post({{"a", i}}, long_time).has_value()); });
  std::size_t served = 0;
  while (served < 2) {
    const std::size_t now = mailbox.serve(echo, 2, turn);
    EXPECT_LE(now, 2u);
    served += now;
  }
  EXPECT_EQ(mailbox.serve(echo, 8, milliseconds{0}), 0u) << "no time, no answer";
  while (served < 4) served += mailbox.serve(echo, 8, turn);
  for (std::thread& client : clients) client.join();
}

TEST(Mailbox, EveryAnswerFindsItsOwnClient) {
  Mailbox mailbox{4};
  constexpr int clients_count = 8, posts = 50;
  std::atomic<int> done{0};
  std::vector<std::thread> clients;
  for (int client = 0; client < clients_count; ++client)
    clients.emplace_back([&, client] {
      for (int i = 0; i < posts; ++i) {
        const int id = client * posts + i;
        const auto answer = mailbox.post({{"id", id}}, milliseconds{i % 7 == 0 ? 0 : 60'000});
        if (answer) {
          EXPECT_EQ((*answer)["was"]["id"], id);
        }
      }
      ++done;
    });
  while (done < clients_count) mailbox.serve(echo, 3, turn);
  for (std::thread& client : clients) client.join();
}

}  // namespace
}  // namespace pfsync::engine::http
