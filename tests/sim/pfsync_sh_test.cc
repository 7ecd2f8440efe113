// The cases of FreeBSD's tests/sys/netpfil/pf/pfsync.sh, each under its name, with an engine in place of either kernel.
// An engine has no ruleset and no interfaces: where the kernel's test depends on them, the comment says what a node
// without them can be held to, which is that a firewall behind it gets all that its own kind would have told it, and no
// more.
#include <gtest/gtest.h>

#include "tests/sim/two_engines.h"
#include "wire/fields.h"
#include "wire/ip.h"

namespace pfsync::sim {
namespace {

using engine::Deferrals;
using engine::Session;
using engine::SessionConfig;
using engine::Tally;
using wire::Dialect;
using wire::Family;
using wire::Message;

constexpr std::size_t first = 0, second = 1;

/// The state of a ping through the firewall.
wire::State ping(std::uint64_t number = 1) {
  wire::State state;
  state.id.id = number;
  state.ifname = wire::InterfaceName{"igb1"};
  for (auto& key : state.key) {
    key.addr = {wire::ipv4_address(198, 51, 100, 254),
                wire::ipv4_address(198, 51, 100, static_cast<std::uint8_t>(number))};
    key.port = {static_cast<std::uint16_t>(number), static_cast<std::uint16_t>(number)};
  }
  state.af = Family::inet;
  state.proto = wire::ipproto::icmp;
  state.direction = wire::Direction::in;
  state.timeout = engine::pftm::icmp_first_packet;
  state.rule = 3;
  return state;
}

/// The same, sent on to a next hop by route-to.
wire::State routed() {
  wire::State state = ping();
  state.rt = wire::route::route_to;
  state.rt_addr = wire::ipv4_address(203, 0, 113, 254);
  state.rt_ifname = wire::InterfaceName{"igb2"};
  return state;
}

/// An address family translated by af-to: IPv6 on the wire of the inbound side, IPv4 behind it.
wire::State translated(wire::Direction direction, const char* interface, const char* created_on) {
  wire::State state = ping();
  state.af = Family::inet6;
  state.proto = wire::ipproto::icmpv6;
  state.direction = direction;
  state.ifname = wire::InterfaceName{interface};
  state.orig_ifname = wire::InterfaceName{created_on};
  state.key[wire::wire_side].addr = {wire::Address{{0x00, 0x64, 0xff, 0x9b, 0, 0, 0, 0, 0, 0, 0, 0, 198, 51, 100, 2}},
                                     wire::Address{{0x20, 0x01, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2}}};
  state.stack_af = Family::inet;
  state.rt_af = Family::none;
  return state;
}

std::uint64_t lost(TwoEngines& pair, wire::Field field) {
  return pair.session(first).counters().lost.fields[static_cast<std::size_t>(field)].value();
}

/// Opens the state on the first; what the second has of it once it is there.
std::optional<wire::State> synced(TwoEngines& pair, const wire::State& state) {
  const wire::StateId id = pair.open(first, state);
  pair.pass(1100ms);
  return pair.held(second, id);
}

void expect_basic(TwoEngines::Options options) {
  options.session.maxupd = 1;
  TwoEngines pair{options};
  pair.pass(10ms);
  const auto there = synced(pair, ping());
  ASSERT_TRUE(there);
  EXPECT_EQ(there->key, ping().key);
  EXPECT_EQ(there->id.creatorid, TwoEngines::creators[first]);
}

TEST(PfsyncSh, basic) { expect_basic({}); }

TEST(PfsyncSh, basic_defer) {
  SessionConfig config;
  config.defer = Deferrals::usual_limit;
  TwoEngines pair{{.session = config}};
  pair.pass(10ms);
  const wire::StateId id = pair.open(first, ping());
  EXPECT_TRUE(pair.session(first).defer(id, pair.now()));
  pair.exchange();
  EXPECT_TRUE(pair.held(second, id)) << "at once, not after the delay";
  std::array<Deferrals::Released, 2> released;
  ASSERT_EQ(pair.session(first).take_released(released, pair.now()), 1u);
  EXPECT_EQ(released[0].why, Deferrals::Why::acknowledged);
}

/// The pfsync packet precedes the packet that it is about; without an ack that waits for the limit and no longer.
TEST(PfsyncSh, defer) {
  SessionConfig config;
  config.defer = Deferrals::usual_limit;
  TwoEngines pair{{.session = config, .second_is_there = false}};
  pair.pass(10ms);
  std::size_t frames = 0;
  const wire::StateId id = pair.open(first, ping());
  ASSERT_TRUE(pair.session(first).defer(id, pair.now()));
  const Instant held_at = pair.now();
  const auto sent = pair.session(first).counters().out(Message::ins).value();
  std::array<Deferrals::Released, 2> released;
  while (pair.session(first).take_released(released, pair.now()) == 0) {
    ASSERT_LT(frames++, 1000u);
    pair.pass(1ms);
    EXPECT_EQ(pair.session(first).counters().out(Message::ins).value(), sent + 1) << "the INS is out while it waits";
  }
  EXPECT_EQ(released[0].why, Deferrals::Why::timed_out);
  EXPECT_EQ(pair.now() - held_at, 20ms);
}

/// States that were there before pfsync was configured on the peer.
TEST(PfsyncSh, bulk) {
  TwoEngines pair{{.second_is_there = false}};
  const wire::StateId id = pair.open(first, ping());
  pair.pass(5s);
  pair.add_second();
  pair.pass(100ms);
  EXPECT_TRUE(pair.held(second, id));
  EXPECT_EQ(pair.session(second).bulk().phase(), engine::BulkPhase::done);
}

/// Traffic by route-to and reply-to goes on through the other node when the first dies: it has the route of each state,
/// and a packet that comes there moves the state on without losing it.
void expect_failover_of_routes(Dialect dialect) {
  TwoEngines pair{{.dialect = dialect}};
  pair.pass(10ms);
  wire::State there_and_back[] = {routed(), routed()};
  there_and_back[1].id.id = 2;
  there_and_back[1].rt = wire::route::reply_to;
  there_and_back[1].key[0].port = there_and_back[1].key[1].port = {2, 2};
  for (const wire::State& state : there_and_back) pair.open(first, state);
  pair.pass(1100ms);
  pair.kill(first);
  for (const wire::State& state : there_and_back) {
    const wire::StateId id{state.id.id, TwoEngines::creators[first]};
    for (int packet = 0; packet < 10; ++packet) {
      pair.pass(500ms);
      EXPECT_EQ(
          pair.session(second).update({id, {.state = 1}, {.state = 1}, engine::pftm::icmp_error_reply}, pair.now()),
          Session::Local::done);
    }
    const auto held = pair.held(second, id);
    ASSERT_TRUE(held);
    EXPECT_EQ(held->rt, state.rt);
    EXPECT_EQ(held->rt_addr, state.rt_addr);
    EXPECT_EQ(held->rt_ifname, state.rt_ifname);
    EXPECT_EQ(held->rule, state.rule);
  }
}
TEST(PfsyncSh, pbr) { expect_failover_of_routes(Dialect::freebsd_1400); }
TEST(PfsyncSh, pfsync_pbr) { expect_failover_of_routes(Dialect::freebsd_1500); }

/// The kernels wrap pfsync in ESP by their own security policy. An engine has no keys: such packets, of a right key or
/// a wrong one, are counted and change nothing.
TEST(PfsyncSh, ipsec) {
  TwoEngines pair{{}};
  pair.pass(10ms);
  bool wrapped_one = false;
  pair.watch([&](std::size_t end, const TwoEngines::Frame& frame) {
    if (end != second || std::exchange(wrapped_one, true)) return;
    TwoEngines::Frame wrapped = frame;
    wrapped[14 + 9] = wire::ipproto::esp;
    wire::store(wire::Room{wrapped}, 14 + 10, wire::Be16{0});
    wire::store(wire::Room{wrapped}, 14 + 10,
                wire::Be16{wire::internet_checksum(wire::Bytes{wrapped}.subspan(14, 20))});
    const auto before = pair.frames_other(second);
    pair.deliver(second, wrapped);
    EXPECT_EQ(pair.frames_other(second), before + 1);
    EXPECT_EQ(pair.session(second).counters()[Tally::inserts].value(), 0u);
  });
  const wire::StateId id = pair.open(first, ping());
  pair.pass(1100ms);
  EXPECT_TRUE(pair.held(second, id)) << "what came in the clear is taken";
}

/// The callout of the kernel: a change leaves after a second without anything else happening.
TEST(PfsyncSh, timeout) {
  TwoEngines pair{{}};
  pair.pass(10ms);
  const wire::StateId id = pair.open(first, ping());
  pair.pass(990ms);
  EXPECT_FALSE(pair.held(second, id));
  pair.pass(20ms);
  EXPECT_TRUE(pair.held(second, id));
}

TEST(PfsyncSh, basic_ipv6_unicast) { expect_basic({.family = Family::inet6, .multicast = false}); }
TEST(PfsyncSh, basic_ipv6) { expect_basic({.family = Family::inet6}); }

/// A routing table that the peer does not have: a kernel drops the state. An engine routes nothing; it keeps the
/// number, so that a firewall which has the table gets it, and a dialect that lacks the field counts its loss.
TEST(PfsyncSh, rtable) {
  wire::State state = ping();
  state.rtableid = {1, 1};
  TwoEngines with{{.dialect = Dialect::freebsd_1400}};
  ASSERT_EQ(synced(with, state)->rtableid, state.rtableid);
  TwoEngines without{{.dialect = Dialect::freebsd_1301}};
  ASSERT_EQ(synced(without, state)->rtableid, wire::State{}.rtableid);
  EXPECT_EQ(lost(without, wire::Field::rtableid), 1u);
}

/// 1301 has no words for the kind of the route and its interface. A kernel finds them in a ruleset that must be the
/// same; what it needs for that, rule number and next hop, arrives, and the rest is counted as lost.
void expect_route_by_rule(std::uint32_t rule) {
  TwoEngines pair{{.dialect = Dialect::freebsd_1301}};
  wire::State state = routed();
  state.rule = rule;
  const auto there = synced(pair, state);
  ASSERT_TRUE(there);
  EXPECT_EQ(there->rule, rule);
  EXPECT_EQ(there->rt_addr, state.rt_addr);
  EXPECT_EQ(lost(pair, wire::Field::rt), 1u);
  EXPECT_EQ(lost(pair, wire::Field::rt_ifname), 1u);
  // Nothing is made up in its place.
  EXPECT_EQ(there->rt, wire::route::none);
  EXPECT_TRUE(there->rt_ifname.empty());
}
TEST(PfsyncSh, route_to_1301) { expect_route_by_rule(3); }
TEST(PfsyncSh, route_to_1301_bad_ruleset) { expect_route_by_rule(wire::no_rule); }
TEST(PfsyncSh, route_to_1301_bad_rpool) { expect_route_by_rule(77); }

/// 1400 says all of the route, so that no ruleset is needed: not even the rule must exist.
TEST(PfsyncSh, route_to_1400_bad_ruleset) {
  TwoEngines pair{{.dialect = Dialect::freebsd_1400}};
  wire::State state = routed();
  state.rule = wire::no_rule;
  const auto there = synced(pair, state);
  ASSERT_TRUE(there);
  EXPECT_EQ(there->rt, state.rt);
  EXPECT_EQ(there->rt_addr, state.rt_addr);
  EXPECT_EQ(there->rt_ifname, state.rt_ifname);
}

/// The interface does not exist at the peer: a kernel drops the state. An engine has no interfaces and loses nothing.
TEST(PfsyncSh, route_to_1400_bad_ifname) {
  TwoEngines pair{{.dialect = Dialect::freebsd_1400}};
  wire::State state = routed();
  state.rt_ifname = wire::InterfaceName{"not_there"};
  EXPECT_EQ(synced(pair, state)->rt_ifname, state.rt_ifname);
}

void expect_af_to(const wire::State& state) {
  TwoEngines pair{{.dialect = Dialect::freebsd_1500}};
  const auto there = synced(pair, state);
  ASSERT_TRUE(there);
  EXPECT_EQ(there->key, state.key);
  EXPECT_EQ(there->af, Family::inet6);
  EXPECT_EQ(there->stack_family(), Family::inet);
  EXPECT_EQ(there->usual_stack_proto(), wire::ipproto::icmp);
  EXPECT_EQ(there->ifname, state.ifname);
  EXPECT_EQ(there->orig_ifname, state.orig_ifname);
  // An older kernel would take half of it for another state.
  TwoEngines older{{.dialect = Dialect::freebsd_1400}};
  EXPECT_FALSE(synced(older, state));
  EXPECT_EQ(older.session(first).counters().lost.states.value(), 1u);
}
TEST(PfsyncSh, af_to_in_floating) { expect_af_to(translated(wire::Direction::in, "all", "igb1")); }
TEST(PfsyncSh, af_to_in_if_bound) { expect_af_to(translated(wire::Direction::in, "igb1", "")); }
TEST(PfsyncSh, af_to_out_if_bound) { expect_af_to(translated(wire::Direction::out, "igb2", "igb1")); }

TEST(PfsyncSh, tag) {
  wire::State state = ping();
  state.tag = wire::TagName{"purple"};
  TwoEngines pair{{.dialect = Dialect::freebsd_1500}};
  EXPECT_EQ(synced(pair, state)->tag, state.tag);
  TwoEngines older{{.dialect = Dialect::freebsd_1400}};
  EXPECT_TRUE(synced(older, state)->tag.empty());
  EXPECT_EQ(lost(older, wire::Field::tag), 1u);
}

/// Queues go by their numbers.
TEST(PfsyncSh, altq_queues) {
  wire::State state = ping();
  state.qid = 2;
  state.pqid = 3;
  TwoEngines pair{{.dialect = Dialect::freebsd_1500}};
  const auto there = synced(pair, state);
  ASSERT_TRUE(there);
  EXPECT_EQ(there->qid, 2);
  EXPECT_EQ(there->pqid, 3);
}

/// A next hop of another family than the packets.
TEST(PfsyncSh, rt_af) {
  wire::State state = routed();
  state.rt_addr = wire::Address{{0x20, 0x01, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xfe}};
  state.rt_af = Family::inet6;
  TwoEngines pair{{.dialect = Dialect::freebsd_1500}};
  const auto there = synced(pair, state);
  ASSERT_TRUE(there);
  EXPECT_EQ(there->rt_family(), Family::inet6);
  EXPECT_EQ(there->rt_addr, state.rt_addr);
}

}  // namespace
}  // namespace pfsync::sim
