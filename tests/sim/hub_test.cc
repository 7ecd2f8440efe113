// Engines as hubs between firewalls of several dialects.
#include <gtest/gtest.h>

#include <map>
#include <set>

#include "engine/merge.h"
#include "tests/sim/simulation.h"

namespace pfsync::sim {
namespace {

using namespace std::chrono_literals;
using wire::Dialect;

engine::SyntheticConfig tcp_load(std::uint64_t seed) {
  return {.states = 150, .fill_per_s = 300, .new_per_s = 10, .updates_per_s = 400, .tcp_percent = 100, .udp_percent = 0, .seed = seed};
}

std::map<wire::StateId, statetable::HotState> states_of(Simulation& sim, std::size_t node) {
  std::map<wire::StateId, statetable::HotState> states;
  const auto reader = sim.table(node).reader();
  statetable::TableReader::Cursor cursor;
  while (const auto entry = reader.next(cursor)) states.emplace(entry->hot.id, entry->hot);
  return states;
}

/// Looks at the receiver's table after each delivery: no connection may have gone back since the last look.
class NeverBack {
 public:
  explicit NeverBack(Simulation& sim) : sim_{sim} {
    sim.on_delivery([this](std::size_t node) { look(node); });
  }
  /// Its memory is lost: what it learns next is new to it.
  void forget(std::size_t node) { seen_.erase(node); }
  [[nodiscard]] std::size_t compared() const { return compared_; }

 private:
  void look(std::size_t node) {
    auto held = states_of(sim_, node);
    for (const auto& [id, before] : seen_[node]) {
      const auto now = held.find(id);
      if (now == held.end()) continue;
      ++compared_;
      ASSERT_FALSE(engine::src_is_stale(before.src, now->second.src, true)) << "node " << node << ", " << sim_.replay_hint();
      ASSERT_FALSE(engine::dst_is_stale(before.dst, now->second.dst, true)) << "node " << node << ", " << sim_.replay_hint();
    }
    seen_[node].swap(held);
  }

  Simulation& sim_;
  std::map<std::size_t, std::map<wire::StateId, statetable::HotState>> seen_;
  std::size_t compared_ = 0;
};

/// A hub with two firewalls of 1301 and a place for a third.
class RollingUpgrade {
 public:
  static constexpr std::size_t hub = 0, fw1 = 1, fw2 = 2, fw3 = 3;

  explicit RollingUpgrade(std::uint64_t seed) : sim{seed, {.delay = 200us, .jitter = 500us}}, levels{sim}, seed_{seed} {
    sim.add({.creatorid = 1, .peers = {fw1, fw2, fw3}, .learn_dialect = true});
    for (const std::size_t node : {fw1, fw2}) add_firewall(node, Dialect::freebsd_1301);
    sim.run_for(5s);
  }

  /// The third comes up for the first time.
  void join(Dialect dialect) {
    add_firewall(fw3, dialect);
    joined_ = true;
    expect_caught_up(fw3);
  }

  /// A firewall leaves and comes back with another system and an empty table. A pf without a fixed host id
  /// has a new one then; its states of before are nobody's, and last until their time is out.
  void upgrade(std::size_t node, Dialect dialect) {
    sim.run_for(2s);  // what it knows last has left it
    for (const auto& [id, state] : states_of(sim, hub))
      if (id.creatorid == sim.config(node).creatorid) orphans_.insert(id);
    sim.load(node).stop();
    sim.run_for(3s);
    for (auto orphan = orphans_.begin(); orphan != orphans_.end();)  // closed before the load stood still
      orphan = sim.table(hub).reader().find(*orphan) ? std::next(orphan) : orphans_.erase(orphan);
    sim.power_off(node);
    sim.run_for(2s);  // the other works on
    sim.config(node).dialect = dialect;
    sim.config(node).creatorid += 16;
    sim.config(node).load->seed += 16;
    levels.forget(node);
    sim.reboot(node);
    expect_caught_up(node);
  }

  /// Lets all rest, compares, and goes on.
  void expect_one_table() {
    for (std::size_t node = fw1; node <= last(); ++node) sim.load(node).stop();
    sim.run_for(4s);
    for (std::size_t node = fw1; node <= last(); ++node) {
      EXPECT_EQ(sim.digest(node), sim.digest(hub)) << "node " << node << ", " << sim.replay_hint();
      EXPECT_EQ(sim.session(hub).dialect(static_cast<unsigned>(node - 1)).in_use(), sim.config(node).dialect);
      for (const wire::StateId id : orphans_) ASSERT_TRUE(sim.table(node).reader().find(id)) << sim.replay_hint();
    }
    const std::uint64_t before = sim.deliveries();
    sim.run_for(5s);
    EXPECT_EQ(sim.deliveries(), before) << "there is nothing left to say, " << sim.replay_hint();
    for (std::size_t node = fw1; node <= last(); ++node) sim.load(node).resume();
    sim.run_for(1s);
  }

  [[nodiscard]] std::size_t orphans() const { return orphans_.size(); }

