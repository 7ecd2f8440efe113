#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace pfsync::engine::ctl {

struct WatchOptions {
  std::string socket;
  std::chrono::milliseconds interval{1000};
  std::uint64_t pictures = 0;  ///< then it ends; 0: at Ctrl-C
  bool json = false;           ///< one status a line
};

/// The lines that a terminal of that size shows of a page: words that have no room in theirs go on in the next, and of
/// lines that have none it is said how many they are. The last one tells how to end this.
[[nodiscard]] std::vector<std::string> fitted(std::string_view page, std::size_t columns, std::size_t rows);

/// The status, again and again until SIGINT, SIGTERM or SIGHUP: a page on a terminal, else a line each. A daemon that
/// goes away is waited for. Returns the exit status that the last picture deserves.
int watch(const WatchOptions& options);

}  // namespace pfsync::engine::ctl
