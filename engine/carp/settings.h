#pragma once

#include <string>
#include <vector>

#include "engine/carp/host.h"

namespace pfsync::engine::carp {

/// One [[carp]] of the configuration, checked.
struct Settings {
  HostConfig host;
  std::string typed_password;              ///< before what pfSense makes of it
  std::vector<std::string> address_texts;  ///< "10.0.0.254/24", in the operator's order
  std::string interface;                   ///< as in "1@eth1"; empty: the link's
};

/// Whether two of the settings can stand beside each other; a sentence when not.
[[nodiscard]] std::string conflict(const std::vector<Settings>& settings);

}  // namespace pfsync::engine::carp
