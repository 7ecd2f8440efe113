#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <string_view>

#include "wire/describes_each.h"
#include "wire/dialect.h"
#include "wire/fields.h"
#include "wire/reject.h"

namespace pfsync::engine {

/// A number that one thread raises and any may read.
class Counter {
 public:
  void add(std::uint64_t n = 1) noexcept {
    value_.store(value_.load(std::memory_order_relaxed) + n, std::memory_order_relaxed);
  }
  void set(std::uint64_t value) noexcept { value_.store(value, std::memory_order_relaxed); }
  [[nodiscard]] std::uint64_t value() const noexcept { return value_.load(std::memory_order_relaxed); }

 private:
  std::atomic<std::uint64_t> value_{0};
};

/// Counters of a session that are neither a refusal nor a message count.
enum class Tally : std::uint8_t {
  ipackets,
  opackets,
  inserts,
  updates,
  removals,
  expired,
  insert_exists,
  collisions,
  displaced,
  removed_before,
  table_full,
  made_room,
  requests_suppressed,
  requests_withheld,
  requests_dropped,
  acks_dropped,
  acks_withheld,
  deletes_dropped,
  clears_dropped,
  clears_forgotten,
  clears_delayed,
  clears_refused,
  tdbs,
  tdbs_displaced,
  deferred,
  defer_timeouts,
  defer_displaced,
  bulk_requests_in,
  bulk_requests_out,
  sections_skipped,
  names_full,
  dialect_changes,
  not_understood,
  sync_skipped,
  sync_short,
  requests_limited,
  answers_delayed,
  parts_behind,
  updates_left_out,
  repaired,
};

struct TallyInfo {
  Tally tally;
  std::string_view word;
  std::string_view sentence;
};

inline constexpr std::array tally_table{
    TallyInfo{Tally::ipackets, "ipackets", "pfsync packets received"},
    TallyInfo{Tally::opackets, "opackets", "pfsync packets sent"},
    TallyInfo{Tally::inserts, "inserts", "states entered into the table"},
    TallyInfo{Tally::updates, "updates", "states changed by an update"},
    TallyInfo{Tally::removals, "removals", "states removed by a message or by the local data path"},
    TallyInfo{Tally::expired, "expired", "states removed because their timeout ran out"},
    TallyInfo{Tally::insert_exists, "insert_exists", "inserts of a state that is already here (ignored, as pf does)"},
    TallyInfo{Tally::collisions, "collisions",
              "states refused because another has their connection, interface and direction (as pf does)"},
    TallyInfo{Tally::displaced, "displaced",
              "states removed because a new one has their connection: both of its ends were closing, or the creator "
              "made it anew"},
    TallyInfo{Tally::removed_before, "removed_before",
              "late messages about a state that was removed a moment ago (ignored)"},
    TallyInfo{Tally::table_full, "table_full", "states refused because states_max is reached"},
    TallyInfo{
        Tally::made_room, "made_room",
        "states given up while the table was full, of the source that had most, for new ones of a source that had "
        "far fewer"},
    TallyInfo{Tally::requests_suppressed, "requests_suppressed", "update requests not repeated within a second"},
    TallyInfo{Tally::requests_withheld, "requests_withheld",
              "update requests not made: more than sync.requests_per_s, or earlier ones find no packet"},
    TallyInfo{Tally::requests_dropped, "requests_dropped", "update requests dropped because the queue was full"},
    TallyInfo{Tally::acks_dropped, "acks_dropped", "insert acks dropped because the queue was full"},
    TallyInfo{Tally::acks_withheld, "acks_withheld",
              "insert acks not sent: more than ten times sync.requests_per_s were wanted"},
    TallyInfo{Tally::deletes_dropped, "deletes_dropped", "deletes not announced because the queue was full"},
    TallyInfo{Tally::clears_dropped, "clears_dropped", "clears not announced because the queue was full"},
    TallyInfo{Tally::clears_forgotten, "clears_forgotten",
              "clears that late messages are no longer held against: too many others came within ten seconds"},
    TallyInfo{Tally::clears_delayed, "clears_delayed",
              "clears carried out little by little: many came of their source at once, or their creator is beyond the "
              "first 254 that have states here"},
    TallyInfo{Tally::clears_refused, "clears_refused",
              "clears not carried out: too many were being carried out little by little, or too many of their source"},
    TallyInfo{Tally::tdbs, "tdbs", "IPsec counters taken, for the peers that have such an SA"},
    TallyInfo{Tally::tdbs_displaced, "tdbs_displaced",
              "IPsec counters forgotten for those of other SAs: too many at once"},
    TallyInfo{Tally::deferred, "deferred", "first packets that waited until a peer knew their state"},
    TallyInfo{Tally::defer_timeouts, "defer_timeouts", "waiting packets sent because no insert ack came in time"},
    TallyInfo{Tally::defer_displaced, "defer_displaced", "waiting packets sent because too many waited"},
    TallyInfo{Tally::bulk_requests_in, "bulk_requests_in", "bulk updates that a peer asked for"},
    TallyInfo{Tally::bulk_requests_out, "bulk_requests_out", "bulk updates asked of a peer"},
    TallyInfo{Tally::sections_skipped, "sections_skipped",
              "OpenBSD sections stepped over: unknown here, or of too short records"},
    TallyInfo{Tally::names_full, "names_full",
              "states of which a name found no number, too many being kept: a route's interface or tag is dropped, and "
              "others "
              "of the connection on such an interface are not found"},
    TallyInfo{Tally::dialect_changes, "dialect_changes",
              "times that another dialect was chosen for a peer, after what it sent"},
    TallyInfo{Tally::not_understood, "not_understood",
              "packets heard from nodes that do not take the dialect written to them"},
    TallyInfo{Tally::sync_skipped, "sync_skipped", "states never announced because a sync.rule says so"},
    TallyInfo{Tally::sync_short, "sync_short", "states that ended before a sync.rule let them be announced"},
    TallyInfo{Tally::requests_limited, "requests_limited",
              "update requests answered later because the peer asked for more than sync.requests_per_s"},
    TallyInfo{
        Tally::answers_delayed, "answers_delayed",
        "stale updates answered later: the state's last answer had gone within a second, or the peer had more than "
        "sync.requests_per_s"},
    TallyInfo{Tally::parts_behind, "parts_behind",
              "pfsync packets dropped because a data-path core was too far behind"},
    TallyInfo{
        Tally::updates_left_out, "updates_left_out",
        "pfsync packets of nothing but compressed updates left unread while more arrived than the data path takes"},
    TallyInfo{Tally::repaired, "repaired",
              "states entered, changed or removed because a comparison with another engine found them different"},
};
static_assert(wire::describes_each(tally_table, &TallyInfo::tally, Tally::repaired),
              "tally_table[i] must describe Tally(i), and every Tally");

/// What the dialect that is spoken had no words for (wire/fields.h). Written by one thread, read by any.
struct Losses {
  std::array<Counter, wire::field_count> fields;  ///< messages that lost the field's value
  Counter states;                                 ///< full states not sent at all: half of one would be another
  Counter updates;  ///< updates and deletes not sent: of states that the receiver cannot have

