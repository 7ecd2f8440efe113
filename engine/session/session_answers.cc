// The part of a session that asks its peers for single states, and takes their requests.
#include "engine/session/session.h"

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
  if (!peer.requests.take(pending.source, peer.dialect.known(), now)) {
    counters_[Tally::requests_withheld].add();
    return;
  }
  asked_.remember(id, pending.search.hash, now);
  request(peer, id, now);
}

void Session::request(Peer& peer, wire::StateId id, Instant now) noexcept {
  peer.outbox.request(id, now);
  peer.bulk.expect_answer();
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
  if (slot == no_slot) {
    counters_[Reject::badstate].add();
  } else if (is_announced(writer.entry(slot).state_flags())) {
    Peer& peer = peers_[pending.peer];
    peer.tallies[PeerTally::asked].add();
    note_request(peer, slot, pending.search.hash, statetable::to_seconds(now));
    const bool is_modest = peer.answers.take(pending.source, peer.dialect.known(), now);
    peer.outbox.update_requested(slot, is_modest, now);
  }
}

void Session::note_request(Peer& peer, Slot slot, statetable::Hash hash, Seconds now_s) noexcept {
  constexpr auto young_s = static_cast<Seconds>(PeerWatch::young.count());
  constexpr Seconds followed_s = 3;
  const ShardWriter& writer = writer_of(slot);
  if (std::int64_t{now_s} - writer.entry(slot).created_s() > young_s) return;
  // What others said is passed on between peers alone: else its loss is no loss of what was said here.
  if (peers_.size() == 1 && !statetable::is_said_here(writer.entry(slot).heard_s())) return;
  Peer::Asked& place = peer.asked_lately[hash.value() % peer.asked_lately.size()];
  const auto tag = static_cast<std::uint32_t>(hash.value() >> 32u) | 1u;
  if (place.tag == tag && now_s - place.at_s <= young_s) {
    // Not within its second, nor while answers wait for their turn: it may not have had one.
    if (now_s == place.at_s || peer.outbox.answers_waiting() > 0) return;
    peer.tallies[PeerTally::asked_again].add();
    wire::Clear name{.ifname = writer.interface(slot)};
    peer.interfaces.to_theirs(name);
    peer.refused_names.add(name.ifname);
  } else {
    peer.tallies[PeerTally::missed_by_peer].add();
    // Of very many the first ones are followed, or none would be until it is asked for again.
    if (place.tag != 0 && now_s - place.at_s <= followed_s) return;
  }
  place = {tag, now_s};
}

// --- signs of life -------------------------------------------------------------------------------------

bool Session::is_lasting(const statetable::HotEntry& entry, Seconds now_s) const noexcept {
  constexpr auto lasting_s = static_cast<Seconds>(PeerWatch::lasting.count());
  if (!is_announced(entry.state_flags())) return false;
  // The answer takes the place of an update that waits there. Of UDP that one says only that there was a packet, which
  // a hub has to pass on, or the state times out elsewhere; the answer does not say so.
  if (peers_.size() > 1 && entry.proto() != wire::ipproto::tcp) return false;
  // Nor one that may have ended elsewhere.
  return std::int64_t{now_s} - entry.created_s() >= lasting_s && entry.expire_at_s() > now_s + 1;
}

bool Session::are_lasting(const PeerWatch::States& states, Seconds now_s) noexcept {
  return std::ranges::all_of(states, [&](wire::StateId id) {
    if (id.creatorid == 0) return true;
    const statetable::Hash hash = table_->hash(id);
    ShardWriter& writer = writer_of(hash);
    const Slot slot = writer.find(id, hash);
    return slot != no_slot && is_lasting(writer.entry(slot), now_s);
  });
}

