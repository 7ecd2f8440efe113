// The part of a session that takes what a comparison with another engine found.
#include "engine/session/merge.h"
#include "engine/session/said_left.h"
#include "engine/session/session.h"
#include "engine/session/validity.h"

namespace pfsync::engine {

using statetable::Hash;
using statetable::no_slot;
using statetable::ShardWriter;
using wire::Message;

namespace {

bool says_more(const statetable::HotEntry& held, const wire::Update& update) noexcept {
  return !statetable::is_same(held.src, update.src) || !statetable::is_same(held.dst, update.dst) ||
         held.timeout() != update.timeout;
}

}  // namespace

/// A state of our own that began in this life and is not here has ended: nobody else enters those.
bool Session::is_own_and_gone(const wire::State& state, Seconds now_s) const noexcept {
  return state.id.creatorid == config_.creatorid && started_s_ &&
         std::int64_t{now_s} - state.creation_s > std::int64_t{*started_s_} + RecentClears::uncertain_s;
}

void Session::repair(Repair& repair, unsigned from, Instant now) noexcept {
  using Outcome = Repair::Outcome;
  const wire::StateId id = repair.state.id;
  const Hash hash = table_->hash(id);
  if (!is_mine(hash)) return;
  const Seconds now_s = statetable::to_seconds(now);
  ShardWriter& writer = writer_of(hash);
  const Slot slot = writer.find(id, hash);
  if (repair.kind == Repair::Kind::ended) {
    removed_.remember(id, hash, now_s);
    repair.outcome = slot == no_slot ? Outcome::same : Outcome::taken;
    if (slot == no_slot) return;
    remove(writer, slot, id, is_announced(writer.entry(slot).state_flags()), from, now);
    counters_[Tally::removals].add();
    counters_[Tally::repaired].add();
    return;
  }
  if (!is_valid(repair.state) || id.creatorid == 0) {
    repair.outcome = Outcome::refused;
    return;
  }
  // As a full update: who has just come up hears so of what its peers hold.
  Pending pending{};
  pending.message = Message::upd;
  pending.id = id;
  pending.search.hash = hash;
  pending.peer = from;
  if (slot == no_slot) {
    if (partition_ != nullptr) states_ = partition_->states();
    if (was_removed(pending, now) || was_cleared(repair.state, now) || is_own_and_gone(repair.state, now_s)) {
      repair.outcome = Outcome::ended;
      return;
    }
    peers_[from].interfaces.to_ours(repair.state);
    repair.state.expire_s = said_left_s(repair.state.expire_s);
    const bool entered = import(repair.state, begin_beside(repair.state), pending, now);
    repair.outcome = entered ? Outcome::taken : Outcome::refused;
  } else {
    const statetable::HotEntry& held = writer.entry(slot);
    const wire::Update update{id, repair.state.src, repair.state.dst, repair.state.timeout};
    if (!says_more(held, update)) {
      repair.outcome = Outcome::same;
      return;
    }
    const bool taken = merge_update(slot, update, pending, now);
    repair.outcome = taken ? Outcome::taken : Outcome::stale;
  }
  if (repair.outcome == Outcome::taken) counters_[Tally::repaired].add();
}

}  // namespace pfsync::engine
