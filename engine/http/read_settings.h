#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "engine/config/section.h"
#include "engine/http/settings.h"

namespace pfsync::engine::http {

/// The section [http] of a file, if it is there. Throws ConfigError, as all that reads the configuration.
[[nodiscard]] std::optional<Settings> read_settings(ConfigSection& file);

/// "127.0.0.1:8443", "[::1]:8443" into an address and a port.
struct Endpoint {
  std::string address;
  std::uint16_t port = 0;
  bool is_loopback = false;
};
[[nodiscard]] std::optional<Endpoint> parse_endpoint(std::string_view text);

}  // namespace pfsync::engine::http
