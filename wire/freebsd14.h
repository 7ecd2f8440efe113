#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "wire/be.h"
#include "wire/freebsd.h"

namespace pfsync::wire::freebsd {

/// INS and UPD of message version 1400, the default of FreeBSD 14. Against 1301 `state_flags` moved from
/// byte 238 to 235 and became 16 bits wide; what the ruleset says of the state's packets is new.
/// Source: FreeBSD sys/net/pfvar.h, struct pfsync_state_1400.
struct State1400 {
  StateHead head;
  std::uint8_t af;
  std::uint8_t proto;
  std::uint8_t direction;
  Be16 state_flags;
  std::uint8_t log;
  std::uint8_t spare;
  std::uint8_t timeout;
  std::uint8_t sync_flags;
  std::uint8_t updates;
  Be16 qid;
  Be16 pqid;
  Be16 dnpipe;
  Be16 dnrpipe;
  Be32 rtableid;  ///< two's complement, -1 = none
  std::uint8_t min_ttl;
  std::uint8_t set_tos;
  Be16 max_mss;
  std::array<std::uint8_t, 2> set_prio;
  std::uint8_t rt;
  std::array<char, 16> rt_ifname;
};
static_assert(sizeof(State1400) == 277 && offsetof(State1400, af) == 232 && offsetof(State1400, proto) == 233 &&
              offsetof(State1400, direction) == 234 && offsetof(State1400, state_flags) == 235 &&
              offsetof(State1400, log) == 237 && offsetof(State1400, spare) == 238 &&
              offsetof(State1400, timeout) == 239 && offsetof(State1400, sync_flags) == 240 &&
              offsetof(State1400, updates) == 241 && offsetof(State1400, qid) == 242 &&
              offsetof(State1400, pqid) == 244 && offsetof(State1400, dnpipe) == 246 &&
              offsetof(State1400, dnrpipe) == 248 && offsetof(State1400, rtableid) == 250 &&
              offsetof(State1400, min_ttl) == 254 && offsetof(State1400, set_tos) == 255 &&
              offsetof(State1400, max_mss) == 256 && offsetof(State1400, set_prio) == 258 &&
              offsetof(State1400, rt) == 260 && offsetof(State1400, rt_ifname) == 261);

}  // namespace pfsync::wire::freebsd
