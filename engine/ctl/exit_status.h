#pragma once

namespace pfsync::engine::ctl {

/// For scripts; the same in every command.
enum ExitStatus : int {
  exit_ok = 0,         ///< healthy; done
  exit_unhealthy = 1,  ///< unhealthy; refused or failed
  exit_usage = 2,
  exit_no_daemon = 3,
};

}  // namespace pfsync::engine::ctl
