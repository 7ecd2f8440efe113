#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>

#include "statetable/time.h"

namespace pfsync::engine {

/// As a TokenBucket that several sources share: so many times a second for all of them together. A source that takes
/// more than its part leaves half of the burst to the others, so that who takes less finds something, whatever the
/// greedy ones do; alone each may have it all. Thread-bound.
template <std::size_t sources_max>
class FairRate {
 public:
  using Instant = statetable::Instant;

  /// `per_s` 0: as often as one likes. Contract: burst > 0; per_s at most 10^9.
  constexpr FairRate(std::uint64_t per_s, std::uint64_t burst) noexcept
      : every_{per_s == 0 ? 0 : 1'000'000'000 / per_s}, depth_{every_ * static_cast<std::int64_t>(burst - 1)} {}

  /// Whether a source, one of so many, may do it now; if so, it counts as done. Contract: source < sources_max.
  [[nodiscard]] bool take(std::size_t source, std::size_t sources, Instant now) noexcept {
    if (every_ == Nanoseconds::zero()) return true;
    Instant& own = own_full_at_[source];
    const bool is_modest = own <= now + depth_;
    if (full_at_ > now + (is_modest ? depth_ : depth_ / 2)) return false;
    full_at_ = std::max(full_at_, now) + every_;
    if (is_modest) own = std::max(own, now) + every_ * static_cast<std::int64_t>(std::max<std::size_t>(sources, 1));
    return true;
  }

 private:
  using Nanoseconds = std::chrono::nanoseconds;
  Nanoseconds every_;
  Nanoseconds depth_;
  Instant full_at_{};                               ///< when all that was taken will have come back
  std::array<Instant, sources_max> own_full_at_{};  ///< the same at a source's part of the rate
};

}  // namespace pfsync::engine
