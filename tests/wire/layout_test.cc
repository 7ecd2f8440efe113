#include <gtest/gtest.h>

#include <cstddef>
#include <cstdint>
#include <type_traits>

#include "wire/dialect.h"
#include "wire/freebsd.h"
#include "wire/messages.h"

// The facts themselves are checked where this is compiled.
#include "layout_asserts_freebsd_1301.h"

namespace pfsync::wire {
namespace {

TEST(ActionTable, IsFoundByNumberAndByMessage) {
  for (const Action& row : info(Dialect::freebsd_1301).actions) {
    EXPECT_EQ(find_action(header_version_freebsd, row.number), &row) << int{row.number};
    EXPECT_EQ(find_action(Dialect::freebsd_1301, row.message), &row) << int{row.number};
  }
}

TEST(ActionTable, KnowsNoActionThatTheDialectDoesNot) {
  for (int number = first_unknown_action_freebsd_1301; number < 256; ++number)
    EXPECT_EQ(find_action(header_version_freebsd, static_cast<std::uint8_t>(number)), nullptr) << number;
}

TEST(ActionTable, BelongsToOneHeaderVersionOnly) {
  for (int version = 0; version < 256; ++version) {
    const auto byte = static_cast<std::uint8_t>(version);
    EXPECT_EQ(is_known_header_version(byte), version == header_version_freebsd) << version;
    if (version == header_version_freebsd) continue;
    for (int number = 0; number < 256; ++number)
      EXPECT_EQ(find_action(byte, static_cast<std::uint8_t>(number)), nullptr) << version << '/' << number;
  }
}

}  // namespace
}  // namespace pfsync::wire