Session::Lasting Session::lasting_states(PlaceShares::Number wanted, Instant now) noexcept {
  // Once a second and peer at most, and of a hub with many peers all may come in one turn, which has to stay short.
  const std::size_t looked_at_most = std::max<std::size_t>(256 / peers_.size(), 16);
  const Seconds now_s = statetable::to_seconds(now);
  Lasting lasting;
  PeerWatch::States& found = lasting.states;
  bool is_wanted = false;
  const auto look_at = [&](Slot slot) {
    const statetable::HotEntry& entry =
        writers_[slot / slots_per_shard_].entry(static_cast<Slot>(first_shard_ * slots_per_shard_) + slot);
    if (!entry.in_use() || !is_lasting(entry, now_s)) return;
    const std::size_t kind = statetable::is_said_here(entry.heard_s()) ? 1 : 0;
    const PlaceShares::Number from = entry.from();
    if (kind == 0 && from < lasted_from_.size()) lasted_from_[from] = slot;
    if (found[kind].creatorid != 0 && (kind == 1 || is_wanted || from != wanted)) return;
    found[kind] = {entry.id, entry.creatorid};
    lasted_[kind] = slot;
    if (kind == 0) {
      lasting.from = from;
      is_wanted = from == wanted;
    }
  };
  std::size_t touched = 0;
  for (const ShardWriter& writer : writers_) touched += writer.slots_touched();
  // What came from one source lies together: with steps of the golden ratio a few looks see something of each.
  const std::size_t step = touched <= looked_at_most ? 1 : touched * 382 / 1000 + 1;
  for (std::size_t looked = 0; looked < std::min(looked_at_most, touched); ++looked) {
    probed_ = static_cast<Slot>((probed_ + step) % touched);
    std::size_t local = probed_, shard = 0;
    while (local >= writers_[shard].slots_touched()) local -= writers_[shard++].slots_touched();
    look_at(static_cast<Slot>(shard * slots_per_shard_ + local));
    if (is_wanted && found[1].creatorid != 0) break;
  }
  ++probed_;  // the steps may have a divisor in common with the places
  // Where few of very many places are in use, one is met seldom: then those that were met last.
  const Slot of_wanted = wanted < lasted_from_.size() ? lasted_from_[wanted] : no_slot;
  for (const Slot slot : std::array{of_wanted, lasted_[0], lasted_[1]})
    if (slot != no_slot) look_at(slot);
  return lasting;
}

void Session::probe(Instant now) noexcept {
  if (!is_first()) return;
  for (Peer& peer : peers_) {
    if (!peer.watch.is_due(now)) continue;
    if (!peer.active.load(std::memory_order_relaxed)) {
      peer.watch.rest();
      peer.watch.put_off(now);
      continue;
    }
    const auto before = peer.watch.asked_shortly();
    if (before && *before != PeerWatch::nothing && are_lasting(*before, statetable::to_seconds(now))) {
      peer.watch.ask((*before)[0], (*before)[1], now, peer.watch.judged());
      continue;
    }
    const std::optional<wire::Address> asked = peer.watch.whom_to_ask();
    const PlaceShares::Number number = asked ? peer.numbers[peer.dialect.place_of(*asked)] : PlaceShares::others;
    const auto [states, from] = lasting_states(number, now);
    if (states == PeerWatch::nothing && !may_ask_for_all(peer, now)) continue;
    // Not every node has what another said, which it may not listen to: whoever said it must. As must all with what was
    // said here, or in a former life; and who said nothing that is held, with the rest.
    std::optional<wire::Address> judged;
    if (states[0].creatorid != 0 && from != PlaceShares::restored) {
      const bool has_it = number != PlaceShares::others && (from == number || shares_.states(number) == 0);
      judged = has_it ? *asked : wire::Address{};
    }
    peer.watch.ask(states[0], states[1], now, judged);
  }
}

/// Where no state is held there is none to ask for, and all that the others have is little. Unless it is not: then
/// what they send is not taken here, and seldom asked for.
bool Session::may_ask_for_all(Peer& peer, Instant now) noexcept {
  constexpr unsigned seldom = 10;
  const std::uint64_t told = counters_.in(wire::Message::ins).value() + counters_.in(wire::Message::upd).value();
  const bool is_told = peer.watch.asked_for_all() && told != peer.told_at_probe;
  peer.told_at_probe = told;
  const bool may = !config_.passive && table_->size() == 0 && peer.bulk.phase() == BulkPhase::done;
  if (!may || is_told) peer.watch.put_off(now, may ? seldom : 1);
  return may && !is_told;
}

/// A packet of its own: nothing else makes it longer than it is meant to be.
std::size_t Session::write_probe(unsigned number, wire::Room room, const PeerWatch::Question& question) noexcept {
  Peer& peer = peers_[number];
  wire::PacketWriter writer{peer.dialect.in_use(), room};
  const auto request = [&](wire::StateId id) {
    if (writer.append_id(wire::Message::upd_req, id)) counters_.out(wire::Message::upd_req).add();
  };
  for (const wire::StateId id : question.states)
    if (id.creatorid != 0) {
      request(id);
      peer.bulk.expect_answer();
    }
  if (question.is_for_all()) request({});
  // What fills it is an acknowledgement of no state: receivers ignore those that they do not wait for, and count none.
  while (question.is_long && writer.append_id(wire::Message::ins_ack, wire::StateId{0, config_.creatorid}))
    counters_.out(wire::Message::ins_ack).add();
  counters_[Tally::opackets].add();
  peer.tallies[PeerTally::probes_sent].add();
  return writer.finish();
}

bool Session::forget(const wire::Address& source, Instant now) noexcept {
  bool was_heard = false;
  for (Peer& peer : peers_) {
    const bool was_watched = peer.watch.forget(source), has_spoken = peer.dialect.forget(source, now);
    was_heard = was_heard || was_watched || has_spoken;
  }
  return was_heard;
}

}  // namespace pfsync::engine
