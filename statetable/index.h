#pragma once

#if defined(__SSE2__)
#include <emmintrin.h>
#endif

#include <array>
#include <atomic>
#include <bit>
#include <cstdint>
#include <span>

#include "statetable/entry.h"
#include "statetable/hash.h"

namespace pfsync::statetable {

/// Ten (tag, slot) places in one cache line. `overflow` counts the entries that wanted this bucket, or
/// passed it, and had to go on: while it is zero a probe ends here, so no tombstones are needed.
struct alignas(64) Bucket {
  static constexpr std::size_t places = 10;
  std::array<std::uint16_t, places> tag;   ///< 0 = empty
  std::array<std::uint32_t, places> slot;
  std::uint32_t overflow;

  /// Writer: bit i is set when place i has the tag. All at once, since where it stands is random and a branch
  /// a place is guessed wrong every other time.
  [[nodiscard]] unsigned matches(std::uint16_t wanted) const noexcept {
#if defined(__SSE2__)
    const __m128i all = _mm_set1_epi16(static_cast<short>(wanted));
    const auto equal = [&](std::size_t from) {
      return _mm_cmpeq_epi16(_mm_loadu_si128(reinterpret_cast<const __m128i*>(&tag[from])), all);
    };
    // Places 0 to 7 in the low byte, 2 to 9 in the high one.
    const auto bits = static_cast<unsigned>(_mm_movemask_epi8(_mm_packs_epi16(equal(0), equal(2))));
    return (bits & 0xffu) | (bits >> 8u << 2u);
#else
    unsigned bits = 0;
    for (unsigned i = 0; i < places; ++i) bits |= static_cast<unsigned>(tag[i] == wanted) << i;
    return bits;
#endif
  }
};
static_assert(sizeof(Bucket) == 64);

/// Open addressing over memory that the shard owns. One writer; readers may probe at any time.
/// A place is published by its tag (release), after its slot; a reader that matches a tag (acquire)
/// reads the slot and must then check the key in the entry: the place may have been reused meanwhile.
class Index {
 public:
  Index() noexcept = default;
  /// `buckets`: zero-filled, a power of two of them.
  explicit Index(std::span<Bucket> buckets) noexcept : buckets_{buckets}, mask_{buckets.size() - 1} {}

  /// Buckets for this many entries at 60 % load or less.
  [[nodiscard]] static std::size_t buckets_for(std::size_t entries) noexcept;

  void prefetch(Hash hash) const noexcept { __builtin_prefetch(&buckets_[hash.bucket(mask_)]); }

  /// Writer: calls `is_match(slot)` for each place with the hash's tag until it returns true.
  template <class F>
  [[nodiscard]] Slot find(Hash hash, F&& is_match) const noexcept {
    const std::uint16_t tag = hash.tag();
    std::size_t probed = 0;  // erases can leave every bucket with an overflow, so that alone ends no probe
    for (std::uint64_t b = hash.bucket(mask_); probed < buckets_.size(); b = (b + 1) & mask_, ++probed) {
      const Bucket& bucket = buckets_[b];
      for (unsigned left = bucket.matches(tag); left != 0; left &= left - 1)
        if (const Slot slot = bucket.slot[static_cast<unsigned>(std::countr_zero(left))]; is_match(slot)) return slot;
      if (bucket.overflow == 0) break;
    }
    return no_slot;
  }

  /// Reader: as `find`, over words that a writer may be changing.
  template <class F>
  [[nodiscard]] Slot find_shared(Hash hash, F&& is_match) const noexcept {
    const std::uint16_t tag = hash.tag();
    std::size_t probed = 0;
    for (std::uint64_t b = hash.bucket(mask_); probed < buckets_.size(); b = (b + 1) & mask_, ++probed) {
      Bucket& bucket = buckets_[b];
      for (std::size_t i = 0; i < Bucket::places; ++i) {
        if (std::atomic_ref{bucket.tag[i]}.load(std::memory_order_acquire) != tag) continue;
        const Slot slot = std::atomic_ref{bucket.slot[i]}.load(std::memory_order_relaxed);
        if (is_match(slot)) return slot;
      }
      if (std::atomic_ref{bucket.overflow}.load(std::memory_order_acquire) == 0) break;
    }
    return no_slot;
  }

  /// Writer. Contract: fewer entries are in the index than `buckets_for` was asked for.
  void insert(Hash hash, Slot slot) noexcept;
  /// Writer. Contract: (hash, slot) was inserted.
  void erase(Hash hash, Slot slot) noexcept;

 private:
  std::span<Bucket> buckets_{};
  std::uint64_t mask_ = 0;
};

}  // namespace pfsync::statetable
