#pragma once

#include <algorithm>
#include <atomic>
#include <compare>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <variant>
#include <vector>

#include "statetable/connection.h"
#include "statetable/entry.h"
#include "statetable/fetch.h"
#include "statetable/hash.h"
#include "statetable/layout.h"
#include "statetable/shard.h"
#include "statetable/time.h"
#include "wire/state.h"

namespace pfsync::statetable {

struct TableConfig {
  std::size_t states_max = 1'000'000;
  unsigned shard_bits = 2;      ///< 2^shard_bits shards, at most 8 bits
  std::uint64_t hash_seed = 0;  ///< secret: a peer that knew it could fill one bucket
  bool by_connection = false;   ///< keep the index by connection too
  bool reserve = false;         ///< take all memory now, on the calling thread's NUMA node, instead of as states arrive
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

class ShardWriter;
class TableReader;

/// The connection-state table: shards, each with one writer and any number of readers, no locks.
/// The most that it can take is fixed at `create`, pages are taken as states arrive, and the index grows with them.
/// Entries are type-stable and never move, so a reader needs no epoch: it checks the sequence word and the key of
/// what it found (statetable/README.md tells the protocol).
class Table {
 public:
  /// The table, or one sentence that says why it cannot be had.
  [[nodiscard]] static std::variant<std::unique_ptr<Table>, std::string> create(const TableConfig& config);
  ~Table();
  Table(const Table&) = delete;
  Table& operator=(const Table&) = delete;

  /// Bytes of memory that a table of this configuration takes at most.
  [[nodiscard]] static std::size_t memory_bytes(const TableConfig& config) noexcept;

  [[nodiscard]] std::size_t shard_count() const noexcept { return shards_.size(); }
  /// One more than the largest slot number.
  [[nodiscard]] std::size_t slot_count() const noexcept;
  [[nodiscard]] const TableConfig& config() const noexcept { return config_; }
  [[nodiscard]] Hash hash(wire::StateId id) const noexcept { return hash_of(id, config_.hash_seed); }
  [[nodiscard]] Beside beside(const Sides& sides) const noexcept { return beside_of(sides, config_.hash_seed); }
  [[nodiscard]] std::size_t shard_of(Hash hash) const noexcept { return hash.shard(config_.shard_bits); }
  /// What the states in it take: entries and indexes. For the writers' thread, or when nobody writes.
  [[nodiscard]] std::size_t bytes_in_use() const noexcept;

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
  /// The digest of each shard's blocks, as it was when they were last looked at.
  mutable std::mutex digests_guard_;
  mutable std::vector<std::vector<Digest>> digests_;
};

/// A change of one entry: odd sequence word, words, even sequence word.
class Change {
 public:
  explicit Change(HotEntry& entry) noexcept : entry_{entry} {
    // Relaxed suffices: the words that follow are release stores, so whoever sees one of them sees this.
    std::atomic_ref{entry_.sequence}.store(entry_.sequence + 1, std::memory_order_relaxed);
  }
  ~Change() { std::atomic_ref{entry_.sequence}.store(entry_.sequence + 1, std::memory_order_release); }
  Change(const Change&) = delete;
  Change& operator=(const Change&) = delete;

 private:
  HotEntry& entry_;
};

/// What an update changes of an entry: the directions that are taken, and the times.
struct Renewal {
  const wire::Peer* src = nullptr;  ///< null: stays as it is
  const wire::Peer* dst = nullptr;
  std::uint8_t timeout = 0;
  Seconds expire_at_s = 0;
  Seconds heard_s = 0;
};

[[gnu::always_inline]] inline void renew(HotEntry& entry, const Renewal& renewal) noexcept {
  const Change change{entry};
  if (renewal.src != nullptr) put_peer(entry.src, *renewal.src);
  put(entry.times,
      pair_of(static_cast<std::uint32_t>(renewal.expire_at_s), static_cast<std::uint32_t>(renewal.heard_s)));
  put(entry.meta, (entry.meta & ~Word{0xff0000}) | Word{renewal.timeout} << 16u);
  if (renewal.dst != nullptr) put_peer(entry.dst, *renewal.dst);
}

/// A look-up on its way through its stages. What has been found so far is only a hint: the table may have changed
/// since.
struct Search {
  Hash hash;
  const Bucket* line = nullptr;
  const HotEntry* entry = nullptr;
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

  // One at a time waits for memory again and again; in batches that is hidden. Some tens of operations apart:
  // begin, then guess, then (prefetch_erase and) the operation with the search.
  [[nodiscard]] [[gnu::always_inline]] Search begin(Hash hash) const noexcept {
    return {hash, shard_->index.prefetch(hash)};
  }
  /// Where the state probably is; its entry is on its way to the cache then.
  [[gnu::always_inline]] void guess(Search& search) const noexcept {
    const Slot local = shard_->index.guess(search.hash, search.line);
    if (local == no_slot) [[unlikely]]
      return;
    search.entry = &shard_->hot[local];
    shard_->prefetch_hot(local);
  }

