#include "engine/carp/report.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "wire/text.h"

namespace pfsync::engine::carp {
namespace {

double seconds(Duration duration) { return std::chrono::duration<double>(duration).count(); }

std::string text_of(const Source& source) {
  return source.family == wire::Family::none ? "this node" : wire::to_string(source.address, source.family);
}

/// Whether it goes on. A wrong HMAC that has been explained since is no other password.
bool is_current(const HostStatus& status, Mistake mistake, Instant now) {
  const Sighting& sighting = status.mistakes[static_cast<std::size_t>(mistake)];
  const Sighting& explained = status.mistakes[static_cast<std::size_t>(Mistake::addresses_differ)];
  const bool is_over = mistake == Mistake::wrong_password && Watch::is_fresh(explained, now) &&
                       explained.source == sighting.source && explained.at >= sighting.at;
  return Watch::is_fresh(sighting, now) && !is_over;
}

const MistakeInfo& info(Mistake mistake) { return mistake_table[static_cast<std::size_t>(mistake)]; }

/// `host`: null where it is not known any more.
std::string sentence_of(Mistake mistake, const Source& source, const wire::CarpAddress& odd, const HostConfig* host) {
  std::string sentence = text_of(source) + " " + std::string{info(mistake).sentence};
  if (odd.family == wire::Family::none || host == nullptr) return sentence;
  const bool is_ours = std::find(host->addresses.begin(), host->addresses.end(), odd) != host->addresses.end();
  return sentence + ": " + wire::to_string(odd.address, odd.family) +
         (is_ours ? " is missing there" : " is missing here");
}

bool verifies(const Settings& settings, std::string_view password, const std::vector<wire::CarpAddress>& addresses,
              const wire::CarpAdvert& advert) {
  return wire::CarpDigest{wire::carp_key(password), settings.host.vhid, addresses}.verifies(advert);
}

Json heard_json(const HostStatus& status, Instant now) {
  if (!status.heard) return nullptr;
  return {{"source", text_of(status.source)},
          {"seconds_ago", seconds(now - status.heard_at)},
          {"advbase", status.advert.advbase},
          {"advskew", status.advert.advskew},
          {"demote", status.advert.demote}};
}

Json mistakes_json(const HostStatus& status, const Settings& settings, Instant now) {
  Json list = Json::array();
  for (const MistakeInfo& row : mistake_table) {
    const Sighting& sighting = status.mistakes[static_cast<std::size_t>(row.mistake)];
    if (sighting.count == 0) continue;
    std::string sentence = sentence_of(row.mistake, sighting.source, sighting.odd, &settings.host);
    if (row.mistake == Mistake::wrong_password) sentence += ": " + diagnosis(settings, sighting.advert);
    list.push_back({{"mistake", row.word},
                    {"now", is_current(status, row.mistake, now)},
                    {"source", text_of(sighting.source)},
                    {"seconds_ago", seconds(now - sighting.at)},
                    {"count", sighting.count},
                    {"sentence", sentence}});
  }
  return list;
}

/// The last ones, oldest first.
template <class T, class F>
Json last_json(const std::array<T, 8>& ring, std::uint32_t count, F&& as_json) {
  Json list = Json::array();
  for (std::uint32_t i = count > ring.size() ? count - static_cast<std::uint32_t>(ring.size()) : 0; i < count; ++i)
    list.push_back(as_json(ring[i % ring.size()]));
  return list;
}

/// Calls f(settings, node, its host's number) for every virtual host.
template <class F>
void for_each_host(const View& view, F&& f) {
  std::vector<std::size_t> next(view.nodes.size());
  for (const Settings& settings : view.settings) f(settings, *view.nodes[settings.port], next[settings.port]++);
}

Json host_json(const Settings& settings, const Node& node, std::size_t index, Instant now) {
  const HostStatus status = node.status(index);
  Json json;
  json["interface"] = wire::printable(node.config().name);
  json["vhid"] = status.vhid;
  json["state"] = node.enabled() ? word(status.state) : "DISABLED";
  json["seconds"] = seconds(now - status.since);
  json["advbase"] = status.advbase;
  json["advskew"] = status.advskew;
  json["skew_now"] = status.skew_now;
  json["addresses"] = Json::array();
  for (const std::string& text : settings.address_texts) json["addresses"].push_back(wire::printable(text));
  json["mac"] = wire::to_string(wire::carp_mac(status.vhid));
  json["heard"] = heard_json(status, now);
  json["adverts_in"] = status.adverts_in;
  json["adverts_out"] = status.adverts_out;
  json["badauth"] = status.badauth;
  json["transitions"] = {{word(State::init), status.entered[0]},
                         {word(State::backup), status.entered[1]},
                         {word(State::master), status.entered[2]}};
  json["mistakes"] = mistakes_json(status, settings, now);
  for (const MistakeInfo& row : mistake_table)
    json["mistake_counts"][std::string{row.word}] = status.mistakes[static_cast<std::size_t>(row.mistake)].count;
  json["moves"] = last_json(status.move, status.moves, [&](const HostStatus::Move& move) -> Json {
    return {{"seconds_ago", seconds(now - move.at)},
            {"from", word(move.from)},
            {"to", word(move.to)},
            {"reason", reason(move.event)}};
  });
  json["masters"] = last_json(status.reign, status.reigns, [&](const HostStatus::Reign& reign) -> Json {
    return {{"seconds_ago", seconds(now - reign.at)},
            {"master", reign.is_vacant ? "nobody known" : text_of(reign.source)}};
  });
  return json;
}

}  // namespace

std::string sentence_of(const Entry& entry, const View& view) {
  const std::string& port = view.nodes[entry.port]->config().name;
  switch (entry.kind) {
    case Entry::Kind::moved:
      return fmt::format("carp: {}@{}: {} -> {} ({})", entry.vhid, port, word(entry.from), word(entry.to),
                         reason(entry.event));
    case Entry::Kind::demoted: {
      const CauseInfo& cause = cause_table[static_cast<std::size_t>(entry.cause)];
      const std::string_view ends = entry.failed ? cause.fails : cause.ends;
      return fmt::format("carp: demoted by {} to {} ({}{})", entry.delta, entry.total, entry.on ? cause.begins : ends,
                         entry.cause == Cause::send_errors ? " on " + port : "");
    }
    case Entry::Kind::sync:
      return entry.on ? "carp: in sync: this node takes over from slower masters"
                      : "carp: not in sync: this node takes over from no slower master";
    case Entry::Kind::mistake: {
      const auto its = std::ranges::find_if(view.settings, [&](const Settings& settings) {
        return settings.port == entry.port && settings.host.vhid == entry.vhid;
      });
      const HostConfig* host = its == view.settings.end() ? nullptr : &its->host;
      return fmt::format("carp: {}@{}: {}", entry.vhid, port,
                         sentence_of(entry.mistake, {entry.family, entry.source}, entry.odd, host));
    }
  }
  return "";
}

std::string diagnosis(const Settings& settings, const wire::CarpAdvert& advert) {
  const HostConfig& host = settings.host;
  const std::string as_pfsense = wire::as_pfsense_hands_over(settings.typed_password);
  if (host.password != as_pfsense && verifies(settings, as_pfsense, host.addresses, advert))
    return "the password fits in pfSense's form: set password_form = \"pfsense\"";
  if (host.password != settings.typed_password && verifies(settings, settings.typed_password, host.addresses, advert))
    return "the password fits as it is typed: set password_form = \"raw\"";
  if (!host.password.empty() && verifies(settings, "", host.addresses, advert)) return "there is no password there";
  return "compare the password and all addresses of the VHID on both nodes";
}

std::string trouble(const View& view, Instant now) {
  std::string first;
  for_each_host(view, [&](const Settings& settings, const Node& node, std::size_t index) {
    if (!first.empty()) return;
    const HostStatus status = node.status(index);
    const std::string name = fmt::format("carp {}@{}: ", status.vhid, node.config().name);
    for (const MistakeInfo& row : mistake_table)
      if (const Sighting& sighting = status.mistakes[static_cast<std::size_t>(row.mistake)];
          first.empty() && is_current(status, row.mistake, now))
        first = name + sentence_of(row.mistake, sighting.source, sighting.odd, &settings.host);
    if (first.empty() && node.enabled() && status.state == State::init) first = name + "is in INIT: the link is down";
  });
  if (!first.empty()) return first;
  const auto parts = view.demotion.seen();
  for (const Cause cause : {Cause::interface_down, Cause::send_errors})
    if (parts[static_cast<std::size_t>(cause)] != 0)
      return fmt::format("carp: this node stands back by {} ({})", parts[static_cast<std::size_t>(cause)],
                         cause_table[static_cast<std::size_t>(cause)].begins);
  return "";
}

Json status_json(const View& view, Instant now) {
  const std::string why = trouble(view, now);
  const auto parts = view.demotion.seen();
  Json json;
  json["healthy"] = why.empty();
  json["reason"] = why.empty() ? "all is well" : why;
  json["enabled"] = view.nodes.front()->enabled();
  json["maintenance"] = parts[static_cast<std::size_t>(Cause::maintenance)] != 0;
  int total = 0;
  Json named = Json::object();
  for (const CauseInfo& row : cause_table) {
    const int part = parts[static_cast<std::size_t>(row.cause)];
    total += part;
    if (part != 0) named[std::string{row.word}] = part;
  }
  json["demotion"] = total;
  json["in_sync"] = view.demotion.may_preempt();
  json["demotion_parts"] = named;
  json["hosts"] = Json::array();
  for_each_host(view, [&](const Settings& settings, const Node& node, std::size_t index) {
    json["hosts"].push_back(host_json(settings, node, index, now));
  });
  json["log_dropped"] = view.journal.dropped();
  json["counters"] = counters_json(view);
  json["sentences"] = sentences_json();
  return json;
}

Json counters_json(const View& view) {
  const auto sum = [&](auto what) {
    std::uint64_t all = 0;
    for (const Node* node : view.nodes) all += node->counters()[what].value();
    return all;
  };
  Json json = Json::object();
  for (const TallyInfo& row : tally_table) json[std::string{row.word}] = sum(row.tally);
  for (const auto& row : wire::carp_reject_table) json[std::string{row.word}] = sum(row.reject);
  std::array<std::uint64_t, mistake_count> mistakes{};
  for_each_host(view, [&](const Settings&, const Node& node, std::size_t index) {
    const HostStatus status = node.status(index);
    for (std::size_t i = 0; i < mistake_count; ++i) mistakes[i] += status.mistakes[i].count;
  });
  for (const MistakeInfo& row : mistake_table)
    json["mistake_" + std::string{row.word}] = mistakes[static_cast<std::size_t>(row.mistake)];
  return json;
}

Json sentences_json() {
  Json json = Json::object();
  for (const TallyInfo& row : tally_table) json[std::string{row.word}] = row.sentence;
  for (const auto& row : wire::carp_reject_table) json[std::string{row.word}] = row.sentence;
  for (const MistakeInfo& row : mistake_table)
    json["mistake_" + std::string{row.word}] = fmt::format("times that a node was heard that {}", row.sentence);
  return json;
}

}  // namespace pfsync::engine::carp
