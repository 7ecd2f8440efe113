#include "bench/dpdk/rte_hash_table.h"

#include <rte_hash.h>
#include <rte_memory.h>

#include <stdexcept>
#include <string>

#include "engine/dpdk/eal.h"

namespace pfsync::bench {
namespace {

/// The 12 bytes that are hashed and compared.
struct Key {
  std::uint64_t id;
  std::uint32_t creatorid;
  std::uint32_t unused = 0;
};
constexpr std::uint32_t key_bytes = 12;
constexpr std::size_t bulk = RTE_HASH_LOOKUP_BULK_MAX;

Key key_of(StateId id) noexcept { return {id.id, id.creatorid}; }
hash_sig_t signature_of(StateId id) noexcept {
  return static_cast<hash_sig_t>(statetable::hash_of(id, hash_seed).value());
}

using Entry = Body;

/// Once a process; it ends with the last table, wherever that is kept.
std::shared_ptr<engine::dpdk::Eal> started_dpdk() {
  constexpr std::size_t memory_mib = 2048;  // the hash of 10M states takes about 1 GiB
  static const auto eal =
      std::make_shared<engine::dpdk::Eal>(engine::dpdk::EalConfig{.program = "state_rate", .memory_mib = memory_mib});
  // Without hugepages DPDK's memory lies on small pages; the other tables do not.
  static const int advised = rte_memseg_list_walk(
      [](const rte_memseg_list* list, void*) {
        return list->external ? 0 : madvise(list->base_va, list->len, MADV_HUGEPAGE) & 0;
      },
      nullptr);
  static_cast<void>(advised);
  return eal;
}

}  // namespace

struct RteHashTable::Parts {
  explicit Parts(std::size_t states) : bodies{2 * states} {
    static int number = 0;  // names are unique in a process
    const std::string name = "states" + std::to_string(++number);
    rte_hash_parameters parameters{};
    parameters.name = name.c_str();
    parameters.entries = static_cast<std::uint32_t>(states * 4 / 3);  // a cuckoo table does not fill up
    parameters.key_len = key_bytes;
    parameters.socket_id = -1;
    parameters.extra_flag = RTE_HASH_EXTRA_FLAGS_RW_CONCURRENCY_LF;
    hash = rte_hash_create(&parameters);
    if (hash == nullptr) throw std::runtime_error{"rte_hash_create failed: too little memory"};
  }
  ~Parts() { rte_hash_free(hash); }
  Parts(const Parts&) = delete;
  Parts& operator=(const Parts&) = delete;

  /// Positions of up to `bulk` states; negative where there is none.
  void find(std::span<const StateId> ids, std::array<std::int32_t, bulk>& positions) {
    std::array<Key, bulk> keys;
    std::array<const void*, bulk> pointers;
    std::array<hash_sig_t, bulk> signatures;
    for (std::size_t i = 0; i < ids.size(); ++i) {
      keys[i] = key_of(ids[i]);
      pointers[i] = &keys[i];
      signatures[i] = signature_of(ids[i]);
    }
    rte_hash_lookup_with_hash_bulk(hash, pointers.data(), signatures.data(), static_cast<std::uint32_t>(ids.size()),
                                   positions.data());
  }

