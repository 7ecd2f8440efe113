#include "engine/session/bulk_requester.h"

#include <algorithm>

namespace pfsync::engine {

void BulkRequester::ask(Instant now) noexcept {
  phase_.store(BulkPhase::asked, std::memory_order_relaxed);
  tries_.store(1, std::memory_order_relaxed);
  states_.store(0, std::memory_order_relaxed);
  asked_at_.store(now, std::memory_order_relaxed);
  requested_at_ = now;
  answers_expected_ = 0;
  set_due(now + retry_after);
  wants_request_ = true;
}

void BulkRequester::cancel() noexcept {
  wants_request_ = false;
  if (phase() != BulkPhase::done) phase_.store(BulkPhase::none, std::memory_order_relaxed);
}

void BulkRequester::on_status(const wire::BulkStatus& status, Instant now) noexcept {
  if (phase() != BulkPhase::asked && phase() != BulkPhase::receiving) return;
  if (status.status == wire::BulkStatus::start) {
    if (phase() == BulkPhase::asked) round_trip_.store(now - requested_at_, std::memory_order_relaxed);
    phase_.store(BulkPhase::receiving, std::memory_order_relaxed);
    renew(now);
  } else if (status.status == wire::BulkStatus::end) {
    // The END of a bulk that began before our request answers somebody else's. One second of grace:
    // both ends count whole seconds.
    const auto began = now - std::chrono::seconds{status.endtime_s};
    if (began + std::chrono::seconds{1} < asked_at_.load(std::memory_order_relaxed)) return;
    end(BulkPhase::done, now);
  }
}

void BulkRequester::on_full_state(Instant now) noexcept {
  if (phase() != BulkPhase::asked && phase() != BulkPhase::receiving) return;
  states_.store(states_.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
  // Else signs of life, which are asked for every second, would keep up the wait for a sender that died.
  if (answers_expected_ > 0)
    --answers_expected_;
  else if (phase() == BulkPhase::receiving &&
           ++since_renewed_ * std::chrono::seconds{1} >= pace_least * (now - renewed_at_))
    renew(now);
}

void BulkRequester::renew(Instant now) noexcept {
  renewed_at_ = now;
  since_renewed_ = 0;
  set_due(now + silence_max);
}

void BulkRequester::on_timeout(Instant now) noexcept {
  const auto due = timeout();
  if (!due || *due > now) return;
  // The first request and tries_max repeats of it. Source: PFSYNC_MAX_BULKTRIES.
  if (tries() > tries_max) {
    end(BulkPhase::failed, now);
    return;
  }
  requested_at_ = now;
  tries_.store(tries() + 1, std::memory_order_relaxed);
  phase_.store(BulkPhase::asked, std::memory_order_relaxed);
  set_due(now + retry_after);
  wants_request_ = true;
}

void BulkRequester::end(BulkPhase how, Instant now) noexcept {
  ended_at_.store(now, std::memory_order_relaxed);
  phase_.store(how, std::memory_order_relaxed);
}

std::optional<BulkRequester::Instant> BulkRequester::due() const noexcept {
  if (phase() != BulkPhase::asked && phase() != BulkPhase::receiving) return std::nullopt;
  return due_.load(std::memory_order_relaxed);
}

statetable::Duration BulkRequester::taking(Instant now) const noexcept {
  const Instant until = due() ? now : ended_at_.load(std::memory_order_relaxed);
  return std::max(until - asked_at_.load(std::memory_order_relaxed), statetable::Duration::zero());
}

bool BulkRequester::take_request() noexcept {
  const bool wanted = wants_request_;
  wants_request_ = false;
  return wanted;
}

}  // namespace pfsync::engine
