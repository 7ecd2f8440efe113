#include "engine/config/config.h"
#include "engine/session/partitioned_session.h"

#include <algorithm>
#include <bit>
#include <charconv>
#include <fstream>
#include <iterator>
#include <random>
#include <sstream>
#include <system_error>

#include <fmt/format.h>

#include "engine/carp/read_settings.h"
#include "engine/config/rules.h"
#include "engine/config/section.h"
#include "engine/config/warnings.h"
#include "engine/config_sync/read_settings.h"
#include "engine/http/read_settings.h"
#include "engine/session/session.h"
#include "engine/snapshot/read_settings.h"

namespace pfsync::engine {
namespace {

constexpr std::int64_t rate_max = 1'000'000'000;
constexpr std::int64_t number_max = std::numeric_limits<std::int64_t>::max();
constexpr std::uintmax_t file_bytes_max = 1u << 20u;

struct Parsed {
  wire::Family family;
  wire::Address address;
};

Parsed address_of(const ConfigSection& section, std::string_view key, const std::string& text) {
  const auto parsed = wire::parse_address(text);
  if (!parsed) section.fail(key, "\"" + text + "\" is not an IP address: write it as 10.0.0.1 or fe80::1");
  return {parsed->first, parsed->second};
}

std::string word(wire::Family family) { return family == wire::Family::inet ? "IPv4" : "IPv6"; }

bool is_loopback(const Parsed& parsed) {
  wire::Address one{};
  one.bytes[15] = 1;
  return parsed.family == wire::Family::inet ? parsed.address.bytes[0] == 127 : parsed.address == one;
}

/// The first and the last address of an IPv4 network are no host's.
bool is_network_or_broadcast(const Parsed& parsed, unsigned prefix) {
  if (parsed.family != wire::Family::inet || prefix > 30) return false;
  std::uint32_t value = 0;
  for (std::size_t i = 0; i < 4; ++i) value = value << 8u | parsed.address.bytes[i];
  const std::uint32_t hosts = 0xffff'ffffu >> prefix;
  return (value & hosts) == 0 || (value & hosts) == hosts;
}

Parsed host_of(const ConfigSection& section, std::string_view key, const std::string& text) {
  const Parsed parsed = address_of(section, key, text);
  if (wire::is_multicast(parsed.family, parsed.address) || parsed.address == wire::Address{} ||
      parsed.address == wire::ipv4_address(255, 255, 255, 255) || is_loopback(parsed))
    section.fail(key, "\"" + text + "\" is not the address of one host: give a unicast address");
  return parsed;
}

Parsed host_of(const ConfigSection& section, std::string_view key, const std::string& text, wire::Family family) {
  const Parsed parsed = host_of(section, key, text);
  if (parsed.family != family)
    section.fail(key, "\"" + text + "\" is not " + word(family) + " as link.address is: use one family on the link");
  return parsed;
}

struct OwnAddress {
  wire::Family family;
  wire::Address address;
  std::optional<unsigned> prefix{};
};

/// "10.0.0.1/24", "10.0.0.1".
OwnAddress read_own_address(ConfigSection& section) {
  const auto text = section.text("address");
  if (!text) section.fail("address", "is missing: give this node's address on that network, as \"10.0.0.1/24\"");
  const std::size_t slash = text->find('/');
  const Parsed own = host_of(section, "address", text->substr(0, slash));
  if (slash == std::string::npos) return {own.family, own.address};
  const unsigned bits_max = own.family == wire::Family::inet ? 32 : 128;
  unsigned bits = 0;
  const char* end = text->data() + text->size();
  const auto [stop, error] = std::from_chars(text->data() + slash + 1, end, bits);
  if (error != std::errc{} || stop != end || bits > bits_max)
    section.fail("address",
                 "\"" + text->substr(slash) + "\" is not a prefix length: give /0 to /" + std::to_string(bits_max));
  if (is_network_or_broadcast(own, bits))
    section.fail("address",
                 "\"" + *text + "\" names the network, or all of its hosts: give one host's, as 10.0.0.1/24");
  return {own.family, own.address, bits};
}

/// None: "auto", or not given.
std::optional<wire::Dialect> read_dialect(ConfigSection& section, bool may_be_auto = true) {
  const auto word = section.text("dialect");
  if (!word || (may_be_auto && *word == "auto")) return std::nullopt;
  const auto dialect = wire::find_dialect(*word);
  if (!dialect)
    section.fail("dialect", "\"" + *word +
                                "\" is none that this knows: give \"1301\" (FreeBSD 12, 13), \"1400\" (FreeBSD 14), "
                                "\"1500\" (FreeBSD 15), \"openbsd\"" +
                                (may_be_auto ? ", or \"auto\"" : ""));
  return dialect;
}

/// A row's key is our name, its value the peer's.
wire::InterfaceName interface_of(const ConfigSection& map, std::string_view key, const std::string& name) {
  const bool is_word = std::all_of(name.begin(), name.end(), [](char c) { return c > ' ' && c < 0x7f; });
  // FreeBSD and OpenBSD: IFNAMSIZ is 16, one of which ends the name.
  if (name.empty() || name.size() > 15 || !is_word)
    map.fail(key, "\"" + name + "\" is not an interface's name: give 1 to 15 characters without blanks");
  if (name == "all")
    map.fail(key, "\"all\" is no interface: states that float are bound to it on every node; remove the row");
  return wire::InterfaceName{name};
}

InterfaceMap read_interface_map(ConfigSection& owner) {
  InterfaceMap interfaces;
  auto map = owner.section("interface_map");
  if (!map) return interfaces;
  for (const std::string& key : map->keys()) {
    if (map->is_section(key))
      map->fail(key, "is a section: write a name with a dot in quotes, as \"igb0.100\" = \"vmx1.100\"");
    const std::string value = map->text(key).value_or("");
    switch (interfaces.add(interface_of(*map, key, key), interface_of(*map, key, value))) {
      case InterfaceMap::Added::yes:
      case InterfaceMap::Added::ours_twice: break;  // TOML has no key twice
      case InterfaceMap::Added::theirs_twice:
        map->fail(key, "\"" + value + "\" is in another row too: each of the peer's interfaces is one of ours");
      case InterfaceMap::Added::full:
        map->fail(key, "is one too many: a map has " + std::to_string(InterfaceMap::rows_max) + " rows; remove some");
    }
  }
  return interfaces;
}

std::optional<wire::MacAddress> read_mac(ConfigSection& section) {
  const auto text = section.text("mac");
  if (!text) return std::nullopt;
  const auto mac = wire::parse_mac(*text);
  if (!mac || (mac->bytes[0] & 1u) != 0)
    section.fail("mac", "\"" + *text + "\" is not a host's Ethernet address: write it as 02:00:00:00:00:01");
  return mac;
}

/// An address alone, or with the Ethernet address that it must come from.
std::vector<LinkSource> read_sources(ConfigSection& section, const Config::Link& link) {
  std::vector<LinkSource> sources;
  for (auto& element : section.texts_or_sections("sources")) {
    if (const auto* text = std::get_if<std::string>(&element)) {
      sources.push_back({host_of(section, "sources", *text, link.family).address, {}});
      continue;
    }
    auto& source = std::get<ConfigSection>(element);
    const auto text = source.text("address");
    if (!text) source.fail("address", "is missing: give the address that may send, or the address alone as a string");
    sources.push_back({host_of(source, "address", *text, link.family).address, read_mac(source)});
    source.finish();
  }
  return sources;
}

Config::Peer read_peer(ConfigSection& section, const Config& config) {
  const auto text = section.text("address");
  if (!text) section.fail("address", "is missing: give the peer's address, or remove [[peer]] to use multicast");
  Config::Peer peer;
  peer.address = host_of(section, "address", *text, config.link.family).address;
  if (peer.address == config.link.address) section.fail("address", "is link.address: give the other node's address");
  for (const Config::Peer& other : config.peers)
    if (other.address == peer.address)
      section.fail("address", "\"" + *text + "\" is a peer already: remove one of the two");
  if (config.link.prefix && !same_network(peer.address, config.link.address, *config.link.prefix))
    section.fail("address", "\"" + *text + "\" is outside link.address/" + std::to_string(*config.link.prefix) +
                                ": the peer must be on the link, there are no routes here");
  peer.dialect = read_dialect(section);
  peer.mac = read_mac(section);
  if (const auto source = section.text("source")) {
    const wire::Address address = host_of(section, "source", *source, config.link.family).address;
    if (address != config.link.address) peer.source = address;
  }
  if (const auto rate = section.number("bulk_states_per_s", 0, rate_max))
    peer.bulk_states_per_s = static_cast<std::uint64_t>(*rate);
  peer.interfaces = read_interface_map(section);
  section.finish();
  return peer;
}

void read_peers(ConfigSection& file, Config& config, bool group_given) {
  auto sections = file.sections("peer");
  for (ConfigSection& section : sections) {
    if (group_given)
      section.fail("address", "link.multicast is given too: remove one, pfsync goes to a group or to peers");
    if (config.link.dialect)
      file.section("link")->fail("dialect", "is for multicast: give it as dialect of the [[peer]]");
    if (!config.link.interfaces.empty())
      file.section("link")->fail("interface_map", "is for multicast: give it as interface_map of the [[peer]]");
    if (config.peers.size() == peers_max)
      section.fail("",
                   "is one too many: a node speaks with " + std::to_string(peers_max) + " peers at most; remove it");
    config.peers.push_back(read_peer(section, config));
  }
  if (!config.peers.empty()) config.link.destination = config.peers.front().address;
}

/// Returns whether a group was named.
bool read_link(ConfigSection& file, Config& config) {
  auto section = file.section("link");
  if (!section) file.fail("link", "is missing: add a section [link] with device and address");
  Config::Link& link = config.link;
  const auto device = section->text("device");
  if (!device || device->empty())
    section->fail("device",
                  "is missing: give the sync network's port, as \"0000:03:00.0\" or \"net_af_packet0,iface=eth1\"");
  link.device = *device;
  const OwnAddress own = read_own_address(*section);
  link.family = own.family;
  link.address = own.address;
  link.prefix = own.prefix;
  section->number_into(link.mtu, "mtu", 576, 9000);
  if (const auto vlan = section->number("vlan", 1, 4094)) link.vlan = static_cast<std::uint16_t>(*vlan);
  link.destination = link.family == wire::Family::inet ? wire::pfsync_group_inet : wire::pfsync_group_inet6;
  const auto group = section->text("multicast");
  if (group) {
    const Parsed parsed = address_of(*section, "multicast", *group);
    if (parsed.family != link.family || !wire::is_multicast(parsed.family, parsed.address))
      section->fail("multicast", "\"" + *group + "\" is not an " + word(link.family) +
                                     " group: leave it out for the usual one (224.0.0.240, ff12::f0)");
    link.destination = parsed.address;
  }
  link.dialect = read_dialect(*section);
  link.sources = read_sources(*section, link);
  link.interfaces = read_interface_map(*section);
  section->finish();
  return group.has_value();
}

void read_timeouts(ConfigSection& table, Timeouts& timeouts) {
  auto section = table.section("timeouts");
  if (!section) return;
  for (const TimeoutName& name : timeout_names)
    section->number_into(timeouts.value[name.index], name.name, 0, std::numeric_limits<std::int32_t>::max());
  const auto start = timeouts.value[pftm::adaptive_start], end = timeouts.value[pftm::adaptive_end];
  if (start != 0 && end <= start)
    section->fail("adaptive_end", std::to_string(end) + " is not above adaptive_start " + std::to_string(start) +
                                      ": raise it, or set adaptive_start = 0 to turn adaptive timeouts off");
  section->finish();
}

void read_table(ConfigSection& file, Config::Table& table) {
  auto section = file.section("table");
  if (!section) {
    // As pf.conf(5): adaptive scaling follows the limit on states.
    table.timeouts.value[pftm::adaptive_start] = static_cast<std::uint32_t>(table.states_max / 10 * 6);
    table.timeouts.value[pftm::adaptive_end] = static_cast<std::uint32_t>(table.states_max / 10 * 12);
    return;
  }
  section->number_into(table.states_max, "states_max", 1, 1'000'000'000);
  table.timeouts.value[pftm::adaptive_start] = static_cast<std::uint32_t>(table.states_max * 6 / 10);
  table.timeouts.value[pftm::adaptive_end] = static_cast<std::uint32_t>(table.states_max * 12 / 10);
  if (const auto shards = section->number("shards", 1, 256)) {
    const auto count = static_cast<unsigned>(*shards);
    if (!std::has_single_bit(count))
      section->fail("shards", fmt::format("{} is not a power of two: give 1, 2, 4, … 256", count));
    table.shard_bits = static_cast<unsigned>(std::countr_zero(count));
  }
  if (const auto memory = section->text("memory")) {
    if (*memory != "reserve" && *memory != "grow")
      section->fail("memory", fmt::format("\"{}\" is unknown: give \"reserve\" or \"grow\"", *memory));
    table.reserve = *memory == "reserve";
  }
  if (const auto collisions = section->text("collisions")) {
    if (*collisions != "refuse" && *collisions != "keep")
      section->fail("collisions", fmt::format("\"{}\" is unknown: give \"refuse\" or \"keep\"", *collisions));
    table.refuse_collisions = *collisions == "refuse";
  }
  read_timeouts(*section, table.timeouts);
  section->finish();
}

std::uint32_t creatorid_of(const ConfigSection& section, const std::string& text) {
  const std::string_view digits = text.starts_with("0x") ? std::string_view{text}.substr(2) : std::string_view{text};
  std::uint32_t value = 0;
  const char* end = digits.data() + digits.size();
  const auto [stop, error] = std::from_chars(digits.data(), end, value, 16);
  const bool prefixed = digits.size() != text.size();
  if (error != std::errc{} || stop != end || value == 0 || (!prefixed && digits.size() != 8))
    section.fail("creatorid", "\"" + text + "\" is not a host id: give 8 hex digits or 0x and up to 8, not all zero");
  return value;
}

void read_sync(ConfigSection& file, Config::Sync& sync) {
  std::random_device random;
  while (sync.creatorid == 0) sync.creatorid = random();
  auto section = file.section("sync");
  if (!section) return;
  if (const auto text = section->text("creatorid")) {
    sync.creatorid = creatorid_of(*section, *text);
    sync.has_random_creatorid = false;
  }
  section->number_into(sync.maxupd, "maxupd", 0, 255);
  section->number_into(sync.delay_ms, "delay_ms", 0, 60'000);
  sync.defer = section->flag("defer").value_or(sync.defer);
  if (sync.defer && !file.has("synthetic"))
    section->fail(
        "defer",
        "needs a firewall: pfsyncd forwards no packets that could wait, only [synthetic] plays at it; remove it");
  section->number_into(sync.bulk_states_per_s, "bulk_states_per_s", 0, rate_max);
  section->number_into(sync.requests_per_s, "requests_per_s", 0, rate_max);
  section->number_into(sync.probe_every_s, "probe_every_s", 0, 60);
  section->number_into(sync.sample_per_s, "sample_per_s", 0, 100);
  section->number_into(sync.compare_every_s, "compare_every_s", 0, 7 * 24 * 3600);
  sync.dialect = read_dialect(*section, false).value_or(sync.dialect);
  sync.request_bulk = section->flag("request_bulk").value_or(sync.request_bulk);
  sync.rules = read_sync_rules(*section);
  section->finish();
}

void read_control(ConfigSection& file, Config::Control& control) {
  auto section = file.section("control");
  if (!section) return;
  if (const auto socket = section->text("socket")) {
    // sun_path has 108 bytes, one of which ends the text (unix(7)).
    if (socket->empty() || socket->size() > 107 || socket->find('\0') != std::string::npos)
      section->fail("socket", "is not usable as a socket's path: give 1 to 107 characters");
    control.socket = *socket;
  }
  if (const auto folder = section->text("state_dir")) {
    if (!folder->starts_with('/'))
      section->fail("state_dir", "\"" + *folder + "\" is not an absolute path: begin it with /");
    control.state_dir = *folder;
  }
  control.telemetry = section->flag("telemetry").value_or(control.telemetry);
  section->finish();
}

void read_cores(ConfigSection& file, Config::Cores& cores, unsigned shard_bits) {
  auto section = file.section("cores");
  if (!section) return;
  if (const auto core = section->number("control", 0, 1023)) cores.control = static_cast<unsigned>(*core);
  for (const std::int64_t core : section->numbers("data", 0, 1023)) {
    if (std::ranges::find(cores.data, static_cast<unsigned>(core)) != cores.data.end())
      section->fail("data", "names CPU " + std::to_string(core) + " twice: give each data-path core one of its own");
    cores.data.push_back(static_cast<unsigned>(core));
  }
  if (section->has("data") && cores.data.empty()) section->fail("data", "is empty: name a CPU, or leave the key out");
  if (!cores.data.empty()) cores.data_cores = static_cast<unsigned>(cores.data.size());
  section->number_into(cores.data_cores, "data_cores", 1, PartitionedSession::parts_max);
  if (!cores.data.empty() && cores.data_cores != cores.data.size())
    section->fail("data_cores", "is " + std::to_string(cores.data_cores) + ", but data names " +
                                    std::to_string(cores.data.size()) + " CPUs: leave one of the two out");
  const std::string_view named = cores.data.empty() ? "data_cores" : "data";
  if (cores.data_cores > PartitionedSession::parts_max)
    section->fail(named, "asks for " + std::to_string(cores.data_cores) + " data-path cores: give at most " +
                             std::to_string(PartitionedSession::parts_max));
  if (cores.data_cores > 1u << shard_bits)
    section->fail(named, "asks for " + std::to_string(cores.data_cores) + " data-path cores, but the table has " +
                             std::to_string(1u << shard_bits) + " shards: raise table.shards");
  if (const auto poll = section->text("poll")) {
    if (*poll != "adaptive" && *poll != "busy")
      section->fail("poll", "\"" + *poll + "\" is unknown: give \"adaptive\" or \"busy\"");
    cores.poll = *poll == "busy" ? Config::Poll::busy : Config::Poll::adaptive;
  }
  section->finish();
}

void read_log(ConfigSection& file, Config::Log& log) {
  auto section = file.section("log");
  if (!section) return;
  if (const auto level = section->text("level")) {
    const auto found = std::ranges::find(Config::log_level_words, *level);
    if (found == Config::log_level_words.end())
      section->fail("level", "\"" + *level + "\" is unknown: give \"debug\", \"info\", \"warning\" or \"error\"");
    log.level = static_cast<Config::LogLevel>(found - Config::log_level_words.begin());
  }
  section->finish();
}

void read_synthetic(ConfigSection& file, Config& config) {
  auto section = file.section("synthetic");
  if (!section) return;
  SyntheticConfig synthetic;
  const auto states_max = static_cast<std::int64_t>(config.table.states_max);
  synthetic.states = std::min(synthetic.states, config.table.states_max);
  section->number_into(synthetic.states, "states", 1, states_max);
  section->number_into(synthetic.fill_per_s, "fill_per_s", 1, rate_max);
  section->number_into(synthetic.new_per_s, "new_per_s", 0, rate_max);
  section->number_into(synthetic.updates_per_s, "updates_per_s", 0, rate_max);
  section->number_into(synthetic.tcp_percent, "tcp_percent", 0, 100);
  section->number_into(synthetic.udp_percent, "udp_percent", 0, 100);
  section->number_into(synthetic.ipv6_percent, "ipv6_percent", 0, 100);
  section->number_into(synthetic.nat_percent, "nat_percent", 0, 100);
  section->number_into(synthetic.seed, "seed", 0, number_max);
  if (synthetic.tcp_percent + synthetic.udp_percent > 100)
    section->fail(section->has("udp_percent") ? "udp_percent" : "tcp_percent",
                  "tcp_percent and udp_percent are together above 100: lower one, the rest is ICMP");
  section->finish();
  config.synthetic = synthetic;
}

/// Keys, values and pieces of the file are quoted in sentences; no control character in them may break a line of the
/// log.
std::string one_line(std::string sentence) {
  for (char& c : sentence)
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) c = '?';
  return sentence;
}

/// Who is spoken with under a shared address needs a [[carp]] that says when the address is ours.
void check_sources(ConfigSection& file, const Config& config) {
  auto sections = file.sections("peer");
  for (std::size_t i = 0; i < config.peers.size(); ++i) {
    if (!config.peers[i].source) continue;
    const wire::CarpAddress source{config.link.family, *config.peers[i].source};
    const bool is_virtual = std::any_of(config.carp.begin(), config.carp.end(), [&](const carp::Settings& carp) {
      return carp.port == 0 &&
             std::find(carp.host.addresses.begin(), carp.host.addresses.end(), source) != carp.host.addresses.end();
    });
    if (!is_virtual)
      sections[i].fail("source",
                       fmt::format("\"{}\" is not among the addresses of a [[carp]] on the link: give one of those, or "
                                   "remove it to send from link.address",
                                   wire::to_string(source.address, source.family)));
  }
}

/// Two ports of one device cannot be opened, whatever the options behind its name.
void read_interfaces(ConfigSection& file, Config& config) {
  const auto same_device = [](std::string_view one, std::string_view other) {
    return port_name(one) == port_name(other) || one.substr(0, one.find(',')) == other.substr(0, other.find(','));
  };
  for (ConfigSection& section : file.sections("interface")) {
    if (config.interfaces.size() == interfaces_max)
      section.fail("", "is one too many: there are " + std::to_string(interfaces_max) + " at most; remove it");
    const auto device = section.text("device");
    if (!device || device->empty())
      section.fail("device", "is missing: give the port, as \"eth2\" or \"0000:03:00.1\"");
    const OwnAddress own = read_own_address(section);
    Config::Interface interface {
      .device = *device, .family = own.family, .address = own.address, .prefix = own.prefix, .vlan = {}
    };
    if (const auto vlan = section.number("vlan", 1, 4094)) interface.vlan = static_cast<std::uint16_t>(*vlan);
    bool taken = same_device(*device, config.link.device), address_taken = own.address == config.link.address;
    for (const Config::Interface& other : config.interfaces) {
      taken = taken || same_device(*device, other.device);
      address_taken = address_taken || own.address == other.address;
    }
    if (taken)
      section.fail("device", "\"" + *device + "\" is the port of [link] or of an earlier [[interface]]: a device is " +
                                 "opened once; for a second VLAN give the Linux interface of that VLAN");
    if (address_taken) section.fail("address", "is taken by [link] or an earlier [[interface]]: give another");
    section.finish();
    config.interfaces.push_back(interface);
  }
}

std::vector<carp::PortSettings> ports_of(const Config& config) {
  std::vector<carp::PortSettings> ports{
      {config.link.device, port_name(config.link.device), {config.link.family, config.link.address}}};
  for (const Config::Interface& interface : config.interfaces)
    ports.push_back({interface.device, port_name(interface.device), {interface.family, interface.address}});
  return ports;
}

/// A port that nobody uses is a mistake of whoever wrote it.
void check_interfaces(ConfigSection& file, const Config& config) {
  // What another node may push, or has pushed before this one was made primary, cannot be seen in this file.
  if (config.config_sync && (config.config_sync->role != config_sync::Role::off || config.config_sync->compat)) return;
  auto sections = file.sections("interface");
  for (std::size_t i = 0; i < sections.size(); ++i)
    if (std::none_of(config.carp.begin(), config.carp.end(),
                     [&](const carp::Settings& carp) { return carp.port == i + 1; }))
      sections[i].fail("device", "is used by no [[carp]]: remove the section, or name it as interface of one");
}

Config read(const toml::table& table, const std::string& name) {
  ConfigSection file{table, name, ""};
  Config config;
  const bool group_given = read_link(file, config);
  read_peers(file, config, group_given);
  read_table(file, config.table);
  read_sync(file, config.sync);
  read_control(file, config.control);
  read_cores(file, config.cores, config.table.shard_bits);
  read_log(file, config.log);
  read_synthetic(file, config);
  config.snapshot = snapshot::read_settings(file, config.control.state_dir);
  config.http = http::read_settings(file);
  config.config_sync = config_sync::read_settings(file);
  read_interfaces(file, config);
  config.carp = carp::read_settings(file, ports_of(config), config.warnings);
  check_interfaces(file, config);
  check_sources(file, config);
  add_warnings(config);
  file.finish();
  return config;
}

}  // namespace

std::string port_name(std::string_view device) {
  constexpr std::string_view key = ",iface=";
  const std::size_t at = device.find(key);
  if (at == std::string_view::npos) return std::string{device.substr(0, device.find(','))};
  const std::string_view name = device.substr(at + key.size());
  return std::string{name.substr(0, name.find(','))};
}

ConfigResult parse_config(std::string_view text, const std::string& name) {
  try {
    return read(toml::parse(text, name), name);
  } catch (const ConfigError& error) {
    return one_line(error.sentence);
  } catch (const toml::parse_error& error) {
    std::ostringstream out;
    out << name << ":" << error.source().begin.line << ": not valid TOML: " << error.description()
        << "; correct the line";
    return one_line(out.str());
  }
}

ConfigResult load_config(const std::filesystem::path& file) {
  std::error_code error;
  if (std::filesystem::is_directory(file, error)) return file.string() + ": is a directory: give a configuration file";
  std::ifstream in{file, std::ios::binary};
  if (!in) {
    const std::string why = std::generic_category().message(errno);
    return file.string() + ": cannot be read (" + why + "): give the path of a configuration file you may read";
  }
  std::string text;
  text.resize(file_bytes_max + 1);
  in.read(text.data(), static_cast<std::streamsize>(text.size()));
  text.resize(static_cast<std::size_t>(in.gcount()));
  if (text.size() > file_bytes_max) return file.string() + ": is larger than 1 MiB: this is no configuration file";
  if (in.bad()) return file.string() + ": cannot be read: check the disk and the file's permissions";
  return parse_config(text, file.string());
}

}  // namespace pfsync::engine
