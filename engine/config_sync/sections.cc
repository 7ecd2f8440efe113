#include "engine/config_sync/sections.h"

#include <toml++/toml.h>

#include <algorithm>
#include <array>
#include <fstream>
#include <limits>
#include <nlohmann/json.hpp>
#include <sstream>

#include "engine/config/config.h"
#include "engine/config_sync/faults.h"
#include "engine/http/crypto.h"
#include "engine/http/words.h"

namespace pfsync::engine::config_sync {
namespace {

using Json = nlohmann::json;  // sorted keys

struct KeyRow {
  std::string_view key;
  KeyClass of;
};
/// A row speaks for all below it that has no row of its own.
constexpr std::array<KeyRow, 31> key_table{{
    {"link", KeyClass::local},
    {"interface", KeyClass::local},
    {"peer", KeyClass::shared},
    {"peer.address", KeyClass::transformed},
    {"peer.mac", KeyClass::transformed},
    {"peer.interface_map", KeyClass::transformed},
    {"table", KeyClass::local},
    {"table.timeouts", KeyClass::shared},
    {"sync", KeyClass::local},
    {"sync.maxupd", KeyClass::shared},
    {"sync.delay_ms", KeyClass::shared},
    {"sync.bulk_states_per_s", KeyClass::shared},
    {"sync.request_bulk", KeyClass::shared},
    {"carp", KeyClass::local},
    {"carp.vhid", KeyClass::shared},
    {"carp.advbase", KeyClass::shared},
    {"carp.advskew", KeyClass::transformed},
    {"carp.password", KeyClass::shared},
    {"carp.password_file", KeyClass::transformed},
    {"carp.password_form", KeyClass::shared},
    {"carp.addresses", KeyClass::shared},
    {"carp.peer", KeyClass::transformed},
    {"carp.peer6", KeyClass::transformed},
    {"carp.preempt", KeyClass::shared},
    {"carp.openbsd", KeyClass::shared},
    {"carp.both_families", KeyClass::shared},
    {"carp.interface", KeyClass::transformed},
    {"control", KeyClass::local},
    {"cores", KeyClass::local},
    {"log", KeyClass::local},
    {"config_sync", KeyClass::local},
}};

constexpr std::array<std::string_view, 5> section_names{"carp", "node", "peer", "sync", "timeouts"};
constexpr int skew_step = 100, skew_max = 254;
constexpr int json_depth_max = 8;
constexpr std::size_t password_file_max = 4096;

[[noreturn]] void refuse_sections(int code, std::string sentence) { throw Problem{code, std::move(sentence)}; }
[[noreturn]] void invalid(std::string sentence) { refuse_sections(fault::validation_failed, std::move(sentence)); }

// --- TOML and JSON -----------------------------------------------------------------------------------

Json json_of(const toml::node& node, const std::string& key) {
  if (const auto* text = node.as_string()) return text->get();
  if (const auto* number = node.as_integer()) return number->get();
  if (const auto* flag = node.as_boolean()) return flag->get();
  if (const auto* array = node.as_array()) {
    Json json = Json::array();
    for (const toml::node& element : *array) json.push_back(json_of(element, key));
    return json;
  }
  if (const auto* table = node.as_table()) {
    Json json = Json::object();
    for (const auto& [name, value] : *table) json[std::string{name.str()}] = json_of(value, key);
    return json;
  }
  invalid(key + ": is neither text, a whole number nor true or false: no key has such a value");
}

toml::table table_of(const Json& json, const std::string& key);
toml::array array_of(const Json& json, const std::string& key);

/// Hands a value's form in TOML to `give`.
template <class Give>
void toml_of(const Json& json, const std::string& key, const Give& give) {
  if (json.is_string()) return give(json.get<std::string>());
  if (json.is_boolean()) return give(json.get<bool>());
  if (json.is_number_integer()) {
    if (json.is_number_unsigned() &&
        json.get<std::uint64_t>() > std::uint64_t{std::numeric_limits<std::int64_t>::max()})
      invalid(key + ": is out of range");
    return give(json.get<std::int64_t>());
  }
  if (json.is_object()) return give(table_of(json, key));
  if (json.is_array()) return give(array_of(json, key));
  invalid(key + ": is neither text, a whole number nor true or false");
}

toml::array array_of(const Json& json, const std::string& key) {
  toml::array array;
  for (const Json& element : json) toml_of(element, key, [&](auto value) { array.push_back(std::move(value)); });
  return array;
}

toml::table table_of(const Json& json, const std::string& key) {
  if (!json.is_object()) invalid(key + ": is no section");
  toml::table table;
  for (auto row = json.begin(); row != json.end(); ++row)
    toml_of(row.value(), key + "." + row.key(), [&](auto made) { table.insert_or_assign(row.key(), std::move(made)); });
  return table;
}

/// A section's text as JSON: canonical, not too deep, all of it text, whole numbers, flags, lists and objects.
Json parsed(const std::string& name, const std::string& text) {
  bool too_deep = false, real = false;
  const auto look = [&](int depth, Json::parse_event_t, const Json& value) {
    too_deep = too_deep || depth > json_depth_max;
    real = real || value.is_number_float() || value.is_null();
    return !too_deep;
  };
  Json json = Json::parse(text, look, false);
  if (json.is_discarded() || too_deep || real || json.dump() != text)
    invalid(name + ": is not in canonical form: both nodes must run versions that agree on it");
  return json;
}

const Json& object_at(const Json& json, const char* key) {
  static const Json empty = Json::object();
  const auto found = json.find(key);
  return found == json.end() || !found->is_object() ? empty : *found;
}

std::string text_at(const Json& json, const char* key) {
  const auto found = json.find(key);
  return found == json.end() || !found->is_string() ? "" : found->get<std::string>();
}

toml::table parse_toml(std::string_view text, const std::string& file) {
  try {
    return toml::parse(text, file);
  } catch (const toml::parse_error& error) {
    std::ostringstream out;
    out << file << ":" << error.source().begin.line << ": not valid TOML: " << error.description();
    invalid(out.str());
  }
}

// --- this node's own names ---------------------------------------------------------------------------

std::string host_part(const std::string& address) { return address.substr(0, address.find('/')); }

/// What a node calls its ports, and its address on each.
class Ports {
 public:
  explicit Ports(const toml::table& file)
      : file_{file}, link_device_{file["link"]["device"].value_or<std::string>("")} {
    if (const auto* map = file["config_sync"]["interface_map"].as_table())
      for (const auto& [logical, device] : *map)
        rows_.emplace_back(std::string{logical.str()}, device.value_or<std::string>(""));
  }

