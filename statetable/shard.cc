#include "statetable/shard.h"

#include <sys/mman.h>

#include <new>

namespace pfsync::statetable {
namespace {

constexpr std::size_t huge_page_bytes = std::size_t{2} << 20;

constexpr std::size_t rounded(std::size_t bytes, std::size_t to) noexcept { return (bytes + to - 1) / to * to; }

/// Hands out pieces of one mapping, each on a cache line of its own.
class Carver {
 public:
  explicit Carver(std::byte* at) noexcept : at_{at} {}
  template <class T>
  std::span<T> take(std::size_t count) noexcept {
    auto* first = reinterpret_cast<T*>(at_);
    at_ += rounded(count * sizeof(T), 128);
    return {first, count};
  }

 private:
  std::byte* at_;
};

}  // namespace

std::size_t Shard::bytes_for(std::size_t entries) noexcept {
  return rounded(rounded(entries * sizeof(HotEntry), 128) + rounded(entries * sizeof(Sequenced<ColdState>), 128) +
                     rounded(entries * sizeof(Seconds), 128) + rounded(entries * sizeof(std::uint32_t), 128) +
                     rounded(entries * sizeof(Slot), 128) + Index::buckets_for(entries) * sizeof(Bucket),
                 huge_page_bytes);
}

bool Shard::allocate(std::size_t entries, Slot first) noexcept {
  memory_bytes_ = bytes_for(entries);
  // Zero-filled and touched only as states arrive. Huge pages where the kernel gives them: random
  // access over 4 KiB pages runs at a third to a half of the speed.
  memory_ = mmap(nullptr, memory_bytes_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory_ == MAP_FAILED) {
    memory_ = nullptr;
    return false;
  }
  madvise(memory_, memory_bytes_, MADV_HUGEPAGE);  // advice: a kernel without it is only slower
  Carver carver{static_cast<std::byte*>(memory_)};
  hot = carver.take<HotEntry>(entries);
  index = Index{carver.take<Bucket>(Index::buckets_for(entries))};
  cold = carver.take<Sequenced<ColdState>>(entries);
  check_at = carver.take<Seconds>(entries);
  creator = carver.take<std::uint32_t>(entries);
  free_slots = carver.take<Slot>(entries);
  first_slot = first;
  free_count = 0;
  return true;
}

Shard::~Shard() {
  if (memory_ != nullptr) munmap(memory_, memory_bytes_);
}

bool Shard::read(std::size_t local, Snapshot& into) const noexcept {
  HotEntry& entry = hot[local];
  // Both parts are on their way at once; one after the other would wait for memory twice.
  for (std::size_t at = 0; at < sizeof(cold[local]); at += 64)
    __builtin_prefetch(reinterpret_cast<const char*>(&cold[local]) + at);
  for (;;) {
    // Acquire: pairs with the release that ended a change (ShardWriter::Change).
    const auto before = std::atomic_ref{entry.sequence}.load(std::memory_order_acquire);
    if (before & 1) continue;  // a change takes some tens of stores; the writer never sleeps in it
    entry.body.load(into.hot);
    if (into.hot.in_use) cold[local].load(into.cold);
    // Relaxed suffices: it cannot move before the acquire loads of the words above.
    if (std::atomic_ref{entry.sequence}.load(std::memory_order_relaxed) == before) return into.hot.in_use;
  }
}

}  // namespace pfsync::statetable
