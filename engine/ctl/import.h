#pragma once

#include <string>
#include <variant>
#include <vector>

#include "engine/ctl/text.h"

namespace pfsync::engine::ctl {

struct ImportOptions {
  std::vector<std::string> files;
  std::string address;               ///< this node's own; empty: it stands in the firewall's place
  std::vector<std::string> devices;  ///< "igb1=eth2"
};

/// What is wrong with "igb1=eth2"; empty: nothing.
[[nodiscard]] std::string check_device_pair(const std::string& pair);

/// An object with `ok`, `toml` and `notes` (sentences without the dot), or one sentence why there is none.
[[nodiscard]] std::variant<Json, std::string> import_files(const ImportOptions& options);

}  // namespace pfsync::engine::ctl
