#include "engine/peer_dialect.h"

#include <algorithm>

namespace pfsync::engine {

using wire::Dialect;

PeerDialect::Source& PeerDialect::place_of(const wire::Address& address, Instant now) noexcept {
  Source* oldest = &sources_.front();
  for (Source& source : sources_) {
    if (source.header_version != 0 && source.address == address) return source;
    const bool is_free = source.header_version == 0;
    if ((is_free && oldest->header_version != 0) ||
        (is_free == (oldest->header_version == 0) && source.heard < oldest->heard))
      oldest = &source;
  }
  *oldest = {.address = address, .heard = now};
  return *oldest;
}

Dialect PeerDialect::spoken_by(const Source& source) const noexcept {
  if (source.told) return *source.told;
  if (source.header_version == wire::header_version_openbsd) return Dialect::openbsd;
  // 1301's full states are taken by every kernel of version 5.
  return wire::info(first_).header_version == wire::header_version_freebsd ? first_ : Dialect::freebsd_1301;
}

bool PeerDialect::takes(const Source& source, Dialect dialect) const noexcept {
  const Dialect spoken = spoken_by(source);
  return wire::info(spoken).header_version == wire::info(dialect).header_version &&
         wire::takes(spoken, *wire::find_action(dialect, wire::Message::upd));
}

Dialect PeerDialect::choose() const noexcept {
  const auto all_take = [this](Dialect dialect, bool only_its_version) {
    bool any = false;
    for (const Source& source : sources_) {
      if (source.header_version == 0) continue;
      if (only_its_version && source.header_version != wire::info(dialect).header_version) continue;
      if (!takes(source, dialect)) return false;
      any = true;
    }
    return any;
  };
  constexpr std::array newest_first{Dialect::freebsd_1500, Dialect::freebsd_1400, Dialect::freebsd_1301,
                                    Dialect::openbsd};
  for (const Dialect dialect : newest_first)
    if (all_take(dialect, false)) return dialect;
  const Dialect now = in_use();
  for (const Dialect dialect : newest_first)
    if (wire::info(dialect).header_version == wire::info(now).header_version && all_take(dialect, true)) return dialect;
  return now;
}

void PeerDialect::forget(Instant now) noexcept {
  forget_due_ = Instant::max();
  for (Source& source : sources_) {
    if (source.header_version == 0) continue;
    if (now - source.heard > lately)
      source = {};
    else
      forget_due_ = std::min(forget_due_, source.heard + lately + std::chrono::seconds{1});
  }
}

bool PeerDialect::forget(const wire::Address& address, Instant now) noexcept {
  const auto found = std::find_if(sources_.begin(), sources_.end(), [&](const Source& source) {
    return source.header_version != 0 && source.address == address;
  });
  if (found == sources_.end()) return false;
  *found = {};
  decide();
  publish(now);
  return true;
}

void PeerDialect::publish(Instant now) noexcept {
  published_.publish(sources_);
  publish_due_ = now + std::chrono::seconds{1};
}

std::vector<PeerDialect::Heard> PeerDialect::heard_lately() const {
  std::vector<Heard> all;
  for (const Source& source : published_.read())
    if (source.header_version != 0)
      all.push_back({source.address, source.heard, source.header_version, source.told, takes(source, in_use())});
  return all;
}

void PeerDialect::decide() noexcept {
  if (learn_) {
    const Dialect chosen = choose();
    if (chosen != in_use()) changes_.add();
    in_use_.store(chosen, std::memory_order_relaxed);
    // A header version without a full state decides between FreeBSD and OpenBSD only.
    learned_.store(
        std::any_of(sources_.begin(), sources_.end(),
                    [](const Source& one) { return one.told || one.header_version == wire::header_version_openbsd; }),
        std::memory_order_relaxed);
  }
  apart_.set(static_cast<std::uint64_t>(std::count_if(sources_.begin(), sources_.end(), [this](const Source& one) {
    return one.header_version != 0 && !takes(one, in_use());
  })));
}

void PeerDialect::set(Dialect first, bool learn) noexcept {
  if (first == first_ && learn == learn_) return;
  first_ = first;
  learn_ = learn;
  const bool has_heard =
      std::any_of(sources_.begin(), sources_.end(), [](const Source& source) { return source.header_version != 0; });
  if (!learn_ || !has_heard) {
    in_use_.store(first_, std::memory_order_relaxed);
    learned_.store(false, std::memory_order_relaxed);
  }
  decide();
}

bool PeerDialect::heard(const wire::Address& address, std::uint8_t header_version, std::optional<Dialect> told,
                        Instant now) noexcept {
  Source& source = place_of(address, now);
  source.heard = now;
  // Another header version is another kernel: what the one before said no longer holds.
  const bool changed = source.header_version != header_version || (told && told != source.told);
  if (source.header_version != header_version) source.told.reset();
  source.header_version = header_version;
  if (told) source.told = told;
  if (changed || now >= publish_due_) publish(now);
  if (!changed && now < forget_due_) return takes(source, in_use());

  forget(now);
  decide();
  return takes(source, in_use());
}

}  // namespace pfsync::engine
