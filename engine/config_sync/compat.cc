#include "engine/config_sync/compat.h"

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>

#include "engine/config_sync/faults.h"
#include "engine/config_sync/sentence.h"
#include "engine/xmlrpc/codec.h"
#include "wire/address.h"

namespace pfsync::engine::config_sync {
namespace {

using Json = nlohmann::json;
using xmlrpc::Fault;
using xmlrpc::Value;

constexpr std::size_t ignored_max = 100;  ///< names told of one call
constexpr std::size_t text_max = 255;     ///< bytes of one field
constexpr int not_privileged = -2;        ///< as pfSense numbers it
constexpr const char* service_name = "pfsyncd";

[[noreturn]] void invalid(std::string sentence) { throw Fault{fault::validation_failed, std::move(sentence)}; }

void note(std::vector<std::string>& ignored, std::string name) {
  if (ignored.size() < ignored_max) ignored.push_back(one_line(std::move(name)));
}

/// One virtual address as the caller describes it.
class Entry {
 public:
  explicit Entry(const Value& value) : value_{value} {}
  /// Empty when it is absent, as these products write it themselves.
  [[nodiscard]] std::string text(const char* name) const {
    const Value* found = value_.find(name);
    const auto text = found == nullptr ? std::optional<std::string>{} : found->as_text();
    if (text && text->size() > text_max)
      invalid(std::string{"virtualip: "} + name + " is longer than any that is meant");
    return text.value_or("");
  }
  [[nodiscard]] int number(const char* name, int low, int high, int absent) const {
    const Value* found = value_.find(name);
    if (found == nullptr || text(name).empty()) return absent;
    const auto number = found->as_integer();
    if (!number || *number < low || *number > high)
      invalid("virtualip: " + what() + ": " + name + " \"" + text(name) + "\" is not a number from " +
              std::to_string(low) + " to " + std::to_string(high));
    return static_cast<int>(*number);
  }
  [[nodiscard]] std::string address() const {
    const auto parsed = wire::parse_address(text("subnet"));
    if (!parsed) invalid("virtualip: " + what() + ": subnet is not an IP address");
    const int bits = number("subnet_bits", 0, parsed->first == wire::Family::inet ? 32 : 128, -1);
    std::string address = wire::to_string(parsed->second, parsed->first);
    if (bits >= 0) address.append("/").append(std::to_string(bits));
    return address;
  }
  [[nodiscard]] std::string what() const { return text("mode") + " " + text("subnet") + " on " + text("interface"); }

 private:
  const Value& value_;
};

class Addresses {
 public:
  explicit Addresses(const Settings& settings) : settings_{settings} {}

  void add_hosts(const std::vector<const Value*>& list) {
    for (const Value* each : list) {
      const Entry entry{*each};
      if (entry.text("mode") != "carp") continue;
      Json host{{"vhid", entry.number("vhid", 1, 255, 0)},
                {"advskew", entry.number("advskew", 0, 254, 0)},
                {"advbase", entry.number("advbase", 1, 254, 1)},
                {"password", entry.text("password")},
                {"password_form", "pfsense"},
                {"addresses", Json::array({entry.address()})},
                {"interface", device(entry.text("interface"))}};
      if (host["vhid"] == 0) invalid("virtualip: " + entry.what() + ": vhid is missing");
      if (settings_.compat && settings_.compat->take_peers)
        for (const auto& [from, to] : {std::pair{"peer", "peer"}, {"peer6", "peer6"}, {"carp_peer", "peer"}})
          if (!entry.text(from).empty()) host[to] = entry.text(from);
      hosts_.push_back({std::move(host), entry.text("interface"), entry.text("uniqid")});
    }
  }

  /// Further addresses of a host: pfSense names it by _vip and its uniqid, OPNsense by interface and vhid.
  void add_aliases(const std::vector<const Value*>& list, std::vector<std::string>& ignored) {
    for (const Value* each : list) {
      const Entry entry{*each};
      const std::string mode = entry.text("mode");
      if (mode == "carp") continue;
      Host* host = mode == "ipalias" ? owner(entry) : nullptr;
      if (host == nullptr)
        note(ignored, "virtualip: " + entry.what());
      else
        host->json["addresses"].push_back(entry.address());
    }
  }

