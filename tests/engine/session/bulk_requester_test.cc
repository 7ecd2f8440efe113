// The asking side of a bulk update by itself.
#include "engine/session/bulk_requester.h"

#include <gtest/gtest.h>

namespace pfsync::engine {
namespace {

using namespace std::chrono_literals;

constexpr statetable::Instant asked_at{1h};

TEST(BulkRequester, AnswersToSingleQuestionsDoNotKeepUpTheWaitForASenderThatDied) {
  BulkRequester requester;
  requester.ask(asked_at);
  EXPECT_TRUE(requester.take_request());
  requester.on_status({.endtime_s = 0, .status = wire::BulkStatus::start}, asked_at);
  auto now = asked_at;
  for (; requester.phase() == BulkPhase::receiving && now < asked_at + 2 * BulkRequester::silence_max; now += 1s) {
    requester.expect_answer();  // a sign of life a second
    requester.on_full_state(now);
    requester.on_timeout(now);
  }
  EXPECT_EQ(now, asked_at + BulkRequester::silence_max + 1s);
  EXPECT_TRUE(requester.take_request());
}

TEST(BulkRequester, ABulkUpdateBesideQuestionsIsWaitedFor) {
  BulkRequester requester;
  requester.ask(asked_at);
  requester.on_status({.endtime_s = 0, .status = wire::BulkStatus::start}, asked_at);
  for (auto now = asked_at; now < asked_at + 5 * BulkRequester::silence_max; now += 1s) {
    requester.expect_answer();
    for (unsigned i = 0; i < 2 * BulkRequester::pace_least; ++i) requester.on_full_state(now);
    requester.on_timeout(now);
    ASSERT_EQ(requester.phase(), BulkPhase::receiving);
  }
}

/// On a group the END may be lost, and the others go on asking each other for single states, and are answered.
TEST(BulkRequester, AnswersToTheQuestionsOfOthersDoNotKeepItUpEither) {
  BulkRequester requester;
  requester.ask(asked_at);
  requester.on_status({.endtime_s = 0, .status = wire::BulkStatus::start}, asked_at);
  auto now = asked_at;
  for (unsigned i = 0; i < 10'000; ++i) requester.on_full_state(now += 1ms);
  const auto last = now;
  for (unsigned i = 1; requester.phase() == BulkPhase::receiving && now < last + 10 * BulkRequester::silence_max; ++i) {
    now += 100ms;
    requester.on_full_state(now);
    if (i % 10 == 0) requester.on_full_state(now);  // and two at once
    requester.on_timeout(now);
  }
  EXPECT_LE(now, last + BulkRequester::silence_max + 1s);
  EXPECT_EQ(requester.phase(), BulkPhase::asked);
}

}  // namespace
}  // namespace pfsync::engine
