#pragma once

#include <cstdint>

#include "statetable/entry.h"
#include "wire/state.h"

namespace pfsync::engine {

/// Which directions of an update were older than what is held, and so were not taken.
struct MergeResult {
  bool src_stale = false;
  bool dst_stale = false;
  [[nodiscard]] constexpr bool any_stale() const noexcept { return src_stale || dst_stale; }
  [[nodiscard]] constexpr bool all_stale() const noexcept { return src_stale && dst_stale; }
};

/// Whether sequence number `a` is later than `b`, modulo 2^32.
[[nodiscard]] constexpr bool is_later(std::uint32_t a, std::uint32_t b) noexcept {
  return static_cast<std::int32_t>(a - b) > 0;
}

/// Whether taking `theirs` would move a peer's level, or with equal TCP levels its sequence, backwards.
/// A level may fall only when the syn proxy (11, 12) hands the connection over.
/// Source: OpenBSD sys/net/if_pfsync.c, pfsync_upd_tcp().
[[nodiscard]] bool src_is_stale(const wire::Peer& ours, const wire::Peer& theirs, bool tcp) noexcept;
[[nodiscard]] bool dst_is_stale(const wire::Peer& ours, const wire::Peer& theirs, bool tcp) noexcept;

/// Takes each direction of `update` that is not stale into `hot`, wholly or not at all. Times and the
/// timeout index are the caller's: they follow unless both directions were stale.
/// Differs:  FreeBSD copies a rejected dst anyway when src was fine, so its windows can go backwards.
MergeResult merge(statetable::HotState& hot, const wire::Update& update) noexcept;

}  // namespace pfsync::engine
