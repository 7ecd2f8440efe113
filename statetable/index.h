#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <span>

#include "statetable/buckets.h"
#include "statetable/fetch.h"

namespace pfsync::statetable {

/// Buckets that grow while they are used: when those in use are 52 % full, entries move to twice as many, a
/// bucket at a time, as inserts come. Every array has address space of its own, for good: a reader that holds an old
/// one may read it for ever, so nothing has to be reclaimed; only its pages are given back.
///
/// Growing, as readers see it: an entry is put into the larger array before it leaves the smaller, and `phase_`
/// says which arrays count. A reader looks into the smaller and then into the larger one (the other way round it
/// could miss an entry that moves in between), and when it found nothing and `phase_` has changed, it looks again.
class Index {
 public:
  /// `entries`: the most that it will hold; `start`: for how many it is made at first.
  struct Sizes {
    std::uint64_t first = 0;  ///< buckets of the smallest array
    unsigned steps = 0;       ///< how often it can double
    [[nodiscard]] std::uint64_t last() const noexcept { return first << steps; }
    /// Of all arrays together.
    [[nodiscard]] std::uint64_t total() const noexcept { return 2 * last() - first; }
  };
  static constexpr unsigned steps_max = 24;
  /// At 52 % load or less of the last size: fuller, a few percent of the searches go on to a line that nothing fetched.
  [[nodiscard]] static Sizes sizes_for(std::size_t entries, std::size_t start) noexcept;

  Index() noexcept = default;
  /// `memory`: zero-filled, sizes.total() of them.
  Index(Bucket* memory, const Sizes& sizes) noexcept;
  Index(const Index&) = delete;
  Index& operator=(const Index&) = delete;
  /// Contract: nobody reads yet.
  void reset(Bucket* memory, const Sizes& sizes) noexcept;

  /// Writer, as all that follows but find_shared.
  [[nodiscard]] bool is_growing() const noexcept { return next_.count() != 0; }
  [[nodiscard]] std::size_t bytes() const noexcept { return (now_.count() + next_.count()) * sizeof(Bucket); }

  /// The line where a search for the hash begins, on its way to the cache.
  [[gnu::always_inline]] const Bucket* prefetch(Hash hash) const noexcept {
    if (is_growing()) [[unlikely]]
      fetch(next_.home_of(hash));
    const Bucket* const line = now_.home_of(hash);
    fetch(line);
    return line;
  }
  /// The first slot with the hash's tag, without a look at its key; no_slot when the lines where the search begins do
  /// not tell. `line`: from prefetch, however long ago; it may be out of date, but is there for ever.
  [[nodiscard]] [[gnu::always_inline]] Slot guess(Hash hash, const Bucket* line) const noexcept {
    const unsigned bits = line->matches(hash.tag());
    if (bits != 0) [[likely]]
      return line->slot[static_cast<unsigned>(std::countr_zero(bits))];
    return is_growing() ? next_.guess(hash) : no_slot;
  }
  template <class F>
  [[nodiscard]] Slot find(Hash hash, F&& is_match) const noexcept {
    const Slot slot = now_.find(hash, is_match);
    if (slot != no_slot || !is_growing()) return slot;
    return next_.find(hash, is_match);
  }
  /// Any thread.
  template <class F>
  [[nodiscard]] Slot find_shared(Hash hash, F&& is_match) const noexcept {
    for (;;) {
      const std::uint32_t phase = phase_.load(std::memory_order_acquire);
      Slot slot = array(phase / 2).find_shared(hash, is_match);
      if (slot == no_slot && phase % 2 != 0) slot = array(phase / 2 + 1).find_shared(hash, is_match);
      // Relaxed suffices: it cannot move before the acquire loads of the search.
      if (slot != no_slot || phase_.load(std::memory_order_relaxed) == phase) return slot;
    }
  }
  /// Any thread: for the probe that comes.
  void prefetch_shared(Hash hash) const noexcept {
    const std::uint32_t phase = phase_.load(std::memory_order_acquire);
    fetch(array(phase / 2).home_of(hash));
    if (phase % 2 != 0) fetch(array(phase / 2 + 1).home_of(hash));
  }

  /// Any thread: as `guess`, without a line at hand.
  [[nodiscard]] Slot guess_shared(Hash hash) const noexcept {
    const std::uint32_t phase = phase_.load(std::memory_order_acquire);
    const Slot slot = array(phase / 2).guess_shared(hash);
    return slot != no_slot || phase % 2 == 0 ? slot : array(phase / 2 + 1).guess_shared(hash);
  }

  /// Contract: it holds fewer entries than it was made for.
  void insert(Hash hash, Slot slot) noexcept {
    (is_growing() ? next_ : now_).insert(hash, slot);
    ++entries_;
  }
  /// Contract: (hash, slot) was inserted.
  void erase(Hash hash, Slot slot) noexcept {
    if (!now_.erase(hash, slot)) next_.erase(hash, slot);
    --entries_;
  }

  /// Whether it is time to call `grow`; after an insert.
  [[nodiscard]] bool wants_to_grow() const noexcept {
    return is_growing() || (entries_ >= limit_ && size_ < sizes_.steps);
  }
  /// Moves one bucket's entries. `hash_of(slot)` gives an entry's hash, `need(slot)` is told before, to fetch it.
  template <class HashOf, class Need>
  void grow(HashOf&& hash_of, Need&& need) noexcept {
    if (!is_growing()) {
      begin_growing();
      fetch_slots(0, need);
      return;
    }
    const std::array<Slot, Bucket::places> slots = now_[moved_].slot;
    const std::array<std::uint16_t, Bucket::places> tags = now_[moved_].tag;
    for (std::size_t i = 0; i < Bucket::places; ++i) {
      if (tags[i] == 0) continue;
      const Hash hash = hash_of(slots[i]);
      next_.insert(hash, slots[i]);
      now_.erase(hash, slots[i]);
    }
    if (++moved_ == now_.count()) return end_growing();
    fetch_slots(moved_, need);
  }

 private:
  [[nodiscard]] Buckets array(unsigned size) const noexcept {
    // The arrays lie one behind the other, each twice as long as the one before.
    return {memory_ + (sizes_.first << size) - sizes_.first, sizes_.first << size};
  }
  template <class Need>
  void fetch_slots(std::uint64_t bucket, Need&& need) const noexcept {
    const Bucket& next = now_[bucket];
    for (std::size_t i = 0; i < Bucket::places; ++i)
      if (next.tag[i] != 0) need(next.slot[i]);
    fetch(&now_[now_.behind(bucket)]);
    const std::uint64_t twice = 2 * bucket;
    for (std::uint64_t ahead = 2; ahead < 4 && twice + ahead < next_.count(); ++ahead) fetch(&next_[twice + ahead]);
  }
  void begin_growing() noexcept;
  void end_growing() noexcept;
  void use(unsigned size) noexcept;

  Buckets now_;
  Buckets next_;  ///< empty unless growing
  std::uint64_t entries_ = 0;
  std::uint64_t limit_ = 0;  ///< entries at which growing begins
  std::uint64_t moved_ = 0;  ///< buckets of now_ that have been emptied
  unsigned size_ = 0;
  Bucket* memory_ = nullptr;
  Sizes sizes_{};
  std::atomic<std::uint32_t> phase_{0};  ///< twice the size in use, and one while moving to the next
};

}  // namespace pfsync::statetable
