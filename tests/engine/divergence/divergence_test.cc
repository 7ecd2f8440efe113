#include <gtest/gtest.h>

#include <algorithm>
#include <random>

#include "engine/session/bulk_sender.h"
#include "engine/session/partitioned_session.h"
#include "tests/engine/divergence/divergence_engine.h"
#include "tests/under_sanitizer.h"

namespace pfsync::engine::divergence {
namespace {

void hold_both(Pair& pair, std::uint64_t first, std::uint64_t count) {
  for (std::uint64_t id = first; id < first + count; ++id) {
    pair.here.hold(tcp_state(id));
    pair.there.hold(tcp_state(id));
  }
}

wire::State later(wire::State state, std::uint32_t by = 1000) {
  state.src.seqlo += by;
  state.src.seqhi += by;
  state.dst.seqlo += by;
  state.dst.seqhi += by;
  return state;
}

TEST(DivergenceTest, EqualTablesNeedOneRequest) {
  Pair pair;
  hold_both(pair, 1, 1000);
  const Findings found = pair.compare(true);
  EXPECT_EQ(found.failure, "");
  EXPECT_EQ(found.requests, 1u);
  EXPECT_EQ(found.states_here, 1000u);
  EXPECT_EQ(found.states_there, 1000u);
  EXPECT_EQ(found.suspects, 0u);
  EXPECT_EQ(found.different(), 0u);
}

TEST(DivergenceTest, EmptyTablesAreEqual) {
  Pair pair;
  EXPECT_EQ(pair.compare().failure, "");
}

TEST(DivergenceTest, FindsAndMendsEachKind) {
  Pair pair;
  hold_both(pair, 1, 200);
  pair.here.hold(tcp_state(1001));                       // only here
  pair.there.hold(tcp_state(1002));                      // only there
  pair.here.hold(later(tcp_state(3)), Message::upd);     // newer here
  pair.there.hold(later(tcp_state(4)), Message::upd);    // newer there
  wire::State one = tcp_state(5), other = tcp_state(5);  // each in a direction
  one.src.seqlo += 7;
  other.dst.state = wire::tcps::fin_wait_2;
  pair.here.hold(one, Message::upd);
  pair.there.hold(other, Message::upd);

  const Findings seen = pair.compare();
  EXPECT_EQ(seen.failure, "");
  for (const Kind kind : {Kind::only_here, Kind::only_there, Kind::newer_here, Kind::newer_there, Kind::newer_on_both})
    EXPECT_EQ(of(seen, kind), 1u) << word(kind);
  EXPECT_EQ(seen.different(), 5u);
  ASSERT_EQ(seen.differences.size(), 5u);
  EXPECT_EQ(seen.mended_here + seen.mended_there, 0u) << "nobody asked for it";
  EXPECT_FALSE(pair.are_equal());

  const Findings mended = pair.compare(true);
  EXPECT_EQ(mended.failure, "");
  EXPECT_EQ(mended.different(), 5u);
  EXPECT_EQ(mended.mended_here, 3u);
  EXPECT_EQ(mended.mended_there, 3u);
  EXPECT_EQ(mended.unclear + mended.refused, 0u);
  EXPECT_TRUE(pair.are_equal());
  EXPECT_EQ(pair.here.count(Tally::repaired), 3u);
  EXPECT_EQ(pair.there.count(Tally::repaired), 3u);
  EXPECT_EQ(pair.there.repaired_for, pair.here.facts.address);
  EXPECT_EQ(pair.here.repaired_for, pair.there.facts.address);
  const auto both = pair.here.held({5, peer_creatorid});
  ASSERT_TRUE(both);
  EXPECT_EQ(both->hot.src.seqlo, one.src.seqlo);
  EXPECT_EQ(both->hot.dst.state, wire::tcps::fin_wait_2);
}

TEST(DivergenceTest, WhatTravelsIsWhole) {
  Pair pair;
  wire::State state = tcp_state(9);
  state.ifname = wire::InterfaceName{"igb0.7"};
  state.rt_ifname = wire::InterfaceName{"em1"};
  state.tag = wire::TagName{"a tag"};
  state.rt = wire::route::route_to;
  state.rtableid = {-1, -1};
  state.creation_s = 77;
  state.nat_rule = 5;
  state.packets = {11, 12};
  state.bytes = {1100, 1200};
  pair.here.hold(state);
  ASSERT_EQ(pair.compare(true).mended_there, 1u);
  const auto here = pair.here.held(state.id), there = pair.there.held(state.id);
  ASSERT_TRUE(here && there);
  EXPECT_EQ(here->cold, there->cold);
  EXPECT_EQ(here->hot.created_s, there->hot.created_s);
}

TEST(DivergenceTest, InterfacesHaveTheNamesOfWhoeverHoldsTheState) {
  Pair pair;
  wire::State mine = tcp_state(1), its = tcp_state(2);
  mine.ifname = its.ifname = wire::InterfaceName{"igb0"};
  pair.here.ours = "igb0";
  pair.here.theirs = "vmx1";
  pair.there.ours = "igb0";
  pair.there.theirs = "ix3";
  pair.here.hold(mine);
  pair.there.hold(its);
  const Findings found = pair.compare(true);
  EXPECT_EQ(found.mended_here, 1u);
  EXPECT_EQ(pair.there.held(mine.id)->cold.ifname.view(), "vmx1");
  EXPECT_EQ(pair.here.held(its.id)->cold.ifname.view(), "ix3");
}

TEST(DivergenceTest, WhatNeitherRuleJudgesIsLeftAndCounted) {
  Pair pair;
  wire::State one = udp_state(1), other = udp_state(1);
  other.src.max_win = 9;  // of one level: either could follow the other
  pair.here.hold(one);
  pair.there.hold(other);
  wire::State elsewhere = tcp_state(2);
  elsewhere.key[0].port[0] = 81;
  pair.here.hold(tcp_state(2));
  pair.there.hold(elsewhere);
  const Findings found = pair.compare(true);
  EXPECT_EQ(of(found, Kind::unclear), 2u);
  EXPECT_EQ(found.unclear, 2u);
  EXPECT_EQ(found.mended_here + found.mended_there + found.refused, 0u);
  EXPECT_EQ(pair.there.held(one.id)->hot.src.max_win, 9u) << "and not exchanged";
  EXPECT_EQ(pair.here.held(one.id)->hot.src.max_win, 0u);
}

TEST(DivergenceTest, WhatIsOnItsWayIsNotDifferent) {
  Pair pair;
  hold_both(pair, 1, 100);
  pair.here.hold(tcp_state(500));
  pair.there.hold(later(tcp_state(7)), Message::upd);
  const Findings found = pair.compare(false, [&] {
    pair.there.hold(tcp_state(500));
    pair.here.hold(later(tcp_state(7)), Message::upd);
  });
  EXPECT_EQ(found.suspects, 2u);
  EXPECT_EQ(found.settled, 2u);
  EXPECT_EQ(found.different(), 0u);
}

TEST(DivergenceTest, WhatGoesOnChangingIsInFlux) {
  Pair pair;
  hold_both(pair, 1, 100);
  pair.here.hold(later(tcp_state(7), 1000), Message::upd);
  const Findings found = pair.compare(true, [&] {
    pair.there.hold(later(tcp_state(7), 1000), Message::upd);  // what it lacked has come,
    pair.here.hold(later(tcp_state(7), 2000), Message::upd);   // and more is on its way
  });
  EXPECT_EQ(found.in_flux, 1u);
  EXPECT_EQ(found.different(), 0u);
  EXPECT_EQ(found.mended_there, 0u);
}

TEST(DivergenceTest, WhoIsDeafWhileTheOtherGoesOnIsDifferent) {
  Pair pair;
  hold_both(pair, 1, 100);
  pair.here.hold(later(tcp_state(7), 1000), Message::upd);
  const Findings found = pair.compare(true, [&] { pair.here.hold(later(tcp_state(7), 2000), Message::upd); });
  EXPECT_EQ(of(found, Kind::newer_here), 1u);
  EXPECT_TRUE(pair.are_equal());
}

TEST(DivergenceTest, TheSecondLookWaitsLongerThanBothNodesDelay) {
  Pair pair;
  pair.there.facts.delay_ms = 5000;
  pair.there.answerer.emplace(pair.there.facts, pair.there.table->reader(), pair.there.ground());
  pair.here.hold(tcp_state(1));
  Instant looked{};
  const Instant began = pair.now + 1s;
  static_cast<void>(pair.compare(false, [&] { looked = pair.now; }));
  EXPECT_GT(looked - began, 6s);
}

TEST(DivergenceTest, WhatEndedThereAMomentAgoEndsHere) {
  Pair pair;
  hold_both(pair, 1, 50);
  pair.there.end({7, peer_creatorid});
  pair.here.end({8, peer_creatorid});
  const Findings found = pair.compare(true);
  EXPECT_EQ(of(found, Kind::only_here), 1u);
  EXPECT_EQ(of(found, Kind::only_there), 1u);
  EXPECT_EQ(found.removed_here, 1u);
  EXPECT_EQ(found.removed_there, 1u);
  EXPECT_EQ(found.mended_here + found.mended_there, 0u);
  EXPECT_FALSE(pair.here.held({7, peer_creatorid}));
  EXPECT_FALSE(pair.there.held({8, peer_creatorid}));
  EXPECT_TRUE(pair.are_equal());
}

TEST(DivergenceTest, WhatHasNoTimeLeftIsNotGivenItsWholeTimeoutAgain) {
  Pair pair;
  pair.here.hold(udp_state(1));  // 30 s
  pair.pass(32s);                // in its grace
  ASSERT_EQ(pair.compare(true).mended_there, 1u);
  const auto there = pair.there.held(udp_state(1).id);
  ASSERT_TRUE(there);
  EXPECT_LE(there->hot.expire_at_s, statetable::to_seconds(pair.now) + 1);
}

TEST(DivergenceTest, WhatIsForgottenComesBack) {
  Pair pair;
  hold_both(pair, 1, 50);
  pair.there.end({7, peer_creatorid});
  pair.pass(std::chrono::seconds{RemovedStates::remembered_s + 1});
  const Findings found = pair.compare(true);
  EXPECT_EQ(found.mended_there, 1u) << "nobody knows that it ended, rather than never came";
  EXPECT_TRUE(pair.there.held({7, peer_creatorid}));
}

TEST(DivergenceTest, ItsCreatorKnowsForEverThatAStateEnded) {
  Pair pair;
  wire::State state = tcp_state(7, own_creatorid);
  pair.pass(60s);
  ASSERT_EQ(pair.there.session->insert(state, pair.now), Session::Local::done);
  pair.here.hold(state);
  pair.there.end(state.id);
  pair.pass(600s);
  const Findings found = pair.compare(true);
  EXPECT_EQ(found.removed_here, 1u);
  EXPECT_FALSE(pair.here.held(state.id));
  EXPECT_FALSE(pair.there.held(state.id));
}

TEST(DivergenceTest, ACreatorTakesBackWhatWasBeforeItsStart) {
  Pair pair;
  wire::State state = tcp_state(7, own_creatorid);
  state.creation_s = 3600;
  pair.here.hold(state);
  EXPECT_EQ(pair.compare(true).mended_there, 1u);
  EXPECT_TRUE(pair.there.held(state.id));
}

TEST(DivergenceTest, AClearIsNotUndone) {
  Pair pair;
  for (std::uint64_t id = 1; id <= 20; ++id) {
    wire::State state = tcp_state(id);
    state.creation_s = 100;
    pair.here.hold(state);
    pair.there.hold(state);
  }
  std::vector<std::uint8_t> room(1480);
  wire::PacketWriter writer{wire::Dialect::freebsd_1500, room};
  ASSERT_TRUE(writer.append_clear({{}, peer_creatorid}));
  room.resize(writer.finish());
  pair.there.session->on_packet(room, pair.now);
  ASSERT_EQ(pair.there.table->size(), 0u);
  const Findings found = pair.compare(true);
  EXPECT_EQ(found.removed_here, 20u);
  EXPECT_TRUE(pair.are_equal());
}

TEST(DivergenceTest, StatesThatAreNeverAnnouncedAreNotCompared) {
  Pair pair;
  hold_both(pair, 1, 10);
  wire::State state = tcp_state(100, own_creatorid);
  state.state_flags = wire::state_flag::nosync;
  ASSERT_EQ(pair.here.session->insert(state, pair.now), Session::Local::done);
  const Findings found = pair.compare(true);
  EXPECT_EQ(found.states_here, 10u);
  EXPECT_EQ(found.suspects, 0u);
}

/// A sync.rule marks there what this node has announced to it: both hold it all the same.
TEST(DivergenceTest, AStateThatOneNodeAloneAnnouncesIsHeldByBoth) {
  Pair pair;
  wire::State state = tcp_state(100, own_creatorid);
  ASSERT_EQ(pair.here.session->insert(state, pair.now), Session::Local::done);
  state.state_flags = wire::state_flag::nosync;
  ASSERT_EQ(pair.there.session->insert(state, pair.now), Session::Local::done);
  const Findings found = pair.compare(true);
  EXPECT_EQ(found.suspects, 1u);
  EXPECT_EQ(found.settled, 1u);
}

TEST(DivergenceTest, TellsWhenANodeCannotCarryOut) {
  Pair pair;
  pair.here.hold(tcp_state(1));
  pair.there.refuses = "the data path is busy";
  EXPECT_EQ(pair.compare(true).failure, "the other node refused: the data path is busy");
}

TEST(DivergenceTest, ATableThatIsFullCountsWhatItRefuses) {
  Pair pair{64};
  for (std::uint64_t id = 1; id <= 64; ++id) pair.there.hold(tcp_state(id));
  for (std::uint64_t id = 65; id <= 70; ++id) pair.here.hold(tcp_state(id));
  const Findings found = pair.compare(true);
  EXPECT_EQ(found.refused, 6u + 6u) << "58 of the 64 find room here";
  EXPECT_EQ(found.mended_here, 58u);
}

TEST(DivergenceTest, ANodeThatCameUpEmptyIsTooMuch) {
  Pair pair{60'000};
  for (std::uint64_t id = 1; id <= 50'000; ++id) pair.here.hold(tcp_state(id));
  const Findings found = pair.compare(true);
  EXPECT_TRUE(found.is_too_much);
  EXPECT_NE(found.failure, "");
  EXPECT_EQ(pair.there.table->size(), 0u);
}

/// Any mixture of differences: afterwards both agree but for what was told to be left.
TEST(DivergenceTest, AnyDifferencesAreMended) {
  for (const unsigned seed : {1u, 2u, 3u, 4u, 5u}) {
    std::mt19937_64 random{seed};
    const auto below = [&](std::uint64_t limit) { return random() % limit; };
    Pair pair{20'000};
    std::uint64_t made = 0;
    for (std::uint64_t id = 1; id <= 3000; ++id) {
      wire::State state = tcp_state(id, 0x100 + static_cast<std::uint32_t>(below(3)));
      state.src.state = static_cast<std::uint8_t>(below(11));
      state.dst.state = static_cast<std::uint8_t>(below(11));
      state.timeout = pftm::tcp_established;
      const bool differs = below(20) == 0;
      made += differs ? 1 : 0;
      const auto kind = differs ? below(5) : 5;
      if (kind != 0) pair.here.hold(state);
      if (kind != 1) pair.there.hold(state);
      wire::State moved = state;
      (below(2) == 0 ? moved.src : moved.dst).seqlo += 1 + static_cast<std::uint32_t>(below(1'000'000));
      if (below(3) == 0) moved.src.state = static_cast<std::uint8_t>(std::min(state.src.state + 1, 10));
      if (kind == 2) pair.here.hold(moved, Message::upd);
      if (kind == 3) pair.there.hold(moved, Message::upd);
      if (kind == 4) {
        wire::State other = state;
        moved = state;
        moved.src.seqlo += 5;
        other.dst.seqlo += 6;
        pair.here.hold(moved, Message::upd);
        pair.there.hold(other, Message::upd);
      }
    }
    const Findings found = pair.compare(true);
    EXPECT_EQ(found.failure, "") << seed;
    EXPECT_EQ(found.different(), made) << seed;
    EXPECT_EQ(found.unclear + found.refused, 0u) << seed;
    EXPECT_TRUE(pair.are_equal()) << seed;
    EXPECT_EQ(pair.compare().different(), 0u) << seed;
  }
}

std::uint64_t bytes_of_a_bulk(const statetable::Table& table) {
  BulkSender sender{{.creatorid = own_creatorid, .states_per_s = 0}, table};
  sender.start(t0);
  std::uint64_t bytes = 0;
  std::vector<std::uint8_t> room(1480);
  // So fast that none of them times out in the midst.
  for (Instant now = t0; sender.running(); now += 1us)
    while (const std::size_t packet = sender.transmit(room, now)) bytes += packet;
  EXPECT_EQ(sender.states_sent(), table.size());
  return bytes;
}

/// What one can find by comparing must be cheap beside saying it all again.
TEST(DivergenceTest, FindsAFewOfVeryManyInLessThanAHundredthOfABulkUpdate) {
  constexpr std::uint64_t states = under_sanitizer ? 100'000 : 1'000'000;
  Pair pair{states + 1000};
  const auto state_of = [](std::uint64_t id) {
    wire::State state = tcp_state(id);
    for (auto& key : state.key) key.addr[1].bytes[1] = static_cast<std::uint8_t>(id >> 16);
    return state;
  };
  std::vector<wire::State> some(64);
  std::vector<Session::Local> results(some.size());
  for (Engine* engine : {&pair.here, &pair.there})
    for (std::uint64_t id = 1; id <= states; id += some.size()) {
      const std::size_t count = std::min<std::uint64_t>(some.size(), states + 1 - id);
      for (std::size_t i = 0; i < count; ++i) some[i] = state_of(id + i);
      engine->session->insert(std::span{some}.first(count), std::span{results}.first(count), t0);
    }
  ASSERT_EQ(pair.here.table->size(), states);
  ASSERT_TRUE(pair.are_equal());
  const std::uint64_t bulk = bytes_of_a_bulk(*pair.here.table);
  pair.pass(20s);  // nobody remembers what ended now
  for (std::uint64_t i = 0; i < 37; ++i) {
    const wire::State state = state_of(1 + i * (states / 37));
    Engine& one = i % 2 == 0 ? pair.here : pair.there;
    if (i % 3 == 0) one.end(state.id);
    if (i % 3 == 1) one.hold(later(state), Message::upd);
    if (i % 3 == 2) one.hold(tcp_state(states + i + 1));
  }
  ASSERT_FALSE(pair.are_equal());
  pair.pass(20s);
  const Findings found = pair.compare(true);
  EXPECT_EQ(found.failure, "");
  EXPECT_EQ(found.different(), 37u);
  EXPECT_TRUE(pair.are_equal());
  const std::uint64_t used = found.bytes_sent + found.bytes_received;
  EXPECT_LT(used * 100, bulk);
  std::printf("%llu states, 37 different: %llu bytes in %llu requests, a bulk update has %llu\n",
              static_cast<unsigned long long>(states), static_cast<unsigned long long>(used),
              static_cast<unsigned long long>(found.requests), static_cast<unsigned long long>(bulk));
}

TEST(DivergenceTest, EachPartOfASessionTakesItsOwn) {
  auto table = std::move(std::get<0>(
      statetable::Table::create({.states_max = 1000, .shard_bits = 3, .hash_seed = 5, .by_connection = true})));
  SessionConfig config;
  config.creatorid = own_creatorid;
  config.request_bulk = false;
  PartitionedSession node{config, *table, 2};
  node.first().start(t0);
  const auto settle = [&] {
    for (bool busy = true; busy;) {
      busy = false;
      for (unsigned i = 0; i < node.parts(); ++i) busy = node.turn(i, t0) > 0 || busy;
    }
  };
  settle();
  std::vector<Repair> all;
  for (std::uint64_t id = 1; id <= 100; ++id) all.push_back({.state = tcp_state(id)});
  Repairs repairs{.all = all};
  ASSERT_TRUE(node.begin({.kind = Command::Kind::repair, .repairs = &repairs}, t0));
  settle();
  ASSERT_TRUE(node.ended());
  EXPECT_EQ(table->size(), 100u);
  for (const Repair& repair : all) EXPECT_EQ(repair.outcome, Repair::Outcome::taken);
  for (unsigned i = 0; i < 2; ++i) EXPECT_GT(node.part(i).counters()[Tally::repaired].value(), 20u);
}

}  // namespace
}  // namespace pfsync::engine::divergence
