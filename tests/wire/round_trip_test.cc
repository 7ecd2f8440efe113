// State -> dialect -> State: the identity but for the fields that `lost` names, and those exactly.
#include <gtest/gtest.h>

#include <array>
#include <string>

#include "tests/wire/random_state.h"
#include "wire/convert.h"
#include "wire/fields.h"

namespace pfsync::wire::test {
namespace {

State through(const State& state, Dialect dialect) {
  std::array<std::uint8_t, 360> room;
  room.fill(0xee);
  const Room record = Room{room}.first(info(dialect).state_bytes);
  write_state(info(dialect).state_layout, state, record);
  return read_state(info(dialect).state_layout, record);
}

std::string names(Fields fields) {
  std::string text;
  fields.for_each([&](Field field) { text += std::string{word(field)} + " "; });
  return text;
}

using Times = std::array<std::uint64_t, field_count>;

/// How often each field was lost, over 250 000 states in one dialect: a million in all.
Times losses(Dialect dialect) {
  Times times{};
  Random random{0x9e3779b9 + static_cast<std::uint64_t>(dialect)};
  for (int i = 0; i < 250'000; ++i) {
    const State state = random_state(random);
    if (!is_expressible(state, dialect)) continue;
    const State again = through(state, dialect);
    const Fields expected = lost(state, dialect);
    const Fields found = differences(state, again);
    if (found != expected) {
      ADD_FAILURE() << word(dialect) << ", state " << i << ": lost " << names(found) << "but told " << names(expected);
      break;
    }
    if (expected.empty() && state != again) {
      ADD_FAILURE() << word(dialect) << ", state " << i << ": a field without a name differs";
      break;
    }
    expected.for_each([&](Field field) { ++times[static_cast<std::size_t>(field)]; });
  }
  return times;
}

TEST(RoundTrip, LosesExactlyWhatIsTold) {
  for (const DialectInfo& dialect : dialect_table) {
    const Times times = losses(dialect.dialect);
    for (const FieldInfo& row : field_table) {
      if (row.field == Field::tdb_rpl || row.field == Field::tdb_rdomain) continue;
      SCOPED_TRACE(std::string{dialect.word} + " " + std::string{row.word});
      // A state with two families cannot be said in 1301 and 1400 at all.
      const bool never_written = row.field == Field::stack_af &&
                                 (dialect.dialect == Dialect::freebsd_1301 || dialect.dialect == Dialect::freebsd_1400);
      const Carriage carriage = row.in[static_cast<std::size_t>(dialect.dialect)];
      if (carriage == Carriage::carried || never_written) {
        EXPECT_EQ(times[static_cast<std::size_t>(row.field)], 0u);
      } else {
        EXPECT_GT(times[static_cast<std::size_t>(row.field)], 1000u);
      }
    }
  }
}

TEST(RoundTrip, ThroughOneDialectLosesNothingTheSecondTime) {
  Random random{7};
  for (int i = 0; i < 10'000; ++i) {
    const State state = random_state(random);
    for (const DialectInfo& dialect : dialect_table) {
      if (!is_expressible(state, dialect.dialect)) continue;
      const State once = through(state, dialect.dialect);
      ASSERT_EQ(through(once, dialect.dialect), once) << dialect.word;
      ASSERT_TRUE(lost(once, dialect.dialect).empty()) << dialect.word << ": " << names(lost(once, dialect.dialect));
    }
  }
}

// The way of a pair's upgrade: what 1301 carries passes through every newer FreeBSD dialect and back.
TEST(RoundTrip, Of1301ThroughNewerFreeBsdDialectsIsTheIdentityButForSyncFlags) {
  Random random{8};
  for (int i = 0; i < 10'000; ++i) {
    State state = random_state(random);
    state.stack_af = Family::none;
    state.key[stack_side] = state.key[wire_side];
    const State said = through(state, Dialect::freebsd_1301);
    ASSERT_EQ(through(said, Dialect::freebsd_1400), said);
    State expected = said;
    expected.sync_flags = 0;
    ASSERT_EQ(through(through(said, Dialect::freebsd_1500), Dialect::freebsd_1301), expected);
  }
}

TEST(Fields, ChangeOneByOneIsSeenAsThatField) {
  // Each field has one bit, and `differences` looks at all of a State: changing any byte of a record that
  // means something must show.
  Random random{9};
  for (const DialectInfo& dialect : dialect_table) {
    State state = random_state(random);
    state.stack_af = Family::none;
    std::array<std::uint8_t, 360> room{};
    const Room record = Room{room}.first(dialect.state_bytes);
    write_state(dialect.state_layout, state, record);
    const State read = read_state(dialect.state_layout, record);
    for (std::size_t at = 0; at < record.size(); ++at) {
      record[at] ^= 0x01;
      const State changed = read_state(dialect.state_layout, record);
      EXPECT_EQ(changed == read, differences(changed, read).empty()) << dialect.word << " byte " << at;
      record[at] ^= 0x01;
    }
  }
}

TEST(Fields, HaveWordsThatDiffer) {
  for (const FieldInfo& a : field_table)
    for (const FieldInfo& b : field_table) EXPECT_EQ(a.word == b.word, a.field == b.field) << a.word;
  for (const FieldInfo& row : field_table) {
    bool has_limit = false, has_default = false;
    for (const Carriage carriage : row.in) {
      has_limit |= carriage == Carriage::partly;
      has_default |= carriage == Carriage::defaulted;
    }
    EXPECT_EQ(has_limit, !row.limit.empty()) << row.word;
    if (has_default) {
      EXPECT_FALSE(row.otherwise.empty()) << row.word;
    }
  }
}

TEST(Fields, OfTdbAndUpdateAreTold) {
  const Tdb tdb{.spi = 1000,
                .af = Family::inet,
                .dst = {},
                .rpl = 0x1'0000'0001,
                .cur_bytes = 0,
                .sproto = 50,
                .updates = 0,
                .rdomain = 3};
  for (const DialectInfo& dialect : dialect_table) {
    const Action& action = *find_action(dialect.dialect, Message::tdb);
    std::array<std::uint8_t, 52> room{};
    write_tdb(action.layout, tdb, Room{room}.first(action.record_bytes));
    const Tdb again = read_tdb(action.layout, Bytes{room}.first(action.record_bytes));
    EXPECT_EQ(again.rpl != tdb.rpl, lost(tdb, dialect.dialect).has(Field::tdb_rpl));
    EXPECT_EQ(again.rdomain != tdb.rdomain, lost(tdb, dialect.dialect).has(Field::tdb_rdomain));
    EXPECT_EQ(lost(tdb, dialect.dialect).empty(), dialect.dialect == Dialect::openbsd);

    for (int timeout = 0; timeout < 26; ++timeout) {
      const Update update{.id = {1, 2}, .src = {}, .dst = {}, .timeout = static_cast<std::uint8_t>(timeout)};
      std::array<std::uint8_t, sizeof(UpdCRecord)> record{};
      write_update(dialect.dialect, update, record);
      const bool changed = read_update(Layout::common, record).timeout != timeout;
      EXPECT_EQ(changed, lost(update, dialect.dialect).has(Field::timeout)) << dialect.word << ' ' << timeout;
      EXPECT_EQ(changed, dialect.dialect == Dialect::openbsd && timeout >= 20 && timeout <= 24);
    }
  }
}

}  // namespace
}  // namespace pfsync::wire::test
