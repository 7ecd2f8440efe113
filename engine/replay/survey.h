#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <string_view>

#include "engine/replay/capture.h"

namespace pfsync::engine::replay {

/// What can be told about a capture before any of it is played.
struct Survey {
  /// Frames by the dialect they were spoken in; "unknown" where nothing tells. A frame with full states
  /// tells its dialect by itself; one without has the dialect that its source address speaks elsewhere in
  /// the capture (the last one heard before the frame, or else the first one heard after it).
  std::map<std::string_view, std::uint64_t> dialect_frames;
  /// Different identities that full states have: no replay can fill a table with more.
  std::size_t distinct_states = 0;
  /// Full states that would lose this field if they were said in this dialect; "states" for those that it
  /// cannot say at all. By dialect, then by the field's word.
  std::map<std::string_view, std::map<std::string_view, std::uint64_t>> losses;
};

[[nodiscard]] Survey survey(const Capture& capture);

}  // namespace pfsync::engine::replay