  /// Empty: the link's.
  [[nodiscard]] std::string logical(const std::string& device) const {
    if (device.empty() || same_port(device, link_device_)) return "";
    for (const auto& [name, mapped] : rows_)
      if (same_port(mapped, device)) return name;
    invalid("carp.interface: \"" + device +
            "\" has no logical name, by which the other node would know it: add a row to config_sync.interface_map, as "
            "wan = \"" +
            device + "\"");
  }
  [[nodiscard]] std::string device(const std::string& name) const {
    for (const auto& [row, mapped] : rows_)
      if (row == name) return mapped;
    invalid("carp.interface: \"" + name +
            "\" has no mapping on this node: add a row to config_sync.interface_map, as " + name + " = \"eth2\"");
  }
  /// Own address on a port; empty when it is unknown.
  [[nodiscard]] std::string address(const std::string& device) const {
    if (device.empty()) return host_part(file_["link"]["address"].value_or<std::string>(""));
    if (const auto* all = file_["interface"].as_array())
      for (const toml::node& each : *all)
        if (const auto* table = each.as_table();
            table != nullptr && same_port((*table)["device"].value_or<std::string>(""), device))
          return host_part((*table)["address"].value_or<std::string>(""));
    return "";
  }
  [[nodiscard]] Json addresses() const {
    Json node{{"interfaces", Json::object()}, {"link", address("")}};
    for (const auto& [name, device] : rows_) node["interfaces"][name] = address(device);
    return node;
  }

