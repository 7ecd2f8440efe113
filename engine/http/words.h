#pragma once

#include <cstddef>
#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

namespace pfsync::engine::http {

/// ASCII only, as HTTP's words are.
[[nodiscard]] std::string lower(std::string_view text);

[[nodiscard]] std::string hex(std::span<const std::uint8_t> bytes);

/// The value of a cookie in a Cookie header, nothing when it is not there; of several of that name the first.
[[nodiscard]] std::optional<std::string_view> cookie_of(std::string_view header, std::string_view name);

struct Credentials {
  std::string user;
  std::string password;
};
/// Of a header `Authorization: Basic …` (RFC 7617).
[[nodiscard]] std::optional<Credentials> basic_of(std::string_view header);

/// Host and port of a Host header, or of an Origin behind its "https://": "[::1]:8443" → "::1", "8443". In lower
/// case; the port is empty when it is not there.
struct Authority {
  std::string host;
  std::string port;
  friend bool operator==(const Authority&, const Authority&) = default;
};
[[nodiscard]] std::optional<Authority> authority_of(std::string_view text);

/// GET /api/show/WHAT?key=value… as a control request: true, false and decimal numbers as such, `cursor` as
/// SHARD.SLOT. Or one sentence about what is wrong.
[[nodiscard]] std::variant<nlohmann::ordered_json, std::string> show_request(
    std::string_view what, const std::vector<std::pair<std::string, std::string>>& query);

}  // namespace pfsync::engine::http
