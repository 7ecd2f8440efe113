#include "statetable/index.h"

#include <sys/mman.h>

#include <algorithm>

namespace pfsync::statetable {

void Buckets::insert(Hash hash, Slot slot) noexcept {
  for (std::uint64_t b = home(hash);; b = behind(b)) {
    Bucket& bucket = first_[b];
    if (const unsigned empty = bucket.matches(0); empty != 0) {
      const auto place = static_cast<unsigned>(std::countr_zero(empty));
      std::atomic_ref{bucket.slot[place]}.store(slot, std::memory_order_relaxed);
      std::atomic_ref{bucket.tag[place]}.store(hash.tag(), std::memory_order_release);
      return;
    }
    // Before the tag appears further on, a reader must know not to stop here.
    std::atomic_ref{bucket.overflow}.store(bucket.overflow + 1, std::memory_order_release);
  }
}

bool Buckets::erase(Hash hash, Slot slot) noexcept {
  const std::uint64_t first = home(hash);
  std::uint64_t b = first, probed = 0;
  for (;; b = behind(b)) {
    Bucket& bucket = first_[b];
    bool erased = false;
    // A freed place keeps its old slot number: only one whose tag is set counts.
    for (unsigned left = bucket.matches(hash.tag()); left != 0 && !erased; left &= left - 1) {
      const auto place = static_cast<unsigned>(std::countr_zero(left));
      if (bucket.slot[place] != slot) continue;
      std::atomic_ref{bucket.tag[place]}.store(std::uint16_t{0}, std::memory_order_release);
      erased = true;
    }
    if (erased) break;
    if (bucket.overflow == 0 || ++probed == count_) return false;
  }
  for (std::uint64_t passed = first; passed != b; passed = behind(passed))
    std::atomic_ref{first_[passed].overflow}.store(first_[passed].overflow - 1, std::memory_order_release);
  return true;
}

Index::Sizes Index::sizes_for(std::size_t entries, std::size_t start) noexcept {
  const std::uint64_t needed = std::max<std::uint64_t>(entries * 10 / 52 + 1, 8),
                      wanted = std::max<std::uint64_t>(start * 10 / 52 + 1, 8);
  unsigned steps = 0;
  while (steps < steps_max && needed >> (steps + 1) >= wanted) ++steps;
  return {.first = (needed + (std::uint64_t{1} << steps) - 1) >> steps, .steps = steps};
}

Index::Index(Bucket* memory, const Sizes& sizes) noexcept { reset(memory, sizes); }

void Index::reset(Bucket* memory, const Sizes& sizes) noexcept {
  memory_ = memory;
  sizes_ = sizes;
  entries_ = 0;
  use(0);
}

void Index::use(unsigned size) noexcept {
  size_ = size;
  now_ = array(size);
  next_ = {};
  moved_ = 0;
  limit_ = now_.count() * 52 / 10;
  phase_.store(2 * size, std::memory_order_release);
}

void Index::begin_growing() noexcept {
  next_ = array(size_ + 1);
  phase_.store(2 * size_ + 1, std::memory_order_release);
}

void Index::end_growing() noexcept {
  constexpr std::uintptr_t page_bytes = std::uintptr_t{2} << 20u;  // giving back a part would split a huge page
  const Buckets old = now_;
  use(size_ + 1);
  // Late readers see the old array's last state, or zeros: nothing in either case. Whole pages only, since its
  // neighbours are in use.
  const auto from = (reinterpret_cast<std::uintptr_t>(&old[0]) + page_bytes - 1) / page_bytes * page_bytes;
  const auto to = reinterpret_cast<std::uintptr_t>(&old[0] + old.count()) / page_bytes * page_bytes;
  if (to > from) madvise(reinterpret_cast<void*>(from), to - from, MADV_DONTNEED);
}

}  // namespace pfsync::statetable
