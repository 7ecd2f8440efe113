// What a table keeps of a state, and what a digest says of two tables that heard it in different dialects.
#include <gtest/gtest.h>

#include <array>

#include "tests/statetable/entries.h"
#include "tests/wire/random_state.h"
#include "wire/convert.h"
#include "wire/fields.h"

namespace pfsync::statetable {
namespace {

/// With names out of a few, as a network has: a table keeps names_max of them.
wire::State some_state(wire::test::Random& random) {
  wire::State state = wire::test::random_state(random);
  constexpr std::array<std::string_view, 4> names{"", "em0", "igb1", "vlan100"};
  state.ifname = wire::InterfaceName{names[random.below(4)]};
  state.rt_ifname = wire::InterfaceName{names[random.below(4)]};
  state.orig_ifname = wire::InterfaceName{names[random.below(4)]};
  if (state.orig_ifname == state.ifname) state.orig_ifname = {};
  state.tag = wire::TagName{names[random.below(4)]};
  // Times are kept relative to the table's clock, which has room for ages and ends of some decades.
  state.creation_s %= 1'000'000'000;
  state.expire_s %= 1'000'000'000;
  return state;
}

HotState hot_part(const wire::State& state, Seconds now_s) {
  HotState hot;
  hot.id = state.id;
  hot.src = state.src;
  hot.dst = state.dst;
  hot.created_s = now_s - static_cast<Seconds>(state.creation_s);
  hot.expire_at_s = now_s + static_cast<Seconds>(state.expire_s);
  hot.state_flags = state.state_flags;
  hot.timeout = state.timeout;
  hot.proto = state.proto;
  hot.af = state.af;
  hot.direction = state.direction;
  hot.log = state.log;
  hot.sync_flags = state.sync_flags;
  return hot;
}

wire::State through(const wire::State& state, wire::Dialect dialect) {
  std::array<std::uint8_t, 360> room{};
  const auto record = wire::Room{room}.first(wire::info(dialect).state_bytes);
  wire::write_state(wire::info(dialect).state_layout, state, record);
  return wire::read_state(wire::info(dialect).state_layout, record);
}

TEST(Entry, KeepsEveryFieldOfAState) {
  wire::test::Random random{21};
  for (int i = 0; i < 20'000; ++i) {
    const wire::State state = some_state(random);
    const ColdState cold = cold_part(state);
    ASSERT_TRUE(keeps_names(cold, state));
    ASSERT_EQ(to_state(hot_part(state, 1'000), cold, 1'000), state) << i;
  }
}

TEST(Digest, DoesNotDependOnTheDialectThatAStateCameIn) {
  wire::test::Random random{22};
  for (const wire::DialectInfo& dialect : wire::dialect_table) {
    OwnedTable sent{{.states_max = 4000, .shard_bits = 1}}, heard{{.states_max = 4000, .shard_bits = 0}};
    for (int i = 0; i < 2000; ++i) {
      const wire::State state = some_state(random);
      if (!wire::is_expressible(state, dialect.dialect)) continue;
      const wire::State said = through(state, dialect.dialect);
      sent.insert(hot_part(state, 1'000), cold_part(state));
      heard.insert(hot_part(said, 2'000), cold_part(said));
    }
    EXPECT_GT(sent->size(), 1000u);
    EXPECT_EQ(sent->digest(), heard->digest()) << dialect.word;
  }
}

TEST(Digest, TellsStatesOfTwoFamiliesFromStatesOfOne) {
  wire::test::Random random{23};
  wire::State state = some_state(random);
  state.af = wire::Family::inet6;
  state.stack_af = wire::Family::inet;
  OwnedTable one{{.states_max = 10, .shard_bits = 0}}, two{{.states_max = 10, .shard_bits = 0}};
  two.insert(hot_part(state, 1'000), cold_part(state));
  state.stack_af = wire::Family::none;
  one.insert(hot_part(state, 1'000), cold_part(state));
  EXPECT_NE(one->digest(), two->digest());
}

}  // namespace
}  // namespace pfsync::statetable
