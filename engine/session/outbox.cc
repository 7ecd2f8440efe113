#include "engine/session/outbox.h"

#include <algorithm>
#include <cstdlib>
#include <limits>
#include <new>
#include <type_traits>

#include "engine/session/two_families.h"
#include "wire/dialect.h"
#include "wire/messages.h"

namespace pfsync::engine {

using wire::Message;

namespace {

constexpr std::size_t turn_max = 256;  ///< states that change their queue in one turn, so that it stays short

/// Time in eight bits: what is compared lies within seconds.
constexpr int tick_bits = 25;  ///< 2^25 ns are 34 ms
constexpr std::int64_t tick_of(Outbox::Instant now) noexcept { return now.time_since_epoch().count() >> tick_bits; }
constexpr std::int64_t rest_ticks = (std::chrono::nanoseconds{Outbox::once_in}.count() >> tick_bits) + 2;

}  // namespace

Outbox::Outbox(const Config& config, std::size_t slots, Counters& counters, BulkGate* gate)
    : config_{config},
      // calloc, not new: the zero pages of a large table are not touched before its states arrive.
      places_{static_cast<Place*>(std::calloc(slots, sizeof(Place))), &std::free},
      acks_{config.ids_max},
      requests_{config.ids_max},
      deletes_{config.ids_max},
      clears_{16},
      tdbs_{config.tdb_places},
      tdb_queued_(config.tdb_places),
      full_answers_{{config.requests_per_s, std::max<std::uint64_t>(config.requests_per_s / 10, 1)}},
      stale_answers_{full_answers_},
      counters_{&counters},
      gate_{gate} {
  if (places_ == nullptr) throw std::bad_alloc{};  // at start, before any core runs
}

// --- queueing ----------------------------------------------------------------------------------------

void Outbox::queued_one(Instant now) noexcept {
  if (queued() == 1) oldest_ = now;
}

void Outbox::enqueue(Slot slot, Queue queue, Instant now) noexcept {
  append(slot, queue);
  queued_one(now);
}

void Outbox::append(Slot slot, Queue queue) noexcept {
  Place& place = places_[slot];
  List& list = this->list(queue);
  place.previous = list.last;
  place.next = 0;
  place.queue = queue;
  place.is_owed = false;
  place.updates = 0;
  place.generation = static_cast<std::uint8_t>(generation_ | (standing_by_ ? by_other : 0));
  place.told_at = batch_;
  (list.last != 0 ? places_[list.last - 1].next : list.first) = slot + 1;
  list.last = slot + 1;
  ++list.count;
  waiting_ += !is_written(queue);
}

void Outbox::prepend(Slot slot, Queue queue) noexcept {
  Place& place = places_[slot];
  List& list = this->list(queue);
  place.previous = 0;
  place.next = list.first;
  place.queue = queue;
  (list.first != 0 ? places_[list.first - 1].previous : list.last) = slot + 1;
  list.first = slot + 1;
  ++list.count;
  waiting_ += !is_written(queue);
}

void Outbox::unlink(Slot slot) noexcept {
  Place& place = places_[slot];
  if (place.queue == Queue::none) return;
  List& list = this->list(place.queue);
  if (place.queue == Queue::upd_c && updates_gated_.count > 0 && place.told_at != batch_) --updates_gated_.count;
  (place.previous != 0 ? places_[place.previous - 1].next : list.first) = place.next;
  (place.next != 0 ? places_[place.next - 1].previous : list.last) = place.previous;
  --list.count;
  waiting_ -= !is_written(place.queue);
  place.queue = Queue::none;
}

void Outbox::dequeue(Slot slot) noexcept {
  unlink(slot);
  places_[slot] = {};
}

void Outbox::inserted(Slot slot, Instant now, bool is_known) noexcept {
  if (list(Queue::ins).count == 0 && gate_ != nullptr) frames_before_ins_ = gate_->handed_over();
  dequeue(slot);
  enqueue(slot, Queue::ins, now);
  if (is_known) places_[slot].generation |= by_other;
}

void Outbox::updated(Slot slot, bool tcp, Instant now) noexcept {
  Place& place = places_[slot];
  if (!is_written(place.queue)) {
    // A change is told in time, whatever is owed as an answer; that is owed still, or is what the change says.
    place.is_asked = is_asked_for(place.queue);
    place.is_beyond = place.queue == Queue::asked_beyond;
    unlink(slot);
    enqueue(slot, Queue::upd_c, now);
    return;
  }
  if (standing_by_) {  // to the end: it is new again
    const Queue queue = place.queue;
    unlink(slot);
    enqueue(slot, queue, now);
    return;
  }
  // Queued already: the packet will carry the state as it is then.
  if (place.updates < 255) ++place.updates;
  if (tcp && place.updates >= config_.maxupd) push_ = true;
}

void Outbox::said_by_peer(Slot slot) noexcept {
  if (list(Queue::upd_c).count == 0) return;  // a receiver that changes nothing itself looks at no place
  const Place& place = places_[slot];
  if (place.queue != Queue::upd_c || place.is_asked || place.is_answered) return;
  dequeue(slot);
  if (queued() == 0) push_ = false;
}

void Outbox::update_requested(Slot slot, bool is_modest, Instant now) noexcept {
  Place& place = places_[slot];
  if (place.queue == Queue::upd) return;
  if (place.is_asked || is_asked_for(place.queue)) {  // perhaps by somebody whose turn comes later
    place.is_beyond = place.is_beyond && !is_modest;
    if (place.queue != Queue::asked_beyond || !is_modest) return;
    unlink(slot);
    wait_for_answer(slot, is_modest, now);
    return;
  }
  const bool is_next = list(Queue::asked).first == 0 && (is_modest || list(Queue::asked_beyond).first == 0);
  const bool is_turn = !standing_by_ && is_next && full_answers_.bucket.take(now);
  if (!is_turn) (*counters_)[Tally::requests_limited].add();
  if (place.queue == Queue::ins) {  // which is the full state
    push_ = push_ || is_turn;
  } else if (is_turn) {
    unlink(slot);
    enqueue(slot, Queue::upd, now);
    push_ = true;
  } else if (place.queue == Queue::upd_c) {
    place.is_asked = true;
    place.is_beyond = !is_modest;
  } else {
    unlink(slot);
    wait_for_answer(slot, is_modest, now);
  }
}

void Outbox::found_stale(Slot slot, Instant now) noexcept {
  if (standing_by_) return updated(slot, false, now);
  Place& place = places_[slot];
  if (place.queue == Queue::answered && !place.is_owed && has_rested(place, now)) dequeue(slot);
  const bool is_waiting = place.is_answered || place.is_asked || is_asked_for(place.queue);
  if (is_waiting || list(Queue::owed).first != 0 || !stale_answers_.bucket.take(now)) {
    (*counters_)[Tally::answers_delayed].add();
    place.is_owed = place.queue == Queue::answered;
    if (is_waiting) return;
    place.is_answered = true;
    if (place.queue == Queue::none) wait(slot, Queue::owed, stale_answers_, now);
    return;
  }
  place.is_answered = true;
  if (place.queue == Queue::none) enqueue(slot, Queue::upd_c, now);
  push_ = true;
}

// --- answers that wait -------------------------------------------------------------------------------

void Outbox::wait(Slot slot, Queue queue, Turn& turn, Instant now) noexcept {
  if (list(queue).first == 0) turn.due = turn.bucket.is_empty(now) ? std::max(turn.bucket.next(), now + together) : now;
  append(slot, queue);
}

void Outbox::wait_for_answer(Slot slot, bool is_modest, Instant now) noexcept {
  // Both kinds have one turn: whoever comes first begins it.
  if (list(Queue::asked).count + list(Queue::asked_beyond).count > 0)
    append(slot, is_modest ? Queue::asked : Queue::asked_beyond);
  else
    wait(slot, is_modest ? Queue::asked : Queue::asked_beyond, full_answers_, now);
}

void Outbox::told(Slot slot, Instant now) noexcept {
  Place& place = places_[slot];
  unlink(slot);
  if (place.is_asked) {  // in front: it has waited, and a connection that lives comes first
    const Queue queue = place.is_beyond ? Queue::asked_beyond : Queue::asked;
    place.is_asked = place.is_beyond = false;
    if (list(queue).first == 0) full_answers_.due = now;
    prepend(slot, queue);
  } else if (place.is_answered) {
    append(slot, Queue::answered);
    place.told_at = static_cast<std::uint8_t>(tick_of(now));
    answered_last_ = now;
  } else {
    place = {};
  }
}

/// Whether the second is over in which no stale update is answered.
bool Outbox::has_rested(const Place& place, Instant now) const noexcept {
  return static_cast<std::uint8_t>(tick_of(now) - place.told_at) >= rest_ticks || now >= answered_last_ + 2 * once_in;
}

Outbox::Instant Outbox::rested_at(const Place& place, Instant now) const noexcept {
  if (has_rested(place, now)) return now;
  const std::int64_t since = static_cast<std::uint8_t>(tick_of(now) - place.told_at);
  return Instant{std::chrono::nanoseconds{(tick_of(now) + rest_ticks - since) << tick_bits}};
}

void Outbox::release_due(Instant now) noexcept {
  std::size_t budget = turn_max;
  // In the order in which they were told, and each rests as long.
  for (; list(Queue::answered).first != 0 && budget > 0; --budget) {
    const Slot slot = list(Queue::answered).first - 1;
    if (!has_rested(places_[slot], now)) break;
    const bool is_owed = places_[slot].is_owed;
    dequeue(slot);
    if (!is_owed) continue;
    places_[slot].is_answered = true;
    wait(slot, Queue::owed, stale_answers_, now);
  }
  take_turns(Queue::owed, Queue::upd_c, stale_answers_, now, budget);
  take_turns(Queue::asked, Queue::upd, full_answers_, now, budget);
  take_turns(Queue::asked_beyond, Queue::upd, full_answers_, now, budget);
}

void Outbox::take_turns(Queue from, Queue to, Turn& turn, Instant now, std::size_t& budget) noexcept {
  if (now < turn.due) return;
  for (; list(from).first != 0 && budget > 0; --budget) {
    if (!turn.bucket.take(now)) {
      turn.due = std::max(turn.bucket.next(), now + together);
      return;
    }
    const Slot slot = list(from).first - 1;
    unlink(slot);
    enqueue(slot, to, now);
    push_ = true;
  }
}

// --- queueing ids ------------------------------------------------------------------------------------

/// Its INS is still queued, nobody else can have said it, and no bulk frame can have carried it meanwhile.
bool Outbox::is_untold(Slot slot) const noexcept {
  return places_[slot].queue == Queue::ins && (places_[slot].generation & by_other) == 0 &&
         (gate_ == nullptr || gate_->stamp() == frames_before_ins_);
}

void Outbox::erased(Slot slot, wire::StateId id, bool announce, Instant now) noexcept {
  announce = announce && !is_untold(slot);
  dequeue(slot);
  if (announce) push_or_displace(deletes_, id, deletes_before_, Tally::deletes_dropped, now);
}

/// While nobody listens, the newest are kept; otherwise those that wait longest, and the rest is counted.
template <class T>
void Outbox::push_or_displace(BoundedQueue<T>& queue, const T& item, std::size_t& before, Tally dropped,
                              Instant now) noexcept {
  if (queue.push(item)) {
    queued_one(now);
  } else if (standing_by_) {
    queue.pop();
    before -= before > 0;
    static_cast<void>(queue.push(item));
  } else {
    (*counters_)[dropped].add();
  }
}

void Outbox::acknowledge(wire::StateId id, Instant now) noexcept {
  if (standing_by_) return;
  if (!acks_.push(id)) {
    (*counters_)[Tally::acks_dropped].add();
    return;
  }
  queued_one(now);
  push_ = true;
}

void Outbox::request(wire::StateId id, Instant now) noexcept {
  if (standing_by_) return;
  if (!requests_.push({id, now})) {
    (*counters_)[Tally::requests_dropped].add();
    return;
  }
  queued_one(now);
  push_ = true;
}

void Outbox::clear(const wire::Clear& clear, Instant now) noexcept {
  push_or_displace(clears_, clear, clears_before_, Tally::clears_dropped, now);
  if (gate_ != nullptr) clear_stamp_ = gate_->stamp();
  push_ = !clears_.empty();
}

// --- standing by -------------------------------------------------------------------------------------

void Outbox::stand_by(bool on, Instant now) noexcept {
  standing_by_ = on;
  generation_ends_ = now + held;
  deletes_before_ = deletes_gated_.count = clears_before_ = 0;
  full_answers_.due = stale_answers_.due = now;
  if (!on) push();
}

void Outbox::on_timeout(Instant now) noexcept {
  release(now);
  if (!standing_by_) return;
  std::size_t budget = 1024;  // so that a turn stays short however much is queued
  for (const Queue queue : all_queues) forget(queue, budget);
  if (now < generation_ends_ || has_to_forget()) return;
  generation_ = static_cast<std::uint8_t>((generation_ + 1) & 0x7f);
  generation_ends_ = now + held;
  for (; deletes_before_ > 0; --deletes_before_) deletes_.pop();
  for (; clears_before_ > 0; --clears_before_) clears_.pop();
  deletes_before_ = deletes_.size();
  clears_before_ = clears_.size();
}

bool Outbox::has_to_forget() const noexcept {
  return std::ranges::any_of(
      all_queues, [this](Queue queue) { return list(queue).first != 0 && is_forgotten(list(queue).first - 1); });
}

/// The oldest stand at the head: whatever is touched goes to the end.
void Outbox::forget(Queue queue, std::size_t& budget) noexcept {
  for (; list(queue).first != 0 && budget > 0; --budget) {
    const Slot slot = list(queue).first - 1;
    if (!is_forgotten(slot)) return;
    dequeue(slot);
  }
}

/// Not while standing by: whoever takes over tells the counters of all that are in use.
void Outbox::tdb_changed(TdbTable::Place place, Instant now) noexcept {
  if (standing_by_ || tdb_queued_[place]) return;
  tdb_queued_[place] = true;
  static_cast<void>(tdbs_.push(place));
  queued_one(now);
}

std::size_t Outbox::queued() const noexcept {
  return list(Queue::ins).count + list(Queue::upd).count + list(Queue::upd_c).count + acks_.size() + requests_.size() +
         deletes_.size() + clears_.size() + tdbs_.size();
}

// --- writing -----------------------------------------------------------------------------------------

std::size_t Outbox::bytes_queued(wire::Dialect dialect) const noexcept {
  const std::size_t state_bytes = wire::info(dialect).state_bytes;
  return (list(Queue::ins).count + list(Queue::upd).count) * state_bytes +
         list(Queue::upd_c).count * sizeof(wire::UpdCRecord) +
         (acks_.size() + requests_.size() + deletes_.size()) * sizeof(wire::IdRecord) +
         clears_.size() * sizeof(wire::ClrRecord) +
         tdbs_.size() * wire::find_action(dialect, Message::tdb)->record_bytes;
}

Outbox::Instant Outbox::timeout(Instant now) const noexcept {
  Instant due = Instant::max();
  if (queued() > 0) due = push_ ? now : oldest_ + config_.delay;
  if (standing_by_) return queued() + waiting_ == 0 ? due : has_to_forget() ? now : generation_ends_;
  if (waiting_ == 0) return due;
  if (const std::uint32_t first = list(Queue::answered).first; first != 0)
    due = std::min(due, rested_at(places_[first - 1], now));
  if (list(Queue::owed).first != 0) due = std::min(due, stale_answers_.due);
  if (list(Queue::asked).count + list(Queue::asked_beyond).count > 0) due = std::min(due, full_answers_.due);
  return due;
}

bool Outbox::begin(Batch& batch, std::size_t queued) const noexcept {
  if (batch.count > 0 || queued == 0) return false;
  batch = {queued, gate_->stamp()};
  return true;
}

std::size_t Outbox::deletes_allowed() noexcept {
  if (gate_ == nullptr) return deletes_.size();
  begin(deletes_gated_, deletes_.size());
  return gate_->has_passed(deletes_gated_.stamp) ? deletes_gated_.count : 0;
}

std::size_t Outbox::updates_allowed(Instant now) noexcept {
  if (gate_ == nullptr) return list(Queue::upd_c).count;
  if (begin(updates_gated_, list(Queue::upd_c).count)) {
    updates_gated_at_ = now;
    ++batch_;
  }
  return gate_->has_passed(updates_gated_.stamp) ? updates_gated_.count : 0;
}

std::size_t Outbox::transmit(wire::Room room, Instant now, wire::Dialect dialect, const StateSource& source) noexcept {
  if (queued() == 0 || standing_by_) return 0;
  if (now >= oldest_ + config_.delay) push_ = true;  // until all that is queued now has left
  const bool fits_all = bytes_queued(dialect) + sizeof(wire::Header) + 2 * sizeof(wire::Subheader) <= room.size();
  if (!push_ && fits_all) return 0;

  // A bulk frame that was filled before a clear carries what it is about. All that is queued waits with it.
  if (!clears_.empty() && gate_ != nullptr && !gate_->has_passed(clear_stamp_)) return 0;

  wire::PacketWriter writer{dialect, room};
  // What a clear is about left the queues with it: all that is queued now is later, or of other creators.
  for (; !clears_.empty() && writer.append_clear(clears_.front()); clears_.pop()) counters_->out(Message::clr).add();
  constexpr Shares everything = [] {
    Shares all{};
    all.fill(std::numeric_limits<std::size_t>::max());
    return all;
  }();
  Shares shares = fits_all ? everything : this->shares(room.size(), dialect, now);
  if (fits_all) shares[static_cast<std::size_t>(Kind::upd_c)] = updates_allowed(now);
  dialect == wire::Dialect::openbsd ? write_as_openbsd(writer, now, source, shares)
                                    : write_as_freebsd(writer, now, dialect, source, shares);

  if (queued() == 0) {
    push_ = false;
  } else if (gate_ != nullptr && updates_gated_.count == 0 && queued() == list(Queue::upd_c).count) {
    push_ = false;  // what is left came later, and has its own time
    oldest_ = updates_gated_at_;
  }
  if (writer.empty()) return 0;  // only what waits behind a bulk frame, or states without words for them
  (*counters_)[Tally::opackets].add();
  return writer.finish();
}

/// The kernels send all that they have and never come to choose. In the order of their sections alone, updates would
/// keep deletes and requests from leaving for as long as the link is too slow for them.
Outbox::Shares Outbox::shares(std::size_t room_bytes, wire::Dialect dialect, Instant now) noexcept {
  struct Waiting {
    std::size_t count, bytes;
    std::size_t part;  ///< of the packet that is its own, if it has so many: one in so much; 0: none
  };
  // An OpenBSD's requests have packets of their own.
  const std::size_t requests = dialect == wire::Dialect::openbsd ? 0 : requests_.size();
  const std::size_t state_bytes = wire::info(dialect).state_bytes, id_bytes = sizeof(wire::IdRecord);
  const std::array<Waiting, kind_count> waiting{{
      {list(Queue::ins).count, state_bytes, 0},
      {list(Queue::upd).count, state_bytes, 0},
      {deletes_allowed(), id_bytes, 4},
      {acks_.size(), id_bytes, 8},
      {requests, id_bytes, 8},
      {tdbs_.size(), wire::find_action(dialect, Message::tdb)->record_bytes, 8},
      {updates_allowed(now), sizeof(wire::UpdCRecord), 0},
  }};
  Shares shares{};
  std::size_t left = room_bytes - sizeof(wire::Header) - sizeof(wire::Subheader);
  const auto add = [&](std::size_t kind, std::size_t bytes_most) {
    const std::size_t section = shares[kind] == 0 ? sizeof(wire::Subheader) : 0;
    const std::size_t bytes = std::min(left, bytes_most);
    if (bytes < section) return;
    const std::size_t count = std::min(waiting[kind].count - shares[kind], (bytes - section) / waiting[kind].bytes);
    if (count == 0) return;
    shares[kind] += count;
    left -= section + count * waiting[kind].bytes;
  };
  for (std::size_t kind = 0; kind < kind_count; ++kind)
    if (waiting[kind].part != 0)
      add(kind, std::max(room_bytes / waiting[kind].part, sizeof(wire::Subheader) + waiting[kind].bytes));
  for (std::size_t kind = 0; kind < kind_count; ++kind) add(kind, left);
  return shares;
}

/// In the order of the kernel's sections. Source: FreeBSD sys/netpfil/pf/if_pfsync.c, pfsync_qs[].
void Outbox::write_as_freebsd(wire::PacketWriter& writer, Instant now, wire::Dialect dialect, const StateSource& source,
                              const Shares& shares) noexcept {
  const auto share = [&](Kind kind) { return shares[static_cast<std::size_t>(kind)]; };
  write_states(writer, now, Queue::ins, Message::ins, dialect, source, share(Kind::ins));
  write_ids(writer, acks_, Message::ins_ack, share(Kind::acks));
  write_states(writer, now, Queue::upd, Message::upd, dialect, source, share(Kind::upd));
  write_states(writer, now, Queue::upd_c, Message::upd_c, dialect, source, share(Kind::upd_c));
  write_deletes(writer, share(Kind::deletes));
  write_tdbs(writer, dialect, source, share(Kind::tdbs));
  write_ids(writer, requests_, Message::upd_req, share(Kind::requests));
}

/// Clears and requests have packets of their own there. Source: OpenBSD sys/net/if_pfsync.c.
void Outbox::write_as_openbsd(wire::PacketWriter& writer, Instant now, const StateSource& source,
                              const Shares& shares) noexcept {
  constexpr wire::Dialect dialect = wire::Dialect::openbsd;
  if (!writer.empty()) return;
  write_ids(writer, requests_, Message::upd_req, requests_.size());
  if (!writer.empty()) return;
  const auto share = [&](Kind kind) { return shares[static_cast<std::size_t>(kind)]; };
  write_ids(writer, acks_, Message::ins_ack, share(Kind::acks));
  write_states(writer, now, Queue::upd_c, Message::upd_c, dialect, source, share(Kind::upd_c));
  write_deletes(writer, share(Kind::deletes));
  write_states(writer, now, Queue::ins, Message::ins, dialect, source, share(Kind::ins));
  write_states(writer, now, Queue::upd, Message::upd, dialect, source, share(Kind::upd));
  write_tdbs(writer, dialect, source, share(Kind::tdbs));
}

void Outbox::write_deletes(wire::PacketWriter& writer, std::size_t count_max) noexcept {
  const std::size_t before = deletes_.size();
  write_ids(writer, deletes_, Message::del_c, std::min(deletes_allowed(), count_max));
  deletes_gated_.count -= std::min(deletes_gated_.count, before - deletes_.size());
}

void Outbox::write_states(wire::PacketWriter& writer, Instant now, Queue queue, Message message, wire::Dialect dialect,
                          const StateSource& source, std::size_t count_max) noexcept {
  // Some way ahead of the one that is written, so that its memory is here by then.
  constexpr std::size_t ahead = 8;
  std::uint32_t fetched = list(queue).first;
  const auto fetch_next = [&] {
    if (fetched == 0) return;
    source.prefetch(fetched - 1);
    fetched = places_[fetched - 1].next;
  };
  for (std::size_t i = 0; i < ahead; ++i) fetch_next();
  // What changed again while it waited may overtake a bulk frame that was begun before that.
  const bool is_overtaking = queue == Queue::upd_c && gate_ != nullptr && !gate_->has_passed(gate_->stamp());
  while (count_max > 0 && list(queue).first != 0 && writer.fits(message)) {
    const Slot slot = list(queue).first - 1;
    fetch_next();
    const bool is_told_again = is_overtaking && places_[slot].updates > 0;
    told(slot, now);
    if (is_told_again) updated(slot, false, now);
    if (message == Message::upd_c) {
      // Its receiver would only ask for a full state that cannot be written.
      if (!can_say_two_families(dialect) && source.has_two_families(slot)) {
        counters_->lost.updates.add();
        --count_max;
        continue;
      }
      static_cast<void>(writer.append_update(source.update(slot)));  // it fits
    } else {
      const wire::State state = source.full_state(slot);
      if (!counters_->lost.allow(state, dialect)) continue;
      static_cast<void>(writer.append_state(message, state));
    }
    --count_max;
    counters_->out(message).add();
  }
}

void Outbox::write_tdbs(wire::PacketWriter& writer, wire::Dialect dialect, const StateSource& source,
                        std::size_t count_max) noexcept {
  while (count_max > 0 && !tdbs_.empty() && writer.fits(Message::tdb)) {
    const TdbTable::Place place = tdbs_.front();
    tdbs_.pop();
    tdb_queued_[place] = false;
    const wire::Tdb tdb = source.tdb(place);
    if (!counters_->lost.allow(tdb, dialect)) continue;
    static_cast<void>(writer.append_tdb(tdb));  // it fits
    --count_max;
    counters_->out(Message::tdb).add();
  }
}

template <class T>
void Outbox::write_ids(wire::PacketWriter& writer, BoundedQueue<T>& ids, Message message,
                       std::size_t count_max) noexcept {
  const auto front = [&ids] {
    if constexpr (std::is_same_v<T, Request>)
      return ids.front().id;
    else
      return ids.front();
  };
  for (; count_max > 0 && !ids.empty() && writer.append_id(message, front()); --count_max) {
    ids.pop();
    counters_->out(message).add();
  }
}

}  // namespace pfsync::engine
