#pragma once

#include <string>

#include "engine/ctl/text.h"

namespace pfsync::engine::ctl {

/// What `show peers`, `show bulk` and `show config` print. Throw Json::exception when the answer lacks a part.
[[nodiscard]] std::string peers_text(const Json& answer);
[[nodiscard]] std::string bulk_text(const Json& answer);
/// Of a peer's `sampling`: in how many of the states it differs.
[[nodiscard]] std::string sampling_text(const Json& sampling);
/// As TOML, in the form of the configuration file.
[[nodiscard]] std::string config_text(const Json& answer);

}  // namespace pfsync::engine::ctl
