#include <gtest/gtest.h>

#include <map>

#include "engine/session/merge.h"
#include "tests/sim/simulation.h"

namespace pfsync::sim {
namespace {

using namespace std::chrono_literals;

engine::SyntheticConfig small_load(std::uint64_t seed) {
  return {.states = 1500, .fill_per_s = 3000, .new_per_s = 100, .updates_per_s = 1000, .seed = seed};
}

/// Stops the load and waits until all that is queued and in flight has arrived.
void settle(Simulation& sim, std::size_t loaded) {
  sim.load(loaded).stop();
  sim.run_for(3s);
}

TEST(Simulation, TheSameSeedGivesTheSamePackets) {
  auto trace = [](std::uint64_t seed) {
    Simulation sim{seed, {.jitter = 2ms, .loss_percent = 10, .duplicate_percent = 5}};
    sim.add({.creatorid = 1, .load = small_load(seed)});
    sim.add({.creatorid = 2});
    sim.run_for(5s);
    return sim.trace();
  };
  EXPECT_EQ(trace(42), trace(42));
  EXPECT_NE(trace(42), trace(43));
}

TEST(Simulation, TwoNodesKeepOneTable) {
  Simulation sim{seed_of_run(1)};
  const std::size_t a = sim.add({.creatorid = 1, .load = small_load(1)});
  const std::size_t b = sim.add({.creatorid = 2});
  sim.run_for(8s);
  settle(sim, a);
  EXPECT_GT(sim.digest(a).states, 1000u);
  EXPECT_GT(sim.load(a).closed(), 100u);
  EXPECT_EQ(sim.digest(a), sim.digest(b)) << sim.replay_hint();
}

/// A link that takes a tenth of the updates: what begins and ends passes them, and when the load falls both hold the
/// same.
TEST(Simulation, ASlowLinkDelaysUpdatesAndNothingElse) {
  for (const wire::Dialect dialect : {wire::Dialect::freebsd_1301, wire::Dialect::openbsd}) {
    Simulation sim{seed_of_run(1)};
    const std::size_t a =
        sim.add({.creatorid = 1,
                 .states_max = 20'000,
                 .load =
                     engine::SyntheticConfig{
                         .states = 4000, .fill_per_s = 3000, .new_per_s = 1000, .updates_per_s = 150'000, .seed = 1},
                 .dialect = dialect,
                 .packets_per_turn = 1});
    const std::size_t b = sim.add({.creatorid = 2, .states_max = 20'000, .dialect = dialect});
    ASSERT_TRUE(sim.run_until([&] { return sim.load(a).closed() > 1000; }, 20s));
    for (int i = 0; i < 50; ++i) {
      sim.run_for(100ms);
      ASSERT_GT(sim.session(a).queued(), 1000u) << "the link is the slower one";
      const std::size_t at_a = sim.digest(a).states, at_b = sim.digest(b).states;
      // Some tens of packets' worth, of a thousand that begin and end in a second.
      ASSERT_LT(at_a > at_b ? at_a - at_b : at_b - at_a, 200u) << i << sim.replay_hint();
    }
    engine::Counters sums;
    sim.add_counters(a, sums);
    EXPECT_EQ(sums[engine::Tally::deletes_dropped].value(), 0u);
    settle(sim, a);
    EXPECT_EQ(sim.digest(a), sim.digest(b)) << sim.replay_hint();
  }
}

/// Nodes of one, two and four cores, one of which comes late, gets its bulk update, loses its memory and gets it again.
TEST(Simulation, NodesOfSeveralCoresKeepOneTable) {
  for (std::uint64_t seed = 1; seed <= 3; ++seed) {
    Simulation sim{seed_of_run(seed), {.delay = 200us}};
    const std::size_t a = sim.add({.creatorid = 1, .load = small_load(seed), .cores = 2});
    const std::size_t b = sim.add({.creatorid = 2});
    sim.run_for(4s);
    const std::size_t c = sim.add({.creatorid = 3, .cores = 4});
    const auto is_done = [&] { return sim.session(c).bulk().phase() == engine::BulkPhase::done; };
    ASSERT_TRUE(sim.run_until(is_done, 30s)) << sim.replay_hint();
    sim.reboot(c);
    ASSERT_TRUE(sim.run_until(is_done, 30s)) << sim.replay_hint();
    sim.run_for(2s);
    settle(sim, a);
    EXPECT_GT(sim.digest(a).states, 500u);
    EXPECT_EQ(sim.digest(a), sim.digest(b)) << sim.replay_hint();
    EXPECT_EQ(sim.digest(a), sim.digest(c)) << sim.replay_hint();
    engine::Counters sums;
    sim.add_counters(c, sums);
    EXPECT_EQ(sums[engine::Tally::parts_behind].value(), 0u);
    EXPECT_GT(sums[engine::Tally::updates].value(), 1000u);
  }
}

TEST(Simulation, ALateBackupGetsItsBulkUnderLiveLoad) {
  for (std::uint64_t seed = 1; seed <= 5; ++seed) {
    Simulation sim{seed_of_run(seed), {.delay = 200us}};
    const std::size_t a = sim.add({.creatorid = 1, .load = small_load(seed)});
    sim.run_for(5s);
    const std::size_t b = sim.add({.creatorid = 2});
    ASSERT_TRUE(sim.run_until([&] { return sim.session(b).bulk().phase() == engine::BulkPhase::done; }, 30s))
        << sim.replay_hint();
    sim.run_for(2s);
    settle(sim, a);
    EXPECT_GE(sim.session(b).bulk().states(), 1000u);
    EXPECT_EQ(sim.digest(a), sim.digest(b)) << sim.replay_hint();
  }
}

TEST(Simulation, ARebootedNodeGetsItsOwnStatesBack) {
  Simulation sim{seed_of_run(3)};
  const std::size_t a = sim.add({.creatorid = 1, .load = small_load(3)});
  const std::size_t b = sim.add({.creatorid = 2});
  sim.run_for(4s);
  settle(sim, a);
  const auto before = sim.digest(a);
  sim.reboot(a);
  sim.load(a).stop();
  ASSERT_TRUE(sim.run_until([&] { return sim.session(a).bulk().phase() == engine::BulkPhase::done; }, 30s));
  EXPECT_EQ(sim.digest(a).low, sim.digest(b).low) << sim.replay_hint();
  EXPECT_GE(before.states, sim.digest(a).states);
  EXPECT_GT(sim.digest(a).states, 1000u);
}

TEST(Simulation, ThreeNodesAgree) {
  Simulation sim{seed_of_run(4)};
  const std::size_t a = sim.add({.creatorid = 1, .load = small_load(4)});
  const std::size_t b = sim.add({.creatorid = 2, .load = small_load(5)});
  const std::size_t c = sim.add({.creatorid = 3});
  sim.run_for(5s);
  sim.load(b).stop();
  settle(sim, a);
  EXPECT_EQ(sim.digest(a), sim.digest(b)) << sim.replay_hint();
  EXPECT_EQ(sim.digest(a), sim.digest(c)) << sim.replay_hint();
}

TEST(Simulation, ALossyLinkIsRepairedByRequestsAndABulk) {
  Simulation sim{seed_of_run(6), {.loss_percent = 33}};
  const std::size_t a = sim.add({.creatorid = 1, .load = small_load(6)});
  const std::size_t b = sim.add({.creatorid = 2});
  sim.run_for(8s);
  EXPECT_GT(sim.session(b).counters().out(wire::Message::upd_req).value(), 10u);
  sim.load(a).stop();
  sim.run_for(3s);
  sim.link().loss_percent = 0;
  sim.session(b).request_bulk(sim.now());
  ASSERT_TRUE(sim.run_until([&] { return sim.session(b).bulk().phase() == engine::BulkPhase::done; }, 60s))
      << sim.replay_hint();
  // Every state of a is on b as it is on a; b may still hold some whose DEL_C was lost.
  auto reader = sim.table(a).reader();
  statetable::TableReader::Cursor cursor;
  while (const auto entry = reader.next(cursor)) {
    const auto copy = sim.table(b).reader().find(entry->hot.id);
    ASSERT_TRUE(copy) << sim.replay_hint();
    EXPECT_EQ(copy->hot.src, entry->hot.src);
    EXPECT_EQ(copy->hot.dst, entry->hot.dst);
  }
  EXPECT_GE(sim.digest(b).states, sim.digest(a).states);
}

TEST(Simulation, ALevelOrWindowNeverGoesBack) {
  for (std::uint64_t seed = 11; seed <= 15; ++seed) {
    Simulation sim{seed_of_run(seed), {.jitter = 1500ms, .loss_percent = 10, .duplicate_percent = 20}};
    auto load = small_load(seed);
    load.states = 200;
    load.updates_per_s = 2000;
    load.tcp_percent = 100;
    sim.add({.creatorid = 1, .load = load});
    const std::size_t b = sim.add({.creatorid = 2});
    std::map<wire::StateId, statetable::HotState> seen;
    std::size_t compared = 0;
    sim.on_delivery([&](std::size_t node, wire::Bytes) {
      if (node != b) return;
      auto reader = sim.table(b).reader();
      statetable::TableReader::Cursor cursor;
      // Only states held at the last look too: one that a late packet brings back after its delete
      // begins a new life, with what that packet says.
      std::map<wire::StateId, statetable::HotState> held;
      while (const auto entry = reader.next(cursor)) {
        held.emplace(entry->hot.id, entry->hot);
        const auto before = seen.find(entry->hot.id);
        if (before == seen.end()) continue;
        ++compared;
        ASSERT_FALSE(engine::src_is_stale(before->second.src, entry->hot.src, true)) << sim.replay_hint();
        ASSERT_FALSE(engine::dst_is_stale(before->second.dst, entry->hot.dst, true)) << sim.replay_hint();
      }
      seen.swap(held);
    });
    sim.run_for(8s);
    EXPECT_GT(compared, 1000u);
    EXPECT_GT(sim.session(b).counters()[wire::Reject::stale].value(), 0u);
  }
}

}  // namespace
}  // namespace pfsync::sim
