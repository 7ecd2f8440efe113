#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <vector>

// What statetable/README.md promises of one writer and readers without locks, checked for every order in which the
// C++ memory model lets a reader see the writer's stores, weaker than any processor's. One writer whom nobody answers
// makes all orders a matter of which store each load sees: none older than what the reader is known to have seen.
// Source: J. Kang et al., "A Promising Semantics for Relaxed-Memory Concurrency", POPL 2017, views of release and
// acquire.
//
// Assumed: one writer; the words of an entry and a bucket are what layout.h and buckets.h store, here two and one of
// them; a reader that never ends its turns is not judged. The sanitizer's test of real threads is threads_test.cc.

namespace pfsync::statetable {
namespace {

constexpr std::size_t locations = 6;
using View = std::array<std::size_t, locations>;  ///< of each location, the oldest store that may still be seen
enum class Order : std::uint8_t { relaxed, acquire, release };

/// Everything that the writer stored, in its order.
class Memory {
 public:
  Memory() {
    for (auto& stores : stores_) stores.push_back({0, {}});
  }
  void store(std::size_t where, std::uint32_t value, Order order) {
    own_[where] = stores_[where].size();
    View told{};
    told[where] = own_[where];
    stores_[where].push_back({value, order == Order::release ? own_ : told});
  }
  struct Store {
    std::uint32_t value;
    View told;  ///< what a load with acquire learns by seeing it
  };
  [[nodiscard]] const std::vector<Store>& stores(std::size_t where) const { return stores_[where]; }

 private:
  std::array<std::vector<Store>, locations> stores_;
  View own_{};
};

/// Goes through all sequences of choices, one a round.
class Choices {
 public:
  std::size_t choose(std::size_t count) {
    if (at_ == made_.size()) made_.push_back({0, count});
    return made_[at_++].chosen;
  }
  /// Whether there is a sequence that has not been gone through.
  bool next() {
    at_ = 0;
    while (!made_.empty() && made_.back().chosen + 1 == made_.back().count) made_.pop_back();
    if (made_.empty()) return false;
    ++made_.back().chosen;
    return true;
  }

 private:
  struct Choice {
    std::size_t chosen, count;
  };
  std::vector<Choice> made_;
  std::size_t at_ = 0;
};

class Reader {
 public:
  Reader(const Memory& memory, Choices& choices) : memory_{memory}, choices_{choices} {}
  std::uint32_t load(std::size_t where, Order order) {
    const auto& stores = memory_.stores(where);
    const std::size_t seen = seen_[where] + choices_.choose(stores.size() - seen_[where]);
    seen_[where] = seen;
    if (order == Order::acquire)
      for (std::size_t i = 0; i < locations; ++i) seen_[i] = std::max(seen_[i], stores[seen].told[i]);
    return stores[seen].value;
  }

