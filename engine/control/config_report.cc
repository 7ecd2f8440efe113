#include "engine/control/config_report.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "engine/control/state_id.h"
#include "wire/text.h"

namespace pfsync::engine {
namespace {

using Json = nlohmann::ordered_json;

constexpr std::string_view secret = "(not shown)";

std::string dialect_word(const std::optional<wire::Dialect>& dialect) {
  return dialect ? std::string{wire::word(*dialect)} : "auto";
}

std::string own_address_text(const Config::Link& link) {
  const std::string address = wire::to_string(link.address, link.family);
  return link.prefix ? fmt::format("{}/{}", address, *link.prefix) : address;
}

void add_map(Json& section, const InterfaceMap& map) {
  for (const InterfaceMap::Row& row : map.rows())
    section["interface_map"][wire::printable(row.ours.view())] = wire::printable(row.theirs.view());
}

Json source_json(const LinkSource& source, wire::Family family) {
  const std::string address = wire::to_string(source.address, family);
  if (!source.mac) return address;
  return {{"address", address}, {"mac", wire::to_string(*source.mac)}};
}

Json link_json(const Config& config) {
  const Config::Link& link = config.link;
  Json json{{"device", wire::printable(link.device)}, {"address", own_address_text(link)}, {"mtu", link.mtu}};
  if (link.vlan) json["vlan"] = *link.vlan;
  for (const LinkSource& source : link.sources) json["sources"].push_back(source_json(source, link.family));
  if (!config.peers.empty()) return json;
  json["multicast"] = wire::to_string(link.destination, link.family);
  json["dialect"] = dialect_word(link.dialect);
  add_map(json, link.interfaces);
  return json;
}

Json peer_json(const Config::Peer& peer, const Config& config) {
  Json json{{"address", wire::to_string(peer.address, config.link.family)}, {"dialect", dialect_word(peer.dialect)}};
  if (peer.mac) json["mac"] = wire::to_string(*peer.mac);
  if (peer.source) json["source"] = wire::to_string(*peer.source, config.link.family);
  json["bulk_states_per_s"] = peer.bulk_states_per_s.value_or(config.sync.bulk_states_per_s);
  add_map(json, peer.interfaces);
  return json;
}

Json table_json(const Config::Table& table) {
  Json timeouts = Json::object();
  for (const TimeoutName& name : timeout_names) timeouts[std::string{name.name}] = table.timeouts.value[name.index];
  return {{"states_max", table.states_max},
          {"memory", table.reserve ? "reserve" : "grow"},
          {"shards", 1u << table.shard_bits},
          {"collisions", table.refuse_collisions ? "refuse" : "keep"},
          {"timeouts", std::move(timeouts)}};
}

Json rule_json(const SyncRule& rule) {
  constexpr std::array<const char*, 3> actions{"skip", "delay", "sync"};
  Json json{{"action", actions[static_cast<std::size_t>(rule.action)]}};
  if (rule.proto) json["proto"] = *rule.proto;
  if (rule.port) {
    const auto [low, high] = *rule.port;
    json["port"] = low == high ? Json(low) : Json(fmt::format("{}-{}", low, high));
  }
  if (rule.direction) json["direction"] = *rule.direction == wire::Direction::in ? "in" : "out";
  if (!rule.interface.empty()) json["interface"] = wire::printable(rule.interface.view());
  if (rule.action == SyncRule::Action::delay) json["age_s"] = rule.age_s;
  return json;
}

Json sync_json(const Config::Sync& sync) {
  Json json{{"creatorid", creatorid_text(sync.creatorid)},
            {"dialect", wire::word(sync.dialect)},
            {"maxupd", sync.maxupd},
            {"delay_ms", sync.delay_ms},
            {"bulk_states_per_s", sync.bulk_states_per_s},
            {"requests_per_s", sync.requests_per_s},
            {"probe_every_s", sync.probe_every_s},
            {"sample_per_s", sync.sample_per_s},
            {"compare_every_s", sync.compare_every_s},
            {"request_bulk", sync.request_bulk},
            {"defer", sync.defer}};
  for (const SyncRule& rule : sync.rules) json["rule"].push_back(rule_json(rule));
  return json;
}

Json carp_json(const carp::Settings& settings) {
  const carp::HostConfig& host = settings.host;
  Json json{{"vhid", host.vhid},  {"advbase", host.advbase}, {"advskew", host.advskew},
            {"password", secret}, {"preempt", host.preempt}, {"addresses", settings.address_texts}};
  if (host.peer_inet != wire::carp_group_inet) json["peer"] = wire::to_string(host.peer_inet, wire::Family::inet);
  if (host.peer_inet6 != wire::carp_group_inet6) json["peer6"] = wire::to_string(host.peer_inet6, wire::Family::inet6);
  json["openbsd"] = host.openbsd;
  json["both_families"] = host.both_families;
  if (settings.port != 0) json["interface"] = wire::printable(settings.interface);
  return json;
}

Json interface_json(const Config::Interface& interface) {
  Json json{{"device", wire::printable(interface.device)},
            {"address", wire::to_string(interface.address, interface.family)}};
  if (interface.vlan) json["vlan"] = *interface.vlan;
  return json;
}

Json cores_json(const Config::Cores& cores) {
  Json json{{"poll", cores.poll == Config::Poll::busy ? "busy" : "adaptive"}};
  if (cores.data.size() == 1) json["data"] = cores.data.front();
  if (cores.data.size() > 1) json["data"] = cores.data;
  json["data_cores"] = cores.data_cores;
  if (cores.control) json["control"] = *cores.control;
  return json;
}

Json synthetic_json(const SyntheticConfig& synthetic) {
  return {{"states", synthetic.states},
          {"fill_per_s", synthetic.fill_per_s},
          {"new_per_s", synthetic.new_per_s},
          {"updates_per_s", synthetic.updates_per_s},
          {"tcp_percent", synthetic.tcp_percent},
          {"udp_percent", synthetic.udp_percent},
          {"ipv6_percent", synthetic.ipv6_percent},
          {"nat_percent", synthetic.nat_percent},
          {"seed", synthetic.seed}};
}

std::string endpoint_text(const std::string& address, std::uint16_t port) {
  const bool six = address.find(':') != std::string::npos;
  return fmt::format(fmt::runtime(six ? "[{}]:{}" : "{}:{}"), address, port);
}

void add_path(Json& section, const char* key, const std::string& path) {
  if (!path.empty()) section[key] = wire::printable(path);
}

Json http_json(const http::Settings& settings) {
  Json json{{"listen", endpoint_text(settings.address, settings.port)}};
  add_path(json, "certificate", settings.certificate);
  add_path(json, "key", settings.key);  // of the file
  add_path(json, "users_file", settings.users_file);
  add_path(json, "client_ca", settings.client_ca);
  json["read"] = settings.anyone_reads ? "anyone" : "users";
  json["session_minutes"] = settings.session_minutes;
  return json;
}

Json compat_json(const config_sync::CompatSettings& compat) {
  Json json{{"listen", endpoint_text(compat.listen.address, compat.listen.port)},
            {"user", wire::printable(compat.user)}};
  if (!compat.sources.empty()) json["sources"] = compat.sources;
  if (!compat.config_version.empty()) json["config_version"] = wire::printable(compat.config_version);
  json["version"] = wire::printable(compat.version);
  json["body_mib"] = compat.body_mib;
  json["take_peers"] = compat.take_peers;
  add_path(json, "certificate", compat.certificate);
  add_path(json, "key", compat.key);  // of the file
  return json;
}

Json snapshot_json(const snapshot::Settings& settings) {
  return {{"path", wire::printable(settings.path)},
          {"interval_s", settings.interval_s},
          {"at_exit", settings.at_exit},
          {"states_per_s", settings.states_per_s}};
}

Json config_sync_json(const config_sync::Settings& settings) {
  constexpr std::array<const char*, 3> roles{"off", "primary", "secondary"};
  Json json{{"role", roles[static_cast<std::size_t>(settings.role)]}};
  if (settings.listen) json["listen"] = endpoint_text(settings.listen->address, settings.listen->port);
  if (settings.peer) json["peer"] = endpoint_text(settings.peer->address, settings.peer->port);
  json["cluster"] = wire::printable(settings.cluster);
  add_path(json, "certificate", settings.certificate);
  add_path(json, "key", settings.key);  // of the file
  add_path(json, "ca", settings.ca);
  json["strict"] = settings.strict;
  json["confirm_s"] = settings.confirm_s;
  for (const auto& [logical, device] : settings.interface_map)
    json["interface_map"][wire::printable(logical)] = wire::printable(device);
  for (const auto& [host, advskew] : settings.advskew) json["advskew"][wire::printable(host)] = advskew;
  if (settings.compat) json["compat"] = compat_json(*settings.compat);
  return json;
}

}  // namespace

Json config_json(const Config& config) {
  Json json{{"link", link_json(config)}};
  for (const Config::Peer& peer : config.peers) json["peer"].push_back(peer_json(peer, config));
  json["table"] = table_json(config.table);
  json["sync"] = sync_json(config.sync);
  json["control"] = {{"socket", wire::printable(config.control.socket)},
                     {"state_dir", wire::printable(config.control.state_dir)},
                     {"telemetry", config.control.telemetry}};
  for (const carp::Settings& settings : config.carp) json["carp"].push_back(carp_json(settings));
  for (const Config::Interface& interface : config.interfaces) json["interface"].push_back(interface_json(interface));
  json["cores"] = cores_json(config.cores);
  json["log"] = {{"level", Config::log_level_words[static_cast<std::size_t>(config.log.level)]}};
  if (config.snapshot) json["snapshot"] = snapshot_json(*config.snapshot);
  if (config.http) json["http"] = http_json(*config.http);
  if (config.config_sync) json["config_sync"] = config_sync_json(*config.config_sync);
  if (config.synthetic) json["synthetic"] = synthetic_json(*config.synthetic);
  return json;
}

}  // namespace pfsync::engine
