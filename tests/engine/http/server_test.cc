// The whole of [http] on loopback, as the daemon runs it: its threads against the one that serves the mailbox.
#include "engine/http/server.h"

#include <gtest/gtest.h>
#include <httplib.h>

#include <atomic>
#include <csignal>
#include <fstream>
#include <mutex>
#include <nlohmann/json.hpp>
#include <thread>
#include <vector>

#include "engine/http/users.h"
#include "tests/engine/temporary_directory.h"

namespace pfsync::engine::http {
namespace {

constexpr ScryptCost cheap{.log2_n = 4, .r = 8, .p = 1};

class ServerTest : public ::testing::Test {
 protected:
  ServerTest() { std::signal(SIGPIPE, SIG_IGN); }
  ~ServerTest() override {
    ended_ = true;
    if (control_.joinable()) control_.join();
  }

  std::variant<std::unique_ptr<Server>, std::string> create(const Settings& settings) {
    return Server::create(settings, directory_.file("state"), "0.1",
                          [this](Server::Level, const std::string& sentence) {
                            const std::lock_guard lock{mutex_};
                            logged_ += sentence + "\n";
                          });
  }
  void start() {
    auto made = create({.port = 0});
    ASSERT_TRUE(std::holds_alternative<std::unique_ptr<Server>>(made)) << std::get<std::string>(made);
    server_ = std::move(std::get<0>(made));
    control_ = std::thread{[this] {
      while (!ended_) {
        server_->mailbox().serve(
            [this](const Json& request) {
              ++served_;
              return Json{{"ok", true}, {"asked", request}};
            },
            4, std::chrono::milliseconds{20});
        std::this_thread::sleep_for(std::chrono::milliseconds{1});
      }
    }};
  }
  [[nodiscard]] std::unique_ptr<httplib::SSLClient> client() const {
    auto made = std::make_unique<httplib::SSLClient>("127.0.0.1", server_->port());
    made->enable_server_certificate_verification(false);
    made->set_read_timeout(30);
    return made;
  }
  std::string logged() {
    const std::lock_guard lock{mutex_};
    return logged_;
  }

  test::TemporaryDirectory directory_;
  std::unique_ptr<Server> server_;
  std::atomic<bool> ended_ = false;
  std::atomic<int> served_ = 0;
  std::thread control_;
  std::mutex mutex_;
  std::string logged_;
};

TEST_F(ServerTest, ManyAskAndWhoIsNobodyChangesNothing) {
  start();
  ASSERT_NE(server_, nullptr);
  EXPECT_NE(logged().find("there is no user yet"), std::string::npos) << logged();
  ASSERT_EQ(save_users(directory_.file("state") + "/users", {{"ada", hash_password("long enough", cheap)}}), "");
  std::vector<std::thread> askers;
  std::atomic<int> looked = 0, refused = 0;
  for (int i = 0; i < 3; ++i)
    askers.emplace_back([&] {
      const auto http = client();
      for (int turn = 0; turn < 5; ++turn) {
        const auto shown = http->Get("/api/show/status");
        looked += shown && shown->status == 200 ? 1 : 0;
        const auto order = http->Post("/api/command", R"({"command":"flush"})", "application/json");
        refused += order && order->status == 401 ? 1 : 0;
      }
    });
  for (std::thread& asker : askers) asker.join();
  EXPECT_EQ(looked, 15);
  EXPECT_EQ(refused, 15);
  EXPECT_EQ(served_, 15) << "an order of nobody's does not reach the control thread";

  const auto http = client();
  const auto login = http->Post("/api/login", R"({"user":"ada","password":"long enough"})", "application/json");
  ASSERT_TRUE(login);
  ASSERT_EQ(login->status, 200) << login->body;
  const Json session = Json::parse(login->body);
  std::string cookie = login->get_header_value("Set-Cookie");
  cookie.resize(cookie.find(';'));
  const httplib::Headers headers{{"Cookie", cookie}, {"X-CSRF-Token", session["csrf"].get<std::string>()}};
  const auto order = http->Post("/api/command", headers, R"({"command":"flush"})", "application/json");
  ASSERT_TRUE(order);
  EXPECT_EQ(order->status, 200) << order->body;
  EXPECT_EQ(Json::parse(order->body)["asked"]["command"], "flush");
  const auto wrong = http->Post("/api/login", R"({"user":"ada","password":"wrong one"})", "application/json");
  ASSERT_TRUE(wrong);
  EXPECT_EQ(wrong->status, 401);
  std::uint64_t refusals = 0;
  for (const Listener::Count& count : server_->counts())
    if (count.word == "http_logins_refused") refusals = count.value;
  EXPECT_EQ(refusals, 1u);
}

TEST_F(ServerTest, AnEndWithRequestsThatWaitIsClean) {
  start();
  ASSERT_NE(server_, nullptr);
  ended_ = true;
  control_.join();
  std::thread asker{[&] { static_cast<void>(client()->Get("/api/show/status")); }};
  while (server_->mailbox().waiting() == 0) std::this_thread::sleep_for(std::chrono::milliseconds{1});
  server_->mailbox().close();
  asker.join();
  server_.reset();
}

TEST_F(ServerTest, WhatCannotBeServedIsOneSentence) {
  const std::string nothing = directory_.file("nothing.pem");
  std::ofstream{nothing} << "no certificate\n";
  for (const Settings& settings :
       {Settings{.port = 0, .certificate = nothing, .key = nothing}, Settings{.address = "192.0.2.1", .port = 0},
        Settings{.port = 0, .client_ca = nothing}}) {
    const auto made = create(settings);
    ASSERT_TRUE(std::holds_alternative<std::string>(made));
    EXPECT_EQ(std::get<std::string>(made).find('\n'), std::string::npos);
    EXPECT_FALSE(std::get<std::string>(made).empty());
  }
}

}  // namespace
}  // namespace pfsync::engine::http
