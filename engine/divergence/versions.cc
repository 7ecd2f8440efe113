#include "engine/divergence/versions.h"

#include "engine/session/merge.h"
#include "wire/limits.h"

namespace pfsync::engine::divergence {
namespace {

/// What a digest has of a direction: not scrub's memory, which some dialects do not carry.
bool is_same(const wire::Peer& a, const wire::Peer& b) noexcept {
  return a.seqlo == b.seqlo && a.seqhi == b.seqhi && a.seqdiff == b.seqdiff && a.max_win == b.max_win &&
         a.mss == b.mss && a.state == b.state && a.wscale == b.wscale;
}

Newer newer(const wire::Peer& here, const wire::Peer& there, bool there_is_stale, bool here_is_stale) noexcept {
  if (is_same(here, there)) return Newer::same;
  if (there_is_stale == here_is_stale) return Newer::unclear;
  return there_is_stale ? Newer::here : Newer::there;
}

}  // namespace

Versions compare(const wire::State& here, const wire::State& there) noexcept {
  const bool tcp = here.proto == wire::ipproto::tcp;
  return {
      .src = newer(here.src, there.src, src_is_stale(here.src, there.src, tcp), src_is_stale(there.src, here.src, tcp)),
      .dst = newer(here.dst, there.dst, dst_is_stale(here.dst, there.dst, tcp), dst_is_stale(there.dst, here.dst, tcp)),
      .is_one_connection = here.key == there.key && here.proto == there.proto && here.af == there.af &&
                           here.stack_af == there.stack_af && here.direction == there.direction};
}

Kind kind_of(const Versions& versions) noexcept {
  if (!versions.is_one_connection) return Kind::unclear;
  const bool here = versions.is_newer(Newer::here), there = versions.is_newer(Newer::there);
  if (here && there) return Kind::newer_on_both;
  if (here) return Kind::newer_here;
  return there ? Kind::newer_there : Kind::unclear;
}

wire::State mended(const wire::State& held, const wire::State& theirs, const Versions& versions,
                   Newer theirs_is) noexcept {
  wire::State state = theirs;
  if (versions.src != theirs_is) state.src = held.src;
  if (versions.dst != theirs_is) state.dst = held.dst;
  return state;
}

}  // namespace pfsync::engine::divergence
