#include <gtest/gtest.h>

#include <array>
#include <atomic>
#include <cstdlib>
#include <optional>
#include <random>
#include <thread>
#include <unordered_map>

#include "tests/statetable/entries.h"
#include "tests/under_sanitizer.h"

namespace pfsync::statetable {
namespace {

struct IdHash {
  std::size_t operator()(const wire::StateId& id) const noexcept { return mixed(id.id ^ id.creatorid); }
};

/// Entries follow from these two numbers (entries.h).
struct Expected {
  std::uint32_t birth;
  std::uint32_t version;
};
using Model = std::unordered_map<wire::StateId, Expected, IdHash>;

constexpr std::uint64_t id_count = 60'000;
constexpr std::size_t many = 40;  // ids looked up at once; more than two stages of the reader

[[nodiscard]] wire::StateId id_at(std::uint64_t random) noexcept { return {random % id_count, 1}; }

struct Judged {
  std::uint64_t found = 0, torn = 0, other = 0;
};

/// Looks at one, at many and at what a walk brings, and judges each for itself.
void read_until(const std::atomic<bool>& done, TableReader reader, std::uint64_t seed, Judged& judged) {
  std::mt19937_64 random{seed};
  const auto judge = [&](const Snapshot& state) {
    ++judged.found;
    if (!certified(state)) ++judged.torn;
  };
  TableReader::Cursor cursor;
  std::array<wire::StateId, many> wanted;
  std::array<std::optional<Snapshot>, many> found;
  while (!done.load(std::memory_order_relaxed)) {
    for (auto& id : wanted) id = id_at(random());
    reader.find(wanted, found);
    for (std::size_t i = 0; i < many; ++i) {
      if (!found[i]) continue;
      if (found[i]->hot.id != wanted[i]) ++judged.other;
      judge(*found[i]);
    }
    if (const auto one = reader.find(wanted[0])) judge(*one);
    for (std::size_t i = 0; i < many; ++i) {
      const auto next = reader.next(cursor);
      if (!next) cursor = {};
      if (next) judge(*next);
    }
  }
}

/// DIFFERENTIAL_OPERATIONS has all seeds go through as many; without it the first goes through ten million, and less
/// under a sanitizer, which takes ten times as long for each.
std::uint32_t operations_of(std::uint64_t seed) {
  if (const char* wanted = std::getenv("DIFFERENTIAL_OPERATIONS"))
    return static_cast<std::uint32_t>(std::strtoul(wanted, nullptr, 10));
  return seed == 1 && !under_sanitizer ? 10'000'000 : 1'000'000;
}

class DifferentialTest : public ::testing::TestWithParam<std::uint64_t> {};

// The table fills up to its index's growth, and empties, with each tide.
TEST_P(DifferentialTest, EveryOperationAgreesWhileOthersRead) {
  OwnedTable table{{.states_max = 2 * id_count, .shard_bits = 1, .hash_seed = GetParam(), .by_connection = true}};
  Model model;
  std::atomic<bool> done{false};
  Judged judged;
  std::thread other{[&] { read_until(done, table->reader(), ~GetParam(), judged); }};

  std::mt19937_64 random{GetParam()};
  const TableReader reader = table->reader();
  const std::uint32_t operations = operations_of(GetParam());
  constexpr std::uint32_t tide = 1'000'000;
  std::uint64_t wrong = 0, erased = 0;
  for (std::uint32_t step = 1; step <= operations && wrong == 0; ++step) {
    const std::uint64_t drawn = random();
    const wire::StateId id = id_at(drawn >> 8u);
    const auto known = model.find(id);
    const Slot slot = table.find(id);
    if ((slot == no_slot) != (known == model.end())) ++wrong;
    if (slot == no_slot) {
      const bool ebbs = step / (tide / 2) % 2 != 0;
      if (drawn % 16 < (ebbs ? 1u : 12u)) {
        if (table.insert(id, step).inserted != ShardWriter::Inserted::yes) ++wrong;
        model.emplace(id, Expected{step, 0});
      } else if (drawn % 64 == 63 && reader.find(id)) {
        ++wrong;
      }
      continue;
    }
    Expected& expected = known->second;
    switch (drawn % 8) {
      case 0:
      case 1:
        table.writer_of(id).erase(slot);
        model.erase(known);
        ++erased;
        break;
      case 2:
      case 3:
        expected.version = step;
        table.writer_of(id).update(slot, hot_of(id, expected.birth, step));
        break;
      case 4: {
        const auto state = reader.find(id);
        if (!state || state->hot.id != id || state->hot.src.seqlo != expected.version ||
            static_cast<std::uint32_t>(state->hot.created_s) != expected.birth)
          ++wrong;
        break;
      }
      default: break;  // that it is found where it must be is a check by itself
    }
  }
  done = true;
  other.join();

  EXPECT_EQ(wrong, 0u);
  EXPECT_EQ(table->size(), model.size());
  TableReader::Cursor cursor;
  std::size_t walked = 0;
  for (; const auto state = reader.next(cursor); ++walked) {
    const auto known = model.find(state->hot.id);
    ASSERT_NE(known, model.end());
    ASSERT_EQ(state->hot.src.seqlo, known->second.version);
    ASSERT_TRUE(certified(*state));
  }
  EXPECT_EQ(walked, model.size());
  EXPECT_GT(erased, operations / 20);
  EXPECT_EQ(judged.torn, 0u);
  EXPECT_EQ(judged.other, 0u);
  EXPECT_GT(judged.found, 1000u);
}

INSTANTIATE_TEST_SUITE_P(Seeds, DifferentialTest, ::testing::Values(1, 2, 3));

}  // namespace
}  // namespace pfsync::statetable
