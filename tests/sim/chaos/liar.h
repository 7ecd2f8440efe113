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
#include "wire/dialect.h"
#include "wire/packet_writer.h"
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
  carp,        ///< an advertisement of before, with another skew
  neighbours,  ///< that an address is elsewhere: ARP, neighbour discovery
  states,      ///< full ones as they were heard, or with windows a little before and behind, in whoever's name
  others,      ///< full states that exist, as another node's
  clears_one,  ///< of creators that exist, on one interface
  ends,        ///< start and end of a bulk update with nothing in it, at once when somebody asks for one
  storm,       ///< requests for states that exist, many packets at a time
  strangers,   ///< any of these, by sources that nobody knows
  versions,    ///< any of these, in another dialect than is spoken there
};
inline constexpr std::array<std::string_view, 18> lie_table{
    "noise", "windows",    "inserts", "requests", "bulk_requests", "statuses", "deletes", "clears",    "tdbs",
    "carp",  "neighbours", "states",  "others",   "clears_one",    "ends",     "storm",   "strangers", "versions"};

/// Says untrue things in the dialect that it hears. Frames in, frames out.
class Liar {
 public:
  struct Victim {
    wire::MacAddress mac;
    wire::Address address;
  };
  static constexpr unsigned storm_frames = 16;
  /// `group`: the nodes speak in a group; else it speaks to one of them as another.
  Liar(std::vector<Victim> nodes, wire::Family family, bool group, std::uint64_t seed);

  void hear(wire::Bytes frame);
  /// The next lie of that kind, or nothing to lie about was heard yet.
  [[nodiscard]] std::optional<Frame> speak(Lie lie);

 private:
  /// Who is impersonated, and who is lied to.
  struct Way {
    Victim as;
    Victim to;
  };
  [[nodiscard]] Way draw_way(Lie lie);
  [[nodiscard]] Way to_group(const Victim& as) const;
  [[nodiscard]] std::optional<wire::Dialect> dialect_of(const Way& way, Lie lie);
  [[nodiscard]] Frame framed(wire::Bytes payload, const Way& way, std::uint8_t protocol) const;
  [[nodiscard]] Frame claim_address();
  [[nodiscard]] std::optional<Frame> advertise();
  [[nodiscard]] std::optional<Frame> end_early();
  [[nodiscard]] std::size_t write_packet(Lie lie, wire::Dialect dialect, wire::Room room);
  /// One message more of it; false when it does not fit or there is none.
  [[nodiscard]] bool append(Lie lie, wire::PacketWriter& writer);
  [[nodiscard]] wire::Update changed(wire::Update update);
  /// As it was heard, or with windows a little further or back.
  [[nodiscard]] wire::State retold(wire::State state);
  [[nodiscard]] wire::State invented();
  [[nodiscard]] std::uint64_t below(std::uint64_t bound) { return random_() % bound; }

  std::vector<Victim> nodes_;
  wire::Family family_;
  bool group_;
  std::mt19937_64 random_;
  std::deque<wire::Update> known_;  ///< the last that were heard of
  std::deque<wire::State> full_;    ///< the last that were told in full
  std::optional<Way> asked_;        ///< who would answer the last who asked for all, and that one
  std::optional<Way> ending_;       ///< where an END is still to be said
  /// What was heard on each way: whoever speaks otherwise would only change what is written to the one that he plays.
  std::map<std::pair<wire::Address, wire::Address>, wire::Dialect> dialects_;
  Frame advert_;
  std::uint64_t invented_ = 0;
};

}  // namespace pfsync::sim::chaos
