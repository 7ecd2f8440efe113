#pragma once

#include <array>
#include <cstdint>
#include <string_view>

#include "engine/counters.h"
#include "wire/carp.h"
#include "wire/describes_each.h"

namespace pfsync::engine::carp {

/// What a port counts that is no refusal. The first six are words of `netstat -s -p carp`.
enum class Tally : std::uint8_t {
  ipackets,
  ipackets6,
  opackets,
  opackets6,
  onomem,
  preempt,
  announcements,
  arp_replies,
  neighbour_replies,
  echo_replies,
  answers_dropped,
  unresolved,
  trials,
};

struct TallyInfo {
  Tally tally;
  std::string_view word;
  std::string_view sentence;
};
inline constexpr std::array tally_table{
    TallyInfo{Tally::ipackets, "ipackets", "packets received (IPv4)"},
    TallyInfo{Tally::ipackets6, "ipackets6", "packets received (IPv6)"},
    TallyInfo{Tally::opackets, "opackets", "advertisements sent (IPv4)"},
    TallyInfo{Tally::opackets6, "opackets6", "advertisements sent (IPv6)"},
    TallyInfo{Tally::onomem, "onomem", "advertisements not sent for an interval: the port took nothing"},
    TallyInfo{Tally::preempt, "preempt", "times that this node took over from a slower master"},
    TallyInfo{Tally::announcements, "announcements",
              "virtual addresses announced by gratuitous ARP or neighbour advertisement"},
    TallyInfo{Tally::arp_replies, "arp_replies", "ARP requests for a virtual address answered"},
    TallyInfo{Tally::neighbour_replies, "neighbour_replies", "neighbour solicitations answered"},
    TallyInfo{Tally::echo_replies, "echo_replies", "echo requests answered"},
    TallyInfo{Tally::answers_dropped, "answers_dropped", "answers not given: too many at once, or too large"},
    TallyInfo{Tally::unresolved, "unresolved",
              "advertisements not sent because the peer's Ethernet address is not known"},
    TallyInfo{Tally::trials, "trials",
              "announcements of the port's own address by a backup, to see whether the port takes frames again"},
};
inline constexpr std::size_t tally_count = tally_table.size();
static_assert(wire::describes_each(tally_table, &TallyInfo::tally, Tally::trials),
              "tally_table[i] must describe Tally(i), and every Tally");

/// Written by the data path, read by any.
struct PortCounters {
  std::array<Counter, tally_count> tallies;
  std::array<Counter, wire::carp_reject_count> rejects;

  [[nodiscard]] Counter& operator[](Tally tally) noexcept { return tallies[static_cast<std::size_t>(tally)]; }
  [[nodiscard]] Counter& operator[](wire::CarpReject reject) noexcept {
    return rejects[static_cast<std::size_t>(reject)];
  }
  [[nodiscard]] const Counter& operator[](Tally tally) const noexcept {
    return tallies[static_cast<std::size_t>(tally)];
  }
  [[nodiscard]] const Counter& operator[](wire::CarpReject reject) const noexcept {
    return rejects[static_cast<std::size_t>(reject)];
  }
};

}  // namespace pfsync::engine::carp
