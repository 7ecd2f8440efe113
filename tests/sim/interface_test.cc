// Firewalls whose interfaces have different names keep one table through a hub that knows both.
#include <gtest/gtest.h>

#include <array>

#include "tests/sim/simulation.h"

namespace pfsync::sim {
namespace {

using namespace std::chrono_literals;
using wire::InterfaceName;

constexpr std::size_t hub = 0, igb = 1, vmx = 2;
/// The same network in each node's words.
constexpr std::array<std::array<std::string_view, 3>, 2> networks{{{"lan", "igb0", "vmx1"}, {"wan", "igb1", "vmx0"}}};

engine::InterfaceMap map_of(std::size_t node) {
  engine::InterfaceMap map;
  for (const auto& names : networks)
    EXPECT_EQ(map.add(InterfaceName{names[hub]}, InterfaceName{names[node]}), engine::InterfaceMap::Added::yes);
  return map;
}

std::size_t network_of(std::uint64_t id) { return id % networks.size(); }

/// Connections of a firewall of its own, by turns on its two interfaces.
void open(Simulation& sim, std::size_t node, std::uint64_t first, std::uint64_t count) {
  for (std::uint64_t id = first; id < first + count; ++id) {
    wire::State state;
    state.id = {id, 0};
    state.ifname = InterfaceName{networks[network_of(id)][node]};
    for (auto& key : state.key) {
      key.addr[0].bytes = {10, 2, 0, 100};
      key.addr[1].bytes = {10, static_cast<std::uint8_t>(node), static_cast<std::uint8_t>(id >> 8u),
                           static_cast<std::uint8_t>(id)};
      key.port = {80, 1024};
    }
    state.src = {.seqlo = 1000, .seqhi = 66000, .max_win = 500, .state = wire::tcps::established};
    state.dst = {.seqlo = 5000, .seqhi = 70000, .max_win = 500, .state = wire::tcps::established};
    state.expire_s = 86400;
    state.af = wire::Family::inet;
    state.proto = wire::ipproto::tcp;
    state.direction = wire::Direction::out;
    state.timeout = engine::pftm::tcp_established;
    ASSERT_EQ(sim.session(node).insert(state, sim.now()), engine::Session::Local::done);
  }
}

/// How many there are; each is on its own network by its node's name for it.
std::size_t states_in_place(Simulation& sim, std::size_t node) {
  std::size_t states = 0;
  const auto reader = sim.table(node).reader();
  statetable::TableReader::Cursor cursor;
  for (; const auto entry = reader.next(cursor); ++states)
    EXPECT_EQ(entry->cold.ifname.view(), networks[network_of(entry->hot.id.id)][node]) << sim.replay_hint();
  return states;
}

void expect_one_table(Simulation& sim, std::size_t states) {
  for (const std::size_t node : {hub, igb, vmx}) {
    EXPECT_EQ(states_in_place(sim, node), states) << "node " << node << ", " << sim.replay_hint();
    EXPECT_EQ(sim.digest(node), sim.digest(hub)) << "node " << node << ", " << sim.replay_hint();
  }
}

TEST(InterfaceSimulation, FirewallsWithOtherNamesKeepOneTable) {
  Simulation sim{seed_of_run(1), {.delay = 200us, .jitter = 500us}};
  sim.add({.creatorid = 1, .peers = {igb, vmx}, .learn_dialect = true, .interfaces = {map_of(igb), map_of(vmx)}});
  sim.add({.creatorid = 2, .peers = {hub}, .dialect = wire::Dialect::freebsd_1301, .is_kernel = true});
  sim.add({.creatorid = 3, .peers = {hub}, .dialect = wire::Dialect::freebsd_1500, .is_kernel = true});
  sim.run_for(3s);
  open(sim, igb, 1000, 100);
  open(sim, vmx, 2000, 100);
  sim.run_for(3s);
  expect_one_table(sim, 200);

  sim.reboot(vmx);  // it gets all by a bulk update
  sim.run_for(5s);
  expect_one_table(sim, 200);

  EXPECT_EQ(sim.session(igb).flush(InterfaceName{"igb1"}, sim.now()), 50u);
  sim.run_for(3s);
  expect_one_table(sim, 150);
}

}  // namespace
}  // namespace pfsync::sim
