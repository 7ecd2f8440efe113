#include "engine/config/section.h"

#include <algorithm>
#include <sstream>

namespace pfsync::engine {
namespace {

std::string type_word(const toml::node& node) {
  switch (node.type()) {
    case toml::node_type::string: return "a string";
    case toml::node_type::integer: return "an integer";
    case toml::node_type::floating_point: return "a number with a fraction";
    case toml::node_type::boolean: return "a boolean";
    case toml::node_type::array: return "an array";
    case toml::node_type::table: return "a table";
    default: return "a date or time";
  }
}

}  // namespace

const toml::node* ConfigSection::find(std::string_view key) {
  if (std::find(known_.begin(), known_.end(), key) == known_.end()) known_.emplace_back(key);
  return table_->get(key);
}

std::string ConfigSection::full_name(std::string_view key) const {
  if (path_.empty()) return std::string{key};
  return key.empty() ? path_ : path_ + "." + std::string{key};
}

void ConfigSection::fail(std::string_view key, const std::string& what) const {
  toml::source_position at = table_->source().begin;
  for (const auto& [name, node] : *table_)
    if (name.str() == key) at = name.source().begin ? name.source().begin : node.source().begin;
  std::ostringstream out;
  out << file_ << ":" << std::max<toml::source_index>(at.line, 1) << ": " << full_name(key) << ": " << what;
  throw ConfigError{out.str()};
}

std::optional<std::string> ConfigSection::text(std::string_view key) {
  const toml::node* node = find(key);
  if (node == nullptr) return std::nullopt;
  if (const auto* value = node->as_string()) return value->get();
  fail(key, "is " + type_word(*node) + " but must be a string: write it in double quotes");
}

std::optional<bool> ConfigSection::flag(std::string_view key) {
  const toml::node* node = find(key);
  if (node == nullptr) return std::nullopt;
  if (const auto* value = node->as_boolean()) return value->get();
  fail(key, "is " + type_word(*node) + " but must be true or false");
}

std::optional<std::int64_t> ConfigSection::number(std::string_view key, std::int64_t low, std::int64_t high) {
  const toml::node* node = find(key);
  if (node == nullptr) return std::nullopt;
  return number_of(*node, key, low, high);
}

std::int64_t ConfigSection::number_of(const toml::node& node, std::string_view key, std::int64_t low,
                                      std::int64_t high) const {
  const std::string range = "an integer from " + std::to_string(low) + " to " + std::to_string(high);
  const auto* value = node.as_integer();
  if (value == nullptr) fail(key, "is " + type_word(node) + " but must be " + range);
  if (value->get() < low || value->get() > high)
    fail(key, std::to_string(value->get()) + " is out of range: give " + range);
  return value->get();
}

std::vector<std::int64_t> ConfigSection::numbers(std::string_view key, std::int64_t low, std::int64_t high) {
  const toml::node* node = find(key);
  if (node == nullptr) return {};
  const auto* array = node->as_array();
  if (array == nullptr) return {number_of(*node, key, low, high)};
  std::vector<std::int64_t> values;
  for (const toml::node& element : *array) values.push_back(number_of(element, key, low, high));
  return values;
}

std::vector<std::string> ConfigSection::texts(std::string_view key) {
  const toml::node* node = find(key);
  if (node == nullptr) return {};
  const auto* array = node->as_array();
  if (array == nullptr) fail(key, "is " + type_word(*node) + " but must be an array of strings, as [\"a\", \"b\"]");
  std::vector<std::string> values;
  for (const toml::node& element : *array) {
    const auto* value = element.as_string();
    if (value == nullptr) fail(key, "holds " + type_word(element) + " but must hold strings only");
    values.push_back(value->get());
  }
  return values;
}

std::vector<std::variant<std::string, ConfigSection>> ConfigSection::texts_or_sections(std::string_view key) {
  const toml::node* node = find(key);
  if (node == nullptr) return {};
  const auto* array = node->as_array();
  if (array == nullptr) fail(key, "is " + type_word(*node) + " but must be an array, as [\"a\", \"b\"]");
  std::vector<std::variant<std::string, ConfigSection>> values;
  for (const toml::node& element : *array) {
    if (const auto* text = element.as_string())
      values.emplace_back(text->get());
    else if (const auto* table = element.as_table())
      values.emplace_back(ConfigSection{*table, file_, full_name(key)});
    else
      fail(key, "holds " + type_word(element) + " but must hold strings, or tables in { }");
  }
  return values;
}

std::optional<ConfigSection> ConfigSection::section(std::string_view key) {
  const toml::node* node = find(key);
  if (node == nullptr) return std::nullopt;
  const auto* table = node->as_table();
  if (table == nullptr) fail(key, "must be a section: write [" + full_name(key) + "] on a line of its own");
  return ConfigSection{*table, file_, full_name(key)};
}

std::vector<std::string> ConfigSection::keys() const {
  std::vector<std::string> all;
  for (const auto& [key, node] : *table_) all.emplace_back(key.str());
  return all;
}

std::vector<ConfigSection> ConfigSection::sections(std::string_view key) {
  const toml::node* node = find(key);
  if (node == nullptr) return {};
  const auto* array = node->as_array();
  const std::string what = "must be a list of sections: write [[" + full_name(key) + "]] on a line of its own";
  if (array == nullptr) fail(key, what);
  std::vector<ConfigSection> all;
  for (const toml::node& element : *array) {
    const auto* table = element.as_table();
    if (table == nullptr) fail(key, what);
    all.emplace_back(*table, file_, full_name(key));
  }
  return all;
}

void ConfigSection::finish() const {
  for (const auto& [key, node] : *table_) {
    const std::string_view name = key.str();
    if (std::find(known_.begin(), known_.end(), name) != known_.end()) continue;
    std::string known;
    for (const std::string& word : known_) known += (known.empty() ? "" : ", ") + word;
    fail(name, "unknown key: remove or correct it; known here are " + known);
  }
}

void ConfigSection::file_into(std::string& file, std::string_view key) {
  const auto path = text(key);
  if (!path) return;
  if (!path->starts_with('/')) fail(key, "\"" + *path + "\" is not the absolute path of a file: begin it with /");
  file = *path;
}

}  // namespace pfsync::engine
