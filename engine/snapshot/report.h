#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <vector>

#include "engine/control/report.h"
#include "engine/snapshot/keeper.h"

namespace pfsync::engine::snapshot {

/// What show status tells of snapshots; null where the configuration has no [snapshot]. `wall_s`: now.
[[nodiscard]] Json status_json(const Status& status, std::int64_t wall_s);

/// What is counted.
[[nodiscard]] std::vector<NamedCount> counts_of(const Status& status);

}  // namespace pfsync::engine::snapshot
