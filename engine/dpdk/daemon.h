#pragma once

#include <memory>
#include <string>

#include "engine/config.h"

namespace pfsync::engine::dpdk {

/// pfsyncd itself: everything a configuration asks for, made in an order in which whatever cannot be had
/// is refused before a core starts; then the control thread's loop. Thread: the process's first.
class Daemon {
 public:
  /// Throws std::runtime_error with one sentence. `file` is named in the log.
  Daemon(const Config& config, const std::string& file);
  ~Daemon();
  Daemon(const Daemon&) = delete;
  Daemon& operator=(const Daemon&) = delete;

  /// Starts the data-path core and serves the control side until `ended` says so.
  void run(bool (*ended)());

 private:
  struct Parts;
  std::unique_ptr<Parts> parts_;
};

}  // namespace pfsync::engine::dpdk
