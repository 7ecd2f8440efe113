// Ethernet, ARP and addresses.
#include <gtest/gtest.h>

#include "tests/wire/examples.h"
#include "wire/address.h"
#include "wire/arp.h"
#include "wire/ethernet.h"

namespace pfsync::wire::test {
namespace {

using Frame = std::vector<std::uint8_t>;

const MacAddress mac_a{{2, 0, 0, 0, 0, 1}};
const MacAddress mac_b{{2, 0, 0, 0, 0, 2}};

TEST(ReadEthernet, ReadsAnUntaggedFrame) {
  const Frame bytes = from_hex(
      "01005e0000f0"
      "020000000001"
      "0800"
      "aabb");
  const auto frame = read_ethernet(bytes);
  ASSERT_TRUE(frame);
  EXPECT_EQ(frame->destination, multicast_mac(Family::inet, pfsync_group_inet));
  EXPECT_EQ(frame->source, mac_a);
  EXPECT_EQ(frame->ethertype, ethertype::ipv4);
  EXPECT_FALSE(frame->vlan);
  EXPECT_EQ(to_hex(frame->payload), "aabb");
}

TEST(ReadEthernet, StepsOverAVlanTagAndDropsItsPriority) {
  const Frame bytes = from_hex(
      "020000000002"
      "020000000001"
      "8100"
      "e064"
      "86dd"
      "aa");
  const auto frame = read_ethernet(bytes);
  ASSERT_TRUE(frame);
  EXPECT_EQ(frame->vlan, 100);
  EXPECT_EQ(frame->ethertype, ethertype::ipv6);
  EXPECT_EQ(frame->payload.size(), 1u);
}

TEST(ReadEthernet, StepsOverAServiceTagAroundAVlanTag) {
  const Frame bytes = from_hex(
      "020000000002"
      "020000000001"
      "88a8"
      "0007"
      "8100"
      "0064"
      "0800"
      "aa");
  const auto frame = read_ethernet(bytes);
  ASSERT_TRUE(frame);
  EXPECT_EQ(frame->vlan, 100);
  EXPECT_EQ(frame->ethertype, ethertype::ipv4);
}

TEST(ReadEthernet, LeavesAThirdTagInThePayload) {
  const Frame bytes = from_hex(
      "020000000002"
      "020000000001"
      "8100"
      "0001"
      "8100"
      "0002"
      "8100"
      "0003"
      "0800");
  const auto frame = read_ethernet(bytes);
  ASSERT_TRUE(frame);
  EXPECT_EQ(frame->vlan, 2);
  EXPECT_EQ(frame->ethertype, ethertype::vlan);
  EXPECT_EQ(to_hex(frame->payload), "00030800");
}

TEST(ReadEthernet, TakesAPriorityTagAsUntagged) {
  const Frame bytes = from_hex(
      "020000000002"
      "020000000001"
      "8100"
      "e000"
      "0800");
  const auto frame = read_ethernet(bytes);
  ASSERT_TRUE(frame);
  EXPECT_FALSE(frame->vlan);
  EXPECT_EQ(frame->ethertype, ethertype::ipv4);
}

TEST(ReadEthernet, RefusesAFrameThatEndsInItsHeaderOrTags) {
  const Frame whole = from_hex(
      "020000000002"
      "020000000001"
      "88a8"
      "0007"
      "8100"
      "0064"
      "0800");
  for (std::size_t length = 0; length < whole.size(); ++length) {
    const ExactCopy cut{Bytes{whole}.first(length)};
    EXPECT_FALSE(read_ethernet(cut.bytes())) << length;
  }
  EXPECT_TRUE(read_ethernet(ExactCopy{whole}.bytes()));
}

TEST(WriteEthernetHeader, IsUndoneByReadEthernet) {
  for (const std::optional<std::uint16_t> vlan : {std::optional<std::uint16_t>{}, std::optional<std::uint16_t>{4094}}) {
    const std::size_t size = vlan ? 18 : 14;
    ExactCopy room{Frame(size, 0xee)};
    ASSERT_EQ(write_ethernet_header(mac_a, mac_b, vlan, ethertype::ipv6, room.room()), size);
    const auto frame = read_ethernet(room.bytes());
    ASSERT_TRUE(frame);
    EXPECT_EQ(frame->destination, mac_a);
    EXPECT_EQ(frame->source, mac_b);
    EXPECT_EQ(frame->vlan, vlan);
    EXPECT_EQ(frame->ethertype, ethertype::ipv6);
    ExactCopy small{Frame(size - 1, 0xee)};
    EXPECT_EQ(write_ethernet_header(mac_a, mac_b, vlan, ethertype::ipv6, small.room()), 0u);
    EXPECT_EQ(to_hex(small.bytes()), to_hex(Frame(size - 1, 0xee)));
  }
}

TEST(MulticastMac, FollowsTheGroup) {
  EXPECT_EQ(to_string(multicast_mac(Family::inet, pfsync_group_inet)), "01:00:5e:00:00:f0");
  EXPECT_EQ(to_string(multicast_mac(Family::inet, ipv4_address(239, 255, 1, 2))), "01:00:5e:7f:01:02");
  EXPECT_EQ(to_string(multicast_mac(Family::inet6, pfsync_group_inet6)), "33:33:00:00:00:f0");
}

TEST(Arp, IsReadAndWrittenByteForByte) {
  const std::string hex =
      "0001"
      "0800"
      "06"
      "04"
      "0001"
      "020000000001"
      "0a630001"
      "000000000000"
      "0a630002";
  const auto arp = read_arp(from_hex(hex));
  ASSERT_TRUE(arp);
  EXPECT_EQ(*arp, (Arp{ArpOperation::request, mac_a, ipv4_address(10, 99, 0, 1), {}, ipv4_address(10, 99, 0, 2)}));
  ExactCopy room{Frame(28, 0xee)};
  EXPECT_EQ(write_arp(*arp, room.room()), 28u);
  EXPECT_EQ(to_hex(room.bytes()), hex);
  EXPECT_EQ(write_arp(*arp, room.room().first(27)), 0u);
}

TEST(ReadArp, RefusesWhatIsTruncatedOrNotIpv4OverEthernet) {
  const Frame whole = from_hex(
      "0001"
      "0800"
      "06"
      "04"
      "0002"
      "020000000001"
      "0a630001"
      "020000000002"
      "0a630002");
  ASSERT_TRUE(read_arp(whole));
  for (std::size_t length = 0; length < whole.size(); ++length)
    EXPECT_FALSE(read_arp(ExactCopy{Bytes{whole}.first(length)}.bytes())) << length;
  for (const std::size_t offset : {1u, 3u, 4u, 5u, 7u}) {
    Frame changed = whole;
    changed[offset] = 9;
    EXPECT_FALSE(read_arp(changed)) << offset;
  }
}

TEST(ParseAddress, TakesBothFamiliesAndNothingElse) {
  EXPECT_EQ(parse_address("224.0.0.240"), (std::pair{Family::inet, pfsync_group_inet}));
  EXPECT_EQ(parse_address("ff12::f0"), (std::pair{Family::inet6, pfsync_group_inet6}));
  for (const std::string_view text : {"", "10.0.0", "10.0.0.256", "10.0.0.1/24", "fe80::1%em0", "::g", "10.0.0.1 ",
                                      "0000:0000:0000:0000:0000:0000:0000:0000:0000:0000:0000"})
    EXPECT_FALSE(parse_address(text)) << text;
  EXPECT_FALSE(parse_address(std::string_view{"10.0.0.1\0x", 10}));
}

TEST(ToString, PrintsAddresses) {
  EXPECT_EQ(to_string(pfsync_group_inet, Family::inet), "224.0.0.240");
  EXPECT_EQ(to_string(pfsync_group_inet6, Family::inet6), "ff12::f0");
  EXPECT_EQ(to_string(Address{}, Family::none), "-");
}

TEST(ParseMac, TakesSixPairsOfHexDigits) {
  EXPECT_EQ(parse_mac("02:00:00:00:00:01"), mac_a);
  EXPECT_EQ(parse_mac("FF:ff:Ff:fF:ff:ff"), broadcast_mac);
  for (const std::string_view text : {"", "02:00:00:00:00", "02:00:00:00:00:0g", "02-00-00-00-00-01",
                                      "2:00:00:00:00:001", "02:00:00:00:00:01:", "-2:00:00:00:00:01"})
    EXPECT_FALSE(parse_mac(text)) << text;
}

TEST(IsMulticast, TellsGroupsFromHosts) {
  EXPECT_TRUE(is_multicast(Family::inet, pfsync_group_inet));
  EXPECT_TRUE(is_multicast(Family::inet6, pfsync_group_inet6));
  EXPECT_FALSE(is_multicast(Family::inet, ipv4_address(240, 0, 0, 1)));
  EXPECT_FALSE(is_multicast(Family::inet6, Address{{0xfe, 0x80}}));
  EXPECT_FALSE(is_multicast(Family::none, Address{{0xff}}));
}

}  // namespace
}  // namespace pfsync::wire::test
