#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <variant>
#include <vector>

#include "statetable/entry.h"
#include "statetable/hash.h"
#include "statetable/time.h"
#include "wire/state.h"

namespace pfsync::statetable {

struct TableConfig {
  std::size_t states_max = 1'000'000;
  unsigned shard_bits = 2;       ///< 2^shard_bits shards, at most 8 bits
  std::uint64_t hash_seed = 0;   ///< secret: a peer that knew it could fill one bucket
};

/// What two tables are compared by. It does not depend on the order of inserts, on slots or on the
/// hash seed, nor on times, counters, interface names and rule numbers, which lawfully differ between nodes,
/// nor on the dialect that a state came in. Equal digests mean: the same connections, with the same windows
/// and levels. What some dialect cannot carry (route, tag, queues, tables, scrub options) is not compared.
struct Digest {
  std::uint64_t low = 0;
  std::uint64_t high = 0;
  std::size_t states = 0;

  friend constexpr bool operator==(const Digest&, const Digest&) noexcept = default;
};

class Shard;
class ShardWriter;
class TableReader;

/// The connection-state table: shards, each with one writer and any number of readers, no locks.
/// Memory is fixed at `create`; entries are type-stable and never move, so a reader needs no epoch: it
/// checks the sequence word and the key of what it found (statetable/README.md tells the protocol).
class Table {
 public:
  /// The table, or one sentence that says why it cannot be had.
  [[nodiscard]] static std::variant<std::unique_ptr<Table>, std::string> create(const TableConfig& config);
  ~Table();
  Table(const Table&) = delete;
  Table& operator=(const Table&) = delete;

  /// Bytes of memory that a table of this configuration takes.
  [[nodiscard]] static std::size_t memory_bytes(const TableConfig& config) noexcept;

  [[nodiscard]] std::size_t shard_count() const noexcept { return shards_.size(); }
  /// One more than the largest slot number.
  [[nodiscard]] std::size_t slot_count() const noexcept;
  [[nodiscard]] const TableConfig& config() const noexcept { return config_; }
  [[nodiscard]] Hash hash(wire::StateId id) const noexcept { return hash_of(id, config_.hash_seed); }
  [[nodiscard]] std::size_t shard_of(Hash hash) const noexcept { return hash.shard(config_.shard_bits); }

  /// The right to change one shard; nullopt when it has been claimed before.
  [[nodiscard]] std::optional<ShardWriter> claim(std::size_t shard);

  /// Reading side. Any thread, at any time.
  [[nodiscard]] TableReader reader() const noexcept;
  [[nodiscard]] std::size_t size() const noexcept;
  /// Walks the whole table, shards in parallel (TBB). For control threads.
  [[nodiscard]] Digest digest() const;

 private:
  explicit Table(const TableConfig& config);

  TableConfig config_;
  std::vector<std::unique_ptr<Shard>> shards_;
};

/// The single writer's right to change one shard. Move-only; thread-bound: one thread at a time.
class ShardWriter {
 public:
  enum class Inserted : std::uint8_t { yes, exists, full };
  struct InsertResult {
    Inserted inserted;
    Slot slot;  ///< the new entry, or the one that exists; no_slot when full
  };

  ShardWriter(ShardWriter&& other) noexcept : shard_{other.shard_} { other.shard_ = nullptr; }
  ShardWriter& operator=(ShardWriter&&) = delete;

  /// Batches: prefetch_index for all, then prefetch_entry for all, then the operations in order.
  void prefetch_index(Hash hash) const noexcept;
  void prefetch_entry(Hash hash) const noexcept;

  [[nodiscard]] Slot find(wire::StateId id, Hash hash) const noexcept;
  /// Contract for all that take a slot: it is in use and belongs to this shard.
  [[nodiscard]] HotState hot(Slot slot) const noexcept;
  [[nodiscard]] ColdState cold(Slot slot) const noexcept;
  [[nodiscard]] wire::State state(Slot slot, Seconds now_s) const noexcept;

  /// `hot.id` must hash to `hash`.
  InsertResult insert(const HotState& hot, const ColdState& cold, Hash hash) noexcept;
  /// Replaces the hot part; its id must not change.
  void update(Slot slot, const HotState& hot) noexcept;
  void erase(Slot slot) noexcept;

  /// Looks at up to `slots` more slots, round and round; calls due(slot) for each state whose time has
  /// come. `due` may erase the slot it is given. A call costs 4 bytes of streaming a slot.
  template <class F>
  void sweep(Seconds now_s, std::size_t slots, F&& due) {
    for (std::size_t looked = 0; looked < slots;) {
      const Slot slot = next_due(now_s, slots, looked);
      if (slot == no_slot) return;
      due(slot);
    }
  }

  /// Calls f(slot) for each state of this creator; f may erase it. Streams 4 bytes a slot.
  template <class F>
  void for_each_of(std::uint32_t creatorid, F&& f) {
    for (Slot slot = first_of(creatorid, no_slot); slot != no_slot; slot = first_of(creatorid, slot)) f(slot);
  }

  [[nodiscard]] std::size_t size() const noexcept;
  /// Slots that a full sweep has to look at.
  [[nodiscard]] std::size_t slots_touched() const noexcept;

 private:
  friend class Table;
  explicit ShardWriter(Shard& shard) noexcept : shard_{&shard} {}

  /// The next due slot, advancing `looked`; no_slot once `slots` were looked at.
  [[nodiscard]] Slot next_due(Seconds now_s, std::size_t slots, std::size_t& looked) noexcept;
  /// The first slot of the creator behind `after` (no_slot: from the start).
  [[nodiscard]] Slot first_of(std::uint32_t creatorid, Slot after) const noexcept;

  Shard* shard_;
};

/// A consistent copy of one entry.
struct Snapshot {
  HotState hot;
  ColdState cold;
};

/// Lock-free reading: every result is one version of an entry, never a mixture. Reentrant: any number
/// of threads, each with its own copy. Never blocks the writer.
class TableReader {
 public:
  [[nodiscard]] std::optional<Snapshot> find(wire::StateId id) const noexcept;

  /// Where a walk stands. It survives inserts and erases: a state that is there during the whole walk
  /// is seen exactly once; one that comes or goes meanwhile is seen once or not at all.
  struct Cursor {
    std::size_t shard = 0;
    std::size_t slot = 0;  ///< within the shard
  };
  /// The next state at or behind the cursor, which is advanced behind it; nullopt at the end.
  [[nodiscard]] std::optional<Snapshot> next(Cursor& cursor) const noexcept;

 private:
  friend class Table;
  explicit TableReader(std::span<const std::unique_ptr<Shard>> shards, const TableConfig& config) noexcept
      : shards_{shards}, config_{&config} {}

  std::span<const std::unique_ptr<Shard>> shards_;
  const TableConfig* config_;
};

}  // namespace pfsync::statetable
