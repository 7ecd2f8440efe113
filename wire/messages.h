#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "wire/be.h"

/// Structs of a pfsync packet that every dialect shares. Full states and sub-headers differ between
/// the systems and have one header each (wire/freebsd.h). Nothing here has alignment above 1.
namespace pfsync::wire {

inline constexpr std::uint8_t header_version_freebsd = 5;
inline constexpr std::uint8_t header_version_openbsd = 6;

/// Packet header. `len` counts from the first byte of this header to the end of the last section;
/// the IP header is not in it. `pfcksum` is the MD5 of the sender's ruleset, not a secret.
/// Source: FreeBSD sys/net/if_pfsync.h, struct pfsync_header.
struct Header {
  std::uint8_t version;
  std::uint8_t pad;
  Be16 len;
  std::array<std::uint8_t, 16> pfcksum;
};
static_assert(sizeof(Header) == 20 && offsetof(Header, len) == 2 && offsetof(Header, pfcksum) == 4);

/// Section header: `count` records of one action follow. On OpenBSD (version 6) the second byte is
/// the size of one record in 4-byte words; FreeBSD sends zero and does not look.
/// Source: FreeBSD and OpenBSD sys/net/if_pfsync.h, struct pfsync_subheader.
struct Subheader {
  std::uint8_t action;
  std::uint8_t len_words;
  Be16 count;
};
static_assert(sizeof(Subheader) == 4 && offsetof(Subheader, len_words) == 1 && offsetof(Subheader, count) == 2);

/// Source: FreeBSD sys/net/pfvar.h, struct pfsync_state_scrub.
struct ScrubRecord {
  Be16 pfss_flags;
  std::uint8_t pfss_ttl;
  std::uint8_t scrub_flag;
  Be32 pfss_ts_mod;
};
static_assert(sizeof(ScrubRecord) == 8 && offsetof(ScrubRecord, pfss_ttl) == 2 &&
              offsetof(ScrubRecord, scrub_flag) == 3 && offsetof(ScrubRecord, pfss_ts_mod) == 4);

/// Source: FreeBSD sys/net/pfvar.h, struct pfsync_state_peer.
struct PeerRecord {
  ScrubRecord scrub;
  Be32 seqlo;
  Be32 seqhi;
  Be32 seqdiff;
  Be16 max_win;
  Be16 mss;
  std::uint8_t state;
  std::uint8_t wscale;
  std::array<std::uint8_t, 6> pad;
};
static_assert(sizeof(PeerRecord) == 32 && offsetof(PeerRecord, seqlo) == 8 && offsetof(PeerRecord, seqhi) == 12 &&
              offsetof(PeerRecord, seqdiff) == 16 && offsetof(PeerRecord, max_win) == 20 &&
              offsetof(PeerRecord, mss) == 22 && offsetof(PeerRecord, state) == 24 &&
              offsetof(PeerRecord, wscale) == 25 && offsetof(PeerRecord, pad) == 26);

/// CLR. Source: sys/net/if_pfsync.h, struct pfsync_clr.
struct ClrRecord {
  std::array<char, 16> ifname;
  Be32 creatorid;
};
static_assert(sizeof(ClrRecord) == 20 && offsetof(ClrRecord, creatorid) == 16);

/// INS_ACK, UPD_REQ and DEL_C: just the pair that names a state.
/// Source: sys/net/if_pfsync.h, struct pfsync_ins_ack, pfsync_upd_req, pfsync_del_c.
struct IdRecord {
  Be64 id;
  Be32 creatorid;
};
static_assert(sizeof(IdRecord) == 12 && offsetof(IdRecord, creatorid) == 8);

/// UPD_C: compressed update. `expire` is sent as zero and ignored by every receiver.
/// Source: sys/net/if_pfsync.h, struct pfsync_upd_c.
struct UpdCRecord {
  Be64 id;
  PeerRecord src;
  PeerRecord dst;
  Be32 creatorid;
  Be32 expire;
  std::uint8_t timeout;
  std::array<std::uint8_t, 3> pad;  // OpenBSD: state_flags (zero), then two bytes of padding
};
static_assert(sizeof(UpdCRecord) == 84 && offsetof(UpdCRecord, src) == 8 && offsetof(UpdCRecord, dst) == 40 &&
              offsetof(UpdCRecord, creatorid) == 72 && offsetof(UpdCRecord, expire) == 76 &&
              offsetof(UpdCRecord, timeout) == 80 && offsetof(UpdCRecord, pad) == 81);

/// BUS. Source: sys/net/if_pfsync.h, struct pfsync_bus.
struct BusRecord {
  Be32 creatorid;
  Be32 endtime;
  std::uint8_t status;
  std::array<std::uint8_t, 3> pad;
};
static_assert(sizeof(BusRecord) == 12 && offsetof(BusRecord, endtime) == 4 && offsetof(BusRecord, status) == 8);

}  // namespace pfsync::wire
