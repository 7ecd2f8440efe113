#include "engine/control/health_facts.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "engine/carp/report.h"
#include "engine/control/peers_report.h"
#include "wire/text.h"

namespace pfsync::engine {
namespace {

PeerCounts counts_of(std::span<const Session* const> parts, unsigned peer) {
  const auto sum = [&](PeerTally tally) {
    std::uint64_t all = 0;
    for (const Session* part : parts) all += part->tallies(peer)[tally].value();
    return all;
  };
  PeerCounts counts{.packets_received = sum(PeerTally::packets_received),
                    .packets_refused = sum(PeerTally::packets_refused),
                    .packets_full = sum(PeerTally::packets_full),
                    .inserts_received = sum(PeerTally::inserts_received),
                    .insert_packets_received = sum(PeerTally::insert_packets_received),
                    .missed = sum(PeerTally::missed),
                    .unknown = sum(PeerTally::unknown),
                    .stale = sum(PeerTally::stale),
                    .inserts_sent = sum(PeerTally::inserts_sent),
                    .insert_packets_sent = sum(PeerTally::insert_packets_sent),
                    .asked = sum(PeerTally::asked),
                    .missed_by_peer = sum(PeerTally::missed_by_peer),
                    .asked_again = sum(PeerTally::asked_again),
                    .probes_received = sum(PeerTally::probes_received)};
  for (const Session* part : parts)
    counts.names_unmapped +=
        part->interfaces(peer).unmapped_in().total() + part->interfaces(peer).unmapped_out().total();
  return counts;
}

void add_names(std::vector<std::string>& names, const UnmappedNames& met) {
  for (std::size_t i = 0; i < met.size(); ++i) {
    std::string name = wire::printable(met.name(i).view());
    if (!name.empty() && std::ranges::find(names, name) == names.end()) names.push_back(std::move(name));
  }
}

/// Who is heard but does not take what is written, with what it speaks.
std::vector<std::string> apart_of(const PeerDialect& dialect, wire::Family family) {
  std::vector<std::string> all;
  if (dialect.apart() == 0) return all;
  for (const PeerDialect::Heard& node : dialect.heard_lately()) {
    if (node.takes || !node.counts) continue;
    const std::string address = wire::to_string(node.address, family);
    if (node.told)
      all.push_back(fmt::format("{} (which speaks {})", address, wire::word(*node.told)));
    else
      all.push_back(fmt::format("{} (which speaks pfsync version {})", address, node.header_version));
  }
  return all;
}

}  // namespace

PeerFacts peer_facts(std::span<const Session* const> parts, unsigned peer, wire::Family family) {
  const Session& first = *parts.front();
  const PeerWatch::View watch = first.watch(peer).view();
  const BulkRequester& bulk = first.bulk(peer);
  PeerFacts facts{.active = first.is_active(peer),
                  .heard_at = first.heard_at(peer),
                  .counts = counts_of(parts, peer),
                  .unanswered = watch.unanswered,
                  .unanswered_since = watch.silent_since,
                  .phase = bulk.phase(),
                  .tries = bulk.tries(),
                  .dialect = first.dialect(peer).in_use(),
                  .dialect_is_fixed = first.dialect(peer).is_fixed(),
                  .apart = apart_of(first.dialect(peer), family)};
  for (const PeerWatch::Node& node : watch.nodes)
    if (node.heard_at != Instant{})
      facts.nodes.push_back({.address = wire::to_string(node.address, family),
                             .heard_at = node.heard_at,
                             .silent_since = node.silent_since,
                             .answered_at = node.answered_at,
                             .heard_again_at = node.heard_again_at,
                             .unanswered = node.unanswered,
                             .unanswered_long = node.unanswered_long,
                             .unanswered_ours = node.unanswered_ours});
  for (const Session* part : parts) {
    add_names(facts.unmapped_names, part->interfaces(peer).unmapped_in());
    add_names(facts.unmapped_names, part->interfaces(peer).unmapped_out());
    add_names(facts.refused_names, part->refused_names(peer));
  }
  return facts;
}

HealthFacts health_facts(const DaemonView& daemon) {
  const Config::Link& link = daemon.config.link;
  HealthFacts facts{.now = daemon.now(),
                    .link_up = daemon.link_up(),
                    .device = wire::printable(link.device),
                    .own_address = wire::to_string(link.address, link.family),
                    .mtu = link.mtu};
  std::uint64_t behind = 0, left_out = 0;
  daemon.for_each_part([&](const Session& part) {
    facts.states_refused += part.counters()[Tally::table_full].value() + part.counters()[Tally::made_room].value();
    facts.frames_received += part.counters()[Tally::ipackets].value();
    facts.names_refused += part.counters()[Tally::names_full].value();
    behind += part.counters()[Tally::parts_behind].value();
    left_out += part.counters()[Tally::updates_left_out].value();
  });
  std::vector<NamedCount> counts = daemon.counts();
  std::erase_if(counts, [](const NamedCount& count) {
    constexpr std::array words{"imissed", "ierrors", "oerrors", "onomem"};
    return std::ranges::find(words, count.word) == words.end();
  });
  counts.push_back({"parts_behind", "", behind});
  counts.push_back({"updates_left_out", "", left_out});
  for (const NamedCount& count : counts) {
    if (count.value == 0) continue;
    facts.frames_dropped += count.value;
    facts.drops += (facts.drops.empty() ? "" : ", ") + count.word;
  }
  if (daemon.standing_still)
    for (const DaemonView::Still& still : daemon.standing_still()) {
      facts.standing_still.push_back(fmt::format("{} (MTU {})", wire::printable(still.name), still.mtu));
      facts.link_stands_still |= still.is_link;
    }
  if (daemon.carp != nullptr) facts.carp = carp::trouble(*daemon.carp, facts.now);
  if (daemon.config_sync)
    if (const Json told = daemon.config_sync(); !told.value("healthy", true))
      facts.config_sync = fmt::format("config sync: {} ({} in all: pfsyncctl show config_sync)",
                                      told["alarms"].at(0).get<std::string>(), told["alarms"].size());
  if (daemon.snapshot)
    if (const Json told = daemon.snapshot(); told.is_object() && told.at("error").is_string())
      facts.snapshot = told.at("error").get<std::string>();
  if (daemon.divergence)
    if (const Json told = daemon.divergence(false)["comparison"]; told.is_object() && told.at("trouble").is_string()) {
      facts.divergence = told.at("trouble").get<std::string>();
      if (told.at("trouble_peer").is_string()) facts.divergence_peer = told.at("trouble_peer").get<std::string>();
    }
  std::vector<const Session*> parts{&daemon.session};
  parts.insert(parts.end(), daemon.others.begin(), daemon.others.end());
  for (unsigned peer = 0; peer < daemon.session.peers(); ++peer) {
    PeerFacts& one = facts.peers.emplace_back(peer_facts(parts, peer, link.family));
    one.address = peer_address(daemon, peer);
    one.is_group = daemon.config.peers.empty() && wire::is_multicast(link.family, link.destination);
    one.bulk_taking = daemon.session.bulk(peer).taking(facts.now);
    // A dead peer, or a sync network that is cut: a node with virtual addresses does not know what the others change.
    if (daemon.carp != nullptr) one.silent_since = daemon.session.silent_since(peer);
    if (daemon.sampling)
      if (const Json told = daemon.sampling(peer); told.is_object() && told.value("alarming", false))
        one.differing = {told.at("share"), told.at("low"), told.at("high"), told.at("judged")};
    const BulkSender& sender = *daemon.senders[peer];
    one.is_served = sender.running();
    one.bulks_served = sender.bulks_served();
    one.counts.names_unmapped += sender.interfaces().unmapped_out().total();
    add_names(one.unmapped_names, sender.interfaces().unmapped_out());
  }
  return facts;
}

}  // namespace pfsync::engine
