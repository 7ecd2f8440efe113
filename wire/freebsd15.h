#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "wire/be.h"
#include "wire/freebsd.h"

namespace pfsync::wire::freebsd {

/// INS and UPD of message version 1500, the default of FreeBSD 15: family and protocol once a key (af-to),
/// family of the route, the pf tag by name, the interface of creation; no sync_flags.
/// Source: FreeBSD sys/net/pfvar.h, struct pfsync_state_1500.
struct State1500 {
  StateHead head;
  std::array<char, 64> tagname;
  std::array<char, 16> rt_ifname;
  std::array<char, 16> orig_ifname;
  Be32 rtableid;  ///< two's complement, -1 = none
  Be16 state_flags;
  Be16 qid;
  Be16 pqid;
  Be16 dnpipe;
  Be16 dnrpipe;
  Be16 max_mss;
  std::uint8_t wire_af;
  std::uint8_t stack_af;
  std::uint8_t rt_af;
  std::uint8_t wire_proto;
  std::uint8_t stack_proto;
  std::uint8_t log;
  std::uint8_t timeout;
  std::uint8_t direction;
  std::uint8_t rt;
  std::uint8_t min_ttl;
  std::uint8_t set_tos;
  std::array<std::uint8_t, 2> set_prio;
  std::array<std::uint8_t, 3> spare;
};
static_assert(sizeof(State1500) == 360 && offsetof(State1500, tagname) == 232 &&
              offsetof(State1500, rt_ifname) == 296 && offsetof(State1500, orig_ifname) == 312 &&
              offsetof(State1500, rtableid) == 328 && offsetof(State1500, state_flags) == 332 &&
              offsetof(State1500, qid) == 334 && offsetof(State1500, pqid) == 336 &&
              offsetof(State1500, dnpipe) == 338 && offsetof(State1500, dnrpipe) == 340 &&
              offsetof(State1500, max_mss) == 342 && offsetof(State1500, wire_af) == 344 &&
              offsetof(State1500, stack_af) == 345 && offsetof(State1500, rt_af) == 346 &&
              offsetof(State1500, wire_proto) == 347 && offsetof(State1500, stack_proto) == 348 &&
              offsetof(State1500, log) == 349 && offsetof(State1500, timeout) == 350 &&
              offsetof(State1500, direction) == 351 && offsetof(State1500, rt) == 352 &&
              offsetof(State1500, min_ttl) == 353 && offsetof(State1500, set_tos) == 354 &&
              offsetof(State1500, set_prio) == 355 && offsetof(State1500, spare) == 357);

}  // namespace pfsync::wire::freebsd
