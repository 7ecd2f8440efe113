#pragma once

#include <optional>

#include "engine/config/section.h"
#include "engine/config_sync/settings.h"

namespace pfsync::engine::config_sync {

/// [config_sync] of a file. Throws ConfigError, as all that reads the configuration.
[[nodiscard]] std::optional<Settings> read_settings(ConfigSection& file);

}  // namespace pfsync::engine::config_sync
