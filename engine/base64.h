#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace pfsync::engine {

/// Base 64 with padding (RFC 4648, section 4).
[[nodiscard]] std::string to_base64(std::span<const std::uint8_t> bytes);
[[nodiscard]] std::string to_base64(std::string_view bytes);
/// All of the text must be of the alphabet and padded. `exact`: nor may bits be left over, so that the bytes have one
/// text.
[[nodiscard]] std::optional<std::string> from_base64(std::string_view text, bool exact = true);

}  // namespace pfsync::engine
