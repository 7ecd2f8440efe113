#pragma once

#include <variant>

#include "engine/ctl/client.h"

namespace pfsync::engine::ctl {

/// Has a snapshot written and waits until it is there, or is not: an object with "ok", "sentence" and, when it is
/// there, "snapshot" as show status has it; or why the daemon was lost.
[[nodiscard]] std::variant<Json, Unreached> take_snapshot(Client& client);

}  // namespace pfsync::engine::ctl
