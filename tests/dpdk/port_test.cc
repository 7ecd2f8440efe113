#include "engine/dpdk/port.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <memory>
#include <stdexcept>
#include <thread>
#include <vector>

#include "engine/bulk_sender.h"
#include "engine/dpdk/eal.h"
#include "engine/link.h"
#include "engine/session.h"
#include "engine/synthetic.h"

namespace pfsync::engine::dpdk {
namespace {

using namespace std::chrono_literals;

/// One EAL for the process: DPDK can be started once only.
class EalEnvironment : public ::testing::Environment {
 public:
  void SetUp() override { eal_ = std::make_unique<Eal>(EalConfig{.program = "port_test", .memory_mib = 256}); }
  void TearDown() override { eal_.reset(); }

 private:
  std::unique_ptr<Eal> eal_;
};
const auto* const environment = ::testing::AddGlobalTestEnvironment(new EalEnvironment);

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
  for (std::uint8_t i = 0; i < 40; ++i) send(port, i, 60u + i);
  port.flush();
  const auto frames = frames_from(port, 40);
  ASSERT_EQ(frames.size(), 40u);
  for (std::uint8_t i = 0; i < 40; ++i) EXPECT_EQ(frames[i], std::vector<std::uint8_t>(60u + i, i));
  EXPECT_EQ(port.oerrors(), 0u);
}

TEST(Port, ANullDeviceSwallowsAndProduces) {
  Port port{"net_null0"};
  send(port, 1, 60);
  port.flush();
  EXPECT_EQ(port.receive().size(), std::size_t{Port::burst_max});
}

TEST(Port, AFullRingDropsAndCounts) {
  Port port{"net_ring1"};
  for (int i = 0; i < 5000; ++i) send(port, 1, 60);
  port.flush();
  EXPECT_GT(port.oerrors(), 0u);
  EXPECT_EQ(frames_from(port, 5000 - port.oerrors()).size(), 5000 - port.oerrors());
}

TEST(Port, WritesAndReadsCaptures) {
  const auto folder = std::filesystem::temp_directory_path() / ("port_test." + std::to_string(getpid()));
  std::filesystem::create_directory(folder);
  const std::string file = (folder / "frames.pcap").string();
  {
    Port port{"net_pcap0,tx_pcap=" + file};
    send(port, 7, 100);
    port.flush();
  }
  {
    Port port{"net_pcap1,rx_pcap=" + file};
    const auto frames = frames_from(port, 1);
    ASSERT_EQ(frames.size(), 1u);
    EXPECT_EQ(frames[0], std::vector<std::uint8_t>(100, 7));
  }
  std::filesystem::remove_all(folder);
}

TEST(Port, AMissingDeviceIsOneSentence) {
  try {
    Port port{"net_pcap2,rx_pcap=/nonexistent/file.pcap"};
    FAIL() << "a port over a file that is not there";
  } catch (const std::runtime_error& error) {
    EXPECT_NE(std::string{error.what()}.find("net_pcap2"), std::string::npos);
  }
}

/// A node as the data path drives it: port, link, session, bulk sender.
struct Node {
  Node(const std::string& device, std::uint32_t creatorid, wire::Address address)
      : table{std::move(std::get<0>(statetable::Table::create({.states_max = 20'000})))},
        port{device},
        session{[&] {
                  SessionConfig config;
                  config.creatorid = creatorid;
                  config.delay = 20ms;
                  return config;
                }(),
                *table, &gate},
        link{{.mac = {{2, 0, 0, 0, 0, static_cast<std::uint8_t>(creatorid)}}, .address = address}, session.counters()},
        bulk{{.creatorid = creatorid, .states_per_s = 0}, *table, &gate} {}

  void turn(Instant now) {
    std::array<wire::Bytes, Port::burst_max> packets;
    std::size_t count = 0;
    for (const wire::Bytes frame : port.receive())
      if (const auto packet = link.on_frame(frame)) packets[count++] = *packet;
    session.on_packets({packets.data(), count}, now);
    if (session.timeout(now) <= now) session.on_timeout(now);
    if (session.take_bulk_request()) bulk.start(now);
    for (int sent = 0; sent < 64; ++sent) {
      const wire::Room frame = port.room();
      ASSERT_FALSE(frame.empty());
      const wire::Room room = link.packet_room(frame);
      std::size_t bytes = session.transmit(room, now);
      const bool from_bulk = bytes == 0 && (bytes = bulk.transmit(room, now)) > 0;
      if (bytes == 0) break;
      port.commit(link.finish(frame, bytes));
      if (from_bulk) gate.frame_handed_over();
    }
    port.flush();
  }

  std::unique_ptr<statetable::Table> table;
  Port port;
  BulkGate gate;
  Session session;
  Link link;
  BulkSender bulk;
};

TEST(Port, TwoSessionsOverMemifKeepOneTable) {
  const auto folder = std::filesystem::temp_directory_path() / ("memif." + std::to_string(getpid()));
  std::filesystem::create_directory(folder);
  const std::string socket = (folder / "memif.sock").string();
  {
    Node a{"net_memif0,role=server,socket-abstract=no,socket=" + socket, 1, wire::ipv4_address(10, 0, 0, 1)};
    SyntheticFirewall load{{.states = 5000, .fill_per_s = 50'000, .new_per_s = 1000, .updates_per_s = 5000}};
    // The device's own thread connects in real time; protocol time advances with each turn.
    Instant now = Instant{} + 1h;
    a.session.start(now);
    for (int i = 0; i < 500; ++i, now += 1ms) {
      load.run(a.session, now);
      a.turn(now);
    }
    ASSERT_GT(a.table->size(), 4000u);
    Node b{"net_memif1,role=client,socket-abstract=no,socket=" + socket, 2, wire::ipv4_address(10, 0, 0, 2)};
    b.session.start(now);
    const auto both = [&](int turns, auto&& reached) {
      for (int i = 0; i < turns && !reached(); ++i, now += 1ms) {
        load.run(a.session, now);
        a.turn(now);
        b.turn(now);
        std::this_thread::sleep_for(50us);
      }
      return reached();
    };
    ASSERT_TRUE(both(60'000, [&] { return b.session.bulk().phase() == BulkPhase::done; }));
    load.stop();
    EXPECT_TRUE(both(60'000, [&] { return a.session.queued() == 0 && a.table->digest() == b.table->digest(); }));
    EXPECT_GT(b.table->size(), 4000u);
    EXPECT_GT(b.session.counters().in(wire::Message::upd).value(), 4000u);
  }
  std::filesystem::remove_all(folder);
}

}  // namespace
}  // namespace pfsync::engine::dpdk
