#pragma once

#include "engine/config/config.h"

namespace pfsync::engine {

/// Whether two addresses of one family have their first `bits` bits in common.
[[nodiscard]] bool same_network(const wire::Address& a, const wire::Address& b, unsigned bits);

/// Adds a sentence to `config.warnings` for each thing that can be meant, but hardly is.
void add_warnings(Config& config);

}  // namespace pfsync::engine
