#pragma once

#include <cstdint>
#include <string>
#include <variant>

#include "engine/session/partitioned_session.h"
#include "engine/snapshot/format.h"
#include "engine/snapshot/reader.h"

namespace pfsync::engine::snapshot {

/// What was read at a start.
struct Restoration {
  Header header;
  Totals totals;
  std::uint32_t passed_s = 0;          ///< since it was written
  std::int64_t clock_went_back_s = 0;  ///< 0: it did not
  Session::Restored states;
  std::string broken_off;  ///< why the rest of it could not be read a second time; empty: all was
};

/// Enters the states of a snapshot into a node that has not begun. All of it is read once before: a snapshot that is
/// not whole enters nothing, and is told of by a clause for behind "the snapshot PATH". `wall_s`: the wall clock, in
/// seconds since 1970, at `now`.
[[nodiscard]] std::variant<Restoration, std::string> restore(Source& source, PartitionedSession& node,
                                                             std::int64_t wall_s, statetable::Instant now);

/// One sentence for the log.
[[nodiscard]] std::string sentence_of(const Restoration& restoration);

}  // namespace pfsync::engine::snapshot
