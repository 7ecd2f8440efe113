#pragma once

#include <chrono>
#include <cstdint>
#include <string>

namespace pfsync::engine::ctl {

struct WatchOptions {
  std::string socket;
  std::chrono::milliseconds interval{1000};
  std::uint64_t pictures = 0;  ///< then it ends; 0: at Ctrl-C
  bool json = false;           ///< one status a line
};

/// The status, again and again until SIGINT, SIGTERM or SIGHUP: a page on a terminal, else a line each. A daemon that
/// goes away is waited for. Returns the exit status that the last picture deserves.
int watch(const WatchOptions& options);

}  // namespace pfsync::engine::ctl
