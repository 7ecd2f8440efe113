// The fast decoder against the plain one, on random frames that are valid, nearly valid, and not at all.
#include <gtest/gtest.h>

#include "tests/wire/examples.h"
#include "tests/wire/plain_walk.h"
#include "tests/wire/random_state.h"

namespace pfsync::wire::test {
namespace {

/// Sections of known actions with random records; version 6 records are now and then longer than known.
std::vector<std::uint8_t> random_frame(Random& random, const DialectInfo& dialect) {
  std::vector<std::uint8_t> frame(sizeof(Header));
  const std::uint64_t sections = 1 + random.below(4);
  for (std::uint64_t i = 0; i < sections; ++i) {
    const Action& action = dialect.actions[random.below(dialect.actions.size())];
    if (action.message == Message::eof) continue;
    std::size_t stride = action.record_bytes;
    if (!dialect.has_eof && random.one_in(4)) stride += 4 * random.below(3);
    const auto count = static_cast<std::uint16_t>(random.below(4));
    const auto words = static_cast<std::uint8_t>(dialect.has_eof ? 0 : stride / 4);
    frame.insert(frame.end(), {action.number, words, 0, static_cast<std::uint8_t>(count)});
    for (std::size_t byte = 0; byte < count * stride; ++byte) frame.push_back(static_cast<std::uint8_t>(random.next()));
    // Families that exist, most of the time: only then are addresses read.
    for (std::size_t record = 0; record < count; ++record) {
      if (action.layout == Layout::common || random.one_in(4)) continue;
      const std::size_t start = frame.size() - (count - record) * stride;
      const auto put = [&](std::size_t offset) {
        const std::uint8_t inet6 = dialect.has_eof ? freebsd::af_inet6 : openbsd::af_inet6;
        frame[start + offset] = random.one_in(2) ? freebsd::af_inet : inet6;
      };
      switch (action.layout) {
        case Layout::state_1301: put(offsetof(freebsd::State1301, af)); break;
        case Layout::state_1400: put(offsetof(freebsd::State1400, af)); break;
        case Layout::state_1500:
          put(offsetof(freebsd::State1500, wire_af));
          put(offsetof(freebsd::State1500, stack_af));
          put(offsetof(freebsd::State1500, rt_af));
          break;
        case Layout::state_openbsd:
          put(offsetof(openbsd::StateRecord, af));
          put(offsetof(openbsd::StateRecord, key) + offsetof(openbsd::KeyRecord, af));
          put(offsetof(openbsd::StateRecord, key) + sizeof(openbsd::KeyRecord) + offsetof(openbsd::KeyRecord, af));
          if (!random.one_in(4)) break;
          frame[start + offsetof(openbsd::StateRecord, key) + offsetof(openbsd::KeyRecord, af)] = 0;
          frame[start + offsetof(openbsd::StateRecord, key) + sizeof(openbsd::KeyRecord) +
                offsetof(openbsd::KeyRecord, af)] = 0;
          break;
        default: put(offsetof(freebsd::TdbRecord, dst) + 1); break;
      }
    }
  }
  if (dialect.has_eof && !random.one_in(4)) frame.insert(frame.end(), {12, 0, 0, 1});
  const auto len = static_cast<std::uint16_t>(frame.size());
  store(Room{frame}, 0, Header{dialect.header_version, 0, Be16{len}, {}});
  return frame;
}

TEST(Differential, ValidFramesReadTheSame) {
  Random random{11};
  std::size_t states = 0;
  for (int i = 0; i < 5000; ++i) {
    const DialectInfo& dialect = dialect_table[random.below(dialect_table.size())];
    const auto frame = random_frame(random, dialect);
    const ExactCopy copy{frame};
    const Walk fast = walk(copy.bytes());
    ASSERT_EQ(fast, plain_walk(frame)) << to_hex(frame);
    ASSERT_FALSE(fast.reject);
    for (const ReadMessage& message : fast.messages) states += std::holds_alternative<State>(message.body) ? 1u : 0u;
  }
  EXPECT_GT(states, 3000u);
}

TEST(Differential, DamagedFramesReadAndFailTheSame) {
  Random random{12};
  std::size_t refused = 0, skipped = 0;
  for (int i = 0; i < 10'000; ++i) {
    const DialectInfo& dialect = dialect_table[random.below(dialect_table.size())];
    auto frame = random_frame(random, dialect);
    // Sub-headers are where a walk goes wrong; any other byte is as good as the next.
    if (random.one_in(2) && frame.size() >= sizeof(Header) + sizeof(Subheader))
      frame[sizeof(Header) + random.below(sizeof(Subheader))] = static_cast<std::uint8_t>(random.below(20));
    else
      random.fill(frame[random.below(frame.size())]);
    if (random.one_in(4)) frame.resize(random.below(frame.size()) + 1);
    const ExactCopy copy{frame};
    const Walk fast = walk(copy.bytes());
    ASSERT_EQ(fast, plain_walk(frame)) << to_hex(frame);
    refused += fast.reject ? 1u : 0u;
    skipped += fast.skipped;
  }
  EXPECT_GT(refused, 2000u);
  EXPECT_GT(skipped, 100u);
}

}  // namespace
}  // namespace pfsync::wire::test
