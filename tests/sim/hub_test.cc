// Engines as hubs between firewalls of several dialects.
#include <gtest/gtest.h>

#include <array>
#include <map>
#include <numeric>
#include <set>
#include <unordered_map>

#include "engine/session/merge.h"
#include "tests/sim/simulation.h"
#include "wire/convert.h"
#include "wire/packet_reader.h"

namespace pfsync::sim {
namespace {

using namespace std::chrono_literals;
using wire::Dialect;
using wire::Message;

engine::SyntheticConfig tcp_load(std::uint64_t seed) {
  return {.states = 150,
          .fill_per_s = 300,
          .new_per_s = 10,
          .updates_per_s = 400,
          .tcp_percent = 100,
          .udp_percent = 0,
          .seed = seed};
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
    sim.on_delivery([this](std::size_t node, wire::Bytes) { look(node); });
  }
  void look(std::size_t node) {
    const std::uint64_t look = ++looks_;
    Seen& seen = seen_[node];
    const auto reader = sim_.table(node).reader();
    statetable::TableReader::Cursor cursor;
    while (const auto entry = reader.next(cursor)) {
      const statetable::HotState& now = entry->hot;
      auto& [before, seen_at] = seen.states[now.id];
      if (seen_at != 0 && seen_at == seen.last_look) {  // one that was away in between starts anew
        ++compared_;
        ASSERT_FALSE(engine::src_is_stale(before.src, now.src, true)) << "node " << node << ", " << sim_.replay_hint();
        ASSERT_FALSE(engine::dst_is_stale(before.dst, now.dst, true)) << "node " << node << ", " << sim_.replay_hint();
      }
      before = now;
      seen_at = look;
    }
    seen.last_look = look;
  }
  /// Its memory is lost: what it learns next is new to it.
  void forget(std::size_t node) { seen_.erase(node); }
  [[nodiscard]] std::size_t compared() const { return compared_; }

 private:
  struct OfId {
    std::size_t operator()(wire::StateId id) const { return id.id * 0x9e3779b97f4a7c15u ^ id.creatorid; }
  };
  struct Seen {
    std::unordered_map<wire::StateId, std::pair<statetable::HotState, std::uint64_t>, OfId> states;
    std::uint64_t last_look = 0;
  };

  Simulation& sim_;
  std::map<std::size_t, Seen> seen_;
  std::uint64_t looks_ = 0;
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

/// Two hubs with a cable between them, each with two firewalls; all four systems.
class TwoHubs {
 public:
  static constexpr std::size_t hub_a = 0, hub_b = 1;
  static constexpr std::array<std::size_t, 4> firewalls{2, 3, 4, 5};

  explicit TwoHubs(std::uint64_t seed) : sim{seed, {.delay = 200us, .jitter = 500us}}, levels{sim} {
    sim.on_delivery([this](std::size_t node, wire::Bytes packet) {
      levels.look(node);
      count_echoes(node, packet);
    });
    sim.add({.creatorid = 1, .peers = {hub_b, 2, 3}, .learn_dialect = true});
    sim.add({.creatorid = 2, .peers = {hub_a, 4, 5}, .learn_dialect = true});
    constexpr std::array dialects{Dialect::freebsd_1301, Dialect::freebsd_1500, Dialect::openbsd,
                                  Dialect::freebsd_1400};
    for (const std::size_t node : firewalls)
      sim.add({.creatorid = static_cast<std::uint32_t>(node + 1),
               .load = tcp_load(seed * 100 + node),
               .peers = {node < 4 ? hub_a : hub_b},
               .dialect = dialects[node - 2],
               .is_kernel = true});
    sim.run_for(6s);
  }

  void rest() {
    for (const std::size_t node : firewalls) sim.load(node).stop();
    sim.run_for(6s);
  }
  void work() {
    for (const std::size_t node : firewalls) sim.load(node).resume();
    sim.run_for(1s);
  }
  void expect_quiet() {
    const std::uint64_t before = sim.deliveries();
    sim.run_for(10s);
    EXPECT_EQ(sim.deliveries(), before) << sim.replay_hint();
  }
  void expect_one_table() {
    EXPECT_GT(sim.digest(hub_a).states, 500u);
    EXPECT_EQ(sim.digest(hub_b), sim.digest(hub_a)) << sim.replay_hint();
    for (const std::size_t node : firewalls)
      EXPECT_EQ(sim.digest(node), sim.digest(hub_a)) << "node " << node << ", " << sim.replay_hint();
  }

