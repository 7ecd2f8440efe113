#include "statetable/index.h"

#include <gtest/gtest.h>

#include <vector>

namespace pfsync::statetable {
namespace {

/// Bits 0-39 are the bucket as a fraction of all.
constexpr Hash in_bucket(std::uint64_t bucket, std::uint64_t tag = 7, std::uint64_t buckets = 8) {
  return Hash{tag << 40 | (bucket << 40) / buckets};
}

class BucketsTest : public ::testing::Test {
 protected:
  /// Looks for a slot by both ways; they must agree. `limit` ends a search that goes round for ever.
  Slot find(Hash hash, Slot wanted) const {
    int calls = 0;
    const auto is_match = [&](Slot slot) { return slot == wanted || ++calls > limit; };
    const Slot own = index_.find(hash, is_match);
    calls = 0;
    EXPECT_EQ(index_.find_shared(hash, is_match), own);
    return own;
  }

  static constexpr std::size_t bucket_count = 8;
  static constexpr int limit = 1000;
  std::vector<Bucket> buckets_{bucket_count};
  Buckets index_{buckets_.data(), bucket_count};
};

TEST(IndexSizes, HaveRoomAtSixtyPercentLoad) {
  for (const std::size_t entries : {1u, 47u, 48u, 1000u, 1'000'000u})
    for (const std::size_t start : {1u, 8192u})
      EXPECT_LE(entries * 10, Index::sizes_for(entries, start).last() * Bucket::places * 6) << entries;
}

TEST_F(BucketsTest, FindsWhatOverflowedItsBucketAndWrapped) {
  const Hash last = in_bucket(bucket_count - 1);
  for (Slot slot = 0; slot < 25; ++slot) index_.insert(last, slot);
  for (Slot slot = 0; slot < 25; ++slot) EXPECT_EQ(find(last, slot), slot);
  EXPECT_EQ(find(last, 25), no_slot);
  // The first ten lie in the home bucket: erasing them must not hide those further on.
  for (Slot slot = 0; slot < 10; ++slot) index_.erase(last, slot);
  for (Slot slot = 0; slot < 25; ++slot) EXPECT_EQ(find(last, slot), slot < 10 ? no_slot : slot);
}

TEST_F(BucketsTest, IsEmptyOnceAllIsErased) {
  for (Slot slot = 0; slot < 45; ++slot) index_.insert(in_bucket(slot % 2, slot % 3 + 1), slot);
  for (Slot slot = 45; slot-- > 0;) index_.erase(in_bucket(slot % 2, slot % 3 + 1), slot);
  for (const Bucket& bucket : buckets_) {
    EXPECT_EQ(bucket.overflow, 0u);
    for (const auto tag : bucket.tag) EXPECT_EQ(tag, 0u);
  }
}

TEST_F(BucketsTest, TellsTagZeroFromAnEmptyPlace) {
  const Hash zero = in_bucket(3, 0);
  EXPECT_EQ(find(zero, 0), no_slot);
  index_.insert(zero, 0);
  EXPECT_EQ(find(zero, 0), 0u);
}

TEST_F(BucketsTest, ASearchForAnAbsentKeyEndsWhenEveryBucketHasOverflowed) {
  // One entry of each bucket stays in the next one, all others leave: few entries, no bucket without overflow.
  Slot slot = 0;
  for (std::uint64_t b = 0; b < bucket_count; ++b) {
    const Hash home = in_bucket(b);
    std::vector<Slot> filled;
    while (buckets_[b].overflow == 0) {
      index_.insert(home, slot);
      if (buckets_[b].overflow == 0) filled.push_back(slot);
      ++slot;
    }
    for (const Slot leaving : filled) index_.erase(home, leaving);
  }
  for (const Bucket& bucket : buckets_) ASSERT_EQ(bucket.overflow, 1u);
  EXPECT_EQ(find(in_bucket(2), slot + 1), no_slot);
}

}  // namespace
}  // namespace pfsync::statetable