  Simulation sim;
  NeverBack levels;

 private:
  [[nodiscard]] std::size_t last() const { return joined_ ? fw3 : fw2; }
  void add_firewall(std::size_t node, Dialect dialect) {
    ASSERT_EQ(sim.add({.creatorid = static_cast<std::uint32_t>(node + 1),
                       .load = tcp_load(seed_ * 100 + node),
                       .peers = {hub},
                       .dialect = dialect,
                       .is_kernel = true}),
              node);
  }
  void expect_caught_up(std::size_t node) {
    ASSERT_TRUE(sim.run_until([&] { return sim.session(node).bulk().phase() == engine::BulkPhase::done; }, 30s))
        << sim.replay_hint();
    sim.run_for(2s);
  }

  std::uint64_t seed_;
  bool joined_ = false;
  std::set<wire::StateId> orphans_;
};

TEST(HubSimulation, ARollingUpgradeLosesNothing) {
  for (std::uint64_t seed = 1; seed <= 3; ++seed) {
    RollingUpgrade net{seed_of_run(seed)};
    net.expect_one_table();
    net.upgrade(net.fw1, Dialect::freebsd_1400);
    net.expect_one_table();
    net.upgrade(net.fw2, Dialect::freebsd_1400);
    net.expect_one_table();
    net.upgrade(net.fw1, Dialect::freebsd_1500);
    net.upgrade(net.fw2, Dialect::freebsd_1500);
    net.expect_one_table();
    net.join(Dialect::openbsd);
    net.expect_one_table();
    EXPECT_GT(net.orphans(), 400u);
    EXPECT_GT(net.levels.compared(), 100'000u);
    EXPECT_EQ(net.sim.refused(), 0u) << net.sim.replay_hint();
    EXPECT_EQ(net.sim.session(net.hub).counters()[engine::Tally::not_understood].value(), 0u);
    if (::testing::Test::HasFailure()) return;
  }
}

TEST(HubSimulation, TwoHubsDoNotLoopAndACableMayBePulled) {
  for (std::uint64_t seed = 1; seed <= 3; ++seed) {
    Simulation sim{seed_of_run(seed), {.delay = 200us, .jitter = 500us}};
    NeverBack levels{sim};
    constexpr std::size_t hub_a = 0, hub_b = 1, fw_a = 2, fw_b = 3;
    sim.add({.creatorid = 1, .peers = {fw_a, hub_b}, .learn_dialect = true});
    sim.add({.creatorid = 2, .peers = {fw_b, hub_a}, .learn_dialect = true});
    sim.add({.creatorid = 3, .load = tcp_load(10 + seed), .peers = {hub_a}, .is_kernel = true});
    sim.add({.creatorid = 4, .load = tcp_load(20 + seed), .peers = {hub_b}, .dialect = Dialect::openbsd, .is_kernel = true});
    const auto rest = [&] {
      sim.load(fw_a).stop();
      sim.load(fw_b).stop();
      sim.run_for(6s);
    };
    const auto expect_quiet = [&] {
      const std::uint64_t before = sim.deliveries();
      sim.run_for(10s);
      EXPECT_EQ(sim.deliveries(), before) << sim.replay_hint();
    };
    sim.run_for(6s);
    rest();
    EXPECT_GT(sim.digest(hub_a).states, 250u);
    for (const std::size_t node : {hub_b, fw_a, fw_b}) EXPECT_EQ(sim.digest(node), sim.digest(hub_a)) << sim.replay_hint();
    expect_quiet();

    sim.load(fw_a).resume();
    sim.load(fw_b).resume();
    sim.run_for(1s);
    sim.pull(hub_a, hub_b);
    sim.run_for(4s);
    EXPECT_NE(sim.digest(hub_a), sim.digest(hub_b));
    sim.put_back(hub_a, hub_b);
    for (const std::size_t hub : {hub_a, hub_b}) sim.session(hub).request_bulk(sim.now());  // as when a link comes up
    sim.run_for(3s);
    rest();
    // What a firewall holds of its own, everybody holds like that. Those that ended while the cable was out
    // remain on the far side until their time is out: nobody repeats a DEL_C.
    for (const std::size_t owner : {fw_a, fw_b})
      for (const auto& [id, state] : states_of(sim, owner)) {
        if (id.creatorid != sim.config(owner).creatorid) continue;
        for (const std::size_t node : {hub_a, hub_b, fw_a, fw_b}) {
          const auto held = sim.table(node).reader().find(id);
          ASSERT_TRUE(held) << "node " << node << ", " << sim.replay_hint();
          EXPECT_EQ(held->hot.src, state.src) << sim.replay_hint();
          EXPECT_EQ(held->hot.dst, state.dst) << sim.replay_hint();
        }
      }
    expect_quiet();
    EXPECT_EQ(sim.refused(), 1u) << sim.replay_hint();  // the first request to OpenBSD, before it was heard
    EXPECT_GT(levels.compared(), 20'000u);
  }
}

}  // namespace
}  // namespace pfsync::sim
