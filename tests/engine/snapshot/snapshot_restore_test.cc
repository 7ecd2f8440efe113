#include "engine/snapshot/restore.h"

#include <gtest/gtest.h>

#include "engine/session/bulk_sender.h"
#include "engine/snapshot/walk.h"
#include "tests/engine/session/session_fixture.h"
#include "tests/engine/snapshot/snapshot_memory.h"

namespace pfsync::engine {
namespace {

using Restored = Session::Restored;

constexpr std::uint32_t other_creatorid = 0x33333333;

KeptState kept(const wire::State& state, bool is_said_here = false) { return {state, is_said_here}; }

bool operator==(const Restored& a, const Restored& b) {
  return a.entered == b.entered && a.expired == b.expired && a.invalid == b.invalid && a.refused == b.refused &&
         a.beyond == b.beyond;
}

/// A session that takes up states before its life begins.
class Restore : public SessionTest {
 protected:
  void make_unstarted(SessionConfig config = {}, std::size_t states_max = 1000) {
    table = std::move(std::get<0>(
        statetable::Table::create({.states_max = states_max, .shard_bits = 1, .hash_seed = 7, .by_connection = true})));
    config.creatorid = own_creatorid;
    config.request_bulk = false;
    session = std::make_unique<Session>(config, *table);
  }
  Restored restore(const std::vector<KeptState>& states, std::uint32_t passed_s = 0) {
    const Restored restored = session->restore(states, passed_s, t0);
    session->start(t0);
    return restored;
  }
  Restored restore_one(const wire::State& state, std::uint32_t passed_s = 0) {
    make_unstarted();
    return restore({kept(state)}, passed_s);
  }
};

TEST_F(Restore, AgesGrowByTheTimePassed) {
  wire::State state = tcp_state(1);
  state.creation_s = 500;
  state.expire_s = 4000;
  EXPECT_TRUE(restore_one(state, 300) == (Restored{.entered = 1}));
  const auto found = held(state.id);
  ASSERT_TRUE(found);
  const wire::State now = statetable::to_state(found->hot, found->cold, statetable::to_seconds(t0));
  EXPECT_EQ(now.creation_s, 800u);
  EXPECT_EQ(now.expire_s, 3700u);
  wire::State same = now;
  same.creation_s = 500;
  same.expire_s = 4000;
  EXPECT_EQ(same, state) << "nothing else changes";
}

TEST_F(Restore, WhatEndedMeanwhileStaysAway) {
  wire::State state = tcp_state(1);
  state.expire_s = 300;
  EXPECT_TRUE(restore_one(state, 300) == (Restored{.expired = 1}));
  EXPECT_FALSE(held(state.id));
  EXPECT_TRUE(restore_one(state, 0xffffffff) == (Restored{.expired = 1}));
  EXPECT_TRUE(restore_one(state, 299) == (Restored{.entered = 1}));
}

TEST_F(Restore, NoTimeIsLeftBeyondTheTimeout) {
  wire::State state = udp_state(1);
  state.expire_s = 0xffffffff;
  state.creation_s = 0xffffffff;
  ASSERT_TRUE(restore_one(state, 10) == (Restored{.entered = 1}));
  EXPECT_EQ(held(state.id)->hot.expire_at_s, statetable::to_seconds(t0 + 30s));
}

TEST_F(Restore, TheDoorOfNetworkStates) {
  std::vector<KeptState> states(5, kept(tcp_state(1)));
  states[0].state.timeout = pftm_max;
  states[1].state.src.state = wire::peer_state_max + 1;
  states[2].state.direction = wire::Direction{3};
  states[3].state.af = wire::Family::none;
  states[4].state.id.creatorid = 0;
  make_unstarted();
  EXPECT_TRUE(restore(states) == (Restored{.invalid = 5}));
  EXPECT_EQ(table->size(), 0u);
}

TEST_F(Restore, NoMoreThanTheTableHolds) {
  std::vector<KeptState> states;
  for (std::uint64_t id = 1; id <= 100; ++id) states.push_back(kept(tcp_state(id)));
  make_unstarted({}, 40);
  EXPECT_TRUE(restore(states) == (Restored{.entered = 40, .beyond = 60}));
  EXPECT_EQ(table->size(), 40u);
  EXPECT_EQ(count(Tally::table_full), 0u) << "nothing that an operator would have to look for in the traffic";
}

TEST_F(Restore, OneStateAnId) {
  make_unstarted();
  EXPECT_TRUE(restore({kept(tcp_state(1)), kept(tcp_state(1))}) == (Restored{.entered = 1, .refused = 1}));
}

TEST_F(Restore, OfTwoOfOneConnectionTheYoungerOneStays) {
  wire::State old = tcp_state(1), young = tcp_state(2);
  old.creation_s = 100;
  young.creation_s = 10;
  young.key = old.key;
  make_unstarted();
  restore({kept(old), kept(young)});
  EXPECT_FALSE(held(old.id));
  EXPECT_TRUE(held(young.id));
}

TEST_F(Restore, NothingIsAnnounced) {
  restore_one(tcp_state(1));
  EXPECT_TRUE(said(t0 + 5s).empty());
}

TEST_F(Restore, EndsSilentlyAndLate) {
  wire::State state = tcp_state(1);
  state.expire_s = 10;
  make_unstarted();
  restore({kept(state, true)});  // even if it was this node that spoke of it last
  const auto run_until = [&](Instant end) {
    for (Instant now = t0; now < end; now += 100ms) session->on_timeout(now);
  };
  run_until(t0 + 13s);
  EXPECT_TRUE(held(state.id)) << "its owner may tell first";
  run_until(t0 + 20s);
  EXPECT_FALSE(held(state.id));
  EXPECT_TRUE(said(t0 + 20s).empty());
}

TEST_F(Restore, NewerContentIsTakenAndOlderIsNot) {
  const wire::State state = tcp_state(1);
  restore_one(state);
  wire::Update newer = update_of(state);
  newer.src.seqlo += 1000;
  newer.src.seqhi += 1000;
  wire::Update older = update_of(state);
  older.dst.seqlo -= 1000;
  receive_update(newer);
  EXPECT_EQ(held(state.id)->hot.src, newer.src);
  receive_update(older);
  EXPECT_EQ(held(state.id)->hot.dst, state.dst);
  EXPECT_EQ(count(Reject::stale), 1u);
}

TEST_F(Restore, APeersDeleteEndsIt) {
  restore_one(tcp_state(1));
  receive_id(Message::del_c, tcp_state(1).id);
  EXPECT_FALSE(held(tcp_state(1).id));
}

TEST_F(Restore, GivesWayToANewStateOfTheConnection) {
  const wire::State old = tcp_state(1);
  wire::State now = tcp_state(2, other_creatorid);
  now.key = old.key;
  restore_one(old);
  receive_state(Message::ins, now);
  EXPECT_FALSE(held(old.id));
  EXPECT_TRUE(held(now.id));
  EXPECT_EQ(count(Tally::displaced), 1u);
  EXPECT_TRUE(said(t0 + 5s).empty()) << "it was never ours to end";
}

TEST_F(Restore, HoldsItsConnectionOnceSomebodyHasToldOfIt) {
  const wire::State old = tcp_state(1);
  wire::State now = tcp_state(2, other_creatorid);
  now.key = old.key;
  restore_one(old);
  receive_update(update_of(old));
  receive_state(Message::ins, now);
  EXPECT_TRUE(held(old.id));
  EXPECT_FALSE(held(now.id));
}

TEST_F(Restore, ABulkUpdateHasIt) {
  const wire::State state = tcp_state(1);
  restore_one(state);
  BulkSender sender{{.creatorid = own_creatorid, .states_per_s = 0}, *table};
  sender.start(t0);
  std::vector<std::uint8_t> room(1480);
  room.resize(sender.transmit(room, t0));
  wire::PacketReader reader{room};
  wire::Section section;
  std::vector<wire::StateId> ids;
  while (reader.next(section))
    if (section.action->message == Message::upd)
      for (std::size_t i = 0; i < section.count; ++i)
        ids.push_back(wire::read_id(Message::upd, section.action->layout, section.record(i)));
  EXPECT_EQ(ids, std::vector<wire::StateId>{state.id});
}

TEST_F(Restore, DoesNotMakeTheTableComplete) {
  make_unstarted();
  SessionConfig config{.creatorid = own_creatorid, .request_bulk = true};
  auto other = std::move(std::get<0>(statetable::Table::create({.states_max = 100, .hash_seed = 7})));
  Session asking{config, *other};
  const std::vector<KeptState> states{kept(tcp_state(1))};
  EXPECT_EQ(asking.restore(states, 0, t0).entered, 1u);
  asking.start(t0);
  EXPECT_TRUE(asking.is_catching_up());
  EXPECT_FALSE(asking.is_caught_up());
}

TEST_F(Restore, RulesOfTodayDecideOnPeersStates) {
  wire::State state = tcp_state(1), own = tcp_state(2, own_creatorid);
  state.state_flags = own.state_flags = wire::state_flag::nosync;
  const auto is_held_back = [&](const wire::State& of) {
    return (held(of.id)->hot.state_flags & wire::state_flag::nosync) != 0;
  };
  make_unstarted();
  restore({kept(state), kept(own, true)});
  EXPECT_FALSE(is_held_back(state)) << "the rule is gone";
  EXPECT_TRUE(is_held_back(own)) << "its firewall's word";
  make_unstarted({.sync_rules = {{.action = SyncRule::Action::skip, .proto = wire::ipproto::tcp}}});
  state.state_flags = 0;
  restore({kept(state)});
  EXPECT_TRUE(is_held_back(state));
}

TEST_F(Restore, EachPartTakesItsOwn) {
  auto shared = std::move(std::get<0>(
      statetable::Table::create({.states_max = 3000, .shard_bits = 3, .hash_seed = 7, .by_connection = true})));
  SessionConfig config{.creatorid = own_creatorid, .request_bulk = false};
  PartitionedSession node{config, *shared, 3};
  std::vector<KeptState> states;
  for (std::uint64_t id = 1; id <= 1000; ++id) states.push_back(kept(tcp_state(id)));
  // Two of one connection in shards of different parts: the later one is of another creator and so does not displace
  // it.
  states.push_back(kept(tcp_state(1001, other_creatorid)));
  states.back().state.key = states.front().state.key;
  const Restored restored = node.restore(states, 0, t0);
  EXPECT_TRUE(restored == (Restored{.entered = 1000, .refused = 1})) << restored.entered << " " << restored.refused;
  EXPECT_EQ(shared->size(), 1000u);
}

// --- a whole file ------------------------------------------------------------------------------------

class RestoreFile : public ::testing::Test {
 protected:
  std::variant<snapshot::Restoration, std::string> restore(const snapshot::Bytes& bytes, std::int64_t wall_s) {
    table = std::move(std::get<0>(statetable::Table::create({.states_max = 5000, .shard_bits = 1, .hash_seed = 7})));
    node =
        std::make_unique<PartitionedSession>(SessionConfig{.creatorid = own_creatorid, .request_bulk = false}, *table);
    snapshot::MemorySource source{bytes};
    return snapshot::restore(source, *node, wall_s, t0);
  }
  static snapshot::Bytes file(std::int64_t written_at_s) {
    std::vector<KeptState> states;
    for (std::uint64_t id = 1; id <= 3000; ++id) {
      states.push_back(kept(id % 3 == 0 ? udp_state(id) : tcp_state(id)));
      states.back().state.creation_s = static_cast<std::uint32_t>(id);
    }
    return snapshot::written(states, {.written_at_s = written_at_s});
  }
  std::string sentence(const snapshot::Bytes& bytes, std::int64_t wall_s) {
    return snapshot::sentence_of(std::get<snapshot::Restoration>(restore(bytes, wall_s)));
  }

