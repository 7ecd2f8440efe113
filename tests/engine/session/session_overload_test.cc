// A link that takes less than there is to say, and peers that want more than they may have.
#include <map>
#include <set>

#include "tests/engine/session/session_fixture.h"

namespace pfsync::engine {
namespace {

constexpr std::uint64_t lasting = 2000;  ///< states whose updates alone fill the link many times over
constexpr std::size_t packets_each_10ms = 1;

/// A session behind a link of a hundred packets a second, and all of what it says.
class SessionOverload : public SessionTest, public ::testing::WithParamInterface<wire::Dialect> {
 protected:
  void begin() {
    SessionConfig config{.request_bulk = false, .expire = false};
    config.dialect = GetParam();
    make(config, nullptr, 50'000);
    for (std::uint64_t id = 1; id <= lasting; ++id) ASSERT_EQ(insert(id, now), Session::Local::done);
    while (!said_at(now + 2s).empty()) {
    }
    told.clear();
    now += 2s;
  }

  /// All lasting connections are used in each 10 ms, which is more than a hundred packets take.
  void pass_10ms() {
    for (std::uint64_t id = 1; id <= lasting; ++id) {
      wire::Update update = update_of(tcp_state(id, own_creatorid));
      update.src.seqlo = sequence;
      update.src.seqhi = sequence + 60'000;
      ASSERT_EQ(session->update(update, now), Session::Local::done);
    }
    ++sequence;
    for (std::size_t i = 0; i < packets_each_10ms; ++i) static_cast<void>(said_at(now));
    now += 10ms;
  }

  std::vector<Said> said_at(Instant at) {
    std::vector<Said> messages = said(at);
    for (const Said& message : messages) {
      told[message.message].insert(message.id.id);
      if (message.message == Message::upd_c)
        last[message.id.id] = wire::read_update(wire::Layout::common, message.record).src.seqlo;
    }
    return messages;
  }
  Session::Local insert(std::uint64_t id, Instant at) { return session->insert(tcp_state(id, own_creatorid), at); }

  Instant now = t0;
  std::uint32_t sequence = 10'000;
  std::map<Message, std::set<std::uint64_t>> told;  ///< since begin()
  std::map<std::uint64_t, std::uint32_t> last;      ///< what was said of a state last
};

TEST_P(SessionOverload, WhatBeginsAndEndsIsToldAtOnceWhileUpdatesWait) {
  ASSERT_NO_FATAL_FAILURE(begin());
  std::uint64_t next = lasting + 1, ended = 0;
  for (int i = 0; i < 300; ++i) {
    // Two begin and two end: less than a packet takes.
    for (int k = 0; k < 2; ++k) ASSERT_EQ(insert(next++, now), Session::Local::done);
    for (int k = 0; i >= 100 && k < 2; ++k)
      ASSERT_EQ(session->erase({lasting + ++ended, own_creatorid}, now), Session::Local::done);
    ASSERT_NO_FATAL_FAILURE(pass_10ms());
    EXPECT_GE(told[Message::ins].size() + 8, next - lasting - 1) << i;
    EXPECT_GE(told[Message::del_c].size() + 8, ended) << i;
  }
  EXPECT_GT(told[Message::upd_c].size(), 500u) << "what is left of the packets is theirs";
  EXPECT_EQ(count(Tally::deletes_dropped), 0u);
}

TEST_P(SessionOverload, NeitherInsertsNorUpdatesKeepDeletesFromLeaving) {
  ASSERT_NO_FATAL_FAILURE(begin());
  std::uint64_t next = lasting + 1, ended = 0;
  for (int i = 0; i < 200; ++i) {
    for (int k = 0; k < 40; ++k) ASSERT_EQ(insert(next++, now), Session::Local::done);
    for (int k = 0; k < 5; ++k) ASSERT_EQ(session->erase({++ended, own_creatorid}, now), Session::Local::done);
    for (std::uint64_t id = ended + 1; id <= lasting; ++id)
      static_cast<void>(session->update(update_of(tcp_state(id, own_creatorid)), now));
    static_cast<void>(said_at(now));
    now += 10ms;
    EXPECT_GE(told[Message::del_c].size() + 10, ended) << i;
  }
  EXPECT_GT(told[Message::ins].size(), 200u);
}

TEST_P(SessionOverload, AStateThatIsUnknownHereIsAskedForAllTheSame) {
  ASSERT_NO_FATAL_FAILURE(begin());
  ASSERT_NO_FATAL_FAILURE(pass_10ms());
  receive_update(update_of(tcp_state(7)), now);
  receive_id(Message::upd_req, wire::bulk_request_id, now);
  for (int i = 0; i < 3; ++i) ASSERT_NO_FATAL_FAILURE(pass_10ms());
  EXPECT_TRUE(told[Message::upd_req].contains(7));
}

TEST_P(SessionOverload, WhenItIsOverThePeerHasAllAsItIs) {
  ASSERT_NO_FATAL_FAILURE(begin());
  for (int i = 0; i < 50; ++i) ASSERT_NO_FATAL_FAILURE(pass_10ms());
  for (Instant end = now + 3s; now < end; now += 10ms) static_cast<void>(said_at(now));
  EXPECT_EQ(session->queued(), 0u);
  for (std::uint64_t id = 1; id <= lasting; ++id) ASSERT_EQ(last[id], sequence - 1) << id;
  EXPECT_EQ(last.size(), lasting);
}

INSTANTIATE_TEST_SUITE_P(Dialects, SessionOverload,
                         ::testing::Values(wire::Dialect::freebsd_1301, wire::Dialect::openbsd), [](const auto& of) {
                           return of.param == wire::Dialect::openbsd ? "openbsd" : "freebsd_1301";
                         });

}  // namespace
}  // namespace pfsync::engine
