#include "tests/sim/chaos/masters.h"

#include <algorithm>
#include <utility>

namespace pfsync::sim::chaos {

using namespace std::chrono_literals;

namespace {

/// Frames on their way, turns, and clocks that run a little fast or slow.
constexpr Duration slack = 80ms;

}  // namespace

Masters::Masters(std::deque<Machine>& machines, const Network& network, std::function<bool(unsigned)> runs,
                 Marks& marks)
    : machines_{machines},
      network_{network},
      runs_{std::move(runs)},
      marks_{marks},
      nodes_{static_cast<unsigned>(machines.size())},
      two_since_(std::size_t{nodes_} * nodes_),
      none_since_(nodes_),
      late_(nodes_),
      demotions_(nodes_) {}

void Masters::disturb(unsigned node) {
  for (unsigned other = 0; other < nodes_; ++other) {
    two_since(node, other).reset();
    two_since(other, node).reset();
  }
  none_since_[node].reset();
}

void Masters::disturb_all() {
  for (unsigned node = 0; node < nodes_; ++node) disturb(node);
}

bool Masters::hears(unsigned to, unsigned from) const {
  return runs_(to) && runs_(from) && !network_.path(from, to).cut;
}

Duration Masters::lateness(unsigned node, Duration now) {
  constexpr Duration longest = 6s;  // that anything is under way, and then the wait for it
  Late& late = late_[node];
  if (now > late.until) late = {};
  for (unsigned from = 0; from < nodes_; ++from)
    if (from != node && network_.path(from, node).jitter > Duration::zero())
      late = {std::max(late.by, network_.path(from, node).jitter), now + longest};
  return late.by;
}

unsigned Masters::count() const {
  unsigned count = 0;
  for (Machine& machine : machines_) count += runs_(machine.number()) && machine.is_master() ? 1 : 0;
  return count;
}

std::string Masters::look(Duration now) {
  using engine::carp::interval, engine::carp::master_down, engine::carp::skew_max;
  const auto milliseconds = [](Duration duration) { return std::to_string(duration / 1ms) + " ms"; };
  for (unsigned a = Scenario::firewalls; a < nodes_; ++a) {
    if (!runs_(a)) {
      disturb(a);
      continue;
    }
    if (std::exchange(demotions_[a], machines_[a].demotion().generation()) != machines_[a].demotion().generation())
      disturb(a);
    bool somebody = machines_[a].is_master();
    for (unsigned b = Scenario::firewalls; b < nodes_; ++b) {
      if (a == b) continue;
      somebody = somebody || (hears(a, b) && machines_[b].is_master());
      if (a > b) continue;
      auto& since = two_since(a, b);
      const bool is_clean = network_.path(a, b).is_clean() && network_.path(b, a).is_clean();
      const bool both = hears(a, b) && hears(b, a) && is_clean && machines_[a].is_master() && machines_[b].is_master();
      if (!both) {
        if (since) marks_.meet("carp: two masters healed");
        since.reset();
        continue;
      }
      since = since.value_or(now);
      if (now - *since > interval(1, skew_max) + slack)
        return "two masters: nodes " + std::to_string(a) + " and " + std::to_string(b) + ", for " +
               milliseconds(now - *since);
    }
    const Duration late = lateness(a, now);  // a master that is gone may be heard for so long
    auto& none = none_since_[a];
    if (somebody) {
      none.reset();
      continue;
    }
    none = none.value_or(now);
    const std::uint8_t skew = machines_[a].carp().hosts()[0].config().advskew;
    if (now - *none > master_down(1, skew) + slack + late)
      return "no master: node " + std::to_string(a) + " knows of none for " + milliseconds(now - *none);
  }
  return "";
}

}  // namespace pfsync::sim::chaos
