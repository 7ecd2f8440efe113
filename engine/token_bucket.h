#pragma once

#include <algorithm>
#include <cstdint>

#include "statetable/time.h"

namespace pfsync::engine {

/// How often something may be done: so many times a second on average, and at most a burst at once. Thread-bound.
class TokenBucket {
 public:
  using Instant = statetable::Instant;

  /// `per_s` 0: as often as one likes. Contract: burst > 0; per_s at most 10^9.
  constexpr TokenBucket(std::uint64_t per_s, std::uint64_t burst) noexcept
      : every_{per_s == 0 ? 0 : 1'000'000'000 / per_s}, depth_{every_ * static_cast<std::int64_t>(burst - 1)} {}

  /// Whether it may be done now; if so, it counts as done.
  [[nodiscard]] bool take(Instant now) noexcept {
    if (is_empty(now)) return false;
    full_at_ = std::max(full_at_, now) + every_;
    return true;
  }

  /// Whether it may not be done now.
  [[nodiscard]] bool is_empty(Instant now) const noexcept {
    return every_ != Nanoseconds::zero() && full_at_ > now + depth_;
  }
  /// When it may be done again, if it is empty.
  [[nodiscard]] Instant next() const noexcept { return full_at_ - depth_; }

 private:
  using Nanoseconds = std::chrono::nanoseconds;
  Nanoseconds every_;
  Nanoseconds depth_;
  Instant full_at_{};  ///< when all that was taken will have come back
};

}  // namespace pfsync::engine
