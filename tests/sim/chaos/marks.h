#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "engine/counters.h"

namespace pfsync::sim::chaos {

/// Paths that a run can take, and that no counter of a session tells. Beside them every word of its counters is a mark.
inline constexpr auto mark_words = std::to_array<std::string_view>({
    // network
    "net: frame lost",
    "net: frame lost in a burst",
    "net: frame overtaken",
    "net: frame doubled",
    "net: frame with a wrong check sequence",
    "net: frame garbled",
    "net: frame into a cut path",
    "net: frame longer than the MTU",
    "net: of IPv6",
    "shape: group",
    "shape: hub",
    "shape: pair",
    // nodes
    "node: crashed",
    "node: crashed in a write",
    "node: ended orderly",
    "node: all lost their power",
    "node: frozen",
    "node: frozen for three seconds and more",
    "node: queue full while frozen",
    "node: its link came up again",
    "node: started without a link",
    "node: upgraded to another dialect",
    "node: refused as a kernel does",
    // pfsync
    "bulk: asked",
    "bulk: asked again",
    "bulk: done",
    "bulk: failed",
    "bulk: asked after it had failed",
    "bulk: served",
    "bulk: a request joined",
    "bulk: broken off since another speaks",
    "bulk: a clear waits for frames",
    "clear: flushed by a firewall",
    "hub: a peer is spoken with",
    "hub: a peer is another's to speak with",
    "peer: silent",
    "peer: heard again",
    "peer: its dialect named by the operator",
    // CARP
    "carp: initialization complete",
    "carp: shutting down",
    "carp: master timed out",
    "carp: user requested",
    "carp: preempting a slower master",
    "carp: master will time out",
    "carp: more frequent advertisement received",
    "carp: a farewell",
    "carp: two masters healed",
    "carp: demoted by a bulk update",
    "carp: demoted by the operator",
    "carp: out of sync, so it does not preempt",
    "carp: a mistake of another was named",
    // snapshot
    "snapshot: written",
    "snapshot: given up by a crash",
    "snapshot: failed, the disk is full",
    "snapshot: restored",
    "snapshot: of a clock ahead",
    "snapshot: torn, refused",
    "snapshot: none there",
    "snapshot: states had expired",
    "snapshot: states beyond what fits or refused",
    // configuration sync
    "config: pushed and confirmed",
    "config: request lost",
    "config: answer lost",
    "config: the other node refused",
    "config: rolled back, not confirmed",
    "config: rolled back at a start",
    "config: staged, expired",
    "config: found confirmed already",
    "config: the disk refused",
    "config: a change adopted by a session",
    "config: renewed by the operator",
    // lies
    "liar: a lie was told",
    "liar: a state that exists was lied about",
    "judge: a state that ended was held",
    "judge: a clear ended a state",
    "judge: a state that a clear ended was told again",
    "judge: a state that a clear ended was held again",
    "judge: a window was compared",
    "judge: a restored window was compared",
    "judge: what came and went was counted up",
    "judge: a full table was seen",
    "judge: a queue of ids was full",
    "judge: as many answers as are allowed",
    "judge: changes held for a peer of another",
});

/// How often each was met.
class Marks {
 public:
  void meet(std::string_view word, std::uint64_t times = 1) { counts_[std::string{word}] += times; }
  void add(const Marks& others) {
    for (const auto& [word, count] : others.counts_) counts_[word] += count;
  }
  /// What a session has counted in its life.
  void add(const engine::Counters& counters);
  [[nodiscard]] std::uint64_t of(std::string_view word) const {
    const auto found = counts_.find(std::string{word});
    return found == counts_.end() ? 0 : found->second;
  }
  [[nodiscard]] const std::map<std::string, std::uint64_t>& counts() const { return counts_; }

 private:
  std::map<std::string, std::uint64_t> counts_;
};

/// All that there are, whether met or not.
[[nodiscard]] std::vector<std::string> all_marks();

}  // namespace pfsync::sim::chaos
