#pragma once

#include <vector>

#include "engine/config/section.h"
#include "engine/session/sync_rules.h"

namespace pfsync::engine {

/// Every [[sync.rule]] of [sync], in their order. Throws ConfigError.
[[nodiscard]] std::vector<SyncRule> read_sync_rules(ConfigSection& sync);

}  // namespace pfsync::engine
