#pragma once

#include <algorithm>
#include <optional>

#include "engine/session/bulk_requester.h"
#include "statetable/time.h"

namespace pfsync::engine {

/// When a bulk update that a peer did not send is asked for again: with the first packet of one that was not there,
/// then less and less often, since who speaks may yet answer no requests. One for each peer. Thread-bound.
class BulkRetry {
 public:
  using Instant = statetable::Instant;
  static constexpr std::chrono::seconds soonest{5}, latest{60};

  /// `phase`: of the request to the peer; `heard_at`: when its last packet came, if any has.
  [[nodiscard]] bool is_due(BulkPhase phase, std::optional<Instant> heard_at, Instant now) noexcept {
    if (phase == BulkPhase::done) wait_ = soonest;
    const bool failed = phase == BulkPhase::failed;
    if (failed && !failed_) {
      heard_when_failed_ = heard_at;
      failed_at_ = now;
    }
    failed_ = failed;
    if (!failed || heard_at == heard_when_failed_ || now < failed_at_ + wait_) return false;
    failed_at_ = now;
    wait_ = std::min(2 * wait_, std::chrono::seconds{latest});
    return true;
  }

 private:
  bool failed_ = false;
  std::optional<Instant> heard_when_failed_{};
  Instant failed_at_{};
  std::chrono::seconds wait_ = soonest;
};

}  // namespace pfsync::engine
