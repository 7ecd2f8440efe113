// The part of a session that clears: what a creator says of all its states at once, and who is told of it.
#include <algorithm>

#include "engine/session/session.h"

namespace pfsync::engine {

using statetable::ShardWriter;
using statetable::Slot;

namespace {

/// What a look at an entry counts for: a source may make a million of them a second, which is some hundredths of a
/// core. A clear streams a byte a slot beside, a line of 64 slots at a time.
constexpr Duration look_time = std::chrono::microseconds{1};
constexpr Duration looks_at_once = std::chrono::milliseconds{100};  ///< worth of them; after that a clear waits
constexpr std::size_t looks_each = 8;                               ///< that a clear costs which finds nothing
constexpr std::size_t slots_a_line = 64;

// The walk for those that wait: as many looks as its share of the time between two steps allows.
constexpr Duration walk_every = std::chrono::milliseconds{1};
constexpr std::size_t looks_a_step = 1024;
constexpr std::size_t looks_a_removal = 8;  ///< it takes so much longer

}  // namespace

bool Session::may_clear_at_once(const wire::Clear& clear, unsigned from, std::uint8_t source,
                                Instant now) const noexcept {
  if (from == nobody) return true;
  if (peers_[from].clears_paid_at[source] > now + looks_at_once) return false;
  return std::ranges::all_of(writers_, [&](const ShardWriter& writer) { return writer.has_number(clear.creatorid); });
}

std::size_t Session::clear_at_once(const wire::Clear& clear, unsigned from, std::size_t& looks, Instant now) noexcept {
  std::size_t removed = 0;
  const bool is_of_one = !clear.ifname.view().empty();
  const bool is_own = clear.creatorid == config_.creatorid;
  const Seconds now_s = statetable::to_seconds(now);
  for (ShardWriter& writer : writers_) {
    looks += writer.for_each_of(clear.creatorid, [&](Slot slot) {
      if (is_of_one && writer.interface(slot) != clear.ifname) {
        ++looks;
        return;
      }
      const statetable::HotEntry& ended = writer.entry(slot);
      const wire::StateId id{ended.id, ended.creatorid};
      const bool may_seem_new = !is_own && RecentClears::may_seem_new(ended.created_s(), now_s);
      remove(writer, slot, id, is_of_one && is_announced(ended.state_flags()), from, now, true);
      if (may_seem_new) removed_.remember(id, table_->hash(id), now_s);
      counters_[Tally::removals].add();
      ++removed;
    });
    looks += writer.slots_touched() / slots_a_line;
  }
  return removed;
}

std::size_t Session::on_clear(const wire::Clear& clear, unsigned from, std::uint8_t source, Instant now) noexcept {
  const bool is_of_one = !clear.ifname.view().empty();
  const Seconds now_s = statetable::to_seconds(now);
  const bool is_at_once = may_clear_at_once(clear, from, source, now);
  std::size_t removed = 0;
  bool is_taken = true;
  if (is_at_once) {
    std::size_t looks = looks_each;
    removed = clear_at_once(clear, from, looks, now);
    looks_for_clears_.add(looks);
    if (from != nobody) {
      Instant& paid_at = peers_[from].clears_paid_at[source];
      paid_at = std::max(paid_at, now) + static_cast<std::int64_t>(looks) * look_time;
    }
  } else {
    if (pending_clears_.empty()) clears_walk_due_ = now + walk_every;
    is_taken = pending_clears_.add(clear, from, source, now_s, writers_.size() * slots_per_shard_);
    counters_[is_taken ? Tally::clears_delayed : Tally::clears_refused].add();
  }
  if (is_taken && !recent_clears_.remember(clear, clear.creatorid == config_.creatorid, now_s) && is_first())
    counters_[Tally::clears_forgotten].add();
  if (partition_ != nullptr) {
    partition_->cleared(part_, ++clears_, removed);
    if (is_of_one) push();  // the deletes, for those who take no clear of one interface
    if (is_first() && !untold_clears_.push({clear, from})) counters_[Tally::clears_dropped].add();
  } else if (removed > 0 || from == nobody) {
    tell_clear(clear, from, now);
  }
  return removed;
}

/// What it removes is told state by state: a clear would take along at the peers what began after this one came.
void Session::walk_for_clears(Instant now) noexcept {
  const auto slots = static_cast<Slot>(writers_.size() * slots_per_shard_);
  std::size_t passed = 0;
  for (std::size_t looks = 0; looks < looks_a_step && passed < slots; ++looks) {
    if (clears_walk_at_ >= slots) clears_walk_at_ = 0;
    ShardWriter& writer = writers_[clears_walk_at_ / slots_per_shard_];
    const std::size_t local = clears_walk_at_ % slots_per_shard_;
    if (local >= writer.slots_touched()) {  // on to the next shard
      clears_walk_at_ += static_cast<Slot>(slots_per_shard_ - local);
      passed += slots_per_shard_ - local;
      continue;
    }
    const Slot slot = static_cast<Slot>(first_shard_ * slots_per_shard_) + clears_walk_at_++;
    ++passed;
    const statetable::HotEntry& entry = writer.entry(slot);
    looks_for_clears_.add();
    if (!entry.in_use()) continue;
    const auto* const clear = pending_clears_.find(entry.creatorid, [&](const PendingClears::Pending& pending) {
      return entry.created_s() <= pending.at_s &&
             (pending.clear.ifname.empty() || writer.interface(slot) == pending.clear.ifname);
    });
    if (clear == nullptr) continue;
    const wire::StateId id{entry.id, entry.creatorid};
    const bool may_seem_new = RecentClears::may_seem_new(entry.created_s(), clear->at_s);
    remove(writer, slot, id, is_announced(entry.state_flags()), clear->from, now);
    if (may_seem_new) removed_.remember(id, table_->hash(id), statetable::to_seconds(now));
    counters_[Tally::removals].add();
    looks += looks_a_removal;
  }
  pending_clears_.passed(passed);
  clears_walk_due_ = now + walk_every;
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
