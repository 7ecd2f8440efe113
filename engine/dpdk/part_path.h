#pragma once

#include <atomic>
#include <span>

#include "engine/counters.h"
#include "engine/dpdk/clock.h"
#include "engine/dpdk/frame_exchange.h"
#include "engine/link/link.h"
#include "engine/session/partitioned_session.h"
#include "engine/session/synthetic.h"

namespace pfsync::engine::dpdk {

/// A further data-path core: applies what is about the states of its part, and writes frames about them, which the
/// port's core sends. It owns nothing; what it is given outlives it. No lock, allocation, system call or log line in a
/// turn; only an idle loop sleeps, when it may.
class PartPath {
 public:
  static constexpr unsigned buffers_all = 3584;  ///< of the lanes of all further parts to all peers
  static constexpr unsigned buffers_max = 63;    ///< of each lane
  static constexpr std::size_t frames_max = 32;  ///< written in a turn at most, for all peers
  /// Of a lane, with so many peers and further parts.
  [[nodiscard]] static constexpr unsigned buffers_each(std::size_t peers, std::size_t further_parts) noexcept {
    return FrameExchange::buffers_each(buffers_all, peers * further_parts, buffers_max);
  }

  struct Parts {
    PartitionedSession& session;
    unsigned number;  ///< of the part; not 0
    const Link& link;
    std::span<FrameExchange* const> lanes;  ///< one for each of the session's peers
    SyntheticFirewall* synthetic;           ///< null: this part plays no firewall
    CycleClock clock;
    bool busy;  ///< never sleep
  };
  explicit PartPath(const Parts& parts) noexcept : parts_{parts} {}

  /// Turns until stop(), then writes what is still queued. On the part's core.
  void run() noexcept;
  /// One turn. Returns whether there was anything to do.
  bool turn(Instant now) noexcept;

  // The port's core.
  /// Other lanes, for other peers; in a LiveChange, and before the port's are set.
  void set_lanes(std::span<FrameExchange* const> lanes) noexcept { parts_.lanes = lanes; }
  [[nodiscard]] FrameExchange& lane(unsigned peer) noexcept { return *parts_.lanes[peer]; }

  // Any thread:
  void stop() noexcept { stop_.store(true, std::memory_order_relaxed); }
  /// Whether it has nothing more to say.
  [[nodiscard]] bool has_ended() const noexcept { return ended_.load(std::memory_order_acquire); }
  [[nodiscard]] std::uint64_t turns() const noexcept { return turns_.value(); }  ///< grows while it goes on
  /// Changes waiting to be announced.
  [[nodiscard]] std::uint64_t queued() const noexcept { return queued_.value(); }

 private:
  [[nodiscard]] Session& session() noexcept { return parts_.session.part(parts_.number); }
  std::size_t transmit(Instant now) noexcept;
  void drain() noexcept;

  Parts parts_;
  std::atomic<bool> stop_{false};  ///< a word alone: pairs with nothing
  std::atomic<bool> ended_{false};
  Counter queued_, turns_;
  unsigned first_ = 0;  ///< the peer whose turn is first, another each time
};

}  // namespace pfsync::engine::dpdk
