// Who leads, as pure rules.
#include <gtest/gtest.h>

#include "tests/engine/carp/carp_bench.h"

namespace pfsync::engine::carp::test {
namespace {

TEST(CarpElection, OfBothSidesExactlyTheBetterLeads) {
  const Rank better{1, 0}, worse{1, 100};
  EXPECT_EQ(judge(State::master, worse, better, {}), Event::outranked);
  EXPECT_EQ(judge(State::master, better, worse, {}), std::nullopt);
  EXPECT_EQ(judge(State::backup, better, worse, {}), Event::preempts);
  EXPECT_EQ(judge(State::backup, worse, better, {}), std::nullopt);
  EXPECT_EQ(judge(State::init, better, worse, {}), std::nullopt);
  EXPECT_EQ(judge(State::backup, better, worse, {.in_sync = false}), std::nullopt);
}

TEST(CarpElection, AnEqualMasterStepsDownUnlessItWinsTies) {
  EXPECT_EQ(judge(State::master, {1, 50}, {1, 50}, {}), Event::outranked);
  EXPECT_EQ(judge(State::master, {1, 50}, {1, 50}, {.wins_ties = true}), std::nullopt);
  EXPECT_EQ(judge(State::master, {1, 50}, {1, 49}, {.wins_ties = true}), Event::outranked);
  EXPECT_EQ(judge(State::backup, {1, 50}, {1, 50}, {.wins_ties = true}), std::nullopt);
}

TEST(CarpElection, TheBaseCountsBeforeTheSkew) {
  EXPECT_EQ(judge(State::master, {2, 0}, {1, 240}, {}), Event::outranked);
  EXPECT_EQ(judge(State::backup, {1, 240}, {2, 0}, {}), Event::preempts);
}

TEST(CarpElection, WithoutPreemptionABackupWaitsUnlessTheMasterIsTooSlowForIt) {
  const Judge patient{.preempt = false};
  EXPECT_EQ(judge(State::backup, {1, 0}, {1, 100}, patient), std::nullopt);
  EXPECT_EQ(judge(State::backup, {1, 0}, {3, 0}, patient), std::nullopt);
  EXPECT_EQ(judge(State::backup, {1, 0}, {3, 1}, patient), Event::outlasts);
  EXPECT_EQ(judge(State::backup, {1, 0}, bow_out, patient), Event::outlasts);
  EXPECT_EQ(judge(State::backup, {85, 0}, bow_out, patient), Event::outlasts);  // 255 s and 255/256 s after all
}

TEST(CarpElection, OpenBsdsDemoteCountsComeFirstWhenThePeerIsOpenBsd) {
  const Judge openbsd{.openbsd = true};
  EXPECT_EQ(judge(State::master, {1, 0, 1}, {1, 100, 0}, openbsd), Event::outranked);
  EXPECT_EQ(judge(State::master, {1, 100, 0}, {1, 0, 1}, openbsd), std::nullopt);
  EXPECT_EQ(judge(State::backup, {1, 100, 0}, {1, 0, 1}, {.preempt = false, .openbsd = true}), Event::preempts);
  EXPECT_EQ(judge(State::backup, {1, 0, 1}, {1, 100, 0}, openbsd), std::nullopt);
  EXPECT_EQ(judge(State::backup, {1, 100, 0}, {1, 0, 1}, {}), std::nullopt);  // FreeBSD does not look at the count
  EXPECT_LT(interval(0, 1), interval(1, 0));                                  // advbase 0 is OpenBSD's
}

TEST(CarpElection, AFarewellEndsNoMastership) {
  for (const bool openbsd : {false, true})
    for (const std::uint8_t own_demote : std::initializer_list<std::uint8_t>{0, 1, 255})
      for (const Rank& farewell : {bow_out, bow_out_openbsd})
        EXPECT_EQ(judge(State::master, {1, 0, own_demote}, farewell, {.openbsd = openbsd}), std::nullopt);
  for (const std::uint8_t own_demote : std::initializer_list<std::uint8_t>{0, 1, 254})
    EXPECT_EQ(judge(State::backup, {100, 0, own_demote}, bow_out_openbsd, {.preempt = false, .openbsd = true}),
              Event::preempts);
}

TEST(CarpElection, NobodyLeadsOutOfInit) {
  for (const Transition& move : transitions) {
    EXPECT_FALSE(move.from == State::init && move.to == State::master);
    EXPECT_NE(move.from, move.to);
  }
}

TEST(CarpElection, SkewsAreBounded) {
  EXPECT_EQ(effective_skew(100, 240), 240);
  EXPECT_EQ(effective_skew(254, 0), 240);
  EXPECT_EQ(effective_skew(100, -150), 0);
  EXPECT_EQ(effective_skew(0, 2880), 240);
}

}  // namespace
}  // namespace pfsync::engine::carp::test
