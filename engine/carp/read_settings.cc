#include "engine/carp/read_settings.h"

#include <algorithm>
#include <charconv>
#include <fstream>
#include <iterator>

#include "wire/address.h"
#include "wire/carp_digest.h"

namespace pfsync::engine::carp {
namespace {

constexpr std::size_t password_file_max = 4096;

/// The first line of a file that only its owner should read.
std::string read_password_file(const ConfigSection& section, const std::string& path) {
  std::ifstream in{path, std::ios::binary};
  std::string line;
  if (!in || !std::getline(in, line) || line.size() > password_file_max)
    section.fail("password_file",
                 "\"" + path + "\" cannot be read, or holds no password: its first line is the password");
  if (line.ends_with('\r')) line.pop_back();
  return line;
}

void read_password(ConfigSection& section, Settings& settings) {
  const auto typed = section.text("password");
  const auto file = section.text("password_file");
  if (typed.has_value() == file.has_value())
    section.fail(typed ? "password_file" : "password",
                 "give either password or password_file: what all nodes of the VHID share (password = \"\" for none)");
  settings.typed_password = typed ? *typed : read_password_file(section, *file);
  settings.host.password = settings.typed_password;
  if (const auto form = section.text("password_form")) {
    if (*form != "raw" && *form != "pfsense")
      section.fail("password_form",
                   "\"" + *form + "\" is unknown: give \"raw\", or \"pfsense\" for a password as it is typed there");
    if (*form == "pfsense") settings.host.password = wire::as_pfsense_hands_over(settings.typed_password);
  }
}

void read_address(const ConfigSection& section, const std::string& text, Settings& settings) {
  const std::size_t slash = text.find('/');
  const auto parsed = wire::parse_address(std::string_view{text}.substr(0, slash));
  if (!parsed || wire::is_multicast(parsed->first, parsed->second) || parsed->second == wire::Address{} ||
      parsed->second == wire::ipv4_address(255, 255, 255, 255))
    section.fail("addresses",
                 "\"" + text + "\" is not the address of one host: write it as 10.0.0.254/24 or 2001:db8::1/64");
  if (slash != std::string::npos) {
    const unsigned bits_max = parsed->first == wire::Family::inet ? 32 : 128;
    unsigned bits = 0;
    const char* end = text.data() + text.size();
    const auto [stop, error] = std::from_chars(text.data() + slash + 1, end, bits);
    if (error != std::errc{} || stop != end || bits > bits_max)
      section.fail("addresses",
                   "\"" + text.substr(slash) + "\" is not a prefix length: give /0 to /" + std::to_string(bits_max));
  }
  const wire::CarpAddress address{parsed->first, parsed->second};
  if (std::find(settings.host.addresses.begin(), settings.host.addresses.end(), address) !=
      settings.host.addresses.end())
    section.fail("addresses", "\"" + text + "\" is given twice: remove one");
  settings.host.addresses.push_back(address);
  settings.address_texts.push_back(text);
}

void read_peer(ConfigSection& section, std::string_view key, wire::Family family,
               const std::vector<wire::CarpAddress>& addresses, wire::Address& peer) {
  const auto text = section.text(key);
  if (!text) return;
  const auto parsed = wire::parse_address(*text);
  if (!parsed || parsed->first != family || wire::is_multicast(family, parsed->second) ||
      parsed->second == wire::Address{})
    section.fail(key, "\"" + *text + "\" is not the " + (family == wire::Family::inet ? "IPv4" : "IPv6") +
                          " address of one host: leave it out for the usual group (224.0.0.18, ff02::12)");
  if (std::find(addresses.begin(), addresses.end(), wire::CarpAddress{family, parsed->second}) != addresses.end())
    section.fail(key, "is among the addresses that the nodes share: give the other node's own");
  peer = parsed->second;
}

Settings read_one(ConfigSection& section) {
  Settings settings;
  HostConfig& host = settings.host;
  const auto vhid = section.number("vhid", 1, 255);
  if (!vhid) section.fail("vhid", "is missing: give the virtual host's id, 1 to 255, the same on all its nodes");
  host.vhid = static_cast<std::uint8_t>(*vhid);
  section.number_into(host.advbase, "advbase", 1, 255);
  section.number_into(host.advskew, "advskew", 0, 254);
  read_password(section, settings);
  for (const std::string& text : section.texts("addresses")) read_address(section, text, settings);
  if (host.addresses.empty())
    section.fail("addresses",
                 "is missing: give every address of this VHID, as on its other nodes: [\"10.0.0.254/24\"]");
  read_peer(section, "peer", wire::Family::inet, host.addresses, host.peer_inet);
  read_peer(section, "peer6", wire::Family::inet6, host.addresses, host.peer_inet6);
  host.preempt = section.flag("preempt").value_or(host.preempt);
  host.openbsd = section.flag("openbsd").value_or(host.openbsd);
  host.both_families = section.flag("both_families").value_or(host.both_families);
  return settings;
}

/// The key that gives a port its address.
std::string owner_of(const PortSettings& port, const std::vector<PortSettings>& ports) {
  return &port == ports.data() ? "link.address" : "interface.address";
}

void read_port(ConfigSection& section, Settings& settings, const std::vector<PortSettings>& ports) {
  const auto interface = section.text("interface");
  settings.interface = ports.front().name;
  if (!interface) return;
  const auto port = std::find_if(ports.begin(), ports.end(), [&](const PortSettings& candidate) {
    return candidate.device == *interface || candidate.name == *interface;
  });
  if (port == ports.end())
    section.fail("interface", "\"" + *interface +
                                  "\" is neither the port of [link] nor of an [[interface]]: give it one " +
                                  "with device and address, or leave interface out for the port of [link]");
  settings.port = static_cast<std::size_t>(port - ports.begin());
  settings.interface = port->name;
}

}  // namespace

std::string conflict(const std::vector<Settings>& settings) {
  for (std::size_t i = 0; i < settings.size(); ++i)
    for (std::size_t j = 0; j < i; ++j) {
      if (settings[i].host.vhid == settings[j].host.vhid && settings[i].port == settings[j].port)
        return "is taken by an earlier [[carp]] on this port: give each virtual host an id of its own";
      for (const wire::CarpAddress& address : settings[i].host.addresses)
        if ((settings[i].port == settings[j].port || !is_link_local(address)) &&
            std::find(settings[j].host.addresses.begin(), settings[j].host.addresses.end(), address) !=
                settings[j].host.addresses.end())
          return "shares an address with an earlier [[carp]]: an address belongs to one virtual host";
    }
  return "";
}

std::vector<Settings> read_settings(ConfigSection& file, const std::vector<PortSettings>& ports,
                                    std::vector<std::string>& warnings) {
  std::vector<Settings> all;
  for (ConfigSection& section : file.sections("carp")) {
    all.push_back(read_one(section));
    read_port(section, all.back(), ports);
    if (const std::string why = conflict(all); !why.empty()) section.fail("vhid", why);
    const auto& addresses = all.back().host.addresses;
    for (const PortSettings& port : ports)
      if ((&port == &ports[all.back().port] || !is_link_local(port.own)) &&
          std::find(addresses.begin(), addresses.end(), port.own) != addresses.end())
        section.fail("addresses", "holds " + owner_of(port, ports) +
                                      ", which is this node's alone: a virtual address is a further one");
    const wire::CarpAddress& own = ports[all.back().port].own;
    if (own.address == (own.family == wire::Family::inet ? all.back().host.peer_inet : all.back().host.peer_inet6))
      section.fail(own.family == wire::Family::inet ? "peer" : "peer6",
                   "is " + owner_of(ports[all.back().port], ports) + ": give the other node's address");
    section.finish();
    if (all.back().host.password.size() > wire::carp_password_max)
      warnings.push_back("carp vhid " + std::to_string(all.back().host.vhid) + ": only the first " +
                         std::to_string(wire::carp_password_max) +
                         " bytes of the password count, as on the firewalls (ucarp refuses longer ones)");
  }
  return all;
}

}  // namespace pfsync::engine::carp
