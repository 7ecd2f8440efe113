#include "engine/merge.h"

namespace pfsync::engine {

bool src_is_stale(const wire::Peer& ours, const wire::Peer& theirs, bool tcp) noexcept {
  if (ours.state > theirs.state) {
    const bool proxy_done = tcp && ours.state >= wire::tcps::proxy_src && theirs.state < wire::tcps::proxy_src;
    return !proxy_done;
  }
  return tcp && ours.state == theirs.state && is_later(ours.seqlo, theirs.seqlo);
}

bool dst_is_stale(const wire::Peer& ours, const wire::Peer& theirs, bool tcp) noexcept {
  if (ours.state > theirs.state) return true;
  return tcp && ours.state == theirs.state && is_later(ours.seqlo, theirs.seqlo);
}

MergeResult merge(statetable::HotState& hot, const wire::Update& update) noexcept {
  const bool tcp = hot.proto == wire::ipproto::tcp;
  const MergeResult result{.src_stale = src_is_stale(hot.src, update.src, tcp),
                           .dst_stale = dst_is_stale(hot.dst, update.dst, tcp)};
  if (!result.src_stale) hot.src = update.src;
  if (!result.dst_stale) hot.dst = update.dst;
  return result;
}

}  // namespace pfsync::engine
