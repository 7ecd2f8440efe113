#pragma once

#include <cstddef>

#include "engine/control/commands.h"
#include "engine/control/report.h"
#include "engine/control/state_filter.h"
#include "statetable/table.h"

namespace pfsync::engine {

/// A part of the table, as large as the control thread may look at in one piece.
struct StatesPage {
  static constexpr std::size_t limit_max = 1000;
  static constexpr std::size_t slots_max = std::size_t{1} << 15u;  ///< looked at for one page, free ones too
  static constexpr std::size_t kills_max = 64;                     ///< each waits for the data path
  statetable::TableReader::Cursor cursor{};                        ///< where to begin; {} = at the start
  std::size_t limit = limit_max;
  bool only_text = false;  ///< of each state its `text` alone: a fifth of the work and of the bytes
  StateFilter filter{};
};

/// `states` that fit; `cursor` for the next page, null at the end: a page may be empty and not the last. `looked_at`:
/// slots for this page; `progress`: slots behind the cursor, `at`, `of` all. States that come or go between two pages
/// are seen once or not at all.
[[nodiscard]] Json states_json(const DaemonView& daemon, const StatesPage& page);

/// The same walk, but kills what fits: `states` is how many were, `sentence` says it.
[[nodiscard]] Json kill_json(const DaemonView& daemon, const Commands& commands, const StatesPage& page);

/// How many states each node created: `creators` as `creatorid`, `states`, `own`; `other_states` of those beyond the
/// first CreatorCounts::creators_max; `counted_s` ago, null before the first count has ended.
[[nodiscard]] Json creators_json(const DaemonView& daemon);

}  // namespace pfsync::engine
