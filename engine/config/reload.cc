#include "engine/config/reload.h"

#include <fmt/format.h>

#include <algorithm>
#include <string_view>

#include "wire/text.h"

namespace pfsync::engine {
namespace {

using carp::HostConfig;
using carp::Settings;

template <class T>
void note_number(Difference& found, std::string_view key, const T& before, const T& after) {
  if (before != after) found.changes.push_back(fmt::format("{}: {} -> {}", key, before, after));
}

void note_flag(Difference& found, const std::string& key, bool before, bool after) {
  if (before != after) found.changes.push_back(fmt::format("{}: {}", key, after ? "on" : "off"));
}

// --- what needs a restart ----------------------------------------------------------------------------

/// Names a key unless both agree; returns whether they do.
class Fixed {
 public:
  explicit Fixed(std::vector<std::string>& keys) : keys_{&keys} {}
  template <class T>
  bool operator()(std::string_view key, const T& current, const T& wanted) {
    const bool same = current == wanted;
    if (!same) keys_->emplace_back(key);
    return same;
  }

 private:
  std::vector<std::string>* keys_;
};

bool is_same_own_address(const Config::Link& one, const Config::Link& other) {
  return one.family == other.family && one.address == other.address && one.prefix == other.prefix;
}

/// Of the link; false when what lies behind it cannot be judged before a restart.
bool compare_link(Fixed& fixed, const Config& current, const Config& wanted) {
  bool same = fixed("link.device", current.link.device, wanted.link.device);
  if (!is_same_own_address(current.link, wanted.link)) same = fixed("link.address", 0, 1);
  fixed("link.mtu", current.link.mtu, wanted.link.mtu);
  fixed("link.vlan", current.link.vlan, wanted.link.vlan);
  if (current.peers.empty() != wanted.peers.empty()) {
    fixed("peer (between multicast and unicast)", 0, 1);
    return false;
  }
  if (current.peers.empty()) fixed("link.multicast", current.link.destination, wanted.link.destination);
  return same;
}

void compare_rest(Fixed& fixed, const Config& current, const Config& wanted) {
  fixed("table.states_max", current.table.states_max, wanted.table.states_max);
  fixed("table.shards", current.table.shard_bits, wanted.table.shard_bits);
  fixed("table.memory", current.table.reserve, wanted.table.reserve);
  fixed("table.collisions", current.table.refuse_collisions, wanted.table.refuse_collisions);
  // Without a creatorid of its own the file says nothing: the daemon keeps what it took at start.
  if (!wanted.sync.has_random_creatorid) fixed("sync.creatorid", current.sync.creatorid, wanted.sync.creatorid);
  fixed("sync.dialect", current.sync.dialect, wanted.sync.dialect);
  fixed("sync.requests_per_s", current.sync.requests_per_s, wanted.sync.requests_per_s);
  fixed("sync.probe_every_s", current.sync.probe_every_s, wanted.sync.probe_every_s);
  fixed("sync.rule", current.sync.rules, wanted.sync.rules);
  fixed("sync.defer", current.sync.defer, wanted.sync.defer);
  fixed("control.socket", current.control.socket, wanted.control.socket);
  fixed("control.state_dir", current.control.state_dir, wanted.control.state_dir);
  fixed("control.telemetry", current.control.telemetry, wanted.control.telemetry);
  fixed("cores.control", current.cores.control, wanted.cores.control);
  fixed("cores.data", current.cores.data, wanted.cores.data);
  fixed("cores.data_cores", current.cores.data_cores, wanted.cores.data_cores);
  fixed("cores.poll", current.cores.poll, wanted.cores.poll);
  fixed("http", current.http, wanted.http);
  fixed("config_sync", current.config_sync, wanted.config_sync);
  auto synthetic = wanted.synthetic;
  if (synthetic && current.synthetic) synthetic->first_id = current.synthetic->first_id;
  fixed("synthetic", current.synthetic, synthetic);
}

// --- virtual addresses -------------------------------------------------------------------------------

std::string name_of(const Settings& settings) {
  return fmt::format("carp {}@{}", settings.host.vhid, wire::printable(settings.interface));
}

const Settings* same_host(const std::vector<Settings>& all, const Settings& wanted) {
  const auto found = std::ranges::find_if(all, [&](const Settings& candidate) {
    return candidate.host.vhid == wanted.host.vhid && candidate.port == wanted.port;
  });
  return found == all.end() ? nullptr : &*found;
}

/// "+10.0.0.5/24 -10.0.0.4/24"
std::string list_change(const std::vector<std::string>& before, const std::vector<std::string>& after) {
  std::string text;
  const auto add = [&text](char sign, const std::string& address) {
    text.append(text.empty() ? "" : " ").append(1, sign).append(wire::printable(address));
  };
  for (const std::string& address : after)
    if (std::ranges::find(before, address) == before.end()) add('+', address);
  for (const std::string& address : before)
    if (std::ranges::find(after, address) == after.end()) add('-', address);
  return text.empty() ? "in another order" : text;
}

void note_host(Difference& found, const Settings& before, const Settings& after) {
  if (before == after) return;
  const std::size_t noted = found.changes.size();
  const std::string name = name_of(after);
  const HostConfig &from = before.host, &to = after.host;
  note_number(found, name + ": advbase", from.advbase, to.advbase);
  note_number(found, name + ": advskew", from.advskew, to.advskew);
  if (from.password != to.password) found.changes.push_back(name + ": password changed");
  if (before.address_texts != after.address_texts)
    found.changes.push_back(name + ": addresses " + list_change(before.address_texts, after.address_texts));
  const auto note_peer = [&](std::string_view key, wire::Family family, const wire::Address& one,
                             const wire::Address& other) {
    note_number(found, name + ": " + std::string{key}, wire::to_string(one, family), wire::to_string(other, family));
  };
  note_peer("peer", wire::Family::inet, from.peer_inet, to.peer_inet);
  note_peer("peer6", wire::Family::inet6, from.peer_inet6, to.peer_inet6);
  note_flag(found, name + ": preempt", from.preempt, to.preempt);
  note_flag(found, name + ": openbsd", from.openbsd, to.openbsd);
  note_flag(found, name + ": both_families", from.both_families, to.both_families);
  if (found.changes.size() == noted) found.changes.push_back(name + ": changed");
}

void compare_hosts(Difference& found, const Config& current, const Config& wanted) {
  const std::size_t before = found.changes.size();
  for (const Settings& settings : wanted.carp) {
    if (const Settings* was = same_host(current.carp, settings))
      note_host(found, *was, settings);
    else
      found.changes.push_back(name_of(settings) + ": added");
  }
  for (const Settings& settings : current.carp)
    if (same_host(wanted.carp, settings) == nullptr) found.changes.push_back(name_of(settings) + ": removed");
  found.hosts = found.changes.size() > before;
  if (found.hosts) found.next.carp = wanted.carp;
}

// --- peers -------------------------------------------------------------------------------------------

std::string text_of(const std::optional<wire::Dialect>& dialect) {
  return dialect ? std::string{wire::word(*dialect)} : "auto";
}

void note_peer(Difference& found, const Config::Peer& before, const Config::Peer& after, wire::Family family) {
  if (before == after) return;
  const std::size_t noted = found.changes.size();
  const std::string name = "peer " + wire::to_string(after.address, family) + ": ";
  const auto mac = [](const Config::Peer& peer) { return peer.mac ? wire::to_string(*peer.mac) : "asked for"; };
  const auto source = [family](const Config::Peer& peer) {
    return peer.source ? wire::to_string(*peer.source, family) : "link.address";
  };
  note_number(found, name + "dialect", text_of(before.dialect), text_of(after.dialect));
  note_number(found, name + "mac", mac(before), mac(after));
  note_number(found, name + "source", source(before), source(after));
  if (before.interfaces != after.interfaces) found.changes.push_back(name + "interface_map changed");
  if (before.bulk_states_per_s != after.bulk_states_per_s) found.changes.push_back(name + "bulk_states_per_s changed");
  if (found.changes.size() == noted) found.changes.push_back(name + "changed");
}

void compare_peers(Difference& found, const Config& current, const Config& wanted) {
  const std::size_t before = found.changes.size();
  const wire::Family family = current.link.family;
  const auto place_of = [](const std::vector<Config::Peer>& peers, const wire::Address& address) -> Difference::Before {
    const auto at = std::ranges::find(peers, address, &Config::Peer::address);
    return at == peers.end() ? std::nullopt : std::optional{static_cast<std::size_t>(at - peers.begin())};
  };
  std::vector<Difference::Before> places;
  for (const Config::Peer& peer : wanted.peers) {
    places.push_back(place_of(current.peers, peer.address));
    if (places.back())
      note_peer(found, current.peers[*places.back()], peer, family);
    else
      found.changes.push_back("peer " + wire::to_string(peer.address, family) + ": added");
  }
  for (const Config::Peer& peer : current.peers)
    if (!place_of(wanted.peers, peer.address))
      found.changes.push_back("peer " + wire::to_string(peer.address, family) + ": removed");
  found.peers = found.changes.size() > before;
  if (!found.peers) return;
  found.peers_before = std::move(places);
  found.next.peers = wanted.peers;
  found.next.link.destination = wanted.link.destination;
}

void compare_group(Difference& found, const Config& current, const Config& wanted) {
  const std::size_t before = found.changes.size();
  note_number(found, "link.dialect", text_of(current.link.dialect), text_of(wanted.link.dialect));
  if (current.link.interfaces != wanted.link.interfaces) found.changes.emplace_back("link.interface_map changed");
  found.peers = found.changes.size() > before;
  found.next.link.dialect = wanted.link.dialect;
  found.next.link.interfaces = wanted.link.interfaces;
}

// --- numbers -----------------------------------------------------------------------------------------

void compare_timeouts(Difference& found, const Config& current, const Config& wanted) {
  Timeouts timeouts = wanted.table.timeouts;
  // The usual adaptive limits follow the table's size, which stays until a restart.
  if (current.table.states_max != wanted.table.states_max)
    for (const std::uint8_t index : {pftm::adaptive_start, pftm::adaptive_end})
      timeouts.value[index] = current.table.timeouts.value[index];
  found.timeouts = timeouts != current.table.timeouts;
  found.next.table.timeouts = timeouts;
  for (const TimeoutName& name : timeout_names)
    note_number(found, "table.timeouts." + std::string{name.name}, current.table.timeouts.value[name.index],
                timeouts.value[name.index]);
}

void compare_sync(Difference& found, const Config& current, const Config& wanted) {
  const Config::Sync &from = current.sync, &to = wanted.sync;
  note_number(found, "sync.maxupd", from.maxupd, to.maxupd);
  note_number(found, "sync.delay_ms", from.delay_ms, to.delay_ms);
  note_flag(found, "sync.request_bulk", from.request_bulk, to.request_bulk);
  found.pace = from.maxupd != to.maxupd || from.delay_ms != to.delay_ms || from.request_bulk != to.request_bulk;
  note_number(found, "sync.bulk_states_per_s", from.bulk_states_per_s, to.bulk_states_per_s);
  found.bulk_rate = from.bulk_states_per_s != to.bulk_states_per_s;
  note_number(found, "sync.sample_per_s", from.sample_per_s, to.sample_per_s);
  note_number(found, "sync.compare_every_s", from.compare_every_s, to.compare_every_s);
  Config::Sync& next = found.next.sync;
  next.maxupd = to.maxupd;
  next.delay_ms = to.delay_ms;
  next.request_bulk = to.request_bulk;
  next.bulk_states_per_s = to.bulk_states_per_s;
  next.sample_per_s = to.sample_per_s;
  next.compare_every_s = to.compare_every_s;
}

/// The file is by default in control.state_dir, and waits with that.
void compare_snapshot(Difference& found, Fixed& fixed, const Config& current, const Config& wanted) {
  if (current.control.state_dir != wanted.control.state_dir) {
    fixed("snapshot", current.snapshot, wanted.snapshot);
    return;
  }
  found.snapshot = current.snapshot != wanted.snapshot;
  found.next.snapshot = wanted.snapshot;
  const auto &from = current.snapshot, &to = wanted.snapshot;
  if (from && to) {
    note_number(found, "snapshot.path", wire::printable(from->path), wire::printable(to->path));
    note_number(found, "snapshot.interval_s", from->interval_s, to->interval_s);
    note_flag(found, "snapshot.at_exit", from->at_exit, to->at_exit);
    note_number(found, "snapshot.states_per_s", from->states_per_s, to->states_per_s);
  } else if (found.snapshot) {
    found.changes.emplace_back(to ? "snapshot: on" : "snapshot: off");
  }
}

}  // namespace

Difference difference(const Config& current, const Config& wanted) {
  Difference found;
  found.next = current;
  for (std::size_t i = 0; i < std::max<std::size_t>(current.peers.size(), 1); ++i) found.peers_before.emplace_back(i);

  Fixed fixed{found.restart};
  const bool same_link = compare_link(fixed, current, wanted);
  const bool same_ports = fixed("interface", current.interfaces, wanted.interfaces) && same_link;
  compare_rest(fixed, current, wanted);

  // A [[carp]] stands on a port, a [[peer]] on the link's network and, with a source, on a [[carp]]: what they were
  // checked against comes with the restart, and they with it.
  if (same_ports) {
    compare_hosts(found, current, wanted);
    if (current.peers.empty())
      compare_group(found, current, wanted);
    else
      compare_peers(found, current, wanted);
    found.sources = current.link.sources != wanted.link.sources;
    found.next.link.sources = wanted.link.sources;
    if (found.sources) found.changes.emplace_back("link.sources changed");
  } else {
    fixed("carp", current.carp, wanted.carp);
    if (current.peers.empty() == wanted.peers.empty()) fixed("peer", current.peers, wanted.peers);
    fixed("link.sources", current.link.sources, wanted.link.sources);
    fixed("link.dialect", current.link.dialect, wanted.link.dialect);
    fixed("link.interface_map", current.link.interfaces, wanted.link.interfaces);
  }
  compare_timeouts(found, current, wanted);
  compare_sync(found, current, wanted);
  found.log_level = current.log.level != wanted.log.level;
  note_number(found, "log.level", Config::log_level_words[static_cast<std::size_t>(current.log.level)],
              Config::log_level_words[static_cast<std::size_t>(wanted.log.level)]);
  found.next.log = wanted.log;
  compare_snapshot(found, fixed, current, wanted);
  found.next.warnings = wanted.warnings;

  // A key that nobody compared above is one that is read at start only.
  if (found.restart.empty()) {
    Config rest = wanted;
    rest.carp = found.next.carp;
    rest.peers = found.next.peers;
    rest.link.destination = found.next.link.destination;
    if (rest.sync.has_random_creatorid) rest.sync.creatorid = current.sync.creatorid;
    rest.sync.has_random_creatorid = current.sync.has_random_creatorid;
    if (rest.synthetic && current.synthetic) rest.synthetic->first_id = current.synthetic->first_id;
    if (rest != found.next) found.restart.emplace_back("a key that is read at the start only");
  }
  return found;
}

std::string joined(const std::vector<std::string>& words, std::string_view between) {
  std::string text;
  for (const std::string& word : words) text.append(text.empty() ? "" : between).append(word);
  return text;
}

std::string sentence_of(const Difference& difference) {
  if (difference.is_none()) return "nothing differs from the configuration at work";
  std::string sentence =
      difference.changes.empty() ? "nothing changed" : "changed: " + joined(difference.changes, "; ");
  if (!difference.restart.empty()) sentence += "; a restart is needed for: " + joined(difference.restart, ", ");
  return sentence;
}

}  // namespace pfsync::engine
