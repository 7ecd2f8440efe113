#include "engine/xmlrpc/value.h"

#include <algorithm>
#include <charconv>

namespace pfsync::engine::xmlrpc {
namespace {

bool is_decimal(std::string_view text) {
  return !text.empty() && std::all_of(text.begin(), text.end(), [](char c) { return c >= '0' && c <= '9'; });
}

}  // namespace

std::optional<std::vector<const Value*>> Value::as_list() const {
  std::vector<const Value*> list;
  if (const auto* array = get<Array>()) {
    list.reserve(array->size());
    for (const Value& value : *array) list.push_back(&value);
    return list;
  }
  const auto* members = get<Struct>();
  if (members == nullptr) return std::nullopt;
  list.reserve(members->size());
  for (const Member& member : *members) {
    if (!is_decimal(member.name)) return std::nullopt;
    list.push_back(&member.value);
  }
  return list;
}

const Value::Struct* Value::as_map() const noexcept {
  static const Struct empty;
  if (const auto* members = get<Struct>()) return members;
  const auto* array = get<Array>();
  return array != nullptr && array->empty() ? &empty : nullptr;
}

const Value* Value::find(std::string_view name) const noexcept {
  const Struct* members = as_map();
  if (members == nullptr) return nullptr;
  const auto found =
      std::find_if(members->begin(), members->end(), [&](const Member& member) { return member.name == name; });
  return found == members->end() ? nullptr : &found->value;
}

std::optional<std::string> Value::as_text() const {
  if (const auto* text = get<std::string>()) return *text;
  if (const auto* number = get<std::int64_t>()) return std::to_string(*number);
  if (const auto* flag = get<bool>()) return *flag ? "1" : "0";
  return std::nullopt;
}

std::optional<std::int64_t> Value::as_integer() const {
  if (const auto* number = get<std::int64_t>()) return *number;
  const auto* text = get<std::string>();
  if (text == nullptr) return std::nullopt;
  std::int64_t number = 0;
  const char* end = text->data() + text->size();
  const auto [stop, error] = std::from_chars(text->data(), end, number);
  if (error != std::errc{} || stop != end) return std::nullopt;
  return number;
}

bool operator==(const Value& one, const Value& other) noexcept { return one.data_ == other.data_; }

}  // namespace pfsync::engine::xmlrpc
