#include "statetable/table.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <limits>
#include <type_traits>

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
  return Shard::bytes_for(entries_per_shard(config), config.by_connection) << config.shard_bits;
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
    if (!shard->allocate(entries, static_cast<Slot>(i * entries), config))
      return "a table of " + std::to_string(config.states_max) + " states needs " +
             std::to_string(memory_bytes(config) >> 20) +
             " MiB of memory, which the system refuses: lower table.states_max";
    shard->hash_seed = config.hash_seed;
    table->shards_.push_back(std::move(shard));
  }
  return table;
}

std::size_t Table::slot_count() const noexcept { return shards_.size() * shards_.front()->entries(); }

std::size_t Table::bytes_in_use() const noexcept {
  std::size_t bytes = 0;
  for (const auto& shard : shards_)
    bytes +=
        shard->touched.load(std::memory_order_relaxed) * (sizeof(HotEntry) + sizeof(ColdEntry) + sizeof(Seconds) + 1) +
        shard->extensions_touched * sizeof(ExtensionEntry) + shard->index.bytes() + shard->connections.bytes();
  return bytes;
}

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
constexpr Seconds never = std::numeric_limits<Seconds>::max();
}  // namespace

Slot ShardWriter::find(wire::StateId id, Hash hash) const noexcept {
  const Slot local = shard_->index.find(hash, [&](Slot candidate) { return shard_->hot[candidate].is(id); });
  return local == no_slot ? no_slot : shard_->first_slot + local;
}

ColdState ShardWriter::cold(Slot slot) const noexcept {
  const HotEntry& hot = entry(slot);
  return unpack_cold(hot, shard_->cold[slot - shard_->first_slot], shard_->extension_of(hot));
}

wire::InterfaceName ShardWriter::interface(Slot slot) const noexcept {
  return interface_of(entry(slot), shard_->cold[slot - shard_->first_slot]);
}

wire::State ShardWriter::state(Slot slot, Seconds now_s) const noexcept {
  const HotEntry& hot = entry(slot);
  wire::State state;
  unpack_state(hot, shard_->cold[slot - shard_->first_slot], shard_->extension_of(hot), now_s, state);
  return state;
}

void ShardWriter::grow_index() noexcept {
  Shard& shard = *shard_;
  shard.index.grow(
      [&shard](Slot local) {
        const HotEntry& entry = shard.hot[local];
        return hash_of(wire::StateId{entry.id, entry.creatorid}, shard.hash_seed);
      },
      [&shard](Slot local) { fetch(&shard.hot[local]); });
}

void ShardWriter::grow_connections() noexcept {
  Shard& shard = *shard_;
  shard.connections.grow([&shard](Slot slot_and_side) { return shard.connection_of(slot_and_side); },
                         [&shard](Slot slot_and_side) {
                           const Slot local = slot_and_side & ~Shard::stack_side;
                           shard.prefetch_hot(local);
                           if (local != slot_and_side) fetch(&shard.cold[local]);
                         });
}

void ShardWriter::prefetch(const Beside& beside) const noexcept {
  if (!shard_->by_connection) return;
  static_cast<void>(shard_->connections.prefetch(beside.wire));
  if (!beside.are_one) static_cast<void>(shard_->connections.prefetch(beside.stack));
}

Slot ShardWriter::find_beside(const Beside& beside) const noexcept {
  const Shard& shard = *shard_;
  if (!shard.by_connection) return no_slot;
  const auto find_on = [&](const Connection& connection, Hash hash, bool on_wire, bool on_stack) {
    return shard.connections.find(hash, [&](Slot slot_and_side) {
      const Slot local = slot_and_side & ~Shard::stack_side;
      const HotEntry& entry = shard.hot[local];
      if (local != slot_and_side) return on_stack && shard.sides_of(local).stack == connection;
      // A state of one side has it on both.
      return entry.connection == hash.value() && (on_wire || !entry.has_two_sides()) &&
             shard.sides_of(local).wire == connection;
    });
  };
  Slot found = find_on(beside.sides.wire, beside.wire, true, beside.are_one);
  if (found == no_slot && !beside.are_one) found = find_on(beside.sides.stack, beside.stack, false, true);
  return found == no_slot ? no_slot : shard.first_slot + (found & ~Shard::stack_side);
}

