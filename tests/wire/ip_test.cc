#include "wire/ip.h"

#include <gtest/gtest.h>

#include <initializer_list>

#include "tests/wire/examples.h"
#include "wire/address.h"

namespace pfsync::wire::test {
namespace {

using Datagram = std::vector<std::uint8_t>;

const IpHeaderFields fields_inet{Family::inet, ipv4_address(10, 99, 0, 1), pfsync_group_inet, ipproto::pfsync};
const IpHeaderFields fields_inet6{Family::inet6, Address{{0xfe, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1}},
                                  pfsync_group_inet6, ipproto::pfsync};

/// A packet with `payload` bytes of 0xaa.
Datagram datagram(const IpHeaderFields& fields, std::size_t payload) {
  Datagram bytes(ip_header_bytes(fields.family) + payload, 0xaa);
  EXPECT_EQ(write_ip_header(fields, payload, bytes), ip_header_bytes(fields.family));
  return bytes;
}

/// Makes the IPv4 header's checksum right again after a change.
void correct(Datagram& bytes) {
  const std::size_t header_bytes = (bytes[0] & 0x0fu) * 4u;
  store(Room{bytes}, offsetof(Ipv4Header, checksum), Be16{0});
  store(Room{bytes}, offsetof(Ipv4Header, checksum), Be16{internet_checksum(Bytes{bytes}.first(header_bytes))});
}

TEST(InternetChecksum, AgreesWithTheExampleOfTheRfc) {
  // RFC 1071 section 3: the sum of these is ddf2.
  EXPECT_EQ(internet_checksum(from_hex("0001f203f4f5f6f7")), static_cast<std::uint16_t>(~0xddf2));
}

TEST(InternetChecksum, PadsAnOddByteWithZero) {
  EXPECT_EQ(internet_checksum(from_hex("0001f2")), internet_checksum(from_hex("0001f200")));
  EXPECT_EQ(internet_checksum({}), 0xffff);
}

TEST(InternetChecksum, FoldsEveryCarry) {
  EXPECT_EQ(internet_checksum(Datagram(65535, 0xff)), static_cast<std::uint16_t>(~0xff00));
}

TEST(ReadIp, CutsEthernetPaddingOff) {
  for (const auto& fields : {fields_inet, fields_inet6}) {
    Datagram bytes = datagram(fields, 5);
    bytes.insert(bytes.end(), 21, 0);
    const IpResult result = read_ip(bytes);
    ASSERT_FALSE(result.reject);
    EXPECT_EQ(to_hex(result.packet.payload), "aaaaaaaaaa");
  }
}

TEST(ReadIp, StepsOverIpv4Options) {
  Datagram bytes = datagram(fields_inet, 3);
  bytes[0] = 0x46;
  bytes.insert(bytes.begin() + 20, {0x94, 0x04, 0x00, 0x00});  // router alert, RFC 2113 section 2.1
  bytes[3] = static_cast<std::uint8_t>(bytes.size());
  correct(bytes);
  const IpResult result = read_ip(bytes);
  ASSERT_FALSE(result.reject);
  EXPECT_EQ(to_hex(result.packet.payload), "aaaaaa");
}

TEST(ReadIp, RefusesOptionsBeyondThePacket) {
  Datagram bytes = datagram(fields_inet, 3);
  bytes[0] = 0x46;  // 24 bytes of header in a packet of 23
  EXPECT_EQ(read_ip(ExactCopy{bytes}.bytes()).reject, Reject::badip);
}

TEST(ReadIp, RefusesIpv4LengthsThatDoNotAgree) {
  for (const std::uint16_t total :
       std::initializer_list<std::uint16_t>{0, 19, 24, 0xffff}) {  // the packet has 23 bytes
    Datagram bytes = datagram(fields_inet, 3);
    store(Room{bytes}, offsetof(Ipv4Header, total_length), Be16{total});
    correct(bytes);
    EXPECT_EQ(read_ip(ExactCopy{bytes}.bytes()).reject, Reject::badip) << total;
  }
  for (const int words : {0, 1, 4}) {
    Datagram bytes = datagram(fields_inet, 3);
    bytes[0] = static_cast<std::uint8_t>(0x40 | words);
    EXPECT_EQ(read_ip(bytes).reject, Reject::badip) << words;
  }
}

TEST(ReadIp, RefusesEverySingleBitErrorOfAnIpv4Header) {
  const Datagram good = datagram(fields_inet, 3);
  for (std::size_t bit = 0; bit < 8 * sizeof(Ipv4Header); ++bit) {
    Datagram bytes = good;
    bytes[bit / 8] = static_cast<std::uint8_t>(bytes[bit / 8] ^ (1u << (bit % 8)));
    const auto reject = read_ip(ExactCopy{bytes}.bytes()).reject;
    // Version and lengths are looked at before the sum.
    const bool is_length = bit < 8 || (bit >= 16 && bit < 32);
    ASSERT_TRUE(reject) << bit;
    if (is_length)
      EXPECT_TRUE(reject == Reject::badip || reject == Reject::badsum) << bit;
    else
      EXPECT_EQ(reject, Reject::badsum) << bit;
  }
}

TEST(ReadIp, RefusesFragments) {
  for (const std::uint16_t fragment :
       std::initializer_list<std::uint16_t>{0x2000, 0x2001, 0x0001, 0x1fff, 0x6000, 0x4001}) {
    Datagram bytes = datagram(fields_inet, 3);
    store(Room{bytes}, offsetof(Ipv4Header, fragment), Be16{fragment});
    correct(bytes);
    EXPECT_EQ(read_ip(bytes).reject, Reject::fragment) << fragment;
  }
  Datagram bytes = datagram(fields_inet6, 8);
  bytes[offsetof(Ipv6Header, next_header)] = 44;
  EXPECT_EQ(read_ip(bytes).reject, Reject::fragment);
}

TEST(ReadIp, TellsWhetherDontFragmentIsSet) {
  Datagram bytes = datagram(fields_inet, 3);
  EXPECT_TRUE(read_ip(bytes).packet.dont_fragment);
  store(Room{bytes}, offsetof(Ipv4Header, fragment), Be16{0});
  correct(bytes);
  EXPECT_FALSE(read_ip(bytes).packet.dont_fragment);
}

TEST(ReadIp, PassesTheHopsAndServiceOn) {
  Datagram inet = datagram(fields_inet, 0);
  inet[offsetof(Ipv4Header, ttl)] = 64;
  inet[offsetof(Ipv4Header, tos)] = 0xb8;
  correct(inet);
  EXPECT_EQ(read_ip(inet).packet.ttl, 64);
  EXPECT_EQ(read_ip(inet).packet.tos, 0xb8);
  Datagram inet6 = datagram(fields_inet6, 0);
  inet6[offsetof(Ipv6Header, hop_limit)] = 1;
  inet6[0] = 0x6b, inet6[1] = 0x81;
  EXPECT_EQ(read_ip(inet6).packet.ttl, 1);
  EXPECT_EQ(read_ip(inet6).packet.tos, 0xb8);
}

TEST(ReadIp, RefusesAnIpv6PacketThatEndsBeforeItsPayload) {
  const Datagram bytes = datagram(fields_inet6, 7);
  for (std::size_t length = 0; length < bytes.size(); ++length)
    EXPECT_EQ(read_ip(ExactCopy{Bytes{bytes}.first(length)}.bytes()).reject, Reject::badip) << length;
}

TEST(ReadIp, RefusesEveryOtherVersion) {
  for (int version = 0; version < 16; ++version) {
    if (version == 4 || version == 6) continue;
    Datagram bytes = datagram(fields_inet6, 7);
    bytes[0] = static_cast<std::uint8_t>(version << 4);
    EXPECT_EQ(read_ip(bytes).reject, Reject::badip) << version;
  }
}

TEST(WriteIpHeader, WritesThePfsyncForm) {
  EXPECT_EQ(to_hex(datagram(fields_inet, 0)),
            "45100014"
            "00004000"
            "fff08f95"
            "0a630001"
            "e00000f0");
  EXPECT_EQ(to_hex(datagram(fields_inet6, 0)),
            "60000000"
            "0000f0ff"
            "fe800000000000000000000000000001"
            "ff1200000000000000000000000000f0");
}

TEST(WriteIpHeader, IsUndoneByReadIp) {
  for (const auto& fields : {fields_inet, fields_inet6}) {
    const IpPacket packet = read_ip(datagram(fields, 1000)).packet;
    EXPECT_EQ(packet.family, fields.family);
    EXPECT_EQ(packet.source, fields.source);
    EXPECT_EQ(packet.destination, fields.destination);
    EXPECT_EQ(packet.protocol, ipproto::pfsync);
    EXPECT_EQ(packet.ttl, 255);
    EXPECT_EQ(packet.payload.size(), 1000u);
  }
}

TEST(WriteIpHeader, WritesNothingWhenItCannot) {
  for (const auto& fields : {fields_inet, fields_inet6}) {
    const std::size_t bytes = ip_header_bytes(fields.family);
    ExactCopy small{Datagram(bytes - 1, 0xee)};
    EXPECT_EQ(write_ip_header(fields, 0, small.room()), 0u);
    EXPECT_EQ(to_hex(small.bytes()), to_hex(Datagram(bytes - 1, 0xee)));
    ExactCopy room{Datagram(bytes, 0xee)};
    EXPECT_EQ(write_ip_header(fields, 65536, room.room()), 0u);
    EXPECT_EQ(to_hex(room.bytes()), to_hex(Datagram(bytes, 0xee)));
  }
  Datagram room(40);
  EXPECT_EQ(write_ip_header({}, 0, room), 0u);
}

}  // namespace
}  // namespace pfsync::wire::test
