#pragma once

#include <algorithm>
#include <cstdint>

#include "statetable/time.h"

namespace pfsync::engine {

/// When a bulk update that nobody sent is asked for again: with the first packet of somebody who was not there, then
/// less and less often, since who speaks may yet answer no requests. Thread-bound.
class BulkRetry {
 public:
  using Instant = statetable::Instant;
  static constexpr std::chrono::seconds soonest{5}, latest{60};

  /// `failed`: a request has ended unanswered; `is_caught_up`: another has come to its end since; `packets`: received
  /// so far, from anybody.
  [[nodiscard]] bool is_due(bool failed, bool is_caught_up, std::uint64_t packets, Instant now) noexcept {
    if (is_caught_up) wait_ = soonest;
    if (failed && !failed_) {
      packets_when_failed_ = packets;
      failed_at_ = now;
    }
    failed_ = failed;
    if (!failed || packets == packets_when_failed_ || now < failed_at_ + wait_) return false;
    failed_at_ = now;
    wait_ = std::min(2 * wait_, std::chrono::seconds{latest});
    return true;
  }

 private:
  bool failed_ = false;
  std::uint64_t packets_when_failed_ = 0;
  Instant failed_at_{};
  std::chrono::seconds wait_ = soonest;
};

}  // namespace pfsync::engine
