#include "engine/config/warnings.h"

#include <algorithm>

#include <fmt/format.h>

#include "engine/link/membership.h"

namespace pfsync::engine {
namespace {

/// Larger packets leave FreeBSD's pfsync with an error instead of on the wire.
/// Source: FreeBSD sys/netpfil/pf/if_pfsync.c, pfsync_sendout(): one m_get2() buffer of at most a page.
constexpr std::size_t mtu_freebsd_max = 4080;

/// Unless all receivers are known to be OpenBSD, which has no such limit.
void warn_of_mtu(Config& config) {
  const auto is_openbsd = [](const std::optional<wire::Dialect>& dialect) { return dialect == wire::Dialect::openbsd; };
  const bool only_openbsd = config.peers.empty()
                                ? is_openbsd(config.link.dialect)
                                : std::all_of(config.peers.begin(), config.peers.end(),
                                              [&](const Config::Peer& peer) { return is_openbsd(peer.dialect); });
  if (config.link.mtu > mtu_freebsd_max && !only_openbsd)
    config.warnings.push_back("link.mtu " + std::to_string(config.link.mtu) + " is above " +
                              std::to_string(mtu_freebsd_max) +
                              ": FreeBSD peers with such an mtu stop sending; lower it on all nodes");
}

/// Keys of a [[carp]] that have nothing to work on.
void warn_of_missing_family(Config& config, const carp::HostConfig& host) {
  const auto has = [&](wire::Family family) {
    return std::any_of(host.addresses.begin(), host.addresses.end(),
                       [=](const auto& it) { return it.family == family; });
  };
  const bool inet = has(wire::Family::inet), inet6 = has(wire::Family::inet6);
  const auto warn = [&](std::string_view key, std::string_view missing) {
    config.warnings.push_back(fmt::format("carp vhid {}: {} has no effect: there is no {} address among the addresses",
                                          host.vhid, key, missing));
  };
  if (!inet && host.peer_inet != wire::carp_group_inet) warn("peer", "IPv4");
  if (!inet6 && host.peer_inet6 != wire::carp_group_inet6) warn("peer6", "IPv6");
  if (host.both_families && (!inet || !inet6)) warn("both_families", inet ? "IPv6" : "IPv4");
}

/// A port's report of groups has a bound, and each IPv6 address needs a group of its own.
void warn_of_groups(Config& config) {
  for (std::size_t port = 0; port <= config.interfaces.size(); ++port) {
    std::vector<wire::Address> groups;
    const auto want = [&](const wire::Address& group) {
      if (std::find(groups.begin(), groups.end(), group) == groups.end()) groups.push_back(group);
    };
    for (const carp::Settings& carp : config.carp)
      for (const wire::CarpAddress& address : carp.host.addresses)
        if (carp.port == port && address.family == wire::Family::inet6) {
          want(wire::solicited_node(address.address));
          if (wire::is_multicast(address.family, carp.host.peer_inet6)) want(carp.host.peer_inet6);
        }
    if (port == 0 && config.link.family == wire::Family::inet6 && config.peers.empty()) want(config.link.destination);
    constexpr std::size_t own = 1;  // that of the port's own address
    if (groups.size() + own > Membership::groups_max)
      config.warnings.push_back(fmt::format(
          "carp: the IPv6 addresses of one port need {} groups; a switch that snoops MLD is told of {}, and keeps "
          "neighbour solicitations for the other addresses away: use fewer, or turn snooping off",
          groups.size() + own, Membership::groups_max));
  }
}

void warn_of_carp(Config& config) {
  warn_of_groups(config);
  for (const carp::Settings& carp : config.carp) {
    warn_of_missing_family(config, carp.host);
    const bool on_link = carp.port == 0;
    const Config::Interface* const interface = on_link ? nullptr : &config.interfaces[carp.port - 1];
    const auto family = on_link ? config.link.family : interface->family;
    const auto own = on_link ? config.link.address : interface->address;
    const auto prefix = on_link ? config.link.prefix : interface->prefix;
    const wire::Address& peer = family == wire::Family::inet ? carp.host.peer_inet : carp.host.peer_inet6;
    if (prefix && !wire::is_multicast(family, peer) && !same_network(peer, own, *prefix))
      config.warnings.push_back(fmt::format(
          "carp vhid {}: the peer {} is outside {}/{}: there are no routes here, so it hears this node only where "
          "somebody answers ARP or neighbour discovery for it",
          carp.host.vhid, wire::to_string(peer, family), wire::to_string(own, family), *prefix));
  }
  const bool all_shared =
      !config.peers.empty() &&
      std::all_of(config.peers.begin(), config.peers.end(), [](const auto& peer) { return peer.source.has_value(); });
  if (!config.carp.empty() && all_shared && config.sync.request_bulk)
    config.warnings.push_back(
        "every [[peer]] has a source: while another node holds the shared address nothing is heard here, so this node "
        "takes over from a silent master only; name the other engine in a [[peer]] without source");
}

}  // namespace

bool same_network(const wire::Address& a, const wire::Address& b, unsigned bits) {
  for (unsigned i = 0; i < bits; ++i)
    if (((a.bytes[i / 8] ^ b.bytes[i / 8]) >> (7 - i % 8) & 1) != 0) return false;
  return true;
}

void add_warnings(Config& config) {
  warn_of_mtu(config);
  warn_of_carp(config);
}

}  // namespace pfsync::engine
