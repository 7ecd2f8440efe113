#include "engine/session/removed_states.h"

#include <gtest/gtest.h>

namespace pfsync::engine {
namespace {

constexpr statetable::Hash hash{7};
constexpr std::size_t ways = 8;
constexpr wire::StateId real(std::uint64_t id) { return {id, 1}; }
constexpr wire::StateId invented(std::uint64_t id) { return {id, 9}; }

/// One set, whose places are all taken by states that were here.
struct Full : ::testing::Test {
  Full() {
    for (std::uint64_t id = 1; id <= ways; ++id) removed.remember(real(id), hash, 100);
  }
  RemovedStates removed{ways};
};

TEST_F(Full, EndsOfWhatNobodyHadDisplaceNoneThatWasHere) {
  for (std::uint64_t id = 1; id <= 1000; ++id) removed.remember(invented(id), hash, 101, false);
  for (std::uint64_t id = 1; id <= ways; ++id) EXPECT_TRUE(removed.has(real(id), hash, 101)) << id;
}

TEST_F(Full, EndsOfWhatNobodyHadDisplaceEachOther) {
  removed.forget(real(3), hash, 101);
  for (std::uint64_t id = 1; id <= 10; ++id) {
    removed.remember(invented(id), hash, 101, false);
    EXPECT_TRUE(removed.has(invented(id), hash, 101));
  }
  EXPECT_FALSE(removed.has(invented(9), hash, 101));
  removed.remember(real(100), hash, 101);
  EXPECT_FALSE(removed.has(invented(10), hash, 101)) << "a real one comes before";
  for (const std::uint64_t id : {1u, 2u, 4u, 5u, 6u, 7u, 8u, 100u}) EXPECT_TRUE(removed.has(real(id), hash, 101)) << id;
}

TEST_F(Full, TheOldestMakesRoom) {
  removed.remember(real(1), hash, 101);  // once more
  removed.remember(real(9), hash, 101);
  EXPECT_TRUE(removed.has(real(1), hash, 101));
  EXPECT_TRUE(removed.has(real(9), hash, 101));
  std::size_t held = 0;
  for (std::uint64_t id = 2; id <= ways; ++id) held += removed.has(real(id), hash, 101);
  EXPECT_EQ(held, ways - 2);
}

TEST_F(Full, NothingIsRememberedForLongerThanItCounts) {
  EXPECT_TRUE(removed.has(real(1), hash, 100 + RemovedStates::remembered_s));
  EXPECT_FALSE(removed.has(real(1), hash, 101 + RemovedStates::remembered_s));
  removed.remember(invented(1), hash, 101 + RemovedStates::remembered_s, false);
  EXPECT_TRUE(removed.has(invented(1), hash, 101 + RemovedStates::remembered_s)) << "those make room for anybody";
}

}  // namespace
}  // namespace pfsync::engine