Slot ShardWriter::add(const HotState& hot, const ColdState& cold, Hash hash, const Beside* beside) noexcept {
  Shard& shard = *shard_;
  const std::size_t touched = shard.touched.load(std::memory_order_relaxed);
  std::uint32_t local = shard.free_slots.pop([&shard](std::uint32_t soon) { shard.prefetch_for_insert(soon); });
  if (local == shard.free_slots.none) {
    if (touched == shard.entries()) return no_slot;
    local = static_cast<std::uint32_t>(touched);
  }
  Packed packed;
  pack(hot, cold, packed);
  Hash stack;
  // An interface whose name found no room would be taken for any other of that kind.
  if (shard.by_connection && (packed.hot.interface() != NameId::none || cold.ifname.empty())) {
    const Beside made = beside != nullptr
                            ? Beside{}
                            : beside_of(statetable::sides_of(hot, cold, packed.hot.interface()), shard.hash_seed);
    const Beside& known = beside != nullptr ? *beside : made;
    packed.hot.connection = known.wire.value();
    packed.hot.set_sides(!known.are_one);
    stack = known.stack;
  }
  HotEntry& entry = shard.hot[local];
  {
    const Change change{entry};
    if (packed.extended) {
      // There are as many as slots, so one is free.
      std::uint32_t number = shard.free_extensions.pop([](std::uint32_t) {});
      if (number == shard.free_extensions.none) number = shard.extensions_touched++;
      put_all(shard.extensions[number].words, packed.extension.words);
      packed.hot.names |= Word{number + 1} << 32u;
    }
    put_all(shard.cold[local].words, packed.cold.words);
    put(entry.id, packed.hot.id);
    std::atomic_ref{entry.creatorid}.store(packed.hot.creatorid, std::memory_order_release);
    put_all(entry.src, packed.hot.src);
    put(entry.times, packed.hot.times);
    put(entry.meta, packed.hot.meta);
    put_all(entry.dst, packed.hot.dst);
    put(entry.created_anchor, packed.hot.created_anchor);
    put(entry.nat_rule_rule, packed.hot.nat_rule_rule);
    put(entry.names, packed.hot.names);
    put(entry.connection, packed.hot.connection);
  }
  shard.check_at[local] = hot.expire_at_s;
  shard.creator[local] = shard.number_of(hot.id.creatorid);
  shard.index.insert(hash, local);
  if (shard.index.wants_to_grow()) grow_index();
  if (packed.hot.is_indexed()) {
    shard.connections.insert(Hash{packed.hot.connection}, local);
    if (shard.connections.wants_to_grow()) grow_connections();
    if (packed.hot.has_two_sides()) {
      shard.connections.insert(stack, local | Shard::stack_side);
      if (shard.connections.wants_to_grow()) grow_connections();
    }
  }
  if (local == touched) shard.touched.store(touched + 1, std::memory_order_release);  // read by TableReader::next
  shard.size.store(shard.size.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
  shard.mark_changed(local);
  return shard.first_slot + local;
}

void ShardWriter::update(Slot slot, const HotState& hot) noexcept {
  const Slot local = slot - shard_->first_slot;
  HotEntry& entry = shard_->hot[local];
  if (hot.expire_at_s < entry.expire_at_s())
    shard_->check_at[local] = std::min(shard_->check_at[local], hot.expire_at_s);
  const Change change{entry};
  put_peer(entry.src, hot.src);
  put(entry.times, pair_of(static_cast<std::uint32_t>(hot.expire_at_s), static_cast<std::uint32_t>(hot.heard_s)));
  put(entry.meta, HotEntry::meta_of(hot));
  put_peer(entry.dst, hot.dst);
  put(entry.created_anchor, pair_of(static_cast<std::uint32_t>(hot.created_s), high_of(entry.created_anchor)));
  put(entry.names, (entry.names & ~Word{0xff0000}) | Word{hot.sync_flags} << 16u);
  shard_->mark_changed(local);
}

void ShardWriter::erase(Slot slot) noexcept {
  Shard& shard = *shard_;
  const Slot local = slot - shard.first_slot;
  HotEntry& entry = shard.hot[local];
  shard.index.erase(hash_of(wire::StateId{entry.id, entry.creatorid}, shard.hash_seed), local);
  if (entry.is_indexed()) {
    if (entry.has_two_sides())
      shard.connections.erase(shard.connection_of(local | Shard::stack_side), local | Shard::stack_side);
    shard.connections.erase(Hash{entry.connection}, local);
  }
  const std::uint32_t extension = entry.extension();
  {
    const Change change{entry};
    put(entry.meta, 0);  // not in use; the deadline and the creator stay, and whoever follows them looks here
    put(entry.names, 0);
  }
  if (extension != no_extension) shard.free_extensions.push(extension - 1);
  shard.free_slots.push(local);
  shard.size.store(shard.size.load(std::memory_order_relaxed) - 1, std::memory_order_relaxed);
  shard.mark_changed(local);
}

Slot ShardWriter::next_due(Seconds now_s, std::size_t slots, std::size_t& looked) noexcept {
  Shard& shard = *shard_;
  const std::size_t touched = shard.touched.load(std::memory_order_relaxed);
  while (looked < slots && touched > 0) {
    ++looked;
    if (shard.sweep_at >= touched) shard.sweep_at = 0;
    const std::size_t local = shard.sweep_at++;
    if (shard.check_at[local] > now_s) continue;
    const HotEntry& entry = shard.hot[local];
    if (!entry.in_use())
      shard.check_at[local] = never;
    else if (entry.expire_at_s() > now_s)
      shard.check_at[local] = entry.expire_at_s();
    else
      return shard.first_slot + static_cast<Slot>(local);
  }
  return no_slot;
}

bool ShardWriter::has_number(std::uint32_t creatorid) const noexcept {
  return shard_->known_number_of(creatorid) != Shard::creator_other;
}

Slot ShardWriter::first_of(std::uint32_t creatorid, Slot after, std::size_t& others) const noexcept {
  const Shard& shard = *shard_;
  const std::uint8_t number = shard.known_number_of(creatorid);
  if (number == 0) return no_slot;
  const std::uint8_t* const end = shard.creator + shard.touched.load(std::memory_order_relaxed);
  const std::uint8_t* at = after == no_slot ? shard.creator : shard.creator + (after - shard.first_slot) + 1;
  while (at < end && (at = static_cast<const std::uint8_t*>(
                          std::memchr(at, number, static_cast<std::size_t>(end - at)))) != nullptr) {
    const auto local = static_cast<Slot>(at - shard.creator);
    const HotEntry& entry = shard.hot[local];
    if (entry.creatorid == creatorid && entry.in_use()) return shard.first_slot + local;
    ++others;
    ++at;
  }
  return no_slot;
}

std::size_t ShardWriter::size() const noexcept { return shard_->size.load(std::memory_order_relaxed); }
std::size_t ShardWriter::slots_touched() const noexcept { return shard_->touched.load(std::memory_order_relaxed); }

// --- reading -----------------------------------------------------------------------------------------

namespace {

Snapshot unpack(const Packed& packed) noexcept {
  return {unpack_hot(packed.hot), unpack_cold(packed.hot, packed.cold, packed.extended ? &packed.extension : nullptr)};
}

}  // namespace

bool TableReader::read(const Shard& shard, wire::StateId id, Hash hash, Packed& packed) noexcept {
  return shard.index.find_shared(hash, [&](Slot local) {
    return shard.read(local, packed) && packed.hot.is(id);  // otherwise the place, or the slot, was reused
  }) != no_slot;
}

std::optional<Snapshot> TableReader::find(wire::StateId id) const noexcept {
  const Hash hash = hash_of(id, config_->hash_seed);
  Packed packed;
  if (!read(shard_of(hash), id, hash, packed)) return std::nullopt;
  return unpack(packed);
}

std::size_t TableReader::find(std::span<const wire::StateId> ids,
                              std::span<std::optional<Snapshot>> found) const noexcept {
  // Three stages, a group apart: the index's line is fetched, the entry that it names is fetched, both are read.
  constexpr std::size_t group = 16;
  std::array<Hash, 4 * group> hashes;
  const auto hash = [&](std::size_t i) -> Hash& { return hashes[i % hashes.size()]; };
  Packed packed;
  std::size_t count = 0;
  for (std::size_t at = 0; at < ids.size() + 2 * group; at += group) {
    for (std::size_t i = at; i < std::min(at + group, ids.size()); ++i) {
      hash(i) = hash_of(ids[i], config_->hash_seed);
      shard_of(hash(i)).index.prefetch_shared(hash(i));
    }
    if (at >= group)
      for (std::size_t i = at - group; i < std::min(at, ids.size()); ++i) {
        const Shard& shard = shard_of(hash(i));
        if (const Slot local = shard.index.guess_shared(hash(i)); local != no_slot) shard.prefetch_for_read(local);
      }
    if (at >= 2 * group)
      for (std::size_t i = at - 2 * group; i < std::min(at - group, ids.size()); ++i) {
        found[i].reset();
        if (!read(shard_of(hash(i)), ids[i], hash(i), packed)) continue;
        found[i] = unpack(packed);
        ++count;
      }
  }
  return count;
}

std::optional<Snapshot> TableReader::find(const Connection& connection, Side side) const noexcept {
  const Hash hash = hash_of(connection, config_->hash_seed);
  for (const auto& shard : shards_) {
    Packed packed;
    Snapshot found;
    const Slot slot = shard->connections.find_shared(hash, [&](Slot slot_and_side) {
      if (!shard->read(slot_and_side & ~Shard::stack_side, packed)) return false;
      found = unpack(packed);
      const Sides sides = sides_of(found.hot, found.cold, packed.hot.interface());
      return (side == Side::wire ? sides.wire : sides.stack) == connection;
    });
    if (slot != no_slot) return found;
  }
  return std::nullopt;
}

std::optional<Snapshot> TableReader::find_beside(std::size_t number, const Beside& beside) const noexcept {
  const Shard& shard = *shards_[number];
  if (!shard.by_connection) return std::nullopt;
  std::optional<Snapshot> found;
  const auto find_on = [&](const Connection& connection, Hash hash, bool on_wire, bool on_stack) {
    Packed packed;
    return shard.connections.find_shared(hash, [&](Slot slot_and_side) {
      const Slot local = slot_and_side & ~Shard::stack_side;
      const bool is_stack = local != slot_and_side;
      if (is_stack && !on_stack) return false;
      if (!shard.read(local, packed) || !packed.hot.is_indexed()) return false;
      // A state of one side has it on both.
      if (!is_stack && !on_wire && packed.hot.has_two_sides()) return false;
      const Snapshot held = unpack(packed);
      const Sides sides = sides_of(held.hot, held.cold, packed.hot.interface());
      if ((is_stack ? sides.stack : sides.wire) != connection) return false;
      found = held;
      return true;
    }) != no_slot;
  };
  if (!find_on(beside.sides.wire, beside.wire, true, beside.are_one) && !beside.are_one)
    static_cast<void>(find_on(beside.sides.stack, beside.stack, false, true));
  return found;
}

void TableReader::prefetch(const Beside& beside) const noexcept {
  for (const auto& shard : shards_) {
    if (!shard->by_connection) return;
    shard->connections.prefetch_shared(beside.wire);
    if (!beside.are_one) shard->connections.prefetch_shared(beside.stack);
  }
}

namespace {

/// Reads on to the next entry that is in use; false at the end, or when `slots` have been looked at.
template <class Into>
bool read_next(std::span<const std::unique_ptr<Shard>> shards, TableReader::Cursor& cursor, Into& into,
               std::size_t& slots) noexcept {
  for (; cursor.shard < shards.size(); ++cursor.shard, cursor.slot = 0) {
    const Shard& shard = *shards[cursor.shard];
    // Acquire: pairs with the release in insert, so that entries below it have been written once.
    const std::size_t touched = shard.touched.load(std::memory_order_acquire);
    while (cursor.slot < touched) {
      if (slots == 0) return false;
      --slots;
      constexpr std::size_t ahead = 8;
      if (cursor.slot + ahead < touched) {
        const auto* entry = reinterpret_cast<const char*>(&shard.hot[cursor.slot + ahead]);
        fetch(entry);
        if constexpr (!std::is_same_v<Into, wire::StateId>) {
          fetch(entry + 64);
          fetch(&shard.cold[cursor.slot + ahead]);
        }
      }
      if (shard.read(cursor.slot++, into)) return true;
    }
  }
  return false;
}

template <class Into>
bool read_next(std::span<const std::unique_ptr<Shard>> shards, TableReader::Cursor& cursor, Into& into) noexcept {
  std::size_t all = std::numeric_limits<std::size_t>::max();
  return read_next(shards, cursor, into, all);
}

}  // namespace

std::optional<Snapshot> TableReader::next(Cursor& cursor) const noexcept {
  std::optional<Snapshot> found{std::in_place};
  if (!read_next(shards_, cursor, *found)) found.reset();
  return found;
}

std::optional<Snapshot> TableReader::next(Cursor& cursor, std::size_t& slots) const noexcept {
  std::optional<Snapshot> found{std::in_place};
  if (!read_next(shards_, cursor, *found, slots)) found.reset();
  return found;
}

std::size_t TableReader::next(Cursor& cursor, std::span<wire::StateId> ids, std::size_t& slots) const noexcept {
  std::size_t count = 0;
  while (count < ids.size() && read_next(shards_, cursor, ids[count], slots)) ++count;
  return count;
}

TableReader::Progress TableReader::progress(const Cursor& cursor) const noexcept {
  Progress progress;
  for (std::size_t number = 0; number < shards_.size(); ++number) {
    const std::size_t touched = shards_[number]->touched.load(std::memory_order_relaxed);
    progress.of += touched;
    if (number <= cursor.shard) progress.at += number < cursor.shard ? touched : std::min(cursor.slot, touched);
  }
  return progress;
}

std::size_t TableReader::next(Cursor& cursor, std::span<wire::State> states, Seconds now_s) const noexcept {
  std::size_t count = 0;
  Packed packed;
  for (; count < states.size() && read_next(shards_, cursor, packed); ++count)
    unpack_state(packed.hot, packed.cold, packed.extended ? &packed.extension : nullptr, now_s, states[count]);
  return count;
}

}  // namespace pfsync::statetable
