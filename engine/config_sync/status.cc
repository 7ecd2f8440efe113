#include "engine/config_sync/parts.h"

namespace pfsync::engine::config_sync {
namespace {

constexpr std::size_t log_lines = 20;

Json revision_json(const Stored& stored) {
  return {{"generation", stored.revision.generation},
          {"epoch", stored.revision.epoch},
          {"origin", stored.revision.origin},
          {"source", stored.source},
          {"time", stored.time_s},
          {"digest", stored.revision.digest()}};
}

std::string text_of(const std::optional<Endpoint>& endpoint) {
  if (!endpoint) return "";
  const bool is_v6 = endpoint->address.find(':') != std::string::npos;
  return (is_v6 ? "[" + endpoint->address + "]" : endpoint->address) + ":" + std::to_string(endpoint->port);
}

}  // namespace

void Agent::Parts::publish() {
  const Instant at = now();
  const bool is_primary = settings.role == Role::primary;
  const auto& current = store.current();
  Json alarms = Json::array();
  if (is_primary && sender.has_alarm(at)) alarms.push_back("the other node is out of step: " + sender.error());
  if (!extract_error.empty()) alarms.push_back("nothing can be pushed: " + extract_error);
  if (!not_applied.empty()) alarms.push_back("the file's change is neither in force nor pushed: " + not_applied);
  if (const auto epoch = receiver.other_primary())
    alarms.push_back("split: another primary, of epoch " + std::to_string(*epoch) +
                     ", speaks to this one: give one of the two the role \"secondary\"");
  for (const std::string& alarm : firewall.alarms.standing(at)) alarms.push_back(alarm);

  Json status;
  status["role"] = word(settings.role);
  status["healthy"] = alarms.empty();
  status["alarms"] = std::move(alarms);
  status["node"] = identity.node_id;
  status["cluster"] = settings.cluster;
  status["listen"] = text_of(settings.listen);
  status["peer"] = text_of(settings.peer);
  status["peer_node"] = sender.peer_id();
  status["trust"] = !settings.ca.empty() ? "authority" : pin ? "paired" : "none";
  status["in_force"] = current ? revision_json(*current) : Json{};
  status["rolled_back_from_file"] = is_primary && current && is_rolled_back(*current, toml, file);
  status["in_sync"] = nullptr;
  // What both hold may be the same, and yet not what the file says.
  if (is_primary) status["in_sync"] = sender.is_in_sync() && extract_error.empty() && not_applied.empty();
  status["error"] = !extract_error.empty() ? extract_error : !not_applied.empty() ? not_applied : sender.error();
  status["last_push"] = {{"time", last_push_s},
                         {"pushes", sender.pushes()},
                         {"failures", sender.failures()},
                         {"warnings", sender.warnings()}};
  status["peer_digest"] = sender.peer_digest();
  Json& sections = status["sections"] = Json::object();
  if (current)
    for (const auto& [name, digest] : digests_of(current->revision.sections)) sections[name] = digest;
  status["staged"] = receiver.is_staged();
  status["unconfirmed"] = receiver.is_pending();
  Json& history = status["history"] = Json::array();
  for (const auto& former : store.former())
    history.push_back({{"generation", former.generation}, {"epoch", former.epoch}});
  status["pairing"] = {{"state", word(pairing.state())}, {"code", pairing.code()}, {"why", pairing.why()}};
  if (settings.compat) {
    Json& compat = status["compat"];
    compat["listen"] = text_of(settings.compat->listen);
    compat["calls"] = firewall.calls;
    compat["refused"] = firewall.refused;
    compat["last"] = firewall.calls == 0
                         ? Json{}
                         : Json{{"time", firewall.time_s}, {"address", firewall.address}, {"method", firewall.method}};
    compat["received_but_not_applied"] = firewall.ignored;
    compat["in_force"] = compat_store.current() ? revision_json(*compat_store.current()) : Json{};
  }
  Json& log = status["log"] = Json::array();
  const auto& records = audit.records();
  for (std::size_t i = records.size() > log_lines ? records.size() - log_lines : 0; i < records.size(); ++i)
    log.push_back({{"time", records[i].time_s}, {"warning", records[i].warning}, {"sentence", records[i].sentence}});

  const std::lock_guard front{front_mutex};
  told.status = std::move(status);
  told.kept = {identity, current, compat_store.current()};
  const auto& offered = sender.offered();
  told.digest = offer && offer->stored.source == from_file ? offer->stored.revision.digest()
                : offered                                  ? offered->digest()
                                                           : "";
  told.pin = pin;
  told.pairing = pairing.is_open();
  for (Record& record : audit.take_new())
    if (told.lines.size() < Audit::kept) told.lines.push_back(std::move(record));
}

}  // namespace pfsync::engine::config_sync
