#pragma once

#include <concepts>
#include <cstdint>

#include "engine/snapshot/writer.h"
#include "statetable/table.h"

namespace pfsync::engine::snapshot {

/// Slots that are looked at between two calls of go_on, at most.
inline constexpr std::size_t slots_a_step = 4 * block_states_max;

/// Gives every state of a table to a writer that has begun, by lock-free reads: any thread. Each is one version of
/// itself, of some moment of the walk; a state that is there during all of it is written once. Ages count from
/// `now_s`, which is what the header's wall clock time is on the table's clock.
class TableWalk {
 public:
  TableWalk(const statetable::Table& table, statetable::Seconds now_s, Writer& writer)
      : reader_{table.reader()}, now_s_{now_s}, writer_{writer} {}

  [[nodiscard]] bool at_end() const noexcept { return reader_.at_end(cursor_); }
  /// A bounded piece of it: up to the next block that is full, or slots_a_step. False: the writer failed.
  [[nodiscard]] bool step() {
    for (std::size_t slots = slots_a_step; slots > 0;) {
      const auto found = reader_.next(cursor_, slots);
      if (!found) break;
      KeptState& kept = writer_.next();
      kept.state = statetable::to_state(found->hot, found->cold, now_s_);
      kept.is_said_here = statetable::is_said_here(found->hot.heard_s);
      if (!writer_.keep()) return false;
      if (writer_.is_between_blocks()) break;
    }
    return true;
  }

 private:
  statetable::TableReader reader_;
  statetable::Seconds now_s_;
  Writer& writer_;
  statetable::TableReader::Cursor cursor_{};
};

/// A whole table from the writer's begin() to its finish(). `go_on()` is called once in a while and may wait; false
/// gives up. Returns whether all was written.
template <std::predicate F>
[[nodiscard]] bool write_table(const statetable::Table& table, statetable::Seconds now_s, Writer& writer, F&& go_on) {
  if (!writer.begin()) return false;
  TableWalk walk{table, now_s, writer};
  while (!walk.at_end())
    if (!go_on() || !walk.step()) return false;
  return writer.finish();
}

}  // namespace pfsync::engine::snapshot
