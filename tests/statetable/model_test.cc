#include <gtest/gtest.h>

#include <random>
#include <set>
#include <unordered_map>

#include "tests/statetable/entries.h"

namespace pfsync::statetable {
namespace {

struct IdHash {
  std::size_t operator()(const wire::StateId& id) const noexcept { return mixed(id.id) + id.creatorid; }
};

struct Expected {
  HotState hot;
  ColdState cold;
  Slot slot;
};
using Model = std::unordered_map<wire::StateId, Expected, IdHash>;

struct Case {
  std::uint64_t seed;
  TableConfig config;
};

class ModelTest : public ::testing::TestWithParam<Case> {
 protected:
  /// The whole table against the whole model: walk, sizes, and what a sweep calls due.
  void compare_all(Seconds now_s) {
    TableReader::Cursor cursor;
    std::size_t walked = 0;
    for (; const auto entry = table_->reader().next(cursor); ++walked) {
      const auto found = model_.find(entry->hot.id);
      ASSERT_NE(found, model_.end());
      ASSERT_TRUE(same(entry->hot, found->second.hot) && same(entry->cold, found->second.cold));
    }
    ASSERT_EQ(walked, model_.size());
    ASSERT_EQ(table_->size(), model_.size());
    std::set<Slot> due, expected;
    for (std::size_t i = 0; i < table_->shard_count(); ++i) {
      auto& writer = table_.writer(i);
      writer.sweep(now_s, writer.slots_touched(), [&](Slot slot) { due.insert(slot); });
    }
    for (const auto& [id, entry] : model_)
      if (entry.hot.expire_at_s <= now_s) expected.insert(entry.slot);
    ASSERT_EQ(due, expected);
  }

  OwnedTable table_{GetParam().config};
  Model model_;
};

TEST_P(ModelTest, AMillionRandomOperationsAgree) {
  std::mt19937_64 random{GetParam().seed};
  const std::size_t room = table_->slot_count() / table_->shard_count();
  const std::uint64_t ids = table_->slot_count() + table_->slot_count() / 4;  // more than fit: full is common
  std::vector<std::size_t> sizes(table_->shard_count());
  std::size_t refused = 0, reused = 0;
  std::set<Slot> ever;

  for (std::uint32_t step = 1; step <= 1'000'000; ++step) {
    const wire::StateId id{random() % ids, 7};
    const std::size_t shard = table_->shard_of(table_->hash(id));
    auto& writer = table_.writer(shard);
    const auto known = model_.find(id);
    const Slot slot = table_.find(id);
    ASSERT_EQ(slot, known == model_.end() ? no_slot : known->second.slot);

    const auto kind = random() % 100;
    if (kind < 60) {
      const HotState hot = hot_of(id, step, 0);
      const ColdState cold = cold_of(id, step);
      const auto result = table_.insert(hot, cold);
      if (known != model_.end()) {
        ASSERT_EQ(result.inserted, ShardWriter::Inserted::exists);
        ASSERT_EQ(result.slot, slot);
      } else if (sizes[shard] == room) {
        ASSERT_EQ(result.inserted, ShardWriter::Inserted::full);
        ++refused;
      } else {
        ASSERT_EQ(result.inserted, ShardWriter::Inserted::yes);
        model_.emplace(id, Expected{hot, cold, result.slot});
        ++sizes[shard];
        if (!ever.insert(result.slot).second) ++reused;
      }
    } else if (kind < 75) {
      if (known == model_.end()) continue;
      writer.erase(slot);
      model_.erase(known);
      --sizes[shard];
    } else if (kind < 90) {
      if (known == model_.end()) continue;
      known->second.hot = hot_of(id, static_cast<std::uint32_t>(known->second.hot.created_s), step);
      writer.update(slot, known->second.hot);
    } else {
      const auto read = table_->reader().find(id);
      ASSERT_EQ(read.has_value(), known != model_.end());
      if (read) {
        ASSERT_TRUE(same(read->hot, known->second.hot) && same(read->cold, known->second.cold));
      }
    }
    if (step % 10'000 == 0) {
      ASSERT_NO_FATAL_FAILURE(compare_all(static_cast<Seconds>(random() % 0x1000)));
    }
  }
  // The run is worthless unless it came where it had to.
  EXPECT_GT(refused, 1000u);
  EXPECT_GT(reused, 1000u);
}

INSTANTIATE_TEST_SUITE_P(
    Seeds, ModelTest,
    ::testing::Values(Case{1, {.states_max = 47, .shard_bits = 0, .hash_seed = 1}},
                      Case{2, {.states_max = 383, .shard_bits = 0, .hash_seed = 2, .by_connection = true}},
                      Case{3, {.states_max = 1000, .shard_bits = 2, .hash_seed = 3, .by_connection = true}},
                      Case{4, {.states_max = 20'000, .shard_bits = 0, .hash_seed = 4, .by_connection = true}}),
    [](const auto& chosen) { return "seed" + std::to_string(chosen.param.seed); });

}  // namespace
}  // namespace pfsync::statetable
