#pragma once

#include "statetable/table.h"
#include "wire/state.h"

namespace pfsync::statetable {

/// What one state adds to a table's digest: the same for an entry and for the message that tells of it.
[[nodiscard]] Digest digest_of(const Snapshot& entry) noexcept;
[[nodiscard]] Digest digest_of(const wire::State& state) noexcept;

}  // namespace pfsync::statetable
