#include "engine/link/link.h"

#include <gtest/gtest.h>

#include <vector>

#include "wire/arp.h"
#include "wire/ethernet.h"
#include "wire/icmp.h"
#include "wire/ip.h"

namespace pfsync::engine {
namespace {

using namespace std::chrono_literals;
using wire::Family;
using wire::Reject;

constexpr statetable::Instant t0{1h};
constexpr wire::Address address_a = wire::ipv4_address(10, 0, 0, 1), address_b = wire::ipv4_address(10, 0, 0, 2);
constexpr wire::MacAddress mac_a{{2, 0, 0, 0, 0, 1}}, mac_b{{2, 0, 0, 0, 0, 2}};

using Frame = std::vector<std::uint8_t>;

/// A link and the counters it writes to.
struct End {
  explicit End(const LinkConfig& config) : link{config, counters} {}
  Counters counters;
  Link link;
  [[nodiscard]] std::uint64_t count(Reject reject) const { return counters[reject].value(); }

  Frame send(std::size_t bytes = 24) {
    Frame frame(1600, 0);
    const wire::Room room = link.packet_room(frame, wire::Dialect::freebsd_1301);
    std::fill_n(room.begin(), bytes, std::uint8_t{0x5a});
    frame.resize(link.finish(frame, bytes));
    return frame;
  }
  Frame resolution(statetable::Instant now = t0) {
    Frame frame(96, 0);
    frame.resize(link.transmit_resolution(frame, now));
    return frame;
  }
};

LinkConfig multicast(wire::MacAddress mac, wire::Address address) { return {.mac = mac, .address = address}; }
LinkConfig unicast(wire::MacAddress mac, wire::Address address, wire::Address peer) {
  return {.mac = mac, .address = address, .destination = peer};
}

/// Turns of a second each. Returns how many frames were sent, which go to `to`, as what that answers comes back.
std::size_t turns(End& end, End* to, statetable::Instant from, int seconds) {
  std::size_t sent = 0;
  for (int s = 0; s < seconds; ++s) {
    const auto now = from + std::chrono::seconds{s};
    if (to != nullptr) static_cast<void>(to->resolution(now));
    const Frame asked = end.resolution(now);
    if (asked.empty()) continue;
    ++sent;
    if (to == nullptr) continue;
    EXPECT_FALSE(to->link.on_frame(asked));
    const Frame answer = to->resolution(now);
    if (!answer.empty()) static_cast<void>(end.link.on_frame(answer));
  }
  return sent;
}

void expect_silence_is_noticed(End& a, End& b) {
  EXPECT_FALSE(a.link.silent_since(0, t0 + 1h)) << "who was never heard is not missed";
  turns(a, &b, t0, 2);
  static_cast<void>(a.link.on_frame(b.send()));
  turns(a, &b, t0, 2);
  // A quiet pair is no dead one, and is not asked often.
  EXPECT_LE(turns(a, &b, t0 + 2s, 600), 70u);
  EXPECT_FALSE(a.link.silent_since(0, t0 + 602s));
  // A busy one is not asked at all for life, whatever becomes of the answers.
  for (int s = 602; s < 650; ++s) {
    static_cast<void>(a.link.on_frame(b.send()));
    turns(a, nullptr, t0 + std::chrono::seconds{s}, 1);
    EXPECT_FALSE(a.link.silent_since(0, t0 + std::chrono::seconds{s}));
  }
  turns(a, nullptr, t0 + 650s, 12);
  EXPECT_FALSE(a.link.silent_since(0, t0 + 661s)) << "not after one lost answer";
  turns(a, nullptr, t0 + 662s, 10);
  EXPECT_EQ(a.link.silent_since(0, t0 + 672s), t0 + 648s);
  static_cast<void>(a.link.on_frame(b.send()));
  EXPECT_FALSE(a.link.silent_since(0, t0 + 672s)) << "back";
}

TEST(Link, MissesAPeerThatFallsSilent) {
  End a{unicast(mac_a, address_a, address_b)}, b{unicast(mac_b, address_b, address_a)};
  for (End* end : {&a, &b}) static_cast<void>(end->resolution(t0));
  static_cast<void>(b.link.on_frame(a.resolution(t0 + 1s)));
  expect_silence_is_noticed(a, b);
}

TEST(Link, MissesWhoSpokeLastInAGroup) {
  End a{multicast(mac_a, address_a)}, b{multicast(mac_b, address_b)};
  expect_silence_is_noticed(a, b);
}

TEST(Link, WhoAnswersInTheNameOfASilentNodeFromElsewhereKeepsItFromNoAlarm) {
  LinkConfig config = multicast(mac_a, address_a);
  config.sources = {{.address = address_b, .mac = mac_b}};
  End a{config}, b{multicast(mac_b, address_b)}, stranger{multicast({{2, 0, 0, 0, 0, 3}}, address_b)};
  turns(a, &b, t0, 2);
  static_cast<void>(a.link.on_frame(b.send()));
  turns(a, &b, t0, 30);
  turns(a, &stranger, t0 + 30s, 60);
  EXPECT_TRUE(a.link.silent_since(0, t0 + 90s));
}

TEST(Link, DoesNotMissAMemberOfAGroupThatAnswersNoArp) {
  End a{multicast(mac_a, address_a)}, b{multicast(mac_b, address_b)};
  static_cast<void>(a.link.on_frame(b.send()));
  EXPECT_LE(turns(a, nullptr, t0, 600), 10u);
  EXPECT_FALSE(a.link.silent_since(0, t0 + 600s));
}

TEST(Link, SendsToTheGroupAsTheKernelsDo) {
  End a{multicast(mac_a, address_a)};
  const Frame frame = a.send();
  const auto ethernet = wire::read_ethernet(frame);
  ASSERT_TRUE(ethernet);
  EXPECT_EQ(ethernet->destination, (wire::MacAddress{{0x01, 0x00, 0x5e, 0, 0, 0xf0}}));
  const auto ip = wire::read_ip(ethernet->payload);
  ASSERT_FALSE(ip.reject);  // the header checksum among others
  EXPECT_EQ(ip.packet.protocol, 240);
  EXPECT_EQ(ip.packet.ttl, 255);
  EXPECT_EQ(ip.packet.tos, 0x10);
  EXPECT_TRUE(ip.packet.dont_fragment);
  EXPECT_EQ(ip.packet.destination, wire::pfsync_group_inet);
  End b{multicast(mac_b, address_b)};
  const auto packet = b.link.on_frame(frame);
  ASSERT_TRUE(packet);
  EXPECT_EQ(packet->packet.size(), 24u);
  EXPECT_EQ(packet->source, address_a);
}

TEST(Link, CarriesIpv6AndVlans) {
  LinkConfig config = multicast(
      mac_a, *[] { return std::optional{wire::parse_address("2001:db8::1")->second}; }());
  config.family = Family::inet6;
  config.destination = wire::pfsync_group_inet6;
  config.vlan = 42;
  End a{config};
  config.mac = mac_b;
  config.address = wire::parse_address("2001:db8::2")->second;
  End b{config};
  EXPECT_TRUE(b.link.on_frame(a.send()));
  config.vlan = 43;
  End other_vlan{config};
  EXPECT_FALSE(other_vlan.link.on_frame(a.send()));
  EXPECT_EQ(other_vlan.link.frames_other(), 1u);
}

TEST(Link, RoomForThePacketIsWhatTheReceiversOwnKindLeavesOfTheMtu) {
  using wire::Dialect;
  End a{multicast(mac_a, address_a)};
  Frame frame(9000, 0);
  EXPECT_EQ(a.link.packet_room(frame, Dialect::freebsd_1301).size(), 1480u);
  EXPECT_EQ(a.link.packet_room(frame, Dialect::openbsd).size(), 1480u);
  // They reserve the 40 bytes of an IPv6 header over IPv4 too.
  EXPECT_EQ(a.link.packet_room(frame, Dialect::freebsd_1400).size(), 1460u);
  EXPECT_EQ(a.link.packet_room(frame, Dialect::freebsd_1500).size(), 1460u);
  EXPECT_EQ(a.link.packet_room(wire::Room{frame}.first(100), Dialect::freebsd_1400).size(), 66u);
  EXPECT_TRUE(a.link.packet_room(wire::Room{frame}.first(34), Dialect::freebsd_1400).empty());
}

TEST(Link, EachRefusalHasItsCounter) {
  End a{multicast(mac_a, address_a)};
  LinkConfig config = multicast(mac_b, address_b);
  config.sources = {{address_a}};
  End b{config};
  const Frame good = a.send();

  Frame low_ttl = good;
  low_ttl[14 + 8] = 254;  // and the checksum one higher, in its high byte
  low_ttl[14 + 10] = static_cast<std::uint8_t>(low_ttl[14 + 10] + 1);
  EXPECT_FALSE(b.link.on_frame(low_ttl));
  EXPECT_EQ(b.count(Reject::badttl), 1u);

  Frame bad_sum = good;
  bad_sum[14 + 8] = 254;
  EXPECT_FALSE(b.link.on_frame(bad_sum));
  EXPECT_EQ(b.count(Reject::badsum), 1u);

  EXPECT_FALSE(a.link.on_frame(good));
  EXPECT_EQ(a.count(Reject::looped), 1u);

  End stranger{multicast(mac_a, wire::ipv4_address(10, 0, 0, 66))};
  EXPECT_FALSE(b.link.on_frame(stranger.send()));
  EXPECT_EQ(b.count(Reject::badif), 1u);

  EXPECT_FALSE(b.link.on_frame(wire::Bytes{good}.first(10)));
  EXPECT_EQ(b.count(Reject::badip), 1u);

  Frame other_protocol(60, 0);
  const std::size_t header = wire::write_ethernet_header(mac_b, mac_a, {}, wire::ethertype::ipv4, other_protocol);
  ASSERT_GT(
      wire::write_ip_header({Family::inet, address_a, address_b, 1}, 8, wire::Room{other_protocol}.subspan(header)),
      0u);
  EXPECT_FALSE(b.link.on_frame(other_protocol));
  EXPECT_EQ(b.link.frames_other(), 1u);
}

TEST(Link, TakesAnAddressFromItsOwnEthernetAddressAlone) {
  LinkConfig config = multicast(mac_b, address_b);
  config.sources = {{address_a, mac_a}, {wire::ipv4_address(10, 0, 0, 3)}};
  End b{config};
  EXPECT_TRUE(b.link.on_frame(End{multicast(mac_a, address_a)}.send()));
  EXPECT_FALSE(b.link.on_frame(End{multicast({{2, 0, 0, 0, 0, 9}}, address_a)}.send()));
  EXPECT_EQ(b.count(Reject::badmac), 1u);
  EXPECT_TRUE(b.link.on_frame(End{multicast({{2, 0, 0, 0, 0, 9}}, wire::ipv4_address(10, 0, 0, 3))}.send()));
  EXPECT_EQ(b.count(Reject::badif), 0u);
}

TEST(Link, TakesAnAddressFromEachOfItsEthernetAddresses) {
  const wire::MacAddress other{{2, 0, 0, 0, 0, 9}}, third{{2, 0, 0, 0, 0, 10}};
  LinkConfig config = multicast(mac_b, address_b);
  config.sources = {{address_a, mac_a}, {address_a, other}};
  End b{config};
  EXPECT_TRUE(b.link.on_frame(End{multicast(mac_a, address_a)}.send()));
  EXPECT_TRUE(b.link.on_frame(End{multicast(other, address_a)}.send()));
  EXPECT_FALSE(b.link.on_frame(End{multicast(third, address_a)}.send()));
  EXPECT_EQ(b.count(Reject::badmac), 1u);
  config.sources.push_back({address_a, {}});  // and from anywhere
  End c{config};
  EXPECT_TRUE(c.link.on_frame(End{multicast(third, address_a)}.send()));
}

TEST(Link, KnowsEachOfSeveralPeersByItsAddress) {
  const auto address_c = wire::ipv4_address(10, 0, 0, 3);
  const wire::MacAddress mac_c{{2, 0, 0, 0, 0, 0x0c}};
  LinkConfig config{.mac = mac_a, .address = address_a, .peers = {{address_b, {}}, {address_c, mac_c}}};
  End hub{config};
  End b{unicast(mac_b, address_b, address_a)}, c{unicast(mac_c, address_c, address_a)};
  EXPECT_FALSE(hub.link.can_send(0));
  EXPECT_TRUE(hub.link.can_send(1));
  EXPECT_FALSE(b.link.on_frame(hub.resolution()));
  EXPECT_TRUE(hub.resolution().empty());  // c's is known
  EXPECT_FALSE(hub.link.on_frame(b.resolution()));
  ASSERT_TRUE(hub.link.can_send(0));
  EXPECT_FALSE(hub.link.on_frame(c.resolution()));  // c asks too,
  EXPECT_FALSE(c.link.on_frame(hub.resolution()));  // and is answered
  ASSERT_TRUE(c.link.can_send());

  const auto from_b = hub.link.on_frame(b.send());
  ASSERT_TRUE(from_b);
  EXPECT_EQ(from_b->peer, 0u);
  const auto from_c = hub.link.on_frame(c.send());
  ASSERT_TRUE(from_c);
  EXPECT_EQ(from_c->peer, 1u);
  EXPECT_EQ(from_c->source, address_c);

  Frame to_c(100);
  to_c.resize(hub.link.finish(to_c, 24, 1));
  EXPECT_EQ(wire::read_ethernet(to_c)->destination, mac_c);
}

TEST(Link, APeerWhoseEthernetAddressIsConfiguredIsHeardFromThereAlone) {
  const wire::MacAddress elsewhere{{2, 0, 0, 0, 0, 0x0c}}, of_virtual_router{{0, 0, 0x5e, 0, 1, 7}};
  LinkConfig config{.mac = mac_a, .address = address_a, .peers = {{address_b, mac_b}}};
  const auto from = [](const wire::MacAddress& mac) {
    LinkConfig there = unicast(mac, address_b, address_a);
    there.peer_mac = mac_a;
    return End{there}.send();
  };
  End a{config};
  EXPECT_TRUE(a.link.on_frame(from(mac_b)));
  EXPECT_FALSE(a.link.on_frame(from(elsewhere)));
  EXPECT_EQ(a.count(Reject::badmac), 1u);
  config.sources = {{.address = address_b, .mac = elsewhere}};
  End listed{config};
  EXPECT_TRUE(listed.link.on_frame(from(elsewhere)));
  // Who holds a shared address is sent to at its virtual Ethernet address, and sends from its own.
  End shared{{.mac = mac_a, .address = address_a, .peers = {{address_b, of_virtual_router}}}};
  EXPECT_TRUE(shared.link.on_frame(from(mac_b)));
}

TEST(Link, AUnicastLinkResolvesItsPeerAndTakesNobodyElse) {
  End a{unicast(mac_a, address_a, address_b)}, b{unicast(mac_b, address_b, address_a)};
  EXPECT_FALSE(a.link.can_send());
  const Frame request = a.resolution();
  ASSERT_FALSE(request.empty());
  EXPECT_TRUE(a.resolution(t0 + 999ms).empty());
  EXPECT_FALSE(a.resolution(t0 + 1s).empty());  // asked again
  EXPECT_FALSE(b.link.on_frame(request));
  EXPECT_TRUE(b.link.can_send());  // learnt from the question
  const Frame answer = b.resolution();
  ASSERT_FALSE(answer.empty());
  EXPECT_FALSE(a.link.on_frame(answer));
  ASSERT_TRUE(a.link.can_send());
  EXPECT_TRUE(a.resolution(t0 + 10s).empty());
  EXPECT_TRUE(b.link.on_frame(a.send()));
  EXPECT_EQ(b.link.arp_replies(), 1u);

  End stranger{unicast(mac_a, wire::ipv4_address(10, 0, 0, 66), address_b)};
  EXPECT_FALSE(stranger.link.on_frame(answer));  // an answer to somebody else teaches b's address all the same
  EXPECT_FALSE(b.link.on_frame(stranger.send()));
  EXPECT_EQ(b.count(Reject::badif), 1u);
}

TEST(Link, AsksAgainWhereAPeerIsThatHasBeenSilentAndKeepsWhatItKnowsMeanwhile) {
  End a{unicast(mac_a, address_a, address_b)}, b{unicast(mac_b, address_b, address_a)};
  EXPECT_FALSE(b.link.on_frame(a.resolution()));
  EXPECT_FALSE(a.link.on_frame(b.resolution()));
  EXPECT_TRUE(a.resolution(t0 + 9s).empty());
  EXPECT_FALSE(a.resolution(t0 + 10s).empty());
  EXPECT_TRUE(a.link.can_send());
  EXPECT_TRUE(a.resolution(t0 + 10s + 999ms).empty());
  EXPECT_FALSE(b.link.on_frame(a.resolution(t0 + 11s)));
  EXPECT_FALSE(a.link.on_frame(b.resolution(t0 + 11s)));
  EXPECT_TRUE(a.resolution(t0 + 20s).empty());
}

LinkConfig unicast6(wire::MacAddress mac, const char* address, const char* peer) {
  return {.mac = mac,
          .family = Family::inet6,
          .address = wire::parse_address(address)->second,
          .destination = wire::parse_address(peer)->second};
}

TEST(Link, FindsAnIpv6PeerByNeighbourDiscovery) {
  End a{unicast6(mac_a, "fd00::1", "fd00::2")};
  const wire::Address own = wire::parse_address("fd00::1")->second, peer = wire::parse_address("fd00::2")->second;
  EXPECT_FALSE(a.link.can_send());
  const Frame question = a.resolution();
  const auto ethernet = wire::read_ethernet(question);
  ASSERT_TRUE(ethernet);
  EXPECT_EQ(ethernet->destination, wire::multicast_mac(Family::inet6, wire::solicited_node(peer)));
  const auto ip = wire::read_ip(ethernet->payload);
  ASSERT_FALSE(ip.reject);
  EXPECT_EQ(ip.packet.ttl, 255);
  const auto asked = wire::read_neighbour(ip.packet);  // the checksum among others
  ASSERT_TRUE(asked);
  EXPECT_TRUE(asked->is_solicitation);
  EXPECT_EQ(asked->target, peer);
  EXPECT_EQ(asked->mac, mac_a);
  EXPECT_EQ(a.link.neighbour_requests(), 1u);

  const auto answer = [&](const wire::Address& target, const wire::MacAddress& mac) {
    Frame frame(96, 0);
    const std::size_t header = wire::write_ethernet_header(mac_a, mac, std::nullopt, wire::ethertype::ipv6, frame);
    const std::size_t body = wire::write_neighbour({.solicited = true, .override = true, .target = target, .mac = mac},
                                                   target, own, wire::Room{frame}.subspan(header + 40));
    static_cast<void>(wire::write_ip_header({Family::inet6, target, own, wire::ipproto::icmpv6}, body,
                                            wire::Room{frame}.subspan(header)));
    frame.resize(header + 40 + body);
    return frame;
  };
  EXPECT_FALSE(a.link.on_frame(answer(wire::parse_address("fd00::3")->second, mac_b)));     // of somebody else
  EXPECT_FALSE(a.link.on_frame(answer(peer, wire::MacAddress{{0x33, 0x33, 0, 0, 0, 1}})));  // a group is nobody's
  EXPECT_FALSE(a.link.can_send());
  EXPECT_FALSE(a.link.on_frame(answer(peer, mac_b)));
  ASSERT_TRUE(a.link.can_send());
  EXPECT_EQ(wire::read_ethernet(a.send())->destination, mac_b);

  End b{unicast6(mac_b, "fd00::2", "fd00::1")};
  EXPECT_FALSE(b.link.on_frame(question));  // the peer's question tells as much
  EXPECT_TRUE(b.link.can_send());
}

/// An address shared with another node.
struct Virtual final : OwnAddresses {
  static constexpr wire::Address address = wire::ipv4_address(10, 0, 0, 254);
  bool master = false;
  [[nodiscard]] bool owns(Family family, const wire::Address& asked) const noexcept override {
    return master && family == Family::inet && asked == address;
  }
};

TEST(Link, SpeaksUnderASharedAddressWhileItIsItsOwn) {
  LinkConfig config{.mac = mac_a, .address = address_a, .peers = {{address_b, mac_b, Virtual::address}}};
  End node{config};
  LinkConfig known = unicast(mac_b, address_b, Virtual::address);
  known.peer_mac = wire::MacAddress{{0, 0, 0x5e, 0, 1, 1}};
  End peer{known};
  Virtual shared;
  EXPECT_FALSE(node.link.can_send());
  node.link.take_also(&shared);
  EXPECT_FALSE(node.link.may_speak());
  EXPECT_FALSE(node.link.can_send());
  shared.master = true;
  EXPECT_TRUE(node.link.can_send());
  const auto arrival = peer.link.on_frame(node.send());
  ASSERT_TRUE(arrival);
  EXPECT_EQ(arrival->source, Virtual::address);
  EXPECT_TRUE(node.link.on_frame(peer.send()));
}

TEST(Link, TakesPacketsForFurtherAddressesWhileTheyAreItsOwn) {
  Virtual also;
  End node{multicast(mac_a, address_a)};
  LinkConfig known = unicast(mac_b, address_b, Virtual::address);
  known.peer_mac = wire::MacAddress{{0, 0, 0x5e, 0, 1, 1}};
  End to_virtual{known};
  const Frame frame = to_virtual.send();
  EXPECT_FALSE(node.link.on_frame(frame));
  node.link.take_also(&also);
  EXPECT_FALSE(node.link.on_frame(frame));
  also.master = true;
  EXPECT_TRUE(node.link.on_frame(frame));
}

TEST(Link, AnswersArpOnlyForItsOwnAddress) {
  End a{multicast(mac_a, address_a)}, asker{unicast(mac_b, address_b, wire::ipv4_address(10, 0, 0, 9))};
  EXPECT_FALSE(a.link.on_frame(asker.resolution()));
  EXPECT_TRUE(a.resolution().empty());
}

TEST(Link, WhoFloodsWithArpRequestsLeavesAnswersToOthers) {
  End a{multicast(mac_a, address_a)}, flooder{unicast(mac_b, address_b, address_a)},
      asker{unicast({{2, 0, 0, 0, 0, 0x77}}, wire::ipv4_address(10, 0, 0, 77), address_a)};
  const Frame flood = flooder.resolution(), question = asker.resolution();
  const auto answers_from = [&](statetable::Instant now) {
    std::size_t to_asker = 0;
    for (Frame frame; !(frame = a.resolution(now)).empty();) to_asker += frame[5] == 0x77;
    return to_asker;
  };
  std::size_t answered = 0;
  for (statetable::Instant now = t0; now < t0 + 5s; now += 1ms) {
    for (int i = 0; i < 40; ++i) EXPECT_FALSE(a.link.on_frame(flood));
    if (now.time_since_epoch() % 100ms == 0ms) {
      EXPECT_FALSE(a.link.on_frame(question));
    }
    answered += answers_from(now);
  }
  EXPECT_EQ(answered, 50u);
}

TEST(Link, BoundsTheArpRequestsThatItAnswersInASecond) {
  End a{multicast(mac_a, address_a)}, asker{unicast(mac_b, address_b, address_a)};
  const Frame question = asker.resolution();
  std::size_t answers = 0;
  for (statetable::Instant now = t0; now < t0 + 1s; now += 100us) {
    EXPECT_TRUE(a.resolution(now).empty());
    EXPECT_FALSE(a.link.on_frame(question));
    answers += !a.resolution(now).empty();
  }
  EXPECT_LE(answers, Link::answers_per_s + 32);
  EXPECT_GE(answers, Link::answers_per_s);
  EXPECT_EQ(a.link.arp_replies(), answers);
  EXPECT_EQ(a.link.answers_dropped(), 10000 - answers);
  // Of a burst between two turns, some.
  static_cast<void>(a.resolution(t0 + 2s));
  for (int i = 0; i < 20; ++i) EXPECT_FALSE(a.link.on_frame(question));
  std::size_t burst = 0;
  while (!a.resolution(t0 + 2s).empty()) ++burst;
  EXPECT_EQ(burst, 16u) << "the other half is for others";
}

TEST(Link, SurvivesEveryTruncation) {
  End a{multicast(mac_a, address_a)}, b{multicast(mac_b, address_b)};
  const Frame good = a.send();
  for (std::size_t bytes = 0; bytes < good.size(); ++bytes) {
    const Frame cut(good.begin(), good.begin() + static_cast<std::ptrdiff_t>(bytes));
    EXPECT_FALSE(b.link.on_frame(cut)) << bytes;
  }
  EXPECT_EQ(b.count(Reject::badip), good.size());
}

}  // namespace
}  // namespace pfsync::engine
