#include "statetable/shard.h"

#include <sys/mman.h>

#include <algorithm>
#include <cerrno>

#include "statetable/table.h"

namespace pfsync::statetable {
namespace {

constexpr std::size_t huge_page_bytes = std::size_t{2} << 20;
constexpr std::size_t index_start = 8192;  ///< entries that an index is made for at first

constexpr std::size_t rounded(std::size_t bytes, std::size_t to) noexcept { return (bytes + to - 1) / to * to; }

/// An array's share of the mapping: large ones begin on a huge page, so that nothing else lies on theirs.
constexpr std::size_t share(std::size_t bytes) noexcept {
  return rounded(bytes, bytes < huge_page_bytes ? 128 : huge_page_bytes);
}

/// Hands out pieces of one mapping, largest alignment first.
class Carver {
 public:
  explicit Carver(std::byte* at) noexcept : at_{at} {}
  template <class T>
  T* take(std::size_t count) noexcept {
    const std::size_t bytes = count * sizeof(T);
    if (bytes >= huge_page_bytes)
      at_ = reinterpret_cast<std::byte*>(rounded(reinterpret_cast<std::uintptr_t>(at_), huge_page_bytes));
    auto* first = reinterpret_cast<T*>(at_);
    at_ += share(bytes);
    return first;
  }

