#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>

#include "engine/counters.h"
#include "engine/session/sync_rules.h"
#include "statetable/entry.h"
#include "statetable/time.h"

namespace pfsync::engine {

/// States whose announcement waits until they are old enough, by the second at which they are: a wheel of lists
/// through slots. A state stands in it at most once, so that it can never be full. Thread-bound, but for size().
class DelayedStates {
 public:
  using Slot = statetable::Slot;
  using Seconds = statetable::Seconds;

  explicit DelayedStates(std::size_t slots);
  /// Bytes of memory for a table of that many slots, the seconds apart.
  [[nodiscard]] static constexpr std::size_t memory_bytes(std::size_t slots) noexcept { return slots * sizeof(Place); }

  /// `from`: whoever told of it. Contract: the slot is not in it; due_s is at most SyncRule::age_max_s ahead.
  void add(Slot slot, Seconds due_s, std::uint8_t from) noexcept;
  /// The state ended. Returns whether it still waited.
  bool forget(Slot slot) noexcept;
  /// Takes up to `states` of those that are due out and calls f(slot, from) for each.
  template <class F>
  void release(Seconds now_s, std::size_t states, F&& f) noexcept {
    for (; size() > 0 && next_s_ <= now_s; ++next_s_)
      for (; first_[second_of(next_s_)] != 0; --states) {
        if (states == 0) return;
        const Slot slot = first_[second_of(next_s_)] - 1;
        const std::uint8_t from = places_[slot].from;
        static_cast<void>(forget(slot));
        f(slot, from);
      }
  }
  /// When release should next be called.
  [[nodiscard]] statetable::Instant timeout() const noexcept {
    if (size() == 0) return statetable::Instant::max();
    return statetable::Instant{} + std::chrono::seconds{next_s_};
  }
  /// As Outbox::take_memory().
  void take_memory(Slot first, std::size_t slots) noexcept { std::fill_n(&places_[first], slots, Place{}); }
  /// Any thread.
  [[nodiscard]] std::size_t size() const noexcept { return count_.value(); }

 private:
  /// More than any state waits, and time for a turn that comes late.
  static constexpr std::size_t seconds = 4096;
  static_assert(seconds > std::size_t{SyncRule::age_max_s} + 60);
  /// Neighbours are stored as slot + 1, 0 is the end.
  struct Place {
    std::uint32_t previous;
    std::uint32_t next;
    std::uint16_t second;
    std::uint8_t from;
    bool waits;
  };
  static_assert(sizeof(Place) == 12);
  [[nodiscard]] static std::size_t second_of(Seconds due_s) noexcept {
    return static_cast<std::uint32_t>(due_s) % seconds;
  }

  std::unique_ptr<Place[], void (*)(void*)> places_;
  std::array<std::uint32_t, seconds> first_{};
  Counter count_;
  Seconds next_s_ = 0;  ///< nothing waits for a second before this
};

}  // namespace pfsync::engine
