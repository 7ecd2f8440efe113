#include "wire/carp.h"

#include <gtest/gtest.h>

#include <initializer_list>

#include "tests/wire/carp_captures.h"
#include "tests/wire/examples.h"
#include "wire/carp_digest.h"
#include "wire/ethernet.h"
#include "wire/ip.h"

namespace pfsync::wire::test {
namespace {

std::vector<CarpAddress> addresses(std::initializer_list<const char*> texts) {
  std::vector<CarpAddress> result;
  for (const char* text : texts) {
    const auto parsed = parse_address(text);
    EXPECT_TRUE(parsed) << text;
    result.push_back({parsed->first, parsed->second});
  }
  return result;
}

CarpAdvert read(Bytes payload) {
  const auto result = read_carp(payload);
  const auto* advert = std::get_if<CarpAdvert>(&result);
  EXPECT_NE(advert, nullptr);
  return advert != nullptr ? *advert : CarpAdvert{};
}

struct Vector {
  const char* name;
  std::string_view password;
  std::vector<CarpAddress> addresses;
  CarpAdvert advert;  ///< without md
  const char* header;
};

/// Computed with Python's hmac and, all six, with the functions of FreeBSD's ip_carp.c compiled as a program.
/// The last one was recorded from OpenBSD 7.8.
std::vector<Vector> vectors() {
  constexpr std::uint64_t counter = 0x0123456789abcdef;
  return {
      {"A",
       "mekmitasdigoat",
       addresses({"192.168.1.100"}),
       {1, 1, 0, 0, counter, {}},
       "210100070001380f0123456789abcdef87ad464cf4a04a7cb88bc8664c5c3f87b0803e54"},
      {"B",
       "mekmitasdigoat",
       addresses({"192.168.1.100", "192.168.1.20", "10.0.0.5"}),
       {1, 1, 100, 0, counter, {}},
       "2101640700013d5a0123456789abcdefff0ff54718aa936c39dd45aa7224eafc5711cb4d"},
      {"C",
       "mekmitasdigoat",
       addresses({"192.168.99.100", "2001:db8::1", "fe80::1", "2001:db8::a"}),
       {7, 1, 0, 0, 1, {}},
       "210700070001dc750000000000000001551c9575791aabea8a021a561a07dc77f4866384"},
      {"D",
       "",
       addresses({"192.168.1.100"}),
       {1, 1, 240, 0, counter, {}},
       "2101f0070001ef650123456789abcdef4b26cd15bc8a6cdf2d7d3637a980efd367b1bb09"},
      {"E",
       "0123456789abcdefghijXYZ",
       addresses({"203.0.113.254"}),
       {255, 255, 254, 0, ~std::uint64_t{0}, {}},
       "21fffe0700ff49adffffffffffffffff5b1f320938df95adea33c595ec855c6aa6619a7b"},
      {"F",
       "mekmitasdigoat",
       addresses({"2001:db8::1"}),
       {2, 1, 0, 0, 0xdeadbeef, {}},
       "210200070001eb4f00000000deadbeeffadab925d2c89b2fe9967f48162c174483141aab"},
      {"OpenBSD 7.8",
       "interop-pass",
       addresses({"10.0.253.42"}),
       {42, 1, 100, 0, 0x98bbdb7da8ddc119, {}},
       "212a64070001d21b98bbdb7da8ddc1192cd567a8f43f54fe6c2aa17ceb57d320efaf30f5"},
  };
}

TEST(Carp, WritesTheVectorsByteForByte) {
  for (const Vector& vector : vectors()) {
    CarpAdvert advert = vector.advert;
    advert.md = CarpDigest{carp_key(vector.password), advert.vhid, vector.addresses}.md(advert.counter);
    std::array<std::uint8_t, sizeof(CarpRecord)> room{};
    ASSERT_EQ(write_carp(advert, room), room.size());
    EXPECT_EQ(to_hex(room), vector.header) << vector.name;
  }
}

TEST(Carp, ReadsTheVectors) {
  for (const Vector& vector : vectors()) {
    const ExactCopy copy{from_hex(vector.header)};
    CarpAdvert advert = read(copy.bytes());
    EXPECT_TRUE((CarpDigest{carp_key(vector.password), advert.vhid, vector.addresses}.verifies(advert))) << vector.name;
    advert.md = {};
    EXPECT_EQ(advert, vector.advert) << vector.name;
  }
}

TEST(Carp, NothingButTheRightSecretsVerifies) {
  const auto vector = vectors()[1];
  const CarpAdvert good = read(from_hex(vector.header));
  const CarpKey key = carp_key(vector.password);
  for (std::size_t bit = 0; bit < 8 * good.md.size(); ++bit) {
    CarpAdvert bad = good;
    bad.md[bit / 8] ^= static_cast<std::uint8_t>(1u << bit % 8);
    EXPECT_FALSE((CarpDigest{key, 1, vector.addresses}.verifies(bad))) << bit;
  }
  EXPECT_FALSE((CarpDigest{carp_key("mekmitasdigoa"), 1, vector.addresses}.verifies(good)));
  EXPECT_FALSE((CarpDigest{key, 2, vector.addresses}.verifies(good)));
  EXPECT_FALSE((CarpDigest{key, 1, addresses({"192.168.1.100", "192.168.1.20"})}.verifies(good)));
  CarpAdvert later = good;
  ++later.counter;
  EXPECT_FALSE((CarpDigest{key, 1, vector.addresses}.verifies(later)));
}

TEST(Carp, TheHmacCoversNeitherBaseNorSkewNorDemotion) {
  const auto vector = vectors()[0];
  CarpAdvert advert = read(from_hex(vector.header));
  advert.advbase = 9;
  advert.advskew = 200;
  advert.demote = 3;
  EXPECT_TRUE((CarpDigest{carp_key(vector.password), 1, vector.addresses}.verifies(advert)));
}

TEST(CarpDigest, HashesEachAddressOnceInAscendingOrder) {
  const CarpKey key = carp_key("x");
  const CarpMd md = CarpDigest{key, 1, addresses({"10.0.0.1", "10.0.0.2", "2001:db8::1", "2001:db8::2"})}.md(1);
  EXPECT_EQ((CarpDigest{key, 1, addresses({"2001:db8::2", "10.0.0.2", "2001:db8::1", "10.0.0.1", "10.0.0.2"})}.md(1)),
            md);
  EXPECT_NE((CarpDigest{key, 1, addresses({"10.0.0.1", "10.0.0.2", "2001:db8::1"})}.md(1)), md);
}

TEST(CarpDigest, OrdersIpv4AsUnsignedNumbers) {
  // 127 and 128 differ in the sign bit. md by Python: hmac.new(b"x", bytes.fromhex("020101 7f000001 80000001
  // 0000000000000001"), "sha1")
  const CarpMd md = CarpDigest{carp_key("x"), 1, addresses({"128.0.0.1", "127.0.0.1"})}.md(1);
  EXPECT_EQ(to_hex(md), "75467f79d1cc7527ff006a26a5b734c2a1f2c488");
}

TEST(CarpDigest, LeavesTheKernelsSentinelsOut) {
  const CarpKey key = carp_key("x");
  const CarpMd md = CarpDigest{key, 1, addresses({"10.0.0.1"})}.md(1);
  EXPECT_EQ((CarpDigest{key, 1, addresses({"10.0.0.1", "0.0.0.0", "255.255.255.255", "::"})}.md(1)), md);
  EXPECT_EQ((CarpDigest{key, 1, addresses({"10.0.0.1", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"})}.md(1)), md);
}

TEST(CarpDigest, TakesTheScopeOutOfLinkLocalAddresses) {
  const CarpKey key = carp_key("x");
  EXPECT_EQ((CarpDigest{key, 1, addresses({"fe80:2::1"})}.md(1)), (CarpDigest{key, 1, addresses({"fe80::1"})}.md(1)));
  EXPECT_NE((CarpDigest{key, 1, addresses({"fec0:2::1"})}.md(1)), (CarpDigest{key, 1, addresses({"fec0::1"})}.md(1)));
}

TEST(CarpKey, IsThePasswordCutAt19Bytes) {
  EXPECT_EQ(carp_key("1234567890123456789"), carp_key("1234567890123456789x"));
  EXPECT_NE(carp_key("1234567890123456789"), carp_key("123456789012345678"));
  EXPECT_EQ(carp_key(""), CarpKey{});
  EXPECT_EQ(carp_key(std::string_view{"ab\0c", 4}), carp_key("ab"));
}

TEST(CarpKey, KnowsWhatPfsenseHandsOver) {
  EXPECT_EQ(as_pfsense_hands_over("a b'c"), "ab\\'c");
  EXPECT_EQ(as_pfsense_hands_over("\"\\"), "\\\"\\\\");
  EXPECT_EQ(as_pfsense_hands_over(std::string_view{"\0", 1}), "\\0");
  EXPECT_EQ(as_pfsense_hands_over("plain"), "plain");
}

TEST(Carp, RefusesEveryTruncation) {
  const auto whole = from_hex(vectors()[0].header);
  for (std::size_t size = 0; size < whole.size(); ++size) {
    const ExactCopy cut{Bytes{whole}.first(size)};
    const auto result = read_carp(cut.bytes());
    ASSERT_TRUE(std::holds_alternative<CarpReject>(result)) << size;
    EXPECT_EQ(std::get<CarpReject>(result), CarpReject::badlen) << size;
  }
}

TEST(Carp, RefusesEveryDamagedBit) {
  const auto whole = from_hex(vectors()[0].header);
  for (std::size_t bit = 0; bit < 8 * whole.size(); ++bit) {
    auto damaged = whole;
    damaged[bit / 8] ^= static_cast<std::uint8_t>(1u << bit % 8);
    const auto result = read_carp(damaged);
    ASSERT_TRUE(std::holds_alternative<CarpReject>(result)) << bit;
    // Version 3 of this length is VRRP with seven addresses.
    const CarpReject why = bit == 4 ? CarpReject::vrrp : bit > 4 && bit < 8 ? CarpReject::badver : CarpReject::badsum;
    EXPECT_EQ(std::get<CarpReject>(result), why) << bit;
  }
}

TEST(Carp, JudgesNeitherTypeNorAuthlenNorWhatFollows) {
  auto bytes = from_hex(vectors()[0].header);
  bytes[0] = 0x22;  // type 2
  bytes[3] = 8;
  bytes[6] = bytes[7] = 0;
  store(Room{bytes}, 6, Be16{internet_checksum(bytes)});
  bytes.insert(bytes.end(), 10, 0xee);
  EXPECT_EQ(read(bytes).counter, 0x0123456789abcdefu);
}

TEST(Carp, WritesNothingIntoTooSmallARoom) {
  std::array<std::uint8_t, 35> room{};
  EXPECT_EQ(write_carp({}, room), 0u);
  EXPECT_EQ(room, (std::array<std::uint8_t, 35>{}));
}

TEST(Carp, IsToldApartFromVrrp) {
  // VRRP 2 with one address (20 bytes) and with five (36 bytes, as long as CARP); VRRP 3 over IPv4 and IPv6.
  const auto vrrp2 = [](std::uint8_t count, std::size_t size) {
    std::vector<std::uint8_t> bytes(size);
    bytes[0] = 0x21;
    bytes[1] = 9;
    bytes[3] = count;
    bytes[5] = 1;
    store(Room{bytes}, 6, Be16{internet_checksum(bytes)});
    return bytes;
  };
  EXPECT_EQ(vrrp_id(vrrp2(1, 20)), 9);
  EXPECT_EQ(vrrp_id(vrrp2(5, 36)), 9);
  EXPECT_EQ(vrrp_id(vrrp2(3, 20)), 9);  // without authentication data
  EXPECT_EQ(vrrp_id(vrrp2(1, 22)), std::nullopt);
  EXPECT_EQ(vrrp_id(vrrp2(7, 36)), std::nullopt);
  EXPECT_EQ(std::get<CarpReject>(read_carp(vrrp2(5, 36))), CarpReject::vrrp);
  EXPECT_EQ(std::get<CarpReject>(read_carp(vrrp2(1, 20))), CarpReject::vrrp);
  EXPECT_EQ(vrrp_id(from_hex("310764010064abcdc0a80001")), 7);
  EXPECT_EQ(vrrp_id(from_hex("310764010064abcdfe800000000000000000000000000001")), 7);
  for (const Vector& vector : vectors()) EXPECT_EQ(vrrp_id(from_hex(vector.header)), std::nullopt) << vector.name;
  EXPECT_EQ(std::get<CarpReject>(read_carp(from_hex("310764010064abcdc0a80001"))), CarpReject::vrrp);
}

TEST(Carp, EveryRecordedAdvertisementVerifiesAndIsWrittenAsItWas) {
  for (const Recorded& source : recorded) {
    const CarpDigest digest{carp_key(source.password), source.vhid, addresses({source.address})};
    std::size_t verified = 0;
    for (const auto& frame : frames_of(std::string{PFSYNC_CAPTURES_DIR "/"} + source.file)) {
      const auto ethernet = read_ethernet(frame);
      ASSERT_TRUE(ethernet);
      if (ethernet->ethertype == ethertype::arp) continue;
      const IpResult ip = read_ip(ethernet->payload);
      ASSERT_FALSE(ip.reject);
      ASSERT_EQ(ip.packet.protocol, ipproto::carp);
      const CarpAdvert advert = read(ip.packet.payload);
      if (!digest.verifies(advert)) continue;
      ++verified;
      CarpAdvert ours = advert;
      ours.md = digest.md(advert.counter);
      std::array<std::uint8_t, sizeof(CarpRecord)> room{};
      ASSERT_EQ(write_carp(ours, room), room.size());
      EXPECT_EQ(to_hex(room), to_hex(ip.packet.payload)) << source.file;
    }
    EXPECT_EQ(verified, source.adverts) << source.file << " with the password " << source.password;
  }
}

}  // namespace
}  // namespace pfsync::wire::test
