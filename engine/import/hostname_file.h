#pragma once

#include <string>
#include <string_view>

#include "engine/import/site.h"

namespace pfsync::engine::imports {

/// The interface whose file "…/hostname.IF" is; empty: it is no such file.
[[nodiscard]] std::string interface_of_file(std::string_view name);

/// Reads OpenBSD's hostname.if(5). `where`: the file's name, for notes.
void read_hostname_file(Site& site, const std::string& where, const std::string& interface, std::string_view bytes);

}  // namespace pfsync::engine::imports
