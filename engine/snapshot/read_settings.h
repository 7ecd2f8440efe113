#pragma once

#include <optional>
#include <string>

#include "engine/config/section.h"
#include "engine/snapshot/settings.h"

namespace pfsync::engine::snapshot {

/// [snapshot]; nothing without that section. `state_dir`: control.state_dir. Private to config.cc.
[[nodiscard]] std::optional<Settings> read_settings(ConfigSection& file, const std::string& state_dir);

}  // namespace pfsync::engine::snapshot
