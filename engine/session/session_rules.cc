// The part of a session that judges what is announced.
#include "engine/session/session.h"

namespace pfsync::engine {

using statetable::HotState;
using statetable::ShardWriter;

/// States released in one turn, so that it stays short however many began in one second.
constexpr std::size_t released_max = 1024;
/// Of no peer.
constexpr std::uint8_t no_number = 0xff;

Session::HoldBack Session::consult(HotState& hot, const wire::State& state, unsigned from,
                                   Seconds now_s) const noexcept {
  if (!is_announced(hot.state_flags)) return {};
  const SyncRule* rule = deciding_rule(config_.sync_rules, state);
  if (rule == nullptr || rule->action == SyncRule::Action::sync) return {};
  HoldBack held_back;
  if (rule->action == SyncRule::Action::skip) {
    held_back.skipped = true;
  } else {
    // There is nobody else to tell.
    if (from != nobody && peers_.size() == 1) return {};
    const std::int64_t due_s = std::int64_t{hot.created_s} + rule->age_s;
    if (due_s <= now_s) return {};
    held_back.due_s = static_cast<Seconds>(due_s);
  }
  hot.state_flags |= wire::state_flag::nosync;
  return held_back;
}

void Session::hold_back(const HoldBack& held_back, Slot slot, unsigned from) noexcept {
  if (held_back.skipped)
    counters_[Tally::sync_skipped].add();
  else if (held_back.due_s)
    delayed_->add(slot, *held_back.due_s, from == nobody ? no_number : peers_[from].number);
}

void Session::announce_delayed(Instant now) noexcept {
  delayed_->release(statetable::to_seconds(now), released_max, [&](Slot slot, std::uint8_t from) {
    ShardWriter& writer = writer_of(slot);
    HotState hot = writer.hot(slot);
    hot.state_flags = static_cast<std::uint16_t>(hot.state_flags & ~wire::state_flag::nosync);
    writer.update(slot, hot);
    for (Peer& peer : peers_)
      if (peer.number != from) peer.outbox.inserted(slot, now);
  });
}

}  // namespace pfsync::engine
