#include "engine/session/peer_dialect.h"

#include <algorithm>

namespace pfsync::engine {

using wire::Dialect;

std::size_t PeerDialect::place_of(const wire::Address& address) noexcept {
  const auto is_of = [&](std::size_t place) {
    return sources_[place].header_version != 0 && sources_[place].address == address;
  };
  if (is_of(last_)) [[likely]]
    return last_;
  for (std::size_t place = 0; place < sources_max; ++place)
    if (is_of(place)) return last_ = place;
  return sources_max;
}

PeerDialect::Source* PeerDialect::place_for(const wire::Address& address, Instant now) noexcept {
  Source* found = nullptr;
  for (Source& source : sources_) {
    const bool is_free = source.header_version == 0;
    if (!is_free && source.is_established() && now - source.heard <= lately) continue;
    if (found == nullptr || source.heard < found->heard) found = &source;
    if (is_free) {
      found = &source;
      break;
    }
  }
  if (found == nullptr) return nullptr;
  *found = {.address = address, .first_heard = now, .heard = now};
  return found;
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

bool PeerDialect::counts(const Source& source, const std::array<Source, sources_max>& all) noexcept {
  const auto is_established = [](const Source& one) { return one.header_version != 0 && one.is_established(); };
  return source.header_version != 0 && (source.is_established() || std::ranges::none_of(all, is_established));
}

Dialect PeerDialect::choose() const noexcept {
  const auto all_take = [this](Dialect dialect, bool only_its_version) {
    bool any = false;
    for (const Source& source : sources_) {
      if (!counts(source, sources_)) continue;
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
  known_ = 0;
  for (Source& source : sources_) {
    if (source.header_version == 0) continue;
    const Duration kept = source.is_established() ? Duration{lately} : Duration{lately_heard_once};
    if (now - source.heard > kept) {
      source = {};
    } else {
      forget_due_ = std::min(forget_due_, source.heard + kept + std::chrono::seconds{1});
      ++known_;
    }
  }
}

bool PeerDialect::forget(const wire::Address& address, Instant now) noexcept {
  const auto found = std::find_if(sources_.begin(), sources_.end(), [&](const Source& source) {
    return source.header_version != 0 && source.address == address;
  });
  if (found == sources_.end()) return false;
  *found = {};
  forget(now);
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
  const auto sources = published_.read();
  for (const Source& source : sources)
    if (source.header_version != 0)
      all.push_back({source.address, source.heard, source.header_version, source.told, takes(source, in_use()),
                     counts(source, sources)});
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
    return counts(one, sources_) && !takes(one, in_use());
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

bool PeerDialect::note(Source& source, std::uint8_t header_version, std::optional<Dialect> told, Instant now) noexcept {
  const bool was_established = source.is_established();
  source.heard = now;
  bool changed = source.is_established() != was_established;
  if (source.header_version == 0) {
    source.header_version = header_version;
    source.told = told;
    return true;
  }
  if (source.header_version == header_version) {
    const bool is_less = told && source.told && *told < *source.told;
    const bool goes_on_with_less = !told && source.other_version == header_version;
    if (!is_less && !goes_on_with_less) {
      source.other_version = 0;
      if (told && told != source.told) {
        source.told = told;
        changed = true;
      }
      return changed;
    }
    // It may write no more since it is not written more.
    const bool is_written_more =
        wire::info(in_use()).header_version == header_version && (is_less ? *told : *source.other_told) < in_use();
    if (!is_written_more) {
      source.other_version = 0;
      return changed;
    }
  }
  if (source.other_version != header_version) {
    source.other_version = header_version;
    source.other_told = told;
    source.other_since = now;
    return changed;
  }
  if (told) source.other_told = told;
  if (now - source.other_since < believed) return changed;
  // Another kernel: what the one before said no longer holds.
  source.header_version = header_version;
  source.told = source.other_told;
  source.other_version = 0;
  return true;
}

bool PeerDialect::heard(const wire::Address& address, std::size_t place, std::uint8_t header_version,
                        std::optional<Dialect> told, Instant now) noexcept {
  Source* source = place < sources_max ? &sources_[place] : place_for(address, now);
  Source without_place{.address = address};
  if (source == nullptr) source = &without_place;
  const bool changed = note(*source, header_version, told, now) && source != &without_place;
  if (changed || now >= publish_due_) publish(now);
  if (changed || now >= forget_due_) {
    forget(now);
    decide();
  }
  // Of a packet that is not believed yet, too, the sender is one of that version, whoever it is.
  return source->header_version == header_version && takes(*source, in_use());
}

}  // namespace pfsync::engine
