#pragma once

#include <gtest/gtest.h>

#include <string>
#include <string_view>
#include <variant>

#include "engine/config/config.h"

namespace pfsync::engine::test {

/// What a configuration file t.toml of that text says; a refusal fails the test.
[[nodiscard]] inline Config good(const std::string& text) {
  const ConfigResult result = parse_config(text, "t.toml");
  if (const auto* why = std::get_if<std::string>(&result)) {
    ADD_FAILURE() << *why << "\n" << text;
    return {};
  }
  return std::get<Config>(result);
}

/// Why a configuration file t.toml of that text is refused.
[[nodiscard]] inline std::string refusal(const std::string& text) {
  const ConfigResult result = parse_config(text, "t.toml");
  const auto* why = std::get_if<std::string>(&result);
  return why != nullptr ? *why : "(accepted)";
}

/// `text` with one part of it replaced, which must be there.
[[nodiscard]] inline std::string replaced(std::string text, std::string_view part, std::string_view instead) {
  const std::size_t at = text.find(part);
  EXPECT_NE(at, std::string::npos) << part;
  return at == std::string::npos ? text : text.replace(at, part.size(), instead);
}

}  // namespace pfsync::engine::test
