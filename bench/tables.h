#pragma once

#include <tbb/concurrent_hash_map.h>

#include <cstring>
#include <memory>
#include <optional>
#include <variant>

#include "bench/work.h"
#include "engine/session/session.h"
#include "statetable/table.h"

/// The tables that state_rate compares. Each holds the states 0 to `states` - 1 after `fill`, and does every
/// operation in the fastest way that its interface offers.
namespace pfsync::bench {

/// Ours: on its own through its writers, batched as the session does it.
class EngineTable {
 public:
  explicit EngineTable(std::size_t states, bool reserve = false)
      : table_{std::get<std::unique_ptr<statetable::Table>>(statetable::Table::create({.states_max = states,
                                                                                       .shard_bits = 0,
                                                                                       .hash_seed = hash_seed,
                                                                                       .by_connection = true,
                                                                                       .reserve = reserve}))} {
    for (std::size_t i = 0; i < table_->shard_count(); ++i) writers_.push_back(std::move(*table_->claim(i)));
  }
  bool insert(std::uint64_t first, std::size_t count) noexcept {
    std::array<statetable::Hash, batch> hashes;
    std::array<statetable::Beside, batch> besides;
    for (std::size_t i = 0; i < count; ++i) {
      hashes[i] = table_->hash(id_of(first + i));
      static_cast<void>(writer(hashes[i]).begin(hashes[i]));
      set_number(values_, first + i);
      besides[i] = table_->beside(statetable::sides_of(values_.hot, values_.cold, ifname_));
      writer(hashes[i]).prefetch(besides[i]);
    }
    bool all = true;
    for (std::size_t i = 0; i < count; ++i) {
      set_number(values_, first + i);
      all &= writer(hashes[i]).insert(values_.hot, values_.cold, hashes[i], &besides[i]).inserted ==
             statetable::ShardWriter::Inserted::yes;
    }
    return all;
  }
  bool erase(std::span<const StateId> ids) noexcept {
    std::array<Found, batch> found;
    bool all = true;
    for (std::size_t i = 0; i < ids.size(); ++i) enter(found[i], ids[i]);
    for (std::size_t i = 0; i < ids.size(); ++i) guess(found[i]);
    for (std::size_t i = 0; i < ids.size(); ++i) writer(found[i].search.hash).prefetch_erase(found[i].search);
    for (std::size_t i = 0; i < ids.size(); ++i) {
      statetable::ShardWriter& shard = writer(found[i].search.hash);
      const statetable::Slot slot = shard.find(ids[i], found[i].search);
      all &= slot != statetable::no_slot;
      if (slot != statetable::no_slot) shard.erase(slot);
    }
    return all;
  }
  std::size_t apply(std::span<const Bytes> records) noexcept {
    std::size_t count = 0;
    staged(
        records.size(), [&](std::size_t i) { enter(ring(i), read_id(records[i])); },
        [&](std::size_t i) { guess(ring(i)); },
        [&](std::size_t i) {
          const Found& found = ring(i);
          statetable::ShardWriter& shard = writer(found.search.hash);
          const statetable::Slot slot = shard.find(found.id, found.search);
          if (slot == statetable::no_slot) return;
          const wire::Update update = read_update(records[i]);
          statetable::Renewal renewal;
          if (renewal_of(shard.entry(slot), update, renewal)) shard.renew(slot, renewal);
          ++count;
        });
    return count;
  }
  std::size_t lookup(std::span<const StateId> ids) noexcept {
    static std::array<std::optional<statetable::Snapshot>, batch> found;
    return table_->reader().find(ids, found);
  }
  std::size_t encode(Encoder& encoder) noexcept {
    const statetable::TableReader reader = table_->reader();
    statetable::TableReader::Cursor cursor;
    std::array<wire::State, 4 * Encoder::states_a_packet> some;
    std::size_t states = 0;
    while (const std::size_t count = reader.next(cursor, some, 1)) {
      encoder.append(std::span{some}.first(count));
      states += count;
    }
    return states;
  }
  [[nodiscard]] double bytes_per_state() const noexcept {
    return static_cast<double>(table_->bytes_in_use()) / static_cast<double>(table_->size());
  }

