#pragma once

#include <array>
#include <atomic>
#include <span>

#include "engine/bulk_gate.h"
#include "engine/carp/node.h"
#include "engine/command_slot.h"
#include "engine/counters.h"
#include "engine/dpdk/bulk_exchange.h"
#include "engine/dpdk/clock.h"
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
  /// How long frames wait for a device whose queue is full, before they are dropped. Changes merge
  /// meanwhile; a peer that is out of breath for a moment would otherwise miss what nobody repeats.
  static constexpr std::chrono::milliseconds patience{2000};
  /// How long the end of the process is put off for what is still queued.
  static constexpr std::chrono::milliseconds farewell{100};

  /// What a peer's bulk updates come through.
  struct Lane {
    BulkExchange* bulk;
    BulkGate* gate;
  };
  struct Parts {
    Port& port;
    Link& link;
    Session& session;
    std::span<const Lane> lanes;   ///< one for each of the session's peers
    SyntheticFirewall* synthetic;  ///< null: this node plays no firewall
    CycleClock clock;
    bool busy;                           ///< never sleep
    carp::Node* carp = nullptr;          ///< null: this node has no virtual address
    carp::Demotion* demotion = nullptr;  ///< of `carp`
  };
  explicit DataPath(const Parts& parts) noexcept : parts_{parts} {}

  /// Turns until stop(), then sends what is still queued. On the data-path core.
  void run() noexcept;
  /// One turn. Returns whether there was anything to do.
  bool turn(Instant now) noexcept;

  // Any thread:
  /// What the control thread sees of the link.
  void set_link(bool up) noexcept { link_up_.store(up, std::memory_order_relaxed); }
  void stop() noexcept { stop_.store(true, std::memory_order_relaxed); }
  [[nodiscard]] CommandSlot& commands() noexcept { return commands_; }
  /// Changes waiting to be announced.
  [[nodiscard]] std::uint64_t queued() const noexcept { return queued_.value(); }
  [[nodiscard]] std::uint64_t bulk_frames() const noexcept { return bulk_frames_.value(); }

 private:
  std::size_t receive(Instant now) noexcept;
  std::size_t transmit(Instant now) noexcept;
  std::size_t transmit_live(std::size_t frames, Instant now) noexcept;
  std::size_t transmit_bulks(std::size_t frames) noexcept;
  void hand_over(Instant now) noexcept;
  [[nodiscard]] CommandResult execute(const Command& command, Instant now) noexcept;
  void turn_carp(Instant now) noexcept;
  void turn_shared_peers(Instant now) noexcept;
  /// Nothing to do until `due`: pauses, then sleeps longer and longer.
  void idle(Instant now) noexcept;
  void drain() noexcept;

  Parts parts_;
  std::atomic<bool> stop_{false};
  std::atomic<bool> link_up_{false};  ///< a word alone: pairs with nothing
  CommandSlot commands_;
  Counter queued_, bulk_frames_;
  std::array<Arrival, Port::burst_max> packets_{};
  bool carp_link_ = false;
  Instant turned_at_{};
  bool started_ = false;  ///< the session's life has begun
  unsigned idle_turns_ = 0;
  Instant refused_since_{};  ///< since when the device has not taken all
  bool refused_ = false;
  unsigned first_ = 0;  ///< the peer whose turn is first, another each time
};

}  // namespace pfsync::engine::dpdk
