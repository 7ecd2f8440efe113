#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <utility>

#include "statetable/time.h"
#include "wire/state.h"

namespace pfsync::engine {

/// What is announced of which states: a rule matches a state that has all that the rule names.
struct SyncRule {
  enum class Action : std::uint8_t {
    skip,   ///< never, as of a state of pf.conf's no-sync
    delay,  ///< once the state is old enough, so that short connections are never heard of
    sync
  };
  static constexpr statetable::Seconds age_max_s = 3600;

  Action action = Action::sync;
  std::optional<std::uint8_t> proto{};
  /// Where the connection goes to, lowest and highest, of TCP, UDP and SCTP: on either side of a translation.
  std::optional<std::pair<std::uint16_t, std::uint16_t>> port{};
  std::optional<wire::Direction> direction{};  ///< as pf sees it: in or out
  wire::InterfaceName interface {};            ///< in our words, or where a state that floats began; empty: any
  statetable::Seconds age_s = 0;               ///< of delay: 1 to age_max_s

  friend bool operator==(const SyncRule&, const SyncRule&) = default;
};
inline constexpr std::size_t sync_rules_max = 64;

/// Whether ports of this protocol can be matched; an ICMP id is none.
[[nodiscard]] constexpr bool has_ports(std::uint8_t proto) noexcept {
  return proto == wire::ipproto::tcp || proto == wire::ipproto::udp || proto == wire::ipproto::sctp;
}

[[nodiscard]] bool matches(const SyncRule& rule, const wire::State& state) noexcept;

[[nodiscard]] bool has_delay(std::span<const SyncRule> rules) noexcept;

/// The first rule that matches decides; null when none does, and the state is announced.
[[nodiscard]] const SyncRule* deciding_rule(std::span<const SyncRule> rules, const wire::State& state) noexcept;

}  // namespace pfsync::engine
