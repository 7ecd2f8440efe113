#include "engine/session/bulk_sender.h"

#include <algorithm>

#include "wire/packet_writer.h"

namespace pfsync::engine {

using statetable::TableReader;
using wire::BulkStatus;
using wire::Message;

BulkSender::BulkSender(const BulkSenderConfig& config, const statetable::Table& table, BulkGate* gate) noexcept
    : config_{config}, table_{&table}, reader_{table.reader()}, gate_{gate}, interfaces_{config.interfaces} {}

void BulkSender::start(Instant now) noexcept {
  if (running()) {
    merged_.store(requests_merged() + 1, std::memory_order_relaxed);
    is_asked_again_ = true;
    return;
  }
  begin(started_at_ ? std::max(now, *started_at_ + start_every) : now);
  running_.store(true, std::memory_order_relaxed);
}

void BulkSender::begin(Instant at) noexcept {
  at_ = {};
  round_ = {at, {.lap = 1}};
  following_.reset();
  is_asked_again_ = is_end_owed_ = false;
  is_start_due_ = true;
  lasting_since_s_ = statetable::to_seconds(at) - long_lived_s;
  next_packet_at_ = at;
  states_sent_.store(0, std::memory_order_relaxed);
  states_total_.store(table_->size(), std::memory_order_relaxed);
  began_.store(at, std::memory_order_relaxed);
}

/// Takes up the requests that came meanwhile.
void BulkSender::merge(Instant now) noexcept {
  is_asked_again_ = false;
  is_start_due_ = true;
  if (at_ == Position{}) {  // nothing has gone that would have to go again
    round_.began = now;
    return;
  }
  following_ = Round{now, at_};
  ++following_->end.lap;
  states_total_.store(states_sent() + table_->size(), std::memory_order_relaxed);
}

BulkSender::Instant BulkSender::timeout() const noexcept { return running() ? next_packet_at_ : Instant::max(); }

statetable::Duration BulkSender::taking(Instant now) const noexcept {
  const Instant began = began_.load(std::memory_order_relaxed);
  const Instant end = running() ? now : ended_.load(std::memory_order_relaxed);
  return std::max(end - began, statetable::Duration::zero());
}

/// By what never changes: each state belongs to one half of the lap for as long as it is held, and is sent once.
bool BulkSender::has_lasted(const TableReader::Lasting& state) const noexcept {
  return state.proto == wire::ipproto::tcp && state.created_s <= lasting_since_s_;
}

std::optional<statetable::Snapshot> BulkSender::next() noexcept {
  while (at_ < round_.end) {
    auto found = reader_.next_of(
        at_.cursor, [this](const TableReader::Lasting& state) { return has_lasted(state) != at_.is_rest; });
    if (!found) {
      at_ = {.lap = at_.lap + (at_.is_rest ? 1 : 0), .is_rest = !at_.is_rest};
      continue;
    }
    --at_.cursor.slot;  // where it stands
    if (at_ >= round_.end) break;
    ++at_.cursor.slot;
    return found;
  }
  return std::nullopt;
}

std::size_t BulkSender::transmit(wire::Room room, Instant now) noexcept {
  if (!running() || now < next_packet_at_) return 0;
  if (gate_ != nullptr) gate_->frame_begun();
  wire::PacketWriter writer{config_.dialect, room};
  // Who comes after an END was left out gets no START either: before one OpenBSD passes over the END of the others.
  if (is_asked_again_ && !is_end_owed_ && (!started_at_ || now >= *started_at_ + start_every)) merge(now);
  // START travels in front of the first states, END behind the last: one link keeps their order.
  bool start_is_last = false;
  if (is_start_due_ && writer.append_bulk_status({config_.creatorid, 0, BulkStatus::start})) {
    is_start_due_ = false;
    start_is_last = true;
    started_at_ = now;
  }
  const statetable::Seconds now_s = statetable::to_seconds(now);
  std::uint64_t states = 0;
  bool is_over = false;
  // A state is read only when there is room for it: one read for this frame and sent with the next
  // could be deleted between the two, and the gate would not know.
  while (writer.fits(Message::upd)) {
    const auto snapshot = next();
    if (!snapshot) {
      // OpenBSD takes any END for its own: it is told only that of the last request.
      if (following_ && config_.dialect == wire::Dialect::openbsd) {
        is_end_owed_ = true;
        go_on();
        continue;
      }
      if (start_is_last) break;  // receivers look at the first BUS of a section only: END goes by itself
      const auto age = std::chrono::duration_cast<std::chrono::seconds>(now - round_.began).count();
      // Without room for it, END begins the next packet.
      is_over = writer.append_bulk_status({config_.creatorid, static_cast<std::uint32_t>(age), BulkStatus::end});
      break;
    }
    if ((snapshot->hot.state_flags & wire::state_flag::nosync) != 0) continue;
    // What waits out its grace is given to nobody: nodes that ask each other for all again and again would keep it
    // alive.
    if (snapshot->hot.expire_at_s <= now_s) continue;
    wire::State state = statetable::to_state(snapshot->hot, snapshot->cold, now_s);
    if (!lost_.allow(state, config_.dialect)) continue;
    if (!interfaces_.is_idle()) [[unlikely]]
      interfaces_.to_theirs(state);
    if (!writer.append_state(Message::upd, state)) break;
    start_is_last = false;
    ++states;
  }
  states_sent_.store(states_sent() + states, std::memory_order_relaxed);
  if (is_over) {
    bulks_served_.store(bulks_served() + 1, std::memory_order_relaxed);
    if (following_) {
      go_on();
    } else if (is_asked_again_) {
      begin(std::max(now, *started_at_ + start_every));
    } else {
      ended_.store(now, std::memory_order_relaxed);
      running_.store(false, std::memory_order_relaxed);
    }
  }
  pace(states, now);
  return writer.finish();
}

/// To the end of what was asked for during the round that is over.
void BulkSender::go_on() noexcept {
  round_ = *following_;
  following_.reset();
}

void BulkSender::pace(std::uint64_t states, Instant now) noexcept {
  if (!is_paced()) return;
  // A token bucket that holds 10 ms: a late turn may catch up that much, no more.
  const Instant earliest = now - std::chrono::milliseconds{10};
  next_packet_at_ =
      std::max(next_packet_at_, earliest) + std::chrono::nanoseconds{states * 1'000'000'000u / config_.states_per_s};
}

}  // namespace pfsync::engine