  /// Counts what the state loses; false when it must not be sent.
  [[nodiscard]] bool allow(const wire::State& state, wire::Dialect dialect) noexcept {
    if (!wire::is_expressible(state, dialect)) {
      states.add();
      return false;
    }
    wire::lost(state, dialect).for_each([this](wire::Field field) { fields[static_cast<std::size_t>(field)].add(); });
    return true;
  }
  /// The same for IPsec counters. Without its high half a count would be a lower one, without its domain that of
  /// another SA.
  [[nodiscard]] bool allow(const wire::Tdb& tdb, wire::Dialect dialect) noexcept {
    bool loses = false;
    wire::lost(tdb, dialect).for_each([&](wire::Field field) {
      fields[static_cast<std::size_t>(field)].add();
      loses = true;
    });
    return !loses;
  }
};

/// Written by the session's thread, read by any.
struct Counters {
  std::array<Counter, tally_table.size()> tallies;
  std::array<Counter, wire::reject_count> rejects;
  std::array<Counter, wire::message_count> received;  ///< messages by wire::Message
  std::array<Counter, wire::message_count> sent;
  Losses lost;  ///< of full states in the live traffic; BulkSender has its own

  [[nodiscard]] Counter& operator[](Tally tally) noexcept { return tallies[static_cast<std::size_t>(tally)]; }
  [[nodiscard]] Counter& operator[](wire::Reject reject) noexcept { return rejects[static_cast<std::size_t>(reject)]; }
  [[nodiscard]] const Counter& operator[](Tally tally) const noexcept {
    return tallies[static_cast<std::size_t>(tally)];
  }
  [[nodiscard]] const Counter& operator[](wire::Reject reject) const noexcept {
    return rejects[static_cast<std::size_t>(reject)];
  }
  [[nodiscard]] Counter& in(wire::Message message) noexcept { return received[static_cast<std::size_t>(message)]; }
  [[nodiscard]] Counter& out(wire::Message message) noexcept { return sent[static_cast<std::size_t>(message)]; }
  [[nodiscard]] const Counter& in(wire::Message message) const noexcept {
    return received[static_cast<std::size_t>(message)];
  }
  [[nodiscard]] const Counter& out(wire::Message message) const noexcept {
    return sent[static_cast<std::size_t>(message)];
  }

  /// Adds what others count: these are sums then.
  void add(const Counters& others) noexcept {
    const auto add_all = [](auto& sums, const auto& counters) {
      for (std::size_t i = 0; i < sums.size(); ++i) sums[i].add(counters[i].value());
    };
    add_all(tallies, others.tallies);
    add_all(rejects, others.rejects);
    add_all(received, others.received);
    add_all(sent, others.sent);
    add_all(lost.fields, others.lost.fields);
    lost.states.add(others.lost.states.value());
    lost.updates.add(others.lost.updates.value());
  }
};

}  // namespace pfsync::engine
