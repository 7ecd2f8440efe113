#pragma once

#include <functional>
#include <memory>

#include "engine/control/report.h"

namespace pfsync::engine::dpdk {

/// Commands of DPDK's telemetry (dpdk-telemetry.py -f pfsyncd): /pfsync/health, /pfsync/status, /pfsync/stats,
/// /pfsync/peers, /pfsync/bulk, /pfsync/carp. Telemetry's own thread calls them; each asks the control thread, as the
/// control socket does, and waits for its answer for a second at most. One a process. Used by the control thread.
class Telemetry {
 public:
  /// Registers the commands. Throws std::runtime_error when there is no memory for them.
  Telemetry();
  ~Telemetry();
  Telemetry(const Telemetry&) = delete;
  Telemetry& operator=(const Telemetry&) = delete;

  /// One turn: answers some of the requests that wait, within a few milliseconds.
  void serve(const std::function<Json(const Json& request)>& handler);

 private:
  struct Parts;
  std::shared_ptr<Parts> parts_;
};

}  // namespace pfsync::engine::dpdk
