// The part of a session that speaks and lets time pass: bulk requests, deadlines, packets, states that end; and SAs,
// whose counters are heard to be told.
#include <algorithm>

#include "engine/session/session.h"
#include "engine/session/table_source.h"

namespace pfsync::engine {

using statetable::HotEntry;
using statetable::ShardWriter;
using wire::Reject;

namespace {

constexpr Duration sweep_every = std::chrono::milliseconds{100};
constexpr std::size_t sweeps_per_round = 10;  ///< the whole table is looked at once a second

}  // namespace

void Session::start(Instant now) noexcept {
  sweep_due_ = now + sweep_every;
  started_s_ = statetable::to_seconds(now);
  if (config_.request_bulk) request_bulk(now);
}

void Session::request_bulk(Instant now) noexcept {
  if (config_.passive) return;
  if (!is_first()) return;
  for (unsigned number = 0; number < peers_.size(); ++number) static_cast<void>(request_bulk(number, now));
}

bool Session::request_bulk(unsigned number, Instant now) noexcept {
  if (config_.passive || number >= peers_.size() || !is_active(number)) return false;
  Peer& peer = peers_[number];
  peer.bulk.ask(now);
  peer.is_taken_over = peer.is_asked_again = false;
  on_timeout(now);
  return true;
}

void Session::on_tdb(const Pending& pending, Instant now) noexcept {
  constexpr std::uint32_t spi_reserved_max = 255;  // RFC 4303, 2.1
  const wire::Tdb tdb = wire::read_tdb(pending.layout, pending.record);
  if (tdb.spi <= spi_reserved_max || tdb.af == wire::Family::none) {
    counters_[Reject::badstate].add();
    return;
  }
  const TdbTable::Result taken = tdbs_.hear(tdb, table_->hash(hashed_id(tdb)), statetable::to_seconds(now));
  if (taken.heard ==
      TdbTable::Heard::older) {  // counters only grow. Source: FreeBSD if_pfsync.c, pfsync_update_net_tdb()
    counters_[Reject::badstate].add();
    return;
  }
  counters_[Tally::tdbs].add();
  if (taken.displaced) counters_[Tally::tdbs_displaced].add();
  if (taken.heard == TdbTable::Heard::news && !config_.passive)
    for_all_but(pending.peer, [&](Outbox& outbox) { outbox.tdb_changed(taken.place, now); });
}

void Session::tell_tdbs(Peer& peer, Instant now) noexcept {
  for (std::size_t place = 0; place < tdbs_.places(); ++place)
    if (tdbs_.read(place, statetable::to_seconds(now)))
      peer.outbox.tdb_changed(static_cast<TdbTable::Place>(place), now);
}

void Session::set_active(unsigned number, bool active, Instant now) noexcept {
  Peer& peer = peers_[number];
  if (peer.active.load(std::memory_order_relaxed) == active) return;
  peer.active.store(active, std::memory_order_relaxed);
  peer.outbox.stand_by(!active, now);
  if (active && !config_.passive) tell_tdbs(peer, now);
  if (!active) {
    peer.bulk.cancel();
    peer.watch.rest();  // nor a question that has not left: it would be due for as long as it waits
  } else if (config_.request_bulk && !config_.passive && is_first()) {
    peer.bulk.ask(now);
    peer.is_taken_over = true;
    on_timeout(now);
  }
}

bool Session::is_catching_up() const noexcept {
  return std::ranges::any_of(peers_, [](const Peer& peer) {
    const BulkPhase phase = peer.bulk.phase();
    return !peer.is_taken_over &&
           (phase == BulkPhase::receiving || (phase == BulkPhase::asked && !peer.is_asked_again));
  });
}

bool Session::is_caught_up() const noexcept {
  const auto is_own = [](const Peer& peer) { return !peer.is_shared; };
  const bool has_own = std::ranges::any_of(peers_, is_own);
  return !is_catching_up() && std::ranges::any_of(peers_, [&](const Peer& peer) {
    if (peer.bulk.phase() != BulkPhase::done) return false;
    if (has_own) return is_own(peer) && peer.silent_since.load(std::memory_order_relaxed) == Instant{};
    return peer.active.load(std::memory_order_relaxed);
  });
}

bool Session::is_cut_off() const noexcept {
  bool has_own = false;
  for (const Peer& peer : peers_) {
    if (peer.is_shared) continue;
    if (peer.silent_since.load(std::memory_order_relaxed) == Instant{}) return false;
    has_own = true;
  }
  return has_own;
}

void Session::set_silent(unsigned number, std::optional<Instant> since, Instant now) noexcept {
  Peer& peer = peers_[number];
  if (peer.is_shared) return;
  const Instant before = peer.silent_since.load(std::memory_order_relaxed);
  const Instant at = since.value_or(Instant{});
  if (at == before) return;
  peer.silent_since.store(at, std::memory_order_relaxed);
  if (since || !config_.request_bulk || config_.passive) return;
  const BulkPhase phase = peer.bulk.phase();
  if (phase == BulkPhase::asked || phase == BulkPhase::receiving) return;
  peer.bulk.ask(now);
  peer.is_taken_over = true;
  on_timeout(now);
}

void Session::retry_bulk(unsigned number, Instant now) noexcept {
  if (number >= peers_.size()) return;
  Peer& peer = peers_[number];
  if (peer.bulk.phase() != BulkPhase::failed) return;
  peer.bulk.ask(now);
  peer.is_asked_again = true;
  on_timeout(now);
}

void Session::on_timeout(Instant now) noexcept {
  if (partition_ != nullptr) states_ = partition_->states();
  for (Peer& peer : peers_) {
    peer.bulk.on_timeout(now);
    peer.outbox.on_timeout(now);
    peer.queued.set(peer.outbox.queued() + peer.outbox.answers_waiting());
    if (!peer.bulk.take_request()) continue;
    counters_[Tally::bulk_requests_out].add();
    peer.outbox.request(wire::bulk_request_id, now);
  }
  probe(now);
  if (!samples_.is_empty()) time_samples(now);
  deferrals_.on_timeout(now);
  if (delayed_) announce_delayed(now);
  if (!pending_clears_.empty() && now >= clears_walk_due_) walk_for_clears(now);
  if (now >= sweep_due_) {
    if (config_.expire) expire(now);
    sweep_due_ = now + sweep_every;
  }
}

Instant Session::timeout(Instant now) const noexcept {
  Instant due = std::min(config_.expire ? sweep_due_ : Instant::max(), deferrals_.timeout());
  if (delayed_) due = std::min(due, delayed_->timeout());
  if (!pending_clears_.empty()) due = std::min(due, clears_walk_due_);
  for (const Peer& peer : peers_) {
    if (const auto bulk_due = peer.bulk.timeout()) due = std::min(due, *bulk_due);
    due = std::min(due, peer.outbox.timeout(now));
    if (is_first()) due = std::min(due, peer.watch.has_question() ? now : peer.watch.due());
  }
  return due;
}

std::size_t Session::transmit(unsigned peer, wire::Room room, Instant now) noexcept {
  Peer& to = peers_[peer];
  if (to.watch.has_question()) [[unlikely]] {
    if (const auto question = to.watch.take(now)) return sent(to, write_probe(peer, room, *question), now);
  }
  to.outbox.release(now);
  if (to.outbox.queued() == 0) return 0;
  // The first part's own clear is what the others wait for.
  if (partition_ != nullptr && (is_first() ? !untold_clears_.empty() : is_held_back(peer))) return 0;
  const std::uint64_t inserts = counters_.out(wire::Message::ins).value();
  const std::size_t bytes = to.outbox.transmit(
      room, now, to.dialect.in_use(),
      TableSource{writers_, first_shard_, slots_per_shard_, tdbs_, to.interfaces, statetable::to_seconds(now)});
  if (const std::uint64_t told = counters_.out(wire::Message::ins).value() - inserts; told > 0) {
    to.tallies[PeerTally::inserts_sent].add(told);
    to.tallies[PeerTally::insert_packets_sent].add();
  }
  return sent(to, bytes, now);
}

std::size_t Session::sent(Peer& peer, std::size_t bytes, Instant now) noexcept {
  if (bytes == 0) return 0;
  peer.tallies[PeerTally::packets_sent].add();
  peer.sent_at.store(now, std::memory_order_relaxed);
  return bytes;
}

void Session::expire(Instant now) noexcept {
  const Seconds now_s = statetable::to_seconds(now);
  const auto grace_s = static_cast<Seconds>(std::chrono::ceil<std::chrono::seconds>(config_.foreign_grace).count());
  for (ShardWriter& writer : writers_) {
    const std::size_t budget = writer.slots_touched() / sweeps_per_round + 64;
    writer.sweep(now_s, std::min(budget, writer.slots_touched()), [&](Slot slot) {
      const HotEntry& ended = writer.entry(slot);
      const bool ours = statetable::is_said_here(ended.heard_s());
      if (!ours && std::int64_t{now_s} - ended.expire_at_s() < grace_s) return;
      const bool announce = ours && is_announced(ended.state_flags());
      const wire::StateId id{ended.id, ended.creatorid};
      remove(writer, slot, id, announce, nobody, now);
      // What ended here unannounced may live on elsewhere, and be heard of again.
      if (announce) removed_.remember(id, table_->hash(id), now_s);
      counters_[Tally::expired].add();
    });
  }
}

}  // namespace pfsync::engine
