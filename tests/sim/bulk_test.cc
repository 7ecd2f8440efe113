// A node comes up beside one that is full and busy. SIM_BULK_STATES=1000000 for as many states.
#include <gtest/gtest.h>

#include <cstdlib>
#include <deque>

#include "tests/sim/simulation.h"

namespace pfsync::sim {
namespace {

using namespace std::chrono_literals;

std::size_t states_of_run() {
  const char* given = std::getenv("SIM_BULK_STATES");
  return given != nullptr ? std::strtoull(given, nullptr, 10) : 40'000;
}

/// Of some states, what their owner knew when: the other has to know it no later than `allowed` after that.
class Lag {
 public:
  Lag(Simulation& sim, std::size_t owner, std::size_t other, Duration allowed)
      : sim_{sim}, owner_{owner}, other_{other}, allowed_{allowed} {
    const auto reader = sim.table(owner).reader();
    statetable::TableReader::Cursor cursor;
    const std::size_t every = sim.table(owner).size() / 200 + 1;
    for (std::size_t i = 0;; ++i) {
      const auto entry = reader.next(cursor);
      if (!entry) break;
      if (i % every == 0 && entry->hot.proto == wire::ipproto::tcp) ids_.push_back(entry->hot.id);
    }
  }

  void look() {
    Known& known = history_.emplace_back(Known{sim_.now(), {}});
    const auto owner = sim_.table(owner_).reader(), other = sim_.table(other_).reader();
    for (const wire::StateId id : ids_) known.peers.push_back(owner.find(id) ? owner.find(id)->hot.src : wire::Peer{});
    while (history_.front().at + allowed_ <= sim_.now()) {
      for (std::size_t i = 0; i < ids_.size(); ++i) {
        const auto held = other.find(ids_[i]);
        if (!held) continue;  // not come yet by the bulk update
        const wire::Peer& then = history_.front().peers[i];
        ++compared_;
        const bool is_behind =
            held->hot.src.state < then.state ||
            (held->hot.src.state == then.state && static_cast<std::int32_t>(held->hot.src.seqlo - then.seqlo) < 0);
        ASSERT_FALSE(is_behind) << "state " << ids_[i].id << ", " << sim_.replay_hint();
      }
      history_.pop_front();
    }
  }
  [[nodiscard]] std::size_t compared() const { return compared_; }

 private:
  struct Known {
    Instant at;
    std::vector<wire::Peer> peers;
  };
  Simulation& sim_;
  std::size_t owner_, other_;
  Duration allowed_;
  std::vector<wire::StateId> ids_;
  std::deque<Known> history_;
  std::size_t compared_ = 0;
};

TEST(BulkSimulation, LiveUpdatesDoNotWaitForTheBulkUpdateAndTheTablesBecomeEqual) {
  const std::size_t states = states_of_run();
  Simulation sim{seed_of_run(1)};
  const std::size_t a =
      sim.add({.creatorid = 1,
               .states_max = 2 * states,
               .load =
                   engine::SyntheticConfig{
                       .states = states, .fill_per_s = 250'000, .new_per_s = 1000, .updates_per_s = 100'000},
               .bulk_states_per_s = states / 3});
  ASSERT_TRUE(sim.run_until([&] { return sim.load(a).opened() >= states; }, 60s));
  sim.run_for(2s);
  const std::size_t b = sim.add({.creatorid = 2, .states_max = 2 * states});
  // The delay of a change, the link's, and the simulator's ticks at both ends.
  Lag lag{sim, a, b, 1s + sim.link().delay + 4ms};
  Instant next = sim.now();
  ASSERT_TRUE(sim.run_until(
      [&] {
        if (sim.now() >= next) {
          lag.look();
          next = sim.now() + 20ms;
        }
        return HasFatalFailure() || sim.session(b).bulk().phase() == engine::BulkPhase::done;
      },
      30s))
      << sim.replay_hint();
  EXPECT_GT(sim.session(b).bulk().states(), states - states / 20);
  for (int i = 0; i < 100 && !HasFatalFailure(); ++i) {
    sim.run_for(20ms);
    lag.look();
  }
  EXPECT_GT(lag.compared(), 10'000u);
  sim.load(a).stop();
  sim.run_for(3s);
  EXPECT_EQ(sim.digest(a), sim.digest(b)) << sim.replay_hint();
}

/// A node flushes its own states while a bulk update is under way between two, as fast as the link takes it, with
/// frames waiting in front of it and new connections all the time.
void expect_a_flush_to_last(std::size_t serving, std::uint64_t states_per_s, wire::InterfaceName ifname) {
  Simulation sim{seed_of_run(7)};
  const auto load = [](std::uint64_t seed) {
    return engine::SyntheticConfig{
        .states = 6'000, .fill_per_s = 20'000, .new_per_s = 300, .updates_per_s = 3'000, .seed = seed};
  };
  // 15.0, so that a clear of one interface is said as such.
  for (std::uint32_t creator = 1; creator <= 2; ++creator)
    sim.add({.creatorid = creator,
             .states_max = 40'000,
             .load = load(creator),
             .dialect = wire::Dialect::freebsd_1500,
             .bulk_states_per_s = states_per_s,
             .frames_ahead = 255});
  const std::size_t flushed = 0, asking = 1 - serving;
  ASSERT_TRUE(sim.run_until([&] { return sim.load(0).opened() >= 6'000 && sim.load(1).opened() >= 6'000; }, 10s));
  sim.run_for(9s);
  for (int flushes = 0; flushes < 3; ++flushes) {
    sim.session(asking).request_bulk(sim.now());
    const std::uint64_t wanted = 2'000 + 1'500 * static_cast<std::uint64_t>(flushes);
    ASSERT_TRUE(sim.run_until([&] { return sim.session(asking).bulk().states() >= wanted; }, 10s));
    ASSERT_EQ(sim.session(asking).bulk().phase(), engine::BulkPhase::receiving);
    ASSERT_GT(sim.session(flushed).flush(ifname, sim.now()), 500u);
    sim.run_for(4s);
    ASSERT_EQ(sim.session(asking).bulk().phase(), engine::BulkPhase::done);
  }
  for (std::size_t node : {0u, 1u}) sim.load(node).stop();
  sim.run_for(3s);
  EXPECT_EQ(sim.digest(0), sim.digest(1)) << sim.replay_hint();
  EXPECT_GT(sim.digest(0).states, 6'000u);
}

TEST(BulkSimulation, WhatIsFlushedWhileItIsSentIsGone) {
  for (const std::uint64_t states_per_s : {0u, 50'000u}) expect_a_flush_to_last(0, states_per_s, {});
}
TEST(BulkSimulation, WhatIsFlushedWhileItIsReceivedIsGone) {
  for (const std::uint64_t states_per_s : {0u, 50'000u}) expect_a_flush_to_last(1, states_per_s, {});
}

}  // namespace
}  // namespace pfsync::sim
