#pragma once

#include <cstddef>
#include <string>

namespace pfsync::engine::config_sync {

inline constexpr std::size_t sentence_bytes_max = 1000;

/// What somebody else may have put words into, fit to be kept and to be shown in a log: a control character becomes
/// '?', and what is longer is cut before the character that would not fit.
[[nodiscard]] inline std::string one_line(std::string text, std::size_t bytes_max = sentence_bytes_max) {
  for (char& c : text)
    if (static_cast<unsigned char>(c) < ' ' || c == 0x7f) c = '?';
  const auto is_within_a_character = [&](std::size_t at) {
    return (static_cast<unsigned char>(text[at]) & 0xc0u) == 0x80u;
  };
  if (text.size() > bytes_max) {
    std::size_t end = bytes_max;
    while (end > 0 && is_within_a_character(end)) --end;
    text.resize(end);
  }
  return text;
}

}  // namespace pfsync::engine::config_sync
