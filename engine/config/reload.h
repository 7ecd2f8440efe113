#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "engine/config/config.h"

namespace pfsync::engine {

/// How much of a new configuration is wanted when some of it needs a restart.
enum class Demand : std::uint8_t {
  shared,   ///< all that both nodes of a pair have in common: else nothing changes; what is each node's own may wait
  possible  ///< what can change while the daemon runs; the rest is named
};

/// What lies between the configuration at work and another one.
struct Difference {
  /// A virtual host or a peer: where it stood in the former list; none: it is new.
  using Before = std::optional<std::size_t>;

  Config next;         ///< what is at work once all that can change has changed
  bool hosts = false;  ///< `next.carp` is another: hosts added, removed or changed
  bool peers = false;  ///< `next.peers`, or what the link says of its group, is another
  std::vector<Before>
      peers_before;        ///< for each of next.peers, or for the group: nothing of it is lost where one is named
  bool sources = false;    ///< link.sources
  bool timeouts = false;   ///< table.timeouts
  bool pace = false;       ///< sync.maxupd, sync.delay_ms, sync.request_bulk
  bool bulk_rate = false;  ///< sync.bulk_states_per_s
  bool log_level = false;
  bool snapshot = false;  ///< [snapshot]

  std::vector<std::string> changes;  ///< each change in words, secrets left out
  std::vector<std::string> restart;  ///< the keys that differ and need a restart

  [[nodiscard]] bool is_none() const noexcept { return changes.empty() && restart.empty(); }
};

/// Both have passed the validator; so has `next`, since what depends on a key that needs a restart waits with it.
/// What is equal is kept as it is, whatever its place in a list.
[[nodiscard]] Difference difference(const Config& current, const Config& wanted);

/// The words with `between` between them.
[[nodiscard]] std::string joined(const std::vector<std::string>& words, std::string_view between);

/// One sentence for the operator: what changed, and what needs a restart.
[[nodiscard]] std::string sentence_of(const Difference& difference);

}  // namespace pfsync::engine
