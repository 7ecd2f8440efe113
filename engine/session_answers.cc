// The part of a session that asks its peers for single states, and takes their requests.
#include "engine/session.h"

namespace pfsync::engine {

using statetable::no_slot;
using statetable::ShardWriter;
using wire::Reject;

void Session::ask_for(const Pending& pending, Instant now) noexcept {
  const wire::StateId id = pending.id;
  // creatorid 0 is nobody's: no node can answer, and the pair (0, 0) would ask for a bulk update.
  if (config_.passive || id.creatorid == 0) {
    counters_[Reject::badstate].add();
    return;
  }
  Peer& peer = peers_[pending.peer];
  // Whatever is not asked for now is asked for with its next update. A bulk update is no reason to wait: its frame with
  // the state may have been written before this update was, and no other may come.
  if (peer.outbox.is_behind(now)) {
    counters_[Tally::requests_withheld].add();
    return;
  }
  switch (asked_.turn_of(id, pending.search.hash, now)) {
    case AskedStates::Turn::lately: counters_[Tally::requests_suppressed].add(); return;
    case AskedStates::Turn::no_place: counters_[Tally::requests_withheld].add(); return;
    case AskedStates::Turn::now: break;
  }
  if (!peer.requests.take(now)) {
    counters_[Tally::requests_withheld].add();
    return;
  }
  asked_.remember(id, pending.search.hash, now);
  peer.outbox.request(id, now);
}

void Session::on_bulk_request(unsigned peer) noexcept {
  if (config_.passive) return;
  counters_[Tally::bulk_requests_in].add();
  if (is_active(peer)) peers_[peer].bulk_asked.store(true, std::memory_order_release);
}

void Session::on_request(const Pending& pending, Instant now) noexcept {
  if (config_.passive) return;
  ShardWriter& writer = writer_of(pending.search.hash);
  const Slot slot = writer.find(pending.id, pending.search);
  if (slot == no_slot)
    counters_[Reject::badstate].add();
  else if (is_announced(writer.entry(slot).state_flags()))
    peers_[pending.peer].outbox.update_requested(slot, now);
}

}  // namespace pfsync::engine
