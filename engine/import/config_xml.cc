#include "engine/import/config_xml.h"

#include <algorithm>
#include <pugixml.hpp>

#include "engine/xmlrpc/text.h"

namespace pfsync::engine::imports {
namespace {

constexpr std::size_t elements_max = 4'000'000;

std::string text_of(const pugi::xml_node& parent, const char* name) { return parent.child(name).text().get(); }

bool is_set(const std::string& value) { return !value.empty() && value != "0" && value != "no" && value != "off"; }

/// The devices of "wan", "opt1".
using Devices = std::map<std::string, std::string, std::less<>>;

/// Empty: there is none of that name.
std::string device_of(const Devices& devices, std::string_view logical) {
  const auto found = devices.find(logical);
  return found == devices.end() ? "" : found->second;
}

Devices read_interfaces(Site& site, const pugi::xml_node& interfaces) {
  Devices devices;
  for (const pugi::xml_node& each : interfaces.children()) {
    const std::string device = text_of(each, "if");
    if (device.empty()) continue;
    devices.emplace(each.name(), device);
    Interface& here = site.interfaces[device];
    // Words as "dhcp" stand there too.
    for (const auto& [address, bits] : {std::pair{"ipaddr", "subnet"}, {"ipaddrv6", "subnetv6"}})
      if (const auto own = parse_host_address(text_of(each, address) + "/" + text_of(each, bits)))
        here.addresses.push_back(*own);
    here.mtu = text_of(each, "mtu");
  }
  return devices;
}

/// Both systems name a VLAN's device as they like (igb0.240, vlan0.240): only <vlans> tells what it is.
void read_vlans(Site& site, const pugi::xml_node& vlans) {
  for (const pugi::xml_node& each : vlans.children("vlan")) {
    const auto found = site.interfaces.find(text_of(each, "vlanif"));
    if (found == site.interfaces.end()) continue;
    found->second.vlan = text_of(each, "tag");
    found->second.parent = text_of(each, "if");
  }
}

void read_hasync(Site& site, const std::string& where, const pugi::xml_node& hasync, const Devices& devices) {
  const std::string logical = text_of(hasync, "pfsyncinterface");
  if (logical.empty()) return;
  if (const pugi::xml_node enabled = hasync.child("pfsyncenabled"); enabled && !is_set(enabled.text().get()))
    site.notes.add(where + ": hasync: pfsync is off there; taken all the same");
  site.syncdev = device_of(devices, logical);
  if (site.syncdev.empty())
    throw Unreadable{where + ": hasync: pfsyncinterface is \"" + shown(logical) +
                     "\", and no interface of that name stands in <interfaces>: give the whole config.xml"};
  site.syncpeer = text_of(hasync, "pfsyncpeerip");
  site.version = text_of(hasync, "pfsyncversion");
  site.creatorid = text_of(hasync, "pfhostid");
  site.preempt = !is_set(text_of(hasync, "disablepreempt"));
  if (is_set(text_of(hasync, "pfsyncdefer")))
    site.notes.add(where + ": hasync: pfsyncdefer: pfsyncd forwards no packets that could wait: left out");
  if (const std::string to = text_of(hasync, "synchronizetoip"); !to.empty())
    site.notes.add(where + ": hasync: synchronizetoip " + shown(to) +
                   ": this firewall pushes its configuration there; for pfsyncd to take its virtual addresses see "
                   "[config_sync.compat] in pfsyncd.toml(5)");
}

std::string address_text(const pugi::xml_node& vip) {
  return text_of(vip, "subnet") + "/" + text_of(vip, "subnet_bits");
}

std::string what(const pugi::xml_node& vip) {
  return shown(text_of(vip, "mode")) + " " + shown(text_of(vip, "subnet")) + " on " + shown(text_of(vip, "interface"));
}

/// Of an alias: pfSense names its host by _vip and its uniqid, older ones by wan_vip7, OPNsense by interface and vhid.
VirtualHost* owner_of(Site& site, const pugi::xml_node& vip, const Devices& devices) {
  const std::string interface = text_of(vip, "interface"), vhid = text_of(vip, "vhid");
  const std::size_t old = interface.rfind("_vip");
  const std::string device =
      device_of(devices, old == std::string::npos || old == 0 ? interface : interface.substr(0, old));
  const auto found = std::find_if(site.hosts.begin(), site.hosts.end(), [&](const VirtualHost& host) {
    if (!host.uniqid.empty() && interface == "_vip" + host.uniqid) return true;
    const std::string number = old == std::string::npos ? vhid : interface.substr(old + 4);
    return !number.empty() && !device.empty() && host.interface == device && host.vhid == number;
  });
  return found == site.hosts.end() ? nullptr : &*found;
}

void read_virtual(Site& site, const std::string& where, const pugi::xml_node& virtualip, const Devices& devices) {
  for (const pugi::xml_node& vip : virtualip.children("vip")) {
    if (text_of(vip, "mode") != "carp") continue;
    const auto address = parse_host_address(address_text(vip));
    const std::string device = device_of(devices, text_of(vip, "interface"));
    if (!address || device.empty()) {
      site.notes.add(where + ": " + what(vip) + ": " + (address ? "no such interface" : "no address") + ": left out");
      continue;
    }
    VirtualHost* host = site.add_host({.interface = device,
                                       .vhid = text_of(vip, "vhid"),
                                       .advbase = text_of(vip, "advbase"),
                                       .advskew = text_of(vip, "advskew"),
                                       .password = text_of(vip, "password"),
                                       .peer = text_of(vip, "peer"),
                                       .peer6 = text_of(vip, "peer6"),
                                       .uniqid = text_of(vip, "uniqid")},
                                      where);
    if (host != nullptr) site.add_address(*host, *address, where);
  }
  for (const pugi::xml_node& vip : virtualip.children("vip")) {
    const std::string mode = text_of(vip, "mode");
    if (mode == "carp") continue;
    VirtualHost* owner = mode == "ipalias" ? owner_of(site, vip, devices) : nullptr;
    const auto address = parse_host_address(address_text(vip));
    if (owner != nullptr && address)
      site.add_address(*owner, *address, where);
    else
      site.notes.add(where + ": " + what(vip) + ": not an address of a CARP host: left out");
  }
}

}  // namespace

bool looks_like_xml(std::string_view text) {
  if (text.starts_with("\xef\xbb\xbf")) text.remove_prefix(3);
  const std::size_t begin = text.find_first_not_of(" \t\r\n");
  return begin != std::string_view::npos && text[begin] == '<';
}

void read_config_xml(Site& site, const std::string& where, std::string_view text) {
  const xmlrpc::Text checked = xmlrpc::checked_text(text, elements_max);
  if (!checked.why.empty())
    throw Unreadable{where + ": " + checked.why + ": give a config.xml as the firewall saved it"};
  pugi::xml_document document;
  const auto parsed =
      document.load_buffer(checked.utf8.data(), checked.utf8.size(), pugi::parse_default, pugi::encoding_utf8);
  if (!parsed)
    throw Unreadable{where + ": not sound XML (" + parsed.description() + ", byte " + std::to_string(parsed.offset) +
                     "): give a config.xml as the firewall saved it"};
  pugi::xml_node root = document.child("pfsense");
  if (!root) root = document.child("opnsense");
  if (!root) throw Unreadable{where + ": neither <pfsense> nor <opnsense> is at its top: give a config.xml of theirs"};
  site.is_pfsense = true;
  const Devices devices = read_interfaces(site, root.child("interfaces"));
  read_vlans(site, root.child("vlans"));
  read_hasync(site, where, root.child("hasync"), devices);
  read_virtual(site, where, root.child("virtualip"), devices);
}

}  // namespace pfsync::engine::imports
