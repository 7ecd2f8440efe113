// Who sends more than its part: what that may cost, and what others still get.
#include <set>

#include "engine/fair_rate.h"
#include "tests/engine/session/session_fixture.h"
#include "tests/engine/session/session_hub.h"

namespace pfsync::engine {
namespace {

class Floods : public SessionTest {
 protected:
  static constexpr std::uint8_t honest = 2, liar = 9;

  template <class F>
  void hear(std::uint8_t source, Instant now, F&& fill) {
    std::vector<std::uint8_t> room(4000);
    wire::PacketWriter writer{wire::Dialect::freebsd_1301, room};
    fill(writer);
    room.resize(writer.finish());
    session->on_packet(Arrival{room, wire::ipv4_address(10, 0, 0, source)}, now);
  }
  void hear_state(std::uint8_t source, const wire::State& state, Instant now) {
    hear(source, now, [&](wire::PacketWriter& writer) { ASSERT_TRUE(writer.append_state(Message::ins, state)); });
  }
  void hear_clear(std::uint8_t source, std::uint32_t creatorid, Instant now, std::string_view ifname = {}) {
    hear(source, now, [&](wire::PacketWriter& writer) {
      ASSERT_TRUE(writer.append_clear({wire::InterfaceName{ifname}, creatorid}));
    });
  }
  void pass(Instant from, Instant until) {
    for (Instant now = from; now < until; now += 1ms)
      if (now >= session->timeout(now)) session->on_timeout(now);
  }
  static wire::State aged(std::uint64_t id, std::uint32_t creatorid, std::uint32_t seconds) {
    wire::State state = tcp_state(id, creatorid);
    state.creation_s = seconds;
    return state;
  }
};

// --- signs of life -----------------------------------------------------------------------------------

/// A node that hears this one alone has its own states, and none of somebody's who fills the table.
class FloodsBesideSignsOfLife : public Floods {
 protected:
  void SetUp() override {
    make({.peers = {{.is_group = true}}, .request_bulk = false, .probe_every = 1s}, nullptr, 4000);
    for (std::uint64_t id = 1; id <= 60; ++id) hear_state(honest, aged(id, honest, 100), t0);
    for (std::uint64_t id = 1; id <= 3000; ++id) hear_state(liar, aged(id, liar, 100), t0);
  }
  /// The most that it left unanswered in a row.
  std::uint32_t seconds(Instant from, int count, bool answers) {
    std::uint32_t most = 0;
    for (Instant now = from; now < from + std::chrono::seconds{count}; now += 100ms) {
      if (now >= session->timeout(now)) session->on_timeout(now);
      hear(honest, now, [](wire::PacketWriter&) {});
      for (const Said& one : said(now))
        if (answers && one.message == Message::upd_req && one.id.creatorid == honest)
          hear(honest, now, [&](wire::PacketWriter& writer) {
            ASSERT_TRUE(writer.append_state(Message::upd, aged(one.id.id, honest, 100)));
          });
      for (const PeerWatch::Node& node : session->watch().nodes())
        if (node.address == wire::ipv4_address(10, 0, 0, honest)) most = std::max(most, node.unanswered);
    }
    return most;
  }
};

TEST_F(FloodsBesideSignsOfLife, WhoDoesNotHaveTheFloodsStatesIsNotDeaf) {
  EXPECT_LT(seconds(t0 + 1s, 60, true), 2u);
  EXPECT_GE(seconds(t0 + 61s, 12, false), 5u) << "and when it is, that is noticed";
}

// --- clears ------------------------------------------------------------------------------------------

class FloodsOfClears : public Floods {
 protected:
  static constexpr std::uint32_t creators = 2000;  ///< with a state each: most have no number of their own
  static constexpr std::uint32_t known = 5000;     ///< that has one
  void fill() {
    make({.request_bulk = false, .expire = false}, nullptr, 4000);
    for (std::uint64_t id = 1; id <= 20; ++id)
      hear_state(honest, aged(creators + id, known, 100), t0);  // in each shard
    for (std::uint32_t creator = 1; creator <= creators; ++creator) hear_state(honest, aged(creator, creator, 100), t0);
    ASSERT_EQ(table->size(), creators + 20);
  }
};

TEST_F(FloodsOfClears, OfUnknownCreatorsMakeABoundedNumberOfLooks) {
  ASSERT_NO_FATAL_FAILURE(fill());
  constexpr std::uint64_t clears = 50'000;
  std::uint32_t invented = 0x80000000;
  for (Instant now = t0 + 1s; now < t0 + 2s; now += 1ms) {
    hear(liar, now, [&](wire::PacketWriter& writer) {
      for (std::uint64_t i = 0; i < clears / 1000; ++i) ASSERT_TRUE(writer.append_clear({{}, ++invented}));
    });
    if (now >= session->timeout(now)) session->on_timeout(now);
  }
  // One at a time they were more than 1700 looks each.
  EXPECT_LE(session->looks_for_clears(), 1'100'000u);
  EXPECT_EQ(count(Tally::clears_delayed) + count(Tally::clears_refused), clears);
  EXPECT_GT(count(Tally::clears_refused), clears / 2);
  EXPECT_EQ(table->size(), creators + 20);
}

TEST_F(FloodsOfClears, DoNotKeepOthersFromBeingCarriedOut) {
  ASSERT_NO_FATAL_FAILURE(fill());
  std::uint32_t invented = 0x80000000;
  for (Instant now = t0 + 1s; now < t0 + 1500ms; now += 1ms) {
    hear(liar, now, [&](wire::PacketWriter& writer) {
      for (int i = 0; i < 50; ++i) ASSERT_TRUE(writer.append_clear({{}, ++invented}));
    });
    if (now == t0 + 1200ms) {
      hear_clear(honest, known, now);
      EXPECT_EQ(table->size(), creators) << "at once";
      hear_clear(honest, 1900, now);
    }
    if (now >= session->timeout(now)) session->on_timeout(now);
  }
  EXPECT_FALSE(held({1900, 1900}));
  EXPECT_TRUE(held({1901, 1901}));
  EXPECT_EQ(table->size(), creators - 1);
}

TEST_F(FloodsOfClears, EndByThemselvesAndLeaveNothingToDo) {
  ASSERT_NO_FATAL_FAILURE(fill());
  hear_clear(liar, 0x80000000, t0 + 1s);
  EXPECT_LE(session->timeout(t0 + 1s), t0 + 1001ms);
  pass(t0 + 1s, t0 + 1100ms);
  EXPECT_EQ(session->timeout(t0 + 1100ms), Instant::max());
  EXPECT_LE(session->looks_for_clears(), 2 * table->size());
}

TEST_F(FloodsOfClears, ThatAreLargeWaitAndAreMerged) {
  make({.request_bulk = false, .expire = false}, nullptr, 200'000);
  constexpr std::uint64_t states = 120'000;  // of one creator: more than may be looked at at once
  for (std::uint64_t id = 1; id <= states;)
    hear(honest, t0, [&](wire::PacketWriter& writer) {
      while (id <= states && writer.append_state(Message::ins, aged(id, peer_creatorid, 100))) ++id;
    });
  ASSERT_EQ(table->size(), states);
  for (int i = 0; i < 1000; ++i) hear_clear(honest, peer_creatorid, t0 + 1s, "em7");
  EXPECT_LE(session->looks_for_clears(), states + states / 10) << "one was carried out at once";
  EXPECT_EQ(count(Tally::clears_delayed), 999u);
  EXPECT_EQ(count(Tally::clears_refused), 0u) << "they are the same";
  hear_clear(honest, peer_creatorid, t0 + 1s);
  EXPECT_EQ(table->size(), states);
  hear_state(honest, aged(states + 1, peer_creatorid, 0), t0 + 2s);
  pass(t0 + 2s, t0 + 10s);
  EXPECT_EQ(table->size(), 1u) << "what began later was not meant";
  EXPECT_TRUE(held({states + 1, peer_creatorid}));
}

TEST_F(FloodsOfClears, OfOneSourceLeaveRoomForAnothers) {
  PendingClears pending;
  for (std::uint32_t creator = 1; creator <= 100; ++creator)
    EXPECT_EQ(pending.add({{}, creator}, 0, 1, 10, 1000), creator <= PendingClears::places_each) << creator;
  EXPECT_TRUE(pending.add({{}, 1}, 0, 1, 11, 1000)) << "waits already";
  for (std::uint8_t source = 2; source < 100; ++source)
    EXPECT_EQ(pending.add({{}, 1000u + source}, 0, source, 10, 1000),
              PendingClears::places_each + source - 1u <= PendingClears::places)
        << int{source};
  pending.passed(999);
  EXPECT_TRUE(pending.add({{}, 2}, 0, 1, 11, 1000));
  pending.passed(1);
  const auto any = [](const PendingClears::Pending&) { return true; };
  EXPECT_EQ(pending.find(1, any), nullptr);
  ASSERT_NE(pending.find(2, any), nullptr) << "was said once more";
  pending.passed(998);
  EXPECT_FALSE(pending.empty());
  pending.passed(1);
  EXPECT_TRUE(pending.empty());
}

class HubFloods : public Hub {};

TEST_F(HubFloods, WhatADelayedClearRemovesIsToldStateByState) {
  make_hub();
  for (std::uint32_t creator = 1; creator <= 700; ++creator) {
    wire::State state = tcp_state(creator, creator);
    state.creation_s = 100;
    state_from(0, state, t0);
  }
  for (unsigned peer = 0; peer < 3; ++peer) static_cast<void>(told(peer, t0 + 2s));
  from(0, t0 + 3s, [](wire::PacketWriter& writer) { ASSERT_TRUE(writer.append_clear({{}, 699})); });
  ASSERT_TRUE(held({699, 699}));
  for (Instant now = t0 + 3s; now < t0 + 4s; now += 1ms)
    if (now >= session->timeout(now)) session->on_timeout(now);
  EXPECT_FALSE(held({699, 699}));
  EXPECT_EQ(table->size(), 699u);
  EXPECT_EQ(told(1, t0 + 5s), (Told{{Message::del_c, 699}}));
  EXPECT_EQ(told(2, t0 + 5s), (Told{{Message::del_c, 699}}));
  EXPECT_TRUE(told(0, t0 + 5s).empty());
}

// --- the table ---------------------------------------------------------------------------------------

class FloodsOfStates : public Floods {
 protected:
  static constexpr std::size_t states_max = 1000;
  void begin() {
    make({.request_bulk = false, .expire = false}, nullptr, states_max);
    // What comes with a source's first packet is nobody's in particular.
    for (const std::uint8_t source : {honest, liar})
      hear(source, t0, [](wire::PacketWriter& writer) { ASSERT_TRUE(writer.append_clear({{}, 7})); });
  }
  void insert(std::uint8_t source, std::uint64_t first, std::uint64_t last, Instant now = t0) {
    for (std::uint64_t id = first; id <= last; ++id) hear_state(source, tcp_state(id), now);
  }
  [[nodiscard]] std::size_t held_of(std::uint64_t first, std::uint64_t last) const {
    std::size_t count = 0;
    for (std::uint64_t id = first; id <= last; ++id) count += held({id, peer_creatorid}) ? 1 : 0;
    return count;
  }
};

TEST_F(FloodsOfStates, WhoFillsTheTableGivesRoomToThoseWhoHaveLess) {
  ASSERT_NO_FATAL_FAILURE(begin());
  insert(honest, 1, 100);
  insert(liar, 10'001, 15'000);
  EXPECT_EQ(table->size(), states_max) << "alone it may have all that is left";
  EXPECT_EQ(count(Tally::table_full), 5000 - (states_max - 100));
  EXPECT_EQ(held_of(1, 100), 100u);
  for (std::uint64_t id = 101; id <= 400; ++id) {
    insert(honest, id, id);
    insert(liar, 20'000 + 10 * id, 20'009 + 10 * id);
  }
  EXPECT_EQ(held_of(1, 400), 400u);
  EXPECT_EQ(count(Tally::made_room), 300u);
  EXPECT_EQ(table->size(), states_max);
  EXPECT_TRUE(said(t0 + 5s).empty()) << "what made room has not ended";
}

TEST_F(FloodsOfStates, TwoWhoBothWantAllHaveAboutHalf) {
  ASSERT_NO_FATAL_FAILURE(begin());
  insert(liar, 10'001, 12'000);
  insert(honest, 1, 2000);
  insert(liar, 20'001, 22'000);
  EXPECT_EQ(table->size(), states_max);
  EXPECT_NEAR(static_cast<double>(held_of(1, 2000)), states_max / 2.0, PlaceShares::margin + 1.0);
}

TEST_F(FloodsOfStates, OwnStatesMakeRoomForNobodyAndHaveTheirPartToo) {
  ASSERT_NO_FATAL_FAILURE(begin());
  for (std::uint64_t id = 1; id <= states_max; ++id)
    ASSERT_EQ(session->insert(tcp_state(id, own_creatorid), t0), Session::Local::done);
  insert(liar, 10'001, 12'000);
  EXPECT_EQ(held_of(10'001, 12'000), 0u);
  for (std::uint64_t id = 1; id <= 300; ++id) ASSERT_EQ(session->erase({id, own_creatorid}, t0), Session::Local::done);
  insert(liar, 20'001, 22'000);
  EXPECT_EQ(table->size(), states_max);
  // Of 700 own ones a further one would be one more than the liar's 300: it waits for room as ever.
  EXPECT_EQ(session->insert(tcp_state(5001, own_creatorid), t0), Session::Local::full);
  for (std::uint64_t id = 301; id <= 900; ++id)
    ASSERT_EQ(session->erase({id, own_creatorid}, t0), Session::Local::done);
  insert(liar, 30'001, 32'000);
  ASSERT_EQ(table->size(), states_max);
  for (std::uint64_t id = 5001; id <= 5300; ++id)
    ASSERT_EQ(session->insert(tcp_state(id, own_creatorid), t0), Session::Local::done) << id;
}

TEST_F(FloodsOfStates, WhoInventsSourcesLeavesAPartToThoseWhoAreKnown) {
  ASSERT_NO_FATAL_FAILURE(begin());
  insert(honest, 1, 1);
  insert(honest, 2, 2, t0 + PeerDialect::established);
  for (std::uint64_t id = 10'001; id <= 14'000; ++id)
    hear_state(static_cast<std::uint8_t>(20 + id % 200), tcp_state(id), t0 + 11s);
  EXPECT_EQ(table->size(), states_max);
  for (std::uint64_t id = 3; id <= 2000; ++id) {
    insert(honest, id, id, t0 + 12s);
    hear_state(static_cast<std::uint8_t>(20 + id % 200), tcp_state(20'000 + id), t0 + 12s);
  }
  EXPECT_GE(held_of(1, 2000), states_max / (PeerDialect::sources_max + 1));
}

TEST(PlaceShares, ANumberIsGivenAgainOnceNothingOfItIsHeld) {
  PlaceShares shares;
  const PlaceShares::Number first = shares.take(), second = shares.take();
  EXPECT_NE(first, second);
  shares.entered(first);
  shares.give_back(first);
  std::set<PlaceShares::Number> all{second};
  for (PlaceShares::Number number; (number = shares.take()) != PlaceShares::others;)
    EXPECT_TRUE(all.insert(number).second);
  EXPECT_FALSE(all.contains(first));
  EXPECT_GE(all.size(), 250u);
  shares.left(first);
  EXPECT_EQ(shares.take(), first);
}

// --- requests and acknowledgements -------------------------------------------------------------------

TEST_F(Floods, OfRandomIdsLeaveRequestsToOthers) {
  make_quiet({.expire = false, .requests_per_s = 100});
  hear_state(honest, tcp_state(1), t0 - 1s);
  hear_state(liar, tcp_state(2), t0 - 1s);
  std::uint64_t random = 1'000'000, wanted = 1000;
  std::set<std::uint64_t> asked;
  for (Instant now = t0; now < t0 + 5s; now += 10ms) {
    hear(liar, now, [&](wire::PacketWriter& writer) {
      for (int i = 0; i < 30; ++i) ASSERT_TRUE(writer.append_update(update_of(tcp_state(++random))));
    });
    if (now.time_since_epoch() % 50ms == 0ms)
      hear(honest, now,
           [&](wire::PacketWriter& writer) { ASSERT_TRUE(writer.append_update(update_of(tcp_state(++wanted)))); });
    for (std::vector<Said> some; !(some = said(now)).empty();)
      for (const Said& message : some)
        if (message.message == Message::upd_req) asked.insert(message.id.id);
  }
  const auto of_honest = static_cast<std::uint64_t>(std::distance(asked.begin(), asked.upper_bound(wanted)));
  EXPECT_EQ(of_honest, wanted - 1000) << "all that it wanted";
  EXPECT_LE(asked.size(), 5 * 100u + 10u) << "and together no more than the rate";
  EXPECT_GE(asked.size(), 5 * 100u - 10u) << "the liar has what is left";
}

/// Also for a state that waits for the liar already.
TEST_F(Floods, OfRequestsForStatesLetOthersHaveTheirAnswersFirst) {
  constexpr std::uint64_t states = 900, per_s = 100;
  make_quiet({.expire = false, .requests_per_s = per_s});
  hear_state(honest, tcp_state(1), t0 - 1s);
  hear_state(liar, tcp_state(2), t0 - 1s);
  for (std::uint64_t id = 1; id <= states; ++id)
    ASSERT_EQ(session->insert(tcp_state(id, own_creatorid), t0 - 1s), Session::Local::done);
  while (!said(t0).empty()) continue;

  const auto ask = [&](std::uint8_t source, std::uint64_t first, std::uint64_t last, Instant now) {
    hear(source, now, [&](wire::PacketWriter& writer) {
      for (std::uint64_t id = first; id <= last; ++id)
        ASSERT_TRUE(writer.append_id(Message::upd_req, {id, own_creatorid}));
    });
  };
  for (std::uint64_t id = 1; id <= states; id += 100) ask(liar, id, id + 99, t0);
  std::uint64_t wanted = states, answers = 0;
  Instant asked_at{};
  std::vector<Duration> waited;
  for (Instant now = t0 + 10ms; now < t0 + 5s; now += 10ms) {
    if (asked_at == Instant{} && now.time_since_epoch() % 100ms == 0ms) {
      ask(honest, wanted, wanted, now);
      asked_at = now;
    }
    session->on_timeout(now);
    for (std::vector<Said> some; !(some = said(now)).empty();)
      for (const Said& message : some) {
        if (message.message != Message::upd) continue;
        ++answers;
        if (message.id.id != wanted) continue;
        waited.push_back(now - asked_at);
        --wanted;
        asked_at = {};
      }
  }
  EXPECT_EQ(waited.size(), 49u);
  for (const Duration wait : waited) EXPECT_LE(wait, 30ms);
  EXPECT_LE(answers, 5 * per_s + per_s / 10);
  EXPECT_GE(answers, 5 * per_s - per_s / 10) << "the liar has what is left";
}

TEST_F(Floods, OfInsertsThatWantAnAckHaveThemAtARate) {
  make_quiet({.expire = false, .requests_per_s = 10});
  wire::State state = tcp_state(1);
  state.state_flags = wire::state_flag::ack;
  std::size_t acks = 0;
  for (Instant now = t0; now < t0 + 5s; now += 1ms) {
    hear_state(liar, state, now);
    for (std::vector<Said> some; !(some = said(now)).empty();) acks += some.size();
  }
  EXPECT_GE(acks, 5 * 100u - 5u);
  EXPECT_LE(acks, 5 * 100u + 10u);
  EXPECT_EQ(count(Tally::acks_withheld), 5000u - acks);
}

TEST(FairRate, GivesAllToOneAndItsPartToEachOfSeveral) {
  FairRate<4> rate{1000, 100};
  const auto take_all = [&](std::size_t source, std::size_t sources, Instant now) {
    std::size_t taken = 0;
    while (rate.take(source, sources, now)) ++taken;
    return taken;
  };
  EXPECT_EQ(take_all(0, 1, t0), 100u);
  EXPECT_EQ(take_all(0, 1, t0 + 50ms), 50u);
  std::array<std::size_t, 3> taken{};
  for (Instant now = t0 + 1s; now < t0 + 11s; now += 1ms) {
    taken[0] += take_all(0, 3, now);  // always first
    for (const std::size_t source : {1u, 2u})
      if (now.time_since_epoch() % 4ms == 0ms && rate.take(source, 3, now)) ++taken[source];
  }
  EXPECT_EQ(taken[1], 2500u);
  EXPECT_EQ(taken[2], 2500u);
  EXPECT_NEAR(static_cast<double>(taken[0]), 5000, 100);
  FairParts<2> parts{0, 1};
  for (int i = 0; i < 1000; ++i) ASSERT_TRUE(parts.take(1, 2, t0));
  FairRate<1> any{0, 1};
  for (int i = 0; i < 1000; ++i) ASSERT_TRUE(any.take(0, 1, t0));
}

}  // namespace
}  // namespace pfsync::engine
