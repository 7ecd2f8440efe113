#include "engine/session/delayed_states.h"

#include <algorithm>
#include <cstdlib>
#include <new>

namespace pfsync::engine {

DelayedStates::DelayedStates(std::size_t slots)
    // calloc, not new: the zero pages of a large table are not touched before its states arrive.
    : places_{static_cast<Place*>(std::calloc(slots, sizeof(Place))), &std::free} {
  if (places_ == nullptr) throw std::bad_alloc{};  // at start, before any core runs
}

void DelayedStates::add(Slot slot, Seconds due_s, std::uint8_t from) noexcept {
  std::uint32_t& first = first_[second_of(due_s)];
  places_[slot] = {0, first, static_cast<std::uint16_t>(second_of(due_s)), from, true};
  if (first != 0) places_[first - 1].previous = slot + 1;
  first = slot + 1;
  next_s_ = size() == 0 ? due_s : std::min(next_s_, due_s);
  count_.set(size() + 1);
}

bool DelayedStates::forget(Slot slot) noexcept {
  const Place place = places_[slot];
  if (!place.waits) return false;
  (place.previous != 0 ? places_[place.previous - 1].next : first_[place.second]) = place.next;
  if (place.next != 0) places_[place.next - 1].previous = place.previous;
  places_[slot] = {};
  count_.set(size() - 1);
  return true;
}

}  // namespace pfsync::engine