  [[nodiscard]] std::string canonical() const {
    Json all = Json::array();
    for (const Host& host : hosts_) all.push_back(host.json);
    return all.dump(-1, ' ', false, Json::error_handler_t::replace);
  }

 private:
  struct Host {
    Json json;
    std::string interface, uniqid;
  };
  [[nodiscard]] std::string device(const std::string& logical) const {
    const auto found = settings_.interface_map.find(logical);
    if (found == settings_.interface_map.end())
      invalid("interface " + logical + " has no mapping on this node: add it to config_sync.interface_map there");
    return found->second;
  }
  [[nodiscard]] Host* owner(const Entry& entry) {
    const std::string interface = entry.text("interface");
    const int vhid = entry.number("vhid", 1, 255, 0);
    const auto found = std::find_if(hosts_.begin(), hosts_.end(), [&](const Host& host) {
      if (!host.uniqid.empty() && interface == "_vip" + host.uniqid) return true;
      return vhid != 0 && host.interface == interface && host.json["vhid"] == vhid;
    });
    return found == hosts_.end() ? nullptr : &*found;
  }
  const Settings& settings_;
  std::vector<Host> hosts_;
};

/// Names of all sections but virtualip; those of OPNsense's newer parts with both of their words.
void note_sections(const Value::Struct& sections, bool with_addresses, std::vector<std::string>& ignored) {
  for (const auto& [name, value] : sections) {
    if (name == "virtualip" && with_addresses) continue;
    const auto* inner = value.get<Value::Struct>();
    if (name != "OPNsense" || inner == nullptr) {
      note(ignored, name);
      continue;
    }
    for (const auto& [part, ignored_value] : *inner) note(ignored, name + "." + part);
  }
}

const Value::Struct& sections_of(const xmlrpc::Call& call) {
  const Value::Struct* sections = call.params.empty() ? nullptr : call.params.front().as_map();
  if (sections == nullptr)
    throw Fault{xmlrpc::fault_code::invalid_parameters, "server error. invalid method parameters"};
  return *sections;
}

CompatAnswer restore(const xmlrpc::Call& call, const Settings& settings) {
  const Value::Struct& sections = sections_of(call);
  CompatAnswer answer{.response = Value{true}};
  note_sections(sections, true, answer.ignored);
  const Value* section = call.params.front().find("virtualip");
  if (section == nullptr) return answer;
  if (section->as_map() == nullptr) invalid("virtualip is not a section");
  std::vector<const Value*> list;
  if (const Value* vip = section->find("vip")) {
    auto given = vip->as_list();
    if (!given) invalid("virtualip: vip is not a list");
    list = std::move(*given);
  }
  for (const Value* each : list)
    if (each->as_map() == nullptr) invalid("virtualip: an entry is not a virtual address");
  Addresses addresses{settings};
  addresses.add_hosts(list);
  addresses.add_aliases(list, answer.ignored);
  answer.wanted = addresses.canonical();
  return answer;
}

CompatAnswer merge_nothing(const xmlrpc::Call& call) {
  CompatAnswer answer{.response = Value{true}};
  note_sections(sections_of(call), false, answer.ignored);
  return answer;
}

Value versions(const CompatSettings& compat) {
  Value::Struct told;
  for (const char* part : {"firmware", "kernel", "base"})
    told.push_back({part, Value{Value::Struct{{"version", compat.version}}}});
  return Value{std::move(told)};
}

CompatAnswer firmware_of_pfsense(const CompatSettings& compat) {
  Value::Struct told = *versions(compat).as_map();
  told.push_back({"platform", "pfSense"});
  if (!compat.config_version.empty()) told.push_back({"config_version", compat.config_version});
  CompatAnswer answer{.response = Value{std::move(told)}};
  if (compat.config_version.empty())
    answer.alarms.emplace_back(
        "a pfSense asks for the version of this node's configuration and will send nothing: set "
        "config_sync.compat.config_version to the version at the top of its configuration backup");
  return answer;
}

Value service_list() {
  return Value{
      Value::Array{Value{Value::Struct{{"name", service_name}, {"description", "pfsync node"}, {"status", true}}}}};
}

constexpr std::array<std::string_view, 16> methods{"pfsense.host_firmware_version",
                                                   "pfsense.restore_config_section",
                                                   "pfsense.merge_config_section",
                                                   "pfsense.merge_installedpackages_section",
                                                   "pfsense.interfaces_carp_configure",
                                                   "pfsense.backup_config_section",
                                                   "opnsense.firmware_version",
                                                   "opnsense.restore_config_section",
                                                   "opnsense.filter_configure",
                                                   "opnsense.configd_reload_all_templates",
                                                   "opnsense.list_services",
                                                   "opnsense.start_service",
                                                   "opnsense.stop_service",
                                                   "opnsense.restart_service",
                                                   "system.listMethods",
                                                   "system.getCapabilities"};

CompatAnswer about_service(const xmlrpc::Call& call) {
  const Value none;
  const Value& params = call.params.empty() ? none : call.params.front();
  const Value* service = params.find("service");
  const bool ours = service != nullptr && service->as_text() == service_name;
  return {.response = ours ? Value{"ok"} : Value{""}};
}

CompatAnswer about_system(const xmlrpc::Call& call) {
  if (call.method == "system.listMethods") {
    Value::Array names;
    for (const std::string_view name : methods) names.emplace_back(name);
    return {.response = Value{std::move(names)}};
  }
  const Value specification{Value::Struct{{"specUrl", "http://www.xmlrpc.com/spec"}, {"specVersion", 1}}};
  return {.response = Value{Value::Struct{{"xmlrpc", specification}}}};
}

CompatAnswer dispatch(const xmlrpc::Call& call, const Settings& settings, const CompatSettings& compat) {
  const std::string& method = call.method;
  if (method == "pfsense.host_firmware_version") return firmware_of_pfsense(compat);
  if (method == "opnsense.firmware_version") return {.response = versions(compat)};
  if (method == "pfsense.restore_config_section" || method == "opnsense.restore_config_section")
    return restore(call, settings);
  if (method == "pfsense.merge_config_section" || method == "pfsense.merge_installedpackages_section")
    return merge_nothing(call);
  if (method == "pfsense.interfaces_carp_configure" || method == "opnsense.filter_configure")
    return {.response = Value{true}};
  if (method == "pfsense.backup_config_section")
    return {.response =
                Fault{not_privileged,
                      "Authentication failed: not enough privileges: this node gives its configuration to nobody"}};
  if (method == "opnsense.configd_reload_all_templates") return {.response = Value{Value::Struct{{"status", "done"}}}};
  if (method == "opnsense.list_services") return {.response = service_list()};
  if (method.starts_with("opnsense.") && method.ends_with("_service")) return about_service(call);
  if (method == "system.listMethods" || method == "system.getCapabilities") return about_system(call);
  CompatAnswer answer{.response =
                          Fault{xmlrpc::fault_code::method_not_found, "server error. requested method not found"}};
  if (method == "pfsense.exec_php" || method == "pfsense.exec_shell")
    answer.alarms.push_back(
        "a caller with the right password asked to run a command (" + method +
        "), which no firewall does when it synchronizes: change the password, and look at who has it");
  return answer;
}

}  // namespace

void CallAlarms::add(std::string sentence, statetable::Instant now) {
  std::erase_if(alarms_, [&](const Alarm& alarm) { return alarm.sentence == sentence; });
  if (alarms_.size() >= kept) alarms_.erase(alarms_.begin());
  alarms_.push_back({std::move(sentence), now});
}

std::vector<std::string> CallAlarms::standing(statetable::Instant now) const {
  std::vector<std::string> sentences;
  for (const Alarm& alarm : alarms_)
    if (now - alarm.last < stand_for) sentences.push_back(alarm.sentence);
  return sentences;
}

CompatAnswer answer_compat(const xmlrpc::Call& call, const Settings& settings) {
  if (!settings.compat)
    return {.response = Fault{xmlrpc::fault_code::method_not_found, "server error. requested method not found"}};
  try {
    return dispatch(call, settings, *settings.compat);
  } catch (const Fault& why) {
    return {.response = why};
  }
}

std::string compat_refusal(const std::string& sentence) {
  return xmlrpc::encode_fault({-1, "Authentication failed: " + sentence});
}

}  // namespace pfsync::engine::config_sync
