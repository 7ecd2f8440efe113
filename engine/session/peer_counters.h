#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <string_view>

#include "engine/counters.h"
#include "wire/describes_each.h"

namespace pfsync::engine {

/// What a session counts for each of its peers, beside the sums in Counters.
enum class PeerTally : std::uint8_t {
  packets_received,
  packets_refused,
  packets_full,
  packets_sent,
  inserts_received,
  insert_packets_received,
  unknown,
  missed,
  stale,
  inserts_sent,
  insert_packets_sent,
  asked,
  missed_by_peer,
  asked_again,
  probes_received,
  probes_sent,
  probes_answered,
};

struct PeerTallyInfo {
  PeerTally tally;
  std::string_view word;
  std::string_view sentence;
};

inline constexpr std::array peer_tally_table{
    PeerTallyInfo{PeerTally::packets_received, "packets_received", "pfsync packets heard from this peer"},
    PeerTallyInfo{PeerTally::packets_refused, "packets_refused", "of them those that could not be read"},
    PeerTallyInfo{PeerTally::packets_full, "packets_full", "of them those that had no room for another message"},
    PeerTallyInfo{PeerTally::packets_sent, "packets_sent", "pfsync packets sent to this peer, bulk updates apart"},
    PeerTallyInfo{PeerTally::inserts_received, "inserts_received", "new states that this peer announced"},
    PeerTallyInfo{PeerTally::insert_packets_received, "insert_packets_received", "packets that announced them"},
    PeerTallyInfo{PeerTally::unknown, "unknown", "updates heard from this peer of states that are not here"},
    PeerTallyInfo{PeerTally::missed, "missed",
                  "new states that this peer had to be asked for, since their insert did not arrive"},
    PeerTallyInfo{PeerTally::stale, "stale", "updates of this peer that were older than what is here"},
    PeerTallyInfo{PeerTally::inserts_sent, "inserts_sent", "new states announced to this peer"},
    PeerTallyInfo{PeerTally::insert_packets_sent, "insert_packets_sent", "packets that announced them to it"},
    PeerTallyInfo{PeerTally::asked, "asked", "single states that this peer asked for"},
    PeerTallyInfo{PeerTally::missed_by_peer, "missed_by_peer",
                  "new states that this peer asked for, since their insert did not reach it"},
    PeerTallyInfo{PeerTally::asked_again, "asked_again",
                  "new states that this peer asked for again although it was given them"},
    PeerTallyInfo{PeerTally::probes_received, "probes_received",
                  "long questions of this peer that only ask for a sign of life"},
    PeerTallyInfo{PeerTally::probes_sent, "probes_sent", "questions that only ask for a sign of life"},
    PeerTallyInfo{PeerTally::probes_answered, "probes_answered", "of them those that somebody answered in time"},
};
static_assert(wire::describes_each(peer_tally_table, &PeerTallyInfo::tally, PeerTally::probes_answered),
              "peer_tally_table[i] must describe PeerTally(i), and every PeerTally");

/// Written by the session's thread, read by any.
struct PeerCounters {
  std::array<Counter, peer_tally_table.size()> tallies;

  [[nodiscard]] Counter& operator[](PeerTally tally) noexcept { return tallies[static_cast<std::size_t>(tally)]; }
  [[nodiscard]] const Counter& operator[](PeerTally tally) const noexcept {
    return tallies[static_cast<std::size_t>(tally)];
  }
};

}  // namespace pfsync::engine
