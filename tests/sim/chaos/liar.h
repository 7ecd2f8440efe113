#pragma once

#include <array>
#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <random>
#include <string_view>
#include <utility>
#include <vector>

#include "tests/sim/chaos/network.h"
#include "wire/state.h"

namespace pfsync::sim::chaos {

/// What a host on the network says that is not so. The protocol has no authentication: all of it can be said by anybody
/// whose frames get through.
enum class Lie : std::uint8_t {
  noise,     ///< bytes behind a sound IP header
  windows,   ///< full states and updates of connections that exist, with other levels and windows
  inserts,   ///< states of nobody, up to a number
  requests,  ///< for single states, as many as fit
  bulk_requests,
  statuses,  ///< starts and ends of bulk updates
  deletes,   ///< of states that exist
  clears,    ///< of creators that exist
  tdbs,
  carp,  ///< an advertisement of before, with another skew
  arp,   ///< that an address is elsewhere
};
inline constexpr std::array<std::string_view, 11> lie_table{
    "noise", "windows", "inserts", "requests", "bulk_requests", "statuses", "deletes", "clears", "tdbs", "carp", "arp"};

/// Says untrue things in the dialect that it hears. Frames in, frames out.
class Liar {
 public:
  struct Victim {
    wire::MacAddress mac;
    wire::Address address;
  };
  /// `group`: the nodes speak in a group; else it speaks to one of them as another.
  Liar(std::vector<Victim> nodes, bool group, std::uint64_t seed);

  void hear(wire::Bytes frame);
  /// The next lie of that kind, or nothing to lie about was heard yet.
  [[nodiscard]] std::optional<Frame> speak(Lie lie);

 private:
  /// Who is impersonated, and who is lied to.
  struct Way {
    Victim as;
    Victim to;
  };
  [[nodiscard]] Way draw_way();
  [[nodiscard]] static Frame framed(wire::Bytes packet, const Way& way);
  [[nodiscard]] std::size_t write_packet(Lie lie, wire::Dialect dialect, wire::Room room);
  [[nodiscard]] wire::State invented();
  [[nodiscard]] std::uint64_t below(std::uint64_t bound) { return random_() % bound; }

  std::vector<Victim> nodes_;
  bool group_;
  std::mt19937_64 random_;
  std::deque<wire::Update> known_;  ///< the last that were heard of
  /// What was heard on each way: whoever speaks otherwise would only change what is written to the one that he plays.
  std::map<std::pair<wire::Address, wire::Address>, wire::Dialect> dialects_;
  Frame advert_;
  std::uint64_t invented_ = 0;
};

}  // namespace pfsync::sim::chaos
