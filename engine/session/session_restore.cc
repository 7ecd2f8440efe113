// The part of a session that takes up the states of a former life, before its own begins.
#include <algorithm>
#include <array>

#include "engine/session/hot_part.h"
#include "engine/session/kept_state.h"
#include "engine/session/session.h"
#include "engine/session/validity.h"

namespace pfsync::engine {

using statetable::Hash;
using statetable::HotState;
using statetable::no_slot;

Session::Restored Session::restore(std::span<const KeptState> states, std::uint32_t passed_s, Instant now) noexcept {
  const Seconds now_s = statetable::to_seconds(now);
  // A message of this very second is newer.
  restored_s_ = std::max(now_s - 1, 0);
  struct Place {
    Hash hash;
    statetable::Beside beside;
    bool is_wanted = false;
  };
  // As in insert: lines of the indexes are fetched a group ahead.
  std::array<Place, 2 * group> places;
  const auto place = [&](std::size_t i) -> Place& { return places[i % places.size()]; };
  Restored restored;
  for (std::size_t at = 0; at < states.size() + group; at += group) {
    for (std::size_t i = at; i < std::min(at + group, states.size()); ++i) {
      const wire::State& state = states[i].state;
      const Hash hash = table_->hash(state.id);
      place(i) = {.hash = hash, .beside = {}, .is_wanted = false};
      if (!is_mine(hash)) continue;
      // The door that a peer's states pass.
      if (!is_valid(state) || state.id.creatorid == 0) {
        ++restored.invalid;
      } else if (state.expire_s <= passed_s) {
        ++restored.expired;
      } else {
        static_cast<void>(writer_of(hash).begin(hash));
        place(i).beside = begin_beside(state);
        place(i).is_wanted = true;
      }
    }
    if (at >= group)
      for (std::size_t i = at - group; i < std::min(at, states.size()); ++i)
        if (place(i).is_wanted) restore(states[i], place(i).hash, place(i).beside, passed_s, restored, now);
  }
  return restored;
}

void Session::restore(const KeptState& kept, Hash hash, const statetable::Beside& beside, std::uint32_t passed_s,
                      Restored& restored, Instant now) noexcept {
  const wire::State& state = kept.state;
  // Not counted as table_full: that is of the traffic, and makes the status unhealthy.
  if ((partition_ != nullptr ? partition_->states() : states_) >= table_->config().states_max) {
    ++restored.beyond;
    return;
  }
  if (writer_of(hash).find(state.id, hash) != no_slot) {
    ++restored.refused;
    return;
  }
  const Seconds now_s = statetable::to_seconds(now);
  HotState hot = hot_part(state, now_s);
  hot.created_s = saturated(std::int64_t{now_s} - state.creation_s - passed_s);
  hot.heard_s = restored_s_;
  hot.from = PlaceShares::restored;
  // What is left of its time, but never more than the timeout grants. That is not shortened for the number of states:
  // it was when the state was last used.
  const std::int64_t left_s = std::min<std::int64_t>(state.expire_s - passed_s, config_.timeouts.value[state.timeout]);
  hot.expire_at_s = saturated(now_s + left_s);
  hot.state_flags = static_cast<std::uint16_t>(hot.state_flags & ~unsigned{wire::state_flag::ack});
  // A peer's state has this flag only by a rule of this node's, which may be another by now; an own one may have it of
  // its firewall, whose word it is.
  if (!kept.is_said_here)
    hot.state_flags = static_cast<std::uint16_t>(hot.state_flags & ~unsigned{wire::state_flag::nosync});
  const SyncRule* const rule = deciding_rule(config_.sync_rules, state);
  // One that is to wait is not announced anyway: peers that ask for everything get it a little early.
  const bool is_skipped = rule != nullptr && rule->action == SyncRule::Action::skip;
  if (is_skipped) hot.state_flags |= wire::state_flag::nosync;
  const statetable::ColdState cold = statetable::cold_part(state);
  if (!statetable::keeps_names(cold, state)) counters_[Tally::names_full].add();
  Slot slot = no_slot;
  constexpr unsigned as_from_a_peer = 0;
  switch (enter(hot, cold, hash, beside, as_from_a_peer, slot, now)) {
    case Local::done:
      ++restored.entered;
      if (is_skipped) counters_[Tally::sync_skipped].add();
      return;
    case Local::full: ++restored.beyond; return;
    default: ++restored.refused; return;
  }
}

}  // namespace pfsync::engine
