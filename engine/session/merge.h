#pragma once

#include <cstdint>

#include "statetable/layout.h"
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

/// A peer's window in sequence space, as pf keeps it.
struct Window {
  std::uint32_t seqlo = 0;
  std::uint32_t seqhi = 0;
};

/// Whether `theirs` would move a window backwards: its lower edge, or with equal lower edges its upper one.
/// Differs:  the kernels look at the lower edge alone, so that of two updates between which only the other end's
///           acknowledgement lay, the older one narrows the window when it comes second. Both edges only grow in pf.
[[nodiscard]] constexpr bool is_behind(const Window& ours, const wire::Peer& theirs) noexcept {
  return is_later(ours.seqlo, theirs.seqlo) || (ours.seqlo == theirs.seqlo && is_later(ours.seqhi, theirs.seqhi));
}

/// Whether taking `theirs` would move a peer's level, or with equal TCP levels its window, backwards.
/// A level may fall only when the syn proxy (11, 12) hands the connection over.
/// Source: OpenBSD sys/net/if_pfsync.c, pfsync_upd_tcp().
[[nodiscard]] constexpr bool src_is_stale(std::uint8_t level, const Window& ours, const wire::Peer& theirs,
                                          bool tcp) noexcept {
  if (level > theirs.state) {
    const bool proxy_done = tcp && level >= wire::tcps::proxy_src && theirs.state < wire::tcps::proxy_src;
    return !proxy_done;
  }
  return tcp && level == theirs.state && is_behind(ours, theirs);
}
[[nodiscard]] constexpr bool dst_is_stale(std::uint8_t level, const Window& ours, const wire::Peer& theirs,
                                          bool tcp) noexcept {
  if (level > theirs.state) return true;
  return tcp && level == theirs.state && is_behind(ours, theirs);
}

[[nodiscard]] constexpr bool src_is_stale(const wire::Peer& ours, const wire::Peer& theirs, bool tcp) noexcept {
  return src_is_stale(ours.state, Window{ours.seqlo, ours.seqhi}, theirs, tcp);
}
[[nodiscard]] constexpr bool dst_is_stale(const wire::Peer& ours, const wire::Peer& theirs, bool tcp) noexcept {
  return dst_is_stale(ours.state, Window{ours.seqlo, ours.seqhi}, theirs, tcp);
}

/// Each direction of `update` that is not stale is to be taken, wholly or not at all. Times and the
/// timeout index follow unless both directions were stale.
/// Differs:  FreeBSD copies a rejected dst anyway when src was fine, so its windows can go backwards.
[[nodiscard]] inline MergeResult judge(const statetable::HotEntry& held, const wire::Update& update) noexcept {
  const bool tcp = held.proto() == wire::ipproto::tcp;
  return {.src_stale = src_is_stale(held.src_level(), {held.src_seqlo(), held.src_seqhi()}, update.src, tcp),
          .dst_stale = dst_is_stale(held.dst_level(), {held.dst_seqlo(), held.dst_seqhi()}, update.dst, tcp)};
}

}  // namespace pfsync::engine
