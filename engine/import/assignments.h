#pragma once

#include <string>
#include <string_view>

#include "engine/import/site.h"

namespace pfsync::engine::imports {

/// Reads lines NAME=VALUE: FreeBSD's rc.conf(5), and sysctl.conf(5) of both. Returns whether one of them meant
/// something here.
bool read_assignments(Site& site, const std::string& where, std::string_view text);

}  // namespace pfsync::engine::imports
