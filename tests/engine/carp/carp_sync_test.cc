// Who preempts while its table of states cannot be relied upon.
#include <gtest/gtest.h>

#include "tests/engine/carp/carp_bench.h"

namespace pfsync::engine::carp::test {
namespace {

TEST(CarpNode, ADemotedBackupDoesNotPreempt) {
  Bench bench{node_config({host_config(1, 0, {"192.168.1.100"})})};
  Other other{host_config(1, 100, {"192.168.1.100"})};
  bench.demotion.follow(Sync::under_way, bench.now);
  bench.pass(0s);
  bench.hear(other.advert(1, 100));
  EXPECT_EQ(bench.state(), State::backup);
  bench.demotion.follow(Sync::complete, bench.now);
  bench.pass(0s);
  bench.hear(other.advert(1, 100));
  EXPECT_EQ(bench.state(), State::master);
}

TEST(CarpNode, ANodeOutOfSyncTakesOverFromTheDeadButNotFromTheSlower) {
  Bench bench{node_config({host_config(1, 0, {"192.168.1.100"})})};
  Other other{host_config(1, 100, {"192.168.1.100"})};
  bench.demotion.follow(Sync::under_way, bench.now);
  bench.demotion.follow(Sync::missing, bench.now);
  EXPECT_EQ(bench.demotion.total(), 0) << "given back, though the bulk update failed";
  for (int i = 0; i < 10; ++i, bench.pass(1s)) bench.hear(other.advert(1, 100));
  EXPECT_EQ(bench.state(), State::backup);
  bench.pass(3s);
  EXPECT_EQ(bench.state(), State::master);
  bench.hear(other.advert(1, 100));
  EXPECT_EQ(bench.state(), State::master) << "a master gives way to better ones alone, as ever";

  Bench slow{node_config({host_config(1, 0, {"192.168.1.100"})})};
  slow.demotion.follow(Sync::missing, slow.now);
  slow.hear(other.advert(255, 255));
  EXPECT_EQ(slow.state(), State::master) << "a farewell";

  Bench later{node_config({host_config(1, 0, {"192.168.1.100"})})};
  later.demotion.follow(Sync::missing, later.now);
  later.hear(other.advert(1, 100));
  EXPECT_EQ(later.state(), State::backup);
  later.demotion.follow(Sync::complete, later.now);
  later.hear(other.advert(1, 100));
  EXPECT_EQ(later.state(), State::master);
}

TEST(CarpNode, ANodeOutOfSyncLeavesAPeerThatIsDemotedTheOpenBsdWay) {
  auto config = host_config(1, 0, {"192.168.1.100"});
  config.openbsd = true;
  config.preempt = false;  // a greater demote count is taken over from all the same
  Bench bench{node_config({config})};
  Other other{config};
  bench.demotion.follow(Sync::missing, bench.now);
  bench.hear(other.advert(1, 100, 1));
  EXPECT_EQ(bench.state(), State::backup);
  bench.demotion.follow(Sync::complete, bench.now);
  bench.hear(other.advert(1, 100, 1));
  EXPECT_EQ(bench.state(), State::master);

  Bench heir{node_config({config})};
  heir.demotion.follow(Sync::missing, heir.now);
  heir.hear(other.advert(255, 255, 1));
  EXPECT_EQ(heir.state(), State::master) << "a farewell";
  Bench left{node_config({config})};
  left.demotion.follow(Sync::missing, left.now);
  left.hear(other.advert(1, 100, 1));
  left.pass(4s);
  EXPECT_EQ(left.state(), State::master) << "silence";
}

}  // namespace
}  // namespace pfsync::engine::carp::test
