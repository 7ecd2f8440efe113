#include "engine/config_sync/read_settings.h"

#include <algorithm>
#include <charconv>

#include "wire/address.h"

namespace pfsync::engine::config_sync {
namespace {

std::optional<Endpoint> read_endpoint(ConfigSection& section, std::string_view key) {
  const auto text = section.text(key);
  if (!text) return std::nullopt;
  const std::size_t colon = text->rfind(':');
  std::string host = text->substr(0, colon);
  if (host.size() > 2 && host.front() == '[' && host.back() == ']') host = host.substr(1, host.size() - 2);
  Endpoint endpoint{.address = host, .port = 0};
  const auto parsed = wire::parse_address(host);
  const char* end = text->data() + text->size();
  const char* digits = colon == std::string::npos ? end : text->data() + colon + 1;
  const auto [stop, error] = std::from_chars(digits, end, endpoint.port);
  if (!parsed || wire::is_multicast(parsed->first, parsed->second) || error != std::errc{} || stop != end ||
      endpoint.port == 0)
    section.fail(key, "\"" + *text + "\" is not ADDRESS:PORT: write it as 10.0.0.3:8444 or [fd00::3]:8444");
  return endpoint;
}

void read_pair(ConfigSection& section, std::string& certificate, std::string& key) {
  section.file_into(certificate, "certificate");
  section.file_into(key, "key");
  if (certificate.empty() != key.empty())
    section.fail(key.empty() ? "certificate" : "key",
                 "needs its other half: give certificate and key, or neither for one that pfsyncd makes");
}

void read_maps(ConfigSection& section, Settings& settings) {
  if (auto map = section.section("interface_map"))
    for (const std::string& logical : map->keys()) {
      const std::string device = map->text(logical).value_or("");
      for (const auto& [other, taken] : settings.interface_map)
        if (taken == device)
          map->fail(logical, "\"" + device + "\" is \"" + other + "\" already: each port has one logical name");
      if (device.empty()) map->fail(logical, "is empty: give the device of an [[interface]]");
      settings.interface_map.emplace(logical, device);
    }
  if (auto map = section.section("advskew"))
    for (const std::string& host : map->keys()) {
      unsigned vhid = 0;
      const std::string digits = host.substr(0, host.find('@'));
      const auto [stop, error] = std::from_chars(digits.data(), digits.data() + digits.size(), vhid);
      if (error != std::errc{} || stop != digits.data() + digits.size() || vhid < 1 || vhid > 255)
        map->fail(host, "is no virtual host: give \"42\", or \"42@wan\" with the logical name of its interface");
      settings.advskew.emplace(host, static_cast<int>(*map->number(host, 0, 254)));
    }
}

std::optional<CompatSettings> read_compat(ConfigSection& owner) {
  auto section = owner.section("compat");
  if (!section) return std::nullopt;
  CompatSettings compat;
  const auto listen = read_endpoint(*section, "listen");
  if (!listen)
    section->fail("listen", "is missing: give this node's address, and the port of the firewall's own web page");
  compat.listen = *listen;
  compat.user = section->text("user").value_or("");
  if (compat.user.empty())
    section->fail("user", "is missing: give the name that the firewall logs in with, and add it by pfsyncctl user add");
  for (const std::string& source : section->texts("sources")) {
    const auto parsed = wire::parse_address(source);
    if (!parsed) section->fail("sources", "\"" + source + "\" is not an IP address");
    compat.sources.push_back(wire::to_string(parsed->second, parsed->first));
  }
  compat.config_version = section->text("config_version").value_or(compat.config_version);
  compat.version = section->text("version").value_or(compat.version);
  section->number_into(compat.body_mib, "body_mib", 1, 64);
  compat.take_peers = section->flag("take_peers").value_or(compat.take_peers);
  read_pair(*section, compat.certificate, compat.key);
  section->finish();
  return compat;
}

}  // namespace

std::optional<Settings> read_settings(ConfigSection& file) {
  auto section = file.section("config_sync");
  if (!section) return std::nullopt;
  Settings settings;
  if (const auto role = section->text("role")) {
    if (*role != "primary" && *role != "secondary" && *role != "off")
      section->fail("role", "\"" + *role + "\" is unknown: give \"primary\", \"secondary\" or \"off\"");
    settings.role = *role == "primary" ? Role::primary : *role == "secondary" ? Role::secondary : Role::off;
  }
  settings.listen = read_endpoint(*section, "listen");
  settings.peer = read_endpoint(*section, "peer");
  settings.cluster = section->text("cluster").value_or(settings.cluster);
  read_pair(*section, settings.certificate, settings.key);
  section->file_into(settings.ca, "ca");
  if (!settings.ca.empty() && settings.key.empty())
    section->fail("ca", "needs a certificate from that authority: give certificate and key");
  settings.strict = section->flag("strict").value_or(settings.strict);
  section->number_into(settings.confirm_s, "confirm_s", 0, 600);
  read_maps(*section, settings);
  settings.compat = read_compat(*section);
  if (settings.role == Role::primary && !settings.peer)
    section->fail("peer", "is missing: a primary pushes to it; give the secondary's address and port");
  if (settings.role == Role::secondary && !settings.listen)
    section->fail("listen", "is missing: the primary pushes to it; give this node's address and port");
  if (settings.compat && settings.compat->listen == settings.listen)
    section->section("compat")->fail("listen", "is config_sync.listen: give another port, each has its own callers");
  section->finish();
  return settings;
}

}  // namespace pfsync::engine::config_sync
