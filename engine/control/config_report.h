#pragma once

#include <nlohmann/json_fwd.hpp>

#include "engine/config/config.h"

namespace pfsync::engine {

/// What is at work, every default filled in, under the sections and keys of the file; keys that have no value are left
/// out. Passwords are not in it.
[[nodiscard]] nlohmann::ordered_json config_json(const Config& config);

}  // namespace pfsync::engine