 private:
  std::byte* at_;
};

/// Memory that is all there from the start has no use for small indexes.
std::size_t start_of(std::size_t entries, bool reserve) noexcept { return reserve ? entries : index_start; }

Index::Sizes id_sizes(std::size_t entries, bool reserve = false) noexcept {
  return Index::sizes_for(entries, start_of(entries, reserve));
}
/// Under NAT a state has two sides. A table without any comes to the last size but one, and stays there.
Index::Sizes connection_sizes(std::size_t entries, bool by_connection, bool reserve = false) noexcept {
  return by_connection ? Index::sizes_for(2 * entries, start_of(2 * entries, reserve)) : Index::Sizes{};
}

/// Takes the pages now. Source: madvise(2), Linux 5.14 and later; an older kernel has them touched one by one.
bool populate(void* memory, std::size_t bytes) noexcept {
  constexpr int populate_write = 23;  // MADV_POPULATE_WRITE
  if (madvise(memory, bytes, populate_write) == 0) return true;
  if (errno != EINVAL) return false;
  constexpr std::size_t page_bytes = 4096;
  for (std::size_t at = 0; at < bytes; at += page_bytes)
    *static_cast<volatile std::byte*>(static_cast<std::byte*>(memory) + at) = std::byte{};
  return true;
}

}  // namespace

std::size_t Shard::bytes_for(std::size_t entries, bool by_connection) noexcept {
  const std::size_t index_buckets = id_sizes(entries).last() + connection_sizes(entries, by_connection).last();
  return entries * (sizeof(HotEntry) + sizeof(ColdEntry) + sizeof(ExtensionEntry) + sizeof(Seconds) + 1) +
         index_buckets * sizeof(Bucket) * 3 / 2;
}

bool Shard::allocate(std::size_t entries, Slot first, const TableConfig& config) noexcept {
  const bool with_connections = config.by_connection;
  const Index::Sizes sizes = id_sizes(entries, config.reserve),
                     sides = connection_sizes(entries, with_connections, config.reserve);
  // Address space for the most that can be needed; memory is had as states arrive, or now.
  memory_bytes_ = 9 * huge_page_bytes + share(entries * sizeof(HotEntry)) + share(entries * sizeof(ColdEntry)) +
                  share(entries * sizeof(ExtensionEntry)) + share(entries * sizeof(Seconds)) + share(entries) +
                  share(sizes.total() * sizeof(Bucket)) + share(sides.total() * sizeof(Bucket));
  memory_ = mmap(nullptr, memory_bytes_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory_ == MAP_FAILED) {
    memory_ = nullptr;
    return false;
  }
  // Huge pages where the kernel gives them: random access over 4 KiB pages runs at a third to a half of the
  // speed. Advice: a kernel without it is only slower. Not for small tables, where clearing one costs more.
  if (entries * sizeof(HotEntry) >= huge_page_bytes) madvise(memory_, memory_bytes_, MADV_HUGEPAGE);
  if (config.reserve && !populate(memory_, memory_bytes_)) return false;
  Carver carver{static_cast<std::byte*>(memory_)};
  hot = carver.take<HotEntry>(entries);
  cold = carver.take<ColdEntry>(entries);
  index.reset(carver.take<Bucket>(sizes.total()), sizes);
  if (with_connections) connections.reset(carver.take<Bucket>(sides.total()), sides);
  by_connection = with_connections;
  check_at = carver.take<Seconds>(entries);
  creator = carver.take<std::uint8_t>(entries);
  extensions = carver.take<ExtensionEntry>(entries);
  changed = std::make_unique<std::atomic<bool>[]>(entries / block_slots + 1);
  free_slots = FreeList<ColdEntry>{cold};
  free_extensions = FreeList<ExtensionEntry>{extensions};
  entries_ = entries;
  first_slot = first;
  return true;
}

Shard::~Shard() {
  if (memory_ != nullptr) munmap(memory_, memory_bytes_);
}

bool Shard::read(std::size_t local, Packed& into) const noexcept {
  HotEntry& entry = hot[local];
  for (;;) {
    // Acquire: pairs with the release that ended a change (Change in table.h).
    const auto before = std::atomic_ref{entry.sequence}.load(std::memory_order_acquire);
    if (before & 1) continue;  // a change takes some tens of stores; the writer never sleeps in it
    HotEntry& to = into.hot;
    to.id = get(entry.id);
    to.creatorid = std::atomic_ref{entry.creatorid}.load(std::memory_order_acquire);
    get_all(entry.src, to.src);
    to.times = get(entry.times);
    to.meta = get(entry.meta);
    const bool in_use = to.in_use();
    if (in_use) {
      get_all(entry.dst, to.dst);
      to.created_anchor = get(entry.created_anchor);
      to.nat_rule_rule = get(entry.nat_rule_rule);
      to.names = get(entry.names);
      get_all(cold[local].words, into.cold.words);
      // A number from a version that is not this one is still one that was given out, and the words are only words.
      into.extended = to.extension() != no_extension;
      if (into.extended) get_all(extensions[to.extension() - 1].words, into.extension.words);
    }
    // Relaxed suffices: it cannot move before the acquire loads of the words above.
    if (std::atomic_ref{entry.sequence}.load(std::memory_order_relaxed) == before) return in_use;
  }
}

bool Shard::read(std::size_t local, Snapshot& into) const noexcept {
  Packed packed;
  if (!read(local, packed)) return false;
  into.hot = unpack_hot(packed.hot);
  into.cold = unpack_cold(packed.hot, packed.cold, packed.extended ? &packed.extension : nullptr);
  return true;
}

bool Shard::read(std::size_t local, wire::StateId& into) const noexcept {
  HotEntry& entry = hot[local];
  for (;;) {
    const auto before = std::atomic_ref{entry.sequence}.load(std::memory_order_acquire);
    if (before & 1) continue;
    HotEntry copy;
    copy.id = get(entry.id);
    copy.creatorid = std::atomic_ref{entry.creatorid}.load(std::memory_order_acquire);
    copy.meta = get(entry.meta);
    if (std::atomic_ref{entry.sequence}.load(std::memory_order_relaxed) != before) continue;
    into = {copy.id, copy.creatorid};
    return copy.in_use();
  }
}

Sides Shard::sides_of(std::size_t local) const noexcept {
  const HotEntry& entry = hot[local];
  return statetable::sides_of(unpack_hot(entry), unpack_cold(entry, cold[local], extension_of(entry)),
                              entry.interface());
}

Hash Shard::connection_of(Slot slot_and_side) const noexcept {
  if ((slot_and_side & stack_side) == 0) return Hash{hot[slot_and_side].connection};
  return hash_of(sides_of(slot_and_side & ~stack_side).stack, hash_seed);
}

std::uint8_t Shard::known_number_of(std::uint32_t creatorid) const noexcept {
  for (std::size_t i = 0; i < creators_known_; ++i)
    if (creators_[i] == creatorid) return static_cast<std::uint8_t>(i + 1);
  return creators_known_ == creator_other - 1 ? creator_other : std::uint8_t{0};
}

std::uint8_t Shard::number_of(std::uint32_t creatorid) noexcept {
  if (creator_last_ < creators_known_ && creators_[creator_last_] == creatorid)
    return static_cast<std::uint8_t>(creator_last_ + 1);
  const std::uint8_t known = known_number_of(creatorid);
  if (known == creator_other) return known;
  if (known == 0) creators_[creators_known_++] = creatorid;
  creator_last_ = known == 0 ? creators_known_ - 1 : known - 1u;
  return static_cast<std::uint8_t>(creator_last_ + 1);
}

}  // namespace pfsync::statetable