 private:
  static bool same_port(const std::string& one, const std::string& other) {
    return one == other || port_name(one) == port_name(other);
  }
  const toml::table& file_;
  std::string link_device_;
  std::vector<std::pair<std::string, std::string>> rows_;
};

// --- out of a file -----------------------------------------------------------------------------------

std::string first_line(const std::string& path) {
  std::ifstream in{path, std::ios::binary};
  std::string line;
  if (!in || !std::getline(in, line) || line.size() > password_file_max)
    invalid("carp.password_file: \"" + path + "\" cannot be read, or holds no password");
  if (line.ends_with('\r')) line.pop_back();
  return line;
}

Json carp_of(const toml::table& file, const Ports& ports) {
  Json all = Json::array();
  const auto* sections = file["carp"].as_array();
  if (sections == nullptr) return all;
  for (const toml::node& section : *sections) {
    Json one = json_of(section, "carp");
    if (const std::string path = text_at(one, "password_file"); !path.empty()) {
      one["password"] = first_line(path);
      one.erase("password_file");
    }
    if (one.contains("interface")) {
      const std::string logical = ports.logical(text_at(one, "interface"));
      if (logical.empty())
        one.erase("interface");
      else
        one["interface"] = logical;
    }
    all.push_back(std::move(one));
  }
  return all;
}

Json shared_of(const toml::table& file, const char* section) {
  Json json = Json::object();
  if (const auto* table = file[section].as_table())
    for (const auto& [name, value] : *table) {
      const std::string key = std::string{section} + "." + std::string{name.str()};
      if (class_of(key) != KeyClass::local) json[std::string{name.str()}] = json_of(value, key);
    }
  return json;
}

// --- into another file -------------------------------------------------------------------------------

/// The other node's sections in terms of this one.
class Transform {
 public:
  Transform(const toml::table& file, const Json& origin, bool keep_skew, std::vector<std::string>& notes)
      : file_{file}, ports_{file}, origin_{origin}, keep_skew_{keep_skew}, notes_{notes} {}

  void carp(Json& one) {
    const std::string vhid = one.contains("vhid") ? one["vhid"].dump() : "?";
    const std::string logical = text_at(one, "interface");
    const std::string device = logical.empty() ? "" : ports_.device(logical);
    if (!logical.empty()) one["interface"] = device;
    const std::string what = "carp vhid " + vhid + (logical.empty() ? "" : "@" + logical);
    if (!keep_skew_) skew(one, vhid, logical, what);
    const std::string theirs =
        logical.empty() ? text_at(origin_, "link") : text_at(object_at(origin_, "interfaces"), logical.c_str());
    for (const char* key : {"peer", "peer6"})
      if (const std::string peer = text_at(one, key);
          !peer.empty() && peer == ports_.address(device) && !theirs.empty()) {
        one[key] = theirs;
        notes_.push_back(what + ": " + key + " becomes " + theirs);
      }
  }

  /// What is about this node is about the other one, seen from here.
  void peer(Json& one) {
    const std::string theirs = text_at(origin_, "link");
    if (text_at(one, "address") != ports_.address("") || theirs.empty()) return;
    notes_.push_back("peer " + text_at(one, "address") + ": address becomes " + theirs);
    one["address"] = theirs;
    one.erase("mac");
    if (!one.contains("interface_map")) return;
    Json inverted = Json::object();
    for (const auto& [ours, peers] : one["interface_map"].items()) {
      if (!peers.is_string()) invalid("peer.interface_map: holds something else than names");
      inverted[peers.get<std::string>()] = ours;
    }
    one["interface_map"] = std::move(inverted);
  }

 private:
  void skew(Json& one, const std::string& vhid, const std::string& logical, const std::string& what) {
    const auto given = one.find("advskew");
    if (given != one.end() && !given->is_number_integer()) invalid("carp.advskew: is not a whole number");
    const std::int64_t before = given == one.end() ? 0 : given->get<std::int64_t>();
    const auto overrides = file_["config_sync"]["advskew"];
    auto own = overrides[vhid + "@" + logical].value<std::int64_t>();
    if (!own) own = overrides[vhid].value<std::int64_t>();
    const std::int64_t after = own                               ? *own
                               : before < 0 || before > skew_max ? before
                                                                 : std::min<std::int64_t>(before + skew_step, skew_max);
    one["advskew"] = after;
    notes_.push_back(what + ": advskew " + std::to_string(before) + " becomes " + std::to_string(after));
  }

