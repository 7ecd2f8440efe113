#pragma once

#include <array>
#include <cstddef>

namespace pfsync::wire {

/// Whether table[i] describes value i of an enumeration, up to its last one. For static_assert beside such a table.
template <class Info, std::size_t count, class Enum>
[[nodiscard]] consteval bool describes_each(const std::array<Info, count>& table, Enum Info::*value, Enum last) {
  for (std::size_t i = 0; i < count; ++i)
    if (static_cast<std::size_t>(table[i].*value) != i) return false;
  return static_cast<std::size_t>(last) + 1 == count;
}

}  // namespace pfsync::wire
