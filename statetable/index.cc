#include "statetable/index.h"

#include <algorithm>
#include <bit>

namespace pfsync::statetable {

std::size_t Index::buckets_for(std::size_t entries) noexcept {
  return std::bit_ceil(std::max<std::size_t>(entries / 6 + 1, 8));
}

void Index::insert(Hash hash, Slot slot) noexcept {
  for (std::uint64_t b = hash.bucket(mask_);; b = (b + 1) & mask_) {
    Bucket& bucket = buckets_[b];
    for (std::size_t i = 0; i < Bucket::places; ++i) {
      if (bucket.tag[i] != 0) continue;
      std::atomic_ref{bucket.slot[i]}.store(slot, std::memory_order_relaxed);
      std::atomic_ref{bucket.tag[i]}.store(hash.tag(), std::memory_order_release);
      return;
    }
    // Before the tag appears further on, a reader must know not to stop here.
    std::atomic_ref{bucket.overflow}.store(bucket.overflow + 1, std::memory_order_release);
  }
}

void Index::erase(Hash hash, Slot slot) noexcept {
  const std::uint64_t home = hash.bucket(mask_);
  std::uint64_t b = home;
  for (;; b = (b + 1) & mask_) {
    Bucket& bucket = buckets_[b];
    bool erased = false;
    for (std::size_t i = 0; i < Bucket::places && !erased; ++i) {
      // A freed place keeps its old slot number: only one whose tag is set counts.
      if (bucket.slot[i] != slot || bucket.tag[i] != hash.tag()) continue;
      std::atomic_ref{bucket.tag[i]}.store(std::uint16_t{0}, std::memory_order_release);
      erased = true;
    }
    if (erased) break;
  }
  for (std::uint64_t passed = home; passed != b; passed = (passed + 1) & mask_)
    std::atomic_ref{buckets_[passed].overflow}.store(buckets_[passed].overflow - 1, std::memory_order_release);
}

}  // namespace pfsync::statetable
