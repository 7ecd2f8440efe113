#pragma once

#include <atomic>
#include <cstdint>
#include <optional>
#include <string_view>

#include "statetable/time.h"
#include "wire/state.h"

namespace pfsync::engine {

/// Where the own bulk request stands.
enum class BulkPhase : std::uint8_t { none, asked, receiving, done, failed };
inline constexpr std::string_view bulk_phase_words[] = {"none", "asked", "receiving", "done", "failed"};
[[nodiscard]] constexpr std::string_view word(BulkPhase phase) noexcept {
  return bulk_phase_words[static_cast<std::size_t>(phase)];
}

/// The asking side of a bulk update: request, wait, repeat, give up. No I/O: `wants_request` says that
/// UPD_REQ (0,0) has to be queued.
/// Differs:  FreeBSD gives a running bulk 4 seconds plus a number of clock ticks taken from its own state
///           limit, half an hour with millions; here the silence since the last full state decides.
/// Source:   FreeBSD sys/netpfil/pf/if_pfsync.c, pfsync_bulk_fail(), pfsync_in_bus().
class BulkRequester {
 public:
  using Instant = statetable::Instant;
  static constexpr unsigned tries_max = 12;
  static constexpr std::chrono::seconds retry_after{5};
  static constexpr std::chrono::seconds silence_max{20};
  /// States a second: what comes more slowly may be answers to the questions of others on a group, and renews no wait.
  static constexpr std::int64_t pace_least = 50;

  void ask(Instant now) noexcept;
  /// Nobody is asked any more; what was complete stays so.
  void cancel() noexcept;
  void on_status(const wire::BulkStatus& status, Instant now) noexcept;
  /// A full state (UPD) arrived.
  void on_full_state(Instant now) noexcept;
  /// The peer is asked for a single state: its answer is a full state too, and no sign that a bulk update goes on.
  void expect_answer() noexcept { ++answers_expected_; }
  void on_timeout(Instant now) noexcept;
  [[nodiscard]] std::optional<Instant> timeout() const noexcept { return due(); }
  /// True once for each request that has to go out.
  [[nodiscard]] bool take_request() noexcept;

  // Any thread:
  [[nodiscard]] BulkPhase phase() const noexcept { return phase_.load(std::memory_order_relaxed); }
  [[nodiscard]] unsigned tries() const noexcept { return tries_.load(std::memory_order_relaxed); }
  /// When it will be asked again, or given up; nullopt unless one is awaited.
  [[nodiscard]] std::optional<Instant> due() const noexcept;
  /// From the first request on, until its end or now.
  [[nodiscard]] statetable::Duration taking(Instant now) const noexcept;
  /// From the last request that was answered to the START that answered it; nullopt: none was.
  [[nodiscard]] std::optional<statetable::Duration> round_trip() const noexcept {
    const auto took = round_trip_.load(std::memory_order_relaxed);
    return took < statetable::Duration::zero() ? std::nullopt : std::optional{took};
  }
  /// Full states received since the request.
  [[nodiscard]] std::uint64_t states() const noexcept { return states_.load(std::memory_order_relaxed); }

 private:
  std::atomic<BulkPhase> phase_{BulkPhase::none};
  std::atomic<unsigned> tries_{0};
  std::atomic<std::uint64_t> states_{0};
  void end(BulkPhase how, Instant now) noexcept;
  void renew(Instant now) noexcept;
  void set_due(Instant due) noexcept { due_.store(due, std::memory_order_relaxed); }

  std::atomic<Instant> asked_at_{
      Instant{}};  ///< not renewed by a retry: an END that answers any of the requests counts
  std::atomic<Instant> due_{Instant{}}, ended_at_{Instant{}};
  std::atomic<statetable::Duration> round_trip_{statetable::Duration{-1}};
  Instant requested_at_{};              ///< the first time, or again
  std::uint64_t answers_expected_ = 0;  ///< of this request's time
  Instant renewed_at_{};                ///< the wait of `receiving`, and how many states came since
  std::int64_t since_renewed_ = 0;
  bool wants_request_ = false;
};

}  // namespace pfsync::engine
