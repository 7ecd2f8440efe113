#pragma once

#include <array>

#include "statetable/table.h"
#include "wire/fields.h"

// States that af-to translates between the families (NAT64): a dialect without words for them says nothing of them.
namespace pfsync::engine {

[[nodiscard]] constexpr bool can_say_two_families(wire::Dialect dialect) noexcept {
  constexpr auto can = [] {
    wire::State state;
    state.af = wire::Family::inet6;
    state.stack_af = wire::Family::inet;
    std::array<bool, wire::dialect_count> result{};
    for (const wire::DialectInfo& row : wire::dialect_table)
      result[static_cast<std::size_t>(row.dialect)] = wire::is_expressible(state, row.dialect);
    return result;
  }();
  return can[static_cast<std::size_t>(dialect)];
}

/// Of the few that could: all others are told by their hot part.
[[nodiscard]] inline bool has_two_families(const statetable::ShardWriter& writer, statetable::Slot slot) noexcept {
  if (writer.entry(slot).extension() == statetable::no_extension) return false;
  const wire::Family stack = writer.cold(slot).stack_af;
  return stack != wire::Family::none && stack != writer.hot(slot).af;
}

}  // namespace pfsync::engine
