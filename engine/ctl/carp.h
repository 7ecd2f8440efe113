#pragma once

#include <nlohmann/json.hpp>
#include <string>

namespace pfsync::engine::ctl {

/// What `show carp` prints: a line as ifconfig's for each virtual host, and what pfSense's Status > CARP tells.
/// `all`: also the history, and counters in the manner of netstat -s. Throws Json::exception when the answer lacks a
/// part.
[[nodiscard]] std::string carp_text(const nlohmann::ordered_json& carp, bool all);

}  // namespace pfsync::engine::ctl
