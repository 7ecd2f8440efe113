#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "engine/counters.h"
#include "engine/replay/capture.h"
#include "engine/replay/survey.h"
#include "wire/state.h"

namespace pfsync::engine::replay {

/// Everything that a replay found out. Counts are sums over all loops, times and states are of one.
struct Report {
  std::uint64_t frames = 0;
  std::uint64_t pfsync_frames = 0;
  double seconds = 0;  ///< from the capture's first frame to its last
  std::array<std::uint64_t, wire::message_count> messages{};
  std::array<std::uint64_t, wire::reject_count> rejects{};
  std::array<std::uint64_t, tally_table.size()> tallies{};
  std::uint64_t truncated = 0;  ///< frames whose end the capture left out
  std::map<std::string_view, std::uint64_t> dialects;
  std::map<std::string_view, std::map<std::string_view, std::uint64_t>> losses;  ///< see Survey::losses
  std::vector<wire::State> states;                                               ///< ordered by id, then creator
  std::uint64_t loops = 1;
  std::optional<std::uint64_t> frames_sent;   ///< out of a device (--peer)
  std::optional<double> messages_per_second;  ///< when the speed was asked for (--loop, --rate)

  /// Adds what one run over the capture counted.
  void add_run(const Capture& capture, const Survey& survey, const Counters& counters);
};

/// One JSON object, with the keys that scripts rely on, and a newline.
[[nodiscard]] std::string json_text(const Report& report);
/// A few lines for people. `name`: what was played.
[[nodiscard]] std::string summary_text(const Report& report, const std::string& name);

}  // namespace pfsync::engine::replay
