#pragma once

#include <cstdint>
#include <string>

#include "tests/sim/chaos/marks.h"
#include "tests/sim/chaos/scenario.h"

namespace pfsync::sim::chaos {

/// What came of a run.
struct Verdict {
  std::string broken;        ///< what went wrong, in words; empty: nothing
  std::uint64_t at_ms = 0;   ///< when, or the run's end
  std::uint64_t frames = 0;  ///< that were sent
  std::uint64_t trace = 0;   ///< a hash over all frames delivered, their times and receivers
  Marks marks;

  /// What kind of failure it is: the words before the colon.
  [[nodiscard]] std::string kind() const { return broken.substr(0, broken.find(':')); }
};

/// Runs a scenario from its start to the end of the peace after it. The same scenario gives the same verdict.
[[nodiscard]] Verdict run(const Scenario& scenario);

}  // namespace pfsync::sim::chaos
