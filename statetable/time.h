#pragma once

#include <chrono>
#include <cstdint>

namespace pfsync::statetable {

/// The engine's clock has no now(): logic that wants the time must be handed it. Its zero is whatever
/// the caller chose (the machine's uptime, a capture's first frame, a simulation's start).
struct EngineClock {
  using rep = std::int64_t;
  using period = std::nano;
  using duration = std::chrono::nanoseconds;
  using time_point = std::chrono::time_point<EngineClock>;
  static constexpr bool is_steady = true;
};

using Instant = EngineClock::time_point;
using Duration = EngineClock::duration;

/// Whole seconds on the engine's clock: the resolution of pf's timeouts, and of the table.
using Seconds = std::int32_t;

[[nodiscard]] constexpr Seconds to_seconds(Instant instant) noexcept {
  return static_cast<Seconds>(std::chrono::floor<std::chrono::seconds>(instant.time_since_epoch()).count());
}

}  // namespace pfsync::statetable
