// What a master does for its addresses on the link, and a backup does not.
#include <gtest/gtest.h>

#include "tests/engine/carp/carp_bench.h"

namespace pfsync::engine::carp::test {
namespace {

using wire::Family;

constexpr wire::MacAddress client_mac{{0x52, 0x54, 0, 0, 0, 9}};

std::string hex(const Frame& frame) {
  std::string text;
  for (const std::uint8_t byte : frame) {
    text += "0123456789abcdef"[byte >> 4u];
    text += "0123456789abcdef"[byte & 0xfu];
  }
  return text;
}

Frame arp_request(const char* for_whom, const char* asker = "192.168.1.9") {
  return arp_frame(wire::broadcast_mac,
                   {.sender_mac = client_mac, .sender = address(asker).address, .target = address(for_whom).address});
}

Frame solicitation(const char* for_whom, const char* asker) {
  const auto group = wire::solicited_node(address(for_whom).address);
  const bool probe = std::string_view{asker} == "::";
  Frame message(probe ? 24 : 32);
  wire::Neighbour question{.is_solicitation = true, .target = address(for_whom).address};
  if (!probe) question.mac = client_mac;
  EXPECT_EQ(wire::write_neighbour(question, address(asker).address, group, message), message.size());
  return framed(wire::multicast_mac(Family::inet6, group), client_mac,
                {Family::inet6, address(asker).address, group, wire::ipproto::icmpv6}, message);
}

Frame echo_request(const char* to, const wire::MacAddress& mac, const char* from, std::size_t size = 64) {
  const auto target = address(to), asker = address(from);
  const bool inet = target.family == Family::inet;
  Frame message(size, 0x5a);
  wire::IcmpRecord record{inet ? wire::icmp_type::echo_request : wire::icmpv6_type::echo_request, 0, wire::Be16{0},
                          wire::Be32{0x12340001}};
  wire::store(wire::Room{message}, 0, record);
  record.checksum = wire::Be16{inet ? wire::internet_checksum(message)
                                    : wire::icmpv6_checksum(asker.address, target.address, message)};
  wire::store(wire::Room{message}, 0, record);
  return framed(mac, client_mac,
                {target.family, asker.address, target.address, inet ? wire::ipproto::icmp : wire::ipproto::icmpv6},
                message, 64);
}

TEST(CarpLink, AdvertisesFromTheVirtualEthernetAddressToTheGroup) {
  Bench bench{node_config({host_config(7, 0, {"192.168.99.100", "2001:db8::1"})})};
  const auto frames = bench.pass(3s);
  ASSERT_EQ(adverts_in(frames).size(), 2u);
  EXPECT_EQ(hex(frames[0]).substr(0, 28), "01005e00001200005e0001070800");
  EXPECT_EQ(hex(frames[1]).substr(0, 28), "33330000001200005e00010786dd");
  EXPECT_EQ(frames[0].size(), 70u);
  EXPECT_EQ(frames[1].size(), 90u);
  EXPECT_EQ(frames[0][14 + 8], 255);
  EXPECT_EQ(frames[1][14 + 7], 255);
  EXPECT_EQ(wire::read_ip(wire::Bytes{frames[0]}.subspan(14)).packet.source, address("192.168.1.1").address);
  EXPECT_EQ(wire::read_ip(wire::Bytes{frames[1]}.subspan(14)).packet.source, address("fe80::5054:ff:fe00:1").address);
}

/// Everything but the identification, which may be anything (here 0), and the IP checksum over it. The frames were
/// worked out from FreeBSD's sources.
TEST(CarpLink, SendsTheFramesThatFreeBsdWouldSend) {
  Bench inet{node_config({host_config(1, 0, {"192.168.1.100"})})};
  Other other{host_config(1, 0, {"192.168.1.100"})};
  other.counter = 0x0123456789abcded;
  inet.hear(other.advert(1, 100));
  const auto frames = inet.take();
  ASSERT_FALSE(frames.empty());
  EXPECT_EQ(hex(frames[0]),
            "01005e00001200005e0001010800"
            "45e0003800004000ff70d8b9c0a80101e0000012"
            "210100070001380f0123456789abcdef87ad464cf4a04a7cb88bc8664c5c3f87b0803e54");

  const auto config = host_config(7, 0, {"192.168.99.100", "2001:db8::1", "fe80::1", "2001:db8::a"});
  Bench both{node_config({config})};
  Other other_of_both{config};
  other_of_both.counter = ~std::uint64_t{0} - 1;  // after it 0 goes by IPv4, 1 by IPv6
  both.hear(other_of_both.advert(1, 100));
  const auto frames_of_both = both.take();
  ASSERT_GT(frames_of_both.size(), 1u);
  EXPECT_EQ(hex(frames_of_both[1]),
            "33330000001200005e00010786dd"
            "6e000000002470fffe80000000000000505400fffe000001ff020000000000000000000000000012"
            "210700070001dc750000000000000001551c9575791aabea8a021a561a07dc77f4866384");
}

TEST(CarpLink, AnnouncesEachAddressThreeTimesAfterTheAdvertisement) {
  Bench bench{node_config({host_config(7, 0, {"192.168.1.100", "192.168.1.101", "2001:db8::1"})})};
  const auto first = bench.pass(3s);
  ASSERT_EQ(first.size(), 5u);  // two advertisements, three announcements
  EXPECT_EQ(hex(first[2]),
            "ffffffffffff00005e00010708060001080006040001"
            "00005e000107c0a80164"
            "000000000000c0a80164");
  // From carp_send_na() of FreeBSD, with a hop limit of 255 and the checksum worked out by hand.
  EXPECT_EQ(hex(first[4]),
            "33330000000100005e00010786dd6000000000203aff"
            "fe80000000000000505400fffe000001"
            "ff020000000000000000000000000001"
            "88007c0820000000"
            "20010db8000000000000000000000001"
            "020100005e000107");
  const auto later = bench.pass(10s);
  const auto arps = arps_in(later);
  ASSERT_EQ(arps.size(), 4u);
  EXPECT_EQ(arps[0].operation, wire::ArpOperation::reply);
  EXPECT_EQ(arps[2].operation, wire::ArpOperation::request);
  EXPECT_EQ(bench.count(Tally::announcements), 9u);
}

TEST(CarpLink, AnnouncesAgainWhenHostsMayHaveBelievedAnother) {
  Bench bench{node_config({host_config(1, 0, {"192.168.1.100"})})};
  bench.pass(10s);
  EXPECT_EQ(bench.count(Tally::announcements), 3u);
  Other worse{host_config(1, 100, {"192.168.1.100"})};
  bench.hear(worse.advert(1, 100));
  EXPECT_EQ(arps_in(bench.take()).size(), 1u);
  bench.pass(10s);
  EXPECT_EQ(bench.count(Tally::announcements), 6u);
  bench.now += 20s;  // the process did not run
  bench.node.on_absence(bench.now);
  bench.pass(10s);
  EXPECT_EQ(bench.count(Tally::announcements), 9u);
}

TEST(CarpLink, OnlyTheMasterAnswersArp) {
  Bench bench{node_config({host_config(1, 0, {"192.168.1.100"})})};
  bench.hear(arp_request("192.168.1.100"));
  EXPECT_TRUE(bench.take().empty());
  bench.pass(3s);
  bench.hear(arp_request("192.168.1.101"));
  bench.hear(arp_request("192.168.1.100", "192.168.1.100"));  // another's gratuitous ARP
  EXPECT_TRUE(bench.take().empty());
  bench.hear(arp_request("192.168.1.100"));
  const auto frames = bench.take();
  ASSERT_EQ(frames.size(), 1u);
  EXPECT_EQ(hex(frames[0]),
            "52540000000900005e000101080600010800060400020000"
            "5e000101c0a80164525400000009c0a80109");
  bench.node.order(1, State::backup, bench.now);
  bench.hear(arp_request("192.168.1.100"));
  EXPECT_TRUE(bench.take().empty());
  EXPECT_EQ(bench.count(Tally::arp_replies), 1u);
}

TEST(CarpLink, AQuestionToAnothersEthernetAddressIsNotForTheMaster) {
  Bench bench{node_config({host_config(7, 0, {"192.168.1.100", "2001:db8::1"})})};
  bench.pass(3s);
  Frame arp = arp_request("192.168.1.100"), neighbour = solicitation("2001:db8::1", "2001:db8::9");
  for (Frame* question : {&arp, &neighbour}) {
    const auto ask = [&](const wire::MacAddress& mac) {
      std::copy(mac.bytes.begin(), mac.bytes.end(), question->begin());
      bench.hear(*question);
      return bench.take().size();
    };
    EXPECT_EQ(ask(peer_mac), 0u) << "seen only because the port is promiscuous";
    EXPECT_EQ(ask(wire::carp_mac(8)), 0u);
    EXPECT_EQ(ask(wire::carp_mac(7)), 1u) << "a host that asks again whom it knows";
    EXPECT_EQ(ask(own_mac), 1u);
  }
}

TEST(CarpLink, AnAnswerIsNotGivenAfterTheMastersEnd) {
  Bench bench{node_config({host_config(1, 0, {"192.168.1.100"})})};
  bench.pass(3s);
  bench.hear(arp_request("192.168.1.100"));
  bench.node.order(1, State::backup, bench.now);
  EXPECT_TRUE(bench.take().empty());
  EXPECT_EQ(bench.count(Tally::answers_dropped), 1u);
}

TEST(CarpLink, OnlyTheMasterAnswersSolicitations) {
  Bench bench{node_config({host_config(7, 0, {"2001:db8::1"})})};
  bench.hear(solicitation("2001:db8::1", "2001:db8::9"));
  EXPECT_TRUE(bench.take().empty());
  bench.pass(3s);
  bench.hear(solicitation("2001:db8::1", "2001:db8::9"));
  auto frames = bench.take();
  ASSERT_EQ(frames.size(), 1u);
  auto ethernet = *wire::read_ethernet(frames[0]);
  EXPECT_EQ(ethernet.destination, client_mac);
  EXPECT_EQ(ethernet.source, wire::carp_mac(7));
  auto neighbour = wire::read_neighbour(wire::read_ip(ethernet.payload).packet);
  ASSERT_TRUE(neighbour);
  EXPECT_EQ(
      *neighbour,
      (wire::Neighbour{
          .solicited = true, .override = true, .target = address("2001:db8::1").address, .mac = wire::carp_mac(7)}));

  bench.hear(solicitation("2001:db8::1", "::"));  // duplicate address detection
  frames = bench.take();
  ASSERT_EQ(frames.size(), 1u);
  ethernet = *wire::read_ethernet(frames[0]);
  EXPECT_EQ(hex(frames[0]).substr(0, 12), "333300000001");
  neighbour = wire::read_neighbour(wire::read_ip(ethernet.payload).packet);
  ASSERT_TRUE(neighbour);
  EXPECT_FALSE(neighbour->solicited);
}

TEST(CarpLink, IsNotFooledByADamagedSolicitation) {
  Bench bench{node_config({host_config(7, 0, {"2001:db8::1"})})};
  bench.pass(3s);
  const Frame good = solicitation("2001:db8::1", "2001:db8::9");
  for (std::size_t byte = 14 + 7; byte < good.size(); ++byte) {
    if (byte == 14 + 6) continue;
    Frame bad = good;
    bad[byte] ^= 0x10;
    bench.hear(bad);
  }
  EXPECT_TRUE(bench.take().empty());
}

TEST(CarpLink, OnlyTheMasterAnswersEcho) {
  for (const auto& [virtual_address, client] :
       {std::pair{"192.168.1.100", "192.168.1.9"}, std::pair{"2001:db8::1", "2001:db8::9"}}) {
    Bench bench{node_config({host_config(7, 0, {"192.168.1.100", "2001:db8::1"})})};
    const Frame request = echo_request(virtual_address, wire::carp_mac(7), client);
    bench.hear(request);
    EXPECT_TRUE(bench.take().empty());
    bench.pass(3s);
    bench.hear(request);
    const auto frames = bench.take();
    ASSERT_EQ(frames.size(), 1u);
    const auto ethernet = *wire::read_ethernet(frames[0]);
    EXPECT_EQ(ethernet.destination, client_mac);
    EXPECT_EQ(ethernet.source, wire::carp_mac(7));
    const auto ip = wire::read_ip(ethernet.payload);
    ASSERT_FALSE(ip.reject);
    EXPECT_EQ(ip.packet.source, address(virtual_address).address);
    EXPECT_EQ(ip.packet.destination, address(client).address);
    EXPECT_EQ(ip.packet.payload.size(), 64u);
    EXPECT_EQ(ip.packet.payload[0], ip.packet.family == Family::inet ? 0 : 129);
    EXPECT_EQ(ip.packet.family == Family::inet
                  ? wire::internet_checksum(ip.packet.payload)
                  : wire::icmpv6_checksum(ip.packet.source, ip.packet.destination, ip.packet.payload),
              0);
    bench.hear(echo_request(virtual_address, peer_mac, client));  // seen only because the port is promiscuous
    EXPECT_TRUE(bench.take().empty());
  }
}

TEST(CarpLink, AnswersNoEchoThatWouldReachManyOrItself) {
  Bench bench{node_config({host_config(1, 0, {"192.168.1.100"})})};
  bench.pass(3s);
  for (const char* source : {"224.0.0.1", "255.255.255.255", "0.0.0.0", "192.168.1.100"}) {
    bench.hear(echo_request("192.168.1.100", wire::carp_mac(1), source));
    EXPECT_TRUE(bench.take().empty()) << source;
  }
}

TEST(CarpLink, WhoPingsWithoutEndKeepsNobodyFromFindingTheAddress) {
  Bench bench{node_config({host_config(1, 0, {"192.168.1.100"})})};
  bench.pass(3s);
  std::size_t found = 0, echoes = 0;
  for (int i = 0; i < 500; ++i) {
    for (int k = 0; k < 90; ++k) bench.hear(echo_request("192.168.1.100", wire::carp_mac(1), "192.168.1.9"));
    if (i % 10 == 0) bench.hear(arp_request("192.168.1.100"));
    for (const Frame& frame : bench.take()) (frame[12] == 8 && frame[13] == 6 ? found : echoes) += 1;
    bench.pass(10ms);
  }
  EXPECT_EQ(found, 50u);
  EXPECT_GE(echoes, 2000u);
  EXPECT_LE(echoes, 5 * Node::answers_per_s_max + Node::answers_max);
}

TEST(CarpLink, BoundsWhatItAnswersAtOnceAndCountsTheRest) {
  Bench bench{node_config({host_config(1, 0, {"192.168.1.100"})})};
  bench.pass(3s);
  bench.hear(echo_request("192.168.1.100", wire::carp_mac(1), "192.168.1.9", 1700));
  EXPECT_EQ(bench.count(Tally::answers_dropped), 1u);
  for (std::size_t i = 0; i < Node::answers_max + 10; ++i) bench.hear(arp_request("192.168.1.100"));
  EXPECT_EQ(bench.take().size(), Node::answers_max);
  EXPECT_EQ(bench.count(Tally::answers_dropped), 11u);
}

TEST(CarpLink, SeveralHostsOnAPortHaveTheirOwnAddresses) {
  Bench bench{node_config({host_config(1, 0, {"192.168.1.100"}), host_config(2, 100, {"192.168.1.101"})})};
  bench.pass(3100ms);
  EXPECT_EQ(bench.state(0), State::master);
  EXPECT_EQ(bench.state(1), State::backup);
  bench.take();
  bench.hear(arp_request("192.168.1.100"));
  bench.hear(arp_request("192.168.1.101"));
  auto arps = arps_in(bench.take());
  ASSERT_EQ(arps.size(), 1u);
  EXPECT_EQ(arps[0].sender_mac, wire::carp_mac(1));
  EXPECT_TRUE(bench.node.owns(Family::inet, address("192.168.1.100").address));
  EXPECT_FALSE(bench.node.owns(Family::inet, address("192.168.1.101").address));
}

TEST(CarpLink, AUnicastPeerIsAskedForAndThenAdvertisedToFromThePortsOwnAddress) {
  auto config = host_config(1, 0, {"192.168.1.100"});
  config.peer_inet = address("192.168.1.2").address;
  Bench bench{node_config({config})};
  auto frames = bench.pass(3s);
  EXPECT_TRUE(adverts_in(frames).empty());
  EXPECT_EQ(bench.count(Tally::unresolved), 1u);
  const auto arps = arps_in(frames);
  ASSERT_FALSE(arps.empty());
  EXPECT_EQ(arps.back().target, config.peer_inet);
  EXPECT_EQ(arps.back().sender, address("192.168.1.1").address);

  const Frame reply = arp_frame(own_mac, {.operation = wire::ArpOperation::reply,
                                          .sender_mac = peer_mac,
                                          .sender = config.peer_inet,
                                          .target_mac = own_mac,
                                          .target = address("192.168.1.1").address});
  bench.hear(reply);
  frames = bench.take();
  ASSERT_EQ(adverts_in(frames).size(), 1u) << "what waited for the answer";
  EXPECT_EQ(hex(frames[0]).substr(0, 28), "5254000000025254000000010800");
  bench.hear(reply);
  EXPECT_TRUE(bench.take().empty());
  EXPECT_EQ(adverts_in(bench.pass(1s)).size(), 1u);
  EXPECT_EQ(wire::read_ip(wire::Bytes{frames[0]}.subspan(14)).packet.destination, config.peer_inet);
  bench.pass(2s);
  EXPECT_GT(arps_in(bench.pass(31s)).size(), 0u);  // switches learn the virtual Ethernet address from these alone

  // A unicast advertisement may have been routed: its TTL is not judged.
  Other other{host_config(1, 0, {"192.168.1.100"})};
  Frame routed = other.advert(1, 100, 0, 60);
  bench.hear(routed);
  EXPECT_EQ(bench.count(wire::CarpReject::badttl), 0u);
  EXPECT_EQ(bench.status().adverts_in, 1u);
}

TEST(CarpLink, AUnicastPeerIsNotAtTheVirtualEthernetAddressOfAnotherHostThatItLeads) {
  const auto by_group = host_config(1, 100, {"192.168.1.100"});
  auto by_unicast = host_config(2, 0, {"192.168.1.101"});
  by_unicast.peer_inet = address("192.168.1.2").address;
  Bench bench{node_config({by_group, by_unicast})};
  wire::Arp claim{.operation = wire::ArpOperation::reply,
                  .sender_mac = peer_mac,
                  .sender = by_unicast.peer_inet,
                  .target_mac = own_mac,
                  .target = address("192.168.1.1").address};
  bench.hear(arp_frame(own_mac, claim));
  claim.sender_mac = {{0x01, 0, 0x5e, 0, 0, 1}};
  bench.hear(arp_frame(own_mac, claim));
  bench.pass(2900ms);
  Other other{by_group};
  bench.hear(other.advert(1, 0));
  const auto frames = bench.pass(200ms);
  ASSERT_EQ(bench.state(0), State::backup);
  ASSERT_EQ(bench.state(1), State::master);
  ASSERT_EQ(adverts_in(frames).size(), 1u);
  EXPECT_EQ(wire::read_ethernet(frames[0])->destination, peer_mac);
}

TEST(CarpLink, AUnicastPeerOverIpv6IsAskedForByNeighbourDiscovery) {
  auto config = host_config(1, 0, {"2001:db8::100"});
  config.peer_inet6 = address("fe80::2").address;
  Bench bench{node_config({config})};
  auto frames = bench.pass(3s);
  EXPECT_TRUE(adverts_in(frames).empty());
  EXPECT_EQ(bench.count(Tally::unresolved), 1u);
  ASSERT_FALSE(frames.empty());
  const auto question = wire::read_neighbour(wire::read_ip(wire::Bytes{frames.back()}.subspan(14)).packet);
  ASSERT_TRUE(question && question->is_solicitation);
  EXPECT_EQ(question->target, config.peer_inet6);

  const wire::Neighbour answer{.solicited = true, .override = true, .target = config.peer_inet6, .mac = peer_mac};
  Frame message(32);
  const wire::Address own = wire::link_local_address(own_mac);
  ASSERT_EQ(wire::write_neighbour(answer, config.peer_inet6, own, message), 32u);
  bench.hear(framed(own_mac, peer_mac, {Family::inet6, config.peer_inet6, own, wire::ipproto::icmpv6}, message));
  frames = bench.take();
  ASSERT_EQ(adverts_in(frames).size(), 1u);
  EXPECT_EQ(hex(frames[0]).substr(0, 28), "52540000000252540000000186dd");

  // Its own come to this node's address, perhaps by a router.
  Other other{config, {Family::inet6, config.peer_inet6}};
  Frame theirs = other.advert(1, 100, 0, 60);
  std::copy(own.bytes.begin(), own.bytes.end(), theirs.begin() + 14 + 24);
  bench.hear(theirs);
  EXPECT_EQ(bench.status().adverts_in, 1u);
  EXPECT_EQ(bench.mistakes(Mistake::two_masters), 0u);
}

TEST(CarpLink, WorksInsideAVlanAndNotOutside) {
  auto config = node_config({host_config(1, 0, {"192.168.1.100"})});
  config.vlan = 42;
  Bench bench{config};
  const auto frames = bench.pass(3s);
  ASSERT_FALSE(frames.empty());
  EXPECT_EQ(frames[0].size(), 74u);
  EXPECT_EQ(wire::read_ethernet(frames[0])->vlan, 42);
  bench.hear(arp_request("192.168.1.100"));
  EXPECT_TRUE(bench.take().empty());
}

}  // namespace
}  // namespace pfsync::engine::carp::test
