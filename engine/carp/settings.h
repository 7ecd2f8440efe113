#pragma once

#include <string>
#include <vector>

#include "engine/carp/host.h"

namespace pfsync::engine::carp {

/// One [[carp]] of the configuration, checked.
struct Settings {
  HostConfig host;
  std::string typed_password;              ///< before what pfSense makes of it
  std::vector<std::string> address_texts;  ///< "10.0.0.254/24", in the operator's order
  std::string interface;                   ///< as in "1@eth1": a port's name; empty: the link's
  std::size_t port = 0;                    ///< of the ports below

  friend bool operator==(const Settings&, const Settings&) = default;
};

/// A port that may have virtual addresses: that of [link], then those of each [[interface]].
struct PortSettings {
  std::string device;     ///< as the operator wrote it
  std::string name;       ///< for people: of the Linux interface, or of the device
  wire::CarpAddress own;  ///< what advertisements are sent from
};

/// Whether two of the settings can stand beside each other; a sentence when not.
[[nodiscard]] std::string conflict(const std::vector<Settings>& settings);

}  // namespace pfsync::engine::carp
