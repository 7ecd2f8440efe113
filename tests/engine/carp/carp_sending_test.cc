// Whether the port takes what a node sends, and what follows when it does not.
#include <gtest/gtest.h>

#include "tests/engine/carp/carp_bench.h"

namespace pfsync::engine::carp::test {
namespace {

/// A master whose port has taken nothing for so long that it stands back.
void fail(Bench& bench) {
  bench.pass(3s);
  ASSERT_EQ(bench.state(), State::master);
  bench.node.on_port_refuses(bench.now);
  bench.pass(5s);
  ASSERT_EQ(bench.demotion.part(Cause::send_errors), Demotion::factor);
}

TEST(CarpSending, WhatTheDeviceDoesNotTakeIsNotSent) {
  Bench bench{node_config({host_config(1, 0, {"192.168.1.100"})})};
  fail(bench);
  EXPECT_GE(bench.status().adverts_unsent, 3u);
  EXPECT_EQ(bench.count(Tally::onomem), bench.status().adverts_unsent);
  bench.node.on_port_takes();
  bench.pass(8s);
  EXPECT_EQ(bench.demotion.total(), 0);
}

TEST(CarpSending, ABackupTriesItsPortWithItsOwnAddress) {
  const auto hosts = {host_config(1, 0, {"192.168.1.100"}), host_config(2, 0, {"192.168.1.101"})};
  Bench bench{node_config(hosts)};
  fail(bench);
  Other other{host_config(1, 0, {"192.168.1.100"})}, second{host_config(2, 0, {"192.168.1.101"})};
  std::size_t tried = 0;
  for (int i = 0; i < 10; ++i) {
    bench.hear(other.advert(1, 100));
    bench.hear(second.advert(1, 100));
    ASSERT_EQ(bench.state(0), State::backup);
    ASSERT_EQ(bench.state(1), State::backup);
    for (const wire::Arp& arp : arps_in(bench.pass(1s))) {
      ++tried;
      EXPECT_EQ(arp.sender, address("192.168.1.1").address);
      EXPECT_EQ(arp.target, arp.sender);
      EXPECT_EQ(arp.sender_mac, own_mac);
    }
  }
  EXPECT_EQ(bench.demotion.part(Cause::send_errors), Demotion::factor);
  EXPECT_GE(tried, 9u);
  EXPECT_LE(tried, 11u) << "one a second for all hosts of the port";
  EXPECT_EQ(bench.count(Tally::trials), tried);
  bench.node.on_port_takes();
  for (int i = 0; i < 4; ++i) {
    bench.hear(other.advert(1, 100));
    bench.hear(second.advert(1, 100));
    bench.pass(1s);
  }
  EXPECT_EQ(bench.demotion.total(), 0);
  const std::uint64_t before = bench.count(Tally::trials);
  bench.node.order(1, State::backup, bench.now);
  bench.node.order(2, State::backup, bench.now);
  for (int i = 0; i < 5; ++i) {
    bench.hear(other.advert(1, 0));
    bench.hear(second.advert(1, 0));
    bench.pass(1s);
  }
  EXPECT_EQ(bench.state(0), State::backup);
  EXPECT_EQ(bench.count(Tally::trials), before) << "one whose port works has nothing to try";
}

TEST(CarpSending, WithoutAnInet4AddressByASolicitation) {
  NodeConfig config = node_config({host_config(1, 0, {"2001:db8::100"})});
  config.inet = {};
  Bench bench{config};
  fail(bench);
  Other other{host_config(1, 0, {"2001:db8::100"}), address("fe80::2")};
  bench.hear(other.advert(1, 100));
  ASSERT_EQ(bench.state(), State::backup);
  const auto frames = bench.take();
  ASSERT_EQ(frames.size(), 1u);
  const auto neighbour = wire::read_neighbour(wire::read_ip(wire::Bytes{frames[0]}.subspan(14)).packet);
  ASSERT_TRUE(neighbour && neighbour->is_solicitation);
  EXPECT_EQ(neighbour->target, config.inet6);
}

TEST(CarpSending, ErrorsOfAnEarlierReignDoNotCount) {
  Bench bench{node_config({host_config(1, 0, {"192.168.1.100"})})};
  bench.pass(3s);
  bench.node.on_port_refuses(bench.now);
  bench.pass(2500ms);
  EXPECT_GE(bench.status().adverts_unsent, 1u);
  EXPECT_EQ(bench.demotion.total(), 0);
  bench.node.order(1, State::backup, bench.now);
  bench.node.order(1, State::master, bench.now);
  bench.pass(2500ms);
  EXPECT_EQ(bench.demotion.total(), 0);
  bench.pass(1s);
  EXPECT_EQ(bench.demotion.part(Cause::send_errors), Demotion::factor);
}

}  // namespace
}  // namespace pfsync::engine::carp::test
