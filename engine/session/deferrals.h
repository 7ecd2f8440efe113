#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "engine/latency.h"
#include "statetable/hash.h"
#include "statetable/time.h"
#include "wire/state.h"

namespace pfsync::engine {

/// New states whose first packet waits until a peer knows them, so that a reply that comes in through the other node is
/// not refused. The packets stay with the caller; here is which of them may go. Bounded: the oldest goes when another
/// comes. Thread-bound, but for the latency.
/// Source: FreeBSD sys/netpfil/pf/if_pfsync.c, pfsync_defer(), pfsync_undefer().
class Deferrals {
 public:
  using Instant = statetable::Instant;
  using Duration = statetable::Duration;
  using Hash = statetable::Hash;

  /// Source: FreeBSD 15 and OpenBSD, net.pfsync.defer_delay.
  static constexpr std::chrono::milliseconds usual_limit{20};

  enum class Why : std::uint8_t {
    acknowledged,  ///< INS_ACK: send the packet
    updated,       ///< a peer or another packet changed the state: send it
    timed_out,     ///< nobody answered: send it
    displaced,     ///< too many wait: send it
    gone,          ///< the state ended: drop it
  };
  struct Released {
    wire::StateId id;
    Why why;
  };

  /// `limit`: how long a packet waits at most; zero: none ever waits.
  Deferrals(Duration limit, std::size_t held_max);

  [[nodiscard]] bool on() const noexcept { return limit_ > Duration::zero(); }
  [[nodiscard]] bool empty() const noexcept { return first_ == end_; }
  /// The first packet of this state waits from now on.
  void hold(wire::StateId id, Hash hash, Instant now) noexcept;
  /// Whether it waited.
  bool release(wire::StateId id, Hash hash, Why why, Instant now) noexcept;
  void on_timeout(Instant now) noexcept;
  /// When the next one's time is over; Instant::max() when none waits.
  [[nodiscard]] Instant timeout() const noexcept { return empty() ? Instant::max() : place(first_).at + limit_; }
  /// What was released since the last call, in that order; returns how many were written.
  std::size_t take(std::span<Released> released) noexcept;
  /// Any thread: from the INS to its INS_ACK.
  [[nodiscard]] const Latency& latency() const noexcept { return latency_; }

 private:
  /// Places are used round and round; one that was released early stays until those before it have gone.
  struct Place {
    wire::StateId id{};
    Instant at{};
    std::uint32_t next = 0;  ///< in its chain, as number + 1
    bool waits = false;
  };
  [[nodiscard]] Place& place(std::uint64_t number) noexcept { return places_[number % places_.size()]; }
  [[nodiscard]] const Place& place(std::uint64_t number) const noexcept { return places_[number % places_.size()]; }
  [[nodiscard]] std::uint32_t& chain(Hash hash) noexcept { return chains_[hash.value() % chains_.size()]; }

  void let_go(std::size_t index, Why why) noexcept;
  void advance() noexcept;

  Duration limit_;
  std::vector<Place> places_;
  std::vector<Hash> hashes_;           ///< of the place beside
  std::vector<std::uint32_t> chains_;  ///< by hash: a place's index + 1
  std::vector<Released> released_;     ///< a ring
  std::uint64_t first_ = 0, end_ = 0;  ///< of the places in use
  std::uint64_t taken_ = 0, let_go_ = 0;
  Latency latency_;
};

}  // namespace pfsync::engine
