// The part of a session that keeps one source from having the whole table.
#include "engine/session/session.h"

namespace pfsync::engine {

void Session::number_source(Peer& peer, const wire::Address& source) noexcept {
  const std::size_t place = peer.dialect.place_of(source);
  if (place == PeerDialect::sources_max) return;  // it has none: one of the others
  if (peer.numbers[place] == PlaceShares::others) peer.numbers[place] = shares_.take();
}

bool Session::give_room_to(PlaceShares::Number number, Instant now) noexcept {
  constexpr std::size_t looks_max = 256;  // who has most is met soon
  const PlaceShares::Number giver = shares_.who_gives_room_to(number);
  if (giver == number) return false;
  const auto slots = static_cast<Slot>(writers_.size() * slots_per_shard_);
  for (std::size_t looks = 0; looks < looks_max; ++looks) {
    if (room_at_ >= slots) room_at_ = 0;
    statetable::ShardWriter& writer = writers_[room_at_ / slots_per_shard_];
    const std::size_t local = room_at_ % slots_per_shard_;
    if (local >= writer.slots_touched()) {  // on to the next shard
      room_at_ += static_cast<Slot>(slots_per_shard_ - local);
      continue;
    }
    const Slot slot = static_cast<Slot>(first_shard_ * slots_per_shard_) + room_at_++;
    const statetable::HotEntry& entry = writer.entry(slot);
    if (!entry.in_use() || entry.from() != giver) continue;
    // It has not ended: nobody is told so, and what comes of it later is not late.
    remove(writer, slot, {entry.id, entry.creatorid}, false, nobody, now);
    counters_[Tally::made_room].add();
    return true;
  }
  return false;
}

}  // namespace pfsync::engine
