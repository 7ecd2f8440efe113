#pragma once

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdint>
#include <optional>
#include <string_view>

#include "statetable/time.h"

/// Who is master: pure functions and one table. Source: FreeBSD sys/netinet/ip_carp.c, carp_input_c(),
/// carp_setrun(), carp_master_down(); OpenBSD the same file, carp_proto_input_c().
namespace pfsync::engine::carp {

using statetable::Duration;
using statetable::Instant;

enum class State : std::uint8_t { init, backup, master };  // the numbers of the kernels' control interface

[[nodiscard]] constexpr std::string_view word(State state) noexcept {
  constexpr std::array<std::string_view, 3> words{"INIT", "BACKUP", "MASTER"};
  return words[static_cast<std::size_t>(state)];
}

/// What can happen to a virtual host. The last three are verdicts on an advertisement: judge() below.
enum class Event : std::uint8_t {
  ready,
  link_lost,
  disabled,
  leaving,
  removed,
  master_silent,
  ordered_up,
  ordered_down,
  preempts,
  outlasts,
  outranked,
};

/// Why, in the kernels' words: monitoring greps for them.
[[nodiscard]] constexpr std::string_view reason(Event event) noexcept {
  constexpr std::array<std::string_view, 11> reasons{
      "initialization complete",
      "hardware interface down",
      "disabled by the operator",
      "shutting down",
      "removed from the configuration",
      "master timed out",
      "user requested via pfsyncctl",
      "user requested via pfsyncctl",
      "preempting a slower master",
      "master will time out",
      "more frequent advertisement received",
  };
  return reasons[static_cast<std::size_t>(event)];
}

struct Transition {
  State from;
  Event event;
  State to;
};

/// Every move that a virtual host can make. A pair that is not here changes nothing.
inline constexpr std::array transitions{
    Transition{State::init, Event::ready, State::backup},
    Transition{State::backup, Event::link_lost, State::init},
    Transition{State::master, Event::link_lost, State::init},
    Transition{State::backup, Event::disabled, State::init},
    Transition{State::master, Event::disabled, State::init},
    Transition{State::backup, Event::leaving, State::init},
    Transition{State::master, Event::leaving, State::init},
    Transition{State::backup, Event::removed, State::init},
    Transition{State::master, Event::removed, State::init},
    Transition{State::backup, Event::master_silent, State::master},
    Transition{State::backup, Event::preempts, State::master},
    Transition{State::backup, Event::outlasts, State::master},
    Transition{State::backup, Event::ordered_up, State::master},
    Transition{State::master, Event::outranked, State::backup},
    Transition{State::master, Event::ordered_down, State::backup},
};

[[nodiscard]] constexpr State next(State from, Event event) noexcept {
  for (const Transition& move : transitions)
    if (move.from == from && move.event == event) return move.to;
  return from;
}

static_assert(next(State::init, Event::master_silent) == State::init, "a host without a link never leads");
static_assert(next(State::init, Event::ordered_up) == State::init);

/// The largest skew in an advertisement of ours, whatever the demotion. OpenBSD's may be larger.
inline constexpr int skew_max = 240;

[[nodiscard]] constexpr std::uint8_t effective_skew(int advskew, int demotion) noexcept {
  return static_cast<std::uint8_t>(std::clamp(advskew + demotion, 0, skew_max));
}

/// How often somebody advertises: the smaller the better.
struct Rank {
  std::uint8_t advbase = 1;  ///< s
  std::uint8_t advskew = 0;  ///< 1/256 s
  std::uint8_t demote = 0;   ///< OpenBSD: how many things are wrong; counts before the interval
};

/// Units: the kernels count whole microseconds.
[[nodiscard]] constexpr Duration interval(std::uint8_t advbase, std::uint8_t advskew) noexcept {
  return std::chrono::seconds{advbase} + std::chrono::microseconds{advskew * 1'000'000 / 256};
}
[[nodiscard]] constexpr Duration interval(const Rank& rank) noexcept { return interval(rank.advbase, rank.advskew); }

/// The silence after which a master is taken for dead. `advskew` is the configured one, not the demoted one.
[[nodiscard]] constexpr Duration master_down(std::uint8_t advbase, std::uint8_t advskew) noexcept {
  return std::chrono::seconds{3 * advbase} + std::chrono::microseconds{advskew * 1'000'000 / 256};
}
static_assert(master_down(1, 100) == std::chrono::microseconds{3'390'625});
static_assert(interval(1, 1) == std::chrono::microseconds{1'003'906});

/// An advertisement that says its sender is about to go. Source: OpenBSD carp_send_ad(), `bow_out`.
inline constexpr Rank bow_out{255, 255, 0};
/// The same to those who compare demote counts first: by a smaller one than theirs a second copy would end what the
/// first one began.
inline constexpr Rank bow_out_openbsd{255, 255, 255};
[[nodiscard]] constexpr bool is_bow_out(const Rank& rank) noexcept {
  return rank.advbase == 255 && rank.advskew == 255;
}

struct Judge {
  bool preempt = true;   ///< a better backup takes over
  bool openbsd = false;  ///< demote counts are compared first
  bool wins_ties = false;
  bool in_sync = true;  ///< what a better backup needs besides: the slower master has the states that are missing here
};

/// What an advertisement means to a host in `state`; nullopt: a backup goes on waiting, a master does not care.
/// Differs: of two equal masters the kernels step down both, and may do so again and again; here the one with the
/// lower source address (`wins_ties`) stays, as ucarp's does. A kernel at the other end steps down all the same.
[[nodiscard]] constexpr std::optional<Event> judge(State state, const Rank& own, const Rank& heard,
                                                   const Judge& judge) noexcept {
  const Duration ours = interval(own), theirs = interval(heard);
  const int demoted = judge.openbsd ? int{heard.demote} - int{own.demote} : 0;  // > 0: the peer is worse
  switch (state) {
    case State::init: return std::nullopt;
    case State::master:
      if (is_bow_out(heard)) return std::nullopt;  // whoever goes leads nobody, whatever its demote count says
      if (demoted < 0) return Event::outranked;
      if (demoted > 0 || ours < theirs) return std::nullopt;
      if (ours == theirs && demoted == 0 && judge.wins_ties) return std::nullopt;
      return Event::outranked;
    case State::backup:
      if (judge.in_sync && demoted > 0) return Event::preempts;
      if (judge.in_sync && judge.preempt && ours < theirs && demoted == 0) return Event::preempts;
      if (master_down(own.advbase, own.advskew) < theirs) return Event::outlasts;
      return std::nullopt;
  }
  return std::nullopt;
}

}  // namespace pfsync::engine::carp
