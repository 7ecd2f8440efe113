#include "engine/dpdk/service.h"

#include <fmt/format.h>
#include <spdlog/spdlog.h>
#include <systemd/sd-daemon.h>

#include <algorithm>

namespace pfsync::engine::dpdk {
namespace {

using std::chrono::duration_cast;
using std::chrono::microseconds;

constexpr std::chrono::seconds extension{60};  ///< that a start may take longer, said several times meanwhile
constexpr const char* follows = "following the sync network";

}  // namespace

Readiness::State Readiness::look(const Seen& seen, Instant now) noexcept {
  if (is_ready_) return State::ready;
  begun_ = begun_.value_or(now);
  const auto any = [&](BulkPhase phase) { return std::ranges::find(seen.phases, phase) != seen.phases.end(); };
  if (any(BulkPhase::receiving)) return State::receives;
  const bool is_over = seen.link_up && !any(BulkPhase::asked);
  is_ready_ = !seen.asks || is_over || now >= *begun_ + patience;
  return is_ready_ ? State::ready : State::waits;
}

bool Progress::all_went_on(std::span<const std::uint64_t> turns) {
  const bool all =
      seen_.size() != turns.size() ||
      std::ranges::equal(seen_, turns, [](std::uint64_t before, std::uint64_t now) { return before != now; });
  if (all) seen_.assign(turns.begin(), turns.end());
  return all;
}

Service::Service() {
  std::uint64_t microseconds_given = 0;
  if (sd_watchdog_enabled(0, &microseconds_given) > 0) watchdog_ = microseconds{microseconds_given};
}

void Service::look(const Readiness::Seen& seen, std::span<const std::uint64_t> turns, Instant now) {
  if (state_ != Readiness::State::ready) {
    state_ = readiness_.look(seen, now);
    if (state_ == Readiness::State::ready) {
      tell_ready(status_.empty() ? follows : status_);
    } else if (state_ == Readiness::State::receives &&
               (extended_at_ == Instant::min() || now >= extended_at_ + extension / 4)) {
      extended_at_ = now;
      sd_notify(0, fmt::format("EXTEND_TIMEOUT_USEC={}\nSTATUS=receiving all states from a peer",
                               duration_cast<microseconds>(extension).count())
                       .c_str());
    }
  }
  keep_alive(turns, now);
}

void Service::keep_alive(std::span<const std::uint64_t> turns, Instant now) {
  if (watchdog_ == Duration::zero()) return;
  if (looked_at_ != Instant::min() && now < looked_at_ + watchdog_ / 4) return;
  looked_at_ = now;
  if (progress_.all_went_on(turns)) {
    if (stands_still_) spdlog::warn("the data path goes on");
    stands_still_ = false;
    sd_notify(0, "WATCHDOG=1");
  } else if (!stands_still_) {
    stands_still_ = true;
    spdlog::error(
        "a data-path core stands still: the service manager is not told that all is well, and will restart pfsyncd");
  }
}

void Service::set_status(const std::string& line) {
  if (line == status_) return;
  status_ = line;
  sd_notify(0, ("STATUS=" + line).c_str());
}

void Service::reloading() const {
  const auto now = std::chrono::steady_clock::now().time_since_epoch();  // CLOCK_MONOTONIC, as systemd wants it
  sd_notify(0, fmt::format("RELOADING=1\nMONOTONIC_USEC={}", duration_cast<microseconds>(now).count()).c_str());
}

void Service::reloaded(bool done) {
  const std::string line = done ? follows : "the last reload was refused: the log says why";
  // Before it was ready a reload does not make it so.
  state_ == Readiness::State::ready ? tell_ready(line) : set_status(line);
}

void Service::tell_ready(const std::string& line) {
  status_ = line;
  sd_notify(0, ("READY=1\nSTATUS=" + line).c_str());
}

void Service::stopping() const { sd_notify(0, "STOPPING=1"); }

void Service::stops(const std::string& line, Instant now) {
  constexpr std::chrono::seconds more{30}, every{1};
  stops_since_ = stops_since_.value_or(now);
  if (now >= *stops_since_ + stop_max) return;
  if (stop_extended_at_ != Instant::min() && now < stop_extended_at_ + every) return;
  stop_extended_at_ = now;
  sd_notify(
      0, fmt::format("WATCHDOG=1\nEXTEND_TIMEOUT_USEC={}\nSTATUS={}", duration_cast<microseconds>(more).count(), line)
             .c_str());
}

}  // namespace pfsync::engine::dpdk
