#include <gtest/gtest.h>

#include <array>
#include <atomic>
#include <latch>
#include <thread>

#include "tests/statetable/entries.h"

namespace pfsync::statetable {
namespace {

constexpr std::uint64_t resident_ids = 60;  // inserted first, never erased
constexpr std::uint64_t transient_ids = 400;
constexpr std::uint32_t resident = 1, transient = 2;  // creators

struct Seen {
  std::atomic<std::uint64_t> rounds{0};
  std::uint64_t transients = 0, torn = 0, lost = 0, backwards = 0, other = 0, walk_wrong = 0;
};

void read_until(const std::atomic<bool>& done, TableReader reader, Seen& seen) {
  std::array<std::uint32_t, resident_ids> newest{};
  const auto accept = [&](const Snapshot& entry) {
    if (!certified(entry)) ++seen.torn;
    if (entry.hot.id.creatorid != resident) return;
    auto& last = newest[entry.hot.id.id];
    if (entry.hot.src.seqlo < last) ++seen.backwards;
    last = entry.hot.src.seqlo;
  };
  for (std::uint64_t round = 0; !done.load(std::memory_order_relaxed); ++round) {
    const wire::StateId stays{round % resident_ids, resident};
    if (const auto entry = reader.find(stays)) {
      if (entry->hot.id != stays) ++seen.other;
      accept(*entry);
    } else {
      ++seen.lost;
    }
    const wire::StateId comes{mixed(round) % transient_ids, transient};
    if (const auto entry = reader.find(comes)) {
      ++seen.transients;
      if (entry->hot.id != comes) ++seen.other;
      accept(*entry);
    }
    if (round % 64 == 0) {
      std::array<int, resident_ids> times{};
      TableReader::Cursor cursor;
      while (const auto entry = reader.next(cursor)) {
        accept(*entry);
        if (entry->hot.id.creatorid == resident) ++times[entry->hot.id.id];
      }
      for (const int count : times) seen.walk_wrong += count != 1;
    }
    seen.rounds.fetch_add(1, std::memory_order_relaxed);
  }
}

TEST(Threads, ReadersSeeWholeVersionsAndLoseNothing) {
  // Room for less than all: slots and index places are reused all the time.
  OwnedTable table{{.states_max = 300, .shard_bits = 0, .hash_seed = 11}};
  for (std::uint64_t n = 0; n < resident_ids; ++n) table.insert({n, resident});

  std::array<Seen, 2> seen;
  std::atomic<bool> done{false};
  std::latch started{4};
  std::array<std::thread, 2> readers;
  for (std::size_t i = 0; i < readers.size(); ++i)
    readers[i] = std::thread{[&, i] {
      started.arrive_and_wait();
      read_until(done, table->reader(), seen[i]);
    }};
  std::thread digests{[&] {
    started.arrive_and_wait();
    while (!done.load(std::memory_order_relaxed)) static_cast<void>(table->digest());
  }};
  started.arrive_and_wait();

  // Until everyone has had their share, however the threads are scheduled.
  const auto share_had = [&] {
    return seen[0].rounds.load(std::memory_order_relaxed) >= 20'000 &&
           seen[1].rounds.load(std::memory_order_relaxed) >= 20'000;
  };
  std::uint64_t erased = 0;
  for (std::uint32_t step = 1; step < 200'000 || !share_had(); ++step) {
    const wire::StateId stays{mixed(step) % resident_ids, resident};
    table.writer(0).update(table.find(stays), hot_of(stays, 1, step));
    const wire::StateId comes{mixed(~std::uint64_t{step}) % transient_ids, transient};
    if (const Slot slot = table.find(comes); slot == no_slot) {
      table.insert(comes, step);
    } else if (step % 2 == 0) {
      table.writer(0).erase(slot);
      ++erased;
    } else {
      table.writer(0).update(slot,
                             hot_of(comes, static_cast<std::uint32_t>(table.writer(0).hot(slot).created_s), step));
    }
  }
  done = true;
  for (auto& reader : readers) reader.join();
  digests.join();

  // No change escaped the digests that were taken meanwhile.
  OwnedTable copy{{.states_max = 300, .shard_bits = 0, .hash_seed = 12}};
  TableReader::Cursor cursor;
  while (const auto entry = table->reader().next(cursor)) copy.insert(entry->hot, entry->cold);
  EXPECT_EQ(table->digest(), copy->digest());

  EXPECT_GT(erased, 1000u);
  for (const Seen& reader : seen) {
    EXPECT_EQ(reader.torn, 0u);
    EXPECT_EQ(reader.lost, 0u);
    EXPECT_EQ(reader.backwards, 0u);
    EXPECT_EQ(reader.other, 0u);
    EXPECT_EQ(reader.walk_wrong, 0u);
    EXPECT_GT(reader.transients, 0u);
  }
}

}  // namespace
}  // namespace pfsync::statetable
