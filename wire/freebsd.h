#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "wire/be.h"
#include "wire/messages.h"

/// Records of the FreeBSD dialects (header version 5). Bytes 0 to 231 of a full state are the same in
/// all of them; what follows differs by message version.
namespace pfsync::wire::freebsd {

inline constexpr std::uint8_t af_inet = 2;
inline constexpr std::uint8_t af_inet6 = 28;

/// Source: FreeBSD sys/net/pfvar.h, struct pfsync_state_key.
struct KeyRecord {
  std::array<std::array<std::uint8_t, 16>, 2> addr;
  std::array<Be16, 2> port;
};
static_assert(sizeof(KeyRecord) == 36 && offsetof(KeyRecord, port) == 32);

/// The part that every FreeBSD message version begins with.
/// Source: FreeBSD sys/net/pfvar.h, struct pfsync_state_1301, _1400, _1500.
struct StateHead {
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
};
static_assert(sizeof(StateHead) == 232 && offsetof(StateHead, ifname) == 8 && offsetof(StateHead, key) == 24 &&
              offsetof(StateHead, src) == 96 && offsetof(StateHead, dst) == 128 &&
              offsetof(StateHead, rt_addr) == 160 && offsetof(StateHead, rule) == 176 &&
              offsetof(StateHead, anchor) == 180 && offsetof(StateHead, nat_rule) == 184 &&
              offsetof(StateHead, creation) == 188 && offsetof(StateHead, expire) == 192 &&
              offsetof(StateHead, packets) == 196 && offsetof(StateHead, bytes) == 212 &&
              offsetof(StateHead, creatorid) == 228);

/// INS and UPD (and DEL, which only FreeBSD 12 and 13 still accept) of message version 1301.
/// Source: FreeBSD sys/net/pfvar.h, struct pfsync_state_1301.
struct State1301 {
  StateHead head;
  std::uint8_t af;
  std::uint8_t proto;
  std::uint8_t direction;
  std::array<std::uint8_t, 2> spare;
  std::uint8_t log;
  std::uint8_t state_flags;
  std::uint8_t timeout;
  std::uint8_t sync_flags;
  std::uint8_t updates;
};
static_assert(sizeof(State1301) == 242 && offsetof(State1301, af) == 232 && offsetof(State1301, proto) == 233 &&
              offsetof(State1301, direction) == 234 && offsetof(State1301, spare) == 235 &&
              offsetof(State1301, log) == 237 && offsetof(State1301, state_flags) == 238 &&
              offsetof(State1301, timeout) == 239 && offsetof(State1301, sync_flags) == 240 &&
              offsetof(State1301, updates) == 241);

/// TDB. `dst` is the sender's BSD sockaddr: length, family, port, address.
/// Source: FreeBSD sys/net/if_pfsync.h, struct pfsync_tdb.
struct TdbRecord {
  Be32 spi;
  std::array<std::uint8_t, 28> dst;
  Be32 rpl;
  Be64 cur_bytes;
  std::uint8_t sproto;
  std::uint8_t updates;
  std::array<std::uint8_t, 2> pad;
};
static_assert(sizeof(TdbRecord) == 48 && offsetof(TdbRecord, dst) == 4 && offsetof(TdbRecord, rpl) == 32 &&
              offsetof(TdbRecord, cur_bytes) == 36 && offsetof(TdbRecord, sproto) == 44 &&
              offsetof(TdbRecord, updates) == 45 && offsetof(TdbRecord, pad) == 46);

}  // namespace pfsync::wire::freebsd
