#pragma once

#include <atomic>
#include <cstdint>
#include <optional>

#include "engine/carp/order.h"
#include "engine/session/repair.h"
#include "statetable/time.h"
#include "wire/address.h"
#include "wire/state.h"

namespace pfsync::engine {

using statetable::Instant;

/// A change of what the data path works with. Whoever asks makes what is new beforehand and destroys what is old
/// afterwards.
class LiveChange {
 public:
  /// On the data path, while the asker waits and reads nothing that it touches: no allocation, no lock, no throw.
  virtual void take_place(Instant now) noexcept = 0;

 protected:
  LiveChange() = default;
  LiveChange(const LiveChange&) = default;
  LiveChange& operator=(const LiveChange&) = default;
  ~LiveChange() = default;
};

/// What the control thread may ask of the data path, which alone may touch the session.
struct Command {
  enum class Kind : std::uint8_t {
    link_up,  ///< frames can be exchanged now: ask for a bulk update
    resync,   ///< ask all peers for a bulk update, or `only_peer`, whatever the state of the last
    retry,    ///< ask `peer` again, which has not answered
    push,     ///< announce what is queued without waiting
    flush,    ///< remove the own states on `ifname` (empty: on all interfaces)
    kill,     ///< remove the state `id`
    carp,     ///< carry out `carp`
    change,   ///< let `change` take place
    repair,   ///< take `repairs`
    sample,   ///< ask `peer` for the state `id`, to see whether it has the same
    forget,   ///< miss the node `node` no longer
  };
  Kind kind = Kind::push;
  unsigned peer = 0;
  std::optional<unsigned> only_peer{};
  wire::InterfaceName ifname{};
  wire::StateId id{};
  wire::Address node{};
  carp::Order carp{};
  LiveChange* change = nullptr;
  Repairs* repairs = nullptr;  ///< outlives the command; each part leaves what came of its own states there
};

struct CommandResult {
  bool done = false;
  std::uint64_t states = 0;  ///< how many were touched
};

/// One command on its way from one thread to another, and its result on the way back. A slot instead
/// of a queue: there is one asker, who waits. Neither side blocks.
class CommandSlot {
 public:
  /// Asker: false while the last command has not been carried out. A result that nobody took is dropped.
  [[nodiscard]] bool post(const Command& command) noexcept {
    const Phase phase = phase_.load(std::memory_order_acquire);
    if (phase == Phase::posted || phase == Phase::under_way) return false;
    command_ = command;
    phase_.store(Phase::posted, std::memory_order_release);
    return true;
  }
  /// Asker: the result of the command posted last, once.
  [[nodiscard]] std::optional<CommandResult> take() noexcept {
    if (phase_.load(std::memory_order_acquire) != Phase::answered) return std::nullopt;
    phase_.store(Phase::empty, std::memory_order_relaxed);
    return result_;
  }

  /// Asker: takes back what was posted. False when the data path has begun with it: its result comes.
  [[nodiscard]] bool withdraw() noexcept {
    Phase posted = Phase::posted;
    return phase_.compare_exchange_strong(posted, Phase::empty, std::memory_order_acq_rel, std::memory_order_acquire);
  }

  /// Data path: calls execute(command) for a command that waits, and keeps what it returns for the asker. While that is
  /// nothing, the command has not ended, and execute is called again with the next call.
  template <class F>
  bool serve(F&& execute) noexcept {
    Phase posted = Phase::posted;
    // A load first: in all turns but a few nothing waits.
    const Phase phase = phase_.load(std::memory_order_relaxed);
    if (phase != Phase::under_way &&
        (phase != posted || !phase_.compare_exchange_strong(posted, Phase::under_way, std::memory_order_acq_rel,
                                                            std::memory_order_relaxed)))
      return false;
    const std::optional<CommandResult> result = execute(static_cast<const Command&>(command_));
    if (!result) return false;
    result_ = *result;
    phase_.store(Phase::answered, std::memory_order_release);
    return true;
  }

 private:
  enum class Phase : std::uint8_t { empty, posted, under_way, answered };
  std::atomic<Phase> phase_{Phase::empty};
  Command command_{};
  CommandResult result_{};
};

}  // namespace pfsync::engine
