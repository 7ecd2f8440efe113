// What a peer can make a session say: answers to stale updates, full states, requests of the session's own.
#include <map>
#include <set>

#include "tests/engine/session/session_fixture.h"

namespace pfsync::engine {
namespace {

class SessionLimits : public SessionTest {
 protected:
  void make_large(std::size_t states_max, std::uint64_t requests_per_s = 10'000) {
    make({.request_bulk = false, .expire = false, .requests_per_s = requests_per_s}, nullptr, states_max);
  }
  /// The peer's states with the ids from 1 on.
  void hold(std::uint64_t states, Instant now = t0) {
    for (std::uint64_t id = 1; id <= states;)
      receive(now, [&](wire::PacketWriter& writer) {
        while (id <= states && writer.append_state(Message::ins, tcp_state(id))) ++id;
      });
    ASSERT_EQ(table->size(), states);
  }
  /// Updates in as few packets as they need.
  void receive_updates(const std::vector<wire::Update>& updates, Instant now) {
    for (std::size_t i = 0; i < updates.size();)
      receive(now, [&](wire::PacketWriter& writer) {
        while (i < updates.size() && writer.append_update(updates[i])) ++i;
      });
  }
  /// All that is due.
  std::vector<Said> all_said(Instant now) {
    std::vector<Said> all;
    if (now >= session->timeout(now)) session->on_timeout(now);
    for (std::vector<Said> some; !(some = said(now)).empty();) all.insert(all.end(), some.begin(), some.end());
    return all;
  }
  static wire::Update content(const Said& said) { return wire::read_update(wire::Layout::common, said.record); }
  /// An update whose both ends are behind what `hold` made.
  static wire::Update stale_update(std::uint64_t id) {
    wire::Update update = update_of(tcp_state(id));
    update.src.seqlo -= 10;
    update.dst.seqlo -= 10;
    return update;
  }
  void ask_for_all(std::uint64_t states, Instant now) {
    for (std::uint64_t id = 1; id <= states; ++id) receive_id(Message::upd_req, {id, peer_creatorid}, now);
  }
};

// --- stale updates -----------------------------------------------------------------------------------

TEST_F(SessionLimits, OfAStateAStaleUpdateIsAnsweredOnceASecond) {
  make_quiet({.expire = false});
  hold(1);
  receive_update(stale_update(1), t0 + 1s);
  EXPECT_EQ(said(t0 + 1s).size(), 1u);
  for (Instant now = t0 + 1100ms; now < t0 + 2s; now += 100ms) {
    receive_update(stale_update(1), now);
    EXPECT_TRUE(said(now).empty());
  }
  EXPECT_EQ(count(Tally::answers_delayed), 9u);
  EXPECT_EQ(count(Reject::stale), 10u);
  EXPECT_GT(session->timeout(t0 + 1999ms), t0 + 1999ms) << "there is nothing to do until the second is over";
  EXPECT_LE(session->timeout(t0 + 2050ms), t0 + 2050ms);
  EXPECT_EQ(said(t0 + 2050ms).size(), 1u) << "the nine together";
  receive_update(stale_update(1), t0 + 2200ms);
  EXPECT_TRUE(said(t0 + 3s).empty()) << "that was an answer, too";
  EXPECT_EQ(said(t0 + 3100ms).size(), 1u);
  receive_update(stale_update(1), t0 + 10s);
  EXPECT_EQ(said(t0 + 10s).size(), 1u) << "at a walking pace at once";
  EXPECT_EQ(count(Tally::answers_delayed), 10u);
}

/// Each end of such a pair holds what the other must find stale, and FreeBSD's rule does not give way (its dst level of
/// 2 with a sequence number further on): kernels would answer each other for ever.
TEST_F(SessionLimits, TwoNodesThatFindEachOtherStaleDoNotStorm) {
  for (const std::uint64_t states : {1u, 18u, 100u, 1000u, 20'000u}) {
    make_large(states, 0);
    hold(states);
    const auto theirs = [](std::uint64_t id) {
      wire::Update update = update_of(tcp_state(id));
      update.src.state = update.dst.state = wire::tcps::syn_sent;
      update.dst.seqlo += 1000;
      return update;
    };
    std::vector<wire::Update> replies;
    for (std::uint64_t id = 1; id <= states; ++id) replies.push_back(theirs(id));
    std::vector<Instant> answered(states + 1, t0 - 1s);
    std::size_t answers = 0;
    for (Instant now = t0; now < t0 + 3s; now += 1ms) {
      receive_updates(replies, now);
      replies.clear();
      for (const Said& message : all_said(now)) {
        ASSERT_EQ(message.message, Message::upd_c);
        ASSERT_GE(now - answered[message.id.id], 1s) << states << " states, id " << message.id.id;
        answered[message.id.id] = now;
        ++answers;
        replies.push_back(theirs(message.id.id));  // it finds our answer stale, and says so
      }
    }
    EXPECT_EQ(answers, 3 * states) << "but none is left out";
  }
}

TEST_F(SessionLimits, AFloodOfStaleUpdatesIsAnsweredByOneUpdateOfEachStateASecond) {
  make_large(1000);
  hold(1000);
  std::map<std::uint64_t, unsigned> answers;
  const auto listen = [&](Instant now) {
    for (const Said& message : all_said(now)) ++answers[message.id.id];
  };
  std::vector<wire::Update> updates;
  for (std::uint64_t id = 1; id <= 1000; ++id) updates.push_back(stale_update(id));
  for (Instant now = t0; now < t0 + 900ms; now += 90ms) {
    receive_updates(updates, now);
    listen(now);
  }
  EXPECT_EQ(answers.size(), 1000u);
  for (const auto& [id, times] : answers) ASSERT_EQ(times, 1u) << id;
  EXPECT_EQ(count(Tally::answers_delayed), 9000u);
  for (Instant now = t0 + 900ms; now < t0 + 4s; now += 10ms) listen(now);
  for (const auto& [id, times] : answers) ASSERT_EQ(times, 2u) << id << ": the other nine together";
}

TEST_F(SessionLimits, AnAnswerThatComesLaterTellsTheStateAsItIsThen) {
  make_quiet({.expire = false});
  hold(2);
  receive_update(stale_update(1), t0);
  EXPECT_EQ(said(t0).size(), 1u);
  receive_update(stale_update(1), t0 + 300ms);
  wire::Update newer = update_of(tcp_state(1));
  newer.src.seqlo += 500;
  receive_update(newer, t0 + 600ms);
  wire::State acknowledged = tcp_state(3);
  acknowledged.state_flags = wire::state_flag::ack;
  receive_state(Message::ins, acknowledged, t0 + 700ms);
  auto messages = all_said(t0 + 700ms);
  ASSERT_EQ(messages.size(), 1u) << "what another state makes leave at once does not take it along";
  EXPECT_EQ(messages[0].message, Message::ins_ack);
  messages = all_said(t0 + 1100ms);
  ASSERT_EQ(messages.size(), 1u);
  EXPECT_EQ(content(messages[0]), newer);
  EXPECT_TRUE(all_said(t0 + 5s).empty());
}

TEST_F(SessionLimits, AChangeIsToldInTimeAlthoughItsStateWasAnsweredAMomentAgo) {
  make_quiet({.expire = false});
  hold(1);
  receive_update(stale_update(1), t0 + 10s);
  EXPECT_EQ(said(t0 + 10s).size(), 1u);
  receive_update(stale_update(1), t0 + 10100ms);  // one answer is owed
  wire::Update newer = update_of(tcp_state(1));
  newer.src.seqlo += 500;
  ASSERT_EQ(session->update(newer, t0 + 10200ms), Session::Local::done);
  const auto messages = all_said(t0 + 10200ms);
  ASSERT_EQ(messages.size(), 1u) << "traffic that crosses both nodes";
  EXPECT_EQ(content(messages[0]), newer);
  EXPECT_TRUE(all_said(t0 + 15s).empty()) << "that was the answer";
}

TEST_F(SessionLimits, AFullStateThatWasAskedForIsAnAnswerToAStaleUpdateToo) {
  make_quiet({.expire = false});
  hold(1);
  receive_update(stale_update(1), t0);
  EXPECT_EQ(said(t0).size(), 1u);
  receive_update(stale_update(1), t0 + 1ms);
  receive_id(Message::upd_req, tcp_state(1).id, t0 + 2ms);
  const auto messages = all_said(t0 + 2ms);
  ASSERT_EQ(messages.size(), 1u);
  EXPECT_EQ(messages[0].message, Message::upd);
  for (Instant now = t0; now < t0 + 5s; now += 100ms) EXPECT_TRUE(all_said(now).empty());
}

TEST_F(SessionLimits, AnAnswerIsNotOwedOfAStateThatEnded) {
  make_quiet({.expire = false});
  hold(3);
  for (const std::uint64_t id : {1, 2, 3}) receive_update(stale_update(id), t0);
  EXPECT_EQ(said(t0).size(), 3u);
  for (const std::uint64_t id : {1, 2, 3}) receive_update(stale_update(id), t0 + 1ms);
  receive_id(Message::del_c, tcp_state(2).id, t0 + 2ms);
  receive_state(Message::ins, tcp_state(9), t0 + 3ms);  // takes its place in the table
  std::set<std::uint64_t> told;
  for (const Said& message : all_said(t0 + 1100ms)) told.insert(message.id.id);
  EXPECT_EQ(told, (std::set<std::uint64_t>{1, 3}));
  EXPECT_TRUE(all_said(t0 + 10s).empty());
}

TEST_F(SessionLimits, AnswersAboveTheRateComeAtTheRate) {
  make_large(1000, 100);
  hold(1000);
  std::vector<wire::Update> updates;
  for (std::uint64_t id = 1; id <= 1000; ++id) updates.push_back(stale_update(id));
  receive_updates(updates, t0);
  std::set<std::uint64_t> told;
  std::size_t answers = 0;
  for (Instant now = t0; now < t0 + 5s; now += 1ms)
    for (const Said& message : all_said(now)) told.insert(message.id.id), ++answers;
  EXPECT_GE(answers, 500u);
  EXPECT_LE(answers, 512u);
  for (Instant now = t0 + 5s; now < t0 + 11s; now += 10ms)
    for (const Said& message : all_said(now)) told.insert(message.id.id), ++answers;
  EXPECT_EQ(told.size(), 1000u);
  EXPECT_EQ(answers, 1000u);
}

// --- full states -------------------------------------------------------------------------------------

TEST_F(SessionLimits, APeerCanHaveSoManyFullStatesASecondAndTheRestAtThatRate) {
  make_quiet({.expire = false, .requests_per_s = 100});
  hold(500);
  std::map<std::uint64_t, int> answers;
  std::size_t count_of_all = 0;
  const auto listen = [&](Instant from, Instant until) {
    for (Instant now = from; now < until; now += 1ms)
      for (const Said& message : all_said(now)) {
        ASSERT_EQ(message.message, Message::upd);
        ++answers[message.id.id];
        ++count_of_all;
      }
  };
  for (int times = 0; times < 3; ++times) ask_for_all(500, t0);
  for (int second = 0; second < 4; ++second) {
    listen(t0 + std::chrono::seconds{second}, t0 + std::chrono::seconds{second + 1});
    EXPECT_GE(count_of_all, 100u * (second + 1));
    EXPECT_LE(count_of_all, 100u * (second + 1) + 11) << "ten at once";
    const Instant end = t0 + std::chrono::seconds{second + 1} - 1ms;
    EXPECT_GT(session->timeout(end), end) << "there is nothing to do until the next is due";
    session->on_timeout(end);
    EXPECT_EQ(session->queued_for(0), 500 - count_of_all);
  }
  listen(t0 + 4s, t0 + 6s);
  EXPECT_EQ(answers.size(), 500u);
  EXPECT_EQ(count_of_all, 500u) << "each once, however often it was asked for";
  session->on_timeout(t0 + 6s);
  EXPECT_EQ(session->queued_for(0), 0u);
  EXPECT_EQ(count(Tally::requests_limited), 490u);
  receive_id(Message::upd_req, {1, peer_creatorid}, t0 + 10s);
  EXPECT_EQ(said(t0 + 10s).size(), 1u) << "at a walking pace at once";
}

TEST_F(SessionLimits, FullStatesThatWaitedShareTheirPackets) {
  make_large(3000, 2000);
  hold(3000);
  ask_for_all(3000, t0);
  std::size_t packets = 0, states = 0;
  for (Instant now = t0; now < t0 + 1s; now += 100us)
    if (now >= session->timeout(now))
      for (std::vector<Said> some; !(some = said(now)).empty(); ++packets) states += some.size();
  EXPECT_GE(states, 2000u);
  EXPECT_LE(states, 2220u);
  EXPECT_LE(packets, states / 4);
}

TEST_F(SessionLimits, AChangeIsToldInTimeAlthoughItsFullStateWaits) {
  make_quiet({.expire = false, .requests_per_s = 10});
  hold(100);
  ask_for_all(100, t0 + 10s);
  ASSERT_EQ(said(t0 + 10s).size(), 1u);
  wire::Update newer = update_of(tcp_state(100));
  newer.src.seqlo += 500;
  ASSERT_EQ(session->update(newer, t0 + 10s), Session::Local::done);
  std::map<std::uint64_t, std::vector<Message>> told;
  for (Instant now = t0 + 10s; now < t0 + 20s; now += 10ms)
    for (const Said& message : all_said(now)) {
      told[message.id.id].push_back(message.message);
      if (message.id.id != 100) continue;
      EXPECT_LE(now - t0, 11500ms) << "a connection that lives comes first";
      if (message.message == Message::upd_c) {
        EXPECT_EQ(content(message), newer);
        EXPECT_LE(now - t0, 11s);
      }
    }
  EXPECT_EQ(told[100], (std::vector{Message::upd_c, Message::upd}));
  for (std::uint64_t id = 2; id < 100; ++id) EXPECT_EQ(told[id], std::vector{Message::upd}) << id;
}

TEST_F(SessionLimits, AStateThatEndsWhileItsFullStateWaitsIsOnlySaidToHaveEnded) {
  make_quiet({.expire = false, .requests_per_s = 10});
  hold(5);
  ask_for_all(5, t0);
  ASSERT_EQ(said(t0).size(), 1u);
  ASSERT_EQ(session->erase(tcp_state(3).id, t0), Session::Local::done);
  std::map<std::uint64_t, std::vector<Message>> told;
  for (Instant now = t0; now < t0 + 5s; now += 10ms)
    for (const Said& message : all_said(now)) told[message.id.id].push_back(message.message);
  for (const std::uint64_t id : {2, 4, 5}) EXPECT_EQ(told[id], std::vector{Message::upd}) << id;
  EXPECT_EQ(told[3], std::vector{Message::del_c});
}

// --- requests of our own -----------------------------------------------------------------------------

TEST_F(SessionLimits, ManyUnknownStatesAreAskedForOnceASecondEach) {
  constexpr std::uint64_t states = 20'000;
  make_large(4 * states, 0);
  std::vector<wire::Update> updates;
  for (std::uint64_t id = 1; id <= states; ++id) updates.push_back(update_of(tcp_state(id)));
  std::map<std::uint64_t, unsigned> asked;
  for (Instant now = t0; now < t0 + 900ms; now += 90ms) {
    receive_updates(updates, now);
    for (const Said& message : all_said(now)) {
      ASSERT_EQ(message.message, Message::upd_req);
      ++asked[message.id.id];
    }
  }
  EXPECT_GT(asked.size(), states * 99 / 100);  // few sets have more than eight
  for (const auto& [id, times] : asked) ASSERT_EQ(times, 1u) << id;
  EXPECT_EQ(asked.size() + count(Tally::requests_suppressed) + count(Tally::requests_withheld), 10 * states);
}

TEST_F(SessionLimits, ManyMoreUnknownStatesThanPlacesAreAskedForInTurn) {
  constexpr std::uint64_t states = 100;
  make({.request_bulk = false, .expire = false, .requests_per_s = 0}, nullptr, 1);  // one set of eight
  std::vector<wire::Update> updates;
  for (std::uint64_t id = 1; id <= states; ++id)
    for (int times = 0; times < 10; ++times) updates.push_back(update_of(tcp_state(id)));
  std::size_t requests = 0;
  for (int second = 0; second < 3; ++second) {
    const Instant now = t0 + std::chrono::seconds{second};
    receive_updates(updates, now);
    std::set<std::uint64_t> asked;
    for (const Said& message : all_said(now)) EXPECT_TRUE(asked.insert(message.id.id).second) << message.id.id;
    requests += asked.size();
    EXPECT_EQ(asked.size(), AskedStates::ways);
  }
  EXPECT_EQ(requests + count(Tally::requests_suppressed) + count(Tally::requests_withheld), 3 * updates.size());
}

TEST_F(SessionLimits, APeerIsAskedForSoManyStatesASecondAndForTheRestWithLaterUpdates) {
  make_large(10'000, 1000);
  std::vector<wire::Update> updates;
  for (std::uint64_t id = 1; id <= 3000; ++id) updates.push_back(update_of(tcp_state(id)));
  std::set<std::uint64_t> asked;
  std::size_t requests = 0;
  for (Instant now = t0; now < t0 + 10s; now += 100ms) {
    if (now == t0 + 1s) {
      EXPECT_GE(requests, 900u);
      EXPECT_LE(requests, 1101u);
      EXPECT_EQ(count(Tally::requests_withheld) + count(Tally::requests_suppressed) + requests, 30'000u);
    }
    std::vector<wire::Update> unknown;
    for (const wire::Update& update : updates)
      if (now < t0 + 1s || !asked.contains(update.id.id)) unknown.push_back(update);
    receive_updates(unknown, now);
    for (const Said& message : all_said(now)) {
      asked.insert(message.id.id);
      ++requests;
    }
  }
  EXPECT_EQ(asked.size(), 3000u);
}

/// The frame with the state may have been written before the update was.
TEST_F(SessionLimits, WhatIsUpdatedAmidABulkUpdateIsAskedForAllTheSame) {
  make();
  static_cast<void>(all_said(t0));  // the request for everything
  const auto status = [&](std::uint8_t what, Instant now) {
    receive(now, [&](wire::PacketWriter& writer) {
      ASSERT_TRUE(writer.append_bulk_status({peer_creatorid, 0, what}));
    });
  };
  receive_update(update_of(tcp_state(1)), t0);
  EXPECT_EQ(all_said(t0).size(), 1u);
  status(wire::BulkStatus::start, t0 + 1s);
  for (std::uint64_t id = 1; id <= 50; ++id) receive_update(update_of(tcp_state(id)), t0 + 1s);
  EXPECT_EQ(all_said(t0 + 3s).size(), 50u);
  EXPECT_EQ(count(Tally::requests_withheld), 0u);
}

TEST_F(SessionLimits, NoRequestStandsInItsQueueTwice) {
  make_quiet({.expire = false});
  for (Instant now = t0; now < t0 + 10s; now += 100ms)  // the link is down: nothing leaves
    for (const std::uint64_t id : {1, 2, 3}) receive_update(update_of(tcp_state(id)), now);
  EXPECT_EQ(session->queued(), 3u);
  EXPECT_EQ(all_said(t0 + 10s).size(), 3u);
  EXPECT_EQ(count(Tally::requests_withheld) + count(Tally::requests_suppressed), 297u);
  receive_update(update_of(tcp_state(4)), t0 + 10s);
  EXPECT_EQ(all_said(t0 + 10s).size(), 1u);
}

}  // namespace
}  // namespace pfsync::engine
