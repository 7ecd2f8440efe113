// The part of a session that clears: what a creator says of all its states at once, and who is told of it.
#include "engine/session.h"

namespace pfsync::engine {

using statetable::ShardWriter;
using statetable::Slot;

std::size_t Session::on_clear(const wire::Clear& clear, unsigned from, Instant now) noexcept {
  std::size_t removed = 0;
  const bool is_of_one = !clear.ifname.view().empty();
  const Seconds now_s = statetable::to_seconds(now);
  const bool is_own = clear.creatorid == config_.creatorid;
  if (!recent_clears_.remember(clear, is_own, now_s) && is_first()) counters_[Tally::clears_forgotten].add();
  for (ShardWriter& writer : writers_)
    writer.for_each_of(clear.creatorid, [&](Slot slot) {
      if (is_of_one && writer.interface(slot) != clear.ifname) return;
      const statetable::HotEntry& ended = writer.entry(slot);
      const wire::StateId id{ended.id, ended.creatorid};
      const bool may_seem_new = !is_own && RecentClears::may_seem_new(ended.created_s(), now_s);
      remove(writer, slot, id, is_of_one && is_announced(ended.state_flags()), from, now, true);
      if (may_seem_new) removed_.remember(id, table_->hash(id), now_s);
      counters_[Tally::removals].add();
      ++removed;
    });
  if (partition_ != nullptr) {
    partition_->cleared(part_, ++clears_, removed);
    if (is_of_one) push();  // the deletes, for those who take no clear of one interface
    if (is_first() && !untold_clears_.push({clear, from})) counters_[Tally::clears_dropped].add();
  } else if (removed > 0 || from == nobody) {
    tell_clear(clear, from, now);
  }
  return removed;
}

/// A local flush is told in any case: the peers may hold more. What comes from a peer goes round no further
/// than it finds something.
void Session::tell_clear(const wire::Clear& clear, unsigned from, Instant now) noexcept {
  if (config_.passive) return;
  const bool is_of_one = !clear.ifname.view().empty();
  for (unsigned i = 0; i < peers_.size(); ++i) {
    if (i == from) continue;
    if (is_of_one && !clears_by_interface(peers_[i].dialect.in_use())) {
      peers_[i].outbox.push();
      continue;
    }
    wire::Clear theirs = clear;
    peers_[i].interfaces.to_theirs(theirs);
    peers_[i].outbox.clear(theirs, now);
  }
}

/// Once all parts have cleared.
void Session::tell_clears(Instant now) noexcept {
  if (!untold_clears_.empty() && partition_->have_all_cleared(clears_)) {
    const std::uint64_t removed = partition_->removed_by_clears();
    for (; !untold_clears_.empty(); untold_clears_.pop()) {
      const auto& [clear, from] = untold_clears_.front();
      if (removed > removed_by_clears_ || from == nobody) tell_clear(clear, from, now);
    }
    removed_by_clears_ = removed;
  }
  if (!untold_clears_.empty()) return;
  for (unsigned i = 0; i < peers_.size(); ++i)
    if (partition_->told(i) < clears_ && !peers_[i].outbox.has_clears()) partition_->told(i, clears_);
}

}  // namespace pfsync::engine
