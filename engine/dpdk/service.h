#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "engine/session/bulk_requester.h"
#include "statetable/time.h"

namespace pfsync::engine::dpdk {

using statetable::Duration;
using statetable::Instant;

/// When this node may be counted on: its own bulk updates have come to their end, or nobody answers. Pure.
class Readiness {
 public:
  /// So long an answer is waited for; a bulk update that has begun is waited for to its end.
  static constexpr std::chrono::seconds patience{10};

  /// What is known of the requests.
  struct Seen {
    bool asks;                          ///< this node asks for bulk updates at all
    bool link_up;                       ///< and has asked since
    std::span<const BulkPhase> phases;  ///< of each peer
  };
  enum class State : std::uint8_t { waits, receives, ready };
  /// Once ready it stays so.
  [[nodiscard]] State look(const Seen& seen, Instant now) noexcept;

 private:
  std::optional<Instant> begun_;
  bool is_ready_ = false;
};

/// Whether the data-path cores go on: each must have ended a turn since the last time that all had. Pure.
class Progress {
 public:
  /// `turns`: of each core, ever growing while it goes on.
  [[nodiscard]] bool all_went_on(std::span<const std::uint64_t> turns);

 private:
  std::vector<std::uint64_t> seen_;
};

/// What the service manager is told: sd_notify(3). Nothing where there is none. Thread-bound: the control thread.
class Service {
 public:
  Service();
  /// Called in every round of the control thread; `turns`: of the data-path cores.
  void look(const Readiness::Seen& seen, std::span<const std::uint64_t> turns, Instant now);
  /// One line for systemctl status; said when it is another one.
  void set_status(const std::string& line);
  void reloading() const;
  void reloaded(bool done);
  void stopping() const;
  /// What goes on while it stops, often: asks for more time, up to stop_max in all. Whoever waits longer may end it.
  void stops(const std::string& line, Instant now);
  static constexpr std::chrono::minutes stop_max{10};

 private:
  void tell_ready(const std::string& line);
  void keep_alive(std::span<const std::uint64_t> turns, Instant now);

  Readiness readiness_;
  Readiness::State state_ = Readiness::State::waits;
  Instant extended_at_{Instant::min()};
  Progress progress_;
  Duration watchdog_{};  ///< within which it wants to hear; zero: it does not
  Instant looked_at_{Instant::min()};
  bool stands_still_ = false;
  std::optional<Instant> stops_since_;
  Instant stop_extended_at_{Instant::min()};
  std::string status_;
};

}  // namespace pfsync::engine::dpdk
