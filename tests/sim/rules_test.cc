// A firewall that announces only what lasts.
#include <gtest/gtest.h>

#include "tests/sim/simulation.h"

namespace pfsync::sim {
namespace {

using namespace std::chrono_literals;
using engine::Tally;

constexpr std::size_t firewall = 0, follower = 1;

TEST(RulesSimulation, ShortConnectionsAreNeverHeardOfAndLongOnesAreKept) {
  for (std::uint64_t seed = 1; seed <= 3; ++seed) {
    Simulation sim{seed_of_run(seed), {.delay = 200us}};
    sim.add({.creatorid = 1,
             .load = engine::SyntheticConfig{.states = 150,
                                             .fill_per_s = 300,
                                             .new_per_s = 40,
                                             .updates_per_s = 400,
                                             .tcp_percent = 60,
                                             .udp_percent = 40,
                                             .seed = seed},
             .rules = {{.action = engine::SyncRule::Action::skip, .proto = wire::ipproto::udp},
                       {.action = engine::SyncRule::Action::delay, .age_s = 3}}});
    sim.add({.creatorid = 2});
    sim.run_for(30s);
    const engine::Counters& said = sim.session(firewall).counters();
    const engine::Counters& heard = sim.session(follower).counters();
    EXPECT_GT(said[Tally::sync_short].value(), 20u);
    EXPECT_GT(said[Tally::sync_skipped].value(), 100u);
    EXPECT_GT(heard[Tally::removals].value(), 20u);
    EXPECT_EQ(heard[wire::Reject::badstate].value(), 0u) << "nothing is said of what it does not know";
    EXPECT_EQ(heard.out(wire::Message::upd_req).value(), 1u) << "the bulk request alone";

    sim.reboot(follower);
    sim.run_for(5s);
    sim.load(firewall).stop();
    sim.run_for(6s);
    std::size_t announced = 0;
    const auto reader = sim.table(firewall).reader();
    statetable::TableReader::Cursor cursor;
    while (const auto entry = reader.next(cursor)) {
      const auto held = sim.table(follower).reader().find(entry->hot.id);
      const bool is_udp = entry->hot.proto == wire::ipproto::udp;
      announced += !is_udp;
      ASSERT_EQ(held.has_value(), !is_udp) << sim.replay_hint();
      if (!held) continue;
      EXPECT_EQ(held->hot.src, entry->hot.src) << sim.replay_hint();
      EXPECT_EQ(held->hot.dst, entry->hot.dst) << sim.replay_hint();
    }
    EXPECT_GT(announced, 50u);
    EXPECT_EQ(sim.table(follower).size(), announced) << sim.replay_hint();
  }
}

}  // namespace
}  // namespace pfsync::sim
