#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "wire/state.h"

namespace pfsync::engine {

/// "97bc0c81": a host id as pfctl prints it.
[[nodiscard]] std::string creatorid_text(std::uint32_t creatorid);
/// "000000006b03a1a3/97bc0c81", and back; nullopt unless it is 1 to 16 and 1 to 8 hex digits.
[[nodiscard]] std::string state_id_text(wire::StateId id);
[[nodiscard]] std::optional<wire::StateId> parse_state_id(std::string_view text);

}  // namespace pfsync::engine
