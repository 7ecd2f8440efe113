#include "engine/http/words.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <nlohmann/json.hpp>

#include "engine/base64.h"

namespace pfsync::engine::http {
namespace {

std::string_view without_blanks(std::string_view text) {
  while (text.starts_with(' ')) text.remove_prefix(1);
  while (text.ends_with(' ')) text.remove_suffix(1);
  return text;
}

std::optional<std::uint64_t> number_of(std::string_view text) {
  std::uint64_t value = 0;
  const char* end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, value);
  if (text.empty() || error != std::errc{} || stop != end) return std::nullopt;
  return value;
}

/// "3.120": where a page of states begins.
std::optional<nlohmann::ordered_json> cursor_of(std::string_view text) {
  const std::size_t dot = text.find('.');
  if (dot == std::string_view::npos) return std::nullopt;
  const auto shard = number_of(text.substr(0, dot)), slot = number_of(text.substr(dot + 1));
  if (!shard || !slot) return std::nullopt;
  return nlohmann::ordered_json{{"shard", *shard}, {"slot", *slot}};
}

/// UTF-8, or JSON could not carry it on.
bool is_utf8(const std::string& text) {
  try {
    static_cast<void>(nlohmann::ordered_json(text).dump());
    return true;
  } catch (const nlohmann::ordered_json::exception&) {
    return false;
  }
}

}  // namespace

std::string lower(std::string_view text) {
  std::string small{text};
  for (char& c : small)
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  return small;
}

std::string hex(std::span<const std::uint8_t> bytes) {
  constexpr std::string_view digits = "0123456789abcdef";
  std::string text;
  text.reserve(bytes.size() * 2);
  for (const std::uint8_t byte : bytes) {
    text += digits[byte >> 4u];
    text += digits[byte & 15u];
  }
  return text;
}

std::optional<std::string_view> cookie_of(std::string_view header, std::string_view name) {
  while (!header.empty()) {
    const std::size_t end = std::min(header.find(';'), header.size());
    const std::string_view pair = without_blanks(header.substr(0, end));
    header.remove_prefix(std::min(end + 1, header.size()));
    const std::size_t equals = pair.find('=');
    if (equals != std::string_view::npos && pair.substr(0, equals) == name) return pair.substr(equals + 1);
  }
  return std::nullopt;
}

std::optional<Credentials> basic_of(std::string_view header) {
  constexpr std::string_view scheme = "basic ";
  if (header.size() < scheme.size() || lower(header.substr(0, scheme.size())) != scheme) return std::nullopt;
  const auto decoded = from_base64(without_blanks(header.substr(scheme.size())));
  if (!decoded) return std::nullopt;
  const std::size_t colon = decoded->find(':');
  if (colon == std::string::npos) return std::nullopt;
  return Credentials{decoded->substr(0, colon), decoded->substr(colon + 1)};
}

std::optional<Authority> authority_of(std::string_view text) {
  Authority authority;
  std::string_view rest;
  if (text.starts_with('[')) {
    const std::size_t end = text.find(']');
    if (end == std::string_view::npos) return std::nullopt;
    authority.host = lower(text.substr(1, end - 1));
    rest = text.substr(end + 1);
  } else {
    const std::size_t colon = std::min(text.find(':'), text.size());
    authority.host = lower(text.substr(0, colon));
    rest = text.substr(colon);
  }
  const auto is_of_name = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '.' || c == '-' || c == ':' || c == '_';
  };
  if (authority.host.empty() || !std::all_of(authority.host.begin(), authority.host.end(), is_of_name))
    return std::nullopt;
  if (rest.empty()) return authority;
  const auto port = number_of(rest.substr(1));
  if (rest.front() != ':' || !port || *port > 65535) return std::nullopt;
  authority.port = std::to_string(*port);
  return authority;
}

std::variant<nlohmann::ordered_json, std::string> show_request(
    std::string_view what, const std::vector<std::pair<std::string, std::string>>& query) {
  nlohmann::ordered_json request{{"command", "show"}, {"what", std::string{what}}};
  if (!is_utf8(std::string{what})) return std::string{"what is to be shown must be in UTF-8"};
  for (const auto& [key, value] : query) {
    if (!is_utf8(key) || !is_utf8(value)) return std::string{"the query must be in UTF-8"};
    if (request.contains(key)) return "\"" + key + "\" is given twice, or is not for a query: remove it";
    if (key == "cursor") {
      const auto cursor = cursor_of(value);
      if (!cursor) return std::string{"\"cursor\" must be SHARD.SLOT, the one of the page before"};
      request[key] = *cursor;
    } else if (value == "true" || value == "false") {
      request[key] = value == "true";
    } else if (const auto number = number_of(value)) {
      request[key] = *number;
    } else {
      request[key] = value;
    }
  }
  return request;
}

}  // namespace pfsync::engine::http
