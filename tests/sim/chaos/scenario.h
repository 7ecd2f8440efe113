#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "wire/describes_each.h"
#include "wire/dialect.h"
#include "wire/state.h"

namespace pfsync::sim::chaos {

/// How the sync network is set up.
enum class Shape : std::uint8_t {
  group,  ///< all nodes in one multicast group
  hub,    ///< firewalls know the engines by the one address that their CARP master has
  pair,   ///< each firewall and an engine of its own are each other's one peer, by unicast
};
inline constexpr std::array<std::string_view, 3> shape_words{"group", "hub", "pair"};
inline constexpr std::array<std::string_view, 2> family_words{"inet", "inet6"};

/// What can go wrong. `a` and `b` are nodes, `amount` is what the sentence says; what is not named means nothing.
enum class Fault : std::uint8_t {
  loss,
  burst,
  reorder,
  duplicate,
  corrupt,
  garble,
  one_way,
  partition,
  narrow,
  link_down,
  crash,
  crash_in_write,
  stop,
  power_cut,
  freeze,
  slow_disk,
  full_disk,
  lying_disk,
  clock_jump,
  upgrade,
  flush,
  edit,
  order,
  demote,
  liar,
  sabotage,
};
struct FaultInfo {
  Fault fault;
  std::string_view word;
  std::string_view sentence;
};
inline constexpr std::array fault_table{
    FaultInfo{Fault::loss, "loss", "`amount` percent of the frames from a to b are lost"},
    FaultInfo{Fault::burst, "burst", "frames from a to b are lost in bursts of `amount` ms, as long apart"},
    FaultInfo{Fault::reorder, "reorder", "frames from a to b take up to `amount` ms longer, each another time"},
    FaultInfo{Fault::duplicate, "duplicate", "`amount` percent of the frames from a to b come twice"},
    FaultInfo{Fault::corrupt, "corrupt", "`amount` percent of the frames from a to b have a wrong check sequence"},
    FaultInfo{Fault::garble, "garble", "`amount` percent of the frames from a to b are changed by a switch's memory"},
    FaultInfo{Fault::one_way, "one_way", "nothing that a sends reaches b"},
    FaultInfo{Fault::partition, "partition",
              "nodes whose bit is set in `amount` and the others do not hear each other"},
    FaultInfo{Fault::narrow, "narrow",
              "frames of more than `amount` bytes do not pass to or from a, whose MTU is smaller"},
    FaultInfo{Fault::link_down, "link_down", "a's interface has no carrier; an engine sees it"},
    FaultInfo{Fault::crash, "crash", "a is killed, and started when the time is over; `amount` 1: its disk is new"},
    FaultInfo{Fault::crash_in_write, "crash_in_write",
              "a is killed at the `amount`-th next step that it takes on its disk, and started when the time is over"},
    FaultInfo{Fault::stop, "stop", "a ends in an orderly way, and is started when the time is over"},
    FaultInfo{Fault::power_cut, "power_cut", "all nodes lose their power for the time"},
    FaultInfo{Fault::freeze, "freeze", "a stands still for the time"},
    FaultInfo{Fault::slow_disk, "slow_disk", "each step on a's disk takes `amount` times as long"},
    FaultInfo{Fault::full_disk, "full_disk", "nothing can be written to a's disk"},
    FaultInfo{Fault::lying_disk, "lying_disk", "a's disk says that it has written what it has not"},
    FaultInfo{Fault::clock_jump, "clock_jump", "the wall clock of a is set by `amount` s"},
    FaultInfo{Fault::upgrade, "upgrade", "firewall a goes down and comes back with dialect number `amount`"},
    FaultInfo{Fault::flush, "flush", "firewall a flushes its states"},
    FaultInfo{Fault::edit, "edit", "the operator of the primary sets sync.maxupd to `amount`"},
    FaultInfo{Fault::order, "order", "the operator of engine a orders it to be master (`amount` 2) or backup (1)"},
    FaultInfo{Fault::demote, "demote", "engine a is in maintenance"},
    FaultInfo{Fault::liar, "liar", "a host on the network lies, in the way number `amount` (liar.h)"},
    FaultInfo{
        Fault::sabotage, "sabotage",
        "for tests of the referee, until the end: a takes no pfsync (`amount` 0), ends no state by its timeout (1), "
        "hears no advertisement (2)"},
};
static_assert(wire::describes_each(fault_table, &FaultInfo::fault, Fault::sabotage),
              "fault_table[i] must describe Fault(i), and every Fault");
[[nodiscard]] constexpr std::string_view word(Fault fault) noexcept {
  return fault_table[static_cast<std::size_t>(fault)].word;
}

/// Units: ms of the run's own time.
struct Event {
  std::uint64_t at = 0;
  std::uint64_t lasts = 0;
  Fault fault = Fault::loss;
  unsigned a = 0;
  unsigned b = 0;
  std::int64_t amount = 0;

  friend bool operator==(const Event&, const Event&) = default;
};

/// A whole run as a value: what is not drawn from `seed` while it runs stands here. Nodes 0 and 1 are firewalls, the
/// next ones engines: the first of them is the primary of their configuration, the second its secondary.
struct Scenario {
  static constexpr unsigned firewalls = 2;

  std::uint64_t seed = 1;
  Shape shape = Shape::group;
  wire::Family family = wire::Family::inet;  ///< of the sync network
  unsigned engines = 2;                      ///< 1 to 3; of pairs: 2
  unsigned cores = 1;                        ///< of each engine's data path: 1 or 2
  std::array<wire::Dialect, firewalls> dialects{};
  unsigned states = 30;  ///< of each firewall
  unsigned opens_per_s = 5;
  unsigned updates_per_s = 60;
  unsigned ids = 256;             ///< that wait for a packet in each queue of bare ids
  unsigned snapshot_s = 10;       ///< between two snapshots of an engine
  std::uint64_t length = 30'000;  ///< ms until peace comes
  std::vector<Event> events{};    ///< by their beginnings

  [[nodiscard]] unsigned nodes() const noexcept { return firewalls + engines; }
  /// Whether what one of the two tells may reach the other.
  [[nodiscard]] bool are_joined(unsigned a, unsigned b) const noexcept {
    return shape != Shape::pair || a % firewalls == b % firewalls;
  }
  friend bool operator==(const Scenario&, const Scenario&) = default;
};

[[nodiscard]] Scenario draw(std::uint64_t seed);

/// Lines of words, so that a scenario can be kept, read and changed by hand; and back, or one sentence with the line.
[[nodiscard]] std::string text_of(const Scenario& scenario);
[[nodiscard]] std::variant<Scenario, std::string> parse(std::string_view text);

}  // namespace pfsync::sim::chaos
