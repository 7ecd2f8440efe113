#include "engine/control/state_id.h"

#include <fmt/format.h>

#include <charconv>

namespace pfsync::engine {
namespace {

bool hex_into(std::string_view text, std::size_t digits_max, std::uint64_t& value) {
  if (text.empty() || text.size() > digits_max) return false;
  const auto [stop, error] = std::from_chars(text.data(), text.data() + text.size(), value, 16);
  return error == std::errc{} && stop == text.data() + text.size();
}

}  // namespace

std::string creatorid_text(std::uint32_t creatorid) { return fmt::format("{:08x}", creatorid); }

std::string state_id_text(wire::StateId id) { return fmt::format("{:016x}/{:08x}", id.id, id.creatorid); }

std::optional<wire::StateId> parse_state_id(std::string_view text) {
  const std::size_t slash = text.find('/');
  std::uint64_t id = 0, creatorid = 0;
  if (slash == std::string_view::npos || !hex_into(text.substr(0, slash), 16, id) ||
      !hex_into(text.substr(slash + 1), 8, creatorid))
    return std::nullopt;
  return wire::StateId{id, static_cast<std::uint32_t>(creatorid)};
}

}  // namespace pfsync::engine
