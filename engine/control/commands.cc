#include "engine/control/commands.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "engine/carp/report.h"
#include "engine/control/config_report.h"
#include "engine/control/peers_report.h"
#include "engine/control/states_report.h"
#include "wire/text.h"

namespace pfsync::engine {
namespace {

/// What is wrong with a request, on its way to the answer.
struct Refusal {
  std::string sentence;
};

Json error_json(const std::string& sentence) { return {{"ok", false}, {"error", sentence}}; }

Json answer(const Json& body) {
  Json json;
  json["ok"] = true;
  json.update(body);
  return json;
}

std::string text_of(const Json& request, const char* key) {
  const auto found = request.find(key);
  if (found == request.end() || !found->is_string()) throw Refusal{std::string{"\""} + key + "\" must be a string"};
  return found->get<std::string>();
}

bool flag_of(const Json& request, const char* key, std::optional<bool> absent) {
  const auto found = request.find(key);
  if (found == request.end() && absent) return *absent;
  if (found == request.end() || !found->is_boolean())
    throw Refusal{std::string{"\""} + key + "\" must be true or false"};
  return found->get<bool>();
}

std::size_t number_of(const Json& request, const char* key, std::size_t absent, std::size_t low, std::size_t high) {
  const auto found = request.find(key);
  if (found == request.end()) return absent;
  if (!found->is_number_unsigned() || found->get<std::uint64_t>() < low || found->get<std::uint64_t>() > high)
    throw Refusal{std::string{"\""} + key + "\" must be an integer from " + std::to_string(low) + " to " +
                  std::to_string(high)};
  return found->get<std::size_t>();
}

StateFilter filter_of(const Json& request) {
  const auto found = request.find("filter");
  if (found == request.end()) return {};
  // Who puts requests together from words may take "443" for a number.
  auto filter = parse_state_filter(found->is_number_unsigned() ? found->dump() : text_of(request, "filter"));
  if (const auto* why = std::get_if<std::string>(&filter)) throw Refusal{*why};
  return std::get<StateFilter>(filter);
}

StatesPage page_of(const Json& request, const statetable::Table& table) {
  StatesPage page;
  page.filter = filter_of(request);
  page.only_text = flag_of(request, "only_text", false);
  page.limit = number_of(request, "limit", StatesPage::limit_max, 1, StatesPage::limit_max);
  const auto cursor = request.find("cursor");
  if (cursor == request.end() || cursor->is_null()) return page;
  if (!cursor->is_object()) throw Refusal{"\"cursor\" must be the one of the page before"};
  page.cursor.shard = number_of(*cursor, "shard", 0, 0, table.shard_count());
  page.cursor.slot = number_of(*cursor, "slot", 0, 0, table.slot_count());
  return page;
}

/// Which of the peers a request is about; nothing: all.
std::optional<unsigned> peer_of(const Json& request, const DaemonView& daemon) {
  if (!request.contains("peer")) return std::nullopt;
  const std::string address = text_of(request, "peer");
  for (unsigned peer = 0; peer < daemon.session.peers(); ++peer)
    if (peer_address(daemon, peer) == address) return peer;
  throw Refusal{wire::printable(address) + " is no peer of this node: pfsyncctl show peers lists them"};
}

wire::Address address_of(const Json& request, const DaemonView& daemon) {
  const auto address = wire::parse_address(text_of(request, "address"));
  if (!address || address->first != daemon.config.link.family)
    throw Refusal{"\"address\" must be one of a node on the link, as show peers lists them"};
  const auto& peers = daemon.config.peers;
  if (std::ranges::any_of(peers, [&](const Config::Peer& peer) { return peer.address == address->second; }))
    throw Refusal{"that is a [[peer]] of the configuration: take it out there, and reload"};
  return address->second;
}

Json show(const Json& request, const DaemonView& daemon) {
  const std::string what = text_of(request, "what");
  if (what == "status") return answer(status_json(daemon, flag_of(request, "digest", false)));
  if (what == "states") return answer(states_json(daemon, page_of(request, daemon.table)));
  if (what == "counters") return answer(counters_json(daemon, flag_of(request, "sentences", false)));
  if (what == "tdbs") return answer(tdbs_json(daemon));
  if (what == "creators") return answer(creators_json(daemon));
  if (what == "peers") return answer({{"peers", peers_json(daemon)}});
  if (what == "bulk") return answer({{"bulk", bulk_json(daemon)}});
  if (what == "config") return answer({{"config", config_json(daemon.config)}});
  if (what == "carp") {
    if (daemon.carp == nullptr) throw Refusal{"this node has no virtual address: its configuration has no [[carp]]"};
    return answer(carp::status_json(*daemon.carp, daemon.now()));
  }
  if (what == "divergence") {
    if (!daemon.divergence) throw Refusal{"this node compares its table with none"};
    return answer(daemon.divergence(flag_of(request, "differences", false)));
  }
  if (what == "config_sync") {
    if (!daemon.config_sync) throw Refusal{"this node synchronizes no configuration: its own has no [config_sync]"};
    return answer(daemon.config_sync());
  }
  throw Refusal{
      "there is nothing of that name to show: give \"status\", \"states\", \"creators\", \"peers\", \"bulk\", "
      "\"counters\", \"tdbs\", \"carp\", \"config\", \"divergence\" or \"config_sync\""};
}

template <class F, class... Arguments>
Json run(const F& command, Arguments... arguments) {
  if (!command) throw Refusal{"this node cannot do that: its configuration has no such part"};
  const Outcome outcome = command(arguments...);
  if (!outcome.done) return error_json(outcome.sentence);
  return {{"ok", true}, {"sentence", outcome.sentence}, {"states", outcome.states}};
}

Json reload(const Commands& commands) {
  if (!commands.reload) throw Refusal{"this node cannot do that: its configuration came from no file"};
  const Outcome outcome = commands.reload();
  if (!outcome.done) return error_json(outcome.sentence);
  return {{"ok", true},
          {"sentence", outcome.sentence},
          {"changes", outcome.changes},
          {"restart", outcome.restart},
          {"warnings", outcome.warnings}};
}

Json snapshot(const Commands& commands) {
  const auto number = commands.snapshot ? commands.snapshot() : std::nullopt;
  if (!number) throw Refusal{"this node writes no snapshots: its configuration has no [snapshot]"};
  return {{"ok", true}, {"sentence", "a snapshot is being written"}, {"number", *number}};
}

Json dispatch(const Json& request, const DaemonView& daemon, const Commands& commands) {
  if (!request.is_object()) throw Refusal{"a request must be a JSON object"};
  const std::string command = text_of(request, "command");
  if (command == "show") return show(request, daemon);
  if (command == "resync") return run(commands.resync, peer_of(request, daemon));
  if (command == "push") return run(commands.push);
  if (command == "snapshot") return snapshot(commands);
  if (command == "reload") return reload(commands);
  if (command == "carp") {
    const auto order = carp::order_of(request);
    if (const auto* why = std::get_if<std::string>(&order)) throw Refusal{*why};
    return run(commands.carp, std::get<carp::Order>(order));
  }
  if (command == "config") {
    if (!commands.config_sync) throw Refusal{"this node synchronizes no configuration: its own has no [config_sync]"};
    return commands.config_sync(request);
  }
  if (command == "compare") {
    if (!commands.compare) throw Refusal{"this node compares its table with none"};
    return commands.compare(flag_of(request, "repair", false));
  }
  if (command == "forget") return run(commands.forget, address_of(request, daemon));
  if (command == "synthetic") return run(commands.synthetic, flag_of(request, "run", std::nullopt));
  if (command == "flush") {
    const std::string name = request.contains("interface") ? text_of(request, "interface") : "";
    // A name that is cut, by its length or a NUL in it, would flush another interface, or all.
    const wire::InterfaceName interface { name };
    if (interface.view() != name) throw Refusal{"\"interface\" must have at most 15 characters, none of them NUL"};
    return run(commands.flush, interface);
  }
  if (command == "kill" && request.contains("filter")) {
    const StatesPage page = page_of(request, daemon.table);
    if (page.filter.is_empty()) throw Refusal{"the filter is empty and would fit every state: name those to kill"};
    if (!commands.kill) return run(commands.kill, wire::StateId{});
    return kill_json(daemon, commands, page);
  }
  if (command == "kill") {
    const auto id = parse_state_id(text_of(request, "id"));
    if (!id) throw Refusal{"\"id\" must be a state's id and creator as 16 and 8 hex digits, with / between"};
    return run(commands.kill, *id);
  }
  throw Refusal{
      "there is no such command: give show, resync, push, forget, flush, kill, carp, compare, reload, snapshot or "
      "synthetic"};
}

}  // namespace

Json handle_request(const Json& request, const DaemonView& daemon, const Commands& commands) {
  try {
    return dispatch(request, daemon, commands);
  } catch (const Refusal& refusal) {
    return error_json(refusal.sentence);
  }
}

}  // namespace pfsync::engine
