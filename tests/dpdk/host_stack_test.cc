// What a node behind a port learns of the port: its link, and whether it takes frames.
#include "engine/dpdk/host_stack.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <string>

#include "tests/engine/carp/carp_bench.h"

namespace pfsync::engine::dpdk {
namespace {

using namespace std::chrono_literals;
using carp::Cause;
using carp::State;

/// A port with one virtual address and nothing else, on a clock of the test's own. Its device, a ring, gives back what
/// was sent, and takes nothing while it is full.
struct Stack {
  explicit Stack(const std::string& device) : port{device} {}

  /// As the data path does, but that nothing is received, so that a full ring stays full.
  void turn() {
    stack.pass(now);
    static_cast<void>(stack.transmit(HostStack::frames_max, now));
    stack.hand_over(now);
  }
  void pass(Duration duration) {
    for (const Instant end = now + duration; now < end; now += 50ms) turn();
  }
  void hear(const carp::test::Frame& frame) { stack.on_frame(frame, now); }
  void fill() {
    constexpr std::size_t frame = 60;
    for (wire::Room room = port.room(); !room.empty(); room = port.room()) {
      std::fill_n(room.begin(), frame, std::uint8_t{0});
      port.commit(frame);
    }
  }
  void empty() {
    while (!port.receive().empty() || !port.flush()) {
    }
  }
  [[nodiscard]] State state() const { return node.hosts()[0].state(); }
  [[nodiscard]] int part(Cause cause) const { return demotion.part(cause); }

  Instant now = Instant{} + 1h;
  Port port;
  carp::Journal journal;
  carp::Demotion demotion{journal};
  carp::Node node{{.name = "test",
                   .mac = {{2, 0, 0, 0, 0, 1}},
                   .inet = wire::ipv4_address(192, 0, 2, 1),
                   .hosts = {carp::test::host_config(1, 0, {"192.0.2.100"})}},
                  demotion,
                  journal};
  Membership membership{{}};
  HostStack stack{port, node, membership};
};

TEST(HostStack, APortWithoutALinkFromTheStartStandsBack) {
  Stack it{"net_ring10"};
  it.pass(200ms);
  EXPECT_EQ(it.demotion.total(), 0) << "nobody has looked yet";
  it.stack.set_link(false);
  it.pass(200ms);
  EXPECT_EQ(it.part(Cause::interface_down), carp::Demotion::factor);
  EXPECT_EQ(it.state(), State::init);
  EXPECT_FALSE(it.stack.link_up());
  it.stack.set_link(true);
  it.pass(200ms);
  EXPECT_EQ(it.demotion.total(), 0);
  EXPECT_EQ(it.state(), State::backup);
  EXPECT_TRUE(it.stack.link_up());
  it.stack.set_link(false);
  it.pass(200ms);
  EXPECT_EQ(it.part(Cause::interface_down), carp::Demotion::factor);
}

TEST(HostStack, ADeviceThatTakesNothingMakesTheNodeStandBack) {
  Stack it{"net_ring11"};
  it.stack.set_link(true);
  it.pass(3500ms);
  ASSERT_EQ(it.state(), State::master);
  it.fill();
  it.pass(6s);
  EXPECT_GT(it.port.oerrors(), 0u) << "nothing waits for ever";
  EXPECT_EQ(it.part(Cause::send_errors), carp::Demotion::factor);
  EXPECT_GE(it.node.counters()[carp::Tally::onomem].value(), 3u);
  EXPECT_EQ(it.node.hosts()[0].status().skew_now, carp::skew_max);
  it.empty();
  it.pass(8s);
  EXPECT_EQ(it.demotion.total(), 0);
  EXPECT_EQ(it.state(), State::master);
}

TEST(HostStack, OneThatIsSlowForAMomentDoesNot) {
  Stack it{"net_ring12"};
  it.stack.set_link(true);
  it.pass(3500ms);
  ASSERT_EQ(it.state(), State::master);
  for (int i = 0; i < 10; ++i) {
    it.fill();
    it.pass(1500ms);
    it.empty();
    it.pass(500ms);
  }
  EXPECT_EQ(it.demotion.total(), 0);
}

/// FreeBSD up to 13 never takes this demotion back; taken back at once, it would let the node preempt every few
/// seconds.
TEST(HostStack, ABackupStandsBackUntilItsPortTakesFramesAgain) {
  Stack it{"net_ring13"};
  carp::test::Other other{carp::test::host_config(1, 0, {"192.0.2.100"}), carp::test::address("192.0.2.2")};
  it.stack.set_link(true);
  it.pass(3500ms);
  it.fill();
  it.pass(6s);
  ASSERT_EQ(it.part(Cause::send_errors), carp::Demotion::factor);
  for (int i = 0; i < 30; ++i) {
    it.hear(other.advert(1, 100));
    ASSERT_EQ(it.state(), State::backup);
    it.pass(1s);
    ASSERT_EQ(it.part(Cause::send_errors), carp::Demotion::factor);
  }
  it.empty();
  for (int i = 0; i < 6; ++i) {
    it.hear(other.advert(1, 100));
    it.pass(1s);
  }
  EXPECT_EQ(it.demotion.total(), 0);
  it.hear(other.advert(1, 100));
  EXPECT_EQ(it.state(), State::master);
}

}  // namespace
}  // namespace pfsync::engine::dpdk
