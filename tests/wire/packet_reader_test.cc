#include "wire/packet_reader.h"

#include <gtest/gtest.h>

#include <initializer_list>

#include "tests/wire/examples.h"
#include "tests/wire/walk.h"
#include "wire/packet_writer.h"

namespace pfsync::wire::test {
namespace {

using Packet = std::vector<std::uint8_t>;

/// A header with the given length, then the given bytes. `len` below 0 means the true length.
Packet packet(std::initializer_list<int> sections, int len = -1, std::uint8_t version = header_version_freebsd) {
  Packet bytes(sizeof(Header));
  for (const int byte : sections) bytes.push_back(static_cast<std::uint8_t>(byte));
  const auto length = static_cast<std::uint16_t>(len < 0 ? static_cast<int>(bytes.size()) : len);
  store(Room{bytes}, 0, Header{version, 0, Be16{length}, {}});
  return bytes;
}

Walk walk_exactly(const Packet& bytes) { return walk(ExactCopy{bytes}.bytes()); }

void append_bytes(Packet& bytes, std::size_t count, std::uint8_t value = 0) { bytes.insert(bytes.end(), count, value); }

void set_true_length(Packet& bytes) {
  store(Room{bytes}, offsetof(Header, len), Be16{static_cast<std::uint16_t>(bytes.size())});
}

TEST(PacketReader, CountsLessThanAHeaderAsHdrops) {
  for (std::size_t size = 0; size < sizeof(Header); ++size)
    EXPECT_EQ(walk_exactly(Packet(size, header_version_freebsd)).reject, Reject::hdrops) << size;
}

TEST(PacketReader, RefusesEveryHeaderVersionButFiveAndSixAsBadver) {
  for (int version = 0; version < 256; ++version) {
    const Walk result = walk_exactly(packet({12, 0, 0, 1}, -1, static_cast<std::uint8_t>(version)));
    if (is_known_header_version(static_cast<std::uint8_t>(version)))
      EXPECT_FALSE(result.reject);
    else
      EXPECT_EQ(result.reject, Reject::badver) << version;
  }
}

TEST(PacketReader, RefusesAHeaderLengthBelowTheHeader) {
  for (const int len : {0, 1, 19}) EXPECT_EQ(walk_exactly(packet({12, 0, 0, 1}, len)).reject, Reject::badlen) << len;
}

TEST(PacketReader, TakesAHeaderLengthWithoutRoomForASectionAsAnEmptyPacket) {
  for (const int len : {20, 21, 23}) {
    const Walk result = walk_exactly(packet({12, 0, 0, 1}, len));
    EXPECT_FALSE(result.reject) << len;
    EXPECT_FALSE(result.eof) << len;
  }
}

TEST(PacketReader, TakesAHeaderLengthOf24AsOneEmptySection) {
  const Walk result = walk_exactly(packet({12, 0, 0, 1}, 24));
  EXPECT_FALSE(result.reject);
  EXPECT_TRUE(result.eof);
}

TEST(PacketReader, RefusesAHeaderLengthBeyondThePacket) {
  for (const int len : {25, 26, 0xffff})
    EXPECT_EQ(walk_exactly(packet({12, 0, 0, 1}, len)).reject, Reject::badlen) << len;
}

TEST(PacketReader, EndsSectionsAtTheHeaderLengthNotAtTheEndOfThePacket) {
  Packet bytes = packet({7, 0, 0, 1});
  append_bytes(bytes, sizeof(IdRecord) - 1);
  set_true_length(bytes);
  append_bytes(bytes, 64);  // the missing byte is there, but behind header.len
  const Walk result = walk_exactly(bytes);
  EXPECT_EQ(result.reject, Reject::badlen);
  EXPECT_TRUE(result.messages.empty());
}

TEST(PacketReader, RefusesActionsThatItDoesNotKnowAsBadact) {
  std::vector<int> unknown{8, 9};
  for (int action = 17; action < 256; ++action) unknown.push_back(action);
  for (const int action : unknown) {
    const Walk result = walk_exactly(packet({action, 0, 0, 1, 12, 0, 0, 1}));
    EXPECT_EQ(result.reject, Reject::badact) << action;
    EXPECT_EQ(result.unknown_action, action);
    EXPECT_FALSE(result.eof) << action;
  }
}

TEST(PacketReader, KeepsWhatItYieldedBeforeAnUnknownAction) {
  Packet bytes = packet({7, 0, 0, 2});
  append_bytes(bytes, 2 * sizeof(IdRecord), 0x11);
  bytes.insert(bytes.end(), {255, 0, 0, 1});
  set_true_length(bytes);
  const Walk result = walk_exactly(bytes);
  EXPECT_EQ(result.reject, Reject::badact);
  ASSERT_EQ(result.messages.size(), 2u);
  EXPECT_EQ(std::get<StateId>(result.messages[1].body), (StateId{0x1111111111111111, 0x11111111}));
}

TEST(PacketReader, RefusesACountThatThePacketCannotHold) {
  for (const Action& action : freebsd_actions) {
    if (action.message == Message::eof) continue;
    for (const int count : {2, 0x100, 0xffff}) {
      Packet bytes = packet({action.number, 0, count >> 8, count & 0xff});
      append_bytes(bytes, std::size_t{2} * action.record_bytes - 1);
      set_true_length(bytes);
      const Walk result = walk_exactly(bytes);
      EXPECT_EQ(result.reject, Reject::badlen) << int{action.number} << " x " << count;
      EXPECT_TRUE(result.messages.empty());
    }
  }
}

TEST(PacketReader, TakesASectionOfNoMessages) {
  const Walk result = walk_exactly(packet({1, 0, 0, 0, 12, 0, 0, 1}));
  EXPECT_FALSE(result.reject);
  EXPECT_TRUE(result.messages.empty());
  EXPECT_TRUE(result.eof);
}

TEST(PacketReader, TakesAPacketWithoutEof) {
  Packet bytes = packet({5, 0, 0, 1});
  append_bytes(bytes, sizeof(IdRecord));
  set_true_length(bytes);
  const Walk result = walk_exactly(bytes);
  EXPECT_FALSE(result.reject);
  EXPECT_FALSE(result.eof);
  EXPECT_EQ(result.messages.size(), 1u);
}

TEST(PacketReader, ReadsNothingBehindEofAndCountsItAsBadlen) {
  Packet early = packet({12, 0, 0, 1, 7, 0, 0, 1});
  append_bytes(early, sizeof(IdRecord));
  set_true_length(early);
  Packet garbage = packet({12, 0, 0, 1});
  append_bytes(garbage, 20, 0xee);  // behind header.len: what FreeBSD of the 14.0 era sends
  for (const Packet& bytes : {early, garbage}) {
    const Walk result = walk_exactly(bytes);
    EXPECT_TRUE(result.eof);
    EXPECT_TRUE(result.messages.empty());
    EXPECT_EQ(result.reject, Reject::badlen);
  }
}

TEST(PacketReader, KeepsTheMessagesBeforeEofWhenGarbageFollows) {
  Packet bytes(example("E1").payload().begin(), example("E1").payload().end());
  append_bytes(bytes, 20, 0xee);
  const Walk result = walk_exactly(bytes);
  EXPECT_EQ(result.messages.size(), 1u);
  EXPECT_EQ(result.reject, Reject::badlen);
}

TEST(PacketReader, StaysAtItsEndOnceThere) {
  for (const Packet& bytes : {packet({12, 0, 0, 1}), packet({255, 0, 0, 1}), packet({12, 0, 0, 1, 0})}) {
    PacketReader reader{bytes};
    Section section;
    while (reader.next(section)) {
    }
    const auto reject = reader.reject();
    EXPECT_FALSE(reader.next(section));
    EXPECT_EQ(reader.reject(), reject);
  }
}

TEST(PacketReader, TakesASectionAbove2048Bytes) {
  Packet bytes = packet({7, 0, 0x08, 0x00});
  append_bytes(bytes, 0x800 * sizeof(IdRecord));
  set_true_length(bytes);
  EXPECT_EQ(walk_exactly(bytes).messages.size(), 0x800u);
}

// --- header version 6 ----------------------------------------------------------------------------------

/// A version 6 packet of one section of `count` records of `words` words, each filled with 0x11.
Packet section_v6(int action, int words, int count) {
  Packet bytes = packet({action, words, count >> 8, count & 0xff}, -1, header_version_openbsd);
  append_bytes(bytes, static_cast<std::size_t>(4 * words * count), 0x11);
  set_true_length(bytes);
  return bytes;
}

/// `first`, then a DEL_C section of its own: what a walk that went on must find.
Packet and_then_del_c(Packet first) {
  const Packet second = section_v6(7, 3, 1);
  first.insert(first.end(), second.begin() + sizeof(Header), second.end());
  set_true_length(first);
  return first;
}

TEST(PacketReaderV6, TakesRecordsAsLongAsKnown) {
  for (const Action& action : openbsd_actions) {
    const Walk result = walk_exactly(section_v6(action.number, action.record_bytes / 4, 3));
    EXPECT_FALSE(result.reject) << int{action.number};
    EXPECT_EQ(result.messages.size(), 3u);
    EXPECT_EQ(result.messages[0].message, action.message);
    EXPECT_EQ(result.skipped, 0u);
  }
}

TEST(PacketReaderV6, TakesLongerRecordsOfANewerSender) {
  for (const Action& action : openbsd_actions) {
    const int words = action.record_bytes / 4;
    const Walk known = walk_exactly(section_v6(action.number, words, 3));
    for (const int longer : {words + 1, words + 7, 255}) {
      const Walk result = walk_exactly(and_then_del_c(section_v6(action.number, longer, 3)));
      EXPECT_FALSE(result.reject);
      ASSERT_EQ(result.messages.size(), 4u) << int{action.number} << " of " << longer << " words";
      EXPECT_TRUE(std::equal(known.messages.begin(), known.messages.end(), result.messages.begin()));
    }
  }
}

TEST(PacketReaderV6, StepsOverRecordsShorterThanKnown) {
  for (const Action& action : openbsd_actions)
    for (int words = 1; words < action.record_bytes / 4; ++words) {
      const Walk result = walk_exactly(and_then_del_c(section_v6(action.number, words, 2)));
      EXPECT_FALSE(result.reject);
      EXPECT_EQ(result.skipped, 1u);
      ASSERT_EQ(result.messages.size(), 1u) << int{action.number} << " of " << words << " words";
      EXPECT_EQ(result.messages[0].message, Message::del_c);
    }
}

TEST(PacketReaderV6, GivesUpOnRecordsWithoutASize) {
  for (const Action& action : openbsd_actions) {
    EXPECT_EQ(walk_exactly(and_then_del_c(section_v6(action.number, 0, 1))).reject, Reject::badact)
        << int{action.number};
    EXPECT_EQ(walk_exactly(and_then_del_c(section_v6(action.number, 1, 0))).reject, Reject::badact)
        << int{action.number};
  }
}

TEST(PacketReaderV6, TakesASectionOfNoMessages) {
  const Walk result = walk_exactly(and_then_del_c(section_v6(13, 66, 0)));
  EXPECT_FALSE(result.reject);
  EXPECT_EQ(result.messages.size(), 1u);
}

TEST(PacketReaderV6, StepsOverActionsThatNobodySends) {
  for (const int action : {1, 3, 8, 9, 11, 12})
    for (const int words : {0, 1, 66}) {
      const Walk result = walk_exactly(and_then_del_c(section_v6(action, words, 2)));
      EXPECT_FALSE(result.reject) << action;
      EXPECT_FALSE(result.eof);
      EXPECT_EQ(result.skipped, 1u);
      EXPECT_EQ(result.messages.size(), 1u);
    }
}

TEST(PacketReaderV6, StepsOverUnknownActionsThatTellTheirSize) {
  for (int action = openbsd::first_unknown_action; action < 256; ++action) {
    const Walk result = walk_exactly(and_then_del_c(section_v6(action, 5, 2)));
    EXPECT_FALSE(result.reject) << action;
    EXPECT_EQ(result.messages.size(), 1u);
    const Walk sizeless = walk_exactly(and_then_del_c(section_v6(action, 0, 2)));
    EXPECT_EQ(sizeless.reject, Reject::badact) << action;
    EXPECT_EQ(sizeless.unknown_action, action);
    EXPECT_TRUE(sizeless.messages.empty());
  }
}

TEST(PacketReaderV6, RefusesACountThatThePacketCannotHold) {
  for (const int action : {0, 13, 12, 200}) {  // taken, taken, stepped over, unknown
    Packet bytes = section_v6(action, 66, 2);
    store(Room{bytes}, sizeof(Header) + 2, Be16{3});
    EXPECT_EQ(walk_exactly(bytes).reject, Reject::badlen) << action;
  }
}

// --- what may be left out ----------------------------------------------------------------------------

TEST(HasOnlyUpdates, OfWholePacketsOfNothingElse) {
  const auto written = [](Dialect dialect, auto&& fill) {
    Packet room(1480);
    PacketWriter writer{dialect, room};
    fill(writer);
    room.resize(writer.finish());
    return room;
  };
  const auto update = [](PacketWriter& writer) { static_cast<void>(writer.append_update({.id = {1, 2}})); };
  for (const Dialect dialect : {Dialect::freebsd_1301, Dialect::openbsd}) {
    EXPECT_TRUE(has_only_updates(written(dialect, update)));
    EXPECT_FALSE(has_only_updates(written(dialect, [](PacketWriter&) {})));
    EXPECT_FALSE(has_only_updates(written(dialect, [&](PacketWriter& writer) {
      update(writer);
      static_cast<void>(writer.append_id(Message::del_c, {1, 2}));
    })));
    EXPECT_FALSE(has_only_updates(written(dialect, [&](PacketWriter& writer) {
      static_cast<void>(writer.append_state(Message::upd, {}));
    }))) << "a bulk update";
    Packet cut = written(dialect, update);
    cut.resize(cut.size() - 5);
    EXPECT_FALSE(has_only_updates(cut)) << "it is counted as damaged";
  }
}

}  // namespace
}  // namespace pfsync::wire::test
