#include "engine/bulk_sender.h"

#include <algorithm>

#include "wire/packet_writer.h"

namespace pfsync::engine {

using wire::BulkStatus;
using wire::Message;

BulkSender::BulkSender(const BulkSenderConfig& config, const statetable::Table& table, BulkGate* gate) noexcept
    : config_{config}, table_{&table}, reader_{table.reader()}, gate_{gate}, interfaces_{config.interfaces} {}

void BulkSender::start(Instant now) noexcept {
  cursor_ = {};
  requested_at_ = now;
  next_packet_at_ = now;
  start_sent_ = false;
  states_sent_.store(0, std::memory_order_relaxed);
  states_total_.store(table_->size(), std::memory_order_relaxed);
  running_.store(true, std::memory_order_relaxed);
}

BulkSender::Instant BulkSender::timeout() const noexcept { return running() ? next_packet_at_ : Instant::max(); }

std::size_t BulkSender::transmit(wire::Room room, Instant now) noexcept {
  if (!running() || now < next_packet_at_) return 0;
  if (gate_ != nullptr) gate_->frame_begun();
  wire::PacketWriter writer{config_.dialect, room};
  // START travels in front of the first states, END behind the last: one link keeps their order.
  bool start_is_last = false;
  if (!start_sent_) start_sent_ = start_is_last = writer.append_bulk_status({config_.creatorid, 0, BulkStatus::start});
  const statetable::Seconds now_s = statetable::to_seconds(now);
  std::uint64_t states = 0;
  // A state is read only when there is room for it: one read for this frame and sent with the next
  // could be deleted between the two, and the gate would not know.
  while (writer.fits(Message::upd)) {
    const auto snapshot = reader_.next(cursor_);
    if (!snapshot) {
      if (start_is_last) break;  // receivers look at the first BUS of a section only: END goes by itself
      const auto age = std::chrono::duration_cast<std::chrono::seconds>(now - requested_at_).count();
      if (writer.append_bulk_status({config_.creatorid, static_cast<std::uint32_t>(age), BulkStatus::end})) {
        running_.store(false, std::memory_order_relaxed);
        bulks_served_.store(bulks_served() + 1, std::memory_order_relaxed);
      }
      break;  // without room for it, END is all of the next packet
    }
    if ((snapshot->hot.state_flags & wire::state_flag::nosync) != 0) continue;
    wire::State state = statetable::to_state(snapshot->hot, snapshot->cold, now_s);
    if (!lost_.allow(state, config_.dialect)) continue;
    if (!interfaces_.is_idle()) [[unlikely]]
      interfaces_.to_theirs(state);
    if (!writer.append_state(Message::upd, state)) break;
    start_is_last = false;
    ++states;
  }
  states_sent_.store(states_sent() + states, std::memory_order_relaxed);
  if (config_.states_per_s > 0) {
    // A token bucket that holds 10 ms: a late turn may catch up that much, no more.
    const Instant earliest = now - std::chrono::milliseconds{10};
    next_packet_at_ =
        std::max(next_packet_at_, earliest) + std::chrono::nanoseconds{states * 1'000'000'000u / config_.states_per_s};
  }
  return writer.finish();
}

}  // namespace pfsync::engine
