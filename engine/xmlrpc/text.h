#pragma once

#include <optional>
#include <string>
#include <string_view>

/// Characters of a document, before and after pugixml. For the codec, and for whoever else reads XML.
namespace pfsync::engine::xmlrpc {

struct Text {
  std::string utf8;
  std::string why;  ///< not empty: refused
};
/// A document as UTF-8, without a byte order mark, from what its declaration says it is. Refused: other encodings,
/// bytes that are not of it, characters that XML has not, document types, entities beyond the five and numeric ones,
/// more than `elements_max` of "<".
[[nodiscard]] Text checked_text(std::string_view document, std::size_t elements_max);

/// The text with what XML needs escaped. What XML cannot say becomes '?'.
void append_escaped(std::string& out, std::string_view text);

/// RFC 2045: white space is passed over, all else must be of the alphabet and padded.
[[nodiscard]] std::optional<std::string> from_base64(std::string_view text);

}  // namespace pfsync::engine::xmlrpc
