// The synthetic captures, one a dialect: read as the plain decoder reads them, and written byte for byte.
#include <gtest/gtest.h>

#include <map>
#include <string>

#include "tests/wire/examples.h"
#include "tests/wire/pcap.h"
#include "tests/wire/plain_walk.h"
#include "wire/fields.h"

namespace pfsync::wire::test {
namespace {

std::string path_of(Dialect dialect) {
  const std::string base = PFSYNC_CAPTURES_DIR "/pfsync-synthetic/synth_";
  if (dialect == Dialect::openbsd) return base + "openbsd_v6.pcap";
  return base + "freebsd_v5_" + std::string{word(dialect)} + ".pcap";
}

TEST(Synthetic, IsReadAsThePlainDecoderReadsIt) {
  for (const DialectInfo& dialect : dialect_table) {
    const auto payloads = payloads_of(path_of(dialect.dialect));
    EXPECT_EQ(payloads.size(), 8u);
    std::map<Message, int> seen;
    for (const auto& payload : payloads) {
      const Walk fast = walk(payload);
      EXPECT_EQ(fast, plain_walk(payload)) << dialect.word;
      EXPECT_FALSE(fast.reject) << dialect.word;
      for (const ReadMessage& message : fast.messages) ++seen[message.message];
    }
    const std::map<Message, int> expected{{Message::clr, 1},   {Message::ins, 2},   {Message::ins_ack, 2},
                                          {Message::upd, 1},   {Message::upd_c, 3}, {Message::upd_req, 1},
                                          {Message::del_c, 1}, {Message::bus, 2}};
    EXPECT_EQ(seen, expected) << dialect.word;
  }
}

TEST(Synthetic, TellsItsDialectByItsFullStates) {
  for (const DialectInfo& dialect : dialect_table)
    for (const auto& payload : payloads_of(path_of(dialect.dialect))) {
      PacketReader reader{payload};
      for (Section section; reader.next(section);) {
        const auto told = told_dialect(reader.header().version, *section.action);
        if (told) {
          EXPECT_EQ(*told, dialect.dialect);
        } else {
          EXPECT_TRUE(section.action->layout == Layout::common || section.action->layout == Layout::none);
        }
      }
    }
}

TEST(Synthetic, IsWrittenAgainByteForByte) {
  for (const DialectInfo& dialect : dialect_table)
    for (const auto& payload : payloads_of(path_of(dialect.dialect))) {
      std::vector<std::uint8_t> room(1480, 0xee);
      PacketWriter writer{dialect.dialect, room, load<Header>(payload, 0).pfcksum};
      for (const ReadMessage& message : walk(payload).messages) ASSERT_TRUE(append(writer, message));
      EXPECT_EQ(to_hex(Bytes{room}.first(writer.finish())), to_hex(payload)) << dialect.word;
    }
}

// One conversation was recorded in four dialects: what they say of it must be the same.
TEST(Synthetic, MeansTheSameInEveryDialect) {
  const auto states_of = [](Dialect dialect) {
    std::vector<State> states;
    for (const auto& payload : payloads_of(path_of(dialect)))
      for (const ReadMessage& message : walk(payload).messages)
        if (const auto* state = std::get_if<State>(&message.body)) states.push_back(*state);
    return states;
  };
  const auto reference = states_of(Dialect::freebsd_1301);
  ASSERT_EQ(reference.size(), 3u);
  for (const DialectInfo& dialect : dialect_table) {
    const auto states = states_of(dialect.dialect);
    ASSERT_EQ(states.size(), reference.size());
    for (std::size_t i = 0; i < states.size(); ++i) {
      const Fields differing = differences(states[i], reference[i]);
      for (const FieldInfo& row : field_table)
        if (row.in[static_cast<std::size_t>(Dialect::freebsd_1301)] == Carriage::carried &&
            row.in[static_cast<std::size_t>(dialect.dialect)] == Carriage::carried) {
          EXPECT_FALSE(differing.has(row.field)) << dialect.word << ' ' << row.word;
        }
    }
  }
}

}  // namespace
}  // namespace pfsync::wire::test
