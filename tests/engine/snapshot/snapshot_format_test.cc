#include <gtest/gtest.h>

#include <map>

#include "engine/snapshot/walk.h"
#include "tests/engine/snapshot/snapshot_memory.h"
#include "tests/wire/random_state.h"

namespace pfsync::engine::snapshot {
namespace {

std::vector<KeptState> some_states(std::size_t count, std::uint64_t seed = 1) {
  wire::test::Random random{seed};
  std::vector<KeptState> states(count);
  for (KeptState& kept : states) kept = {wire::test::random_state(random), random.one_in(2)};
  return states;
}

std::vector<KeptState> read_all(std::span<const std::uint8_t> bytes) {
  MemorySource source{bytes};
  Reader reader{source};
  EXPECT_EQ(reader.begin(), std::nullopt);
  std::vector<KeptState> states;
  while (true) {
    const auto block = reader.next();
    if (const auto* why = std::get_if<std::string>(&block)) {
      ADD_FAILURE() << *why;
      return states;
    }
    const auto read = std::get<std::span<const KeptState>>(block);
    if (read.empty()) return states;
    states.insert(states.end(), read.begin(), read.end());
  }
}

TEST(SnapshotFormat, EveryFieldOfEveryStateComesBack) {
  for (const std::size_t count : {0u, 1u, 2u, 1023u, 1024u, 1025u, 5000u}) {
    const auto states = some_states(count, count);
    EXPECT_EQ(read_all(written(states)), states) << count;
  }
}

TEST(SnapshotFormat, StatesThatAreAllUsualTakeNextToNothing) {
  const std::vector<KeptState> states(block_states_max);
  const Bytes bytes = written(states);
  EXPECT_LT(bytes.size(), header_bytes + trailer_bytes + 100);
  EXPECT_EQ(read_all(bytes), states);
}

TEST(SnapshotFormat, TheFrontSaysWhatItWasGiven) {
  const Header header{.written_at_s = 1'700'000'000, .states = 7, .states_max = 1000, .creatorid = 0x97bc0c81};
  const Bytes bytes = written({}, header);
  MemorySource source{bytes};
  Reader reader{source};
  ASSERT_EQ(reader.begin(), std::nullopt);
  EXPECT_EQ(reader.header(), header);
}

TEST(SnapshotFormat, TheEndSaysWhatThereIs) {
  const Bytes bytes = written(some_states(3000));
  MemorySource source{bytes};
  const auto totals = check(source);
  ASSERT_TRUE(std::holds_alternative<Totals>(totals));
  EXPECT_EQ(std::get<Totals>(totals), (Totals{.states = 3000, .blocks = 3, .bytes = bytes.size() - trailer_bytes}));
}

TEST(SnapshotFormat, AnyThatIsCutShortIsRefused) {
  const Bytes bytes = written(some_states(3));
  ASSERT_EQ(refusal(bytes), "");
  for (std::size_t size = 0; size < bytes.size(); ++size)
    EXPECT_EQ(refusal(std::span{bytes}.first(size)), "ends too early: it is cut short") << size;
}

TEST(SnapshotFormat, AnyChangedBitIsFound) {
  Bytes bytes = written(some_states(3));
  for (std::size_t bit = 0; bit < 8 * bytes.size(); ++bit) {
    bytes[bit / 8] = static_cast<std::uint8_t>(bytes[bit / 8] ^ 1u << bit % 8);
    EXPECT_NE(refusal(bytes), "") << "bit " << bit;
    bytes[bit / 8] = static_cast<std::uint8_t>(bytes[bit / 8] ^ 1u << bit % 8);
  }
  EXPECT_EQ(refusal(bytes), "");
}

TEST(SnapshotFormat, WhatStandsBehindTheEndIsRefused) {
  Bytes bytes = written(some_states(3));
  bytes.push_back(0);
  EXPECT_EQ(refusal(bytes), "is damaged: it goes on behind its end");
}

TEST(SnapshotFormat, OtherFilesAreRefusedAsWhatTheyAre) {
  const auto of_text = [](std::string_view text) { return refusal(Bytes{text.begin(), text.end()}); };
  EXPECT_EQ(of_text(""), "ends too early: it is cut short");
  EXPECT_EQ(of_text("pfsy"), "ends too early: it is cut short");
  EXPECT_EQ(of_text("root"), foreign);
  EXPECT_EQ(of_text("[link]\ndevice = \"eth1\"\n"), foreign);
  EXPECT_EQ(refusal(Bytes(4096)), foreign);
}

TEST(SnapshotFormat, AnotherVersionIsNamedBeforeAnythingElseIsLookedAt) {
  Bytes bytes = written(some_states(1));
  bytes[magic.size()] = 2;
  EXPECT_EQ(refusal(bytes), "has format version 2, and this pfsyncd reads version 1");
}

/// The blocks of a file, each as it lies there.
std::vector<Bytes> blocks_of(const Bytes& bytes) {
  std::vector<Bytes> blocks;
  for (std::size_t at = header_bytes; at < bytes.size() - trailer_bytes;) {
    Take take{std::span{bytes}.subspan(at + 12)};
    const std::size_t size = block_head_bytes + take.number<std::uint32_t>() + hash_bytes;
    const auto from = bytes.begin() + static_cast<std::ptrdiff_t>(at);
    blocks.emplace_back(from, from + static_cast<std::ptrdiff_t>(size));
    at += size;
  }
  return blocks;
}

Bytes assembled(const Bytes& whole, const std::vector<Bytes>& blocks) {
  Bytes bytes{whole.begin(), whole.begin() + header_bytes};
  for (const Bytes& block : blocks) bytes.insert(bytes.end(), block.begin(), block.end());
  bytes.insert(bytes.end(), whole.end() - trailer_bytes, whole.end());
  return bytes;
}

TEST(SnapshotFormat, BlocksThatAreMissingDoubledOrInAnotherOrderAreFound) {
  const Bytes whole = written(some_states(3 * block_states_max));
  const auto blocks = blocks_of(whole);
  ASSERT_EQ(blocks.size(), 3u);
  ASSERT_EQ(assembled(whole, blocks), whole);
  constexpr const char* other = "is damaged: its end tells of other blocks than it holds";
  EXPECT_EQ(refusal(assembled(whole, {blocks[0], blocks[2]})), other);
  EXPECT_EQ(refusal(assembled(whole, {blocks[0], blocks[1], blocks[1], blocks[2]})), other);
  EXPECT_EQ(refusal(assembled(whole, {blocks[1], blocks[0], blocks[2]})), other);
  EXPECT_EQ(refusal(assembled(whole, {})), other);
}

/// A block of a hostile hand: its hash is good.
Bytes with_block(std::uint32_t states, std::uint32_t bytes, const Bytes& stored, std::uint32_t stored_told) {
  Bytes all = written({});
  all.resize(header_bytes);
  Bytes block;
  Put{block}.number(block_mark).number(states).number(bytes).number(stored_told);
  block.insert(block.end(), stored.begin(), stored.end());
  Put{block}.hash(statetable::content_hash(block.data(), block.size()));
  all.insert(all.end(), block.begin(), block.end());
  return all;
}
Bytes with_block(std::uint32_t states, std::uint32_t bytes, const Bytes& stored) {
  return with_block(states, bytes, stored, static_cast<std::uint32_t>(stored.size()));
}

TEST(SnapshotFormat, AHostileBlockWithAGoodHashIsRefused) {
  const auto why = [](const Bytes& bytes) { return refusal(bytes); };
  constexpr const char* at = "is damaged in the block at byte 64: ";
  const Bytes literals{0x10, 0x00};  // LZ4: one byte, a zero
  EXPECT_EQ(header_bytes, 64u);
  EXPECT_EQ(why(with_block(0, 1, literals)), std::string{at} + "its number of states is out of range");
  EXPECT_EQ(why(with_block(1025, 1, literals)), std::string{at} + "its number of states is out of range");
  EXPECT_EQ(why(with_block(1, 0xffffffff, literals)), std::string{at} + "its size is out of range");
  EXPECT_EQ(why(with_block(1, 1, literals, 0xffffffff)), std::string{at} + "its size is out of range");
  EXPECT_EQ(why(with_block(1, 2, literals)), std::string{at} + "it does not unpack to its size");
  EXPECT_EQ(why(with_block(1, 300, {0xff, 0xff, 0xff})), std::string{at} + "it does not unpack to its size");
  EXPECT_EQ(why(with_block(1, 1, literals)), std::string{at} + "it ends before its columns");
}

TEST(SnapshotFormat, HostileColumnsAreRefused) {
  std::vector<KeptState> states(2);
  const auto read = [&](const Bytes& bytes) { return read_columns(bytes, states).value_or(""); };
  Bytes all = [] {
    Bytes bytes;
    std::vector<KeptState> made = some_states(2);
    made[0].is_said_here = true;
    write_columns(made, bytes);
    return bytes;
  }();
  ASSERT_EQ(read(all), "");
  Bytes changed = all;
  changed.back() = 2;
  EXPECT_EQ(read(changed), "a flag of it is neither 0 nor 1");
  changed = all;
  changed.push_back(0);
  EXPECT_EQ(read(changed), "it has bytes behind its columns");
  changed.resize(all.size() - 1);
  EXPECT_EQ(read(changed), "it ends within a column");
  constexpr std::size_t last_of_present = 9;
  changed = all;
  changed[last_of_present] |= 0x80;
  EXPECT_NE(read(changed), "");
}

TEST(SnapshotFormat, StatesComeInTheFormThatPacketsGive) {
  KeptState odd;
  odd.state.af = wire::Family::inet;
  odd.state.stack_af = wire::Family::inet;
  odd.state.rt_af = wire::Family::inet;
  odd.state.proto = odd.state.stack_proto = wire::ipproto::tcp;
  odd.state.key[0].addr[0].bytes.fill(7);
  odd.state.rt_addr.bytes.fill(7);
  odd.state.ifname.chars.fill('x');
  odd.state.tag.chars = {'a', '\0', 'b'};
  odd.state.orig_ifname = wire::InterfaceName{"xxxxxxxxxxxxxxx"};
  KeptState strange = odd;
  strange.state.stack_af = wire::Family{9};
  const std::vector<KeptState> states{odd, strange};
  const auto read = read_all(written(states));
  ASSERT_EQ(read.size(), 2u);
  const wire::State& state = read[0].state;
  EXPECT_EQ(state.stack_af, wire::Family::none);
  EXPECT_EQ(state.rt_af, wire::Family::none);
  EXPECT_EQ(state.stack_proto, 0);
  EXPECT_EQ(state.key[0].addr[0], (wire::Address{{7, 7, 7, 7}}));
  EXPECT_EQ(state.rt_addr, (wire::Address{{7, 7, 7, 7}}));
  EXPECT_EQ(state.ifname.view(), "xxxxxxxxxxxxxxx");
  EXPECT_EQ(state.tag, wire::TagName{"a"});
  EXPECT_TRUE(state.orig_ifname.empty());
  EXPECT_EQ(read[1].state.af, wire::Family::none) << "an unknown family spoils the state";
}

TEST(SnapshotWalk, WritesEveryStateOfTheTableOnce) {
  constexpr statetable::Seconds now_s = 1000;
  auto table = std::move(std::get<0>(statetable::Table::create({.states_max = 5000, .shard_bits = 2, .hash_seed = 7})));
  std::vector<statetable::ShardWriter> writers;
  for (std::size_t i = 0; i < 4; ++i) writers.push_back(*table->claim(i));
  std::map<wire::StateId, KeptState> entered;
  for (std::uint64_t id = 1; id <= 4000; ++id) {
    KeptState kept;
    kept.state.id = {id, 0x22222222};
    kept.state.ifname = wire::InterfaceName{"em0"};
    kept.state.af = id % 3 == 0 ? wire::Family::inet6 : wire::Family::inet;
    kept.state.key[0].addr[1].bytes = {10, 1, static_cast<std::uint8_t>(id >> 8), static_cast<std::uint8_t>(id)};
    kept.state.creation_s = static_cast<std::uint32_t>(id % 900);
    kept.state.expire_s = static_cast<std::uint32_t>(id);
    kept.is_said_here = id % 2 == 0;
    statetable::HotState hot{.id = kept.state.id,
                             .created_s = now_s - static_cast<statetable::Seconds>(kept.state.creation_s),
                             .expire_at_s = now_s + static_cast<statetable::Seconds>(id),
                             .heard_s = kept.is_said_here ? statetable::never_heard : 1,
                             .af = kept.state.af,
                             .in_use = true};
    const statetable::Hash hash = table->hash(hot.id);
    statetable::ShardWriter& writer = writers[table->shard_of(hash)];
    const statetable::Slot slot = writer.add(hot, statetable::cold_part(kept.state), hash);
    if (id % 10 == 0)
      writer.erase(slot);
    else
      entered.emplace(hot.id, kept);
  }
  MemorySink sink;
  Writer writer{{}, sink};
  std::size_t calls = 0;
  ASSERT_TRUE(write_table(*table, now_s, writer, [&] { return ++calls > 0; }));
  EXPECT_GE(calls, 4u);
  const auto read = read_all(sink.bytes);
  EXPECT_EQ(read.size(), entered.size());
  for (const KeptState& kept : read) {
    EXPECT_EQ(kept, entered.at(kept.state.id));
    entered.erase(kept.state.id);
  }
  EXPECT_TRUE(entered.empty());
}

TEST(SnapshotWalk, GivesUpWhenToldTo) {
  auto table = std::move(std::get<0>(statetable::Table::create({.states_max = 10})));
  MemorySink sink;
  Writer writer{{}, sink};
  EXPECT_FALSE(write_table(*table, 0, writer, [] { return false; }));
  EXPECT_EQ(refusal(sink.bytes), "ends too early: it is cut short");
}

}  // namespace
}  // namespace pfsync::engine::snapshot
