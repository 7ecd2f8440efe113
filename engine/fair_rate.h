#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>

#include "statetable/time.h"
#include "wire/ethernet.h"

namespace pfsync::engine {

/// Which of several sources take no more than their parts of a rate: so many times a second for all of them together,
/// and a burst for each. What is done about the others is the caller's matter. Thread-bound.
template <std::size_t sources_max>
class FairParts {
 public:
  using Instant = statetable::Instant;

  /// `per_s` 0: all of them, always. Contract: burst > 0; per_s at most 10^9.
  constexpr FairParts(std::uint64_t per_s, std::uint64_t burst) noexcept
      : every_{per_s == 0 ? 0 : 1'000'000'000 / per_s}, depth_{every_ * static_cast<std::int64_t>(burst - 1)} {}

  /// Whether it still lies in the part of that source, one of so many; if so, it is taken from it. Contract: source <
  /// sources_max.
  [[nodiscard]] bool take(std::size_t source, std::size_t sources, Instant now) noexcept {
    Instant& full_at = full_at_[source];
    if (full_at > now + depth_) return false;
    full_at = std::max(full_at, now) + every_ * static_cast<std::int64_t>(std::max<std::size_t>(sources, 1));
    return true;
  }

 private:
  std::chrono::nanoseconds every_;
  std::chrono::nanoseconds depth_;
  std::array<Instant, sources_max> full_at_{};  ///< when all that a source took will have come back
};

/// As a TokenBucket that several sources share: so many times a second for all of them together. A source that takes
/// more than its part leaves half of the burst to the others, so that who takes less finds something, whatever the
/// greedy ones do; alone each may have it all. Thread-bound.
template <std::size_t sources_max>
class FairRate {
 public:
  using Instant = statetable::Instant;

  /// `per_s` 0: as often as one likes. Contract: burst > 0; per_s at most 10^9.
  constexpr FairRate(std::uint64_t per_s, std::uint64_t burst) noexcept
      : every_{per_s == 0 ? 0 : 1'000'000'000 / per_s},
        depth_{every_ * static_cast<std::int64_t>(burst - 1)},
        parts_{per_s, burst} {}

  /// Whether a source, one of so many, may do it now; if so, it counts as done. Contract: source < sources_max.
  [[nodiscard]] bool take(std::size_t source, std::size_t sources, Instant now) noexcept {
    if (every_ == Nanoseconds::zero()) return true;
    if (full_at_ > now + depth_) return false;
    const bool is_modest = parts_.take(source, sources, now);
    if (!is_modest && full_at_ > now + depth_ / 2) return false;
    full_at_ = std::max(full_at_, now) + every_;
    return true;
  }

 private:
  using Nanoseconds = std::chrono::nanoseconds;
  Nanoseconds every_;
  Nanoseconds depth_;
  Instant full_at_{};  ///< when all that was taken will have come back
  FairParts<sources_max> parts_;
};

/// The same for answers to whoever asks. Askers are told apart by their Ethernet addresses; several may count as one.
class AnswerRate {
 public:
  /// As FairRate's.
  constexpr AnswerRate(std::uint64_t per_s, std::uint64_t burst) noexcept : rate_{per_s, burst} {}

  [[nodiscard]] bool take(const wire::MacAddress& asker, statetable::Instant now) noexcept {
    return rate_.take(place_of(asker), parts, now);
  }

 private:
  static constexpr std::size_t places = 64;
  static constexpr std::size_t parts = 8;  ///< of the rate: one is each asker's

  static constexpr std::size_t place_of(const wire::MacAddress& mac) noexcept {
    std::uint32_t hash = 2166136261u;  // FNV-1a
    for (const std::uint8_t byte : mac.bytes) hash = (hash ^ byte) * 16777619u;
    return hash % places;
  }

  FairRate<places> rate_;
};

}  // namespace pfsync::engine
