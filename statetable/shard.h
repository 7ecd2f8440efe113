#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

#include "statetable/connection.h"
#include "statetable/entry.h"
#include "statetable/fetch.h"
#include "statetable/free_list.h"
#include "statetable/index.h"
#include "statetable/layout.h"

namespace pfsync::statetable {

struct TableConfig;

/// A consistent copy of one entry.
struct Snapshot {
  HotState hot;
  ColdState cold;
};

/// Memory of one shard: entries in slots that never move, the index over them, and the dense arrays
/// that sweeps stream through. Others use it through ShardWriter and TableReader.
class Shard {
 public:
  Shard() = default;
  ~Shard();
  Shard(const Shard&) = delete;
  Shard& operator=(const Shard&) = delete;

  /// When every entry is in use, the larger kind of it, and an index grows.
  [[nodiscard]] static std::size_t bytes_for(std::size_t entries, bool by_connection) noexcept;
  /// False when the memory cannot be had.
  [[nodiscard]] bool allocate(std::size_t entries, Slot first_slot, const TableConfig& config) noexcept;

  /// A consistent copy of a local slot's entry; false when it is free. Any thread.
  [[nodiscard]] bool read(std::size_t local, Packed& into) const noexcept;
  /// The same as values.
  [[nodiscard]] bool read(std::size_t local, Snapshot& into) const noexcept;
  /// Of it, whose state it is: one cache line.
  [[nodiscard]] bool read(std::size_t local, wire::StateId& into) const noexcept;

  [[nodiscard]] std::size_t entries() const noexcept { return entries_; }
  [[nodiscard]] const ExtensionEntry* extension_of(const HotEntry& entry) const noexcept {
    return entry.extension() == no_extension ? nullptr : &extensions[entry.extension() - 1];
  }

  /// The hash under which `connections` has the slot. For the writer.
  [[nodiscard]] Hash connection_of(Slot slot_and_side) const noexcept;
  /// Both sides of a local slot's state. For the writer.
  [[nodiscard]] Sides sides_of(std::size_t local) const noexcept;

  /// Fetches all that an insert into the slot writes.
  void prefetch_for_insert(std::size_t local) const noexcept {
    prefetch_hot(local);
    fetch(&cold[local]);
    fetch(&check_at[local]);
    fetch(&creator[local]);
  }
  void prefetch_for_read(std::size_t local) const noexcept {
    prefetch_hot(local);
    fetch(&cold[local]);
  }
  void prefetch_hot(std::size_t local) const noexcept {
    const auto* entry = reinterpret_cast<const char*>(&hot[local]);
    fetch(entry);
    fetch(entry + 64);
  }

  /// A byte for a creator: streamed by CLR. `creator_other` for those beyond the first 254.
  [[nodiscard]] std::uint8_t number_of(std::uint32_t creatorid) noexcept;
  /// The same without giving out a new one; 0 when it has none.
  [[nodiscard]] std::uint8_t known_number_of(std::uint32_t creatorid) const noexcept;
  static constexpr std::uint8_t creator_other = 255;

  HotEntry* hot = nullptr;
  ColdEntry* cold = nullptr;
  /// Never later than the entry's expire_at_s: an update that moves the end further away leaves it
  /// alone, and the sweep moves it when it gets here. So UPD_C does not touch this array.
  Seconds* check_at = nullptr;
  std::uint8_t* creator = nullptr;  ///< 0: never used; a freed slot keeps its own
  ExtensionEntry* extensions = nullptr;
  Index index;
  /// By connection: a state's slot under its wire side, and with stack_side set under its stack side when that is
  /// another.
  Index connections;
  static constexpr Slot stack_side = Slot{1} << 31u;  ///< slots are below half of no_slot
  bool by_connection = false;
  /// Whether a block of slots has changed since its part of the digest was taken. Set by the writer after a change.
  static constexpr std::size_t block_slots = 1024;
  std::unique_ptr<std::atomic<bool>[]> changed;
  void mark_changed(std::size_t local) noexcept {
    // Not read before: a look that finds it set already could be older than the digest that is about to clear it.
    changed[local / block_slots].store(true, std::memory_order_release);
  }
  FreeList<ColdEntry> free_slots;
  FreeList<ExtensionEntry> free_extensions;
  Slot first_slot = 0;
  std::uint64_t hash_seed = 0;
  std::size_t sweep_at = 0;
  std::uint32_t extensions_touched = 0;
  bool claimed = false;
  /// One more than the highest local slot ever used: readers and sweeps stop here.
  std::atomic<std::size_t> touched{0};
  std::atomic<std::size_t> size{0};

 private:
  std::size_t entries_ = 0;
  std::array<std::uint32_t, creator_other> creators_{};  ///< the creator of number i + 1
  std::size_t creators_known_ = 0;
  std::size_t creator_last_ = 0;
  void* memory_ = nullptr;
  std::size_t memory_bytes_ = 0;
};

}  // namespace pfsync::statetable
