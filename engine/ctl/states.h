#pragma once

#include <string>
#include <variant>
#include <vector>

#include "engine/ctl/client.h"

namespace pfsync::engine::ctl {

struct StatesOptions {
  std::string filter;  ///< engine/control/state_filter.h; empty: all
  bool json = false;
  bool verbose = false;
};

/// The state table on standard output, page after page: neither end ever holds it whole. What went wrong on the way.
[[nodiscard]] std::variant<std::monostate, Unreached, std::string> show_states(Client& client,
                                                                               const StatesOptions& options);

/// Kills all that fit, and sums up the daemon's answers as one; what it refuses is its last answer.
[[nodiscard]] std::variant<Json, Unreached> kill_states(Client& client, const std::string& filter);

/// What `show creators` prints: a line for each node, in the manner of `pfctl -sc`.
[[nodiscard]] std::string creators_text(const Json& answer);

/// The words after `kill`, and those of `-k`, as pfctl(8) has them, as one filter: "-k HOST" is what comes from there,
/// "-k HOST -k HOST" from one to the other, "-k id -k ID[/CREATOR]" one state.
[[nodiscard]] std::string filter_text(const std::vector<std::string>& words, const std::vector<std::string>& of_k);

}  // namespace pfsync::engine::ctl
