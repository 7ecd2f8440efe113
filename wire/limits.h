#pragma once

#include <algorithm>
#include <array>
#include <cstdint>

#include "wire/dialect.h"
#include "wire/state.h"

/// What a dialect makes of values that it has no word for. Writing (convert_state.cc) and counting what is
/// lost (fields.cc) both ask here.
namespace pfsync::wire {

/// SCTP has timeouts of its own since FreeBSD 14; elsewhere it is one of the "other" protocols, and an
/// index above 19 would be refused with the whole message.
/// Source: FreeBSD sys/netpfil/pf/pf.h, PFTM_SCTP_FIRST_PACKET … PFTM_SCTP_CLOSED, PFTM_OTHER_*.
[[nodiscard]] constexpr std::uint8_t common_timeout(std::uint8_t timeout) noexcept {
  constexpr std::uint8_t other_first = 11, other_single = 12, other_multiple = 13;
  constexpr std::uint8_t sctp_first = 20, sctp_established = 22, sctp_closed = 24;
  if (timeout < sctp_first || timeout > sctp_closed) return timeout;
  if (timeout == sctp_first) return other_first;
  return timeout == sctp_established ? other_multiple : other_single;
}
[[nodiscard]] constexpr std::uint8_t said_timeout(std::uint8_t timeout, Dialect dialect) noexcept {
  return dialect == Dialect::openbsd ? common_timeout(timeout) : timeout;
}

/// 1301 carries 8 bits. SETTOS does not pass there in either direction: without its value, which 1301 lacks,
/// it would have a FreeBSD 14 peer set the TOS of the connection's packets to 0.
[[nodiscard]] constexpr std::uint16_t said_flags(std::uint16_t flags, Dialect dialect) noexcept {
  using namespace state_flag;
  if (dialect == Dialect::freebsd_1301) return flags & 0xffu & ~unsigned{settos};
  if (dialect == Dialect::openbsd) return static_cast<std::uint16_t>(flags & ~(dn_is_pipe | dn_is_queue));
  return static_cast<std::uint16_t>(flags & ~unsigned{inp_unlinked});
}

[[nodiscard]] constexpr std::uint8_t said_sync_flags(std::uint8_t flags, Dialect dialect) noexcept {
  if (dialect == Dialect::freebsd_1500) return 0;
  if (dialect == Dialect::openbsd) return static_cast<std::uint8_t>(flags & ~unsigned{sync_flag::nat_source_node});
  return flags;
}

/// A receiver that reads a next hop in the state's family must not be given one of another.
[[nodiscard]] constexpr bool says_next_hop(const State& state, Dialect dialect) noexcept {
  return dialect == Dialect::freebsd_1500 || state.rt_family() == state.af;
}

/// FreeBSD 14 and 15 drop a state whose route has no interface that they know: without the name, no route.
[[nodiscard]] constexpr std::uint8_t said_rt(const State& state, Dialect dialect) noexcept {
  if (dialect == Dialect::freebsd_1301 || !says_next_hop(state, dialect)) return route::none;
  if (dialect == Dialect::openbsd) return state.rt == route::fastroute ? route::none : state.rt;
  return state.rt_ifname.empty() ? route::none : state.rt;
}

/// FreeBSD has one table for both sides. OpenBSD gives the side that packets leave by a table and the other
/// none, so that the one that is given is meant.
/// Source: OpenBSD sys/net/pf.c, pf_create_state().
[[nodiscard]] constexpr std::array<std::int32_t, 2> said_rtableid(const std::array<std::int32_t, 2>& ids,
                                                                  Dialect dialect) noexcept {
  if (dialect == Dialect::freebsd_1301) return {-1, -1};
  if (dialect == Dialect::openbsd) return ids;
  const std::int32_t id = ids[wire_side] != -1 ? ids[wire_side] : ids[stack_side];
  return {id, id};
}

}  // namespace pfsync::wire
