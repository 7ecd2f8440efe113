#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>

#include "engine/published.h"
#include "statetable/hash.h"
#include "statetable/time.h"
#include "wire/state.h"

namespace pfsync::engine {

/// The replay and byte counters of IPsec security associations that peers have told of, by SPI, destination, protocol
/// and routing domain. There is no SA here to apply them to; they are kept for the peers that have one.
/// Fixed memory, sets of eight: a new SA displaces the one of its set that was unheard longest. One thread writes, any
/// may read. Source: OpenBSD sys/net/if_pfsync.c, pfsync_update_net_tdb(); FreeBSD sys/netpfil/pf/if_pfsync.c,
/// pfsync_update_net_tdb().
class TdbTable {
 public:
  using Place = std::uint16_t;
  static constexpr std::size_t ways = 8;
  static constexpr std::size_t tdbs_most = 32768;
  /// An SA has had its time by then: it is not shown any more.
  static constexpr statetable::Seconds forgotten_after_s = 24 * 3600;
  /// Counters only grow, so a smaller one is late. But an SA with a fixed SPI starts anew with its host: what
  /// comes when nothing was taken for this long is believed.
  static constexpr statetable::Seconds anew_after_s = 60;

  struct Entry {
    wire::Tdb tdb{};
    statetable::Seconds heard_s = 0;  ///< when it was last taken
  };

  /// Rounded up to whole sets, at most tdbs_most.
  explicit TdbTable(std::size_t tdbs_max);

  enum class Heard : std::uint8_t { news, nothing_new, older };
  struct Result {
    Heard heard;
    Place place;
    bool displaced;
  };
  /// Contract: the SPI and family are sound.
  Result hear(const wire::Tdb& tdb, statetable::Hash hash, statetable::Seconds now_s) noexcept;
  /// For the writer: what stands in a place that `hear` gave.
  [[nodiscard]] wire::Tdb at(Place place) const noexcept { return entries_[place].read().tdb; }

  // Any thread:
  [[nodiscard]] std::size_t places() const noexcept { return places_; }
  /// What stands in a place; nullopt when that is nothing, or too old to count.
  [[nodiscard]] std::optional<Entry> read(std::size_t place, statetable::Seconds now_s) const noexcept;
  [[nodiscard]] std::size_t size(statetable::Seconds now_s) const noexcept;

 private:
  std::size_t places_;
  std::unique_ptr<Published<Entry>[]> entries_;
};

/// What a hash of states is made of, for an SA.
[[nodiscard]] wire::StateId hashed_id(const wire::Tdb& tdb) noexcept;

}  // namespace pfsync::engine
