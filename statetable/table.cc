#include "statetable/table.h"

#include <algorithm>
#include <array>
#include <bit>

#include "statetable/shard.h"

namespace pfsync::statetable {
namespace {

/// Hashing spreads states over shards unevenly, by about the square root; the slack covers six times that.
std::size_t entries_per_shard(const TableConfig& config) noexcept {
  const std::size_t shards = std::size_t{1} << config.shard_bits;
  if (shards == 1) return config.states_max;
  const std::size_t even = (config.states_max + shards - 1) / shards;
  std::size_t root = 1;
  while (root * root < even) ++root;
  return std::min(config.states_max, even + 6 * root + 16);
}

}  // namespace

Table::Table(const TableConfig& config) : config_{config} {}
Table::~Table() = default;

std::size_t Table::memory_bytes(const TableConfig& config) noexcept {
  return Shard::bytes_for(entries_per_shard(config)) << config.shard_bits;
}

std::variant<std::unique_ptr<Table>, std::string> Table::create(const TableConfig& config) {
  if (config.shard_bits > 8) return "a table has at most 256 shards";
  // Before any arithmetic, which a larger number overflows; the slack of the shards fits in the other half.
  if (config.states_max == 0 || config.states_max > no_slot / 2)
    return "states_max must be between 1 and " + std::to_string(no_slot / 2);
  const std::size_t entries = entries_per_shard(config);
  std::unique_ptr<Table> table{new Table{config}};
  for (std::size_t i = 0; i < (std::size_t{1} << config.shard_bits); ++i) {
    auto shard = std::make_unique<Shard>();
    if (!shard->allocate(entries, static_cast<Slot>(i * entries)))
      return "a table of " + std::to_string(config.states_max) + " states needs " +
             std::to_string(memory_bytes(config) >> 20) + " MiB of memory, which the system refuses: lower states_max";
    shard->hash_seed = config.hash_seed;
    table->shards_.push_back(std::move(shard));
  }
  return table;
}

std::size_t Table::slot_count() const noexcept { return shards_.size() * shards_.front()->hot.size(); }

std::optional<ShardWriter> Table::claim(std::size_t shard) {
  if (shard >= shards_.size() || shards_[shard]->claimed) return std::nullopt;
  shards_[shard]->claimed = true;
  return ShardWriter{*shards_[shard]};
}

TableReader Table::reader() const noexcept { return TableReader{shards_, config_}; }

std::size_t Table::size() const noexcept {
  std::size_t size = 0;
  for (const auto& shard : shards_) size += shard->size.load(std::memory_order_relaxed);
  return size;
}

// --- writing -----------------------------------------------------------------------------------------

namespace {

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

constexpr Seconds never = std::numeric_limits<Seconds>::max();

}  // namespace

void ShardWriter::prefetch_index(Hash hash) const noexcept { shard_->index.prefetch(hash); }

void ShardWriter::prefetch_entry(Hash hash) const noexcept {
  // A hint: the first place with the tag is nearly always the right one.
  const Slot local = shard_->index.find(hash, [](Slot) { return true; });
  if (local == no_slot) return;
  // Not inside the search: g++ 12 takes a function that only prefetches for one without effect and drops it.
  const auto* entry = reinterpret_cast<const char*>(&shard_->hot[local]);
  __builtin_prefetch(entry, 1);
  __builtin_prefetch(entry + 64, 1);
}

Slot ShardWriter::find(wire::StateId id, Hash hash) const noexcept {
  const Slot local =
      shard_->index.find(hash, [&](Slot candidate) { return shard_->hot[candidate].body.own_first<wire::StateId>() == id; });
  return local == no_slot ? no_slot : shard_->first_slot + local;
}

HotState ShardWriter::hot(Slot slot) const noexcept { return shard_->hot[slot - shard_->first_slot].body.own(); }
ColdState ShardWriter::cold(Slot slot) const noexcept { return shard_->cold[slot - shard_->first_slot].own(); }
wire::State ShardWriter::state(Slot slot, Seconds now_s) const noexcept {
  return to_state(hot(slot), cold(slot), now_s);
}

ShardWriter::InsertResult ShardWriter::insert(const HotState& hot, const ColdState& cold, Hash hash) noexcept {
  Shard& shard = *shard_;
  if (const Slot slot = find(hot.id, hash); slot != no_slot) return {Inserted::exists, slot};
  const std::size_t touched = shard.touched.load(std::memory_order_relaxed);
  Slot local = 0;
  if (shard.free_count > 0) {
    local = shard.free_slots[--shard.free_count];
    // Freed slots lie anywhere: those of the inserts to come are fetched meanwhile.
    constexpr std::size_t ahead = 8;
    if (shard.free_count >= ahead) shard.prefetch_for_insert(shard.free_slots[shard.free_count - ahead]);
  } else if (touched < shard.hot.size())
    local = static_cast<Slot>(touched);
  else
    return {Inserted::full, no_slot};
  {
    const Change change{shard.hot[local]};
    shard.cold[local].store(cold);
    HotState body = hot;
    body.in_use = true;
    shard.hot[local].body.store(body);
  }
  shard.check_at[local] = hot.expire_at_s;
  shard.creator[local] = hot.id.creatorid;
  shard.index.insert(hash, local);
  if (local == touched) shard.touched.store(touched + 1, std::memory_order_release);  // read by TableReader::next
  shard.size.store(shard.size.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
  return {Inserted::yes, shard.first_slot + local};
}

void ShardWriter::update(Slot slot, const HotState& hot) noexcept {
  Shard& shard = *shard_;
  const Slot local = slot - shard.first_slot;
  HotState body = hot;
  body.in_use = true;
  if (hot.expire_at_s < shard.hot[local].body.own().expire_at_s)
    shard.check_at[local] = std::min(shard.check_at[local], hot.expire_at_s);
  const Change change{shard.hot[local]};
  shard.hot[local].body.store(body);
}

void ShardWriter::erase(Slot slot) noexcept {
  Shard& shard = *shard_;
  const Slot local = slot - shard.first_slot;
  HotState body = shard.hot[local].body.own();
  const Hash hash = hash_of(body.id, shard.hash_seed);
  shard.index.erase(hash, local);
  {
    const Change change{shard.hot[local]};
    body = HotState{};
    shard.hot[local].body.store(body);
  }
  shard.check_at[local] = never;
  shard.creator[local] = 0;
  shard.free_slots[shard.free_count++] = local;
  shard.size.store(shard.size.load(std::memory_order_relaxed) - 1, std::memory_order_relaxed);
}

Slot ShardWriter::next_due(Seconds now_s, std::size_t slots, std::size_t& looked) noexcept {
  Shard& shard = *shard_;
  const std::size_t touched = shard.touched.load(std::memory_order_relaxed);
  while (looked < slots && touched > 0) {
    ++looked;
    if (shard.sweep_at >= touched) shard.sweep_at = 0;
    const std::size_t local = shard.sweep_at++;
    if (shard.check_at[local] > now_s) continue;
    const HotState hot = shard.hot[local].body.own();
    if (!hot.in_use) continue;
    if (hot.expire_at_s > now_s)
      shard.check_at[local] = hot.expire_at_s;
    else
      return shard.first_slot + static_cast<Slot>(local);
  }
  return no_slot;
}

Slot ShardWriter::first_of(std::uint32_t creatorid, Slot after) const noexcept {
  const Shard& shard = *shard_;
  const std::size_t touched = shard.touched.load(std::memory_order_relaxed);
  for (std::size_t local = after == no_slot ? 0 : after - shard.first_slot + 1; local < touched; ++local)
    if (shard.creator[local] == creatorid && shard.hot[local].body.own().in_use)
      return shard.first_slot + static_cast<Slot>(local);
  return no_slot;
}

std::size_t ShardWriter::size() const noexcept { return shard_->size.load(std::memory_order_relaxed); }
std::size_t ShardWriter::slots_touched() const noexcept { return shard_->touched.load(std::memory_order_relaxed); }

// --- reading -----------------------------------------------------------------------------------------

std::optional<Snapshot> TableReader::find(wire::StateId id) const noexcept {
  const Hash hash = hash_of(id, config_->hash_seed);
  const Shard& shard = *shards_[hash.shard(config_->shard_bits)];
  std::optional<Snapshot> found{std::in_place};
  const Slot slot = shard.index.find_shared(hash, [&](Slot local) {
    return shard.read(local, *found) && found->hot.id == id;  // otherwise the place, or the slot, was reused
  });
  if (slot == no_slot) found.reset();
  return found;
}

std::optional<Snapshot> TableReader::next(Cursor& cursor) const noexcept {
  std::optional<Snapshot> found{std::in_place};
  for (; cursor.shard < shards_.size(); ++cursor.shard, cursor.slot = 0) {
    const Shard& shard = *shards_[cursor.shard];
    // Acquire: pairs with the release in insert, so that entries below it have been written once.
    const std::size_t touched = shard.touched.load(std::memory_order_acquire);
    while (cursor.slot < touched) {
      constexpr std::size_t ahead = 8;
      if (cursor.slot + ahead < touched) {
        __builtin_prefetch(&shard.hot[cursor.slot + ahead]);
        __builtin_prefetch(&shard.cold[cursor.slot + ahead]);
      }
      if (shard.read(cursor.slot++, *found)) return found;
    }
  }
  found.reset();
  return found;
}

}  // namespace pfsync::statetable
