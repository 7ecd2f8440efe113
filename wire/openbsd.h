#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "wire/be.h"
#include "wire/messages.h"

/// Records of OpenBSD since 4.8 (header version 6). Messages that are not here are those of FreeBSD.
namespace pfsync::wire::openbsd {

inline constexpr std::uint8_t af_inet = 2;
inline constexpr std::uint8_t af_inet6 = 24;

/// The first action number that no OpenBSD knows. Source: OpenBSD sys/net/if_pfsync.h, PFSYNC_ACT_MAX.
inline constexpr std::uint8_t first_unknown_action = 16;

/// `af` is zero in both keys of old senders; then the state's family holds for both.
/// Source: OpenBSD sys/net/pfvar.h, struct pfsync_state_key.
struct KeyRecord {
  std::array<std::array<std::uint8_t, 16>, 2> addr;
  std::array<Be16, 2> port;
  Be16 rdomain;
  std::uint8_t af;
  std::uint8_t pad;
};
static_assert(sizeof(KeyRecord) == 40 && offsetof(KeyRecord, port) == 32 && offsetof(KeyRecord, rdomain) == 36 &&
              offsetof(KeyRecord, af) == 38 && offsetof(KeyRecord, pad) == 39);

/// INS, UPD and DEL. Source: OpenBSD sys/net/pfvar.h, struct pfsync_state.
struct StateRecord {
  Be64 id;
  std::array<char, 16> ifname;
  std::array<KeyRecord, 2> key;
  PeerRecord src;
  PeerRecord dst;
  std::array<std::uint8_t, 16> rt_addr;
  Be32 rule;
  Be32 anchor;
  Be32 nat_rule;
  Be32 creation;
  Be32 expire;
  std::array<Be64, 2> packets;  // two be32 on the wire, high word first: the same bytes as one be64
  std::array<Be64, 2> bytes;
  Be32 creatorid;
  std::array<Be32, 2> rtableid;  ///< [0] WIRE, [1] STACK; two's complement
  Be16 max_mss;
  std::uint8_t af;
  std::uint8_t proto;
  std::uint8_t direction;
  std::uint8_t log;
  std::uint8_t rt;
  std::uint8_t timeout;
  std::uint8_t sync_flags;
  std::uint8_t updates;
  std::uint8_t min_ttl;
  std::uint8_t set_tos;
  Be16 state_flags;
  std::array<std::uint8_t, 2> set_prio;
};
static_assert(sizeof(StateRecord) == 264 && offsetof(StateRecord, ifname) == 8 && offsetof(StateRecord, key) == 24 &&
              offsetof(StateRecord, src) == 104 && offsetof(StateRecord, dst) == 136 &&
              offsetof(StateRecord, rt_addr) == 168 && offsetof(StateRecord, rule) == 184 &&
              offsetof(StateRecord, anchor) == 188 && offsetof(StateRecord, nat_rule) == 192 &&
              offsetof(StateRecord, creation) == 196 && offsetof(StateRecord, expire) == 200 &&
              offsetof(StateRecord, packets) == 204 && offsetof(StateRecord, bytes) == 220 &&
              offsetof(StateRecord, creatorid) == 236 && offsetof(StateRecord, rtableid) == 240 &&
              offsetof(StateRecord, max_mss) == 248 && offsetof(StateRecord, af) == 250 &&
              offsetof(StateRecord, proto) == 251 && offsetof(StateRecord, direction) == 252 &&
              offsetof(StateRecord, log) == 253 && offsetof(StateRecord, rt) == 254 &&
              offsetof(StateRecord, timeout) == 255 && offsetof(StateRecord, sync_flags) == 256 &&
              offsetof(StateRecord, updates) == 257 && offsetof(StateRecord, min_ttl) == 258 &&
              offsetof(StateRecord, set_tos) == 259 && offsetof(StateRecord, state_flags) == 260 &&
              offsetof(StateRecord, set_prio) == 262);

/// UPD_C. The state_flags are sent as zero and ignored, so that it is read and written as FreeBSD's.
/// Source: OpenBSD sys/net/if_pfsync.h, struct pfsync_upd_c.
struct UpdCRecord {
  Be64 id;
  PeerRecord src;
  PeerRecord dst;
  Be32 creatorid;
  Be32 expire;
  std::uint8_t timeout;
  std::uint8_t state_flags;
  std::array<std::uint8_t, 2> pad;
};
static_assert(sizeof(UpdCRecord) == sizeof(wire::UpdCRecord) &&
              offsetof(UpdCRecord, src) == offsetof(wire::UpdCRecord, src) &&
              offsetof(UpdCRecord, dst) == offsetof(wire::UpdCRecord, dst) &&
              offsetof(UpdCRecord, creatorid) == offsetof(wire::UpdCRecord, creatorid) &&
              offsetof(UpdCRecord, expire) == offsetof(wire::UpdCRecord, expire) &&
              offsetof(UpdCRecord, timeout) == offsetof(wire::UpdCRecord, timeout) &&
              offsetof(UpdCRecord, state_flags) == offsetof(wire::UpdCRecord, pad));

/// TDB. `dst` is the sender's BSD sockaddr: length, family, port, address.
/// Source: OpenBSD sys/net/if_pfsync.h, struct pfsync_tdb.
struct TdbRecord {
  Be32 spi;
  std::array<std::uint8_t, 28> dst;
  Be64 rpl;
  Be64 cur_bytes;
  std::uint8_t sproto;
  std::uint8_t updates;
  Be16 rdomain;
};
static_assert(sizeof(TdbRecord) == 52 && offsetof(TdbRecord, dst) == 4 && offsetof(TdbRecord, rpl) == 32 &&
              offsetof(TdbRecord, cur_bytes) == 40 && offsetof(TdbRecord, sproto) == 48 &&
              offsetof(TdbRecord, updates) == 49 && offsetof(TdbRecord, rdomain) == 50);

}  // namespace pfsync::wire::openbsd
