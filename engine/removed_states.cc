#include "engine/removed_states.h"

#include <algorithm>

namespace pfsync::engine {

RemovedStates::RemovedStates(std::size_t states_max) : sets_(std::max<std::size_t>(states_max / ways, 1)) {}

void RemovedStates::remember(wire::StateId id, Hash hash, Seconds now_s) noexcept {
  Set& set = set_of(hash);
  Place* place = std::find_if(set.begin(), set.end(), [&](const Place& one) { return one.is_of(id); });
  if (place == set.end())
    place = std::min_element(set.begin(), set.end(), [](const Place& a, const Place& b) { return a.at_s < b.at_s; });
  *place = {id.id, id.creatorid, now_s};
  newest_s_ = std::max<std::int64_t>(newest_s_, now_s);
}

void RemovedStates::forget(wire::StateId id, Hash hash, Seconds now_s) noexcept {
  if (is_over(now_s)) return;
  for (Place& place : set_of(hash))
    if (place.is_of(id)) place = {};
}

bool RemovedStates::has(wire::StateId id, Hash hash, Seconds now_s) const noexcept {
  if (is_over(now_s)) return false;
  for (const Place& place : set_of(hash))
    if (place.is_of(id)) return std::int64_t{now_s} - place.at_s <= remembered_s;
  return false;
}

}  // namespace pfsync::engine
