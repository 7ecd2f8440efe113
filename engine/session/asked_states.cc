#include "engine/session/asked_states.h"

#include <algorithm>

namespace pfsync::engine {

namespace {

using Milliseconds = std::chrono::milliseconds;

std::uint32_t to_ms(AskedStates::Instant now) noexcept {
  return static_cast<std::uint32_t>(std::chrono::floor<Milliseconds>(now.time_since_epoch()).count());
}

}  // namespace

AskedStates::AskedStates(std::size_t states_max)
    : sets_((std::clamp<std::size_t>(states_max, 1, places_most) + ways - 1) / ways) {}

bool AskedStates::Place::is_free(std::uint32_t now_ms) const noexcept {
  return creatorid == 0 || now_ms - at_ms >= Milliseconds{once_in}.count();
}

AskedStates::Turn AskedStates::turn_of(wire::StateId id, Hash hash, Instant now) const noexcept {
  const std::uint32_t now_ms = to_ms(now);
  bool has_place = false;
  for (const Place& place : sets_[set_of(hash)]) {
    const bool is_free = place.is_free(now_ms);
    if (place.is_of(id) && !is_free) return Turn::lately;
    has_place = has_place || is_free;
  }
  return has_place ? Turn::now : Turn::no_place;
}

void AskedStates::remember(wire::StateId id, Hash hash, Instant now) noexcept {
  const std::uint32_t now_ms = to_ms(now);
  Set& set = sets_[set_of(hash)];
  Place* const place = std::ranges::find_if(set, [now_ms](const Place& one) { return one.is_free(now_ms); });
  if (place != set.end()) *place = {id.id, id.creatorid, now_ms};
}

}  // namespace pfsync::engine
