#include "engine/snapshot/restore.h"

#include <fmt/format.h>

#include <algorithm>
#include <limits>

namespace pfsync::engine::snapshot {

std::variant<Restoration, std::string> restore(Source& source, PartitionedSession& node, std::int64_t wall_s,
                                               statetable::Instant now) {
  const auto checked = check(source);
  if (const auto* why = std::get_if<std::string>(&checked)) return *why;
  if (!source.rewind()) return "cannot be read: " + source.error();
  Reader reader{source};
  if (auto why = reader.begin()) return *why;
  Restoration made{.header = reader.header(), .totals = std::get<Totals>(checked), .states = {}, .broken_off = {}};
  // A header may name any moment: no difference of two is taken that could overflow.
  const std::int64_t written_s = made.header.written_at_s;
  if (wall_s < written_s)
    made.clock_went_back_s = written_s - std::max(wall_s, std::int64_t{0});
  else if (written_s > 0)
    made.passed_s = static_cast<std::uint32_t>(
        std::min<std::int64_t>(wall_s - written_s, std::numeric_limits<std::uint32_t>::max()));
  else
    made.passed_s = std::numeric_limits<std::uint32_t>::max();
  while (true) {
    const auto block = reader.next();
    // It was whole a moment ago, and what has been entered is: the disk.
    if (const auto* why = std::get_if<std::string>(&block)) {
      made.broken_off = *why;
      return made;
    }
    const auto states = std::get<std::span<const KeptState>>(block);
    if (states.empty()) return made;
    made.states += node.restore(states, made.passed_s, now);
  }
}

std::string sentence_of(const Restoration& restoration) {
  const Session::Restored& states = restoration.states;
  std::string text =
      fmt::format("{} of {} states restored from the snapshot", states.entered, restoration.totals.states);
  text += restoration.clock_went_back_s > 0
              ? fmt::format(", whose time is {} s ahead of the clock: taken as if it was written now",
                            restoration.clock_went_back_s)
              : fmt::format(" of {} s ago", restoration.passed_s);
  const auto add = [&text](std::uint64_t count, std::string_view why) {
    if (count > 0) text += fmt::format("; {} {}", count, why);
  };
  add(states.expired, "had come to their end meanwhile");
  add(states.beyond, "found no place: table.states_max is smaller than it was");
  add(states.refused, "had the connection of another");
  add(states.invalid, "were not valid");
  if (!restoration.broken_off.empty())
    text += "; it was whole a moment before, but now it " + restoration.broken_off + ": check the disk";
  return text;
}

}  // namespace pfsync::engine::snapshot
