#pragma once

#include <array>
#include <atomic>
#include <span>

#include "engine/bulk_gate.h"
#include "engine/carp/demotion.h"
#include "engine/command_slot.h"
#include "engine/config.h"
#include "engine/counters.h"
#include "engine/dpdk/bulk_exchange.h"
#include "engine/dpdk/clock.h"
#include "engine/dpdk/host_stack.h"
#include "engine/dpdk/port.h"
#include "engine/link.h"
#include "engine/session.h"
#include "engine/synthetic.h"

namespace pfsync::engine::dpdk {

/// The data-path core: a loop of turns, each of which receives a burst, lets time pass, and sends what
/// has become due, live traffic before bulk frames. It owns nothing; what it is given outlives it.
/// No lock, allocation, system call or log line in a turn; only an idle loop sleeps, when it may.
class DataPath {
 public:
  /// Frames sent in a turn at most, so that receiving is never put off for long.
  static constexpr std::size_t frames_max = Port::burst_max;
  /// How long the end of the process is put off for what is still queued.
  static constexpr std::chrono::milliseconds farewell{100};

  /// What a peer's bulk updates come through.
  struct Lane {
    BulkExchange* bulk;
    BulkGate* gate;
  };
  struct Parts {
    Port& port;  ///< that of the link
    Link& link;
    Session& session;
    std::span<const Lane> lanes;   ///< one for each of the session's peers
    SyntheticFirewall* synthetic;  ///< null: this node plays no firewall
    CycleClock clock;
    bool busy;                           ///< never sleep
    std::span<HostStack* const> stacks;  ///< one a port, that of the link first
    carp::Demotion& demotion;            ///< of their nodes
  };
  explicit DataPath(const Parts& parts) noexcept;

  /// Turns until stop(), then sends what is still queued. On the data-path core.
  void run() noexcept;
  /// One turn. Returns whether there was anything to do.
  bool turn(Instant now) noexcept;

  // Any thread:
  void stop() noexcept { stop_.store(true, std::memory_order_relaxed); }
  [[nodiscard]] CommandSlot& commands() noexcept { return commands_; }
  /// Changes waiting to be announced.
  [[nodiscard]] std::uint64_t queued() const noexcept { return queued_.value(); }
  [[nodiscard]] std::uint64_t bulk_frames() const noexcept { return bulk_frames_.value(); }

 private:
  [[nodiscard]] HostStack& link_stack() noexcept { return *parts_.stacks.front(); }
  std::size_t receive(Instant now) noexcept;
  std::size_t transmit(Instant now) noexcept;
  std::size_t transmit_live(std::size_t frames, Instant now) noexcept;
  std::size_t transmit_bulks(std::size_t frames) noexcept;
  [[nodiscard]] CommandResult execute(const Command& command, Instant now) noexcept;
  void turn_shared_peers(Instant now) noexcept;
  [[nodiscard]] carp::Sync sync() const noexcept;
  /// Nothing to do until `due`: pauses, then sleeps longer and longer.
  void idle(Instant now) noexcept;
  void drain() noexcept;

  Parts parts_;
  std::array<carp::Node*, 1 + interfaces_max> nodes_{};  ///< of the stacks
  std::atomic<bool> stop_{false};
  CommandSlot commands_;
  Counter queued_, bulk_frames_;
  std::array<Arrival, Port::burst_max> packets_{};
  bool started_ = false;  ///< the session's life has begun
  unsigned idle_turns_ = 0;
  unsigned first_ = 0;  ///< the peer whose turn is first, another each time
};

}  // namespace pfsync::engine::dpdk
