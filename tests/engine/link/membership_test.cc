// Multicast membership of a port: when it says what, which version it speaks, what a flood can make it do.
#include "engine/link/membership.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <set>
#include <stdexcept>
#include <string>
#include <vector>

#include "tests/engine/allocations.h"
#include "wire/ethernet.h"
#include "wire/icmp.h"
#include "wire/ip.h"

namespace pfsync::engine {
namespace {

using namespace std::chrono_literals;
using statetable::Instant;
using wire::Family;
using wire::Group;
using Version = wire::MembershipVersion;
using Tally = MembershipTally;
using Frame = std::vector<std::uint8_t>;

constexpr Instant t0{1h};
constexpr wire::MacAddress own_mac{{2, 0, 0, 0, 0, 1}}, querier_mac{{2, 0, 0, 0, 0, 9}};
constexpr wire::Address own = wire::ipv4_address(10, 0, 0, 1), querier = wire::ipv4_address(10, 0, 0, 9);
constexpr wire::Address own6 = wire::link_local_address(own_mac), querier6 = wire::link_local_address(querier_mac);
constexpr wire::Address pfsync = wire::pfsync_group_inet, pfsync6 = wire::pfsync_group_inet6;
constexpr wire::Address carp = wire::ipv4_address(224, 0, 0, 18);
constexpr wire::Address nobody = wire::ipv4_address(239, 1, 2, 3);

MembershipConfig two_groups() {
  return {.mac = own_mac,
          .inet = own,
          .inet6 = own6,
          .groups = {{Family::inet, wire::all_hosts_inet}, {Family::inet, pfsync}, {Family::inet, carp}},
          .seed = 1};
}
MembershipConfig inet6_group() {
  return {.mac = own_mac, .inet6 = own6, .groups = {{Family::inet6, pfsync6}, {Family::inet6, wire::all_nodes_inet6}}};
}

/// A frame with an IPv4 or IPv6 packet of hop limit 1 around a message whose checksum is made right.
Frame frame_of(Frame message, const wire::Address& source, const wire::Address& destination, bool inet6) {
  const Frame alert{wire::ipproto::icmpv6, 0, 5, 2, 0, 0, 1, 0};
  const std::uint16_t sum =
      inet6 ? wire::icmpv6_checksum(source, destination, message) : wire::internet_checksum(message);
  message[2] = static_cast<std::uint8_t>(sum >> 8u);
  message[3] = static_cast<std::uint8_t>(sum);
  if (inet6) message.insert(message.begin(), alert.begin(), alert.end());
  const Family family = inet6 ? Family::inet6 : Family::inet;
  Frame frame(14 + wire::ip_header_bytes(family), 0);
  EXPECT_GT(wire::write_ethernet_header(wire::multicast_mac(family, destination), querier_mac, std::nullopt,
                                        inet6 ? wire::ethertype::ipv6 : wire::ethertype::ipv4, frame),
            0u);
  const wire::Room ip = wire::Room{frame}.subspan(14);
  EXPECT_GT(wire::write_ip_header({family, source, destination, inet6 ? std::uint8_t{0} : wire::ipproto::igmp},
                                  message.size(), ip),
            0u);
  if (inet6) {
    ip[7] = 1;
  } else {
    ip[8] = 1;
    wire::store(ip, 10, wire::Be16{0});
    wire::store(ip, 10, wire::Be16{wire::internet_checksum(ip.first(20))});
  }
  frame.insert(frame.end(), message.begin(), message.end());
  return frame;
}

/// A query; `code` in tenths of a second, for MLD in milliseconds.
Frame query(Version version, const Group& group, unsigned code, std::vector<wire::Address> sources = {}) {
  const bool inet6 = group.family == Family::inet6;
  const std::size_t address_bytes = inet6 ? 16 : 4;
  Frame message(inet6 ? 24 : 8, 0);
  message[0] = inet6 ? wire::mld_type::query : wire::igmp_type::query;
  if (inet6) {
    wire::store(wire::Room{message}, 4, wire::Be16{static_cast<std::uint16_t>(code)});
  } else {
    message[1] = static_cast<std::uint8_t>(code);
  }
  std::copy_n(group.address.bytes.begin(), address_bytes, message.begin() + (inet6 ? 8 : 4));
  if (version == Version::v3) {
    message.insert(message.end(), {2, 125, 0, static_cast<std::uint8_t>(sources.size())});
    for (const auto& source : sources)
      message.insert(message.end(), source.bytes.begin(),
                     source.bytes.begin() + static_cast<std::ptrdiff_t>(address_bytes));
  }
  const wire::Address all = inet6 ? wire::all_nodes_inet6 : wire::all_hosts_inet;
  return frame_of(message, inet6 ? querier6 : querier, group.address == wire::Address{} ? all : group.address, inet6);
}
Frame general(Version version, unsigned code, Family family = Family::inet) {
  return query(version, {family, {}}, code);
}
/// Another host's report of version 2.
Frame others_report(const wire::Address& group) {
  return frame_of({wire::igmp_type::report_v2, 0, 0, 0, group.bytes[0], group.bytes[1], group.bytes[2], group.bytes[3]},
                  querier, group, false);
}

/// What a frame says, in short: "v3 to 224.0.0.22: 2 224.0.0.240, 2 224.0.0.18", types as the RFCs number them.
std::string words(const Frame& frame) {
  const auto ethernet = wire::read_ethernet(frame);
  const auto ip = wire::read_ip(ethernet->payload);
  EXPECT_FALSE(ip.reject);
  EXPECT_EQ(ethernet->source, own_mac);
  EXPECT_EQ(ip.packet.ttl, 1);
  EXPECT_EQ(ethernet->destination, wire::multicast_mac(ip.packet.family, ip.packet.destination));
  const bool inet6 = ip.packet.family == Family::inet6;
  const std::size_t address_bytes = inet6 ? 16 : 4;
  const wire::Bytes message = ip.packet.payload.subspan(inet6 ? 8 : 0);
  const auto address = [&](std::size_t at) {
    wire::Address result;
    std::copy_n(message.begin() + static_cast<std::ptrdiff_t>(at), address_bytes, result.bytes.begin());
    return to_string(result, ip.packet.family);
  };
  std::string text = "type ";
  text.append(std::to_string(message[0])).append(" to ").append(to_string(ip.packet.destination, ip.packet.family));
  if (message[0] != wire::igmp_type::report_v3 && message[0] != wire::mld_type::report_v2)
    return text.append(": ").append(address(inet6 ? 8 : 4));
  std::size_t at = 8;
  for (unsigned record = 0; record < message[7]; ++record) {
    text.append(record == 0 ? ": " : ", ").append(std::to_string(message[at]));
    const std::size_t sources = message[at + 3];
    for (std::size_t i = 0; i <= sources; ++i) text.append(" ").append(address(at + 4 + i * address_bytes));
    at += 4 + (1 + sources) * address_bytes;
  }
  EXPECT_EQ(at, message.size());
  return text;
}

struct Port {
  explicit Port(const MembershipConfig& config) : membership{config} {}
  Membership membership;
  Instant now = t0;