  std::unique_ptr<statetable::Table> table;
  std::unique_ptr<PartitionedSession> node;
};

constexpr std::int64_t taken_s = 1'700'000'000;

TEST_F(RestoreFile, AMinuteLater) {
  EXPECT_EQ(sentence(file(taken_s), taken_s + 60),
            "2000 of 3000 states restored from the snapshot of 60 s ago; 1000 had come to their end meanwhile");
  EXPECT_EQ(table->size(), 2000u);
}

TEST_F(RestoreFile, AClockThatWentBack) {
  EXPECT_EQ(sentence(file(taken_s), taken_s - 5),
            "3000 of 3000 states restored from the snapshot, whose time is 5 s ahead of the clock: taken as if it was "
            "written now");
  const auto found = table->reader().find({1, peer_creatorid});
  ASSERT_TRUE(found);
  EXPECT_EQ(found->hot.created_s, statetable::to_seconds(t0) - 1);
}

TEST_F(RestoreFile, AnyTimeThatAHeaderMayName) {
  using Limits = std::numeric_limits<std::int64_t>;
  for (const std::int64_t written_s :
       {Limits::min(), Limits::min() + 1, std::int64_t{-1}, std::int64_t{0}, Limits::max()})
    for (const std::int64_t wall_s : {std::int64_t{0}, taken_s, Limits::max()}) {
      const auto made = restore(file(written_s), wall_s);
      ASSERT_TRUE(std::holds_alternative<snapshot::Restoration>(made)) << written_s;
    }
}

TEST_F(RestoreFile, OneThatIsDamagedEntersNothing) {
  snapshot::Bytes bytes = file(taken_s);
  bytes[bytes.size() / 2] ^= 1;
  EXPECT_TRUE(std::get<std::string>(restore(bytes, taken_s)).starts_with("is damaged in the block at byte "));
  EXPECT_EQ(table->size(), 0u);
  bytes = file(taken_s);
  bytes.resize(bytes.size() - 1);
  EXPECT_EQ(std::get<std::string>(restore(bytes, taken_s)), "ends too early: it is cut short");
  EXPECT_EQ(table->size(), 0u);
}

TEST_F(RestoreFile, ATableComesBackWithTheSameDigest) {
  ASSERT_TRUE(std::holds_alternative<snapshot::Restoration>(restore(file(taken_s), taken_s)));
  const statetable::Digest before = table->digest();
  snapshot::MemorySink sink;
  snapshot::Writer writer{{.written_at_s = taken_s}, sink};
  ASSERT_TRUE(snapshot::write_table(*table, statetable::to_seconds(t0), writer, [] { return true; }));
  ASSERT_TRUE(std::holds_alternative<snapshot::Restoration>(restore(sink.bytes, taken_s)));
  EXPECT_EQ(before.states, 3000u);
  EXPECT_EQ(table->digest(), before);
}

}  // namespace
}  // namespace pfsync::engine