  /// Where that is; no_slot when nobody knows.
  [[nodiscard]] Slot guessed(const Search& search) const noexcept {
    return search.entry == nullptr ? no_slot : shard_->first_slot + static_cast<Slot>(search.entry - shard_->hot);
  }

  /// For a state that will be erased, once its entry is here: the rest of what that touches.
  [[gnu::always_inline]] void prefetch_erase(const Search& search) const noexcept {
    if (search.entry != nullptr && search.entry->is_indexed())
      static_cast<void>(shard_->connections.prefetch(Hash{search.entry->connection}));
  }

  [[nodiscard]] Slot find(wire::StateId id, Hash hash) const noexcept;
  [[nodiscard]] [[gnu::always_inline]] Slot find(wire::StateId id, const Search& search) const noexcept {
    if (search.entry != nullptr && search.entry->is(id) && search.entry->in_use()) [[likely]]
      return shard_->first_slot + static_cast<Slot>(search.entry - shard_->hot);
    return find(id, search.hash);
  }

  /// A state that has one of these sides already, so that pf would not have another beside it; no_slot if there is
  /// none. Always no_slot without an index by connection.
  [[nodiscard]] Slot find_beside(const Beside& beside) const noexcept;
  void prefetch(const Beside& beside) const noexcept;

  /// Contract for all that take a slot: it is in use and belongs to this shard.
  /// The entry itself, good until the next change of it.
  [[nodiscard]] const HotEntry& entry(Slot slot) const noexcept { return shard_->hot[slot - shard_->first_slot]; }
  void prefetch(Slot slot) const noexcept { shard_->prefetch_hot(slot - shard_->first_slot); }
  [[nodiscard]] HotState hot(Slot slot) const noexcept { return unpack_hot(entry(slot)); }
  [[nodiscard]] ColdState cold(Slot slot) const noexcept;
  [[nodiscard]] wire::InterfaceName interface(Slot slot) const noexcept;
  [[nodiscard]] wire::State state(Slot slot, Seconds now_s) const noexcept;

  /// `hot.id` must hash to `hash`. `beside`: of the state, if it is known already.
  InsertResult insert(const HotState& hot, const ColdState& cold, Hash hash, const Beside* beside = nullptr) noexcept {
    if (const Slot slot = find(hot.id, hash); slot != no_slot) return {Inserted::exists, slot};
    const Slot slot = add(hot, cold, hash, beside);
    return {slot == no_slot ? Inserted::full : Inserted::yes, slot};
  }
  /// The same for a state that is not in the table: its slot, or no_slot when the shard is full.
  Slot add(const HotState& hot, const ColdState& cold, Hash hash, const Beside* beside = nullptr) noexcept;
  /// What an update changes.
  [[gnu::always_inline]] void renew(Slot slot, const Renewal& renewal) noexcept {
    const Slot local = slot - shard_->first_slot;
    HotEntry& changed = shard_->hot[local];
    if (renewal.expire_at_s < changed.expire_at_s()) [[unlikely]]
      shard_->check_at[local] = std::min(shard_->check_at[local], renewal.expire_at_s);
    statetable::renew(changed, renewal);
    shard_->mark_changed(local);
  }
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

  /// Calls f(slot) for each state of this creator; f may erase it. Streams a byte a slot. Returns how many entries it
  /// had to look at that are not the creator's: of a creator without a number those of all others without.
  template <class F>
  std::size_t for_each_of(std::uint32_t creatorid, F&& f) {
    std::size_t others = 0;
    for (Slot slot = first_of(creatorid, no_slot, others); slot != no_slot; slot = first_of(creatorid, slot, others))
      f(slot);
    return others;
  }
  /// Whether the states of this creator are found without a look at others': false for those beyond the first 254 that
  /// had any.
  [[nodiscard]] bool has_number(std::uint32_t creatorid) const noexcept;

  [[nodiscard]] std::size_t size() const noexcept;
  /// Slots that a full sweep has to look at.
  [[nodiscard]] std::size_t slots_touched() const noexcept;

 private:
  friend class Table;
  explicit ShardWriter(Shard& shard) noexcept : shard_{&shard} {}

  /// The next due slot, advancing `looked`; no_slot once `slots` were looked at.
  [[nodiscard]] Slot next_due(Seconds now_s, std::size_t slots, std::size_t& looked) noexcept;
  /// The first slot of the creator behind `after` (no_slot: from the start).
  [[nodiscard]] Slot first_of(std::uint32_t creatorid, Slot after, std::size_t& others) const noexcept;
  /// Move a bucket of an index that has become too small.
  void grow_index() noexcept;
  void grow_connections() noexcept;

