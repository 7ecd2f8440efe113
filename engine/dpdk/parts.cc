#include "engine/dpdk/parts.h"

#include <fmt/format.h>
#include <sched.h>

#include <algorithm>
#include <ctime>
#include <random>
#include <vector>

#include "engine/control/memory.h"
#include "engine/dpdk/port.h"
#include "wire/icmp.h"
#include "wire/text.h"

namespace pfsync::engine::dpdk {
namespace {

using std::chrono::milliseconds;

std::uint64_t random_seed() {
  std::random_device random;
  return std::uint64_t{random()} << 32 | random();
}

statetable::TableConfig table_config(const Config& config) {
  return {.states_max = config.table.states_max,
          .shard_bits = config.table.shard_bits,
          .hash_seed = random_seed(),
          .by_connection = config.table.refuse_collisions,
          .reserve = config.table.reserve};
}

/// Of a peer, or of the group when there is none.
const InterfaceMap& interfaces_of(const Config& config, std::size_t peer) {
  return config.peers.empty() ? config.link.interfaces : config.peers[peer].interfaces;
}

std::size_t buffers_mib(const Config& config) {
  constexpr std::size_t rest_mib = 32;  // DPDK's own, rings and queues
  return ((Port::memory_bytes(config.link.mtu) + config.interfaces.size() * Port::memory_bytes(interface_mtu)) >> 20) +
         rest_mib;
}

}  // namespace

BulkSenderConfig sender_config(const Config& config, std::size_t peer) {
  const auto own_rate = config.peers.empty() ? std::nullopt : config.peers[peer].bulk_states_per_s;
  return {.creatorid = config.sync.creatorid,
          .states_per_s = own_rate.value_or(config.sync.bulk_states_per_s),
          .interfaces = interfaces_of(config, peer)};
}

Placed<Lane> make_lanes(const Config& config, const statetable::Table& table) {
  Placed<Lane> lanes;
  const std::size_t peers = std::max<std::size_t>(config.peers.size(), 1);
  for (std::size_t i = 0; i < peers; ++i) lanes.emplace_back(sender_config(config, i), table, peers);
  return lanes;
}

void require_memory(const Config& config) {
  const statetable::TableConfig table = table_config(config);
  std::uint64_t needed = statetable::Table::memory_bytes(table) +
                         std::max<std::size_t>(config.peers.size(), 1) * Outbox::memory_bytes(config.table.states_max) +
                         PartitionedSession::memory_bytes(config.cores.data_cores, Port::place_bytes(config.link.mtu)) +
                         (std::uint64_t{buffers_mib(config)} << 20);
  if (has_delay(config.sync.rules)) needed += DelayedStates::memory_bytes(config.table.states_max);
  if (config.synthetic) needed += SyntheticFirewall::memory_bytes(*config.synthetic);
  const std::uint64_t available = available_memory();
  if (needed > available)
    throw std::runtime_error{fmt::format(
        "table.states_max: {} states need {} MiB of memory and only {} MiB are available: lower it, or add memory",
        config.table.states_max, needed >> 20, available >> 20)};
}

std::unique_ptr<statetable::Table> make_table(const Config& config) {
  cpu_set_t before, one;
  const bool moves = !config.cores.data.empty() && sched_getaffinity(0, sizeof before, &before) == 0;
  if (moves) {
    CPU_ZERO(&one);
    CPU_SET(config.cores.data.front(), &one);
    sched_setaffinity(0, sizeof one, &one);
  }
  auto table = statetable::Table::create(table_config(config));
  if (moves) sched_setaffinity(0, sizeof before, &before);
  return or_throw(std::move(table));
}

Config with_fresh_ids(Config config) {
  if (config.synthetic) config.synthetic->first_id = static_cast<std::uint64_t>(std::time(nullptr)) << 32u | 1;
  return config;
}

std::vector<Device> find_devices(const Config& config) {
  std::vector<Device> devices{or_throw(find_device(config.link.device, config.link.mtu, "link"))};
  for (const Config::Interface& interface : config.interfaces)
    devices.push_back(or_throw(find_device(interface.device, interface_mtu, "interface")));
  return devices;
}

EalConfig eal_config(const Config& config, const std::vector<Device>& devices) {
  std::vector<std::string> allow;
  for (const Device& device : devices) allow.insert(allow.end(), device.allow.begin(), device.allow.end());
  return {.memory_mib = buffers_mib(config),
          .allow = std::move(allow),
          .control_core = config.cores.control,
          .telemetry = config.control.telemetry,
          .data_cores = config.cores.data_cores,
          .data_core_cpus = config.cores.data};
}

SessionConfig session_config(const Config& config, std::span<const DataPath::Lane> lanes) {
  std::vector<PeerConfig> peers;
  for (std::size_t i = 0; i < lanes.size(); ++i) {
    const auto fixed = config.peers.empty() ? config.link.dialect : config.peers[i].dialect;
    peers.push_back({.dialect = fixed.value_or(config.sync.dialect),
                     .learn_dialect = !fixed,
                     .gate = lanes[i].gate,
                     .is_group = config.peers.empty(),
                     .is_shared = !config.peers.empty() && config.peers[i].source.has_value(),
                     .interfaces = interfaces_of(config, i)});
  }
  return {.creatorid = config.sync.creatorid,
          .peers = std::move(peers),
          .maxupd = config.sync.maxupd,
          .delay = milliseconds{config.sync.delay_ms},
          .request_bulk = config.sync.request_bulk,
          .requests_per_s = config.sync.requests_per_s,
          .probe_every = std::chrono::seconds{config.sync.probe_every_s},
          .defer = config.sync.defer ? Deferrals::usual_limit : Duration::zero(),
          .timeouts = config.table.timeouts,
          .sync_rules = config.sync.rules};
}

LinkConfig link_config(const Config& config, const wire::MacAddress& mac) {
  std::vector<LinkPeer> peers;
  for (const Config::Peer& peer : config.peers) peers.push_back({peer.address, peer.mac, peer.source});
  return {.mac = mac,
          .family = config.link.family,
          .address = config.link.address,
          .destination = config.link.destination,
          .peers = std::move(peers),
          .vlan = config.link.vlan,
          .mtu = config.link.mtu,
          .sources = config.link.sources};
}

carp::NodeConfig carp_config(const Config& config, std::size_t port, const Device& device,
                             const wire::MacAddress& mac) {
  const bool is_link = port == 0;
  const Config::Interface* interface = is_link ? nullptr : &config.interfaces[port - 1];
  const wire::Family family = is_link ? config.link.family : interface->family;
  const wire::Address& address = is_link ? config.link.address : interface->address;
  carp::NodeConfig node{.name = device.name(),
                        .port = static_cast<std::uint8_t>(port),
                        .mac = mac,
                        .vlan = is_link ? config.link.vlan : interface->vlan,
                        .hosts = {},
                        .answers_arp = !is_link,
                        .seed = random_seed()};
  // Where the port has no address of a family, IPv6 has the one that every host has.
  node.inet = family == wire::Family::inet ? address : wire::Address{};
  node.inet6 = family == wire::Family::inet6 ? address : wire::link_local_address(mac);
  for (const carp::Settings& settings : config.carp)
    if (settings.port == port) node.hosts.push_back(settings.host);
  return node;
}

MembershipConfig membership_config(const Config& config, const carp::NodeConfig& node) {
  std::vector<wire::Group> groups;
  const auto want = [&](wire::Family family, const wire::Address& group) {
    const auto same = [&](const wire::Group& other) { return other.family == family && other.address == group; };
    const auto of_family = [&](const wire::Group& other) { return other.family == family; };
    if (std::ranges::none_of(groups, same) &&
        std::ranges::count_if(groups, of_family) < std::ptrdiff_t{Membership::groups_max})
      groups.push_back({family, group});
  };
  const bool is_link = node.port == 0;
  bool has_inet6 = is_link ? config.link.family == wire::Family::inet6
                           : config.interfaces[node.port - 1].family == wire::Family::inet6;
  if (is_link && config.peers.empty()) want(config.link.family, config.link.destination);
  for (const carp::HostConfig& host : node.hosts)
    for (const wire::CarpAddress& address : host.addresses) {
      const bool inet6 = address.family == wire::Family::inet6;
      const wire::Address& advertised_to = inet6 ? host.peer_inet6 : host.peer_inet;
      if (wire::is_multicast(address.family, advertised_to)) want(address.family, advertised_to);
      has_inet6 = has_inet6 || inet6;
    }
  // The own address first: without it nothing else is found either.
  if (has_inet6) want(wire::Family::inet6, wire::solicited_node(node.inet6));
  for (const carp::HostConfig& host : node.hosts)
    for (const wire::CarpAddress& address : host.addresses)
      if (address.family == wire::Family::inet6) want(address.family, wire::solicited_node(address.address));
  return {.mac = node.mac,
          .inet = node.inet,
          .inet6 = wire::link_local_address(node.mac),
          .vlan = node.vlan,
          .groups = std::move(groups),
          .seed = random_seed()};
}

}  // namespace pfsync::engine::dpdk
