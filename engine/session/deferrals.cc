#include "engine/session/deferrals.h"

#include <algorithm>

namespace pfsync::engine {

Deferrals::Deferrals(Duration limit, std::size_t held_max)
    : limit_{limit},
      places_(limit > Duration::zero() ? held_max : 0),
      hashes_(places_.size(), Hash{0}),
      chains_(places_.size()),
      released_(2 * places_.size()) {}

void Deferrals::hold(wire::StateId id, Hash hash, Instant now) noexcept {
  if (end_ - first_ == places_.size()) {
    if (place(first_).waits) let_go(first_ % places_.size(), Why::displaced);
    advance();
  }
  const std::size_t index = end_++ % places_.size();
  std::uint32_t& head = chain(hash);
  places_[index] = {.id = id, .at = now, .next = head, .waits = true};
  hashes_[index] = hash;
  head = static_cast<std::uint32_t>(index + 1);
}

bool Deferrals::release(wire::StateId id, Hash hash, Why why, Instant now) noexcept {
  if (empty()) return false;
  for (std::uint32_t link = chain(hash); link != 0; link = places_[link - 1].next) {
    const Place& found = places_[link - 1];
    if (found.id != id) continue;
    if (why == Why::acknowledged) latency_.add(now - found.at);
    let_go(link - 1, why);
    advance();
    return true;
  }
  return false;
}

void Deferrals::on_timeout(Instant now) noexcept {
  while (!empty() && place(first_).at + limit_ <= now) {
    if (place(first_).waits) let_go(first_ % places_.size(), Why::timed_out);
    advance();
  }
}

std::size_t Deferrals::take(std::span<Released> released) noexcept {
  std::size_t count = 0;
  for (; count < released.size() && taken_ != let_go_; ++taken_)
    released[count++] = released_[taken_ % released_.size()];
  return count;
}

void Deferrals::let_go(std::size_t index, Why why) noexcept {
  Place& place = places_[index];
  std::uint32_t* link = &chain(hashes_[index]);
  while (*link != index + 1) link = &places_[*link - 1].next;
  *link = place.next;
  place.waits = false;
  // A caller that does not ask for so long has no packets: the oldest news is dropped.
  if (let_go_ - taken_ == released_.size()) ++taken_;
  released_[let_go_++ % released_.size()] = {place.id, why};
}

/// Past those at the front that wait no more.
void Deferrals::advance() noexcept {
  while (!empty() && !place(first_).waits) ++first_;
}

}  // namespace pfsync::engine
