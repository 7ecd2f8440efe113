#pragma once

#include <string>
#include <vector>

#include "engine/carp/settings.h"
#include "engine/config/section.h"

namespace pfsync::engine::carp {

/// Every [[carp]] of a file. Throws ConfigError, as all that reads the configuration; `ports`: that of [link] first;
/// `warnings` are sentences.
[[nodiscard]] std::vector<Settings> read_settings(ConfigSection& file, const std::vector<PortSettings>& ports,
                                                  std::vector<std::string>& warnings);

}  // namespace pfsync::engine::carp
