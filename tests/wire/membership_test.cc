// IGMP and MLD. The packets were worked out by hand from the RFCs; tshark reads them without a complaint.
#include "wire/membership.h"

#include <gtest/gtest.h>

#include <chrono>
#include <string_view>
#include <vector>

#include "tests/wire/examples.h"
#include "wire/address.h"
#include "wire/icmp.h"
#include "wire/ip.h"

namespace pfsync::wire::test {
namespace {

using namespace std::chrono_literals;
using Kind = MembershipMessage::Kind;
using Version = MembershipVersion;
using Datagram = std::vector<std::uint8_t>;

const Address own_inet = ipv4_address(10, 99, 0, 1);
const Address own_inet6 = link_local_address({{0x52, 0x54, 0, 0, 0, 1}});
const Address carp_inet = ipv4_address(224, 0, 0, 18);
const Address carp_inet6{{0xff, 0x02, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x12}};
const Group group_inet{Family::inet, pfsync_group_inet};
const Group group_inet6{Family::inet6, pfsync_group_inet6};

Datagram report(Family family, const Address& source, std::span<const GroupRecord> records) {
  Datagram bytes(200);
  bytes.resize(write_membership_report(family, source, records, bytes));
  return bytes;
}
Datagram older(OlderMessage message, const Group& group, const Address& source) {
  Datagram bytes(200);
  bytes.resize(write_older_membership(message, group, source, bytes));
  return bytes;
}

TEST(WriteMembership, Igmpv3ReportsAllGroupsInOnePacket) {
  const std::array records{GroupRecord{GroupRecord::Type::to_exclude, pfsync_group_inet, {}},
                           GroupRecord{GroupRecord::Type::is_exclude, carp_inet, {}}};
  EXPECT_EQ(to_hex(report(Family::inet, own_inet, records)),
            "46c0003000004000"  // 24 bytes of header, TOS 0xc0, 48 in all, DF
            "0102f98d"          // TTL 1, IGMP
            "0a630001e0000016"
            "94040000"  // Router Alert
            "220016fa"
            "00000002"
            "04000000e00000f0"
            "02000000e0000012");
}

TEST(WriteMembership, Igmpv3TellsTheSourcesOfAGroup) {
  const std::array sources{ipv4_address(10, 99, 0, 2), ipv4_address(10, 99, 0, 3)};
  const std::array records{GroupRecord{GroupRecord::Type::is_include, pfsync_group_inet, sources}};
  EXPECT_EQ(to_hex(report(Family::inet, own_inet, records)),
            "46c00030000040000102f98d0a630001e000001694040000"
            "2200e7400000000101000002e00000f00a6300020a630003");
}

TEST(WriteMembership, OlderIgmpGoesToTheGroupAndItsLeaveToAllRouters) {
  EXPECT_EQ(to_hex(older(OlderMessage::report_v1, group_inet, own_inet)),
            "46c00020000040000102f8c30a630001e00000f09404000012000d0fe00000f0");
  EXPECT_EQ(to_hex(older(OlderMessage::report_v2, group_inet, own_inet)),
            "46c00020000040000102f8c30a630001e00000f0940400001600090fe00000f0");
  EXPECT_EQ(to_hex(older(OlderMessage::leave, group_inet, own_inet)),
            "46c00020000040000102f9b10a630001e0000002940400001700080fe00000f0");
}

TEST(WriteMembership, Mldv2ReportsAllGroupsInOnePacket) {
  const std::array records{GroupRecord{GroupRecord::Type::to_exclude, pfsync_group_inet6, {}},
                           GroupRecord{GroupRecord::Type::to_include, carp_inet6, {}}};
  EXPECT_EQ(to_hex(report(Family::inet6, own_inet6, records)),
            "6000000000380001"  // 56 bytes behind this header, hop-by-hop next, hop limit 1
            "fe80000000000000505400fffe000001"
            "ff020000000000000000000000000016"
            "3a00050200000100"  // ICMPv6 next; Router Alert: MLD; padding
            "8f001d8c"
            "00000002"
            "04000000ff1200000000000000000000000000f0"
            "03000000ff020000000000000000000000000012");
}

TEST(WriteMembership, Mldv1GoesToTheGroupAndDoneToAllRouters) {
  EXPECT_EQ(to_hex(older(OlderMessage::report_v2, group_inet6, own_inet6)),
            "6000000000200001fe80000000000000505400fffe000001ff1200000000000000000000000000f0"
            "3a00050200000100"
            "83002ed100000000ff1200000000000000000000000000f0");
  EXPECT_EQ(to_hex(older(OlderMessage::leave, group_inet6, own_inet6)),
            "6000000000200001fe80000000000000505400fffe000001ff020000000000000000000000000002"
            "3a00050200000100"
            "84002ecf00000000ff1200000000000000000000000000f0");
  EXPECT_TRUE(older(OlderMessage::report_v1, group_inet6, own_inet6).empty());
}

TEST(WriteMembership, WritesNothingWhereRoomOrLengthsDoNotSuffice) {
  const std::array records{GroupRecord{GroupRecord::Type::is_exclude, pfsync_group_inet, {}}};
  Datagram room(39, 0xaa);
  EXPECT_EQ(write_membership_report(Family::inet, own_inet, records, room), 0u);
  EXPECT_EQ(write_membership_report(Family::none, own_inet, records, room), 0u);
  EXPECT_EQ(write_older_membership(OlderMessage::leave, group_inet, own_inet, Room{room}.first(31)), 0u);
  EXPECT_EQ(write_older_membership(OlderMessage::leave, group_inet6, own_inet6, room), 0u);
  EXPECT_EQ(room, Datagram(39, 0xaa));
  const std::vector<GroupRecord> many(8189, records[0]);  // one more than 65535 bytes hold
  Datagram large(70000);
  EXPECT_EQ(write_membership_report(Family::inet, own_inet, many, large), 0u);
  EXPECT_EQ(write_membership_report(Family::inet, own_inet, std::span{many}.first(8187), large), 65528u);
}

/// A message whose checksum is made right: hex of it, with 0000 there.
struct Heard {
  Heard(Family family, std::string_view hex, const Address& destination) : payload{from_hex(hex)} {
    packet = {.family = family,
              .source = family == Family::inet ? own_inet : own_inet6,
              .destination = destination,
              .protocol = family == Family::inet ? ipproto::igmp : std::uint8_t{0},
              .ttl = 1};
    if (family == Family::inet6) hop_by_hop = from_hex("3a00050200000100");
    correct();
  }
  void correct() {
    store(Room{payload}, 2, Be16{0});
    store(Room{payload}, 2,
          Be16{packet.family == Family::inet ? internet_checksum(payload)
                                             : icmpv6_checksum(packet.source, packet.destination, payload)});
  }
  /// From a copy without a byte to spare: kept, since the message borrows from it.
  MembershipMessage read() {
    Datagram all = hop_by_hop;
    all.insert(all.end(), payload.begin(), payload.end());
    copies.push_back(std::make_unique<ExactCopy>(all));
    packet.payload = copies.back()->bytes();
    return read_membership(packet);
  }
  Datagram payload, hop_by_hop;
  IpPacket packet{};
  std::vector<std::unique_ptr<ExactCopy>> copies;
};

constexpr std::string_view general_v1 = "1100000000000000", general_v2 = "1164000000000000",
                           specific_v2 = "110a0000e00000f0",
                           mld_general = "820000002710000000000000000000000000000000000000";

TEST(ReadMembership, KnowsTheVersionsOfIgmpQueries) {
  const auto v1 = Heard{Family::inet, general_v1, all_hosts_inet}.read();
  EXPECT_EQ(v1.kind, Kind::query);
  EXPECT_EQ(v1.version, Version::v1);
  EXPECT_EQ(v1.response_max, 10s);
  EXPECT_TRUE(v1.is_general());

  const auto v2 = Heard{Family::inet, general_v2, all_hosts_inet}.read();
  EXPECT_EQ(v2.kind, Kind::query);
  EXPECT_EQ(v2.version, Version::v2);
  EXPECT_EQ(v2.response_max, 10s);
  // Version 2 counts straight on where version 3 has a floating point.
  EXPECT_EQ(Heard(Family::inet, "11ff000000000000", all_hosts_inet).read().response_max, 25500ms);

  const auto specific = Heard{Family::inet, specific_v2, pfsync_group_inet}.read();
  EXPECT_EQ(specific.kind, Kind::query);
  EXPECT_EQ(specific.group, pfsync_group_inet);
  EXPECT_EQ(specific.response_max, 1s);

  const auto v3 = Heard{Family::inet, "11ff000000000000027d0000", all_hosts_inet}.read();
  EXPECT_EQ(v3.kind, Kind::query);
  EXPECT_EQ(v3.version, Version::v3);
  EXPECT_EQ(v3.response_max, 3174400ms);  // (15 + 16) << 10 tenths

  Heard with_sources{Family::inet, "110a0000e00000f0027d00020a6300020a630003ee", pfsync_group_inet};
  const auto sources = with_sources.read();
  EXPECT_EQ(sources.kind, Kind::query);
  EXPECT_EQ(sources.group, pfsync_group_inet);
  EXPECT_EQ(to_hex(sources.sources), "0a6300020a630003");  // what follows them is allowed
}

TEST(ReadMembership, KnowsTheVersionsOfMldQueries) {
  const auto v1 = Heard{Family::inet6, mld_general, all_nodes_inet6}.read();
  EXPECT_EQ(v1.kind, Kind::query);
  EXPECT_EQ(v1.version, Version::v2);
  EXPECT_EQ(v1.response_max, 10s);
  EXPECT_TRUE(v1.is_general());
  const auto v1_long = Heard{Family::inet6, "82000000ffff000000000000000000000000000000000000", all_nodes_inet6}.read();
  EXPECT_EQ(v1_long.response_max, 65535ms);

  const auto v2 =
      Heard{Family::inet6, "82000000ffff000000000000000000000000000000000000027d0000", all_nodes_inet6}.read();
  EXPECT_EQ(v2.version, Version::v3);
  EXPECT_EQ(v2.response_max, 8387584ms);  // (4095 + 4096) << 10

  Heard with_source{Family::inet6,
                    "8200000003e80000ff1200000000000000000000000000f0027d0001fe800000000000000000000000000009",
                    pfsync_group_inet6};
  const auto source = with_source.read();
  EXPECT_EQ(source.kind, Kind::query);
  EXPECT_EQ(source.response_max, 1s);
  EXPECT_EQ(to_hex(source.sources), "fe800000000000000000000000000009");
}

TEST(ReadMembership, TheFloatingPointBeginsWhereTheStraightCountEnds) {
  EXPECT_EQ(igmp_code_value(0x7f), 127u);
  EXPECT_EQ(igmp_code_value(0x80), 128u);
  EXPECT_EQ(igmp_code_value(0x81), 136u);
  EXPECT_EQ(mld_code_value(0x7fff), 32767u);
  EXPECT_EQ(mld_code_value(0x8000), 32768u);
  EXPECT_EQ(mld_code_value(0x9001), 65552u);
}

TEST(ReadMembership, HearsOlderReportsOfOthersAndNoNewerOnes) {
  for (const auto& [message, version] :
       {std::pair{OlderMessage::report_v1, Version::v1}, {OlderMessage::report_v2, Version::v2}})
    for (const auto& [group, source] : {std::pair{group_inet, own_inet}, {group_inet6, own_inet6}}) {
      const Datagram bytes = older(message, group, source);
      if (bytes.empty()) continue;
      const auto ip = read_ip(bytes);
      ASSERT_FALSE(ip.reject);
      const auto heard = read_membership(ip.packet);
      EXPECT_EQ(heard.kind, Kind::report);
      EXPECT_EQ(heard.version, version);
      EXPECT_EQ(heard.group, group.address);
    }
  const std::array records{GroupRecord{GroupRecord::Type::is_exclude, pfsync_group_inet, {}}};
  EXPECT_EQ(read_membership(read_ip(report(Family::inet, own_inet, records)).packet).kind, Kind::other);
  EXPECT_EQ(read_membership(read_ip(older(OlderMessage::leave, group_inet, own_inet)).packet).kind, Kind::other);
  EXPECT_EQ(read_membership(read_ip(older(OlderMessage::leave, group_inet6, own_inet6)).packet).kind, Kind::other);
}

TEST(ReadMembership, RefusesUnsoundIgmp) {
  const auto kind = [](auto change) {
    Heard query{Family::inet, general_v2, all_hosts_inet};
    change(query);
    return query.read().kind;
  };
  EXPECT_EQ(kind([](Heard&) {}), Kind::query);
  EXPECT_EQ(kind([](Heard& query) { query.payload[3] ^= 1u; }), Kind::refused);
  EXPECT_EQ(kind([](Heard& query) { query.packet.ttl = 2; }), Kind::refused);
  EXPECT_EQ(kind([](Heard& query) { query.packet.destination = own_inet; }), Kind::refused);
  EXPECT_EQ(kind([](Heard& query) { query.packet.destination = pfsync_group_inet; }), Kind::refused);
  EXPECT_EQ(kind([](Heard& query) { query.payload.clear(); }), Kind::refused);
  // Between the versions' lengths there is none.
  for (const std::size_t bytes : {7u, 9u, 10u, 11u})
    EXPECT_EQ(kind([bytes](Heard& query) {
                query.payload.resize(bytes);
                query.correct();
              }),
              Kind::refused);
  // A group that is none, or not the one it was sent to.
  EXPECT_EQ(Heard(Family::inet, "110a00000a630001", all_hosts_inet).read().kind, Kind::refused);
  EXPECT_EQ(Heard(Family::inet, specific_v2, carp_inet).read().kind, Kind::refused);
  EXPECT_EQ(Heard(Family::inet, specific_v2, all_hosts_inet).read().kind, Kind::query);
  EXPECT_EQ(Heard(Family::inet, "16000000e00000f0", carp_inet).read().kind, Kind::refused);
  EXPECT_EQ(Heard(Family::inet, "16000000e00000f0", all_hosts_inet).read().kind, Kind::refused);
  EXPECT_EQ(Heard(Family::inet, "1600000000000000", all_hosts_inet).read().kind, Kind::refused);
  // Sources beyond the end, and sources of no group.
  EXPECT_EQ(Heard(Family::inet, "110a0000e00000f0027d00020a630002", pfsync_group_inet).read().kind, Kind::refused);
  EXPECT_EQ(Heard(Family::inet, "110a0000e00000f0027dffff0a630002", pfsync_group_inet).read().kind, Kind::refused);
  EXPECT_EQ(Heard(Family::inet, "110a000000000000027d00010a630002", all_hosts_inet).read().kind, Kind::refused);
}

TEST(ReadMembership, RefusesUnsoundMld) {
  const auto kind = [](auto change) {
    Heard query{Family::inet6, mld_general, all_nodes_inet6};
    change(query);
    return query.read().kind;
  };
  EXPECT_EQ(kind([](Heard&) {}), Kind::query);
  EXPECT_EQ(kind([](Heard& query) { query.payload[3] ^= 1u; }), Kind::refused);
  EXPECT_EQ(kind([](Heard& query) { query.packet.ttl = 255; }), Kind::refused);
  EXPECT_EQ(kind([](Heard& query) {
              query.packet.source.bytes[1] = 0xc0;
              query.correct();
            }),
            Kind::refused);
  EXPECT_EQ(kind([](Heard& query) {
              query.packet.destination = pfsync_group_inet6;
              query.correct();
            }),
            Kind::refused);
  for (const std::size_t bytes : {23u, 25u, 27u})
    EXPECT_EQ(kind([bytes](Heard& query) {
                query.payload.resize(bytes);
                query.correct();
              }),
              Kind::refused);
  // Without Router Alert: no hop-by-hop header, padding alone, and an alert for RSVP.
  EXPECT_EQ(kind([](Heard& query) {
              query.hop_by_hop.clear();
              query.packet.protocol = ipproto::icmpv6;
            }),
            Kind::refused);
  EXPECT_EQ(kind([](Heard& query) { query.hop_by_hop = from_hex("3a00010400000000"); }), Kind::refused);
  EXPECT_EQ(kind([](Heard& query) { query.hop_by_hop = from_hex("3a00050200010100"); }), Kind::refused);
}

TEST(ReadMembership, WalksHopByHopOptionsToTheirEndAndNoFurther) {
  const auto kind = [](std::string_view hop_by_hop) {
    Heard query{Family::inet6, mld_general, all_nodes_inet6};
    query.hop_by_hop = from_hex(hop_by_hop);
    return query.read().kind;
  };
  EXPECT_EQ(kind("3a00000005020000"), Kind::query);                  // two of Pad1 first
  EXPECT_EQ(kind("3a010502000001080000000000000000"), Kind::query);  // 16 bytes
  EXPECT_EQ(kind("3a001e0005020000"), Kind::query);                  // an unknown option that may be skipped
  EXPECT_EQ(kind("3a009e0005020000"), Kind::other);                  // one that may not
  EXPECT_EQ(kind("3a00050200000101"), Kind::other);                  // padding beyond the header
  EXPECT_EQ(kind("3a00050200000001"), Kind::other);                  // an option without its length
  EXPECT_EQ(kind("3aff050200000100"), Kind::other);                  // a header beyond the packet
  EXPECT_EQ(kind("3a00010400050200"), Kind::refused);                // an alert inside of padding is none
  EXPECT_EQ(kind("1100050200000100"), Kind::other);                  // UDP behind it
  Heard shortest{Family::inet6, mld_general, all_nodes_inet6};
  shortest.payload.clear();
  for (std::size_t bytes = 0; bytes <= 8; ++bytes) {
    shortest.hop_by_hop = from_hex("3a00050200000100");
    shortest.hop_by_hop.resize(bytes);
    EXPECT_EQ(shortest.read().kind, Kind::other);
  }
}

TEST(ReadMembership, LeavesOtherPacketsAlone) {
  EXPECT_EQ(Heard(Family::inet, "2200000000000000", report_group_inet).read().kind, Kind::other);
  EXPECT_EQ(Heard(Family::inet, "1300000000000000", all_hosts_inet).read().kind, Kind::other);  // DVMRP
  Heard udp{Family::inet, general_v2, all_hosts_inet};
  udp.packet.protocol = ipproto::udp;
  EXPECT_EQ(udp.read().kind, Kind::other);
  Heard neighbour{Family::inet6, "870000000000000000000000000000000000000000000000", all_nodes_inet6};
  neighbour.hop_by_hop.clear();
  neighbour.packet.protocol = ipproto::icmpv6;
  EXPECT_EQ(neighbour.read().kind, Kind::other);
}

TEST(MembershipGroups, ThoseOfAllHostsAndOfOneHostAreNotReported) {
  EXPECT_TRUE(is_reported(group_inet));
  EXPECT_TRUE(is_reported(group_inet6));
  EXPECT_TRUE(is_reported({Family::inet6, carp_inet6}));
  EXPECT_FALSE(is_reported({Family::inet, all_hosts_inet}));
  EXPECT_FALSE(is_reported({Family::inet6, all_nodes_inet6}));
  EXPECT_FALSE(is_reported({Family::inet6, parse_address("ff01::fb")->second}));
  EXPECT_FALSE(is_reported({Family::inet, own_inet}));
  EXPECT_FALSE(is_reported({}));
}

}  // namespace
}  // namespace pfsync::wire::test
