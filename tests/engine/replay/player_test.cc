#include "engine/replay/player.h"

#include <gtest/gtest.h>

#include <map>
#include <memory>
#include <ostream>
#include <string>
#include <variant>

#include "engine/replay/report.h"
#include "engine/replay/survey.h"
#include "tests/engine/replay/files.h"
#include "tests/engine/replay/made_capture.h"
#include "tests/engine/replay/played.h"

namespace pfsync::engine::replay {
namespace {

using wire::Message;

struct Expected {
  std::string capture;
  std::uint64_t ins, ins_ack, upd, upd_c, upd_req, del_c, clr, bus;
  std::size_t states;

  friend void PrintTo(const Expected& row, std::ostream* out) { *out << row.capture; }
};

class GenuineCapture : public testing::TestWithParam<Expected> {};

/// What was counted in the packets by hand (an independent dissection of the captures).
TEST_P(GenuineCapture, GivesTheseMessagesAndStates) {
  const Expected& expected = GetParam();
  const Played played{"freebsd12-pair/" + expected.capture + ".pcap", false};
  const auto received = [&](Message message) { return played->counters().in(message).value(); };
  EXPECT_EQ(received(Message::ins), expected.ins);
  EXPECT_EQ(received(Message::ins_ack), expected.ins_ack);
  EXPECT_EQ(received(Message::upd), expected.upd);
  EXPECT_EQ(received(Message::upd_c), expected.upd_c);
  EXPECT_EQ(received(Message::upd_req), expected.upd_req);
  EXPECT_EQ(received(Message::del_c), expected.del_c);
  EXPECT_EQ(received(Message::clr), expected.clr);
  EXPECT_EQ(received(Message::bus), expected.bus);
  EXPECT_EQ(received(Message::del), 0u);
  EXPECT_EQ(received(Message::tdb), 0u);
  EXPECT_EQ(received(Message::eof), played.capture().packets().size());  // every FreeBSD packet ends with one
  EXPECT_EQ(played->states().size(), expected.states);
  for (const auto& row : wire::reject_table) {
    if (row.reject == wire::Reject::stale || row.reject == wire::Reject::badstate) continue;  // lawful in all of them
    EXPECT_EQ(played->counters()[row.reject].value(), 0u) << row.word;
  }
}

INSTANTIATE_TEST_SUITE_P(Player, GenuineCapture,
                         testing::Values(Expected{"02-mcast-tcp-udp-icmp-nat", 14, 0, 0, 12, 0, 0, 0, 0, 14},
                                         Expected{"03-mcast-kill-clr-ipv6", 16, 0, 0, 4, 0, 9, 1, 0, 0},
                                         Expected{"04-mcast-500udp-flows", 992, 0, 0, 8, 0, 0, 0, 0, 992},
                                         Expected{"05-bulk-after-reboot", 795, 0, 3271, 10, 2, 982, 0, 4, 805},
                                         Expected{"06-unicast-syncpeer", 44, 0, 0, 7, 0, 0, 0, 0, 44},
                                         Expected{"07-unicast-defer", 22, 0, 101, 6, 2, 0, 0, 4, 66},
                                         Expected{"08-failover-sync", 42, 0, 174, 988, 8, 4, 0, 4, 104}),
                         [](const auto& tested) { return "Capture" + tested.param.capture.substr(0, 2); });

TEST(Player, GivesTheSameInBurstsAndOneByOne) {
  const Played burst{"freebsd12-pair/08-failover-sync.pcap", true};
  const Played single{"freebsd12-pair/08-failover-sync.pcap", true, 1};
  EXPECT_EQ(burst->states(), single->states());
  for (std::size_t i = 0; i < wire::reject_count; ++i)
    EXPECT_EQ(burst->counters().rejects[i].value(), single->counters().rejects[i].value())
        << wire::reject_table[i].word;
}

TEST(Player, ExpiresStatesOnTheCapturesClock) {
  // Capture 02 while its TCP connection is open, and one more frame an hour later: only that one's two states
  // (24 h) live on.
  const Capture original = load(capture_path("freebsd12-pair/02-mcast-tcp-udp-icmp-nat.pcap"));
  std::vector<Frame> frames;
  for (std::size_t i = 0; i < 10; ++i) {
    const auto& packet = original.packets()[i];
    frames.push_back({text(original.bytes(packet)), packet.unix_time.count() / 1'000'000'000});
  }
  frames.push_back({.bytes = ip_packet(wire::Family::inet), .s = frames.back().s + 3600});
  const TemporaryFile file;
  ASSERT_NO_FATAL_FAILURE(write_pcap(file.path(), DLT_RAW, frames));

  const Played expiring{file, true};
  EXPECT_EQ(expiring->states().size(), 2u);
  EXPECT_EQ(expiring->counters()[Tally::expired].value(), 12u);
  for (const wire::State& state : expiring->states()) EXPECT_EQ(state.proto, wire::ipproto::tcp);
  const Played keeping{file, false};
  EXPECT_EQ(keeping->states().size(), 14u);
}

TEST(Player, GetsThroughThirtyYearsOfNothing) {
  const TemporaryFile file;
  const std::string frame = ip_packet(wire::Family::inet);
  ASSERT_NO_FATAL_FAILURE(write_pcap(file.path(), DLT_RAW, {{frame, 0}, {frame, 0x7ffffffe}}));
  const Played played{file, true};
  EXPECT_EQ(played->counters().in(Message::del_c).value(), 2u);
}

TEST(Player, CountsWhatItDoesNotAdmit) {
  const std::string good = ip_packet(wire::Family::inet);
  std::string far = good, torn = good, broken = good, part = good;
  const auto refit = [](std::string& packet) {  // a changed header needs its checksum again
    packet[10] = packet[11] = '\0';
    const auto sum = wire::internet_checksum({reinterpret_cast<const std::uint8_t*>(packet.data()), 20});
    packet.replace(10, 2, u16(sum));
  };
  far[8] = 64;
  refit(far);
  part[6] = 0x20;
  refit(part);
  broken[15] ^= 1;
  torn.resize(torn.size() - 1);
  const TemporaryFile file;
  ASSERT_NO_FATAL_FAILURE(write_pcap(file.path(), DLT_RAW, {{good}, {far}, {part}, {broken}, {torn}}));
  const Played played{file, true};
  EXPECT_EQ(played->counters()[wire::Reject::badttl].value(), 1u);
  EXPECT_EQ(played->counters()[wire::Reject::fragment].value(), 1u);
  EXPECT_EQ(played->counters()[wire::Reject::badsum].value(), 1u);
  EXPECT_EQ(played->counters()[wire::Reject::badip].value(), 1u);
  EXPECT_EQ(played->counters().in(Message::del_c).value(), 1u);
}

TEST(Player, SurvivesEveryTruncationOfEveryFrame) {
  const Capture original = load(capture_path("pfsync-synthetic/synth_freebsd_v5_1301.pcap"));
  std::vector<Frame> frames;
  for (const auto& packet : original.packets()) {
    const std::string whole = text(original.bytes(packet));
    for (std::size_t left_out = 0; left_out <= whole.size(); ++left_out)
      frames.push_back({.bytes = whole, .left_out = left_out});
  }
  const TemporaryFile file;
  ASSERT_NO_FATAL_FAILURE(write_pcap(file.path(), DLT_RAW, frames));
  const Played played{file, false};
  EXPECT_EQ(played.capture().cut_frames(), frames.size() - original.packets().size());
  // Whole frames play; a cut one is told to be pfsync from its tenth byte on, and then refused.
  EXPECT_EQ(played->counters()[wire::Reject::badip].value(), frames.size() - original.packets().size() * 11);
}

TEST(Collisions, CountStatesThatShareTheirConnection) {
  wire::State a, b, c;
  a.id = {1, 1};
  b.id = {1, 2};
  c.id = {2, 1};
  a.af = b.af = c.af = wire::Family::inet;
  c.direction = wire::Direction::out;
  EXPECT_EQ(collisions({a, b, c}), 2u);
  b.key[wire::stack_side].port[0] = 9;  // translation behind the interface does not make it another connection
  EXPECT_EQ(collisions({a, b, c}), 2u);
  b.key[wire::wire_side].port[0] = 9;
  EXPECT_EQ(collisions({a, b, c}), 0u);
}

}  // namespace
}  // namespace pfsync::engine::replay
