#pragma once

#include <atomic>
#include <cstdint>
#include <optional>

#include "engine/carp/order.h"
#include "wire/state.h"

namespace pfsync::engine {

/// What the control thread may ask of the data path, which alone may touch the session.
struct Command {
  enum class Kind : std::uint8_t {
    link_up,  ///< frames can be exchanged now: ask for a bulk update
    resync,   ///< ask for a bulk update, whatever the state of the last
    retry,    ///< ask those peers again that have not answered
    push,     ///< announce what is queued without waiting
    flush,    ///< remove the own states on `ifname` (empty: on all interfaces)
    kill,     ///< remove the state `id`
    carp,     ///< carry out `carp`
  };
  Kind kind = Kind::push;
  wire::InterfaceName ifname{};
  wire::StateId id{};
  carp::Order carp{};
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
    if (phase_.load(std::memory_order_acquire) == Phase::posted) return false;
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

  /// Data path: calls execute(command) for a command that waits, and keeps what it returns for the asker.
  template <class F>
  bool serve(F&& execute) noexcept {
    if (phase_.load(std::memory_order_acquire) != Phase::posted) return false;
    result_ = execute(static_cast<const Command&>(command_));
    phase_.store(Phase::answered, std::memory_order_release);
    return true;
  }

 private:
  enum class Phase : std::uint8_t { empty, posted, answered };
  std::atomic<Phase> phase_{Phase::empty};
  Command command_{};
  CommandResult result_{};
};

}  // namespace pfsync::engine
