#pragma once

#include <string>
#include <string_view>

#include "engine/import/site.h"

namespace pfsync::engine::imports {

[[nodiscard]] bool looks_like_xml(std::string_view text);

/// Reads <hasync>, <virtualip> and <interfaces> of a pfSense's or OPNsense's config.xml. Throws Unreadable.
void read_config_xml(Site& site, const std::string& where, std::string_view text);

}  // namespace pfsync::engine::imports
