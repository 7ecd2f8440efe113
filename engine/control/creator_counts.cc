#include "engine/control/creator_counts.h"

#include <algorithm>
#include <array>
#include <utility>

namespace pfsync::engine {

void CreatorCounts::step(const statetable::Table& table, statetable::Instant now) {
  if (!walking_) {
    if (counts_ && now < counts_->counted_at + refresh) return;
    walking_ = true;
    cursor_ = {};
    next_ = {};
  }
  const statetable::TableReader reader = table.reader();
  std::array<wire::StateId, 256> ids;
  for (std::size_t slots = slots_per_step; slots > 0 && !reader.at_end(cursor_);) {
    const std::size_t found = reader.next(cursor_, ids, slots);
    for (std::size_t i = 0; i < found; ++i) count(ids[i].creatorid);
  }
  if (!reader.at_end(cursor_)) return;
  walking_ = false;
  std::ranges::sort(next_.rows, [](const Row& a, const Row& b) {
    return a.states != b.states ? a.states > b.states : a.creatorid < b.creatorid;
  });
  next_.counted_at = now;
  counts_ = std::exchange(next_, {});
}

void CreatorCounts::count(std::uint32_t creatorid) {
  std::vector<Row>& rows = next_.rows;
  if (last_ >= rows.size() || rows[last_].creatorid != creatorid) {
    last_ = static_cast<std::size_t>(std::ranges::find(rows, creatorid, &Row::creatorid) - rows.begin());
    if (last_ == rows.size()) {
      if (rows.size() == creators_max) {
        ++next_.others;
        return;
      }
      rows.push_back({.creatorid = creatorid});
    }
  }
  ++rows[last_].states;
}

}  // namespace pfsync::engine
