#pragma once

#include <memory>
#include <vector>

#include "engine/config/config.h"
#include "engine/control/report.h"

namespace pfsync::engine::dpdk {

/// [http] in the daemon: the server's threads, and the control thread's share of their work. Without the section it
/// does nothing. Used by the control thread.
class Web {
 public:
  /// Throws std::runtime_error with a sentence when what the section asks for cannot be had.
  explicit Web(const Config& config);
  ~Web();

  /// One turn: answers some of the requests that wait, within a few milliseconds.
  void serve(const std::function<Json(const Json& request)>& handler);
  [[nodiscard]] std::vector<NamedCount> counts() const;

 private:
  struct Parts;
  std::unique_ptr<Parts> parts_;
};

}  // namespace pfsync::engine::dpdk