  Shard* shard_;
};

/// Lock-free reading: every result is one version of an entry, never a mixture. Reentrant: any number
/// of threads, each with its own copy. Never blocks the writer.
class TableReader {
 public:
  [[nodiscard]] std::optional<Snapshot> find(wire::StateId id) const noexcept;
  /// The same for many, which waits for memory only once in a while: found[i] becomes the state of ids[i]. Returns how
  /// many there are. Contract: both are of one size.
  std::size_t find(std::span<const wire::StateId> ids, std::span<std::optional<Snapshot>> found) const noexcept;
  /// The state that a packet of this connection belongs to, on its wire side or on its stack side. A state that floats
  /// is on the interface "all". Contract: the table keeps an index by connection.
  enum class Side : std::uint8_t { wire, stack };
  [[nodiscard]] std::optional<Snapshot> find(const Connection& connection, Side side) const noexcept;

  /// As ShardWriter::find_beside, in a shard that another thread writes.
  [[nodiscard]] std::optional<Snapshot> find_beside(std::size_t shard, const Beside& beside) const noexcept;
  /// In every shard, for the search that comes.
  void prefetch(const Beside& beside) const noexcept;

  /// Where a walk stands. It survives inserts and erases: a state that is there during the whole walk
  /// is seen exactly once; one that comes or goes meanwhile is seen once or not at all.
  struct Cursor {
    std::size_t shard = 0;
    std::size_t slot = 0;  ///< within the shard

    friend constexpr auto operator<=>(const Cursor&, const Cursor&) noexcept = default;
  };
  /// The next state at or behind the cursor, which is advanced behind it; nullopt at the end.
  [[nodiscard]] std::optional<Snapshot> next(Cursor& cursor) const noexcept;
  /// The same walk in bounded steps: looks at no more than `slots` slots, free ones too, and takes those that it looked
  /// at off `slots`. nullopt: at the end, or `slots` is 0.
  [[nodiscard]] std::optional<Snapshot> next(Cursor& cursor, std::size_t& slots) const noexcept;
  /// Of as many of the next states as there are, fit, and lie in the next `slots` slots, who they are: a cache line
  /// each.
  [[nodiscard]] std::size_t next(Cursor& cursor, std::span<wire::StateId> ids, std::size_t& slots) const noexcept;
  [[nodiscard]] bool at_end(const Cursor& cursor) const noexcept { return cursor.shard >= shards_.size(); }
  /// How far a walk has come. Units: slots that have ever been used.
  struct Progress {
    std::size_t at = 0;
    std::size_t of = 0;
  };
  [[nodiscard]] Progress progress(const Cursor& cursor) const noexcept;
  /// What never changes while a state is held: what a walk may choose by, and another walk by the contrary.
  struct Lasting {
    std::uint8_t proto;
    Seconds created_s;
  };
  /// The next state for which is_wanted(Lasting) holds. Those passed over cost two cache lines and no copy.
  template <class F>
  [[nodiscard]] std::optional<Snapshot> next_of(Cursor& cursor, F&& is_wanted) const noexcept {
    constexpr std::size_t hot_ahead = 16, cold_ahead = 8;
    std::optional<Snapshot> found{std::in_place};
    for (; cursor.shard < shards_.size(); ++cursor.shard, cursor.slot = 0) {
      const Shard& shard = *shards_[cursor.shard];
      const auto wants = [&](std::size_t local) { return is_wanted(lasting(shard.hot[local])); };
      // Acquire: pairs with the release in insert, so that entries below it have been written once.
      const std::size_t touched = shard.touched.load(std::memory_order_acquire);
      while (cursor.slot < touched) {
        if (cursor.slot + hot_ahead < touched) shard.prefetch_hot(cursor.slot + hot_ahead);
        if (cursor.slot + cold_ahead < touched && wants(cursor.slot + cold_ahead))
          fetch(&shard.cold[cursor.slot + cold_ahead]);
        const std::size_t local = cursor.slot++;
        // What is read before its version is sure may be another state's, in this slot before or after: one that comes
        // or goes meanwhile.
        if (wants(local) && shard.read(local, *found)) return found;
      }
    }
    return std::nullopt;
  }
  /// As many of the next states as there are and fit, as values for messages; 0 at the end. The fast way through a
  /// table.
  [[nodiscard]] std::size_t next(Cursor& cursor, std::span<wire::State> states, Seconds now_s) const noexcept;

 private:
  friend class Table;
  [[nodiscard]] const Shard& shard_of(Hash hash) const noexcept { return *shards_[hash.shard(config_->shard_bits)]; }
  [[nodiscard]] static Lasting lasting(const HotEntry& entry) noexcept {
    return {static_cast<std::uint8_t>(get(entry.meta) >> 24u), static_cast<Seconds>(low_of(get(entry.created_anchor)))};
  }
  [[nodiscard]] static bool read(const Shard& shard, wire::StateId id, Hash hash, Packed& packed) noexcept;
  explicit TableReader(std::span<const std::unique_ptr<Shard>> shards, const TableConfig& config) noexcept
      : shards_{shards}, config_{&config} {}

  std::span<const std::unique_ptr<Shard>> shards_;
  const TableConfig* config_;
};

}  // namespace pfsync::statetable