  std::shared_ptr<engine::dpdk::Eal> eal = started_dpdk();
  rte_hash* hash;
  HugeArray<Entry> bodies;
  Body body = prepared_body();
};

RteHashTable::RteHashTable(std::size_t states) : parts_{std::make_unique<Parts>(states)} {}
RteHashTable::~RteHashTable() = default;

bool RteHashTable::insert(std::uint64_t first, std::size_t count) {
  bool all = true;
  for (std::size_t i = 0; i < count; ++i) {
    const StateId id = id_of(first + i);
    parts_->body.hot.id = id.id;
    parts_->body.hot.creatorid = id.creatorid;
    const Key key = key_of(id);
    const std::int32_t position = rte_hash_add_key_with_hash(parts_->hash, &key, signature_of(id));
    all &= position >= 0;
    if (position >= 0) parts_->bodies[static_cast<std::size_t>(position)] = {parts_->body};
  }
  return all;
}

bool RteHashTable::erase(std::span<const StateId> ids) {
  bool all = true;
  for (const StateId id : ids) {
    const Key key = key_of(id);
    const std::int32_t position = rte_hash_del_key_with_hash(parts_->hash, &key, signature_of(id));
    all &= position >= 0 && rte_hash_free_key_with_position(parts_->hash, position) == 0;
    if (position >= 0) parts_->bodies[static_cast<std::size_t>(position)].hot.meta = 0;
  }
  return all;
}

std::size_t RteHashTable::apply(std::span<const Bytes> records) {
  std::size_t found = 0;
  // Two groups in turn: the entries of one are on their way while the other is applied.
  std::array<std::array<std::int32_t, bulk>, 2> positions;
  std::array<StateId, bulk> ids;
  const std::size_t groups = (records.size() + bulk - 1) / bulk;
  const auto group = [&](std::size_t g) {
    return records.subspan(g * bulk, std::min(bulk, records.size() - g * bulk));
  };
  for (std::size_t g = 0; g <= groups; ++g) {
    if (g < groups) {
      const auto some = group(g);
      for (std::size_t i = 0; i < some.size(); ++i) ids[i] = read_id(some[i]);
      parts_->find(std::span{ids}.first(some.size()), positions[g % 2]);
      for (std::size_t i = 0; i < some.size(); ++i) {
        if (positions[g % 2][i] < 0) continue;
        const auto* body =
            reinterpret_cast<const char*>(&parts_->bodies[static_cast<std::size_t>(positions[g % 2][i])]);
        statetable::fetch(body);
        statetable::fetch(body + 64);
      }
    }
    if (g == 0) continue;
    const auto some = group(g - 1);
    for (std::size_t i = 0; i < some.size(); ++i) {
      const std::int32_t position = positions[(g - 1) % 2][i];
      if (position < 0) continue;
      apply_to(parts_->bodies[static_cast<std::size_t>(position)].hot, read_update(some[i]));
      ++found;
    }
  }
  return found;
}

std::size_t RteHashTable::lookup(std::span<const StateId> ids) {
  std::size_t found = 0;
  std::array<std::int32_t, bulk> positions;
  for (std::size_t done = 0; done < ids.size(); done += bulk) {
    const auto some = ids.subspan(done, std::min(bulk, ids.size() - done));
    parts_->find(some, positions);
    for (std::size_t i = 0; i < some.size(); ++i)
      if (positions[i] >= 0)
        for (std::size_t line = 0; line < sizeof(Entry); line += 64)
          statetable::fetch(reinterpret_cast<const char*>(&parts_->bodies[static_cast<std::size_t>(positions[i])]) +
                            line);
    for (std::size_t i = 0; i < some.size(); ++i) {
      if (positions[i] < 0) continue;
      const Body copy = parts_->bodies[static_cast<std::size_t>(positions[i])];
      found += copy.hot.in_use();
    }
  }
  return found;
}

std::size_t RteHashTable::encode(Encoder& encoder) {
  std::size_t states = 0;
  const void* key = nullptr;
  void* data = nullptr;
  std::uint32_t next = 0;
  // The positions of a few packets, so that their entries are fetched together.
  std::array<std::size_t, 4 * Encoder::states_a_packet> positions;
  std::array<wire::State, positions.size()> some;
  for (bool more = true; more;) {
    std::size_t count = 0;
    while (more && count < positions.size()) {
      const std::int32_t position = rte_hash_iterate(parts_->hash, &key, &data, &next);
      more = position >= 0;
      if (!more) break;
      positions[count++] = static_cast<std::size_t>(position);
      for (std::size_t line = 0; line < sizeof(Entry); line += 64)
        statetable::fetch(reinterpret_cast<const char*>(&parts_->bodies[static_cast<std::size_t>(position)]) + line);
    }
    for (std::size_t i = 0; i < count; ++i) some[i] = state_in(parts_->bodies[positions[i]]);
    encoder.append(std::span{some}.first(count));
    states += count;
  }
  return states;
}

}  // namespace pfsync::bench
