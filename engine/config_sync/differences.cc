#include <nlohmann/json.hpp>
#include <string>
#include <unordered_map>

#include "engine/config_sync/sections.h"

namespace pfsync::engine::config_sync {
namespace {

using Json = nlohmann::json;

/// What of a list an element is known by.
std::string identity_of(const Json& one) {
  if (!one.is_object()) return one.dump();
  if (one.contains("vhid"))
    return "vhid " + one["vhid"].dump() + (one.contains("interface") ? "@" + one["interface"].dump() : "");
  if (one.contains("address")) return one["address"].dump();
  return one.dump();
}

void add(std::string& text, const std::string& words) { text += (text.empty() ? "" : "; ") + words; }

std::string shown(const Json& object, const std::string& key) {
  const auto found = object.find(key);
  return found == object.end() ? "none" : found->dump();
}

std::string object_difference(const Json& before, const Json& after) {
  std::string text;
  Json keys = before;
  keys.update(after);
  for (const auto& [key, ignored] : keys.items()) {
    if (before.contains(key) && after.contains(key) && before[key] == after[key]) continue;
    if (key == "password")
      add(text, "password changed");
    else
      add(text, key + " " + shown(before, key) + " -> " + shown(after, key));
  }
  return text;
}

std::string list_difference(const Json& before, const Json& after) {
  std::string text;
  const auto by_identity = [](const Json& list) {
    std::unordered_map<std::string, const Json*> all;  // of two with one identity the first
    for (const Json& one : list) all.try_emplace(identity_of(one), &one);
    return all;
  };
  const auto was = by_identity(before), is = by_identity(after);
  for (const Json& one : before)
    if (!is.contains(identity_of(one))) add(text, "removed " + identity_of(one));
  for (const Json& one : after) {
    const std::string identity = identity_of(one);
    const auto former = was.find(identity);
    if (former == was.end())
      add(text, "added " + identity);
    else if (*former->second != one && one.is_object() && former->second->is_object())
      add(text, identity + " (" + object_difference(*former->second, one) + ")");
  }
  return text.empty() ? "another order" : text;
}

Json section(const Sections& sections, const std::string& name) {
  const auto found = sections.find(name);
  return found == sections.end() ? Json{} : Json::parse(found->second, nullptr, false);
}

}  // namespace

std::map<std::string, std::string> differences(const Sections& before, const Sections& after) {
  std::map<std::string, std::string> all;
  Sections names = before;
  names.insert(after.begin(), after.end());
  for (const auto& [name, ignored] : names) {
    const Json was = section(before, name), is = section(after, name);
    if (was == is) continue;
    if (was.is_array() && is.is_array())
      all[name] = list_difference(was, is);
    else if (was.is_object() && is.is_object())
      all[name] = object_difference(was, is);
    else
      all[name] = was.is_null() ? "added" : is.is_null() ? "removed" : "changed";
  }
  return all;
}

}  // namespace pfsync::engine::config_sync
