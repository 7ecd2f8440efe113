#include "engine/divergence/sampler.h"

#include <gtest/gtest.h>

#include <array>
#include <cstdio>
#include <random>
#include <vector>

#include "tests/engine/divergence/divergence_engine.h"

namespace pfsync::engine::divergence {
namespace {

constexpr std::uint32_t idle_s = 5000;

wire::State idle(std::uint64_t id) {
  wire::State state = tcp_state(id);
  state.creation_s = 2 * idle_s;
  state.expire_s = 86400 - idle_s;
  return state;
}

TEST(WilsonTest, KnowsItsLimits) {
  const Estimate nothing = wilson(0, 0);
  EXPECT_EQ(nothing.low, 0);
  EXPECT_EQ(nothing.high, 1);
  const Estimate none = wilson(0, 1000);
  EXPECT_EQ(none.share, 0);
  EXPECT_EQ(none.low, 0);
  EXPECT_NEAR(none.high, 0.0038, 0.0001);
  const Estimate half = wilson(50, 100);
  EXPECT_NEAR(half.low, 0.4038, 0.0001);  // as in Wilson's own formula, worked out by hand
  EXPECT_NEAR(half.high, 0.5962, 0.0001);
  EXPECT_EQ(wilson(10, 10).high, 1);
}

/// 95 in 100 intervals hold the share that they were drawn from.
TEST(WilsonTest, HoldsTheShareAsOftenAsItSays) {
  std::mt19937_64 random{7};
  for (const double share : {0.01, 0.05, 0.3}) {
    unsigned held = 0;
    constexpr unsigned trials = 1000, drawn = 600;
    for (unsigned trial = 0; trial < trials; ++trial) {
      std::uint64_t hits = 0;
      for (unsigned i = 0; i < drawn; ++i) hits += std::bernoulli_distribution{share}(random) ? 1 : 0;
      const Estimate estimate = wilson(hits, drawn);
      held += estimate.low <= share && share <= estimate.high ? 1 : 0;
    }
    EXPECT_GT(held, trials * 92 / 100) << share;
    EXPECT_LT(held, trials * 99 / 100) << share;
  }
}

TEST(RandomStateTest, EachIsAsLikelyAsAnyOther) {
  Engine engine{1, 1000, 3};
  for (std::uint64_t id = 1; id <= 50; ++id) engine.hold(idle(id));
  engine.hold(tcp_state(51));  // as young as its messages may be on their way
  wire::State ending = idle(52);
  ending.expire_s = 5;
  engine.hold(ending);
  std::mt19937_64 random{3};
  std::array<unsigned, 53> seen{};
  for (unsigned i = 0; i < 5000; ++i) {
    const auto id = random_state(engine.table->reader(), statetable::to_seconds(t0), random);
    ASSERT_TRUE(id);
    ++seen.at(id->id);
  }
  for (std::size_t id = 1; id <= 50; ++id) {
    EXPECT_GT(seen[id], 50u) << id;
    EXPECT_LT(seen[id], 170u) << id;
  }
  EXPECT_EQ(seen[51] + seen[52], 0u);
  Engine empty{1};
  EXPECT_FALSE(random_state(empty.table->reader(), 0, random));
}

/// We, and a peer that knows no more than pfsync.
class SamplerTest : public ::testing::Test {
 protected:
  void SetUp() override { sampler.follow({}, true, now); }
  void carry() {
    for (Engine* from : {&here, &kernel, &here, &kernel}) {
      Engine& to = from == &here ? kernel : here;
      for (bool more = true; more;) {
        std::vector<std::uint8_t> room(1480);
        room.resize(from->session->transmit(room, now));
        more = !room.empty();
        if (more && is_heard) to.session->on_packet(room, now);
      }
    }
  }
  void pass(Duration time, bool with_samples = true) {
    for (const Instant until = now + time; now < until; now += 100ms) {
      here.now = kernel.now = now;
      here.session->on_timeout(now);
      kernel.session->on_timeout(now);
      if (with_samples && sampler.is_due(10, now))
        if (const auto id = random_state(here.table->reader(), statetable::to_seconds(now), random))
          if (here.session->sample(*id, 0, now)) sampler.asked();
      carry();
      Sampler::Counts counts;
      for (std::size_t i = 0; i < counts.size(); ++i)
        counts[i] = here.session->samples(0, static_cast<SampleVerdict>(i));
      sampler.follow(counts, answers_otherwise, now);
    }
  }
  [[nodiscard]] std::uint64_t count(SampleVerdict verdict) const { return here.session->samples(0, verdict); }

