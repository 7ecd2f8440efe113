#include <gtest/gtest.h>

#include <cstddef>
#include <cstdint>
#include <type_traits>

#include "wire/dialect.h"

// The facts themselves are checked where these are compiled.
#include "layout_asserts_freebsd_1301.h"
#include "layout_asserts_freebsd_1400.h"
#include "layout_asserts_freebsd_1500.h"
#include "layout_asserts_openbsd_v6.h"

namespace pfsync::wire {
namespace {

TEST(ActionTable, IsFoundByNumberAndByMessage) {
  for (const DialectInfo& dialect : dialect_table)
    for (const Action& row : dialect.actions) {
      EXPECT_EQ(find_action(dialect.header_version, row.number), &row) << dialect.word << ' ' << int{row.number};
      EXPECT_EQ(find_action(dialect.dialect, row.message) == &row, writes(dialect.dialect, row))
          << dialect.word << ' ' << int{row.number};
    }
}

TEST(ActionTable, HasARowForEveryMessageThatADialectCanWrite) {
  for (const DialectInfo& dialect : dialect_table)
    for (std::size_t i = 0; i < message_count; ++i) {
      const auto message = static_cast<Message>(i);
      bool has_row = true;
      if (message == Message::eof) has_row = dialect.has_eof;
      if (message == Message::del)
        has_row = dialect.dialect == Dialect::freebsd_1301 || dialect.dialect == Dialect::openbsd;
      EXPECT_EQ(find_action(dialect.dialect, message) != nullptr, has_row) << dialect.word << ' ' << word(message);
    }
}

TEST(ActionTable, KnowsNoActionThatNoDialectOfItsVersionKnows) {
  for (int number = freebsd_1500_facts::first_unknown_action; number < 256; ++number)
    EXPECT_EQ(find_action(header_version_freebsd, static_cast<std::uint8_t>(number)), nullptr) << number;
  EXPECT_EQ(openbsd_facts::first_unknown_action, openbsd::first_unknown_action);
  for (int number = openbsd_facts::first_unknown_action; number < 256; ++number)
    EXPECT_EQ(find_action(header_version_openbsd, static_cast<std::uint8_t>(number)), nullptr) << number;
}

TEST(ActionTable, BelongsToOneHeaderVersionOnly) {
  for (int version = 0; version < 256; ++version) {
    const auto byte = static_cast<std::uint8_t>(version);
    const bool known = version == header_version_freebsd || version == header_version_openbsd;
    EXPECT_EQ(is_known_header_version(byte), known) << version;
    if (known) continue;
    for (int number = 0; number < 256; ++number)
      EXPECT_EQ(find_action(byte, static_cast<std::uint8_t>(number)), nullptr) << version << '/' << number;
  }
}

TEST(Dialects, AreToldByFullStatesAndByVersion6) {
  const auto told = [](std::uint8_t version, std::uint8_t number) {
    return told_dialect(version, *find_action(version, number));
  };
  for (const int number : {1, 3, 6}) EXPECT_EQ(told(5, static_cast<std::uint8_t>(number)), Dialect::freebsd_1301);
  for (const int number : {13, 14}) EXPECT_EQ(told(5, static_cast<std::uint8_t>(number)), Dialect::freebsd_1400);
  for (const int number : {15, 16}) EXPECT_EQ(told(5, static_cast<std::uint8_t>(number)), Dialect::freebsd_1500);
  for (const int number : {0, 2, 4, 5, 7, 10, 11, 12})
    EXPECT_EQ(told(5, static_cast<std::uint8_t>(number)), std::nullopt);
  for (const int number : {0, 4, 10, 13, 15}) EXPECT_EQ(told(6, static_cast<std::uint8_t>(number)), Dialect::openbsd);
}

TEST(Dialects, AreFoundByTheirWord) {
  for (const DialectInfo& dialect : dialect_table) EXPECT_EQ(find_dialect(dialect.word), dialect.dialect);
  EXPECT_EQ(find_dialect("1600"), std::nullopt);
}

// Full states of the dialect in a packet of the kernel's own, as the document's table of limits has them.
TEST(Dialects, LeaveAsMuchOfTheMtuFreeAsTheKernelsDo) {
  const auto states = [](Dialect dialect, std::size_t mtu) {
    const std::size_t own = sizeof(Header) + sizeof(Subheader) + (info(dialect).has_eof ? sizeof(Subheader) : 0);
    return (payload_bytes_max(dialect, Family::inet, mtu) - own) / info(dialect).state_bytes;
  };
  EXPECT_EQ(states(Dialect::freebsd_1301, 1500), 6u);
  EXPECT_EQ(states(Dialect::freebsd_1400, 1500), 5u);
  EXPECT_EQ(states(Dialect::freebsd_1500, 1500), 3u);
  EXPECT_EQ(states(Dialect::openbsd, 1500), 5u);
  EXPECT_EQ(states(Dialect::freebsd_1400, 9000), 32u);
  EXPECT_EQ(payload_bytes_max(Dialect::freebsd_1301, Family::inet, 1500), 1480u);
  EXPECT_EQ(payload_bytes_max(Dialect::freebsd_1400, Family::inet, 1500), 1460u);
  EXPECT_EQ(payload_bytes_max(Dialect::freebsd_1400, Family::inet6, 1500), 1460u);
  EXPECT_EQ(payload_bytes_max(Dialect::openbsd, Family::inet, 1500), 1480u);
}

}  // namespace
}  // namespace pfsync::wire
