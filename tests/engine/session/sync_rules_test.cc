#include "engine/session/sync_rules.h"

#include <gtest/gtest.h>

#include <map>
#include <random>
#include <vector>

#include "engine/session/delayed_states.h"

namespace pfsync::engine {
namespace {

using statetable::Seconds;
using wire::Direction;
using wire::InterfaceName;
using Action = SyncRule::Action;

/// A connection to port 443, from 50000.
wire::State state_to_443(Direction direction, std::uint8_t proto = wire::ipproto::tcp) {
  wire::State state;
  state.proto = proto;
  state.direction = direction;
  for (auto& key : state.key) key.port = {443, 50000};
  if (direction == Direction::in)
    for (auto& key : state.key) std::swap(key.port[0], key.port[1]);
  state.ifname = InterfaceName{"em0"};
  return state;
}

TEST(SyncRule, WithoutWordsMatchesAll) { EXPECT_TRUE(matches({}, state_to_443(Direction::in))); }

TEST(SyncRule, MatchesThePortThatAConnectionGoesTo) {
  for (const Direction direction : {Direction::in, Direction::out}) {
    const wire::State state = state_to_443(direction);
    EXPECT_TRUE(matches({.port = {{443, 443}}}, state));
    EXPECT_TRUE(matches({.port = {{400, 500}}}, state));
    EXPECT_FALSE(matches({.port = {{444, 500}}}, state));
    EXPECT_FALSE(matches({.port = {{50000, 50000}}}, state)) << "where it comes from";
  }
}

TEST(SyncRule, MatchesThePortOnBothSidesOfATranslation) {
  wire::State state = state_to_443(Direction::in);
  state.key[wire::wire_side].port[1] = 8443;
  EXPECT_TRUE(matches({.port = {{8443, 8443}}}, state));
  EXPECT_TRUE(matches({.port = {{443, 443}}}, state));
}

TEST(SyncRule, TakesNoIcmpIdForAPort) {
  EXPECT_FALSE(matches({.port = {{443, 443}}}, state_to_443(Direction::out, wire::ipproto::icmp)));
  EXPECT_TRUE(matches({.port = {{443, 443}}}, state_to_443(Direction::out, wire::ipproto::udp)));
  EXPECT_TRUE(matches({.port = {{443, 443}}}, state_to_443(Direction::out, wire::ipproto::sctp)));
}

TEST(SyncRule, MatchesProtocolDirectionAndInterface) {
  const wire::State state = state_to_443(Direction::out);
  EXPECT_TRUE(matches({.proto = wire::ipproto::tcp}, state));
  EXPECT_FALSE(matches({.proto = wire::ipproto::udp}, state));
  EXPECT_TRUE(matches({.direction = Direction::out}, state));
  EXPECT_FALSE(matches({.direction = Direction::in}, state));
  EXPECT_TRUE(matches({.interface = InterfaceName{"em0"}}, state));
  EXPECT_FALSE(matches({.interface = InterfaceName{"em1"}}, state));
  EXPECT_FALSE(matches({.proto = wire::ipproto::tcp, .direction = Direction::in}, state)) << "all words must match";
}

TEST(SyncRule, MatchesWhereAStateThatFloatsBegan) {
  wire::State state = state_to_443(Direction::out);
  state.orig_ifname = InterfaceName{"em1"};
  EXPECT_FALSE(matches({.interface = InterfaceName{"em1"}}, state)) << "bound to em0";
  state.ifname = InterfaceName{"all"};
  EXPECT_TRUE(matches({.interface = InterfaceName{"em1"}}, state));
  EXPECT_TRUE(matches({.interface = InterfaceName{"all"}}, state));
}

TEST(SyncRules, TheFirstThatMatchesDecides) {
  const std::vector<SyncRule> rules{{.action = Action::skip, .proto = wire::ipproto::udp},
                                    {.action = Action::sync, .port = {{443, 443}}},
                                    {.action = Action::delay, .age_s = 5}};
  EXPECT_EQ(deciding_rule(rules, state_to_443(Direction::in, wire::ipproto::udp)), &rules[0]);
  EXPECT_EQ(deciding_rule(rules, state_to_443(Direction::in)), &rules[1]);
  EXPECT_EQ(deciding_rule(rules, state_to_443(Direction::in, wire::ipproto::gre)), &rules[2]);
  EXPECT_EQ(deciding_rule(std::span{rules}.first(2), state_to_443(Direction::in, wire::ipproto::gre)), nullptr);
}

TEST(DelayedStates, AreReleasedInTheirSecondAsAPlainMapSays) {
  constexpr std::uint32_t slots = 300;
  DelayedStates delayed{slots};
  std::map<std::uint32_t, std::pair<Seconds, std::uint8_t>> model;
  std::mt19937 random{1};
  std::size_t released = 0;
  Seconds now_s = -2000;  // the clock's zero is anywhere
  for (int step = 0; step < 60'000; ++step) {
    const auto slot = static_cast<std::uint32_t>(random() % slots);
    if (!model.contains(slot)) {
      const auto due_s = static_cast<Seconds>(now_s + 1 + static_cast<Seconds>(random() % SyncRule::age_max_s));
      const auto from = static_cast<std::uint8_t>(random() % 9);
      delayed.add(slot, due_s, from);
      model[slot] = {due_s, from};
    } else if (random() % 8 == 0) {
      EXPECT_TRUE(delayed.forget(slot));
      EXPECT_FALSE(delayed.forget(slot));
      model.erase(slot);
    }
    if (random() % 8 == 0) now_s += static_cast<Seconds>(random() % 50);
    delayed.release(now_s, slots, [&](std::uint32_t due, std::uint8_t from) {
      ASSERT_TRUE(model.contains(due));
      EXPECT_LE(model[due].first, now_s);
      EXPECT_EQ(model[due].second, from);
      model.erase(due);
      ++released;
    });
    ASSERT_EQ(delayed.size(), model.size());
    for (const auto& [waiting, place] : model) ASSERT_GT(place.first, now_s) << "slot " << waiting;
  }
  EXPECT_GT(released, 5'000u);
}

TEST(DelayedStates, AreReleasedSomeAtATime) {
  DelayedStates delayed{10};
  for (std::uint32_t slot = 0; slot < 10; ++slot) delayed.add(slot, 5, 0);
  EXPECT_EQ(delayed.timeout(), statetable::Instant{} + std::chrono::seconds{5});
  std::size_t released = 0;
  const auto count = [&](std::uint32_t, std::uint8_t) { ++released; };
  delayed.release(4, 3, count);
  EXPECT_EQ(released, 0u);
  delayed.release(5, 3, count);
  EXPECT_EQ(released, 3u);
  EXPECT_LE(delayed.timeout(), statetable::Instant{} + std::chrono::seconds{5}) << "the rest is due";
  delayed.release(5, 100, count);
  EXPECT_EQ(released, 10u);
  EXPECT_EQ(delayed.timeout(), statetable::Instant::max());
}

}  // namespace
}  // namespace pfsync::engine
