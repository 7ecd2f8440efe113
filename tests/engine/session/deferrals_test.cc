#include "engine/session/deferrals.h"

#include <algorithm>

#include "tests/engine/session/session_fixture.h"

namespace pfsync::engine {
namespace {

using Why = Deferrals::Why;

std::vector<std::pair<std::uint64_t, Why>> taken(Deferrals& deferrals) {
  std::vector<std::pair<std::uint64_t, Why>> result;
  std::array<Deferrals::Released, 3> some;
  while (const std::size_t count = deferrals.take(some))
    for (std::size_t i = 0; i < count; ++i) result.emplace_back(some[i].id.id, some[i].why);
  return result;
}

wire::StateId id(std::uint64_t number) { return {number, 1}; }
statetable::Hash same_chain(std::uint64_t number) { return statetable::Hash{number * 8}; }

TEST(Deferrals, GoInTheOrderInWhichTheirWaitEnds) {
  Deferrals deferrals{20ms, 8};
  for (std::uint64_t i = 1; i <= 5; ++i) deferrals.hold(id(i), same_chain(i), t0 + i * 1ms);
  EXPECT_TRUE(deferrals.release(id(3), same_chain(3), Why::acknowledged, t0 + 4ms));
  EXPECT_TRUE(deferrals.release(id(1), same_chain(1), Why::updated, t0 + 5ms));
  EXPECT_FALSE(deferrals.release(id(3), same_chain(3), Why::acknowledged, t0 + 6ms)) << "it went before";
  EXPECT_FALSE(deferrals.release(id(9), same_chain(9), Why::acknowledged, t0 + 6ms));
  EXPECT_EQ(deferrals.timeout(), t0 + 22ms);
  deferrals.on_timeout(t0 + 24ms);
  using P = std::pair<std::uint64_t, Why>;
  EXPECT_EQ(taken(deferrals),
            (std::vector<P>{{3, Why::acknowledged}, {1, Why::updated}, {2, Why::timed_out}, {4, Why::timed_out}}));
  EXPECT_EQ(deferrals.timeout(), t0 + 25ms);
  EXPECT_TRUE(deferrals.release(id(5), same_chain(5), Why::gone, t0 + 24ms));
  EXPECT_TRUE(deferrals.empty());
  EXPECT_EQ(deferrals.timeout(), Instant::max());
  EXPECT_EQ(deferrals.latency().count(), 1u);
  EXPECT_EQ(deferrals.latency().percentile_us(50), 1024u) << "a millisecond, from the third's INS on";
}

TEST(Deferrals, TheOldestGoesWhenAnotherComes) {
  Deferrals deferrals{20ms, 4};
  for (std::uint64_t i = 1; i <= 4; ++i) deferrals.hold(id(i), same_chain(i), t0);
  EXPECT_TRUE(deferrals.release(id(2), same_chain(2), Why::acknowledged, t0));
  for (std::uint64_t i = 5; i <= 7; ++i) deferrals.hold(id(i), same_chain(i), t0);
  using P = std::pair<std::uint64_t, Why>;
  EXPECT_EQ(taken(deferrals), (std::vector<P>{{2, Why::acknowledged}, {1, Why::displaced}, {3, Why::displaced}}));
  for (std::uint64_t i = 4; i <= 7; ++i) EXPECT_TRUE(deferrals.release(id(i), same_chain(i), Why::gone, t0)) << i;
}

TEST(Deferrals, NewsThatNobodyTakesAreBounded) {
  Deferrals deferrals{20ms, 4};
  for (std::uint64_t i = 1; i <= 100; ++i) {
    deferrals.hold(id(i), same_chain(i), t0);
    deferrals.on_timeout(t0 + 1s);
  }
  EXPECT_EQ(taken(deferrals).size(), 8u);
}

class DeferTest : public SessionTest {
 protected:
  DeferTest() { make_quiet({.delay = 1s, .defer = Deferrals::usual_limit}); }
  std::vector<Why> released(Instant now) {
    std::array<Deferrals::Released, 8> some;
    std::vector<Why> result;
    const std::size_t count = session->take_released(some, now);
    for (std::size_t i = 0; i < count; ++i) result.push_back(some[i].why);
    return result;
  }
  wire::StateId open(std::uint64_t number) {
    EXPECT_EQ(session->insert(tcp_state(number, own_creatorid), t0), Session::Local::done);
    EXPECT_TRUE(session->defer({number, own_creatorid}, t0));
    return {number, own_creatorid};
  }
  /// state_flags of the INS among what is said now.
  std::optional<std::uint16_t> inserted_flags(Instant now) {
    for (const Said& it : said(now))
      if (it.message == Message::ins) return wire::read_state(wire::Layout::state_1301, it.record).state_flags;
    return std::nullopt;
  }
};

TEST_F(DeferTest, TheInsertAsksForAnAckAndLeavesAtOnce) {
  const wire::StateId first = open(1);
  const auto flags = inserted_flags(t0);
  ASSERT_TRUE(flags);
  EXPECT_EQ(*flags & wire::state_flag::ack, wire::state_flag::ack);
  EXPECT_TRUE(released(t0).empty());
  receive_id(Message::ins_ack, first, t0 + 3ms);
  EXPECT_EQ(released(t0 + 3ms), std::vector{Why::acknowledged});
  EXPECT_EQ(held(first)->hot.state_flags & wire::state_flag::ack, 0);
  EXPECT_EQ(session->insert_latency().count(), 1u);
  receive_id(Message::ins_ack, first, t0 + 4ms);
  EXPECT_TRUE(released(t0 + 4ms).empty());
}

TEST_F(DeferTest, NobodyWaitsLongerThanTheLimit) {
  open(1);
  EXPECT_EQ(session->timeout(t0), t0) << "the INS is due";
  while (!said(t0).empty()) {
  }
  EXPECT_EQ(session->timeout(t0), t0 + 20ms);
  session->on_timeout(t0 + 20ms);
  EXPECT_EQ(released(t0 + 20ms), std::vector{Why::timed_out});
  EXPECT_EQ(count(Tally::deferred), 1u);
  EXPECT_EQ(count(Tally::defer_timeouts), 1u);
}

TEST_F(DeferTest, AnUpdateFromEitherSideEndsTheWaitAndADeleteDropsThePacket) {
  const wire::StateId first = open(1), second = open(2), third = open(3);
  wire::State state = tcp_state(1, own_creatorid);
  state.src.seqlo += 10;
  receive_update(update_of(state));
  wire::State other = tcp_state(2, own_creatorid);
  EXPECT_EQ(session->update(update_of(other), t0), Session::Local::done);
  EXPECT_EQ(session->erase(third, t0), Session::Local::done);
  EXPECT_EQ(released(t0), (std::vector{Why::updated, Why::updated, Why::gone}));
  EXPECT_TRUE(held(first) && held(second) && !held(third));
}

TEST_F(DeferTest, WhatIsNotAnnouncedDoesNotWait) {
  wire::State state = tcp_state(1, own_creatorid);
  state.state_flags |= wire::state_flag::nosync;
  EXPECT_EQ(session->insert(state, t0), Session::Local::done);
  EXPECT_FALSE(session->defer(state.id, t0));
  EXPECT_FALSE(session->defer({77, own_creatorid}, t0)) << "there is no such state";
  make_quiet();
  EXPECT_EQ(session->insert(tcp_state(2, own_creatorid), t0), Session::Local::done);
  EXPECT_FALSE(session->defer({2, own_creatorid}, t0)) << "switched off";
}

}  // namespace
}  // namespace pfsync::engine
