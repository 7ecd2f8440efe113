#include "statetable/connection.h"

#include <gtest/gtest.h>

#include "tests/statetable/entries.h"

namespace pfsync::statetable {
namespace {

constexpr TableConfig with_connections{.states_max = 100'000, .shard_bits = 2, .hash_seed = 9, .by_connection = true};

/// State n of many: TCP from one client each, every third translated, every fifth IPv6.
struct Numbered {
  HotState hot;
  ColdState cold;
  explicit Numbered(std::uint64_t n) : hot{hot_of({n, 1}, 1, 0)} {
    for (std::size_t k = 0; k < 2; ++k) {
      auto& key = cold.key[k];
      key.addr[0].bytes = {192, 0, 2, 1};
      for (std::size_t i = 0; i < 4; ++i) key.addr[1].bytes[i] = static_cast<std::uint8_t>(n >> (8 * i));
      if (n % 5 == 0) key.addr[0].bytes[15] = key.addr[1].bytes[15] = 1;
      key.port = {443, static_cast<std::uint16_t>(n % 3 == 0 ? 1024 + k : 1024)};
    }
    if (n % 5 == 0) hot.af = wire::Family::inet6;
    cold.ifname = wire::InterfaceName{"igb0"};
  }
  [[nodiscard]] Sides sides() const { return sides_of(hot, cold, intern(cold.ifname)); }
};

std::optional<wire::StateId> found(Table& table, const Connection& connection, TableReader::Side side) {
  const auto state = table.reader().find(connection, side);
  return state ? std::optional{state->hot.id} : std::nullopt;
}

TEST(ByConnection, EachSideFindsTheStateUntilItIsErased) {
  OwnedTable table{with_connections};
  constexpr std::uint64_t count = 60'000;  // the index grows several times
  for (std::uint64_t n = 0; n < count; ++n) {
    const Numbered state{n};
    ASSERT_EQ(table.insert(state.hot, state.cold).inserted, ShardWriter::Inserted::yes);
  }
  for (std::uint64_t n = 0; n < count; n += 2) {
    const wire::StateId id{n, 1};
    table.writer_of(id).erase(table.find(id));
  }
  for (std::uint64_t n = 0; n < count; ++n) {
    const Sides sides = Numbered{n}.sides();
    ASSERT_EQ(sides.are_one(), n % 3 != 0);
    const auto id = n % 2 == 0 ? std::nullopt : std::optional{wire::StateId{n, 1}};
    ASSERT_EQ(found(*table, sides.wire, TableReader::Side::wire), id) << n;
    ASSERT_EQ(found(*table, sides.stack, TableReader::Side::stack), id) << n;
    if (!sides.are_one()) {
      ASSERT_EQ(found(*table, sides.stack, TableReader::Side::wire), std::nullopt) << n;
      ASSERT_EQ(found(*table, sides.wire, TableReader::Side::stack), std::nullopt) << n;
    }
    std::size_t beside = 0;
    for (std::size_t shard = 0; shard < table->shard_count(); ++shard)
      beside += table.writer(shard).find_beside(table->beside(sides)) != no_slot;
    ASSERT_EQ(beside, n % 2) << n;
  }
}

TEST(ByConnection, SlotsThatAreUsedAgainAreFoundByWhatTheyHoldNow) {
  OwnedTable table{{.states_max = 500, .shard_bits = 0, .hash_seed = 2, .by_connection = true}};
  std::vector<std::uint64_t> held;
  for (std::uint64_t n = 0; n < 20'000; ++n) {
    const Numbered state{n};
    if (held.size() == 500) {
      const std::size_t out = mixed(n) % held.size();
      const Sides sides = Numbered{held[out]}.sides();
      table.writer(0).erase(table.find({held[out], 1}));
      ASSERT_EQ(found(*table, sides.wire, TableReader::Side::wire), std::nullopt);
      held.erase(held.begin() + static_cast<std::ptrdiff_t>(out));
    }
    ASSERT_EQ(table.insert(state.hot, state.cold).inserted, ShardWriter::Inserted::yes);
    held.push_back(n);
  }
  for (const std::uint64_t n : held)
    EXPECT_EQ(found(*table, Numbered{n}.sides().stack, TableReader::Side::stack), (wire::StateId{n, 1}));
}

TEST(ByConnection, TheSidesOfAfToHaveTheirOwnFamilies) {
  OwnedTable table{{.states_max = 10, .shard_bits = 0, .hash_seed = 2, .by_connection = true}};
  Numbered state{5};
  state.cold.key[1].addr = {};
  state.cold.key[1].addr[0].bytes = {192, 0, 2, 7};
  state.cold.stack_af = wire::Family::inet;
  table.insert(state.hot, state.cold);
  Connection stack = state.sides().stack;
  EXPECT_EQ(found(*table, stack, TableReader::Side::stack), (wire::StateId{5, 1}));
  stack.af = wire::Family::inet6;
  EXPECT_EQ(found(*table, stack, TableReader::Side::stack), std::nullopt);
}

TEST(ByConnection, IsNotKeptUnlessAskedFor) {
  OwnedTable table{{.states_max = 10, .shard_bits = 0}};
  const Numbered state{1};
  table.insert(state.hot, state.cold);
  EXPECT_EQ(table.writer(0).find_beside(table->beside(state.sides())), no_slot);
  EXPECT_LT(Table::memory_bytes({.states_max = 1000}),
            Table::memory_bytes({.states_max = 1000, .by_connection = true}));
}

}  // namespace
}  // namespace pfsync::statetable
