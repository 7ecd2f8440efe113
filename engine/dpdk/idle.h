#pragma once

#include <rte_pause.h>
#include <time.h>

#include <algorithm>

#include "statetable/time.h"

namespace pfsync::engine::dpdk {

/// What a polling core does in a turn that had nothing to do: pauses, then sleeps longer and longer, up to its next
/// deadline.
class Idle {
 public:
  /// `busy`: never sleep.
  explicit Idle(bool busy) noexcept : busy_{busy} {}
  void worked() noexcept { turns_ = 0; }
  void rest(statetable::Instant now, statetable::Instant due) noexcept {
    using statetable::Duration;
    constexpr unsigned spins = 128;
    constexpr Duration shortest = std::chrono::microseconds{20}, longest = std::chrono::microseconds{500};
    ++turns_;
    if (busy_ || turns_ < spins) {
      rte_pause();
      return;
    }
    const Duration grown = shortest * std::min(1u + (turns_ - spins) / 16, 25u);
    const Duration rest = std::min({grown, longest, due - now});
    if (rest <= Duration::zero()) return;
    const timespec wait{.tv_sec = 0, .tv_nsec = static_cast<long>(rest.count())};
    nanosleep(&wait, nullptr);
  }

 private:
  bool busy_;
  unsigned turns_ = 0;
};

}  // namespace pfsync::engine::dpdk