  [[nodiscard]] std::uint64_t count(Tally tally) const { return membership.counters()[tally].value(); }
  void hear(const Frame& frame) { membership.on_frame(frame, now); }
  /// What is due now.
  std::vector<std::string> sent(std::size_t room = Membership::frame_bytes_max) {
    std::vector<std::string> frames;
    for (;;) {
      Frame frame(room, 0);
      frame.resize(membership.transmit(frame, now));
      if (frame.empty()) return frames;
      frames.push_back(words(frame));
    }
  }
  /// What falls due within that time, by deadline after deadline.
  std::vector<std::string> within(statetable::Duration duration) {
    std::vector<std::string> frames;
    const Instant end = now + duration;
    for (auto due = membership.timeout(); due && *due <= end; due = membership.timeout()) {
      now = std::max(now, *due);
      const auto more = sent();
      frames.insert(frames.end(), more.begin(), more.end());
    }
    now = end;
    return frames;
  }
  /// Up, and the joins said.
  void join() {
    membership.set_link(true, now);
    EXPECT_FALSE(within(1s).empty());
    now += 1s;
  }
};

using Frames = std::vector<std::string>;
const std::string joins = "type 34 to 224.0.0.22: 4 224.0.0.240, 4 224.0.0.18";
const std::string all_groups = "type 34 to 224.0.0.22: 2 224.0.0.240, 2 224.0.0.18";

TEST(Membership, JoinsTwiceWithinASecondOfTheLinksComingUp) {
  Port port{two_groups()};
  EXPECT_FALSE(port.membership.timeout());
  EXPECT_TRUE(port.sent().empty());
  port.membership.set_link(true, port.now);
  EXPECT_EQ(port.membership.timeout(), t0);
  EXPECT_EQ(port.sent(), Frames{joins});
  const auto again = port.membership.timeout();
  ASSERT_TRUE(again);
  EXPECT_LE(*again, t0 + 1s);
  EXPECT_GT(*again, t0);
  EXPECT_EQ(port.within(1s), Frames{joins});
  EXPECT_FALSE(port.membership.timeout());
  EXPECT_EQ(port.count(Tally::reports), 2u);
  port.membership.set_link(true, port.now);  // nothing new
  EXPECT_FALSE(port.membership.timeout());
  port.membership.set_link(false, port.now);
  port.hear(general(Version::v3, 100));
  EXPECT_EQ(port.count(Tally::queries), 0u);
  EXPECT_FALSE(port.membership.timeout());
  port.membership.set_link(true, port.now);
  EXPECT_EQ(port.within(1s), (Frames{joins, joins}));
}

/// The port wants other groups, as after a reload.
void change(Port& port, std::vector<Group> groups) {
  MembershipConfig config = two_groups();
  config.groups = std::move(groups);
  const auto next = port.membership.successor(config);
  const std::uint64_t before = engine::test::allocations();
  port.membership.adopt(*next, port.now);
  EXPECT_EQ(engine::test::allocations(), before) << "the data path takes no memory";
}
constexpr Group pfsync_group{Family::inet, pfsync}, carp_group{Family::inet, carp},
    pfsync6_group{Family::inet6, pfsync6};

TEST(Membership, JoinsAndLeavesGroupsWhileItRuns) {
  Port port{two_groups()};
  port.join();
  change(port, {pfsync_group, carp_group});  // the same
  EXPECT_FALSE(port.membership.timeout());
  change(port, {pfsync_group});
  EXPECT_EQ(port.within(1s), Frames(2, "type 34 to 224.0.0.22: 3 224.0.0.18"));
  change(port, {pfsync_group, {Family::inet, nobody}, {Family::inet6, pfsync6}});
  const Frames sent = port.within(1s);
  EXPECT_EQ(std::ranges::count(sent, "type 34 to 224.0.0.22: 4 224.0.0.240, 4 239.1.2.3"), 2);
  EXPECT_EQ(std::ranges::count(sent, "type 143 to ff02::16: 4 ff12::f0"), 2);
  EXPECT_EQ(sent.size(), 4u);
  change(port, {carp_group});
  port.now += 1s;
  EXPECT_EQ(port.within(1s).size(), 6u) << "a leave and a join, twice, but no join of IPv6";
  port.hear(general(Version::v3, 100));
  EXPECT_EQ(port.within(10s), Frames{"type 34 to 224.0.0.22: 2 224.0.0.18"});
  change(port, {});
  EXPECT_EQ(port.within(1s), Frames(2, "type 34 to 224.0.0.22: 3 224.0.0.18"));
}

TEST(Membership, LeavesInTheWordsOfAnOlderQuerier) {
  Port port{two_groups()};
  change(port, {carp_group, pfsync_group});
  port.join();
  port.hear(general(Version::v2, 100));
  EXPECT_EQ(port.within(10s).size(), 2u);
  change(port, {{Family::inet, nobody}, pfsync_group});
  const Frames sent = port.within(1s);
  EXPECT_EQ(sent.front(), "type 23 to 224.0.0.2: 224.0.0.18");
  EXPECT_EQ(std::ranges::count(sent, "type 22 to 239.1.2.3: 239.1.2.3"), 2);
  port.hear(general(Version::v1, 0));
  EXPECT_EQ(port.within(10s).size(), 2u);
  change(port, {pfsync_group});
  EXPECT_EQ(port.within(1s), Frames{}) << "version 1 has no word for it";
}

TEST(Membership, SpeaksMldForItsIpv6Groups) {
  Port port{inet6_group()};
  port.membership.set_link(true, port.now);
  EXPECT_EQ(port.within(1s), (Frames(2, "type 143 to ff02::16: 4 ff12::f0")));
  port.hear(general(Version::v3, 10000, Family::inet6));
  EXPECT_EQ(port.within(10s), Frames{"type 143 to ff02::16: 2 ff12::f0"});
  port.hear(query(Version::v3, {Family::inet6, pfsync6}, 1000, {querier6}));
  EXPECT_EQ(port.within(1s), Frames{"type 143 to ff02::16: 1 ff12::f0 fe80::ff:fe00:9"});
  port.hear(general(Version::v2, 10000, Family::inet6));
  EXPECT_EQ(port.membership.version(Family::inet6, port.now), Version::v2);
  EXPECT_EQ(port.membership.version(Family::inet, port.now), Version::v3);
  EXPECT_EQ(port.within(10s), Frames{"type 131 to ff12::f0: ff12::f0"});
  port.membership.leave(port.now);
  EXPECT_EQ(port.within(1s), Frames{"type 132 to ff02::2: ff12::f0"});
}

TEST(Membership, AnswersAGeneralQueryOnceAtARandomTime) {
  std::set<Instant> times;
  for (std::uint64_t seed = 0; seed < 200; ++seed) {
    MembershipConfig config = two_groups();
    config.seed = seed;
    Port port{config};
    port.join();
    port.hear(general(Version::v3, 100));
    const auto due = port.membership.timeout();
    ASSERT_TRUE(due);
    ASSERT_LE(*due, port.now + 10s);
    ASSERT_GE(*due, port.now);
    times.insert(*due);
    ASSERT_EQ(port.within(10s), Frames{all_groups});
    ASSERT_FALSE(port.membership.timeout());
  }
  EXPECT_EQ(times.size(), 200u);  // of 10^10 each
  EXPECT_LT(*times.begin(), t0 + 2s + 1s);
  EXPECT_GT(*times.rbegin(), t0 + 2s + 9s);
}

TEST(Membership, ASeedRepeatsItsDelays) {
  Port a{two_groups()}, b{two_groups()};
  for (Port* port : {&a, &b}) {
    port->join();
    port->hear(general(Version::v3, 100));
  }
  EXPECT_EQ(a.membership.timeout(), b.membership.timeout());
}

TEST(Membership, TheEarlierOfTwoAnswersIsTheOnlyOne) {
  Port port{two_groups()};
  port.join();
  for (int i = 0; i < 50; ++i) {
    const auto before = port.membership.timeout();
    port.hear(general(Version::v3, 100));
    if (before) {
      EXPECT_LE(port.membership.timeout(), before);
    }
  }
  // One for a group is not needed when all groups are told before.
  port.hear(query(Version::v3, {Family::inet, pfsync}, 0xff));
  EXPECT_EQ(port.within(3600s), Frames{all_groups});
  EXPECT_EQ(port.count(Tally::queries), 51u);
}

TEST(Membership, AnswersForAGroupAndItsSources) {
  const auto a = wire::ipv4_address(10, 0, 0, 2), b = wire::ipv4_address(10, 0, 0, 3);
  const Group group{Family::inet, pfsync};
  const std::string whole = "type 34 to 224.0.0.22: 2 224.0.0.240";
  Port port{two_groups()};
  port.join();
  port.hear(query(Version::v3, group, 10));
  EXPECT_EQ(port.within(1s), Frames{whole});
  port.hear(query(Version::v3, group, 10, {a, b, a}));
  EXPECT_EQ(port.within(1s), Frames{"type 34 to 224.0.0.22: 1 224.0.0.240 10.0.0.2 10.0.0.3"});
  port.hear(query(Version::v3, group, 100, {a}));
  port.hear(query(Version::v3, group, 100, {b}));
  EXPECT_EQ(port.within(10s), Frames{"type 34 to 224.0.0.22: 1 224.0.0.240 10.0.0.2 10.0.0.3"});
  port.hear(query(Version::v3, group, 100, {a}));
  port.hear(query(Version::v3, group, 100));
  EXPECT_EQ(port.within(10s), Frames{whole});
  port.hear(query(Version::v3, group, 100));
  port.hear(query(Version::v3, group, 100, {a}));
  EXPECT_EQ(port.within(10s), Frames{whole});
  // More sources than are kept: the group as a whole covers them.
  std::vector<wire::Address> many;
  for (std::uint8_t i = 0; i <= Membership::sources_max; ++i) many.push_back(wire::ipv4_address(10, 0, 1, i));
  port.hear(query(Version::v3, group, 10, many));
  EXPECT_EQ(port.within(1s), Frames{whole});
  port.hear(query(Version::v3, {Family::inet, nobody}, 10));
  EXPECT_FALSE(port.membership.timeout());
}

TEST(Membership, SpeaksAnOlderQueriersVersionFor260Seconds) {
  Port port{two_groups()};
  port.join();
  port.hear(general(Version::v2, 100));
  EXPECT_EQ(port.membership.version(Family::inet, port.now), Version::v2);
  auto frames = port.within(10s);
  std::ranges::sort(frames);  // each group has a delay of its own
  EXPECT_EQ(frames, (Frames{"type 22 to 224.0.0.18: 224.0.0.18", "type 22 to 224.0.0.240: 224.0.0.240"}));
  // Newer queries do not end it, and sources are unknown to it.
  port.hear(query(Version::v3, {Family::inet, carp}, 10, {own}));
  EXPECT_EQ(port.within(1s), Frames{"type 22 to 224.0.0.18: 224.0.0.18"});
  // Neither does a query for one group prolong it.
  port.hear(query(Version::v2, {Family::inet, carp}, 10));
  EXPECT_EQ(port.within(1s), Frames{"type 22 to 224.0.0.18: 224.0.0.18"});
  port.now = t0 + 2s + 260s - 1ns;
  EXPECT_EQ(port.membership.version(Family::inet, port.now), Version::v2);
  port.hear(general(Version::v3, 10));  // answered in the version that is spoken by then
  port.now += 1s;
  EXPECT_EQ(port.membership.version(Family::inet, port.now), Version::v3);
  EXPECT_EQ(port.sent(), Frames{all_groups});
  port.hear(general(Version::v3, 10));
  EXPECT_EQ(port.within(1s), Frames{all_groups});
}

TEST(Membership, SpeaksVersion1ToAQuerierOfThatAge) {
  Port port{two_groups()};
  port.join();
  port.hear(general(Version::v2, 100));
  port.hear(general(Version::v1, 0));
  EXPECT_EQ(port.membership.version(Family::inet, port.now), Version::v1);
  const Instant asked = port.now;
  auto frames = port.within(10s);
  std::ranges::sort(frames);
  EXPECT_EQ(frames, (Frames{"type 18 to 224.0.0.18: 224.0.0.18", "type 18 to 224.0.0.240: 224.0.0.240"}));
  port.now = asked + 259s;
  port.hear(general(Version::v2, 100));
  EXPECT_EQ(port.membership.version(Family::inet, port.now), Version::v1);
  EXPECT_EQ(port.membership.version(Family::inet, asked + 260s), Version::v2);
  port.membership.leave(port.now);  // which that version cannot say
  EXPECT_TRUE(port.sent().empty());
  EXPECT_FALSE(port.membership.timeout());
}

TEST(Membership, AnOlderQueriersQuestionTakesThePlaceOfWhatWasPending) {
  Port port{two_groups()};
  port.membership.set_link(true, port.now);
  EXPECT_EQ(port.sent(), Frames{joins});
  port.hear(general(Version::v3, 100));
  port.hear(query(Version::v3, {Family::inet, carp}, 100, {own}));
  port.hear(general(Version::v2, 100));
  EXPECT_EQ(port.within(10s).size(), 2u);
}

TEST(Membership, AJoinAnswersWhatIsPending) {
  Port port{two_groups()};
  port.membership.set_link(true, port.now);
  EXPECT_EQ(port.sent(), Frames{joins});
  port.hear(general(Version::v3, 0xff));
  port.hear(query(Version::v3, {Family::inet, carp}, 0xff, {own}));
  EXPECT_EQ(port.within(3600s), Frames{joins});
}

TEST(Membership, SourcesAskedOfAnOlderVersionAreNotRemembered) {
  Port port{two_groups()};
  port.join();
  port.hear(general(Version::v2, 1));
  EXPECT_EQ(port.within(1s).size(), 2u);
  port.hear(query(Version::v3, {Family::inet, carp}, 10, {own}));
  EXPECT_EQ(port.within(260s).size(), 1u);
  port.hear(query(Version::v3, {Family::inet, carp}, 10, {querier}));
  EXPECT_EQ(port.within(1s), Frames{"type 34 to 224.0.0.22: 1 224.0.0.18 10.0.0.9"});
}

TEST(Membership, AnotherHostsReportSparesOursOfTheOlderVersions) {
  Port port{two_groups()};
  port.join();
  port.hear(general(Version::v2, 100));
  port.hear(others_report(pfsync));
  EXPECT_EQ(port.within(10s), Frames{"type 22 to 224.0.0.18: 224.0.0.18"});
  // And that host's is the leave as well.
  port.membership.leave(port.now);
  EXPECT_EQ(port.within(10s), Frames{"type 23 to 224.0.0.2: 224.0.0.18"});
}

TEST(Membership, AnotherHostsReportChangesNothingInVersion3) {
  Port port{two_groups()};
  port.join();
  port.hear(query(Version::v3, {Family::inet, pfsync}, 10));
  port.hear(others_report(pfsync));
  EXPECT_EQ(port.within(1s), Frames{"type 34 to 224.0.0.22: 2 224.0.0.240"});
}

TEST(Membership, JoinsInTheOlderVersionWhileItsQuerierIsBelieved) {
  Port port{two_groups()};
  port.join();
  port.hear(general(Version::v2, 1));
  EXPECT_EQ(port.within(1s).size(), 2u);
  port.membership.set_link(false, port.now);
  port.membership.set_link(true, port.now);
  EXPECT_EQ(port.sent(), (Frames{"type 22 to 224.0.0.240: 224.0.0.240", "type 22 to 224.0.0.18: 224.0.0.18"}));
  port.hear(others_report(pfsync));
  EXPECT_EQ(port.within(1s), Frames{"type 22 to 224.0.0.18: 224.0.0.18"});
  EXPECT_FALSE(port.membership.timeout());
}

TEST(Membership, LeavesAtOnceAndOnceMore) {
  Port port{two_groups()};
  port.membership.leave(port.now);  // never joined
  EXPECT_TRUE(port.sent().empty());
  port.join();
  port.hear(general(Version::v3, 100));
  port.membership.leave(port.now);
  const std::string leaves = "type 34 to 224.0.0.22: 3 224.0.0.240, 3 224.0.0.18";
  EXPECT_EQ(port.sent(), Frames{leaves});
  port.membership.leave(port.now);
  port.hear(general(Version::v3, 100));
  EXPECT_EQ(port.within(10s), Frames{leaves});
  EXPECT_FALSE(port.membership.timeout());
  port.membership.set_link(true, port.now);
  EXPECT_EQ(port.within(1s), (Frames{joins, joins}));
}

/// How many frames leave while `hear` runs each millisecond of `duration`; fails when more than ten leave in any
/// second.
std::size_t flood(Port& port, std::chrono::milliseconds duration, const std::function<void()>& hear) {
  std::vector<Instant> times;
  for (const Instant end = port.now + duration; port.now < end; port.now += 1ms) {
    hear();
    const auto count = port.sent().size();
    times.insert(times.end(), count, port.now);
  }
  for (std::size_t i = 10; i < times.size(); ++i) EXPECT_GE(times[i] - times[i - 10], 1s);
  return times.size();
}

TEST(Membership, AFloodOfQueriesGetsTenFramesASecond) {
  Port port{two_groups()};
  port.join();
  const Frame immediate = query(Version::v3, {Family::inet, {}}, 0);
  EXPECT_EQ(flood(port, 10s, [&] { port.hear(immediate); }), 100u);
  EXPECT_EQ(port.count(Tally::queries), 10000u);
  EXPECT_EQ(port.count(Tally::reports), 102u);
  EXPECT_EQ(port.count(Tally::dropped), 9900u);
  EXPECT_TRUE(port.within(10s).empty());
}

TEST(Membership, AFloodOfOlderQueriesGetsTenFramesASecond) {
  Port port{two_groups()};
  port.join();
  const Frame soon = general(Version::v2, 1);
  EXPECT_LE(flood(port, 10s, [&] { port.hear(soon); }), 100u);
  EXPECT_GT(port.count(Tally::dropped), 0u);
}

TEST(Membership, ChangesAreSaidInSpiteOfAFlood) {
  Port port{two_groups()};
  port.join();
  const Frame immediate = query(Version::v3, {Family::inet, {}}, 0);
  EXPECT_EQ(flood(port, 500ms, [&] { port.hear(immediate); }), 10u);
  port.membership.set_link(false, port.now);
  port.membership.set_link(true, port.now);
  EXPECT_TRUE(port.sent().empty());
  const auto due = port.membership.timeout();  // when a frame may leave again, not before
  ASSERT_TRUE(due);
  EXPECT_GT(*due, port.now);
  port.now = *due - 1ns;
  EXPECT_TRUE(port.sent().empty());
  port.now = *due;
  port.hear(immediate);
  EXPECT_EQ(port.sent(), Frames{joins});
  // A leave waits for nothing: nobody may be there to send it later.
  EXPECT_EQ(flood(port, 500ms, [&] { port.hear(immediate); }) > 5, true);
  port.membership.leave(port.now);
  EXPECT_EQ(port.sent(), Frames{"type 34 to 224.0.0.22: 3 224.0.0.240, 3 224.0.0.18"});
}

TEST(Membership, WhatFindsNoRoomIsCountedAndDoesNotComeAgain) {
  Port port{two_groups()};
  port.membership.set_link(true, port.now);
  EXPECT_TRUE(port.sent(53).empty());  // 14 + 24 + 8 + 2 * 8 would be needed
  EXPECT_EQ(port.count(Tally::dropped), 1u);
  port.now += 1s;
  EXPECT_EQ(port.sent(62), Frames{joins});
  port.hear(general(Version::v3, 0xff));
  port.now += 3600s;
  EXPECT_TRUE(port.sent(0).empty());
  EXPECT_EQ(port.count(Tally::dropped), 2u);
  EXPECT_FALSE(port.membership.timeout());
}

TEST(Membership, ManySourcesAreToldInSeveralFrames) {
  MembershipConfig config = inet6_group();
  std::vector<wire::Address> sources;
  for (std::uint8_t i = 0; i < Membership::sources_max; ++i) sources.push_back(wire::Address{{0xfe, 0x80, 1, i}});
  for (std::uint8_t i = 1; i < Membership::groups_max; ++i)
    config.groups.push_back({Family::inet6, wire::Address{{0xff, 0x12, 0, i}}});
  Port port{config};
  port.join();
  for (const Group& group : config.groups)
    if (wire::is_reported(group)) port.hear(query(Version::v3, group, 1, sources));
  port.now += 1s;
  EXPECT_EQ(port.sent().size(), 10u);  // one group fits a frame
  EXPECT_EQ(port.count(Tally::dropped), Membership::groups_max - 10);
  EXPECT_FALSE(port.membership.timeout());
  port.now += 1s;
  port.hear(general(Version::v3, 1000, Family::inet6));
  EXPECT_EQ(port.within(1s).size(), 1u);
}

TEST(Membership, TakesOnlyWhatIsForThisPort) {
  MembershipConfig config = two_groups();
  config.vlan = 7;
  Port tagged{config};
  tagged.join();
  tagged.hear(general(Version::v3, 100));
  EXPECT_EQ(tagged.count(Tally::queries), 0u);
  Frame with_tag = general(Version::v3, 100);
  with_tag.insert(with_tag.begin() + 12, {0x81, 0x00, 0x00, 0x07});
  tagged.hear(with_tag);
  EXPECT_EQ(tagged.count(Tally::queries), 1u);
  const auto due = tagged.membership.timeout();
  ASSERT_TRUE(due);
  Frame answer(Membership::frame_bytes_max, 0);
  answer.resize(tagged.membership.transmit(answer, *due));
  EXPECT_EQ(wire::read_ethernet(answer)->vlan, 7);
  EXPECT_EQ(words(answer), all_groups);

  Port port{two_groups()};
  port.join();
  Frame looped = general(Version::v3, 100);
  std::ranges::copy(own_mac.bytes, looped.begin() + 6);
  port.hear(looped);
  port.hear(general(Version::v3, 100, Family::inet6));  // no group there
  EXPECT_EQ(port.count(Tally::queries), 0u);
  Frame damaged = general(Version::v3, 100);
  damaged.back() ^= 1u;
  port.hear(damaged);
  EXPECT_EQ(port.count(Tally::refused), 1u);
  EXPECT_FALSE(port.membership.timeout());
}

TEST(Membership, KeepsEachGroupOnceAndNotTooMany) {
  MembershipConfig config = two_groups();
  config.groups.insert(config.groups.end(), {{Family::inet, carp}, {Family::inet, own}, {}});
  Port port{config};
  port.membership.set_link(true, port.now);
  EXPECT_EQ(port.sent(), Frames{joins});
  for (std::uint8_t i = 0; i < Membership::groups_max - 2; ++i)
    config.groups.push_back({Family::inet, wire::ipv4_address(239, 0, 0, i)});
  EXPECT_NO_THROW(Membership{config});
  config.groups.push_back({Family::inet, nobody});
  EXPECT_THROW(Membership{config}, std::length_error);
  Port none{{.mac = own_mac}};
  none.membership.set_link(true, t0);
  none.hear(general(Version::v3, 100));
  EXPECT_FALSE(none.membership.timeout());
}

}  // namespace
}  // namespace pfsync::engine
