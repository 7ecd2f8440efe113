#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <optional>

#include "engine/carp/journal.h"
#include "wire/carp.h"

namespace pfsync::engine::carp {

/// Who sent something, as far as a frame tells.
struct Source {
  wire::Family family = wire::Family::none;
  wire::Address address{};

  friend constexpr bool operator==(const Source&, const Source&) noexcept = default;
};

/// When a mistake was last seen, and of whom.
struct Sighting {
  std::uint64_t count = 0;
  Instant at{};
  Source source{};
  wire::CarpAdvert advert{};  ///< the advertisement concerned, when there was one
  wire::CarpAddress odd{};    ///< addresses_differ: which one only one of the nodes has
};

/// Keeps an eye on who else is heard for one VHID, and names what is set up wrongly. Judges nothing: elections do not
/// depend on it.
class Watch {
 public:
  /// A mistake that was not seen for so long is over; or for two intervals of whoever advertises more rarely.
  static constexpr std::chrono::seconds fresh{10};
  /// One log line in this time for each mistake of a VHID, however many frames show it.
  static constexpr std::chrono::seconds quiet{60};
  /// A wrong HMAC is told when it goes on for so long: until then it may find another explanation, when two nodes that
  /// do not believe each other have both become masters and announce their addresses. One that was not seen for
  /// `forgotten` begins anew.
  static constexpr std::chrono::seconds settled{5}, forgotten{600};

  Watch(Journal& journal, std::uint8_t port, std::uint8_t vhid) noexcept
      : journal_{&journal}, port_{port}, vhid_{vhid} {}

  /// A sound advertisement was heard. `master_since`: since when this node has been master, if it is.
  void on_advert(const wire::CarpAdvert& advert, const Source& source, std::uint8_t own_advbase,
                 std::optional<Instant> master_since, Instant now) noexcept;
  void see(Mistake mistake, const Source& source, const wire::CarpAdvert& advert, Instant now,
           const wire::CarpAddress& odd = {}) noexcept;

  [[nodiscard]] const std::array<Sighting, mistake_count>& sightings() const noexcept { return sightings_; }
  [[nodiscard]] static bool is_fresh(const Sighting& sighting, Instant now) noexcept {
    const Duration rare = 2 * interval(sighting.advert.advbase, sighting.advert.advskew);
    return sighting.count > 0 && now - sighting.at < std::max<Duration>(fresh, rare);
  }

 private:
  /// One who advertises. `first`: since when without a pause.
  struct Speaker {
    Source source{};
    Instant first{}, last{};
    Duration interval{};
  };

  Journal* journal_;
  std::uint8_t port_, vhid_;
  std::array<Speaker, 4> speakers_{};
  std::array<Sighting, mistake_count> sightings_{};
  std::array<Instant, mistake_count> told_{};
  Instant suspected_at_{};  ///< when the password was first taken for wrong
};

}  // namespace pfsync::engine::carp
