#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <filesystem>
#include <string>

/// pfsync-replay --peer: what it sends is what it read.
namespace pfsync::engine::replay {
namespace {

struct Outcome {
  int status;
  std::string output;
};

Outcome run(const std::string& arguments) {
  std::FILE* pipe = popen((std::string{REPLAY_PROGRAM} + " " + arguments + " 2>&1").c_str(), "r");
  if (pipe == nullptr) return {-1, "popen failed"};
  std::string output;
  std::array<char, 4096> room{};
  for (std::size_t n = 0; (n = std::fread(room.data(), 1, room.size(), pipe)) > 0;) output.append(room.data(), n);
  const int status = pclose(pipe);
  return {WIFEXITED(status) ? WEXITSTATUS(status) : -1, output};
}

const std::string captures = std::string{CAPTURE_DIR} + "/freebsd12-pair/";

TEST(ReplayPeer, SendsEveryPacketOfTheCapture) {
  for (const char* name : {"02-mcast-tcp-udp-icmp-nat.pcap", "05-bulk-after-reboot.pcap"}) {
    const auto sent = std::filesystem::temp_directory_path() / ("peer_test." + std::to_string(getpid()) + ".pcap");
    const Outcome first = run(captures + name + " --states --no-expire --peer net_pcap0,tx_pcap=" + sent.string());
    ASSERT_EQ(first.status, 0) << first.output;
    const Outcome again = run(sent.string() + " --states --no-expire");
    EXPECT_EQ(again.status, 0);
    EXPECT_GT(first.output.size(), 1000u);
    // Times apart (the copy's clock is that of the sending), the same table.
    const auto ids = [](const std::string& text) {
      std::string found;
      for (std::size_t at = text.find("id: "); at != std::string::npos; at = text.find("id: ", at + 1))
        found += text.substr(at, 40) + "\n";
      return found;
    };
    EXPECT_EQ(ids(again.output), ids(first.output)) << name;
    std::filesystem::remove(sent);
  }
}

TEST(ReplayPeer, TellsWhatItSent) {
  const Outcome outcome = run(captures + "02-mcast-tcp-udp-icmp-nat.pcap --loop 3 --peer net_null0");
  EXPECT_EQ(outcome.status, 0);
  EXPECT_NE(outcome.output.find("sent: 48 frames"), std::string::npos) << outcome.output;
}

TEST(ReplayPeer, AMissingDeviceIsOneSentence) {
  const Outcome outcome = run(captures + "02-mcast-tcp-udp-icmp-nat.pcap --peer eth97");
  EXPECT_EQ(outcome.status, 1);
  EXPECT_NE(outcome.output.find("--peer: there is no network interface \"eth97\""), std::string::npos)
      << outcome.output;
  EXPECT_EQ(std::count(outcome.output.begin(), outcome.output.end(), '\n'), 1);
}

}  // namespace
}  // namespace pfsync::engine::replay
