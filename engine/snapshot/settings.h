#pragma once

#include <cstdint>
#include <string>

namespace pfsync::engine::snapshot {

/// [snapshot]: present, and the table survives a restart.
struct Settings {
  std::string path;                      ///< of the file; by default "states.snapshot" in control.state_dir
  unsigned interval_s = 60;              ///< from the beginning of one to that of the next
  bool at_exit = true;                   ///< one more at an orderly end
  std::uint64_t states_per_s = 500'000;  ///< written at most, so that the data path does not notice; 0: any number

  friend bool operator==(const Settings&, const Settings&) = default;
};

}  // namespace pfsync::engine::snapshot
