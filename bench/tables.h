#pragma once

#include <tbb/concurrent_hash_map.h>

#include <cstring>
#include <memory>
#include <optional>
#include <variant>

#include "bench/work.h"
#include "engine/session.h"
#include "statetable/table.h"

/// The tables that state_rate compares. Each holds the states 0 to `states` - 1 after `fill`, and does every
/// operation in the fastest way that its interface offers.
namespace pfsync::bench {

/// Ours: on its own through its writers, batched as the session does it.
class EngineTable {
 public:
  explicit EngineTable(std::size_t states)
      : table_{std::get<std::unique_ptr<statetable::Table>>(
            statetable::Table::create({.states_max = states, .shard_bits = 2, .hash_seed = hash_seed}))} {
    for (std::size_t i = 0; i < table_->shard_count(); ++i) writers_.push_back(std::move(*table_->claim(i)));
  }
  bool insert(std::uint64_t first, std::size_t count) noexcept {
    std::array<statetable::Hash, batch> hashes;
    for (std::size_t i = 0; i < count; ++i) {
      hashes[i] = table_->hash(id_of(first + i));
      writer(hashes[i]).prefetch_index(hashes[i]);
    }
    bool all = true;
    for (std::size_t i = 0; i < count; ++i) {
      body_.hot.id = id_of(first + i);
      all &= writer(hashes[i]).insert(body_.hot, body_.cold, hashes[i]).inserted == statetable::ShardWriter::Inserted::yes;
    }
    return all;
  }
  bool erase(std::span<const StateId> ids) noexcept {
    std::array<statetable::Hash, batch> hashes;
    for (std::size_t i = 0; i < ids.size(); ++i) {
      hashes[i] = table_->hash(ids[i]);
      writer(hashes[i]).prefetch_index(hashes[i]);
    }
    for (std::size_t i = 0; i < ids.size(); ++i) writer(hashes[i]).prefetch_entry(hashes[i]);
    bool all = true;
    for (std::size_t i = 0; i < ids.size(); ++i) {
      const statetable::Slot slot = writer(hashes[i]).find(ids[i], hashes[i]);
      all &= slot != statetable::no_slot;
      if (slot != statetable::no_slot) writer(hashes[i]).erase(slot);
    }
    return all;
  }
  std::size_t apply(std::span<const Bytes> records) noexcept {
    std::array<StateId, batch> ids;
    std::array<statetable::Hash, batch> hashes;
    for (std::size_t i = 0; i < records.size(); ++i) {
      ids[i] = read_id(records[i]);
      hashes[i] = table_->hash(ids[i]);
      writer(hashes[i]).prefetch_index(hashes[i]);
    }
    for (std::size_t i = 0; i < records.size(); ++i) writer(hashes[i]).prefetch_entry(hashes[i]);
    std::size_t found = 0;
    for (std::size_t i = 0; i < records.size(); ++i) {
      statetable::ShardWriter& shard = writer(hashes[i]);
      const statetable::Slot slot = shard.find(ids[i], hashes[i]);
      if (slot == statetable::no_slot) continue;
      HotState hot = shard.hot(slot);
      apply_to(hot, read_update(records[i]));
      shard.update(slot, hot);
      ++found;
    }
    return found;
  }
  std::size_t lookup(std::span<const StateId> ids) noexcept {
    std::size_t found = 0;
    const statetable::TableReader reader = table_->reader();
    for (const StateId id : ids)
      if (const auto snapshot = reader.find(id)) found += snapshot->hot.in_use;
    return found;
  }
  std::size_t encode(Encoder& encoder) noexcept {
    const statetable::TableReader reader = table_->reader();
    statetable::TableReader::Cursor cursor;
    std::size_t states = 0;
    for (; const auto snapshot = reader.next(cursor); ++states)
      encoder.append(statetable::to_state(snapshot->hot, snapshot->cold, 1));
    return states;
  }

 private:
  statetable::ShardWriter& writer(statetable::Hash hash) noexcept { return writers_[table_->shard_of(hash)]; }
  std::unique_ptr<statetable::Table> table_;
  std::vector<statetable::ShardWriter> writers_;
  Body body_ = prepared_body();
};

/// The whole receive path: packets into a session, which parses, checks, applies and counts.
class SessionTable {
 public:
  explicit SessionTable(std::size_t states)
      : table_{std::get<std::unique_ptr<statetable::Table>>(
            statetable::Table::create({.states_max = states, .shard_bits = 2, .hash_seed = hash_seed}))},
        session_{{.creatorid = 1, .request_bulk = false}, *table_} {}
  bool insert(std::uint64_t first, std::size_t count) noexcept {
    bool all = true;
    for (std::size_t i = 0; i < count; ++i) all &= session_.insert(state_of(first + i), now) == engine::Session::Local::done;
    static std::array<std::uint8_t, packet_bytes> room;
    session_.push();
    while (session_.transmit(room, now) > 0) {
    }
    return all;
  }
  std::size_t apply_packets(std::span<const Bytes> packets) noexcept {
    const std::uint64_t before = updates();
    session_.on_packets(packets, now);
    return updates() - before;
  }

