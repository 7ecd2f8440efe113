// A device that takes frames and lets none go, from its counts.
#include "engine/dpdk/standstill.h"

#include <gtest/gtest.h>

namespace pfsync::engine::dpdk {
namespace {

TEST(Standstill, IsADeviceThatDropsAgainAndAgainAndSendsNothing) {
  Standstill device;
  Standstill::Counts counts{.given = 1000, .sent = 900, .dropped = 50};
  const auto look = [&](std::uint64_t given, std::uint64_t sent, std::uint64_t dropped) {
    counts = {counts.given + given, counts.sent + sent, counts.dropped + dropped};
    return device.look(counts);
  };
  EXPECT_FALSE(device.look(counts)) << "of a time before";
  EXPECT_FALSE(look(2, 0, 2));
  EXPECT_FALSE(look(2, 0, 2));
  EXPECT_FALSE(look(0, 0, 0)) << "nothing was to be sent";
  EXPECT_TRUE(look(2, 0, 2));
  EXPECT_TRUE(look(0, 0, 0)) << "nothing new is known";
  EXPECT_TRUE(look(40, 1, 9)) << "the machine's own";
  EXPECT_TRUE(look(0, 1, 2)) << "the machine's own, when no more is taken";
  EXPECT_TRUE(look(1, 2, 2)) << "and beside one that is";
  EXPECT_FALSE(look(2, 60, 0)) << "what waited has left";
  for (int i = 0; i < 10; ++i) {
    EXPECT_FALSE(look(20, 10, 10)) << "the long ones alone are dropped";
    EXPECT_FALSE(look(20, 0, 0)) << "a device that tells of no drops";
  }
}

}  // namespace
}  // namespace pfsync::engine::dpdk
