#include "engine/session/removed_states.h"

#include <algorithm>
#include <utility>

namespace pfsync::engine {

RemovedStates::RemovedStates(std::size_t states_max) : sets_(std::max<std::size_t>(states_max / ways, 1)) {}

void RemovedStates::remember(wire::StateId id, Hash hash, Seconds now_s, bool was_here) noexcept {
  Set& set = set_of(hash);
  Place* place = std::find_if(set.begin(), set.end(), [&](const Place& one) { return one.is_of(id); });
  if (place == set.end()) {
    const auto worth = [now_s](const Place& one) {
      return std::pair{!one.counts(now_s) ? 0 : one.was_here() ? 2 : 1, one.at_s()};
    };
    place = std::ranges::min_element(set, {}, worth);
    if (!was_here && worth(*place).first == 2) return;
  } else {
    was_here = was_here || place->was_here();
  }
  *place = {id.id, id.creatorid, static_cast<std::uint32_t>(now_s) << 1u | (was_here ? 1u : 0u)};
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
    if (place.is_of(id)) return place.counts(now_s);
  return false;
}

bool RecentClears::remember(const wire::Clear& clear, bool is_own, Seconds now_s) noexcept {
  auto place = std::ranges::find(places_, clear, &Place::clear);
  if (place == places_.end()) place = std::ranges::min_element(places_, {}, &Place::at_s);
  const bool forgets = place->clear != clear && counts(*place, now_s);
  *place = {clear, is_own, now_s};
  newest_s_ = std::max<std::int64_t>(newest_s_, now_s);
  return !forgets;
}

bool RecentClears::has_ended(const wire::State& state, Seconds now_s) const noexcept {
  if (now_s - newest_s_ > RemovedStates::remembered_s) return false;
  const std::int64_t created_s = std::int64_t{now_s} - state.creation_s;
  return std::ranges::any_of(places_, [&](const Place& place) {
    return place.clear.creatorid == state.id.creatorid && counts(place, now_s) &&
           (place.clear.ifname.empty() || place.clear.ifname == state.ifname) &&
           (place.is_own || created_s + uncertain_s < place.at_s);
  });
}

bool RecentClears::has_ended(wire::StateId id, Seconds now_s) const noexcept {
  if (now_s - newest_s_ > RemovedStates::remembered_s) return false;
  return std::ranges::any_of(places_, [&](const Place& place) {
    return place.is_own && place.clear.creatorid == id.creatorid && counts(place, now_s) && place.clear.ifname.empty();
  });
}

}  // namespace pfsync::engine
