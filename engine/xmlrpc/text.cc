#include "engine/xmlrpc/text.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cstdint>

#include "engine/base64.h"

namespace pfsync::engine::xmlrpc {
namespace {

bool is_space(char c) { return c == ' ' || c == '\t' || c == '\n' || c == '\r'; }

std::string lower(std::string_view text) {
  std::string result{text};
  for (char& c : result)
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  return result;
}

/// Source: XML 1.0, production 2.
bool is_xml_char(std::uint32_t c) {
  return c == '\t' || c == '\n' || c == '\r' || (c >= 0x20 && c <= 0xd7ff) || (c >= 0xe000 && c <= 0xfffd) ||
         (c >= 0x10000 && c <= 0x10ffff);
}

struct Character {
  std::uint32_t code;
  std::size_t bytes;  ///< 0: not UTF-8
};

/// Shortest forms only. Source: RFC 3629 section 3.
Character character_at(std::string_view text) {
  const auto byte = [&](std::size_t i) { return static_cast<std::uint8_t>(text[i]); };
  const std::uint8_t first = byte(0);
  if (first < 0x80) return {first, 1};
  const std::size_t bytes = first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : 2;
  if (first < 0xc2 || first > 0xf4 || text.size() < bytes) return {0, 0};
  std::uint32_t code = first & (0xffu >> (bytes + 1));
  for (std::size_t i = 1; i < bytes; ++i) {
    if ((byte(i) & 0xc0u) != 0x80) return {0, 0};
    code = code << 6 | (byte(i) & 0x3fu);
  }
  constexpr std::array<std::uint32_t, 5> least{0, 0, 0x80, 0x800, 0x10000};
  if (code < least[bytes]) return {0, 0};
  return {code, bytes};
}

/// The encoding that the XML declaration names, in lower case; utf-8 without one.
std::string encoding_of(std::string_view document) {
  constexpr std::string_view begin = "<?xml";
  const std::string fallback = "utf-8";
  if (!document.starts_with(begin)) return fallback;
  const std::size_t end = document.find("?>");
  if (end == std::string_view::npos) return fallback;
  std::string_view heading = document.substr(0, end);
  std::size_t at = heading.find("encoding");
  if (at == std::string_view::npos) return fallback;
  heading.remove_prefix(at + 8);
  at = heading.find_first_of("\"'");
  if (at == std::string_view::npos) return fallback;
  const char quote = heading[at];
  heading.remove_prefix(at + 1);
  return lower(heading.substr(0, heading.find(quote)));
}

std::string from_latin1(std::string_view bytes) {
  std::string utf8;
  utf8.reserve(bytes.size());
  for (const char c : bytes) {
    const auto byte = static_cast<std::uint8_t>(c);
    if (byte < 0x80) {
      utf8 += c;
    } else {
      utf8 += static_cast<char>(0xc0u | byte >> 6);
      utf8 += static_cast<char>(0x80u | (byte & 0x3fu));
    }
  }
  return utf8;
}

/// How many bytes the reference takes that begins at "&"; 0 when it is none of the five and no character's number.
std::size_t reference_bytes(std::string_view text) {
  const std::size_t end = text.substr(0, 12).find(';');
  if (end == std::string_view::npos) return 0;
  const std::string_view name = text.substr(1, end - 1);
  for (const std::string_view known : {"amp", "lt", "gt", "quot", "apos"})
    if (name == known) return end + 1;
  if (!name.starts_with('#')) return 0;
  const bool hex = name.starts_with("#x");
  const std::string_view digits = name.substr(hex ? 2 : 1);
  std::uint32_t code = 0;
  const char* stop = digits.data() + digits.size();
  const auto [read, error] = std::from_chars(digits.data(), stop, code, hex ? 16 : 10);
  return error == std::errc{} && read == stop && is_xml_char(code) ? end + 1 : 0;
}

/// What stands between `open` at `at` and `close`, both included; npos when it does not end.
std::size_t behind(std::string_view text, std::size_t at, std::string_view open, std::string_view close) {
  const std::size_t end = text.find(close, at + open.size());
  return end == std::string_view::npos ? end : end + close.size();
}

/// A document's mark-up, as far as it must not reach the parser.
std::string refusal_of(std::string_view text, std::size_t elements_max) {
  struct Skipped {
    std::string_view open, close;
  };
  constexpr std::array<Skipped, 3> skipped{{{"<!--", "-->"}, {"<![CDATA[", "]]>"}, {"<?", "?>"}}};
  std::size_t elements = 0;
  for (std::size_t at = text.find_first_of("<&"); at != std::string_view::npos; at = text.find_first_of("<&", at)) {
    const std::string_view rest = text.substr(at);
    if (rest.front() == '&') {
      const std::size_t bytes = reference_bytes(rest);
      if (bytes == 0) return "an entity that is neither one of XML's five nor a character's number is not taken";
      at += bytes;
      continue;
    }
    if (++elements > elements_max) return "the document has too many elements";
    const auto* skip = std::find_if(skipped.begin(), skipped.end(),
                                    [&](const Skipped& candidate) { return rest.starts_with(candidate.open); });
    if (skip != skipped.end()) {
      at = behind(text, at, skip->open, skip->close);
      if (at == std::string_view::npos) return "the document is cut";
      continue;
    }
    if (rest.starts_with("<!")) return "a document type or a declaration of an entity is not taken";
    ++at;
  }
  return "";
}

}  // namespace

Text checked_text(std::string_view document, std::size_t elements_max) {
  constexpr std::string_view byte_order_mark = "\xef\xbb\xbf";
  if (document.starts_with(byte_order_mark)) document.remove_prefix(byte_order_mark.size());
  const std::string encoding = encoding_of(document);
  Text text;
  if (encoding == "utf-8" || encoding == "utf8" || encoding == "us-ascii" || encoding == "ascii")
    text.utf8 = document;
  else if (encoding == "iso-8859-1" || encoding == "latin1" || encoding == "iso_8859-1")
    text.utf8 = from_latin1(document);
  else
    return {"", "the encoding is neither UTF-8 nor ISO-8859-1"};
  for (std::string_view rest = text.utf8; !rest.empty();) {
    const Character character = character_at(rest);
    if (character.bytes == 0) return {"", "the text is not valid UTF-8"};
    if (!is_xml_char(character.code)) return {"", "the text holds a character that XML has not"};
    rest.remove_prefix(character.bytes);
  }
  text.why = refusal_of(text.utf8, elements_max);
  return text;
}

void append_escaped(std::string& out, std::string_view text) {
  while (!text.empty()) {
    const Character character = character_at(text);
    const std::string_view bytes = text.substr(0, std::max<std::size_t>(character.bytes, 1));
    if (character.bytes == 0 || !is_xml_char(character.code))
      out += '?';
    else if (character.code == '&')
      out += "&amp;";
    else if (character.code == '<')
      out += "&lt;";
    else if (character.code == '>')
      out += "&gt;";
    else if (character.code == '\r')
      out += "&#13;";
    else
      out += bytes;
    text.remove_prefix(bytes.size());
  }
}

std::optional<std::string> from_base64(std::string_view text) {
  std::string digits{text};
  std::erase_if(digits, is_space);
  return engine::from_base64(digits, false);
}

}  // namespace pfsync::engine::xmlrpc
