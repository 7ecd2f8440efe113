#include "wire/packet_writer.h"

#include <gtest/gtest.h>

#include <functional>

#include "tests/wire/examples.h"
#include "tests/wire/walk.h"

namespace pfsync::wire::test {
namespace {

constexpr std::size_t eof_bytes = sizeof(Subheader);

StateId numbered(std::uint64_t n) { return {n, 0x3b1c7a52}; }

std::vector<Section> sections_of(Bytes payload) {
  std::vector<Section> sections;
  PacketReader reader{payload};
  for (Section section; reader.next(section);) sections.push_back(section);
  EXPECT_FALSE(reader.reject());
  return sections;
}

TEST(PacketWriter, PutsMessagesOfOneKindInARowIntoOneSection) {
  std::vector<std::uint8_t> room(1480);
  PacketWriter writer{Dialect::freebsd_1301, room};
  ASSERT_TRUE(writer.append_id(Message::del_c, numbered(1)));
  ASSERT_TRUE(writer.append_id(Message::del_c, numbered(2)));
  ASSERT_TRUE(writer.append_id(Message::upd_req, numbered(3)));
  ASSERT_TRUE(writer.append_id(Message::del_c, numbered(4)));
  const auto sections = sections_of(Bytes{room}.first(writer.finish()));
  ASSERT_EQ(sections.size(), 4u);
  EXPECT_EQ(sections[0].count, 2u);
  EXPECT_EQ(sections[1].action->message, Message::upd_req);
  EXPECT_EQ(sections[2].count, 1u);
  EXPECT_EQ(sections[3].action->message, Message::eof);
}

TEST(PacketWriter, SplitsSectionsThatAFreeBsdReceiverWouldRefuse) {
  std::vector<std::uint8_t> room(8960);
  struct Case {
    Message message;
    std::size_t per_section;
    std::function<bool(PacketWriter&)> append;
  };
  const State state;
  const std::vector<Case> cases{
      {Message::ins, 8, [&](PacketWriter& writer) { return writer.append_state(Message::ins, state); }},
      {Message::upd_c, 24, [](PacketWriter& writer) { return writer.append_update({}); }},
      {Message::del_c, 170, [](PacketWriter& writer) { return writer.append_id(Message::del_c, {}); }},
      {Message::tdb, 42, [](PacketWriter& writer) { return writer.append_tdb({}); }},
      {Message::clr, 102, [](PacketWriter& writer) { return writer.append_clear({}); }},
      {Message::bus, 170, [](PacketWriter& writer) { return writer.append_bulk_status({}); }},
  };
  for (const Case& each : cases) {
    SCOPED_TRACE(std::string{word(each.message)});
    PacketWriter writer{Dialect::freebsd_1301, room};
    for (std::size_t i = 0; i < each.per_section + 1; ++i) ASSERT_TRUE(each.append(writer));
    const auto sections = sections_of(Bytes{room}.first(writer.finish()));
    ASSERT_EQ(sections.size(), 3u);
    EXPECT_EQ(sections[0].count, each.per_section);
    EXPECT_LE(sections[0].records.size(), freebsd_section_bytes_max);
    EXPECT_EQ(sections[1].action->message, each.message);
    EXPECT_EQ(sections[1].count, 1u);
  }
}

TEST(PacketWriter, KeepsSectionsAsSmallAsEachReceiverTakesThem) {
  std::vector<std::uint8_t> room(8960, 0xee);
  const auto states_per_section = [&](Dialect dialect) {
    PacketWriter writer{dialect, room};
    std::size_t count = 0;
    while (writer.append_state(Message::upd, {})) ++count;
    const auto sections = sections_of(Bytes{room}.first(writer.finish()));
    std::size_t found = 0;
    for (const Section& section : sections) found += section.action->message == Message::upd ? section.count : 0u;
    EXPECT_EQ(found, count);
    return sections[0].count;
  };
  EXPECT_EQ(states_per_section(Dialect::freebsd_1301), 8u);
  EXPECT_EQ(states_per_section(Dialect::freebsd_1400), 7u);
  EXPECT_EQ(states_per_section(Dialect::freebsd_1500), 5u);
  EXPECT_EQ(states_per_section(Dialect::openbsd), 33u);  // one section fills the packet
}

TEST(PacketWriter, WritesItsOwnDialectsFullStates) {
  for (const DialectInfo& dialect : dialect_table) {
    std::vector<std::uint8_t> room(1480, 0xee);
    PacketWriter writer{dialect.dialect, room};
    EXPECT_EQ(writer.append_state(Message::ins, {}), true);
    EXPECT_EQ(writer.append_state(Message::upd, {}), true);
    const bool has_del = dialect.dialect == Dialect::freebsd_1301 || dialect.dialect == Dialect::openbsd;
    EXPECT_EQ(writer.append_state(Message::del, {}), has_del) << dialect.word;
    const auto sections = sections_of(Bytes{room}.first(writer.finish()));
    ASSERT_EQ(sections.size(), 2u + (has_del ? 1u : 0u) + (dialect.has_eof ? 1u : 0u));
    for (const Section& section : sections) {
      if (section.action->message == Message::eof) continue;
      EXPECT_EQ(section.action->layout, dialect.state_layout);
      EXPECT_EQ(section.record_bytes, dialect.state_bytes);
    }
  }
}

TEST(PacketWriter, TellsTheSizeOfRecordsInVersion6Only) {
  for (const DialectInfo& dialect : dialect_table) {
    std::vector<std::uint8_t> room(1480, 0xee);
    PacketWriter writer{dialect.dialect, room};
    ASSERT_TRUE(writer.append_update({}));
    const std::size_t bytes = writer.finish();
    EXPECT_EQ(load<Subheader>(room, sizeof(Header)).len_words, dialect.has_eof ? 0 : 21);
    EXPECT_EQ(bytes, sizeof(Header) + sizeof(Subheader) + sizeof(UpdCRecord) + (dialect.has_eof ? eof_bytes : 0));
  }
}

TEST(PacketWriter, FillsThePacketToTheLastByteAndThenChangesNothing) {
  const std::size_t exact = sizeof(Header) + sizeof(Subheader) + 40 * sizeof(IdRecord) + eof_bytes;
  for (const std::size_t size : {exact, exact + sizeof(IdRecord) - 1}) {
    ExactCopy room{std::vector<std::uint8_t>(size, 0xee)};
    PacketWriter writer{Dialect::freebsd_1301, room.room()};
    for (std::uint64_t i = 0; i < 40; ++i) ASSERT_TRUE(writer.append_id(Message::del_c, numbered(i)));
    const std::string before = to_hex(room.bytes());
    EXPECT_FALSE(writer.fits(Message::del_c));
    EXPECT_FALSE(writer.append_id(Message::del_c, numbered(40)));
    EXPECT_FALSE(writer.append_state(Message::ins, {}));
    EXPECT_FALSE(writer.append_update({}));
    EXPECT_FALSE(writer.append_clear({}));
    EXPECT_FALSE(writer.append_bulk_status({}));
    EXPECT_FALSE(writer.append_tdb({}));
    EXPECT_EQ(to_hex(room.bytes()), before);
    EXPECT_EQ(writer.finish(), exact);
    EXPECT_EQ(walk(room.bytes().first(exact)).messages.size(), 40u);
  }
}

TEST(PacketWriter, AppendsWhateverItSaysFits) {
  // 20 + 4 + 6 * 242 + 4 = 1480 bytes: six states fill an IPv4 packet of 1500 bytes.
  for (const std::size_t size : {std::size_t{1479}, std::size_t{1480}}) {
    ExactCopy room{std::vector<std::uint8_t>(size)};
    PacketWriter writer{Dialect::freebsd_1301, room.room()};
    std::size_t count = 0;
    for (; writer.fits(Message::ins); ++count) ASSERT_TRUE(writer.append_state(Message::ins, {}));
    EXPECT_EQ(count, size == 1480 ? 6u : 5u);
  }
}

TEST(PacketWriter, TakesNoMessageThroughTheWrongDoor) {
  std::vector<std::uint8_t> room(1480);
  PacketWriter writer{Dialect::freebsd_1301, room};
  for (const Message message : {Message::clr, Message::ins_ack, Message::upd_c, Message::upd_req, Message::del_c,
                                Message::bus, Message::tdb, Message::eof})
    EXPECT_FALSE(writer.append_state(message, {})) << word(message);
  for (const Message message : {Message::clr, Message::ins, Message::upd, Message::upd_c, Message::del, Message::bus,
                                Message::tdb, Message::eof})
    EXPECT_FALSE(writer.append_id(message, {})) << word(message);
  EXPECT_TRUE(writer.empty());
}

TEST(PacketWriter, NeverExceedsWhatTheLengthFieldsHold) {
  std::vector<std::uint8_t> room(100'000);
  PacketWriter writer{Dialect::freebsd_1301, room};
  std::size_t count = 0;
  while (writer.append_id(Message::del_c, {})) ++count;
  const std::size_t bytes = writer.finish();
  EXPECT_LE(bytes, 65535u - 40u);
  EXPECT_EQ(load<Header>(room, 0).len.host(), bytes);
  EXPECT_EQ(walk(Bytes{room}.first(bytes)).messages.size(), count);
}

TEST(PacketWriter, WritesAnEmptyPacketAsHeaderAndEof) {
  std::vector<std::uint8_t> room(PacketWriter::smallest_room, 0xee);
  PacketWriter writer{Dialect::freebsd_1301, room, {1, 2, 3}};
  EXPECT_TRUE(writer.empty());
  ASSERT_EQ(writer.finish(), 24u);
  EXPECT_EQ(to_hex(Bytes{room}.first(24)),
            "05000018"
            "01020300000000000000000000000000"
            "0c000001");
}

}  // namespace
}  // namespace pfsync::wire::test
