#pragma once

#include <concepts>
#include <cstdint>

#include "engine/snapshot/writer.h"
#include "statetable/table.h"

namespace pfsync::engine::snapshot {

/// Slots that are looked at between two calls of go_on, at most.
inline constexpr std::size_t slots_a_step = 4 * block_states_max;

/// Gives every state of the table to the writer, by lock-free reads: any thread. Each is one version of itself, of some
/// moment of the walk; a state that is there during all of it is written once. Ages count from `now_s`, which is what
/// the header's wall clock time is on the table's clock. `go_on()` is called once in a while and may wait; false gives
/// up. Returns whether all was written.
template <std::predicate F>
[[nodiscard]] bool write_table(const statetable::Table& table, statetable::Seconds now_s, Writer& writer, F&& go_on) {
  const statetable::TableReader reader = table.reader();
  statetable::TableReader::Cursor cursor;
  if (!writer.begin()) return false;
  while (!reader.at_end(cursor)) {
    if (!go_on()) return false;
    for (std::size_t slots = slots_a_step; slots > 0;) {
      const auto found = reader.next(cursor, slots);
      if (!found) break;
      KeptState& kept = writer.next();
      kept.state = statetable::to_state(found->hot, found->cold, now_s);
      kept.is_said_here = statetable::is_said_here(found->hot.heard_s);
      if (!writer.keep()) return false;
      if (writer.is_between_blocks() && !go_on()) return false;
    }
  }
  return writer.finish();
}

}  // namespace pfsync::engine::snapshot