 private:
  struct Found {
    StateId id;
    statetable::Search search;
  };
  static constexpr std::size_t ring_size = 4 * ahead;
  [[nodiscard]] Found& ring(std::size_t i) noexcept { return ring_[i % ring_size]; }
  void enter(Found& found, StateId id) noexcept {
    found.id = id;
    const statetable::Hash hash = table_->hash(id);
    found.search = writer(hash).begin(hash);
  }
  void guess(Found& found) noexcept { writer(found.search.hash).guess(found.search); }
  statetable::ShardWriter& writer(statetable::Hash hash) noexcept { return writers_[table_->shard_of(hash)]; }
  std::unique_ptr<statetable::Table> table_;
  std::vector<statetable::ShardWriter> writers_;
  std::array<Found, ring_size> ring_;
  Values values_ = prepared_values();
  statetable::NameId ifname_ = statetable::intern(values_.cold.ifname);
};

/// The whole receive path: packets into a session, which parses, checks, applies and counts.
class SessionTable {
 public:
  explicit SessionTable(std::size_t states)
      : table_{std::get<std::unique_ptr<statetable::Table>>(
            statetable::Table::create({.states_max = states, .shard_bits = 0, .hash_seed = hash_seed}))},
        session_{config(), *table_} {}
  bool insert(std::uint64_t first, std::size_t count) noexcept {
    bool all = true;
    for (std::size_t i = 0; i < count; ++i)
      all &= session_.insert(state_of(first + i), now) == engine::Session::Local::done;
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
  static engine::SessionConfig config() noexcept {
    engine::SessionConfig config{.creatorid = 1, .request_bulk = false};
    config.timeouts.value[engine::pftm::adaptive_start] = 0;
    return config;
  }
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
    for (std::size_t i = 0; i < count; ++i) statetable::fetch(&index_[line_of(id_of(first + i))]);
    for (std::size_t i = 0; i < count; ++i) {
      Line& line = index_[line_of(id_of(first + i))];
      line.words[line.words[15]++ % 15] = static_cast<std::uint32_t>(first + i);
      std::memset(&hot_[first + i], static_cast<int>(i), sizeof(Hot));
      std::memset(&cold_[first + i], static_cast<int>(i), sizeof(Cold));
    }
    return true;
  }
  bool erase(std::span<const StateId> ids) noexcept {
    touch(
        ids.size(), [&](std::size_t i) { return ids[i]; },
        [](Line& line, Hot& hot) {
          ++line.words[0];
          for (std::uint64_t& word : hot.words) word = 0;
        });
    return true;
  }
  std::size_t apply(std::span<const Bytes> records) noexcept {
    return touch(
        records.size(), [&](std::size_t i) { return read_id(records[i]); },
        [](Line&, Hot& hot) {
          for (std::uint64_t& word : hot.words) ++word;
        });
  }
  std::size_t lookup(std::span<const StateId> ids) noexcept {
    std::uint64_t sum = 0;
    const std::size_t found = touch(
        ids.size(), [&](std::size_t i) { return ids[i]; },
        [&](Line&, Hot& hot) {
          for (const std::uint64_t word : hot.words) sum += word;
          for (const std::uint64_t word : cold_[static_cast<std::size_t>(&hot - &hot_[0])].words) sum += word;
        },
        [&](std::size_t slot) { statetable::fetch(&cold_[slot]); });
    sum_ = sum;
    return found;
  }
  std::size_t encode(Encoder&) noexcept {
    alignas(64) static std::array<std::uint8_t, packet_bytes> room;
    for (std::size_t i = 0; i < entries_; ++i) {
      std::uint8_t* at = room.data() + 242 * (i % Encoder::states_a_packet);
      std::memcpy(at, &hot_[i], sizeof(Hot));
      std::memcpy(at + sizeof(Hot), &cold_[i], sizeof(Cold));
      std::memset(at + sizeof(Hot) + sizeof(Cold), 0, 242 - sizeof(Hot) - sizeof(Cold));
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
  struct alignas(64) Cold {
    std::array<std::uint64_t, 8> words;
  };
  [[nodiscard]] std::size_t line_of(StateId id) const noexcept { return (id.id * 0x9e3779b97f4a7c15u >> 20u) & mask_; }
  /// Waits for the index line, as a search does, and adds nothing else.
  [[nodiscard]] std::size_t slot_of(StateId id, const Line& line) const noexcept {
    const std::size_t number = static_cast<std::uint32_t>(id.id) + (line.words[0] & 0x80000000u);
    return number < entries_ ? number : 0;
  }
  static void nothing_more(std::size_t) noexcept {}
  template <class IdOf, class F, class Fetch = decltype(&nothing_more)>
  std::size_t touch(std::size_t count, IdOf&& id_at, F&& f, Fetch&& fetch_more = &nothing_more) noexcept {
    struct Place {
      StateId id;
      std::size_t line, slot;
    };
    constexpr std::size_t ring_size = 4 * ahead;
    std::array<Place, ring_size> ring;
    staged(
        count,
        [&](std::size_t i) {
          Place& place = ring[i % ring_size];
          place.id = id_at(i);
          statetable::fetch(&index_[place.line = line_of(place.id)]);
        },
        [&](std::size_t i) {
          Place& place = ring[i % ring_size];
          place.slot = slot_of(place.id, index_[place.line]);
          statetable::fetch(&hot_[place.slot]);
          statetable::fetch(reinterpret_cast<const char*>(&hot_[place.slot]) + 64);
          fetch_more(place.slot);
        },
        [&](std::size_t i) { f(index_[ring[i % ring_size].line], hot_[ring[i % ring_size].slot]); });
    return count;
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
      const StateId id = id_of(first + i);
      body_.hot.id = id.id;
      body_.hot.creatorid = id.creatorid;
      all &= map_.insert({id, body_});
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
      found += copy.hot.in_use();
    }
    return found;
  }
  std::size_t encode(Encoder& encoder) {
    std::array<wire::State, 4 * Encoder::states_a_packet> some;
    std::size_t count = 0;
    for (const auto& [id, body] : map_) {
      some[count++] = state_in(body);
      if (count == some.size()) encoder.append(some), count = 0;
    }
    encoder.append(std::span{some}.first(count));
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
