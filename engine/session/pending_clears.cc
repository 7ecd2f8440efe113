#include "engine/session/pending_clears.h"

#include <algorithm>

namespace pfsync::engine {

bool PendingClears::add(const wire::Clear& clear, unsigned from, std::uint8_t source, Seconds at_s,
                        std::size_t slots) noexcept {
  const auto waiting = std::span{pending_}.first(count_);
  if (const auto same = std::ranges::find(waiting, clear, &Pending::clear); same != waiting.end()) {
    same->at_s = at_s;
    same->left = slots;
    return true;
  }
  const auto of_source =
      std::ranges::count_if(waiting, [&](const Pending& one) { return one.from == from && one.source == source; });
  if (count_ == places || static_cast<std::size_t>(of_source) >= places_each) return false;
  creators_[count_] = clear.creatorid;
  pending_[count_++] = {clear, from, source, at_s, slots};
  return true;
}

void PendingClears::passed(std::size_t slots) noexcept {
  for (std::size_t i = 0; i < count_;) {
    if (pending_[i].left > slots) {
      pending_[i++].left -= slots;
      continue;
    }
    --count_;
    pending_[i] = pending_[count_];
    creators_[i] = creators_[count_];
  }
}

}  // namespace pfsync::engine
