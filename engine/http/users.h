#pragma once

#include <array>
#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "engine/http/crypto.h"

namespace pfsync::engine::http {

inline constexpr std::size_t users_max = 256;
inline constexpr std::size_t user_name_max = 32;
inline constexpr std::size_t password_min = 8;
inline constexpr std::size_t password_max = 1024;

/// What is kept of a password.
struct PasswordHash {
  ScryptCost cost;
  std::array<std::uint8_t, 16> salt{};
  std::array<std::uint8_t, 32> key{};
  friend bool operator==(const PasswordHash&, const PasswordHash&) = default;
};
[[nodiscard]] PasswordHash hash_password(std::string_view password, const ScryptCost& cost = {});
/// Takes as long for a wrong password as for the right one.
[[nodiscard]] bool verifies(const PasswordHash& hash, std::string_view password);

/// Empty, or one sentence about what is wrong with it.
[[nodiscard]] std::string check_user_name(std::string_view name);
[[nodiscard]] std::string check_password(std::string_view password);

using Users = std::map<std::string, PasswordHash, std::less<>>;
/// One line a user: NAME:scrypt:LOG2N:R:P:SALT:KEY, the last two in base64. Or one sentence with the line.
[[nodiscard]] std::variant<Users, std::string> parse_users(std::string_view text, const std::string& file);
[[nodiscard]] std::string users_text(const Users& users);

/// A file that is not there holds nobody.
[[nodiscard]] std::variant<Users, std::string> load_users(const std::filesystem::path& file);
/// Replaces the file as a whole, readable by its owner alone. Returns why not.
[[nodiscard]] std::string save_users(const std::filesystem::path& file, const Users& users);

}  // namespace pfsync::engine::http