 private:
  const Memory& memory_;
  Choices& choices_;
  View seen_{};
};

// --- an entry and its sequence word ------------------------------------------------------------------

constexpr std::size_t sequence = 0, first = 1, second = 2;

/// Change (table.h), three versions: both words of version v hold v.
Memory written_entry(Order words) {
  Memory memory;
  std::uint32_t number = 0;
  for (std::uint32_t version = 1; version <= 3; ++version) {
    memory.store(sequence, ++number, Order::relaxed);
    memory.store(first, version, words);
    memory.store(second, version, words);
    memory.store(sequence, ++number, Order::release);
  }
  return memory;
}

struct Looks {
  std::size_t whole = 0, mixed = 0, refused = 0;
};

/// Shard::read, one turn of its loop.
Looks looks_at(const Memory& memory, Order words) {
  Looks looks;
  Choices choices;
  do {
    Reader reader{memory, choices};
    const std::uint32_t before = reader.load(sequence, Order::acquire);
    if (before % 2 != 0) {
      ++looks.refused;
      continue;
    }
    const std::uint32_t one = reader.load(first, words), other = reader.load(second, words);
    if (reader.load(sequence, Order::relaxed) != before)
      ++looks.refused;
    else
      ++(one == other && one == before / 2 ? looks.whole : looks.mixed);
  } while (choices.next());
  return looks;
}

TEST(Interleaving, AReaderSeesOneVersionOfAnEntryWhateverTheOrder) {
  const Looks looks = looks_at(written_entry(Order::release), Order::acquire);
  EXPECT_EQ(looks.mixed, 0u);
  EXPECT_EQ(looks.whole, 4u);  // the empty one and three versions, each in one way only
  EXPECT_GT(looks.refused, 20u);
}

TEST(Interleaving, WithoutReleaseOrAcquireMixturesAreFound) {
  EXPECT_GT(looks_at(written_entry(Order::relaxed), Order::acquire).mixed, 0u);
  EXPECT_GT(looks_at(written_entry(Order::release), Order::relaxed).mixed, 0u);
}

// --- an entry that moves to a larger index -----------------------------------------------------------

constexpr std::size_t phase = 0, in_small = 1, in_large = 2, in_largest = 3;

/// Index::grow, twice: the entry is there all the time.
Memory grown_index(bool into_the_new_one_first) {
  Memory memory;
  memory.store(in_small, 1, Order::release);
  std::uint32_t now = 0;
  for (std::size_t from = in_small; from < in_largest; ++from) {
    memory.store(phase, ++now, Order::release);
    if (into_the_new_one_first) memory.store(from + 1, 1, Order::release);
    memory.store(from, 0, Order::release);
    if (!into_the_new_one_first) memory.store(from + 1, 1, Order::release);
    memory.store(phase, ++now, Order::release);
  }
  return memory;
}

/// Index::find_shared by a reader that knows that the entry came in. Returns in how many orders it says that there is
/// none. `looks_again`: whether it minds that the phase has changed.
std::size_t missed(const Memory& memory, bool looks_again) {
  std::size_t missed = 0;
  Choices choices;
  do {
    Reader reader{memory, choices};
    if (reader.load(in_small, Order::acquire) == 0) continue;  // not yet, or moved: another round begins here
    for (;;) {
      const std::uint32_t before = reader.load(phase, Order::acquire);
      const std::size_t array = in_small + before / 2;
      bool found = reader.load(array, Order::acquire) != 0;
      if (!found && before % 2 != 0) found = reader.load(array + 1, Order::acquire) != 0;
      if (found) break;
      if (looks_again && reader.load(phase, Order::relaxed) != before) continue;
      ++missed;
      break;
    }
  } while (choices.next());
  return missed;
}

TEST(Interleaving, AnEntryThatMovesIsNeverMissed) { EXPECT_EQ(missed(grown_index(true), true), 0u); }

TEST(Interleaving, MissesAreFoundWhereTheProtocolIsBroken) {
  EXPECT_GT(missed(grown_index(true), false), 0u);
  EXPECT_GT(missed(grown_index(false), true), 0u);
}

// --- a place in a bucket, and the slot behind it -----------------------------------------------------

constexpr std::size_t tag_word = 0, slot_word = 1, entry_word = 2;

/// Buckets::insert: the entry, its slot, then the tag.
Memory published_place(Order publication) {
  Memory memory;
  memory.store(entry_word, 7, Order::release);
  memory.store(slot_word, 7, Order::relaxed);
  memory.store(tag_word, 7, publication);
  return memory;
}

std::size_t unwritten(const Memory& memory) {
  std::size_t unwritten = 0;
  Choices choices;
  do {
    Reader reader{memory, choices};
    if (reader.load(tag_word, Order::acquire) != 7) continue;
    if (reader.load(slot_word, Order::relaxed) != 7 || reader.load(entry_word, Order::acquire) != 7) ++unwritten;
  } while (choices.next());
  return unwritten;
}

TEST(Interleaving, WhoSeesATagSeesItsSlotAndEntry) {
  EXPECT_EQ(unwritten(published_place(Order::release)), 0u);
  EXPECT_GT(unwritten(published_place(Order::relaxed)), 0u);
}

}  // namespace
}  // namespace pfsync::statetable