  /// Each hears of a change at most once, and nothing of its own states unless it was behind: then a hub answers.
  void expect_bounded_traffic() {
    std::uint64_t behind = 0;
    for (const std::size_t hub : {hub_a, hub_b}) behind += sim.session(hub).counters()[wire::Reject::stale].value();
    EXPECT_LE(echoes_, behind) << sim.replay_hint();
    for (const std::size_t hearer : firewalls)
      for (const Message message : {Message::ins, Message::upd_c, Message::del_c}) {
        std::uint64_t said = message == Message::upd_c ? behind : 0;
        for (const std::size_t node : firewalls)
          if (node != hearer) said += sim.session(node).counters().out(message).value();
        const std::uint64_t heard = sim.session(hearer).counters().in(message).value();
        EXPECT_LE(heard, said) << "node " << hearer << ", message " << static_cast<int>(message) << ", "
                               << sim.replay_hint();
        EXPECT_GT(heard, 0u);
      }
  }

  /// What a firewall holds of its own, everybody holds like that.
  void expect_no_state_lost() {
    for (const std::size_t owner : firewalls)
      for (const auto& [id, state] : states_of(sim, owner)) {
        if (id.creatorid != sim.config(owner).creatorid) continue;
        for (std::size_t node = hub_a; node <= firewalls.back(); ++node) {
          const auto held = sim.table(node).reader().find(id);
          ASSERT_TRUE(held) << "node " << node << ", " << sim.replay_hint();
          EXPECT_EQ(held->hot.src, state.src) << sim.replay_hint();
          EXPECT_EQ(held->hot.dst, state.dst) << sim.replay_hint();
        }
      }
  }

  Simulation sim;
  NeverBack levels;

 private:
  /// Each firewall's load works on its own states only, so that whatever it hears of them comes from itself.
  void count_echoes(std::size_t node, wire::Bytes packet) {
    if (node <= hub_b) return;
    wire::PacketReader reader{packet};
    wire::Section section;
    while (reader.next(section)) {
      const Message message = section.action->message;
      if (message != Message::ins && message != Message::upd_c && message != Message::del_c) continue;
      for (std::size_t i = 0; i < section.count; ++i)
        echoes_ +=
            wire::read_id(message, section.action->layout, section.record(i)).creatorid == sim.config(node).creatorid;
    }
  }

  std::uint64_t echoes_ = 0;
};

TEST(HubSimulation, AsManyPeersAsAHubTakesHaveOneTable) {
  Simulation sim{seed_of_run(5), {.delay = 200us, .jitter = 500us}};
  std::vector<std::size_t> all(engine::peers_max);
  std::iota(all.begin(), all.end(), std::size_t{1});
  sim.add({.creatorid = 1, .peers = all, .learn_dialect = true});
  for (const std::size_t node : all)
    sim.add(
        {.creatorid = static_cast<std::uint32_t>(node + 1),
         .load =
             engine::SyntheticConfig{.states = 12, .fill_per_s = 50, .new_per_s = 3, .updates_per_s = 20, .seed = node},
         .peers = {0},
         .dialect = static_cast<Dialect>(node % 4)});
  sim.run_for(3s);
  for (const std::size_t node : all) sim.load(node).stop();
  sim.run_for(5s);
  EXPECT_GE(sim.table(0).size(), all.size() * 12);
  for (const std::size_t node : all) {
    EXPECT_EQ(sim.digest(node), sim.digest(0)) << "node " << node << ", " << sim.replay_hint();
    EXPECT_EQ(sim.session(0).dialect(static_cast<unsigned>(node - 1)).in_use(), sim.config(node).dialect);
  }
}

TEST(HubSimulation, TwoHubsDoNotLoopAndACableMayBePulled) {
  for (std::uint64_t seed = 1; seed <= 3; ++seed) {
    TwoHubs net{seed_of_run(seed)};
    net.rest();
    net.expect_one_table();
    net.expect_bounded_traffic();
    net.expect_quiet();

    net.work();
    net.sim.pull(net.hub_a, net.hub_b);
    net.sim.run_for(4s);
    EXPECT_NE(net.sim.digest(net.hub_a), net.sim.digest(net.hub_b));
    net.sim.put_back(net.hub_a, net.hub_b);
    for (const std::size_t hub : {net.hub_a, net.hub_b})
      net.sim.session(hub).request_bulk(net.sim.now());  // as when a link comes up
    net.sim.run_for(3s);
    net.rest();
    // Those that ended while the cable was out remain on the far side until their time is out: nobody repeats a DEL_C.
    net.expect_no_state_lost();
    net.expect_quiet();
    EXPECT_EQ(net.sim.refused(), 1u) << net.sim.replay_hint();  // the first request to OpenBSD, before it was heard
    EXPECT_GT(net.levels.compared(), 50'000u);
    if (::testing::Test::HasFailure()) return;
  }
}

}  // namespace
}  // namespace pfsync::sim
