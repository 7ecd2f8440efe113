#pragma once

#include <algorithm>
#include <cstdint>
#include <limits>

#include "statetable/entry.h"
#include "statetable/time.h"
#include "wire/state.h"

namespace pfsync::engine {

[[nodiscard]] inline statetable::Seconds saturated(std::int64_t seconds) noexcept {
  using statetable::Seconds;
  return static_cast<Seconds>(
      std::clamp<std::int64_t>(seconds, std::numeric_limits<Seconds>::min() + 1, std::numeric_limits<Seconds>::max()));
}

/// A new entry of the state, as if it ended now and was never heard of.
[[nodiscard]] inline statetable::HotState hot_part(const wire::State& state, statetable::Seconds now_s) noexcept {
  return {.id = state.id,
          .src = state.src,
          .dst = state.dst,
          .created_s = saturated(std::int64_t{now_s} - state.creation_s),
          .expire_at_s = now_s,
          .heard_s = statetable::never_heard,
          .state_flags = state.state_flags,
          .timeout = state.timeout,
          .proto = state.proto,
          .af = state.af,
          .direction = state.direction,
          .in_use = true,
          .log = state.log,
          .sync_flags = state.sync_flags};
}

}  // namespace pfsync::engine
