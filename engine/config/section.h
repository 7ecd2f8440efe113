#pragma once

#include <toml++/toml.h>
#include <concepts>
#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace pfsync::engine {

/// The sentence for the operator, on its way out of the reader. Private to config*.
struct ConfigError {
  std::string sentence;
};

/// One table of the file, read key by key. What was not asked for by the end is an unknown key, so
/// that a misspelt option cannot be silently without effect.
class ConfigSection {
 public:
  /// `path`: the section's name in sentences, empty for the whole file. Borrows all three.
  ConfigSection(const toml::table& table, std::string_view file, std::string path)
      : table_{&table}, file_{file}, path_{std::move(path)} {}

  /// The value of a key, or nothing when it is absent; a wrong type or range is an error.
  [[nodiscard]] std::optional<std::string> text(std::string_view key);
  [[nodiscard]] std::optional<bool> flag(std::string_view key);
  [[nodiscard]] std::optional<std::int64_t> number(std::string_view key, std::int64_t low, std::int64_t high);
  [[nodiscard]] std::vector<std::string> texts(std::string_view key);
  [[nodiscard]] std::vector<std::variant<std::string, ConfigSection>> texts_or_sections(std::string_view key);
  /// One number, or an array of them; empty when the key is absent.
  [[nodiscard]] std::vector<std::int64_t> numbers(std::string_view key, std::int64_t low, std::int64_t high);
  [[nodiscard]] std::optional<ConfigSection> section(std::string_view key);
  /// Tables of a [[key]].
  [[nodiscard]] std::vector<ConfigSection> sections(std::string_view key);

  template <std::integral T>
  void number_into(T& value, std::string_view key, std::int64_t low, std::int64_t high) {
    if (const auto read = number(key, low, high)) value = static_cast<T>(*read);
  }

  /// The absolute path of a file.
  void file_into(std::string& file, std::string_view key);

  /// The keys that are there, for a section whose keys are names of the operator's.
  [[nodiscard]] std::vector<std::string> keys() const;
  [[nodiscard]] bool is_section(std::string_view key) const { return table_->get_as<toml::table>(key) != nullptr; }
  [[nodiscard]] bool is_text(std::string_view key) const { return table_->get_as<std::string>(key) != nullptr; }
  [[nodiscard]] bool has(std::string_view key) const { return table_->contains(key); }
  /// After the last key was read.
  void finish() const;

  /// An error at a key's line, or at the section's when the key is missing.
  [[noreturn]] void fail(std::string_view key, const std::string& what) const;

 private:
  [[nodiscard]] const toml::node* find(std::string_view key);
  [[nodiscard]] std::int64_t number_of(const toml::node& node, std::string_view key, std::int64_t low,
                                       std::int64_t high) const;
  [[nodiscard]] std::string full_name(std::string_view key) const;

  const toml::table* table_;
  std::string_view file_;
  std::string path_;
  std::vector<std::string> known_;
};

}  // namespace pfsync::engine
