// Virtual hosts come, go and change while others go on.
#include <algorithm>
#include <memory>

#include "carp_bench.h"
#include "tests/engine/allocations.h"

namespace pfsync::engine::carp::test {
namespace {

/// The node takes another list of hosts, as the data path does.
void change(Bench& bench, std::vector<HostConfig> hosts) {
  NodeConfig config = bench.node.config();
  config.hosts = std::move(hosts);
  const std::unique_ptr<Node> next = bench.node.successor(config);
  const std::uint64_t before = engine::test::allocations();
  bench.node.adopt(*next, bench.now);
  EXPECT_EQ(engine::test::allocations(), before) << "the data path takes no memory";
}

bool is_bow_out_of(const Frame& frame, std::uint8_t vhid) {
  const auto ethernet = wire::read_ethernet(frame);
  const wire::IpResult ip = wire::read_ip(ethernet->payload);
  if (ip.reject || ip.packet.protocol != wire::ipproto::carp) return false;
  const auto advert = wire::read_carp(ip.packet.payload);
  const auto* value = std::get_if<wire::CarpAdvert>(&advert);
  return value != nullptr && value->vhid == vhid && value->advbase == 255 && value->advskew == 255;
}

const std::vector<HostConfig> two{host_config(1, 0, {"192.168.1.100"}), host_config(2, 0, {"192.168.1.102"})};

TEST(CarpChange, AnUntouchedHostKeepsStateTimersAndCounters) {
  Bench bench{node_config({two[0]})}, untouched{node_config({two[0]})};
  EXPECT_EQ(bench.pass(3500ms), untouched.pass(3500ms));
  ASSERT_EQ(bench.state(), State::master);
  change(bench, {two[1], two[0]});
  EXPECT_EQ(bench.state(1), State::master);
  EXPECT_EQ(bench.state(0), State::backup) << "new: it waits for a master";
  EXPECT_EQ(bench.status(1).since, untouched.status().since);
  EXPECT_EQ(bench.status(1).moves, untouched.status().moves);
  EXPECT_EQ(bench.status(1).adverts_out, untouched.status().adverts_out);
  EXPECT_EQ(bench.pass(2s), untouched.pass(2s)) << "the same frames as if nothing had been";
  EXPECT_EQ(bench.node.status(1).adverts_out, untouched.node.status(0).adverts_out);
  bench.pass(2s);
  EXPECT_EQ(bench.state(0), State::master);
}

TEST(CarpChange, OneThatGoesSaysFarewell) {
  Bench bench{node_config(two)};
  bench.pass(3500ms);
  ASSERT_EQ(bench.state(1), State::master);
  change(bench, {two[0]});
  const auto sent = bench.pass(0s);
  EXPECT_EQ(std::ranges::count_if(sent, [](const Frame& frame) { return is_bow_out_of(frame, 2); }), 3);
  EXPECT_EQ(std::ranges::count_if(sent, [](const Frame& frame) { return is_bow_out_of(frame, 1); }), 0);
  EXPECT_EQ(bench.state(0), State::master);
  EXPECT_FALSE(bench.node.owns(wire::Family::inet, address("192.168.1.102").address));
  bench.hear(Other{two[1]}.advert(1, 100));
  EXPECT_EQ(bench.count(wire::CarpReject::badvhid), 1u);
  EXPECT_TRUE(bench.pass(0s).empty());
}

TEST(CarpChange, AnAnswerForOneThatWentIsNotGiven) {
  Bench bench{node_config(two)};
  bench.pass(3500ms);
  bench.hear(arp_frame(
      wire::broadcast_mac,
      {.sender_mac = peer_mac, .sender = address("192.168.1.2").address, .target = address("192.168.1.102").address}));
  change(bench, {two[0]});
  bench.pass(0s);
  EXPECT_EQ(bench.count(Tally::arp_replies), 0u);
  EXPECT_EQ(bench.count(Tally::answers_dropped), 1u);
}

TEST(CarpChange, SkewAndBaseChangeInPlace) {
  Bench bench{node_config({two[0]})};
  bench.pass(3500ms);
  HostConfig slower = two[0];
  slower.advskew = 50;
  slower.advbase = 2;
  change(bench, {slower});
  EXPECT_EQ(bench.state(), State::master);
  EXPECT_EQ(bench.status().moves, 2u) << "INIT, BACKUP, MASTER, and no more";
  EXPECT_EQ(bench.node.status(0).advskew, 50);
  EXPECT_EQ(bench.node.status(0).skew_now, 50);
  const std::uint64_t out = bench.status().adverts_out;
  bench.pass(1s);
  EXPECT_EQ(bench.status().adverts_out, out + 1) << "at the tick that was due";
  bench.pass(interval(2, 50));
  EXPECT_EQ(bench.status().adverts_out, out + 2);
  bench.hear(Other{slower}.advert(2, 49));
  EXPECT_EQ(bench.state(), State::backup);
}

TEST(CarpChange, ALongIntervalIsNotWaitedForToTheEnd) {
  HostConfig slow = two[0];
  slow.advbase = 60;
  Bench bench{node_config({slow})};
  bench.pass(181s);
  ASSERT_EQ(bench.state(), State::master);
  change(bench, {two[0]});
  const std::uint64_t out = bench.status().adverts_out;
  bench.pass(1s);
  EXPECT_EQ(bench.status().adverts_out, out + 1);
}

/// The nodes of a VHID change one after the other: nobody becomes a second master for it.
TEST(CarpChange, TheFormerAddressesAndPasswordAreBelievedForAWhile) {
  HostConfig longer = two[0];
  longer.addresses.push_back(address("192.168.1.101"));
  HostConfig secret = two[0];
  secret.password = "another";
  for (const HostConfig& wanted : {longer, secret}) {
    Bench bench{node_config({two[0]})};
    Other other{two[0]};
    const auto refused = [&] {
      return bench.count(wire::CarpReject::badauth) + bench.count(wire::CarpReject::badaddrs);
    };
    bench.hear(other.advert(1, 0));
    ASSERT_EQ(bench.state(), State::backup);
    change(bench, {wanted});
    for (Duration passed{}; passed < Host::grace - 1s; passed += 1s) {
      bench.hear(other.advert(1, 0));
      bench.pass(1s);
    }
    EXPECT_EQ(bench.state(), State::backup);
    EXPECT_EQ(refused(), 0u);
    other.config = wanted;
    bench.hear(other.advert(1, 0));
    EXPECT_EQ(refused(), 0u);
    bench.pass(1s);
    other.config = two[0];
    bench.hear(other.advert(1, 0));
    EXPECT_EQ(refused(), 1u) << "the while is over";
  }
}

TEST(CarpChange, ANewAddressIsAnnouncedByItsMasterOnly) {
  HostConfig longer = two[0];
  longer.addresses.push_back(address("192.168.1.101"));
  Bench bench{node_config({two[0]})};
  bench.pass(10s);
  ASSERT_EQ(bench.state(), State::master);
  const std::uint64_t announced = bench.count(Tally::announcements);
  change(bench, {longer});
  EXPECT_EQ(bench.state(), State::master) << "unlike in FreeBSD";
  EXPECT_TRUE(bench.node.owns(wire::Family::inet, address("192.168.1.101").address));
  bench.pass(5s);
  EXPECT_EQ(bench.count(Tally::announcements), announced + 2 * Host::announcements);
  change(bench, {two[0]});
  EXPECT_FALSE(bench.node.owns(wire::Family::inet, address("192.168.1.101").address));
  EXPECT_EQ(bench.state(), State::master);
  bench.pass(5s);
  EXPECT_EQ(bench.count(Tally::announcements), announced + 2 * Host::announcements);

  Bench waiting{node_config({two[0]})};
  waiting.hear(Other{two[0]}.advert(1, 0));
  change(waiting, {longer});
  EXPECT_TRUE(waiting.pass(1s).empty());
}

TEST(CarpChange, AFamilyThatComesHasItsTimer) {
  HostConfig both = two[0];
  both.addresses.push_back(address("2001:db8::1"));
  both.both_families = true;
  Bench bench{node_config({two[0]})};
  Other other{two[0]};
  bench.hear(other.advert(1, 0));
  bench.pass(1s);
  change(bench, {both});
  bench.pass(2500ms);
  EXPECT_EQ(bench.state(), State::backup) << "IPv4 is silent for 3.5 s, IPv6 for 2.5";
  bench.pass(500ms);
  EXPECT_EQ(bench.state(), State::master);
  change(bench, {two[0]});
  for (const Frame& frame : bench.pass(2s)) EXPECT_NE(wire::read_ethernet(frame)->ethertype, wire::ethertype::ipv6);
}

TEST(CarpChange, DisabledAndUnpluggedNodesTakeHostsThatWait) {
  Bench bench{node_config({two[0]})};
  bench.node.set_enabled(false, bench.now);
  change(bench, two);
  EXPECT_EQ(bench.state(1), State::init);
  bench.node.set_enabled(true, bench.now);
  EXPECT_EQ(bench.state(1), State::backup);

  Bench unplugged{node_config({})};
  unplugged.node.set_link(false, unplugged.now);
  EXPECT_EQ(unplugged.demotion.total(), 0) << "no address suffers";
  change(unplugged, {two[0]});
  EXPECT_EQ(unplugged.state(), State::init);
  EXPECT_EQ(unplugged.demotion.total(), Demotion::factor);
  change(unplugged, {});
  EXPECT_EQ(unplugged.demotion.total(), 0);
  change(unplugged, {two[0]});
  unplugged.node.set_link(true, unplugged.now);
  EXPECT_EQ(unplugged.demotion.total(), 0);
  EXPECT_EQ(unplugged.state(), State::backup);
}

TEST(CarpChange, AUnicastPeerThatStaysIsKnown) {
  HostConfig unicast = two[0];
  unicast.peer_inet = address("192.168.1.2").address;
  Bench bench{node_config({unicast})};
  bench.hear(arp_frame(own_mac, {.operation = wire::ArpOperation::reply,
                                 .sender_mac = peer_mac,
                                 .sender = unicast.peer_inet,
                                 .target_mac = own_mac,
                                 .target = address("192.168.1.1").address}));
  bench.pass(3500ms);
  ASSERT_EQ(bench.state(), State::master);
  const std::uint64_t unresolved = bench.count(Tally::unresolved);
  HostConfig second = two[1];
  second.peer_inet = unicast.peer_inet;
  change(bench, {unicast, second});
  bench.pass(5s);
  EXPECT_EQ(bench.state(1), State::master);
  EXPECT_EQ(bench.count(Tally::unresolved), unresolved);
}

TEST(CarpChange, EveryHostAtOnce) {
  std::vector<HostConfig> all;
  for (unsigned vhid = 1; vhid <= 255; ++vhid) {
    all.push_back(two[0]);
    all.back().vhid = static_cast<std::uint8_t>(vhid);
    all.back().addresses = {{wire::Family::inet, wire::ipv4_address(10, 0, 1, static_cast<std::uint8_t>(vhid))}};
  }
  Bench bench{node_config(all)};
  bench.pass(4s);
  change(bench, {});
  const auto sent = bench.pass(0s);
  EXPECT_EQ(sent.size(), 255u * 3);
  EXPECT_TRUE(bench.node.hosts().empty());
  EXPECT_FALSE(bench.node.timeout());
  change(bench, all);
  bench.pass(4s);
  EXPECT_TRUE(std::ranges::all_of(bench.node.hosts(), [](const Host& host) { return host.state() == State::master; }));
}

}  // namespace
}  // namespace pfsync::engine::carp::test
