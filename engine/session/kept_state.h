#pragma once

#include "wire/state.h"

namespace pfsync::engine {

/// A state as a snapshot keeps it: all that any dialect may want to say of it, with its age and remaining time counted
/// from the moment that the file's header names.
struct KeptState {
  wire::State state{};
  bool is_said_here = false;  ///< the last word on it was this node's own data path's, not a peer's

  friend constexpr bool operator==(const KeptState&, const KeptState&) noexcept = default;
};

}  // namespace pfsync::engine
