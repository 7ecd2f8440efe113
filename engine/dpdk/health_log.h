#pragma once

#include "engine/control/report.h"
#include "engine/dpdk/service.h"

namespace pfsync::engine::dpdk {

/// Tells the log what becomes of the sync's health, and the service manager how it is. Thread-bound: the control thread
/// looks from time to time, so that somebody does even where nobody asks.
class HealthLog {
 public:
  static constexpr std::chrono::seconds look_every{1};

  void look(const DaemonView& daemon, Service& service, Instant now);

 private:
  void log(const Health& health) const;

  Instant look_at_{};
  Health told_{};
};

}  // namespace pfsync::engine::dpdk
