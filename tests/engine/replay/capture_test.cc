#include "engine/replay/capture.h"

#include <gtest/gtest.h>
#include <pcap/pcap.h>

#include <chrono>
#include <string>
#include <vector>

#include "engine/replay/link_layer.h"
#include "tests/engine/replay/files.h"
#include "tests/engine/replay/made_capture.h"
#include "wire/ip.h"

namespace pfsync::engine::replay {
namespace {

using namespace std::chrono_literals;

const std::string macs(12, '\x02');
const std::string sll_head = u16(3) + u16(1) + u16(6) + std::string(8, '\0');  // multicast, Ethernet, 6 address bytes

std::string sll2(unsigned protocol) {
  return u16(protocol) + u16(0) + std::string{"\0\0\0\2", 4} + u16(1) + std::string{"\3\6", 2} + std::string(8, '\0');
}

struct LinkCase {
  std::string name;
  int link_type;
  std::string head;
  wire::Family family;
  bool padded;  ///< Ethernet pads short frames; raw IP must not be affected by what follows
};

class EveryLinkType : public testing::TestWithParam<LinkCase> {};

TEST_P(EveryLinkType, YieldsTheIpPacket) {
  const LinkCase& link = GetParam();
  const std::string packet = ip_packet(link.family);
  const std::string other = ip_packet(link.family, wire::ipproto::udp);
  const TemporaryFile file;
  ASSERT_NO_FATAL_FAILURE(
      write_pcap(file.path(), link.link_type,
                 {{link.head + packet}, {link.head + other}, {link.head + packet + (link.padded ? "\0\0" : "")}}));
  const Capture capture = load(file.path());
  EXPECT_EQ(capture.frames(), 3u);
  ASSERT_EQ(capture.packets().size(), 2u);
  EXPECT_EQ(text(capture.bytes(capture.packets()[0])), packet);
  const auto ip = wire::read_ip(capture.bytes(capture.packets()[1]));
  ASSERT_FALSE(ip.reject);
  EXPECT_EQ(ip.packet.family, link.family);
}

INSTANTIATE_TEST_SUITE_P(
    Capture, EveryLinkType,
    testing::Values(LinkCase{"Ethernet", DLT_EN10MB, ethernet_inet, wire::Family::inet, true},
                    LinkCase{"EthernetIpv6", DLT_EN10MB, macs + u16(0x86dd), wire::Family::inet6, true},
                    LinkCase{"Vlan", DLT_EN10MB, macs + u16(0x8100) + u16(42) + u16(0x0800), wire::Family::inet, true},
                    LinkCase{"VlanInServiceVlan", DLT_EN10MB,
                             macs + u16(0x88a8) + u16(1) + u16(0x8100) + u16(42) + u16(0x0800), wire::Family::inet,
                             true},
                    LinkCase{"CookedV1", DLT_LINUX_SLL, sll_head + u16(0x0800), wire::Family::inet, false},
                    LinkCase{"CookedV1Ipv6", DLT_LINUX_SLL, sll_head + u16(0x86dd), wire::Family::inet6, false},
                    LinkCase{"CookedV1Vlan", DLT_LINUX_SLL, sll_head + u16(0x8100) + u16(42) + u16(0x0800),
                             wire::Family::inet, false},
                    LinkCase{"CookedV2", DLT_LINUX_SLL2, sll2(0x0800), wire::Family::inet, false},
                    LinkCase{"CookedV2Ipv6", DLT_LINUX_SLL2, sll2(0x86dd), wire::Family::inet6, false},
                    LinkCase{"RawInet", DLT_RAW, "", wire::Family::inet, false},
                    LinkCase{"RawInet6", DLT_RAW, "", wire::Family::inet6, false},
                    LinkCase{"Ipv4", DLT_IPV4, "", wire::Family::inet, false},
                    LinkCase{"Ipv6", DLT_IPV6, "", wire::Family::inet6, false}),
    [](const auto& tested) { return tested.param.name; });

TEST(Capture, ReadsPcapng) {
  const std::string frame = ethernet_inet + ip_packet(wire::Family::inet);
  const auto u32 = [](std::uint32_t value) {  // the writer's order: little-endian, as the section header says
    std::string bytes(4, '\0');
    for (int i = 0; i < 4; ++i) bytes[static_cast<std::size_t>(i)] = static_cast<char>(value >> (8 * i));
    return bytes;
  };
  const auto block = [&](std::uint32_t type, std::string body) {
    body.resize((body.size() + 3) / 4 * 4);
    const auto bytes = static_cast<std::uint32_t>(body.size() + 12);
    return u32(type) + u32(bytes) + body + u32(bytes);
  };
  const auto enhanced_packet = [&](std::uint64_t us) {
    const auto bytes = static_cast<std::uint32_t>(frame.size());
    return block(6, u32(0) + u32(static_cast<std::uint32_t>(us >> 32u)) + u32(static_cast<std::uint32_t>(us)) +
                        u32(bytes) + u32(bytes) + frame);
  };
  const std::string section = block(0x0a0d0d0a, u32(0x1a2b3c4d) + u32(1) + std::string(8, '\xff'));
  const std::string ethernet_interface = block(1, u32(1) + u32(0));
  const TemporaryFile file{section + ethernet_interface + enhanced_packet(1'600'000'000'000'000) +
                           enhanced_packet(1'600'000'001'500'000)};

  const Capture capture = load(file.path());
  EXPECT_EQ(capture.frames(), 2u);
  ASSERT_EQ(capture.packets().size(), 2u);
  EXPECT_EQ(capture.span(), 1500ms);
  EXPECT_EQ(capture.packets()[1].unix_time, 1'600'000'001s + 500ms);
}

TEST(Capture, KeepsNanosecondsAndNeverTurnsTheClockBack) {
  const std::string frame = ethernet_inet + ip_packet(wire::Family::inet);
  const TemporaryFile file;
  ASSERT_NO_FATAL_FAILURE(
      write_pcap(file.path(), DLT_EN10MB, {{frame, 100, 5}, {frame, 101, 7}, {frame, 99, 0}, {frame, 101, 8}}));
  const Capture capture = load(file.path());
  ASSERT_EQ(capture.packets().size(), 4u);
  EXPECT_EQ(capture.packets()[1].at.time_since_epoch(), 1s + 2ns);
  EXPECT_EQ(capture.packets()[2].at.time_since_epoch(), 1s + 2ns);
  EXPECT_EQ(capture.packets()[2].unix_time, 99s);
  EXPECT_EQ(capture.span(), 1s + 3ns);
}

TEST(Capture, BoundsTheClockOfAFileWithNonsenseTimes) {
  const std::string frame = ethernet_inet + ip_packet(wire::Family::inet);
  const TemporaryFile file;
  ASSERT_NO_FATAL_FAILURE(write_pcap(file.path(), DLT_EN10MB, {{frame, 0, 0}, {frame, 0x7ffffffe, 0}}));
  EXPECT_EQ(load(file.path()).span(), 24h * 365 * 30);
}

TEST(Capture, CountsFramesThatTheSnapshotLengthCut) {
  const std::string frame = ethernet_inet + ip_packet(wire::Family::inet);
  std::vector<Frame> frames;
  for (std::size_t left = 0; left <= frame.size(); ++left)
    frames.push_back({.bytes = frame, .left_out = frame.size() - left});
  const TemporaryFile file;
  ASSERT_NO_FATAL_FAILURE(write_pcap(file.path(), DLT_EN10MB, frames));
  const Capture capture = load(file.path());
  EXPECT_EQ(capture.frames(), frame.size() + 1);
  EXPECT_EQ(capture.cut_frames(), frame.size());
  // From the IP protocol byte on (14 + 10 bytes) a frame can be told to be pfsync.
  EXPECT_EQ(capture.packets().size(), frame.size() + 1 - 24);
  EXPECT_TRUE(capture.packets().front().cut);
  EXPECT_FALSE(capture.packets().back().cut);
}

TEST(LinkLayer, FindsNoPacketInAnyTruncationOfAnyHeader) {
  const std::string tagged = u16(0x8100) + u16(42) + u16(0x8100) + u16(42) + u16(0x0800);
  for (const auto& [link, head] :
       {std::pair{LinkLayer::ethernet, macs + tagged}, std::pair{LinkLayer::cooked_v1, sll_head + tagged},
        std::pair{LinkLayer::cooked_v2, sll2(0x8100) + u16(42) + u16(0x0800)},
        std::pair{LinkLayer::raw_ip, std::string{}}}) {
    for (std::size_t bytes = 0; bytes <= head.size(); ++bytes) {
      const std::vector<std::uint8_t> cut(head.begin(),
                                          head.begin() + static_cast<std::ptrdiff_t>(bytes));  // its own heap block
      EXPECT_FALSE(network_packet(link, cut)) << static_cast<int>(link) << " cut to " << bytes;
    }
    const std::string whole = head + ip_packet(wire::Family::inet);
    const std::vector<std::uint8_t> frame(whole.begin(), whole.end());
    EXPECT_TRUE(network_packet(link, frame)) << static_cast<int>(link);
  }
}

TEST(LinkLayer, KnowsPfsyncBehindAnIpv6FragmentHeader) {
  std::string packet = ip_packet(wire::Family::inet6);
  packet[6] = 44;
  packet[40] = static_cast<char>(240);
  EXPECT_TRUE(claims_pfsync(std::vector<std::uint8_t>(packet.begin(), packet.end())));
  EXPECT_FALSE(claims_pfsync(std::vector<std::uint8_t>(packet.begin(), packet.begin() + 40)));
}

TEST(Capture, RefusesEveryTruncationOfAFileWithOneSentence) {
  const std::string whole = text_of(capture_path("pfsync-synthetic/synth_freebsd_v5_1301.pcap"));
  for (std::size_t bytes = 0; bytes < whole.size(); bytes += 7) {
    const TemporaryFile file{whole.substr(0, bytes)};
    auto loaded = Capture::load(file.path());
    if (const auto* capture = std::get_if<Capture>(&loaded)) {
      EXPECT_LT(capture->frames(), 8u) << "cut to " << bytes;  // cut between two frames: a whole file of fewer
      continue;
    }
    const std::string& why = std::get<std::string>(loaded);
    EXPECT_TRUE(why.starts_with(file.path())) << why;
    EXPECT_EQ(why.find('\n'), std::string::npos) << why;
  }
}

TEST(Capture, NamesTheFileAndTheRemedyOfWhatItCannotRead) {
  EXPECT_NE(refusal("/nonexistent/x.pcap")
                .find("/nonexistent/x.pcap cannot be read as a capture (No such file or directory)"),
            std::string::npos);
  EXPECT_NE(refusal("/").find("it is a directory"), std::string::npos);
  const TemporaryFile no_capture{"These are words and no capture at all, however long.\n"};
  EXPECT_NE(refusal(no_capture.path()).find("give a pcap or pcapng file"), std::string::npos);

  const std::string whole = text_of(capture_path("pfsync-synthetic/synth_freebsd_v5_1301.pcap"));
  const TemporaryFile cut{whole.substr(0, whole.size() - 5)};
  EXPECT_NE(refusal(cut.path()).find("damaged or truncated after frame 7"), std::string::npos) << refusal(cut.path());

  const TemporaryFile token_ring;
  ASSERT_NO_FATAL_FAILURE(write_pcap(token_ring.path(), DLT_IEEE802, {}));
  EXPECT_NE(refusal(token_ring.path()).find("link type IEEE802"), std::string::npos) << refusal(token_ring.path());
}

}  // namespace
}  // namespace pfsync::engine::replay
