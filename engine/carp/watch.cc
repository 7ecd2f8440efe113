#include "engine/carp/watch.h"

#include <algorithm>

namespace pfsync::engine::carp {

void Watch::see(Mistake mistake, const Source& source, const wire::CarpAdvert& advert, Instant now,
                const wire::CarpAddress& odd) noexcept {
  Sighting& sighting = sightings_[static_cast<std::size_t>(mistake)];
  Instant& told = told_[static_cast<std::size_t>(mistake)];
  // What explains a wrong HMAC, a new address's announcement, follows the advertisement that shows it.
  const bool is_new = sighting.count == 0 || now - sighting.at >= forgotten;
  if (mistake == Mistake::wrong_password && is_new) suspected_at_ = now;
  const bool is_sure = mistake != Mistake::wrong_password || now - suspected_at_ >= settled;
  if (is_sure && (told == Instant{} || now - told >= quiet)) {
    told = now;
    journal_->push({.kind = Entry::Kind::mistake,
                    .at = now,
                    .port = port_,
                    .vhid = vhid_,
                    .mistake = mistake,
                    .family = source.family,
                    .source = source.address,
                    .odd = odd});
  }
  ++sighting.count;
  sighting.at = now;
  sighting.source = source;
  sighting.advert = advert;
  sighting.odd = odd;
}

void Watch::on_advert(const wire::CarpAdvert& advert, const Source& source, std::uint8_t own_advbase,
                      std::optional<Instant> master_since, Instant now) noexcept {
  const Rank rank{advert.advbase, advert.advskew, advert.demote};
  const auto of_source =
      std::find_if(speakers_.begin(), speakers_.end(), [&](const Speaker& s) { return s.source == source; });
  if (is_bow_out(rank)) {
    if (of_source != speakers_.end()) *of_source = {};
    return;
  }
  if (advert.advbase != own_advbase) see(Mistake::intervals_differ, source, advert, now);

  Speaker& speaker = of_source != speakers_.end()
                         ? *of_source
                         : *std::min_element(speakers_.begin(), speakers_.end(),
                                             [](const Speaker& a, const Speaker& b) { return a.last < b.last; });
  const Duration pause_max = 3 * std::max(interval(rank), Duration{std::chrono::seconds{1}});
  if (!(speaker.source == source) || now - speaker.last > pause_max) speaker = {.source = source, .first = now};
  speaker.last = now;
  // OpenBSD's may be 0; a handover takes longer.
  speaker.interval = std::max(interval(rank), Duration{std::chrono::seconds{1}});

  // A handover has two speakers for a moment: a mistake are two who have both gone on for more than two intervals.
  const auto overlaps = [&](Instant since, Instant until, Duration other) {
    return until - std::max(since, speaker.first) > 2 * std::max(other, speaker.interval);
  };
  if (master_since && overlaps(*master_since, now, Duration{})) return see(Mistake::two_masters, source, advert, now);
  for (const Speaker& other : speakers_) {
    if (other.source == source || other.source.family != source.family)
      continue;  // one node has an address of each family
    if (now - other.last > 2 * std::max(other.interval, speaker.interval)) continue;
    if (overlaps(other.first, other.last, other.interval)) return see(Mistake::two_masters, source, advert, now);
  }
}

}  // namespace pfsync::engine::carp
