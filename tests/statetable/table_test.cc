#include "statetable/table.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <limits>
#include <map>
#include <set>

#include "tests/statetable/entries.h"

namespace pfsync::statetable {
namespace {

constexpr wire::StateId id_of(std::uint64_t n, std::uint32_t creatorid = 0xc0ffee) { return {n, creatorid}; }

HotState expiring(wire::StateId id, Seconds at) {
  HotState hot = hot_of(id, 1, 0);
  hot.expire_at_s = at;
  return hot;
}

std::vector<Slot> due(ShardWriter& writer, Seconds now_s, std::size_t slots) {
  std::vector<Slot> slots_due;
  writer.sweep(now_s, slots, [&](Slot slot) { slots_due.push_back(slot); });
  return slots_due;
}

TEST(TableCreate, RefusesSizesThatSlotsCannotNumber) {
  for (const unsigned shard_bits : {0u, 2u, 8u})
    for (const std::size_t states : {std::size_t{0}, std::size_t{no_slot}, std::numeric_limits<std::size_t>::max() - 3,
                                     std::numeric_limits<std::size_t>::max()}) {
      const auto made = Table::create({.states_max = states, .shard_bits = shard_bits});
      ASSERT_TRUE(std::holds_alternative<std::string>(made)) << states << " in 2^" << shard_bits;
      EXPECT_NE(std::get<std::string>(made).find("states_max"), std::string::npos);
    }
  EXPECT_TRUE(std::holds_alternative<std::string>(Table::create({.states_max = 1000, .shard_bits = 9})));
}

TEST(TableClaim, GivesEachShardOnce) {
  auto made = Table::create({.states_max = 100, .shard_bits = 1});
  auto& table = *std::get<std::unique_ptr<Table>>(made);
  EXPECT_TRUE(table.claim(0));
  EXPECT_FALSE(table.claim(0));
  EXPECT_TRUE(table.claim(1));
  EXPECT_FALSE(table.claim(2));
}

TEST(ShardWriterTest, InsertIsFoundWithAllItsFields) {
  OwnedTable table{{.states_max = 100, .shard_bits = 2, .hash_seed = 5}};
  const auto result = table.insert(id_of(1), 9);
  ASSERT_EQ(result.inserted, ShardWriter::Inserted::yes);
  EXPECT_LT(result.slot, table->slot_count());
  EXPECT_EQ(table.find(id_of(1)), result.slot);
  auto& writer = table.writer_of(id_of(1));
  EXPECT_TRUE(same(writer.hot(result.slot), hot_of(id_of(1), 9, 0)));
  EXPECT_TRUE(same(writer.cold(result.slot), cold_of(id_of(1), 9)));
  const auto read = table->reader().find(id_of(1));
  ASSERT_TRUE(read);
  EXPECT_TRUE(certified(*read));
  EXPECT_EQ(table->size(), 1u);
}

TEST(ShardWriterTest, TheCreatorIsPartOfTheKey) {
  OwnedTable table{{.states_max = 10, .shard_bits = 0}};
  table.insert(id_of(1, 1));
  EXPECT_EQ(table.find(id_of(1, 2)), no_slot);
  EXPECT_FALSE(table->reader().find(id_of(1, 2)));
  EXPECT_EQ(table.insert(id_of(1, 2)).inserted, ShardWriter::Inserted::yes);
}

TEST(ShardWriterTest, SecondInsertNamesTheEntryAndLeavesIt) {
  OwnedTable table{{.states_max = 10, .shard_bits = 0}};
  const Slot slot = table.insert(id_of(1), 1).slot;
  const auto again = table.insert(id_of(1), 2);
  EXPECT_EQ(again.inserted, ShardWriter::Inserted::exists);
  EXPECT_EQ(again.slot, slot);
  EXPECT_TRUE(same(table.writer(0).hot(slot), hot_of(id_of(1), 1, 0)));
  EXPECT_EQ(table->size(), 1u);
}

TEST(ShardWriterTest, UpdateReplacesTheHotPartOnly) {
  OwnedTable table{{.states_max = 10, .shard_bits = 0}};
  const Slot slot = table.insert(id_of(1)).slot;
  table.writer(0).update(slot, hot_of(id_of(1), 1, 77));
  const auto read = table->reader().find(id_of(1));
  ASSERT_TRUE(read);
  EXPECT_EQ(read->hot.src.seqlo, 77u);
  EXPECT_TRUE(certified(*read));
}

TEST(ShardWriterTest, FullIsSaidAndAnEraseMakesRoom) {
  OwnedTable table{{.states_max = 10, .shard_bits = 0}};
  for (std::uint64_t n = 0; n < 10; ++n) ASSERT_EQ(table.insert(id_of(n)).inserted, ShardWriter::Inserted::yes);
  const auto refused = table.insert(id_of(10));
  EXPECT_EQ(refused.inserted, ShardWriter::Inserted::full);
  EXPECT_EQ(refused.slot, no_slot);
  EXPECT_EQ(table.find(id_of(10)), no_slot);
  EXPECT_EQ(table.insert(id_of(3)).inserted, ShardWriter::Inserted::exists);  // full refuses only new ones

  const Slot slot = table.find(id_of(4));
  table.writer(0).erase(slot);
  EXPECT_EQ(table.find(id_of(4)), no_slot);
  EXPECT_FALSE(table->reader().find(id_of(4)));
  EXPECT_EQ(table->size(), 9u);
  EXPECT_EQ(table.insert(id_of(10)).slot, slot);
  EXPECT_FALSE(table->reader().find(id_of(4)));
}

TEST(Sweep, ReportsWhatIsDueInSlotOrderAndNothingElse) {
  OwnedTable table{{.states_max = 10, .shard_bits = 0}};
  std::vector<Slot> slots;
  for (std::uint64_t n = 0; n < 6; ++n)
    slots.push_back(table.insert(expiring(id_of(n), n % 2 == 0 ? 10 : 20), {}).slot);
  auto& writer = table.writer(0);
  EXPECT_TRUE(due(writer, 9, 6).empty());
  EXPECT_EQ(due(writer, 10, 6), (std::vector{slots[0], slots[2], slots[4]}));
  EXPECT_EQ(due(writer, 20, 6), slots);
}

TEST(Sweep, GoesOnWhereItStopped) {
  OwnedTable table{{.states_max = 10, .shard_bits = 0}};
  std::vector<Slot> slots;
  for (std::uint64_t n = 0; n < 5; ++n) slots.push_back(table.insert(expiring(id_of(n), 1), {}).slot);
  auto& writer = table.writer(0);
  EXPECT_EQ(due(writer, 1, 3), (std::vector{slots[0], slots[1], slots[2]}));
  EXPECT_EQ(due(writer, 1, 3), (std::vector{slots[3], slots[4], slots[0]}));
}

TEST(Sweep, FollowsADeadlineThatMoves) {
  OwnedTable table{{.states_max = 10, .shard_bits = 0}};
  const Slot slot = table.insert(expiring(id_of(1), 10), {}).slot;
  auto& writer = table.writer(0);
  writer.update(slot, expiring(id_of(1), 100));
  EXPECT_TRUE(due(writer, 10, 1).empty());  // looked at, and armed again for 100
  EXPECT_TRUE(due(writer, 99, 1).empty());
  writer.update(slot, expiring(id_of(1), 50));  // nearer: at once
  EXPECT_TRUE(due(writer, 49, 1).empty());
  EXPECT_EQ(due(writer, 50, 1), std::vector{slot});
  writer.update(slot, expiring(id_of(1), 60));
  EXPECT_TRUE(due(writer, 59, 1).empty());
  EXPECT_EQ(due(writer, 60, 1), std::vector{slot});
}

TEST(Sweep, DueMayErase) {
  OwnedTable table{{.states_max = 10, .shard_bits = 0}};
  for (std::uint64_t n = 0; n < 8; ++n) table.insert(expiring(id_of(n), n < 5 ? 1 : 9), {});
  auto& writer = table.writer(0);
  writer.sweep(1, 8, [&](Slot slot) { writer.erase(slot); });
  EXPECT_EQ(table->size(), 3u);
  EXPECT_TRUE(due(writer, 8, 8).empty());
  EXPECT_EQ(due(writer, std::numeric_limits<Seconds>::max(), 8).size(), 3u);  // free slots are never due
}

TEST(ForEachOf, VisitsTheStatesOfOneCreatorAndMayErase) {
  OwnedTable table{{.states_max = 100, .shard_bits = 0}};
  for (std::uint64_t n = 0; n < 30; ++n) table.insert(id_of(n, n % 3 == 0 ? 0u : 8u));
  auto& writer = table.writer(0);
  std::set<std::uint64_t> seen;
  writer.for_each_of(0, [&](Slot slot) {
    EXPECT_TRUE(seen.insert(writer.hot(slot).id.id).second);
    writer.erase(slot);
  });
  EXPECT_EQ(seen.size(), 10u);
  EXPECT_TRUE(std::all_of(seen.begin(), seen.end(), [](auto n) { return n % 3 == 0; }));
  EXPECT_EQ(table->size(), 20u);
  writer.for_each_of(0, [](Slot) { ADD_FAILURE() << "erased states, or free slots, were visited"; });
}

TEST(Cursor, SurvivesInsertsAndErases) {
  OwnedTable table{{.states_max = 2000, .shard_bits = 2, .hash_seed = 3}};
  for (std::uint64_t n = 0; n < 1000; ++n) ASSERT_EQ(table.insert(id_of(n)).inserted, ShardWriter::Inserted::yes);
  std::map<std::uint64_t, int> seen;
  TableReader::Cursor cursor;
  std::uint64_t step = 0;
  while (const auto entry = table->reader().next(cursor)) {
    EXPECT_TRUE(certified(*entry));
    ++seen[entry->hot.id.id];
    // Even ids below 1000 stay; an odd one leaves and a new one comes at each step.
    const auto odd = id_of((mixed(step) % 500) * 2 + 1);
    if (const Slot slot = table.find(odd); slot != no_slot) table.writer_of(odd).erase(slot);
    if (step < 500) table.insert(id_of(10'000 + step));
    ++step;
  }
  for (std::uint64_t n = 0; n < 1000; n += 2) EXPECT_EQ(seen[n], 1) << n;
  for (const auto& [n, times] : seen) EXPECT_LE(times, 1) << n;
}

TEST(Cursor, GoesInBoundedStepsThatCountFreeSlots) {
  OwnedTable table{{.states_max = 2000, .shard_bits = 2, .hash_seed = 3}};
  for (std::uint64_t n = 0; n < 1000; ++n) ASSERT_EQ(table.insert(id_of(n)).inserted, ShardWriter::Inserted::yes);
  for (std::uint64_t n = 0; n < 1000; ++n)
    if (n % 10 != 0) table.writer_of(id_of(n)).erase(table.find(id_of(n)));
  const TableReader reader = table->reader();
  std::set<std::uint64_t> seen, ids;
  TableReader::Cursor cursor;
  std::size_t steps = 0;
  for (; !reader.at_end(cursor); ++steps) {
    const std::size_t before = reader.progress(cursor).at;
    std::size_t slots = 7;
    while (const auto entry = reader.next(cursor, slots)) EXPECT_TRUE(seen.insert(entry->hot.id.id).second);
    EXPECT_EQ(reader.progress(cursor).at, before + 7 - slots);
    EXPECT_TRUE(slots == 0 || reader.at_end(cursor));
  }
  EXPECT_EQ(seen.size(), 100u);
  EXPECT_GE(steps, 1000u / 7);
  EXPECT_EQ(reader.progress(cursor).at, 1000u);
  EXPECT_EQ(reader.progress(cursor).of, 1000u);

  std::array<wire::StateId, 8> some;
  for (cursor = {}; !reader.at_end(cursor);) {
    std::size_t slots = 50;
    const std::size_t found = reader.next(cursor, some, slots);
    for (std::size_t i = 0; i < found; ++i) EXPECT_TRUE(ids.insert(some[i].id).second);
  }
  EXPECT_EQ(ids, seen);
}

class DigestTest : public ::testing::Test {
 protected:
  static Digest digest_of(const TableConfig& config, bool backwards) {
    OwnedTable table{config};
    for (std::uint64_t i = 0; i < 500; ++i) table.insert(id_of(backwards ? 499 - i : i));
    return table->digest();
  }
};

TEST_F(DigestTest, DependsNotOnOrderSeedOrShards) {
  const Digest digest = digest_of({.states_max = 1000, .shard_bits = 0}, false);
  EXPECT_EQ(digest.states, 500u);
  EXPECT_EQ(digest_of({.states_max = 1000, .shard_bits = 0}, true), digest);
  EXPECT_EQ(digest_of({.states_max = 1000, .shard_bits = 0, .hash_seed = 99}, false), digest);
  EXPECT_EQ(digest_of({.states_max = 5000, .shard_bits = 3, .hash_seed = 7}, true), digest);
}

TEST_F(DigestTest, DependsOnContentsAndComesBackWithThem) {
  OwnedTable table{{.states_max = 10, .shard_bits = 0}};
  EXPECT_EQ(table->digest(), Digest{});
  const Slot slot = table.insert(id_of(1)).slot;
  const Digest before = table->digest();
  HotState hot = hot_of(id_of(1), 1, 0);
  hot.dst.seqhi ^= 1;
  table.writer(0).update(slot, hot);
  EXPECT_NE(table->digest(), before);
  hot.dst.seqhi ^= 1;
  hot.expire_at_s += 5;  // times differ lawfully between nodes
  hot.heard_s += 5;
  table.writer(0).update(slot, hot);
  EXPECT_EQ(table->digest(), before);
  table.writer(0).erase(slot);
  EXPECT_EQ(table->digest(), Digest{});
}

TEST_F(DigestTest, FollowsEveryChangeWhereverItIs) {
  OwnedTable table{{.states_max = 10'000, .shard_bits = 1, .hash_seed = 3}};
  OwnedTable other{{.states_max = 10'000, .shard_bits = 2, .hash_seed = 4}};
  for (std::uint64_t n = 0; n < 6000; ++n) {
    const wire::StateId id = id_of(mixed(n) % 5000);
    for (OwnedTable* each : {&table, &other}) {
      const Slot slot = each->find(id);
      if (slot == no_slot)
        each->insert(id);
      else if (n % 3 == 0)
        each->writer_of(id).erase(slot);
      else
        each->writer_of(id).update(slot, hot_of(id, 1, static_cast<std::uint32_t>(n)));
    }
    if (n % 97 == 0) {
      ASSERT_EQ(table->digest().states, table->size());  // taken often here
    }
  }
  EXPECT_EQ(table->digest(), other->digest());  // and once there
  EXPECT_EQ(table->digest(), table->digest());
}

}  // namespace
}  // namespace pfsync::statetable
