#pragma once

#include <array>
#include <atomic>
#include <span>

#include "engine/carp/demotion.h"
#include "engine/config/config.h"
#include "engine/counters.h"
#include "engine/dpdk/bulk_exchange.h"
#include "engine/dpdk/clock.h"
#include "engine/dpdk/host_stack.h"
#include "engine/dpdk/idle.h"
#include "engine/dpdk/part_path.h"
#include "engine/dpdk/port.h"
#include "engine/link/link.h"
#include "engine/session/bulk_gate.h"
#include "engine/session/command_slot.h"
#include "engine/session/partitioned_session.h"
#include "engine/session/synthetic.h"

namespace pfsync::engine::dpdk {

/// The data-path core, the first of several: a loop of turns, each of which receives a burst, lets time pass, and sends
/// what has become due, live traffic before bulk frames. It has the port, and sends what further cores (PartPath)
/// write. It owns nothing; what it is given outlives it. No lock, allocation, system call or log line in a turn; only
/// an idle loop sleeps, when it may.
class DataPath {
 public:
  /// Frames sent in a turn at most, so that receiving is never put off for long.
  static constexpr std::size_t frames_max = Port::burst_max;
  /// How long the end of the process is put off for what is still queued.
  static constexpr std::chrono::milliseconds farewell{100};

  /// How long frames are left in the device for a further core that is behind, before they are dropped: the port's
  /// other traffic, CARP's advertisements among it, cannot wait any longer (a silent master is taken for dead after
  /// three seconds). A device that pushes back (memif) loses nothing meanwhile, any other what it has no room for.
  static constexpr std::chrono::milliseconds patience{1000};

  /// A node that has not run for so long asks for everything: its device may have dropped what the others said, and
  /// they may have led in its place. It is the shortest time after which a master is taken for dead.
  static constexpr std::chrono::seconds absence{3};

  /// What a peer's bulk updates come through.
  struct Lane {
    BulkExchange* bulk;
    BulkGate* gate;
  };
  struct Parts {
    Port& port;  ///< that of the link
    Link& link;
    PartitionedSession& session;
    std::span<PartPath* const> others;  ///< the further parts' cores
    std::span<const Lane> lanes;        ///< one for each of the session's peers
    SyntheticFirewall* synthetic;       ///< null: this node plays no firewall
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

  /// Other lanes, for other peers; in a LiveChange. New ones are supplied with buffers.
  void set_lanes(std::span<const Lane> lanes) noexcept;

  // Any thread:
  /// Whether the device drops frames since more arrive than this core takes: then it does without updates, while whole
  /// bursts wait.
  void set_overloaded(bool is_it) noexcept { overloaded_.store(is_it, std::memory_order_relaxed); }
  void stop() noexcept { stop_.store(true, std::memory_order_relaxed); }
  [[nodiscard]] CommandSlot& commands() noexcept { return commands_; }
  /// Changes waiting to be announced.
  [[nodiscard]] std::uint64_t queued() const noexcept { return queued_.value(); }  ///< of this core
  [[nodiscard]] std::uint64_t turns() const noexcept { return turns_.value(); }  ///< that ended: grows while it goes on
  [[nodiscard]] std::uint64_t bulk_frames() const noexcept { return bulk_frames_.value(); }
  /// How often it stood still for `absence` or longer, and for how long the last time.
  [[nodiscard]] std::uint64_t absences() const noexcept { return absences_.value(); }
  [[nodiscard]] Duration last_absence() const noexcept { return last_absence_.load(std::memory_order_relaxed); }

 private:
  [[nodiscard]] HostStack& link_stack() noexcept { return *parts_.stacks.front(); }
  [[nodiscard]] Session& session() noexcept { return parts_.session.first(); }
  /// Whether a further core has frames for the peer that came before all that is said now.
  [[nodiscard]] bool have_others_spoken(unsigned peer) const noexcept;
  void note_absence(Instant now) noexcept;
  std::size_t receive(Instant now) noexcept;
  std::size_t transmit(Instant now) noexcept;
  std::size_t transmit_live(std::size_t frames, Instant now) noexcept;
  std::size_t transmit_parts(std::size_t frames) noexcept;
  std::size_t transmit_bulks(std::size_t frames, Instant now) noexcept;
  [[nodiscard]] std::optional<CommandResult> execute(const Command& command, Instant now) noexcept;
  void turn_shared_peers(Instant now) noexcept;
  [[nodiscard]] carp::Sync sync() noexcept;
  void drain() noexcept;
  [[nodiscard]] bool have_others_ended() const noexcept;

  Parts parts_;
  std::array<carp::Node*, 1 + interfaces_max> nodes_{};  ///< of the stacks
  std::atomic<bool> stop_{false}, overloaded_{false};    ///< words alone: pair with nothing
  CommandSlot commands_;
  Counter queued_, bulk_frames_, turns_, absences_;
  std::atomic<Duration> last_absence_{};
  std::array<Arrival, Port::burst_max> packets_{};
  bool started_ = false;    ///< the session's life has begun
  bool has_begun_ = false;  ///< the command that waits is being carried out by all parts
  Instant turned_at_{};
  Instant behind_since_ = Instant::max();  ///< since when a further core has had no room
  std::size_t first_lane_ = 0;             ///< of the further cores': the one whose turn is first
  unsigned first_ = 0;                     ///< the peer whose turn is first, another each time
};

}  // namespace pfsync::engine::dpdk