 private:
  static constexpr engine::Instant now{std::chrono::hours{1}};
  [[nodiscard]] std::uint64_t updates() const noexcept { return session_.counters()[engine::Tally::updates].value(); }
  std::unique_ptr<statetable::Table> table_;
  engine::Session session_;
};

/// No table at all: the same cache lines, found by arithmetic, in the same stages, and no protocol work.
class Floor {
 public:
  explicit Floor(std::size_t states)
      : entries_{states}, mask_{std::bit_ceil(states / 6 + 1) - 1}, index_(mask_ + 1), hot_(states), cold_(states) {}
  bool insert(std::uint64_t first, std::size_t count) noexcept {
    for (std::size_t i = 0; i < count; ++i) __builtin_prefetch(&index_[line_of(id_of(first + i))], 1);
    for (std::size_t i = 0; i < count; ++i) {
      Line& line = index_[line_of(id_of(first + i))];
      line.words[line.words[15]++ % 15] = static_cast<std::uint32_t>(first + i);
      std::memset(&hot_[first + i], static_cast<int>(i), sizeof(Hot));
      std::memset(&cold_[first + i], static_cast<int>(i), sizeof(Cold));
    }
    return true;
  }
  bool erase(std::span<const StateId> ids) noexcept {
    touch(ids, [](Line& line, Hot& hot) {
      ++line.words[0];
      for (std::uint64_t& word : hot.words) word = 0;
    });
    return true;
  }
  std::size_t apply(std::span<const Bytes> records) noexcept {
    std::array<StateId, batch> ids;
    for (std::size_t i = 0; i < records.size(); ++i) ids[i] = read_id(records[i]);
    return touch(std::span{ids}.first(records.size()), [](Line&, Hot& hot) {
      for (std::uint64_t& word : hot.words) ++word;
    });
  }
  std::size_t lookup(std::span<const StateId> ids) noexcept {
    std::uint64_t sum = 0;
    for (const StateId id : ids) {
      const std::size_t slot = slot_of(id, index_[line_of(id)]);
      for (const std::uint64_t word : hot_[slot].words) sum += word;
      for (const std::uint64_t word : cold_[slot].words) sum += word;
    }
    sum_ = sum;
    return ids.size();
  }
  std::size_t encode(Encoder&) noexcept {
    alignas(64) static std::array<std::uint8_t, packet_bytes> room;
    constexpr std::size_t states_a_packet = 6;
    for (std::size_t i = 0; i < entries_; ++i) {
      std::uint8_t* at = room.data() + 242 * (i % states_a_packet);
      std::memcpy(at, &hot_[i], 96);
      std::memcpy(at + 96, &cold_[i], 146);
      asm volatile("" ::: "memory");
    }
    return entries_;
  }

 private:
  struct alignas(64) Line {
    std::array<std::uint32_t, 16> words;
  };
  struct alignas(128) Hot {
    std::array<std::uint64_t, 16> words;
  };
  struct Cold {
    std::array<std::uint64_t, (sizeof(ColdState) + 7) / 8> words;
  };
  [[nodiscard]] std::size_t line_of(StateId id) const noexcept { return (id.id * 0x9e3779b97f4a7c15u >> 20u) & mask_; }
  /// Waits for the index line, as a search does, and adds nothing else.
  [[nodiscard]] std::size_t slot_of(StateId id, const Line& line) const noexcept {
    const std::size_t number = static_cast<std::uint32_t>(id.id) + (line.words[0] & 0x80000000u);
    return number < entries_ ? number : 0;
  }
  template <class F>
  std::size_t touch(std::span<const StateId> ids, F&& f) noexcept {
    std::array<std::size_t, batch> lines, slots;
    for (std::size_t i = 0; i < ids.size(); ++i) __builtin_prefetch(&index_[lines[i] = line_of(ids[i])], 1);
    for (std::size_t i = 0; i < ids.size(); ++i) {
      slots[i] = slot_of(ids[i], index_[lines[i]]);
      __builtin_prefetch(&hot_[slots[i]], 1);
      __builtin_prefetch(reinterpret_cast<const char*>(&hot_[slots[i]]) + 64, 1);
    }
    for (std::size_t i = 0; i < ids.size(); ++i) f(index_[lines[i]], hot_[slots[i]]);
    return ids.size();
  }
  std::size_t entries_;
  std::size_t mask_;
  HugeArray<Line> index_;
  HugeArray<Hot> hot_;
  HugeArray<Cold> cold_;
  volatile std::uint64_t sum_ = 0;
};

class TbbTable {
 public:
  explicit TbbTable(std::size_t states) : map_(states) {}
  bool insert(std::uint64_t first, std::size_t count) {
    bool all = true;
    for (std::size_t i = 0; i < count; ++i) {
      body_.hot.id = id_of(first + i);
      all &= map_.insert({body_.hot.id, body_});
    }
    return all;
  }
  bool erase(std::span<const StateId> ids) {
    bool all = true;
    for (const StateId id : ids) all &= map_.erase(id);
    return all;
  }
  std::size_t apply(std::span<const Bytes> records) {
    std::size_t found = 0;
    for (const Bytes record : records) {
      const wire::Update update = read_update(record);
      Map::accessor entry;
      if (!map_.find(entry, update.id)) continue;
      apply_to(entry->second.hot, update);
      ++found;
    }
    return found;
  }
  std::size_t lookup(std::span<const StateId> ids) {
    std::size_t found = 0;
    for (const StateId id : ids) {
      Map::const_accessor entry;
      if (!map_.find(entry, id)) continue;
      const Body copy = entry->second;
      found += copy.hot.in_use;
    }
    return found;
  }
  std::size_t encode(Encoder& encoder) {
    for (const auto& [id, body] : map_) encoder.append(statetable::to_state(body.hot, body.cold, 1));
    return map_.size();
  }

 private:
  struct HashCompare {
    static std::size_t hash(const StateId& id) noexcept { return statetable::hash_of(id, hash_seed).value(); }
    static bool equal(const StateId& a, const StateId& b) noexcept { return a == b; }
  };
  using Map = tbb::concurrent_hash_map<StateId, Body, HashCompare>;
  Map map_;
  Body body_ = prepared_body();
};

}  // namespace pfsync::bench
