#include "engine/control/peers_report.h"

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>

#include "wire/text.h"

namespace pfsync::engine {
namespace {

double seconds_of(statetable::Duration duration) { return std::chrono::duration<double>(duration).count(); }

/// States a second; 0 where the time is too short to tell.
double rate_of(std::uint64_t states, statetable::Duration taking) {
  constexpr double shortest_s = 0.001;
  const double seconds = seconds_of(taking);
  return seconds < shortest_s ? 0 : static_cast<double>(states) / seconds;
}

/// The names of a peer's interfaces, and of ours towards it, that its map has no row for.
Json unmapped_json(const DaemonView& daemon, unsigned peer) {
  struct Count {
    std::uint64_t in = 0, out = 0;
  };
  std::map<std::string, Count> names;
  const auto each = [](const UnmappedNames& unmapped, auto&& f) {
    for (std::size_t i = 0; i < unmapped.size(); ++i) f(wire::printable(unmapped.name(i).view()), unmapped.count(i));
  };
  const auto add_in = [&](const std::string& name, std::uint64_t count) { names[name].in += count; };
  const auto add_out = [&](const std::string& name, std::uint64_t count) { names[name].out += count; };
  daemon.for_each_part([&](const Session& part) {
    each(part.interfaces(peer).unmapped_in(), add_in);
    each(part.interfaces(peer).unmapped_out(), add_out);
  });
  each(daemon.senders[peer]->interfaces().unmapped_out(), add_out);
  Json json = Json::array();
  for (const auto& [name, count] : names) json.push_back({{"name", name}, {"in", count.in}, {"out", count.out}});
  return json;
}

Json map_json(const InterfaceMap& map) {
  Json json = Json::object();
  for (const InterfaceMap::Row& row : map.rows())
    json[wire::printable(row.ours.view())] = wire::printable(row.theirs.view());
  return json;
}

/// Who was heard within the last hour.
Json heard_json(const PeerDialect& dialect, wire::Family family, Instant now) {
  Json nodes = Json::array();
  for (const PeerDialect::Heard& node : dialect.heard_lately())
    nodes.push_back({{"address", wire::to_string(node.address, family)},
                     {"heard_s", seconds_of(std::max(now - node.at, statetable::Duration::zero()))},
                     {"header_version", node.header_version},
                     {"dialect", node.told ? Json(wire::word(*node.told)) : Json(nullptr)}});
  return nodes;
}

std::string source_of(const DaemonView& daemon, unsigned peer) {
  const Config& config = daemon.config;
  const bool has_own = peer < config.peers.size() && config.peers[peer].source;
  return wire::to_string(has_own ? *config.peers[peer].source : config.link.address, config.link.family);
}

/// By any of the cores.
std::optional<Instant> last_sent(const DaemonView& daemon, unsigned peer) {
  std::optional<Instant> at;
  daemon.for_each_part([&](const Session& part) { at = std::max(at, part.sent_at(peer)); });
  return at;
}

PeerHealth health_of_peer(const DaemonView& daemon, unsigned peer) {
  const auto& all = daemon.health->last().peers;
  const std::string address = peer_address(daemon, peer);
  const auto found = std::ranges::find_if(all, [&](const PeerHealth& one) { return one.address == address; });
  return found == all.end() ? PeerHealth{} : *found;
}

Json loss_json(const LossEstimate& loss) {
  return {{"percent", loss.percent}, {"low", loss.low},   {"high", loss.high},
          {"missed", loss.missed},   {"told", loss.told}, {"window_s", loss.window_s}};
}

/// What was counted of this peer alone.
Json tallies_json(const DaemonView& daemon, unsigned peer) {
  Json counts = Json::object();
  for (const PeerTallyInfo& row : peer_tally_table) {
    std::uint64_t sum = 0;
    daemon.for_each_part([&](const Session& part) { sum += part.tallies(peer)[row.tally].value(); });
    counts[std::string{row.word}] = sum;
  }
  return counts;
}

/// Whether each of its nodes answers.
Json answers_json(const PeerWatch& watch, wire::Family family, Instant now) {
  const auto since = [now](Instant at) { return Json(seconds_of(std::max(now - at, statetable::Duration::zero()))); };
  Json nodes = Json::array();
  for (const PeerWatch::Node& node : watch.nodes())
    nodes.push_back({{"address", wire::to_string(node.address, family)},
                     {"heard_s", since(node.heard_at)},
                     {"answered_s", node.answered_at == Instant{} ? Json(nullptr) : since(node.answered_at)},
                     {"unanswered", node.unanswered}});
  return nodes;
}

}  // namespace

Json latency_json(const Latency& latency) {
  if (latency.count() == 0) return nullptr;
  Json classes = Json::object();
  for (std::size_t i = 0; i < Latency::classes; ++i)
    if (latency.count(i) > 0) classes[std::to_string(Latency::bound_us(i))] = latency.count(i);
  return {{"count", latency.count()},
          {"sum_us", latency.sum_us()},
          {"p50_us", latency.percentile_us(50)},
          {"p99_us", latency.percentile_us(99)},
          {"below_us", std::move(classes)}};
}

std::string_view origin_word(const PeerDialect& dialect) {
  if (dialect.is_fixed()) return "fixed";
  return dialect.is_learned() ? "learned" : "default";
}

Json asked_json(const BulkRequester& bulk, Instant now) {
  const bool is_asked = bulk.phase() != BulkPhase::none;
  const auto due = bulk.due();
  return {{"phase", word(bulk.phase())},
          {"tries", bulk.tries()},
          {"tries_max", 1 + BulkRequester::tries_max},
          {"states_received", bulk.states()},
          {"taking_s", is_asked ? Json(seconds_of(bulk.taking(now))) : Json(nullptr)},
          {"rate_per_s", is_asked ? rate_of(bulk.states(), bulk.taking(now)) : 0},
          {"next_try_s", due ? Json(std::max(seconds_of(*due - now), 0.0)) : Json(nullptr)}};
}

Json serving_json(const BulkSender& sender, Instant now) {
  const double rate = rate_of(sender.states_sent(), sender.taking(now));
  Json eta = nullptr;
  if (sender.running() && rate > 0)
    eta = sender.states_total() <= sender.states_sent()
              ? 0.0
              : static_cast<double>(sender.states_total() - sender.states_sent()) / rate;
  return {{"running", sender.running()},
          {"states_sent", sender.states_sent()},
          {"states_total", sender.states_total()},
          {"taking_s", seconds_of(sender.taking(now))},
          {"rate_per_s", rate},
          {"eta_s", std::move(eta)},
          {"limit_per_s", sender.states_per_s()},
          {"bulks_served", sender.bulks_served()},
          {"requests_merged", sender.requests_merged()}};
}

std::string peer_address(const DaemonView& daemon, unsigned peer) {
  const Config& config = daemon.config;
  return wire::to_string(peer < config.peers.size() ? config.peers[peer].address : config.link.destination,
                         config.link.family);
}

Json peers_json(const DaemonView& daemon) {
  const Session& session = daemon.session;
  const auto since = [&](const std::optional<Instant>& at) {
    return at ? Json(seconds_of(std::max(daemon.now() - *at, statetable::Duration::zero()))) : Json(nullptr);
  };
  const Instant now = daemon.now();
  Json peers = Json::array();
  for (unsigned i = 0; i < session.peers(); ++i) {
    const PeerDialect& dialect = session.dialect(i);
    const auto sent_at = last_sent(daemon, i);
    const auto bus = session.bulk(i).round_trip();
    const PeerHealth health = health_of_peer(daemon, i);
    std::uint64_t queued = 0;
    daemon.for_each_part([&](const Session& part) { queued += part.queued_for(i); });
    peers.push_back({{"address", peer_address(daemon, i)},
                     {"source", source_of(daemon, i)},
                     {"active", session.is_active(i)},
                     {"heard_s", since(session.heard_at(i))},
                     {"sent_s", since(sent_at)},
                     {"queued", queued},
                     {"dialect", wire::word(dialect.in_use())},
                     {"dialect_from", origin_word(dialect)},
                     {"dialect_changes", dialect.changes()},
                     {"not_understood_by", dialect.apart()},
                     {"interfaces_mapped", session.interfaces(i).map().rows().size()},
                     {"interface_map", map_json(session.interfaces(i).map())},
                     {"interfaces_unmapped", unmapped_json(daemon, i)},
                     {"nodes", heard_json(dialect, daemon.config.link.family, now)},
                     {"answers", answers_json(session.watch(i), daemon.config.link.family, now)},
                     {"round_trip", latency_json(session.watch(i).round_trip())},
                     {"bulk_round_trip_s", bus ? Json(seconds_of(*bus)) : Json(nullptr)},
                     {"loss_in", loss_json(health.loss_in)},
                     {"loss_out", loss_json(health.loss_out)},
                     {"unknown_per_s", health.unknown_per_s},
                     {"stale_per_s", health.stale_per_s},
                     {"counts", tallies_json(daemon, i)},
                     {"bulk", asked_json(session.bulk(i), now)},
                     {"serving", serving_json(*daemon.senders[i], now)},
                     {"sampling", daemon.sampling ? daemon.sampling(i) : Json(nullptr)}});
  }
  return peers;
}

Json bulk_json(const DaemonView& daemon) {
  const Instant now = daemon.now();
  Json peers = Json::array();
  for (unsigned i = 0; i < daemon.session.peers(); ++i)
    peers.push_back({{"address", peer_address(daemon, i)},
                     {"active", daemon.session.is_active(i)},
                     {"bulk", asked_json(daemon.session.bulk(i), now)},
                     {"serving", serving_json(*daemon.senders[i], now)}});
  return peers;
}

}  // namespace pfsync::engine
