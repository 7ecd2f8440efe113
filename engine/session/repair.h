#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "wire/state.h"

namespace pfsync::engine {

/// What a comparison with another engine found of one state, on its way to the session that is to have it. It is taken
/// by the rules of a message from that engine: nothing goes back, and what ended here stays ended.
struct Repair {
  enum class Kind : std::uint8_t {
    state,  ///< as the other engine has it
    ended,  ///< the other engine is certain that it ended: no more than its id counts
  };
  enum class Outcome : std::uint8_t {
    none,     ///< nobody has looked at it
    taken,    ///< entered, changed or removed
    same,     ///< there was nothing to do
    stale,    ///< what is held here is newer
    ended,    ///< it ended here, and that is certain: removed a moment ago, or this node's own and gone
    refused,  ///< it cannot be had here: another has its connection, the table is full, it is out of range
  };
  Kind kind = Kind::state;
  Outcome outcome = Outcome::none;
  wire::State state{};
};
inline constexpr std::size_t repair_outcomes = 6;

/// Several, of one peer, whose owner waits until they have been carried out.
struct Repairs {
  unsigned peer = 0;  ///< as which of the session's peers the other engine speaks
  std::span<Repair> all{};
};

}  // namespace pfsync::engine
