#include "engine/session/peer_watch.h"

#include <gtest/gtest.h>

#include "engine/control/health.h"

namespace pfsync::engine {
namespace {

using namespace std::chrono_literals;
using statetable::Instant;

constexpr wire::StateId theirs{1, 2}, ours{1, 1};
const wire::Address first = wire::ipv4_address(10, 0, 0, 2), second = wire::ipv4_address(10, 0, 0, 3);

/// A watch that asks once a second, and a clock.
struct Asking : PeerWatch {
  explicit Asking(bool is_group = false) : PeerWatch{1s, is_group} {}
  statetable::Instant now = statetable::Instant{} + 1000s;

  /// The next question leaves.
  Question ask_next() {
    now = due() > now ? due() : now + 1s;
    EXPECT_TRUE(is_due(now));
    EXPECT_FALSE(is_due(now) && has_question()) << "nothing is to be sent before it is asked";
    ask(theirs, ours, now);
    const auto question = take(now);
    EXPECT_TRUE(question);
    return question.value_or(Question{});
  }
  void answer(wire::StateId id, const wire::Address& from) {
    now += 1ms;
    answers += on_full_state(id, from, now);
  }
  Node node(const wire::Address& address) const {
    for (const Node& one : nodes())
      if (one.address == address) return one;
    ADD_FAILURE() << "it is not there";
    return {};
  }
  unsigned answers = 0;
};

TEST(PeerWatch, CountsWhatEachNodeLeavesUnanswered) {
  Asking watch;
  watch.heard(first, watch.now);
  watch.heard(second, watch.now);
  for (unsigned i = 1; i <= 3; ++i) {
    watch.ask_next();
    watch.answer(theirs, first);
    watch.answer(ours, first);
  }
  watch.ask_next();
  EXPECT_EQ(watch.answers, 3u);
  EXPECT_EQ(watch.round_trip().count(), 3u);
  EXPECT_EQ(watch.node(first).unanswered, 0u);
  EXPECT_EQ(watch.node(second).unanswered, 3u);
  EXPECT_EQ(watch.node(second).silent_since, Instant{} + 1001s) << "since it was asked first";
  EXPECT_EQ(watch.view().unanswered, 0u) << "somebody answered";
  watch.answer(ours, second);
  EXPECT_EQ(watch.node(second).unanswered, 0u);
}

TEST(PeerWatch, NobodyWhoWasNotHeardIsMissed) {
  Asking watch;
  watch.ask_next();
  watch.heard(first, watch.now);  // after the question had left
  watch.ask_next();
  EXPECT_EQ(watch.node(first).unanswered, 0u);
  EXPECT_EQ(watch.view().unanswered, 1u);
  watch.ask_next();
  EXPECT_EQ(watch.node(first).unanswered, 1u);
}

/// In a group anybody on the link can invent a source.
TEST(PeerWatch, InAGroupNobodyIsMissedWhoWasHeardForAMoment) {
  Asking watch{true};
  watch.heard(first, watch.now);
  for (unsigned i = 0; i < 20; ++i) {
    watch.heard(second, watch.now);
    watch.ask_next();
  }
  EXPECT_EQ(watch.node(first).unanswered, 0u);
  EXPECT_GT(watch.node(second).unanswered, 5u);
  for (unsigned i = 0; i < 2; ++i) watch.heard(first, watch.now);
  for (unsigned i = 0; i < 8; ++i) watch.ask_next();
  EXPECT_EQ(watch.node(first).unanswered, 0u) << "three packets";
  watch.heard(first, watch.now);
  watch.ask_next();
  watch.ask_next();
  EXPECT_GT(watch.node(first).unanswered, 25u) << "what it left unanswered before counts from now on";
}

TEST(PeerWatch, OfAGroupWhoNeverAnswersIsToldWithinTenSeconds) {
  Asking watch{true};
  unsigned seconds = 0;
  for (; watch.heard(first, watch.now), watch.node(first).unanswered < HealthMonitor::unanswered_max; ++seconds) {
    ASSERT_LT(seconds, 10u);
    watch.ask_next();
  }
  EXPECT_GE(seconds, PeerWatch::known_after.count());
}

/// Half of the time is for what nobody else needs to know.
TEST(PeerWatch, ALengthInDoubtIsAskedForTwiceAsFast) {
  Asking watch;
  const Instant began = watch.now;
  watch.heard(first, watch.now);
  for (unsigned questions = 0; watch.node(first).unanswered_long < HealthMonitor::unanswered_long_max; ++questions) {
    ASSERT_LT(questions, 20u);
    if (!watch.ask_next().is_long) watch.answer(theirs, first);
  }
  EXPECT_LT(watch.now - began, 8s);
  while (watch.ask_next().is_long) continue;
  watch.answer(theirs, first);
  ASSERT_TRUE(watch.ask_next().is_long);
  watch.answer(theirs, first);
  watch.ask_next();
  const Instant certain = watch.now;
  watch.ask_next();
  EXPECT_EQ(watch.now - certain, 1s) << "the usual pace again";
}

TEST(PeerWatch, TellsWhoAnswersOnlyForStatesOfOthers) {
  Asking watch;
  watch.heard(first, watch.now);
  for (unsigned i = 1; i <= 4; ++i) {
    watch.ask_next();
    watch.answer(theirs, first);
  }
  watch.ask_next();
  EXPECT_EQ(watch.node(first).unanswered, 0u);
  EXPECT_EQ(watch.node(first).unanswered_ours, 4u);
  watch.answer(ours, first);
  EXPECT_EQ(watch.node(first).unanswered_ours, 0u);
}

TEST(PeerWatch, EveryOtherQuestionIsLong) {
  Asking watch;
  watch.heard(first, watch.now);
  bool was_long = watch.ask_next().is_long;
  for (unsigned i = 0; i < 10; ++i) {
    if (!was_long) watch.answer(theirs, first);  // those alone remain unanswered
    const bool is_long = watch.ask_next().is_long;
    EXPECT_NE(is_long, was_long);
    was_long = is_long;
  }
  EXPECT_EQ(watch.node(first).unanswered_long, 4u);
  EXPECT_LE(watch.node(first).unanswered, 1u);
}

/// As long as it does not answer for the states at any length: it may not have them.
TEST(PeerWatch, OnlyWhoAnswersTheShortQuestionIsMissedAfterTheLongOne) {
  Asking watch;
  watch.heard(first, watch.now);
  const auto ask_for = [&](wire::StateId id) {
    watch.now += 1s;
    EXPECT_TRUE(watch.is_due(watch.now));
    watch.ask(id, ours, watch.now);
    const auto question = watch.take(watch.now);
    EXPECT_TRUE(question);
    return question.value_or(PeerWatch::Question{});
  };
  if (ask_for(theirs).is_long) ask_for(theirs);
  for (unsigned i = 0; i < 8; ++i) {
    EXPECT_TRUE(ask_for(theirs).is_long);
    EXPECT_FALSE(ask_for(theirs).is_long);
  }
  EXPECT_EQ(watch.node(first).unanswered_long, 0u) << "it never answers";
  for (unsigned i = 0; i < 8; ++i) {
    watch.answer(theirs, first);
    const wire::StateId other{100 + i, 3};
    EXPECT_TRUE(ask_for(other).is_long);
    EXPECT_FALSE(ask_for(theirs).is_long);
  }
  EXPECT_EQ(watch.node(first).unanswered_long, 0u) << "it answers for other states";
  watch.answer(theirs, first);
  EXPECT_EQ(watch.asked_shortly(), std::optional(PeerWatch::States{theirs, ours}));
  EXPECT_TRUE(ask_for(theirs).is_long);
  EXPECT_EQ(watch.asked_shortly(), std::nullopt);
  ask_for(theirs);
  EXPECT_EQ(watch.node(first).unanswered_long, 1u);
}

TEST(PeerWatch, TheAnswerToAQuestionBeforeIsNoneToOneThatCouldNotBeSent) {
  Asking watch;
  watch.heard(first, watch.now);
  if (watch.ask_next().is_long) watch.ask_next();
  watch.ask_next();
  watch.answer(theirs, first);  // a long one
  watch.now += 1s;
  EXPECT_TRUE(watch.is_due(watch.now));
  watch.ask(theirs, ours, watch.now);  // a short one, that does not leave
  EXPECT_TRUE(watch.ask_next().is_long);
  watch.ask_next();
  EXPECT_EQ(watch.node(first).unanswered_long, 0u);
}

TEST(PeerWatch, WhereThereIsNoStateABulkUpdateIsTheAnswer) {
  Asking watch;
  watch.heard(first, watch.now);
  const auto ask_for_all = [&] {
    watch.now += 1s;
    ASSERT_TRUE(watch.is_due(watch.now));
    watch.ask({}, {}, watch.now);
    const auto question = watch.take(watch.now);
    ASSERT_TRUE(question);
    EXPECT_TRUE(question->is_for_all());
  };
  for (unsigned i = 1; i <= 3; ++i) ask_for_all();
  EXPECT_EQ(watch.node(first).unanswered, 2u);
  EXPECT_TRUE(watch.is_waiting());
  EXPECT_TRUE(watch.on_bulk_status(first, watch.now));
  EXPECT_EQ(watch.node(first).unanswered, 0u);
  EXPECT_FALSE(watch.is_waiting());
  watch.ask_next();  // for states: somebody else's bulk update answers nothing
  EXPECT_FALSE(watch.on_bulk_status(first, watch.now));
  watch.ask_next();
  EXPECT_EQ(watch.node(first).unanswered, 1u);
}

TEST(PeerWatch, ANodeThatIsForgottenIsMissedNoLonger) {
  Asking watch;
  watch.heard(first, watch.now);
  watch.heard(second, watch.now);
  for (unsigned i = 0; i < 6; ++i) watch.ask_next();
  EXPECT_FALSE(watch.forget(wire::ipv4_address(10, 0, 0, 9)));
  EXPECT_TRUE(watch.forget(first));
  EXPECT_FALSE(watch.forget(first));
  ASSERT_EQ(watch.nodes().size(), 1u);
  EXPECT_EQ(watch.nodes().front().address, second);
  EXPECT_EQ(watch.nodes().front().unanswered, 5u);
  watch.heard(first, watch.now);
  EXPECT_EQ(watch.node(first).unanswered, 0u);
}

TEST(PeerWatch, AQuestionThatCouldNotBeSentSaysNothing) {
  Asking watch;
  watch.heard(first, watch.now);
  for (unsigned i = 0; i < 10; ++i) {
    watch.now += 1s;
    ASSERT_TRUE(watch.is_due(watch.now));
    watch.ask(theirs, ours, watch.now);  // and is not taken
  }
  EXPECT_EQ(watch.node(first).unanswered, 0u);
  EXPECT_EQ(watch.view().unanswered, 0u);
}

TEST(PeerWatch, RestsWhileAnotherNodeSpeaksWithThePeer) {
  Asking watch;
  watch.heard(first, watch.now);
  for (unsigned i = 0; i < 5; ++i) watch.ask_next();
  EXPECT_EQ(watch.node(first).unanswered, 4u);
  watch.rest();
  EXPECT_EQ(watch.node(first).unanswered, 0u);
  EXPECT_FALSE(watch.has_question());
  EXPECT_FALSE(watch.is_waiting());
}

TEST(PeerWatch, NeverAsksWhereItIsToldNotTo) {
  PeerWatch watch{PeerWatch::Duration::zero()};
  EXPECT_FALSE(watch.is_due(Instant{} + 1000s));
  EXPECT_EQ(watch.due(), PeerWatch::Instant::max());
}

TEST(PeerWatch, AFurtherNodeDisplacesTheOneHeardLongestAgo) {
  Asking watch;
  for (unsigned i = 0; i <= PeerWatch::nodes_max; ++i) {
    watch.now += 1s;
    watch.heard(wire::ipv4_address(10, 0, 1, static_cast<std::uint8_t>(i)), watch.now);
  }
  EXPECT_EQ(watch.nodes().size(), PeerWatch::nodes_max);
  for (const PeerWatch::Node& node : watch.nodes()) EXPECT_NE(node.address, wire::ipv4_address(10, 0, 1, 0));
}

TEST(PeerWatch, OfAQuestionThatOneNodeMustHaveOnlyItsSilenceCounts) {
  Asking watch;
  watch.heard(first, watch.now);
  watch.heard(second, watch.now);
  for (unsigned i = 0; i < 4; ++i) {
    watch.now += 1s;
    ASSERT_TRUE(watch.is_due(watch.now));
    watch.ask(theirs, {}, watch.now, first);
    ASSERT_TRUE(watch.take(watch.now));
  }
  watch.ask_next();
  EXPECT_EQ(watch.node(first).unanswered, 4u);
  EXPECT_EQ(watch.node(second).unanswered, 0u) << "it may never have heard of that state";
}

TEST(PeerWatch, WhoLeftAQuestionUnansweredIsAskedBeforeTheOthersUntilItIsCertain) {
  Asking watch;
  EXPECT_FALSE(watch.whom_to_ask());
  watch.heard(first, watch.now);
  watch.heard(second, watch.now);
  EXPECT_NE(watch.whom_to_ask(), watch.whom_to_ask()) << "in turn";
  for (unsigned i = 1; i < PeerWatch::doubtful_max; ++i) {
    watch.ask_next();
    watch.answer(theirs, first);
    EXPECT_TRUE(watch.is_due(watch.now += 1s));
    ASSERT_EQ(watch.node(second).unanswered, i);
    EXPECT_EQ(watch.whom_to_ask(), second);
    EXPECT_EQ(watch.whom_to_ask(), second);
  }
  watch.ask_next();
  watch.answer(theirs, first);
  EXPECT_TRUE(watch.is_due(watch.now += 1s));
  EXPECT_NE(watch.whom_to_ask(), watch.whom_to_ask()) << "the others are not left out for its sake";
}

TEST(PeerWatch, WhoIsHeardAfterASilenceInWhichItWasAskedIsHeardAgain) {
  Asking watch;
  watch.heard(first, watch.now);
  watch.heard(first, watch.now += 100s);
  EXPECT_EQ(watch.node(first).heard_again_at, Instant{}) << "it had nothing to say";
  watch.ask_next();
  watch.ask_next();
  watch.heard(first, watch.now);
  EXPECT_EQ(watch.node(first).heard_again_at, Instant{}) << "two seconds are no silence";
  for (unsigned i = 0; i < 6; ++i) watch.ask_next();
  watch.heard(first, watch.now);
  EXPECT_EQ(watch.node(first).heard_again_at, watch.now);
}

}  // namespace
}  // namespace pfsync::engine
