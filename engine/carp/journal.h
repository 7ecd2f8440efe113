#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

#include "engine/carp/election.h"
#include "engine/counters.h"
#include "engine/ring.h"
#include "wire/address.h"
#include "wire/carp_digest.h"
#include "wire/describes_each.h"

namespace pfsync::engine::carp {

/// Why a node stands back.
enum class Cause : std::uint8_t { interface_down, bulk_update, send_errors, maintenance, operators };
inline constexpr std::size_t cause_count = 5;

/// As the kernels say it when it begins and when it ends, where they know it.
struct CauseInfo {
  Cause cause;
  std::string_view word;
  std::string_view begins, ends, fails{};
};
inline constexpr std::array cause_table{
    CauseInfo{Cause::interface_down, "interface_down", "interface down", "interface up"},
    CauseInfo{Cause::bulk_update, "bulk_update", "pfsync bulk start", "pfsync bulk done", "pfsync bulk fail"},
    CauseInfo{Cause::send_errors, "send_errors", "send error", "send ok"},
    CauseInfo{Cause::maintenance, "maintenance", "maintenance mode entered", "maintenance mode left"},
    CauseInfo{Cause::operators, "operator", "user requested via pfsyncctl", "user requested via pfsyncctl"},
};
static_assert(wire::describes_each(cause_table, &CauseInfo::cause, static_cast<Cause>(cause_count - 1)),
              "cause_table[i] must describe Cause(i), and every Cause");

/// What somebody set up wrongly, and what can be seen of it from here.
enum class Mistake : std::uint8_t {
  two_masters,
  wrong_password,
  addresses_differ,
  vrrp_clash,
  intervals_differ,
  looped,
};
struct MistakeInfo {
  Mistake mistake;
  std::string_view word;
  std::string_view sentence;  ///< of the source that is named with it
};
inline constexpr std::array mistake_table{
    MistakeInfo{Mistake::two_masters, "two_masters",
                "advertises as master at the same time as another: one does not hear the other"},
    MistakeInfo{Mistake::wrong_password, "wrong_password",
                "advertises with another password, or with addresses of this VHID that were never seen here (incorrect "
                "hash)"},
    MistakeInfo{Mistake::addresses_differ, "addresses_differ",
                "advertises with another list of addresses for this VHID (incorrect hash)"},
    MistakeInfo{
        Mistake::vrrp_clash, "vrrp_clash",
        "speaks VRRP with this VHID as its router id, and so uses the same Ethernet address: choose another VHID"},
    MistakeInfo{Mistake::intervals_differ, "intervals_differ",
                "advertises with another advbase: it must be the same on all nodes"},
    MistakeInfo{Mistake::looped, "looped", "is this node itself: the network returns its advertisements"},
};
inline constexpr std::size_t mistake_count = mistake_table.size();
static_assert(wire::describes_each(mistake_table, &MistakeInfo::mistake, Mistake::looped),
              "mistake_table[i] must describe Mistake(i), and every Mistake");

/// Something that operators want to read in the log.
struct Entry {
  enum class Kind : std::uint8_t { moved, demoted, mistake, sync };
  Kind kind = Kind::moved;
  Instant at{};
  std::uint8_t port = 0;  ///< moved, mistake: which VHID of which port; demoted by send errors: the port
  std::uint8_t vhid = 0;
  State from = State::init, to = State::init;  ///< moved
  Event event = Event::ready;                  ///< moved
  Cause cause = Cause::interface_down;         ///< demoted
  bool on = false;                             ///< demoted: it begins; sync: this node preempts
  bool failed = false;                         ///< demoted: it ends without what it was for
  int delta = 0, total = 0;                    ///< demoted
  Mistake mistake = Mistake::two_masters;      ///< mistake
  wire::Family family = wire::Family::none;    ///< mistake: of the source
  wire::Address source{};
  wire::CarpAddress odd{};  ///< addresses_differ: which one only one of the nodes has
};

/// From the data path to the thread that writes the log: one writer, one reader, neither waits.
/// An entry that finds no room is dropped and counted.
class Journal {
 public:
  static constexpr std::size_t capacity = 1024;  ///< all VHIDs of four ports move at once

  void push(const Entry& entry) noexcept {
    if (!entries_.push(entry)) dropped_.add();
  }
  [[nodiscard]] std::optional<Entry> pop() noexcept { return entries_.pop(); }
  [[nodiscard]] std::uint64_t dropped() const noexcept { return dropped_.value(); }

 private:
  Ring<Entry, capacity> entries_;
  Counter dropped_;
};

}  // namespace pfsync::engine::carp
