#include "wire/packet_reader.h"

#include <gtest/gtest.h>

#include <initializer_list>

#include "tests/wire/examples.h"
#include "tests/wire/walk.h"

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

void append_bytes(Packet& bytes, std::size_t count, std::uint8_t value = 0) {
  bytes.insert(bytes.end(), count, value);
}

void set_true_length(Packet& bytes) {
  store(Room{bytes}, offsetof(Header, len), Be16{static_cast<std::uint16_t>(bytes.size())});
}

TEST(PacketReader, CountsLessThanAHeaderAsHdrops) {
  for (std::size_t size = 0; size < sizeof(Header); ++size)
    EXPECT_EQ(walk_exactly(Packet(size, header_version_freebsd)).reject, Reject::hdrops) << size;
}

TEST(PacketReader, RefusesEveryHeaderVersionButFiveAsBadver) {
  for (int version = 0; version < 256; ++version) {
    const Walk result = walk_exactly(packet({12, 0, 0, 1}, -1, static_cast<std::uint8_t>(version)));
    if (version == header_version_freebsd) EXPECT_FALSE(result.reject);
    else EXPECT_EQ(result.reject, Reject::badver) << version;
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
  for (const int len : {25, 26, 0xffff}) EXPECT_EQ(walk_exactly(packet({12, 0, 0, 1}, len)).reject, Reject::badlen) << len;
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
  for (int action = 13; action < 256; ++action) unknown.push_back(action);
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

}  // namespace
}  // namespace pfsync::wire::test
