#pragma once

#include <string>

#include "engine/ctl/client.h"

namespace pfsync::engine::ctl {

/// show config_sync, for people.
[[nodiscard]] std::string config_sync_text(const Json& status, bool all);

/// What became of an order of {"command": "config"}: asks until it is carried out. An object with "ok", "sentence" and
/// "lines"; or why the daemon was lost.
[[nodiscard]] std::variant<Json, Unreached> await_order(Client& client, const Json& request);

/// Pairing with an operator at this console: shows the code that the other console must show, and asks. `ask`: shows a
/// text and returns what was typed.
[[nodiscard]] std::variant<Json, Unreached> pair_nodes(Client& client, std::string (*ask)(const std::string& text));

}  // namespace pfsync::engine::ctl
