#include "engine/replay/dump.h"

#include <gtest/gtest.h>

#include <sstream>
#include <string>
#include <vector>

#include "engine/replay/survey.h"
#include "tests/engine/replay/files.h"
#include "tests/engine/replay/made_capture.h"

namespace pfsync::engine::replay {
namespace {

std::vector<std::string> lines_of(const std::string& text) {
  std::istringstream in{text};
  std::vector<std::string> lines;
  for (std::string line; std::getline(in, line);) lines.push_back(line);
  return lines;
}

std::vector<std::string> dumped(const Capture& capture) {
  std::vector<std::string> texts;
  for (const auto& packet : capture.packets()) texts.push_back(dump_text(packet.unix_time, capture.bytes(packet)));
  return texts;
}

TEST(Dump, SaysWhatTheBsdPrinterSays) {
  // The printer's account: a line "#N PFSYNCv5 len 40" for each frame, then sections and messages. States
  // and updates take it three lines where we take one, so what is compared of them is each line's words.
  const Capture capture = load(capture_path("pfsync-synthetic/synth_freebsd_v5_1301.pcap"));
  const auto frames = dumped(capture);
  ASSERT_EQ(frames.size(), 8u);
  std::size_t frame = 0, compared = 0;
  std::size_t at = 0;
  for (const std::string& line :
       lines_of(text_of(capture_path("pfsync-synthetic/synth_freebsd_v5_1301.freebsd10-printer.txt")))) {
    if (line.starts_with("#")) {
      frame = static_cast<std::size_t>(line[1] - '0');
      ASSERT_LE(frame, 8u);
      at = frames[frame - 1].find(": " + line.substr(3));
      ASSERT_NE(at, std::string::npos) << line << "\nis not in\n" << frames[frame - 1];
      continue;
    }
    // That printer takes an UPD for 12 bytes and goes astray behind it; its own defect.
    if (frame == 3) continue;
    std::string words = line;
    if (words.starts_with("\t")) words.erase(0, 1);
    if (words.starts_with("TCP? :   ")) words.erase(0, 9);
    if (words.find(" proto ") != std::string::npos) words = words.substr(words.rfind(' '));  // addresses: below
    const std::size_t found = frames[frame - 1].find(words, at);
    ASSERT_NE(found, std::string::npos) << words << "\ndoes not follow in\n" << frames[frame - 1];
    ++compared;
  }
  EXPECT_EQ(compared, 38u);
}

TEST(Dump, PrintsOneLineAMessage) {
  const Capture capture = load(capture_path("pfsync-synthetic/synth_freebsd_v5_1301.pcap"));
  const auto lines = lines_of(dumped(capture)[1]);
  ASSERT_EQ(lines.size(), 5u);
  EXPECT_NE(lines[0].find(" 10.255.0.1 > 224.0.0.240: PFSYNCv5 len 512"), std::string::npos) << lines[0];
  EXPECT_EQ(lines[1], "    insert count 2");
  EXPECT_EQ(
      lines[2],
      "\tem0 tcp 198.51.100.2:50001 (192.168.1.10:40000) -> 203.0.113.9:443   ESTABLISHED:ESTABLISHED  "
      "[1000 + 65000] wscale 7  [5000 + 65000] wscale 7  "
      "age 00:02:05, expires in 23:59:50, 10:9 pkts, 1500:900 bytes, rule 7  id: 0000000100000001 creatorid: c0ffee01");
  EXPECT_EQ(
      lines[3],
      "\tigb1 udp 2001:db8:1::53[53] <- 2001:db8::10[33333]   SINGLE:SINGLE  "
      "age 00:02:05, expires in 00:00:30, 10:9 pkts, 1500:900 bytes, rule 7  id: 0000000100000002 creatorid: c0ffee01");
  EXPECT_EQ(lines[4], "    eof count 1");
}

TEST(Dump, BeginsWithTheTimeInUtc) {
  const Capture capture = load(capture_path("freebsd12-pair/02-mcast-tcp-udp-icmp-nat.pcap"));
  EXPECT_TRUE(dumped(capture)[0].starts_with("2026-11-23T02:16:57.797962Z 10.3.0.1 > 224.0.0.240: PFSYNCv5 len "));
}

TEST(Dump, NamesWhyItStops) {
  const Capture capture = load(capture_path("pfsync-synthetic/synth_freebsd_v5_1301.pcap"));
  const auto original = capture.bytes(capture.packets()[4]);  // insert ack 2, delete compressed 1, eof
  const auto dump_of = [](const std::vector<std::uint8_t>& packet) {
    return dump_text(std::chrono::nanoseconds{0}, packet);
  };
  std::vector<std::uint8_t> packet(original.begin(), original.end());
  packet[20 + 20 + 4 + 24] = 203;  // the second section's action
  EXPECT_TRUE(
      dump_of(packet).ends_with("    badact: packets with an action this version does not know (act UNKNOWN id 203)\n"))
      << dump_of(packet);
  EXPECT_NE(dump_of(packet).find("insert ack count 2"), std::string::npos);
  packet[20] = 9;
  EXPECT_NE(dump_of(packet).find("PFSYNCv9 len 68\n    badver: "), std::string::npos) << dump_of(packet);
  packet[10] ^= 1;
  EXPECT_NE(dump_of(packet).find("unreadable IP packet, 88 bytes\n    badsum: "), std::string::npos) << dump_of(packet);
}

TEST(Dump, SurvivesEveryTruncationAndEveryByteSetToOnes) {
  for (const auto& name : {"pfsync-synthetic/synth_freebsd_v5_1301.pcap", "pfsync-synthetic/synth_openbsd_v6.pcap"}) {
    const Capture capture = load(capture_path(name));
    for (const auto& captured : capture.packets()) {
      const auto original = capture.bytes(captured);
      for (std::size_t bytes = 0; bytes < original.size(); ++bytes) {
        std::vector<std::uint8_t> cut(original.begin(), original.begin() + static_cast<std::ptrdiff_t>(bytes));
        EXPECT_NE(dump_text({}, cut).find("badip"), std::string::npos);
        std::vector<std::uint8_t> changed(original.begin(), original.end());
        changed[bytes] = 0xff;
        EXPECT_TRUE(dump_text({}, changed).ends_with("\n"));
      }
    }
  }
}

TEST(Survey, GivesFramesWithoutStatesTheDialectOfTheirSource) {
  const Survey told = survey(load(capture_path("freebsd12-pair/05-bulk-after-reboot.pcap")));
  const Capture capture = load(capture_path("freebsd12-pair/05-bulk-after-reboot.pcap"));
  ASSERT_EQ(told.dialect_frames.size(), 1u);
  EXPECT_EQ(told.dialect_frames.at("1301"), capture.packets().size());
}

TEST(Survey, CallsTheDialectOfASourceThatNeverTellsUnknown) {
  const TemporaryFile file;
  ASSERT_NO_FATAL_FAILURE(write_pcap(file.path(), DLT_EN10MB, {{ethernet_inet + ip_packet(wire::Family::inet)}}));
  const Survey told = survey(load(file.path()));
  ASSERT_EQ(told.dialect_frames.size(), 1u);
  EXPECT_EQ(told.dialect_frames.at("unknown"), 1u);
  EXPECT_EQ(told.distinct_states, 0u);
}

}  // namespace
}  // namespace pfsync::engine::replay
