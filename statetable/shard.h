#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <span>

#include "statetable/entry.h"
#include "statetable/index.h"
#include "statetable/sequenced.h"
#include "statetable/table.h"

namespace pfsync::statetable {

/// Sequence word and hot part: two cache lines.
struct alignas(128) HotEntry {
  std::uint64_t sequence;  ///< odd while the entry is being changed
  Sequenced<HotState> body;
};
static_assert(sizeof(HotEntry) == 128);

/// Memory of one shard: entries in slots that never move, the index over them, and the dense arrays
/// that sweeps stream through. Private to statetable/: others see Table, ShardWriter, TableReader.
class Shard {
 public:
  Shard() = default;
  ~Shard();
  Shard(const Shard&) = delete;
  Shard& operator=(const Shard&) = delete;

  [[nodiscard]] static std::size_t bytes_for(std::size_t entries) noexcept;
  /// False when the memory cannot be had.
  [[nodiscard]] bool allocate(std::size_t entries, Slot first_slot) noexcept;

  /// Copies the entry in a local slot, consistently; false when the slot is free. Any thread.
  [[nodiscard]] bool read(std::size_t local, Snapshot& into) const noexcept;

  /// Fetches all that an insert into the slot writes.
  void prefetch_for_insert(std::size_t local) const noexcept {
    for (std::size_t at = 0; at < sizeof(HotEntry); at += 64)
      __builtin_prefetch(reinterpret_cast<const char*>(&hot[local]) + at, 1);
    for (std::size_t at = 0; at < sizeof(cold[local]); at += 64)
      __builtin_prefetch(reinterpret_cast<const char*>(&cold[local]) + at, 1);
    __builtin_prefetch(&check_at[local], 1);
    __builtin_prefetch(&creator[local], 1);
  }

  std::span<HotEntry> hot;
  std::span<Sequenced<ColdState>> cold;
  /// Never later than the entry's expire_at_s: an update that moves the end further away leaves it
  /// alone, and the sweep moves it when it gets here. So UPD_C does not touch this array.
  std::span<Seconds> check_at;
  std::span<std::uint32_t> creator;
  std::span<Slot> free_slots;  ///< a stack; local numbers
  Index index;
  Slot first_slot = 0;
  std::uint64_t hash_seed = 0;
  std::size_t free_count = 0;
  std::size_t sweep_at = 0;
  bool claimed = false;
  /// One more than the highest local slot ever used: readers and sweeps stop here.
  std::atomic<std::size_t> touched{0};
  std::atomic<std::size_t> size{0};

 private:
  void* memory_ = nullptr;
  std::size_t memory_bytes_ = 0;
};

}  // namespace pfsync::statetable
