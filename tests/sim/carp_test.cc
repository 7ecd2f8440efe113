// Elections under everything that can happen to nodes and the network between them. SIM_SEED=n runs schedule n alone;
// CARP_SCHEDULES=100000 runs as many.
#include <gtest/gtest.h>

#include <algorithm>
#include <climits>
#include <cstdlib>

#include "tests/sim/carp_network.h"

namespace pfsync::sim {
namespace {

using namespace std::chrono_literals;
using engine::carp::State;

CarpNetwork::Config random_config(std::mt19937_64& random) {
  CarpNetwork::Config config{.nodes = 2 + random() % 4};
  config.loss_percent = random() % 2 == 0 ? 0 : static_cast<unsigned>(random() % 40);
  config.preempt = random() % 4 != 0;
  config.dual_stack = random() % 3 == 0;
  config.both_families = config.dual_stack && random() % 2 == 0;
  config.equal_skews = random() % 5 == 0;
  config.openbsd = random() % 4 == 0;
  return config;
}

/// A minute of mishaps, then peace. Returns what went wrong, and the trace of all frames.
std::pair<std::string, std::uint64_t> run_schedule(std::uint64_t seed) {
  std::mt19937_64 random{seed};
  const auto config = random_config(random);
  CarpNetwork network{config, random()};
  const unsigned mishaps = 5 + static_cast<unsigned>(random() % 20);
  for (unsigned i = 0; i < mishaps && network.broken().empty(); ++i) {
    network.run_for(Duration{static_cast<std::int64_t>(random() % 5'000'000'000)});
    network.mishap();
  }
  network.heal();
  network.stop_loss();
  for (std::size_t i = 0; i < network.size(); ++i) {
    network.thaw(i);
    network.set_link(i, true);
    network.set_sync(i, engine::carp::Sync::complete);
  }
  network.run_for(10s);
  if (!network.broken().empty()) return {network.broken(), network.trace()};

  std::size_t able = 0;
  int best = INT_MAX, leads = INT_MAX;
  for (std::size_t i = 0; i < network.size(); ++i) {
    if (!network.is_able(i)) continue;
    ++able;
    best = std::min(best, network.rank(i));
    if (network.is_master(i)) leads = network.rank(i);
  }
  if (network.masters() != std::min<std::size_t>(able, 1))
    return {std::to_string(network.masters()) + " masters in peace", network.trace()};
  if (config.preempt && leads != best) return {"the master in peace is not the best node", network.trace()};
  return {"", network.trace()};
}

std::uint64_t from_environment(const char* name, std::uint64_t otherwise) {
  const char* text = std::getenv(name);
  return text == nullptr ? otherwise : std::strtoull(text, nullptr, 10);
}

TEST(CarpSim, RandomSchedulesStayWithinCarpsOwnBounds) {
  const std::uint64_t only = from_environment("SIM_SEED", 0);
  const std::uint64_t schedules = only != 0 ? 1 : from_environment("CARP_SCHEDULES", 10000);
  for (std::uint64_t i = 0; i < schedules; ++i) {
    const std::uint64_t seed = only != 0 ? only : i + 1;
    ASSERT_EQ(run_schedule(seed).first, "") << "replay with SIM_SEED=" << seed;
  }
}

TEST(CarpSim, ASeedReplaysItsSchedule) {
  EXPECT_EQ(run_schedule(7), run_schedule(7));
  EXPECT_NE(run_schedule(7).second, run_schedule(8).second);
}

TEST(CarpSim, TheMonitorSeesTwoMasters) {
  CarpNetwork network{{.nodes = 2}, 1};
  network.deafen(1);
  network.run_for(10s);
  EXPECT_EQ(network.masters(), 2u);
  EXPECT_NE(network.broken().find("both been master"), std::string::npos) << network.broken();
}

TEST(CarpSim, TheMonitorJudgesTwoMastersUnderLossToo) {
  CarpNetwork network{{.nodes = 2, .loss_percent = 30}, 2};
  network.run_for(5s);
  for (int i = 0; i < 10; ++i) {
    network.order(1, State::master);
    network.run_for(5s);
  }
  EXPECT_GE(network.outranked(), 10u);
  EXPECT_EQ(network.broken(), "");
}

TEST(CarpSim, EqualNodesThatHearOneFamilyAloneAgreeOnOne) {
  for (const wire::Family filtered : {wire::Family::inet, wire::Family::inet6}) {
    CarpNetwork network{{.nodes = 3, .dual_stack = true, .both_families = true, .equal_skews = true}, 6};
    for (std::size_t from = 0; from < 3; ++from)
      for (std::size_t to = 0; to < 3; ++to) network.cut(from, to);
    network.run_for(5s);
    ASSERT_EQ(network.masters(), 3u);
    network.heal();
    network.filter(filtered);
    network.run_for(15s);
    EXPECT_EQ(network.masters(), 1u);
    network.run_for(60s);
    EXPECT_EQ(network.masters(), 1u);
    EXPECT_EQ(network.broken(), "");
  }
}

TEST(CarpSim, WhoIsNotHeardByOneSideLeadsBesideIt) {
  CarpNetwork network{{.nodes = 2}, 7};
  network.run_for(5s);
  ASSERT_TRUE(network.is_master(0));
  network.cut(0, 1);
  network.run_for(5s);
  EXPECT_EQ(network.masters(), 2u) << "the worse one hears nobody";
  network.heal();
  network.run_for(2s);
  EXPECT_EQ(network.masters(), 1u);
  network.cut(1, 0);
  network.run_for(30s);
  EXPECT_EQ(network.masters(), 1u) << "a backup that is not heard does no harm";
  EXPECT_TRUE(network.is_master(0));
}

TEST(CarpSim, ColdStartElectsTheBestNode) {
  for (std::size_t nodes = 2; nodes <= 5; ++nodes) {
    CarpNetwork network{{.nodes = nodes}, nodes};
    network.run_for(4s);
    EXPECT_EQ(network.masters(), 1u);
    EXPECT_TRUE(network.is_master(0));
  }
}

TEST(CarpSim, EqualNodesAgreeOnOne) {
  CarpNetwork network{{.nodes = 5, .drift_ppm_max = 0, .equal_skews = true}, 3};
  network.run_for(5s);
  EXPECT_EQ(network.masters(), 1u);
  network.run_for(60s);
  EXPECT_EQ(network.masters(), 1u);
  EXPECT_EQ(network.broken(), "");
}

TEST(CarpSim, APlannedHandoverLeavesNoMomentWithoutAMaster) {
  CarpNetwork network{{.nodes = 3}, 4};
  network.run_for(5s);
  network.demote(0, true);
  for (int i = 0; i < 1000; ++i) {
    network.run_for(10us);
    ASSERT_GE(network.masters(), 1u) << i;
  }
  EXPECT_TRUE(network.is_master(1));
  EXPECT_EQ(network.masters(), 1u);
  network.demote(0, false);
  network.run_for(2s);
  EXPECT_TRUE(network.is_master(0));
  EXPECT_EQ(network.masters(), 1u);
}

TEST(CarpSim, ADisabledMasterIsSucceededWithinARoundTrip) {
  for (const bool preempt : {true, false})
    for (const bool openbsd : {true, false})
      for (const bool demoted : {true, false}) {
        CarpNetwork network{{.nodes = 2, .preempt = preempt, .dual_stack = true, .openbsd = openbsd}, 5};
        network.run_for(5s);
        network.demote(1, demoted);
        network.set_enabled(0, false);
        network.run_for(5ms);
        EXPECT_TRUE(network.is_master(1));
      }
}

}  // namespace
}  // namespace pfsync::sim
