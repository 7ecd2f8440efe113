#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "engine/carp/order.h"
#include "engine/control/report.h"
#include "wire/state.h"

namespace pfsync::engine {

/// How a command went; `sentence` says it to the operator.
struct Outcome {
  bool done = true;
  std::string sentence;
  std::uint64_t states = 0;  ///< how many the command touched
  // Of a reload: what changed, in words, the keys that need a restart, and what is odd about the file.
  std::vector<std::string> changes{}, restart{}, warnings{};
};

/// What an operator may make the daemon do. Each is called on the control thread and waits until the
/// data path has done it (or gives up with done = false). An empty function: not possible on this node.
struct Commands {
  std::function<Outcome(std::optional<unsigned>)> resync;  ///< ask all peers for a bulk update again, or one
  std::function<Outcome(wire::InterfaceName)> flush;       ///< own states; empty name: all
  std::function<Outcome(wire::StateId)> kill;
  std::function<Outcome(bool run)> synthetic;  ///< stop or resume the load
  std::function<Outcome()> push;               ///< announce what is queued at once
  /// Miss a node no longer that was heard and is gone for good.
  std::function<Outcome(const wire::Address&)> forget{};
  std::function<Outcome(const carp::Order&)> carp{};  ///< empty: no [[carp]] here
  /// The whole answer: the order's number, under which show config_sync tells what became of it.
  std::function<Json(const Json& request)> config_sync{};
  std::function<Outcome()> reload{};  ///< read the configuration file again
  /// Write a snapshot now. Its number, which show status counts up to once it is written or has failed; none: not here.
  std::function<std::optional<std::uint64_t>()> snapshot{};
  /// The whole answer: the comparison's number, under which show divergence tells what it found.
  std::function<Json(bool repair)> compare{};
};

/// Answers one request of the control socket. Any JSON is a possible request; every answer is an object
/// with `ok`, and `error` (one sentence) when that is false.
///   {"command": "show", "what": "status", "digest": false}
///   {"command": "show", "what": "peers"}, likewise "bulk", "config", "tdbs"
///   {"command": "show", "what": "states", "filter": "", "limit": 1000, "cursor": {"shard": 0, "slot": 0},
///    "only_text": false}: engine/control/state_filter.h, engine/control/states_report.h
///   {"command": "show", "what": "creators"}
///   {"command": "show", "what": "counters", "sentences": false}
///   {"command": "show", "what": "carp"}, {"command": "carp", "do": …}: engine/carp/order.h
///   {"command": "show", "what": "config_sync"}, {"command": "config", "do": …}: engine/config_sync/agent.h
///   {"command": "resync"}, {"command": "resync", "peer": "10.0.0.1"}, {"command": "push"}, {"command": "flush",
///   "interface": ""},
///   {"command": "kill", "id": "16 hex/8 hex"}, {"command": "synthetic", "run": true}
///   {"command": "kill", "filter": "host 10.0.0.1", "cursor": …}: as many as one request may, until "cursor" is null
///   {"command": "forget", "address": "10.0.0.2"}
///   {"command": "snapshot"}: its answer has "number", which "snapshot.answered" of the status reaches
///   {"command": "show", "what": "divergence", "differences": false}, {"command": "compare", "repair": false}:
///   engine/divergence/asker.h
///   {"command": "reload"}: its answer has "changes" and "restart", lists of text
[[nodiscard]] Json handle_request(const Json& request, const DaemonView& daemon, const Commands& commands);

}  // namespace pfsync::engine
