#include "engine/control/report.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <tuple>
#include <vector>

#include "engine/control/health_facts.h"
#include "engine/control/peers_report.h"
#include "engine/control/states_report.h"
#include "wire/address.h"
#include "wire/text.h"

namespace pfsync::engine {
namespace {

Json link_json(const DaemonView& daemon) {
  const Config::Link& link = daemon.config.link;
  Json json;
  json["device"] = wire::printable(link.device);
  json["address"] = wire::to_string(link.address, link.family);
  json["mtu"] = link.mtu;
  json["vlan"] = link.vlan ? Json(*link.vlan) : Json(nullptr);
  json[daemon.config.peers.empty() ? "multicast" : "peer"] = wire::to_string(link.destination, link.family);
  json["up"] = daemon.link_up();
  return json;
}

/// All peers' together: of those that run, else of the last ones.
Json serving_json(const std::vector<const BulkSender*>& senders) {
  const bool running =
      std::any_of(senders.begin(), senders.end(), [](const BulkSender* one) { return one->running(); });
  std::uint64_t sent = 0, total = 0, served = 0;
  for (const BulkSender* sender : senders) {
    served += sender->bulks_served();
    if (running && !sender->running()) continue;
    sent += sender->states_sent();
    total += sender->states_total();
  }
  return {{"running", running}, {"states_sent", sent}, {"states_total", total}, {"bulks_served", served}};
}

Json synthetic_json(const std::vector<const SyntheticFirewall*>& parts) {
  if (parts.empty()) return nullptr;
  const auto sum = [&](auto count) {
    std::uint64_t all = 0;
    for (const SyntheticFirewall* part : parts) all += (part->*count)();
    return all;
  };
  return {{"running", parts.front()->running()},
          {"opened", sum(&SyntheticFirewall::opened)},
          {"updated", sum(&SyntheticFirewall::updated)},
          {"closed", sum(&SyntheticFirewall::closed)},
          {"waited", sum(&SyntheticFirewall::waited)}};
}

/// What all parts have counted.
void sum_counters(const DaemonView& daemon, Counters& sums) {
  daemon.for_each_part([&](const Session& part) { sums.add(part.counters()); });
}

/// What the rules hold back. Null where there are none.
Json sync_rules_json(const DaemonView& daemon, const Counters& sums) {
  const std::size_t rules = daemon.session.config().sync_rules.size();
  if (rules == 0) return nullptr;
  std::size_t delayed = 0;
  daemon.for_each_part([&](const Session& part) { delayed += part.delayed(); });
  return {{"rules", rules},
          {"delayed", delayed},
          {"skipped", sums[Tally::sync_skipped].value()},
          {"short", sums[Tally::sync_short].value()}};
}

double seconds_between(Instant from, Instant to) { return std::chrono::duration<double>(to - from).count(); }

/// All but EOF, which carries nothing.
std::uint64_t messages_of(const std::array<Counter, wire::message_count>& counters) {
  std::uint64_t sum = 0;
  for (std::size_t i = 0; i < counters.size(); ++i)
    if (static_cast<wire::Message>(i) != wire::Message::eof) sum += counters[i].value();
  return sum;
}

/// Numbers that only grow: a client that asks twice has the rates.
Json totals_json(const Counters& counters) {
  Json json = Json::object();
  for (const Tally tally :
       {Tally::ipackets, Tally::opackets, Tally::inserts, Tally::updates, Tally::removals, Tally::expired})
    json[std::string{tally_table[static_cast<std::size_t>(tally)].word}] = counters[tally].value();
  json["messages_in"] = messages_of(counters.received);
  json["messages_out"] = messages_of(counters.sent);
  std::uint64_t refused = 0;
  for (const auto& row : wire::reject_table) refused += counters[row.reject].value();
  json["refused"] = refused;
  return json;
}

template <std::size_t N>
Json messages_json(const std::array<Counter, N>& counters) {
  Json json = Json::object();
  for (std::size_t i = 0; i < N; ++i) json[std::string{wire::message_words[i]}] = counters[i].value();
  return json;
}

Json key_json(const wire::Key& key, wire::Family family) {
  Json hosts = Json::array();
  for (std::size_t i = 0; i < 2; ++i) hosts.push_back(wire::host_text(key.addr[i], family, key.port[i]));
  return hosts;
}

Json peer_json(const wire::Peer& peer) {
  return {{"state", peer.state},     {"seqlo", peer.seqlo}, {"seqhi", peer.seqhi},  {"seqdiff", peer.seqdiff},
          {"max_win", peer.max_win}, {"mss", peer.mss},     {"wscale", peer.wscale}};
}

std::string_view direction_word(wire::Direction direction) {
  if (direction == wire::Direction::in) return "in";
  return direction == wire::Direction::out ? "out" : "inout";
}

/// The one that an operator should know of: what failed, then what is on its way.
const BulkRequester& slowest_bulk(const Session& session) {
  constexpr std::array order{BulkPhase::none, BulkPhase::done, BulkPhase::receiving, BulkPhase::asked,
                             BulkPhase::failed};
  const auto rank = [&order](BulkPhase phase) { return std::find(order.begin(), order.end(), phase) - order.begin(); };
  unsigned worst = 0;
  for (unsigned i = 1; i < session.peers(); ++i)
    if (rank(session.bulk(i).phase()) > rank(session.bulk(worst).phase())) worst = i;
  return session.bulk(worst);
}

/// How long a peer takes to answer a new state: the lag of the sync. Null where nothing was held for an answer.
Json insert_ack_json(const DaemonView& daemon) {
  Latency latency;
  daemon.for_each_part([&](const Session& part) { latency.add(part.insert_latency()); });
  return latency_json(latency);
}

}  // namespace

const Health& health_of(const DaemonView& daemon) { return daemon.health->judge(health_facts(daemon)); }

Json reasons_json(const Health& health) {
  Json reasons = Json::array();
  for (const Reason& reason : health.reasons)
    reasons.push_back({{"level", word(reason.level)},
                       {"trouble", word(reason.trouble)},
                       {"peer", reason.peer.empty() ? Json(nullptr) : Json(reason.peer)},
                       {"sentence", reason.sentence}});
  return reasons;
}

Json status_json(const DaemonView& daemon, bool with_digest) {
  const Health& health = health_of(daemon);
  Json json;
  json["name"] = "pfsyncd";
  json["version"] = daemon.version;
  json["healthy"] = health.is_healthy();
  json["verdict"] = word(health.verdict);
  json["reason"] = health.reason;
  json["reasons"] = reasons_json(health);
  json["uptime_s"] = seconds_between(daemon.started, daemon.now());
  json["creatorid"] = creatorid_text(daemon.session.config().creatorid);
  const PeerDialect& dialect = daemon.session.dialect();
  json["dialect"] = wire::word(dialect.in_use());
  json["dialect_from"] = origin_word(dialect);
  json["dialect_changes"] = dialect.changes();
  json["link"] = link_json(daemon);
  json["states"] = daemon.table.size();
  json["states_max"] = daemon.table.config().states_max;
  json["creators"] = creators_json(daemon);
  json["queued"] = daemon.queued();
  json["bulk"] = asked_json(slowest_bulk(daemon.session), daemon.now());
  json["serving"] = serving_json(daemon.senders);
  json["peers"] = peers_json(daemon);
  json["synthetic"] = synthetic_json(daemon.synthetic);
  Counters sums;
  sum_counters(daemon, sums);
  json["sync_rules"] = sync_rules_json(daemon, sums);
  json["insert_ack"] = insert_ack_json(daemon);
  json["totals"] = totals_json(sums);
  json["snapshot"] = daemon.snapshot ? daemon.snapshot() : Json(nullptr);
  json["divergence"] = daemon.divergence ? daemon.divergence(false) : Json(nullptr);
  json["process"] = daemon.process ? daemon.process() : Json(nullptr);
  if (with_digest) {
    const statetable::Digest digest = daemon.table.digest();
    json["digest"] = digest_text(digest);
    json["digest_states"] = digest.states;
  }
  return json;
}

Json counters_json(const DaemonView& daemon, bool with_sentences) {
  Counters counters;
  sum_counters(daemon, counters);
  Json words = Json::object(), sentences = Json::object();
  const auto add = [&](const auto& row, std::uint64_t value) {
    words[std::string{row.word}] = value;
    sentences[std::string{row.word}] = row.sentence;
  };
  for (const auto& row : tally_table) add(row, counters[row.tally].value());
  for (const auto& row : wire::reject_table) add(row, counters[row.reject].value());
  // Fields that every dialect carries cannot be lost.
  const Losses& live = counters.lost;
  const auto in_bulks = [&](auto&& count) {
    std::uint64_t sum = 0;
    for (const BulkSender* sender : daemon.senders) sum += count(sender->lost()).value();
    return sum;
  };
  for (const wire::FieldInfo& row : wire::field_table) {
    if (!wire::can_be_lost(row)) continue;
    const auto i = static_cast<std::size_t>(row.field);
    const std::string word = "lost_" + std::string{row.word};
    words[word] =
        live.fields[i].value() + in_bulks([i](const Losses& lost) -> const Counter& { return lost.fields[i]; });
    const bool of_tdb = row.field == wire::Field::tdb_rpl || row.field == wire::Field::tdb_rdomain;
    sentences[word] =
        of_tdb ? "IPsec counters not sent: the peer's dialect has no words for their " + std::string{row.word.substr(4)}
               : "states sent without their " + std::string{row.word} + ", for which the peer's dialect has no words";
  }
  words["lost_states"] =
      live.states.value() + in_bulks([](const Losses& lost) -> const Counter& { return lost.states; });
  sentences["lost_states"] = "states not sent at all: their two address families cannot be said in the peer's dialect";
  words["lost_updates"] = live.updates.value();
  sentences["lost_updates"] = "updates and deletes not sent: of states that the peer cannot have, see lost_states";
  std::uint64_t unmapped_in = 0, unmapped_out = 0;
  for (unsigned i = 0; i < daemon.session.peers(); ++i) {
    daemon.for_each_part([&](const Session& part) {
      unmapped_in += part.interfaces(i).unmapped_in().total();
      unmapped_out += part.interfaces(i).unmapped_out().total();
    });
    unmapped_out += daemon.senders[i]->interfaces().unmapped_out().total();
  }
  words["ifname_unmapped_in"] = unmapped_in;
  sentences["ifname_unmapped_in"] = "interface names received that the peer's interface_map has no row for";
  words["ifname_unmapped_out"] = unmapped_out;
  sentences["ifname_unmapped_out"] = "interface names sent that the peer's interface_map has no row for";
  Json outside = Json::object();
  for (const NamedCount& count : daemon.counts()) {
    outside[count.word] = count.value;
    sentences[count.word] = count.sentence;
  }
  Json json;
  json["counters"] = std::move(words);
  json["received"] = messages_json(counters.received);
  json["sent"] = messages_json(counters.sent);
  json["outside"] = std::move(outside);
  if (with_sentences) json["sentences"] = std::move(sentences);
  return json;
}

Json tdbs_json(const DaemonView& daemon) {
  const Seconds now_s = statetable::to_seconds(daemon.now());
  const TdbTable& table = daemon.session.tdbs();
  std::vector<TdbTable::Entry> entries;
  for (std::size_t place = 0; place < table.places(); ++place)
    if (const auto entry = table.read(place, now_s)) entries.push_back(*entry);
  std::ranges::sort(entries, [](const auto& a, const auto& b) {
    return std::tie(b.heard_s, a.tdb.spi) < std::tie(a.heard_s, b.tdb.spi);
  });
  Json tdbs = Json::array();
  for (const auto& [tdb, heard_s] : entries)
    tdbs.push_back({{"spi", fmt::format("{:08x}", tdb.spi)},
                    {"dst", wire::to_string(tdb.dst, tdb.af)},
                    {"protocol", wire::protocol_text(tdb.sproto)},
                    {"rdomain", tdb.rdomain},
                    {"rpl", tdb.rpl},
                    {"cur_bytes", tdb.cur_bytes},
                    {"heard_s", now_s - heard_s}});
  return {{"tdbs", std::move(tdbs)}};
}

Json state_json(const wire::State& state) {
  Json json;
  json["id"] = state_id_text(state.id);
  json["interface"] = wire::printable(state.ifname.view());
  json["protocol"] = wire::protocol_text(state.proto);
  json["direction"] = direction_word(state.direction);
  json["wire"] = key_json(state.key[wire::wire_side], state.af);
  json["stack"] = key_json(state.key[wire::stack_side], state.af);
  json["levels"] = wire::levels_text(state.proto, state.src.state, state.dst.state);
  json["src"] = peer_json(state.src);
  json["dst"] = peer_json(state.dst);
  json["timeout"] = wire::timeout_text(state.timeout);
  json["age_s"] = state.creation_s;
  json["expires_s"] = state.expire_s;
  json["packets"] = state.packets;
  json["bytes"] = state.bytes;
  json["rule"] = state.rule == wire::no_rule ? Json(nullptr) : Json(state.rule);
  json["text"] = wire::state_text(state);
  return json;
}

std::string digest_text(const statetable::Digest& digest) {
  return fmt::format("{:016x}{:016x}", digest.high, digest.low);
}

}  // namespace pfsync::engine
