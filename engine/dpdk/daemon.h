#pragma once

#include <memory>
#include <optional>
#include <string>

#include "engine/config/config.h"
#include "engine/config/reload.h"
#include "engine/control/commands.h"
#include "engine/dpdk/privileges.h"

namespace pfsync::engine::dpdk {

/// pfsyncd itself: everything a configuration asks for, made in an order in which whatever cannot be had
/// is refused before a core starts; then the control thread's loop. Thread: the process's first.
class Daemon {
 public:
  /// Throws std::runtime_error with one sentence. `file` is named in the log. `user`: whom the process becomes when its
  /// ports are open.
  Daemon(const Config& config, const std::string& file, const std::optional<Identity>& user);
  ~Daemon();
  Daemon(const Daemon&) = delete;
  Daemon& operator=(const Daemon&) = delete;

  /// From now on no system calls but those that a running daemon needs (system_calls.h); a warning in the log when the
  /// kernel cannot do it. Before run().
  void restrict();

  /// Starts the data-path cores and serves the control side until `ended` says so. `reload_wanted`: asked from time to
  /// time whether the configuration file is to be read again.
  void run(bool (*ended)(), bool (*reload_wanted)());

  /// Makes `wanted`, which has passed the validator, the configuration at work: all of it or nothing, or what can
  /// change while the daemon runs. What is equal goes on undisturbed. Control thread, while run() runs.
  Outcome apply(const Config& wanted, Demand demand);

 private:
  struct Parts;
  std::unique_ptr<Parts> parts_;
};

}  // namespace pfsync::engine::dpdk
