// Which lines elections write into the log, when there are many.
#include <gtest/gtest.h>

#include "engine/carp/log_bound.h"
#include "tests/engine/carp/carp_bench.h"

namespace pfsync::engine::carp::test {
namespace {

Entry move_of(std::uint8_t port, std::uint8_t vhid) {
  return {.kind = Entry::Kind::moved, .port = port, .vhid = vhid, .from = State::backup, .to = State::master};
}

TEST(CarpLog, TellsEveryMoveWhenAllHostsMoveAtOnce) {
  std::vector<HostConfig> hosts;
  for (unsigned vhid = 1; vhid <= 255; ++vhid)
    hosts.push_back(host_config(static_cast<std::uint8_t>(vhid), 0, {("10.0.0." + std::to_string(vhid)).c_str()}));
  Bench bench{node_config(std::move(hosts))};
  bench.pass(3s);
  LogBound bound{1};
  EXPECT_EQ(bound.begin_second(bench.now), 0u);
  unsigned told = 0;
  while (const auto entry = bench.journal.pop())
    if (entry->kind == Entry::Kind::moved && entry->to == State::master && bound.admits(*entry)) ++told;
  EXPECT_EQ(told, 255u);
  EXPECT_EQ(bench.journal.dropped(), 0u);
  EXPECT_EQ(bound.begin_second(bench.now + 1s), 0u);
}

TEST(CarpLog, OneThatMovesForEverTakesNoOthersLines) {
  LogBound bound{2};
  const Instant now = Instant{} + 1h;
  EXPECT_EQ(bound.begin_second(now), 0u);
  unsigned told = 0;
  for (int i = 0; i < 1000; ++i) told += bound.admits(move_of(0, 7)) ? 1 : 0;
  EXPECT_EQ(told, LogBound::moves_of_a_host);
  EXPECT_TRUE(bound.admits(move_of(0, 8)));
  EXPECT_TRUE(bound.admits(move_of(1, 7)));
  EXPECT_TRUE(bound.admits({.kind = Entry::Kind::mistake, .vhid = 7}));
  EXPECT_EQ(bound.begin_second(now + 999ms), 0u) << "the second is not over";
  EXPECT_FALSE(bound.admits(move_of(0, 7)));
  EXPECT_EQ(bound.begin_second(now + 1s), 1001u - LogBound::moves_of_a_host);
  EXPECT_TRUE(bound.admits(move_of(0, 7)));
}

TEST(CarpLog, BoundsWhatIsOfNoHost) {
  LogBound bound{1};
  unsigned told = 0;
  for (int i = 0; i < 1000; ++i) told += bound.admits({.kind = Entry::Kind::demoted}) ? 1 : 0;
  EXPECT_EQ(told, LogBound::others_max);
  EXPECT_TRUE(bound.admits(move_of(0, 1)));
}

}  // namespace
}  // namespace pfsync::engine::carp::test
