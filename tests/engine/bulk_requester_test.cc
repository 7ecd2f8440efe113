// The asking side of a bulk update by itself.
#include "engine/bulk_requester.h"

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
    requester.on_full_state(now);
    requester.on_full_state(now);  // one of the bulk update
    requester.on_timeout(now);
    ASSERT_EQ(requester.phase(), BulkPhase::receiving);
  }
}

}  // namespace
}  // namespace pfsync::engine
