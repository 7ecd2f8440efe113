#pragma once

#if defined(__SSE2__)
#include <emmintrin.h>
#endif

#include <array>
#include <atomic>
#include <bit>
#include <cstddef>
#include <cstdint>

#include "statetable/entry.h"
#include "statetable/hash.h"

namespace pfsync::statetable {

/// Ten (tag, slot) places in one cache line. `overflow` counts the entries that wanted this bucket, or
/// passed it, and had to go on: while it is zero a probe ends here, so no tombstones are needed.
struct alignas(64) Bucket {
  static constexpr std::size_t places = 10;
  std::array<std::uint16_t, places> tag;  ///< 0 = empty
  std::array<std::uint32_t, places> slot;
  std::uint32_t overflow;

  /// Writer: bit i is set when place i has the tag. All at once, since where it stands is random and a branch
  /// a place is guessed wrong every other time.
  [[nodiscard]] unsigned matches(std::uint16_t wanted) const noexcept {
#if defined(__SSE2__)
    return matches_sse2(wanted);
#else
    return matches_portable(wanted);
#endif
  }
  [[nodiscard]] unsigned matches_portable(std::uint16_t wanted) const noexcept {
    unsigned bits = 0;
    for (unsigned i = 0; i < places; ++i) bits |= static_cast<unsigned>(tag[i] == wanted) << i;
    return bits;
  }
#if defined(__SSE2__)
  [[nodiscard]] unsigned matches_sse2(std::uint16_t wanted) const noexcept {
    const __m128i all = _mm_set1_epi16(static_cast<short>(wanted));
    const auto equal = [&](std::size_t from) {
      return _mm_cmpeq_epi16(_mm_loadu_si128(reinterpret_cast<const __m128i*>(&tag[from])), all);
    };
    // Places 0 to 7 in the low byte, 2 to 9 in the high one.
    const auto bits = static_cast<unsigned>(_mm_movemask_epi8(_mm_packs_epi16(equal(0), equal(2))));
    return (bits & 0xffu) | (bits >> 8u << 2u);
  }
#endif
};
static_assert(sizeof(Bucket) == 64);

/// Open addressing over memory that the owner holds. One writer; readers may probe at any time.
/// A place is published by its tag (release), after its slot; a reader that matches a tag (acquire)
/// reads the slot and must then check the key in the entry: the place may have been reused meanwhile.
class Buckets {
 public:
  Buckets() noexcept = default;
  /// `first`: zero-filled, `count` of them.
  Buckets(Bucket* first, std::uint64_t count) noexcept : first_{first}, count_{count} {}

  [[nodiscard]] std::uint64_t count() const noexcept { return count_; }
  [[nodiscard]] Bucket& operator[](std::uint64_t b) const noexcept { return first_[b]; }
  /// Bits 0–39 of the hash as a fraction of all buckets: any number of them will do, and twice as many keep the
  /// order, so that a larger array is filled front to back. Source: D. Lemire, "Fast random integer generation
  /// in an interval", ACM TOMACS 29 (2019).
  [[nodiscard]] std::uint64_t home(Hash hash) const noexcept {
    __extension__ using Wide = unsigned __int128;
    // cppcheck-suppress shiftTooManyBits ; the value shifted has 128 bits
    return static_cast<std::uint64_t>(Wide{hash.value() << 24u} * count_ >> 64u);
  }
  [[nodiscard]] Bucket* home_of(Hash hash) const noexcept { return first_ + home(hash); }
  [[nodiscard]] std::uint64_t behind(std::uint64_t b) const noexcept { return b + 1 == count_ ? 0 : b + 1; }

  /// Writer: the first slot with the hash's tag, without a look at its key; no_slot when a probe from the home
  /// bucket alone does not tell.
  [[nodiscard]] Slot guess(Hash hash) const noexcept {
    const Bucket& bucket = first_[home(hash)];
    const unsigned bits = bucket.matches(hash.tag());
    return bits == 0 ? no_slot : bucket.slot[static_cast<unsigned>(std::countr_zero(bits))];
  }

  /// Writer: calls `is_match(slot)` for each place with the hash's tag until it returns true.
  template <class F>
  [[nodiscard]] Slot find(Hash hash, F&& is_match) const noexcept {
    const std::uint16_t tag = hash.tag();
    std::uint64_t probed = 0;  // erases can leave every bucket with an overflow, so that alone ends no probe
    for (std::uint64_t b = home(hash); probed < count_; b = behind(b), ++probed) {
      const Bucket& bucket = first_[b];
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
    std::uint64_t probed = 0;
    for (std::uint64_t b = home(hash); probed < count_; b = behind(b), ++probed) {
      Bucket& bucket = first_[b];
      for (std::size_t i = 0; i < Bucket::places; ++i) {
        if (std::atomic_ref{bucket.tag[i]}.load(std::memory_order_acquire) != tag) continue;
        const Slot slot = std::atomic_ref{bucket.slot[i]}.load(std::memory_order_relaxed);
        if (is_match(slot)) return slot;
      }
      if (std::atomic_ref{bucket.overflow}.load(std::memory_order_acquire) == 0) break;
    }
    return no_slot;
  }

  /// Reader: as `guess`.
  [[nodiscard]] Slot guess_shared(Hash hash) const noexcept {
    Bucket& bucket = first_[home(hash)];
    for (std::size_t i = 0; i < Bucket::places; ++i)
      if (std::atomic_ref{bucket.tag[i]}.load(std::memory_order_acquire) == hash.tag())
        return std::atomic_ref{bucket.slot[i]}.load(std::memory_order_relaxed);
    return no_slot;
  }

  /// Writer. Contract: some place is empty.
  void insert(Hash hash, Slot slot) noexcept;
  /// Writer: false when (hash, slot) is not here.
  bool erase(Hash hash, Slot slot) noexcept;

 private:
  Bucket* first_ = nullptr;
  std::uint64_t count_ = 0;
};

}  // namespace pfsync::statetable
