#include "engine/dpdk/port.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <stdexcept>
#include <thread>
#include <vector>

#include "engine/dpdk/device.h"

namespace pfsync::engine::dpdk {
namespace {

using namespace std::chrono_literals;

/// Polls until at least one frame came, or a generous number of turns have passed.
std::vector<std::vector<std::uint8_t>> frames_from(Port& port, std::size_t at_least) {
  std::vector<std::vector<std::uint8_t>> frames;
  for (int turn = 0; turn < 20'000 && frames.size() < at_least; ++turn) {
    for (const wire::Bytes frame : port.receive()) frames.emplace_back(frame.begin(), frame.end());
    if (frames.size() < at_least) std::this_thread::sleep_for(100us);
  }
  return frames;
}

void send(Port& port, std::uint8_t fill, std::size_t bytes) {
  const wire::Room room = port.room();
  ASSERT_GE(room.size(), 1514u);
  std::fill_n(room.begin(), bytes, fill);
  port.commit(bytes);
}

TEST(Port, ARingGivesBackWhatItWasGiven) {
  Port port{"net_ring0"};
  for (std::uint8_t i = 0; i < 40; ++i) {
    ASSERT_TRUE(port.can_send());
    send(port, i, 60u + i);
  }
  ASSERT_TRUE(port.flush());
  const auto frames = frames_from(port, 40);
  ASSERT_EQ(frames.size(), 40u);
  for (std::uint8_t i = 0; i < 40; ++i) EXPECT_EQ(frames[i], std::vector<std::uint8_t>(60u + i, i));
  EXPECT_EQ(port.oerrors(), 0u);
}

TEST(Port, ANullDeviceSwallowsAndProduces) {
  Port port{"net_null0"};
  send(port, 1, 60);
  ASSERT_TRUE(port.flush());
  EXPECT_EQ(port.receive().size(), std::size_t{Port::burst_max});
}

TEST(Port, WhatAFullRingDoesNotTakeWaits) {
  Port port{"net_ring1"};
  std::size_t queued = 0;
  for (; port.can_send(); ++queued) send(port, 1, 60);
  EXPECT_TRUE(port.room().empty());
  EXPECT_FALSE(port.flush());
  EXPECT_EQ(port.oerrors(), 0u);
  // As places become free the rest goes, and nothing is lost.
  std::size_t received = 0;
  for (int turn = 0; turn < 1000 && received < queued; ++turn) {
    received += port.receive().size();
    static_cast<void>(port.flush());
  }
  EXPECT_EQ(received, queued);
  EXPECT_TRUE(port.flush());
}

TEST(Port, WhatIsDroppedIsCounted) {
  Port port{"net_ring2"};
  while (port.can_send()) send(port, 1, 60);
  port.drop();
  EXPECT_EQ(port.oerrors(), std::uint64_t{Port::burst_max});
  EXPECT_TRUE(port.flush());
}

TEST(Port, AFailedPortLeavesNothingBehind) {
  EXPECT_THROW(Port("net_ring3", 60'000), std::runtime_error);  // no device has such an MTU
  Port port{"net_ring3"};                                       // the name is free again
  EXPECT_FALSE(port.room().empty());
}

TEST(Port, WritesAndReadsCaptures) {
  const auto folder = std::filesystem::temp_directory_path() / ("port_test." + std::to_string(getpid()));
  std::filesystem::create_directory(folder);
  const std::string file = (folder / "frames.pcap").string();
  {
    Port port{"net_pcap0,tx_pcap=" + file};
    send(port, 7, 100);
    ASSERT_TRUE(port.flush());
  }
  {
    Port port{"net_pcap1,rx_pcap=" + file};
    const auto frames = frames_from(port, 1);
    ASSERT_EQ(frames.size(), 1u);
    EXPECT_EQ(frames[0], std::vector<std::uint8_t>(100, 7));
  }
  std::filesystem::remove_all(folder);
}

/// Frames of every length up to the MTU's come over the loopback interface whole; needs a raw socket.
TEST(Port, LargeFramesPassAnAfPacketDevice) {
  if (geteuid() != 0) GTEST_SKIP() << "needs root";
  int number = 0;
  for (const std::size_t mtu : {1501u, 3840u, 4000u, 9000u}) {
    const auto device = find_device("net_af_packet" + std::to_string(40 + number++) + ",iface=lo", mtu, "link");
    ASSERT_TRUE(std::holds_alternative<Device>(device)) << std::get<std::string>(device);
    Port port{std::get<Device>(device).port, mtu};
    constexpr std::size_t ethernet = 14;
    for (const std::size_t bytes : {std::size_t{60}, std::size_t{1514}, mtu + ethernet}) {
      const wire::Room room = port.room();
      ASSERT_GE(room.size(), bytes) << mtu;
      std::fill_n(room.begin(), bytes, static_cast<std::uint8_t>(number));
      port.commit(bytes);
      ASSERT_TRUE(port.flush());
      const std::vector<std::uint8_t> sent(bytes, static_cast<std::uint8_t>(number));
      bool came = false;  // among whatever else there is on this interface
      for (int turn = 0; turn < 200 && !came; ++turn)
        for (const auto& frame : frames_from(port, 1)) came |= frame == sent;
      EXPECT_TRUE(came) << bytes << " bytes at an MTU of " << mtu;
    }
  }
}

/// The kernel's ring is shorter than what is sent here before anybody reads.
TEST(Port, FramesThatAnAfPacketRingHasNoRoomForAreCounted) {
  if (geteuid() != 0) GTEST_SKIP() << "needs root";
  Port port{"net_af_packet60,iface=lo,framecnt=256"};
  EXPECT_EQ(port.statistics().imissed, 0u);
  constexpr std::size_t frames = 1000;
  for (std::size_t i = 0; i < frames; ++i) {
    send(port, 9, 60);
    for (int turn = 0; turn < 1000 && !port.flush(); ++turn) std::this_thread::sleep_for(std::chrono::milliseconds{1});
  }
  EXPECT_GE(port.statistics().imissed, frames - 256);
}

TEST(Port, AMissingDeviceIsOneSentence) {
  try {
    Port port{"net_pcap2,rx_pcap=/nonexistent/file.pcap"};
    FAIL() << "a port over a file that is not there";
  } catch (const std::runtime_error& error) {
    EXPECT_NE(std::string{error.what()}.find("net_pcap2"), std::string::npos);
  }
}

}  // namespace
}  // namespace pfsync::engine::dpdk