  const toml::table& file_;
  Ports ports_;
  const Json& origin_;
  bool keep_skew_;
  std::vector<std::string>& notes_;
};

/// Refuses what has its place in one node's file only.
void require_shared(const std::string& section, const Json& json) {
  const std::string prefix = section == "timeouts" ? "table.timeouts" : section;
  const auto look = [&](const Json& object) {
    if (!object.is_object()) invalid(section + ": is not what stands in such a section");
    for (const auto& [name, value] : object.items())
      if (class_of(prefix + "." + name) == KeyClass::local)
        refuse_sections(fault::local_section,
                        prefix + "." + name + ": is each node's own, and is not taken from another");
  };
  if (section == "node") return;
  const bool is_list = section == "carp" || section == "peer";
  if (json.is_array() != is_list) invalid(section + ": is not what stands in such a section");
  if (!is_list) return look(json);
  for (const Json& one : json) look(one);
}

void put_list(toml::table& file, const std::string& name, const Json& list) {
  toml::array array;
  for (const Json& one : list) array.push_back(table_of(one, name));
  if (array.empty())
    file.erase(name);
  else
    file.insert_or_assign(name, std::move(array));
}

void put_keys(toml::table& table, const std::string& prefix, const Json& json) {
  std::vector<std::string> gone;
  for (const auto& [name, value] : table)
    if (class_of(prefix + "." + std::string{name.str()}) != KeyClass::local) gone.emplace_back(name.str());
  for (const std::string& name : gone) table.erase(name);
  for (auto& [name, value] : table_of(json, prefix)) table.insert_or_assign(name.str(), value);
}

toml::table& child(toml::table& file, const std::string& name) {
  if (file[name].as_table() == nullptr) file.insert_or_assign(name, toml::table{});
  return *file[name].as_table();
}

void put(toml::table& file, const Sections& sections, bool transform, bool keep_skew, std::vector<std::string>& notes) {
  Json origin = Json::object();
  if (const auto node = sections.find("node"); node != sections.end()) origin = parsed("node", node->second);
  const toml::table own = file;
  Transform change{own, origin, keep_skew, notes};
  for (const auto& [name, text] : sections) {
    Json json = parsed(name, text);
    require_shared(name, json);
    if (name == "node") continue;
    if (name == "carp" || name == "peer") {
      for (Json& one : json) {
        if (transform && name == "carp") change.carp(one);
        if (transform && name == "peer") change.peer(one);
        if (!transform && name == "carp" && one.contains("interface"))
          one["interface"] = Ports{own}.device(text_at(one, "interface"));
      }
      put_list(file, name, json);
    } else if (name == "sync") {
      put_keys(child(file, "sync"), "sync", json);
    } else {
      toml::table& table = child(file, "table");
      table.insert_or_assign("timeouts", table_of(json, "table.timeouts"));
    }
  }
}

}  // namespace

KeyClass class_of(std::string_view key) {
  const auto found =
      std::find_if(key_table.begin(), key_table.end(), [&](const KeyRow& row) { return row.key == key; });
  if (found != key_table.end()) return found->of;
  const std::size_t dot = key.rfind('.');
  return dot == std::string_view::npos ? KeyClass::local : class_of(key.substr(0, dot));
}

std::vector<std::string> shared_among(const std::vector<std::string>& keys) {
  std::vector<std::string> shared;
  for (const std::string& key : keys) {
    const std::string name = key.substr(0, key.find(' '));  // "peer (between multicast and unicast)"
    const auto is_in = [&](const KeyRow& row) {
      return row.of != KeyClass::local && (row.key == name || row.key.starts_with(name + "."));
    };
    if (std::any_of(key_table.begin(), key_table.end(), is_in)) shared.push_back(key);
  }
  return shared;
}

bool is_decisive(const std::vector<std::string>& keys) {
  constexpr std::array names{"link.", "interface", "config_sync"};
  const auto is_named = [&](const std::string& key) {
    return std::any_of(names.begin(), names.end(), [&](const char* name) { return key.starts_with(name); });
  };
  return std::any_of(keys.begin(), keys.end(), is_named) || !shared_among(keys).empty();
}

std::string sha256_hex(std::string_view bytes) { return http::hex(http::sha256(bytes)); }

std::map<std::string, std::string> digests_of(const Sections& sections) {
  std::map<std::string, std::string> digests;
  for (const auto& [name, text] : sections) digests[name] = sha256_hex(text);
  return digests;
}

std::string digest_of(const Sections& sections) {
  std::string list;
  for (const auto& [name, digest] : digests_of(sections)) list.append(name).append(" ").append(digest).append("\n");
  return sha256_hex(list);
}

std::string file_digest_of(Sections sections) {
  sections.erase("node");
  return digest_of(sections);
}

std::variant<Sections, std::string> extract(std::string_view text, const std::string& file) {
  try {
    const toml::table table = parse_toml(text, file);
    const Ports ports{table};
    Json peers = Json::array();
    if (const auto* list = table["peer"].as_array()) peers = json_of(*list, "peer");
    Json timeouts = Json::object();
    if (const auto* own = table["table"]["timeouts"].as_table()) timeouts = json_of(*own, "table.timeouts");
    return Sections{{"carp", carp_of(table, ports).dump()},
                    {"node", ports.addresses().dump()},
                    {"peer", peers.dump()},
                    {"sync", shared_of(table, "sync").dump()},
                    {"timeouts", timeouts.dump()}};
  } catch (const Problem& problem) {
    return problem.sentence;
  } catch (const Json::exception& error) {
    return std::string{"the file cannot be written as JSON: "} + error.what();
  }
}

std::optional<Problem> check_form(const Sections& sections) {
  try {
    for (const auto& [name, text] : sections) {
      if (std::find(section_names.begin(), section_names.end(), name) == section_names.end())
        refuse_sections(fault::local_section, name + ": is no section that nodes share");
      require_shared(name, parsed(name, text));
    }
    for (const std::string_view name : section_names)
      if (sections.find(name) == sections.end()) invalid(std::string{name} + ": is missing");
    return std::nullopt;
  } catch (const Problem& problem) {
    return problem;
  } catch (const Json::exception&) {
    return Problem{fault::validation_failed, "a section is not what stands in such a section"};
  }
}

std::string shared_text(std::string_view toml) {
  const toml::table file = toml::parse(toml);
  toml::table shared;
  for (const char* list : {"carp", "peer"})
    if (const auto* array = file[list].as_array()) shared.insert_or_assign(list, *array);
  if (const auto* timeouts = file["table"]["timeouts"].as_table())
    shared.insert_or_assign("table", toml::table{{"timeouts", *timeouts}});
  toml::table sync;
  if (const auto* own = file["sync"].as_table())
    for (const auto& [name, value] : *own)
      if (class_of("sync." + std::string{name.str()}) != KeyClass::local) sync.insert_or_assign(name, value);
  if (!sync.empty()) shared.insert_or_assign("sync", std::move(sync));
  std::ostringstream out;
  out << shared << "\n";
  return std::move(out).str();
}

std::variant<Merged, Problem> merge(const MergeRequest& request, const std::string& name) {
  try {
    toml::table file = parse_toml(request.toml, name);
    Merged merged;
    if (request.shared != nullptr) put(file, *request.shared, request.transform, request.keep_skew, merged.notes);
    if (request.compat != nullptr) {
      const Json further = parsed("carp", *request.compat);
      if (!further.empty() && file["carp"].as_array() == nullptr) file.insert_or_assign("carp", toml::array{});
      for (const Json& one : further) file["carp"].as_array()->push_back(table_of(one, "carp"));
    }
    std::ostringstream out;
    out << file;
    merged.toml = std::move(out).str();
    return merged;
  } catch (const Problem& problem) {
    return problem;
  } catch (const Json::exception&) {
    return Problem{fault::validation_failed, "a section is not what stands in such a section"};
  }
}

}  // namespace pfsync::engine::config_sync