  Engine here{1, 40'000};
  Engine kernel{2, 40'000};
  Sampler sampler;
  std::mt19937_64 random{11};
  Instant now = t0;
  bool is_heard = true, answers_otherwise = true;
};

/// What is asked of a peer that leaves other questions unanswered too says nothing of its states.
TEST_F(SamplerTest, APeerThatWasAwayHasNotLostItsStates) {
  for (std::uint64_t id = 1; id <= 1000; ++id) {
    here.hold(idle(id));
    kernel.hold(idle(id));
  }
  pass(20s);
  ASSERT_TRUE(sampler.estimate());
  EXPECT_EQ(sampler.estimate()->share, 0);
  is_heard = answers_otherwise = false;
  pass(9s);
  is_heard = answers_otherwise = true;
  pass(20s);
  EXPECT_GT(count(SampleVerdict::missing), 5u);
  ASSERT_TRUE(sampler.estimate());
  EXPECT_EQ(sampler.estimate()->share, 0);
}

TEST_F(SamplerTest, EstimatesAKnownShare) {
  constexpr std::uint64_t states = 30'000;
  for (std::uint64_t id = 1; id <= states; ++id) {
    here.hold(idle(id));
    wire::State state = idle(id);
    if (id % 50 == 1) state.src.seqlo += 777;
    if (id % 50 != 2) kernel.hold(state);
  }
  constexpr double share = 0.04;  // a half of it otherwise, a half not there
  pass(75s);
  pass(15s, false);
  EXPECT_EQ(sampler.number_asked(), 750u);
  EXPECT_EQ(sampler.judged(), 750u);
  EXPECT_EQ(count(SampleVerdict::in_flux) + count(SampleVerdict::ended), 0u);
  EXPECT_GT(count(SampleVerdict::different), 5u);
  EXPECT_GT(count(SampleVerdict::missing), 5u);
  const auto estimate = sampler.estimate();
  ASSERT_TRUE(estimate);
  EXPECT_LE(estimate->low, share);
  EXPECT_GE(estimate->high, share);
  EXPECT_LT(estimate->high - estimate->low, 0.04);
  std::printf("share %.3f: %.3f (%.3f to %.3f) of %zu samples\n", share, estimate->share, estimate->low, estimate->high,
              sampler.judged());
}

TEST_F(SamplerTest, EqualTablesShowNoDifference) {
  for (std::uint64_t id = 1; id <= 500; ++id) {
    here.hold(idle(id));
    kernel.hold(idle(id));
  }
  pass(20s);
  EXPECT_EQ(count(SampleVerdict::same), sampler.judged());
  EXPECT_GT(sampler.judged(), 150u);
  EXPECT_EQ(sampler.estimate()->share, 0);
}

TEST_F(SamplerTest, AStateInUseIsNotJudged) {
  here.hold(idle(1));
  kernel.hold(idle(1));
  wire::State used = idle(1);
  used.src.seqlo += 5;
  kernel.hold(used, Message::upd);  // and not told yet
  ASSERT_TRUE(here.session->sample(used.id, 0, now));
  pass(1s, false);
  EXPECT_EQ(count(SampleVerdict::in_flux), 1u);
  EXPECT_EQ(sampler.judged(), 0u);
  EXPECT_EQ(here.held(used.id)->hot.src.seqlo, used.src.seqlo) << "what came is taken all the same";
}

TEST_F(SamplerTest, AStateThatEndsMeanwhileIsNotMissing) {
  here.hold(idle(1));
  ASSERT_TRUE(here.session->sample({1, peer_creatorid}, 0, now));
  EXPECT_FALSE(here.session->sample({1, peer_creatorid}, 0, now)) << "under way";
  here.end({1, peer_creatorid});
  pass(10s, false);
  EXPECT_EQ(count(SampleVerdict::ended), 1u);
  EXPECT_EQ(count(SampleVerdict::missing), 0u);
}

TEST_F(SamplerTest, OneLostAnswerIsNoMissingState) {
  here.hold(idle(1));
  kernel.hold(idle(1));
  is_heard = false;
  ASSERT_TRUE(here.session->sample({1, peer_creatorid}, 0, now));
  pass(2s, false);
  is_heard = true;
  pass(10s, false);
  EXPECT_EQ(count(SampleVerdict::same), 1u);
}

TEST_F(SamplerTest, APeerThatAnswersNothingIsAskedLessAndNotJudged) {
  for (std::uint64_t id = 1; id <= 500; ++id) here.hold(idle(id));
  is_heard = false;
  pass(60s);
  EXPECT_FALSE(sampler.is_answering());
  EXPECT_FALSE(sampler.estimate());
  const std::uint64_t before = sampler.number_asked();
  pass(20s);
  EXPECT_LE(sampler.number_asked() - before, 21u);
}

TEST(SamplerChangeTest, IsToldOnceEachWay) {
  Sampler one;
  Sampler::Counts counts{1000, 500, 0, 0, 0};
  one.follow(counts, true, t0);
  EXPECT_EQ(one.judged(), 0u) << "of a time before";
  const auto add = [&](SampleVerdict verdict, unsigned times) {
    for (unsigned i = 0; i < times; ++i) {
      ++counts[static_cast<std::size_t>(verdict)];
      one.follow(counts, true, t0);
    }
  };
  add(SampleVerdict::same, 200);
  EXPECT_FALSE(one.take_change());
  add(SampleVerdict::different, 10);
  EXPECT_EQ(one.take_change(), true);
  EXPECT_FALSE(one.take_change());
  add(SampleVerdict::same, 900);
  EXPECT_FALSE(one.take_change()) << "not surely yet";
  add(SampleVerdict::same, 110);
  EXPECT_EQ(one.take_change(), false);
  EXPECT_EQ(one.estimate()->share, 0);
  EXPECT_EQ(one.judged(), Sampler::window);
}

TEST(SamplerChangeTest, WhoIsKnownToAgreeIsJudgedAnew) {
  Sampler one;
  Sampler::Counts counts{};
  one.follow(counts, true, t0);
  counts[static_cast<std::size_t>(SampleVerdict::missing)] = 10;
  counts[static_cast<std::size_t>(SampleVerdict::same)] = 100;
  one.follow(counts, true, t0);
  EXPECT_FALSE(one.alarm()) << "nobody has looked";
  EXPECT_EQ(one.take_change(), true);
  ASSERT_TRUE(one.alarm());
  EXPECT_GT(one.alarm()->low, Sampler::alarming_share);
  one.forget();
  EXPECT_FALSE(one.alarm());
  EXPECT_EQ(one.judged(), 0u);
  EXPECT_FALSE(one.take_change());
  ++counts[static_cast<std::size_t>(SampleVerdict::same)];
  one.follow(counts, true, t0);
  EXPECT_EQ(one.judged(), 1u) << "what was counted before stays forgotten";
}

TEST_F(SamplerTest, WhatIsNotAnnouncedIsNotAskedFor) {
  wire::State state = idle(1);
  state.id.creatorid = own_creatorid;
  state.state_flags = wire::state_flag::nosync;
  ASSERT_EQ(here.session->insert(state, now), Session::Local::done);
  EXPECT_FALSE(here.session->sample(state.id, 0, now));
  EXPECT_FALSE(here.session->sample({99, 1}, 0, now)) << "not here";
  EXPECT_FALSE(here.session->sample(state.id, 1, now)) << "no such peer";
}

}  // namespace
}  // namespace pfsync::engine::divergence
