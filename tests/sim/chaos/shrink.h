#pragma once

#include <cstdint>
#include <functional>

#include "tests/sim/chaos/scenario.h"
#include "tests/sim/chaos/world.h"

namespace pfsync::sim::chaos {

/// The shortest scenario found that still fails in the same way: events are left out, by halves at first and then one
/// by one, those that stay last shorter, and peace comes earlier. `runs_max` bounds the work. `told`: after each run,
/// of how many. Contract: `failing` fails with `kind`.
[[nodiscard]] Scenario shrink(const Scenario& failing, const std::string& kind, unsigned runs_max,
                              const std::function<void(unsigned runs, const Scenario& best)>& told = {});

}  // namespace pfsync::sim::chaos
