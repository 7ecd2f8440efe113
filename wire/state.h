#pragma once

#include <array>
#include <compare>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string_view>

namespace pfsync::wire {

/// The identity of a state: the pair that every message names it by. `id` alone is unique only per
/// creator. Both are opaque on the wire; here they are read big-endian, so that they print as
/// `pfctl -ss -vv` and tcpdump print them.
struct StateId {
  std::uint64_t id = 0;
  std::uint32_t creatorid = 0;

  friend constexpr auto operator<=>(const StateId&, const StateId&) noexcept = default;
};

/// UPD_REQ for this pair asks for everything: the bulk request.
inline constexpr StateId bulk_request_id{};

/// Address family without a system's number: AF_INET6 is 28 on FreeBSD, 24 on OpenBSD, 10 on Linux.
enum class Family : std::uint8_t { none = 0, inet = 4, inet6 = 6 };

/// An IPv4 address lies in the first 4 bytes and the other 12 are zero (checked in where it is read,
/// because kernels compare all 16).
struct Address {
  std::array<std::uint8_t, 16> bytes{};

  friend constexpr auto operator<=>(const Address&, const Address&) noexcept = default;
};

/// A name in a field of fixed size: at most N - 1 characters, always terminated, zero filled.
template <std::size_t N>
struct Name {
  std::array<char, N> chars{};

  constexpr Name() noexcept = default;
  /// Longer names are cut.
  constexpr explicit Name(std::string_view name) noexcept {
    for (std::size_t i = 0; i < N - 1 && i < name.size() && name[i] != '\0'; ++i) chars[i] = name[i];
  }
  [[nodiscard]] constexpr std::string_view view() const noexcept {
    const std::string_view all{chars.data(), chars.size()};
    return all.substr(0, all.find('\0'));
  }
  [[nodiscard]] constexpr bool empty() const noexcept { return chars[0] == '\0'; }
  friend constexpr auto operator<=>(const Name&, const Name&) noexcept = default;
};
using InterfaceName = Name<16>;
using TagName = Name<64>;

/// One side's addresses and ports. Index 1 is the near side of the interface, index 0 the far side:
/// for direction out index 1 is the source, for direction in index 0 is.
/// Source: FreeBSD sys/netpfil/pf/pf.c, struct pf_state_key.
struct Key {
  std::array<Address, 2> addr{};
  std::array<std::uint16_t, 2> port{};  ///< host order; the ICMP id for ICMP

  friend constexpr auto operator<=>(const Key&, const Key&) noexcept = default;
};

/// Scrub memory of one peer; valid only when `scrub_flag` is 1.
struct Scrub {
  std::uint32_t pfss_ts_mod = 0;  ///< timestamp modulator; on FreeBSD 14+ also the SCTP verification tag
  std::uint16_t pfss_flags = 0;
  std::uint8_t pfss_ttl = 0;
  std::uint8_t scrub_flag = 0;

  friend constexpr bool operator==(const Scrub&, const Scrub&) noexcept = default;
};

/// One endpoint of a connection. `seqlo`, `seqhi`, `seqdiff` are modulo 2^32.
/// Two 16-byte lanes with the same fields as the record's, so that each is read, copied and written whole.
struct alignas(16) Peer {
  Scrub scrub{};
  std::uint32_t seqlo = 0;    ///< highest sequence number sent
  std::uint32_t seqhi = 0;    ///< highest the other end acknowledged, plus its window
  std::uint32_t seqdiff = 0;  ///< sequence number modulator
  std::uint16_t max_win = 0;  ///< largest window before scaling
  std::uint16_t mss = 0;
  std::uint8_t state = 0;   ///< TCPS_* for TCP, PFUDPS_*/PFOTHERS_* otherwise
  std::uint8_t wscale = 0;  ///< low 4 bits: shift; 0x80: the peer offered window scaling

  friend constexpr bool operator==(const Peer&, const Peer&) noexcept = default;
};

/// Protocol levels of a peer. Source: FreeBSD sys/netinet/tcp_fsm.h and sys/netpfil/pf/pf.h.
namespace tcps {
inline constexpr std::uint8_t closed = 0, listen = 1, syn_sent = 2, syn_received = 3, established = 4, close_wait = 5,
                              fin_wait_1 = 6, closing = 7, last_ack = 8, fin_wait_2 = 9, time_wait = 10, proxy_src = 11,
                              proxy_dst = 12;
}
inline constexpr std::uint8_t peer_state_max = tcps::proxy_dst;  ///< the highest level valid on the wire

/// IP protocol numbers that state logic distinguishes.
namespace ipproto {
inline constexpr std::uint8_t icmp = 1, igmp = 2, tcp = 6, udp = 17, gre = 47, esp = 50, icmpv6 = 58, carp = 112,
                              sctp = 132, pfsync = 240;
}

/// PFSTATE_* bits. Source: FreeBSD sys/netpfil/pf/pf.h; OpenBSD sys/net/pfvar.h. No bit means one thing
/// here and another there.
namespace state_flag {
inline constexpr std::uint16_t allowopts = 0x0001, sloppy = 0x0002, pflow = 0x0004, nosync = 0x0008, ack = 0x0010,
                               nodf = 0x0020, settos = 0x0040, randomid = 0x0080, scrub_tcp = 0x0100, setprio = 0x0200,
                               inp_unlinked = 0x0400,  // OpenBSD only
    dn_is_pipe = 0x4000, dn_is_queue = 0x8000;         // FreeBSD only
}

/// Bits of sync_flags. Source: FreeBSD sys/net/if_pfsync.h, PFSYNC_FLAG_*.
namespace sync_flag {
inline constexpr std::uint8_t source_node = 0x04, nat_source_node = 0x08;
}

/// Route options, numbered as FreeBSD does; OpenBSD has no FASTROUTE and counts from ROUTE-TO = 1.
/// Source: FreeBSD sys/netpfil/pf/pf.h, enum PF_NOPFROUTE …; OpenBSD sys/net/pfvar.h.
namespace route {
inline constexpr std::uint8_t none = 0, fastroute = 1, route_to = 2, dup_to = 3, reply_to = 4;
}

enum class Direction : std::uint8_t { inout = 0, in = 1, out = 2 };

inline constexpr std::uint32_t no_rule = 0xffffffff;

/// A pf state as a value: host order, no dialect. It holds what the dialects carry between them; a
/// message that lacks a field leaves its default here. Durations are relative, as on the wire.
/// Four fields say only what differs from the usual and are zero otherwise, so that a state is the same
/// value whichever dialect told it: stack_af, stack_proto, rt_af and orig_ifname.
struct State {
  StateId id{};
  InterfaceName ifname{};    ///< the interface the state is bound to, or "all"
  std::array<Key, 2> key{};  ///< [0] WIRE, [1] STACK; equal unless translated
  Peer src{};                ///< the endpoint that opened the connection
  Peer dst{};
  Address rt_addr{};  ///< next hop of route-to, dup-to or reply-to
  std::uint32_t rule = no_rule;
  std::uint32_t anchor = no_rule;
  std::uint32_t nat_rule = no_rule;
  std::uint32_t creation_s = 0;            ///< age in seconds
  std::uint32_t expire_s = 0;              ///< seconds until expiry, 0 = expired
  std::array<std::uint64_t, 2> packets{};  ///< [0] from src, [1] replies
  std::array<std::uint64_t, 2> bytes{};
  Family af = Family::none;  ///< of the WIRE key
  std::uint8_t proto = 0;    ///< of the WIRE key
  Direction direction = Direction::inout;
  std::uint8_t log = 0;
  std::uint16_t state_flags = 0;
  std::uint8_t timeout = 0;  ///< PFTM_* index
  std::uint8_t sync_flags = 0;

  // Not in 1301.
  std::uint8_t rt = 0;  ///< route::
  std::uint8_t min_ttl = 0;
  std::uint8_t set_tos = 0;
  std::array<std::uint8_t, 2> set_prio{};
  std::uint16_t max_mss = 0;
  std::array<std::int32_t, 2> rtableid{-1, -1};  ///< [0] WIRE, [1] STACK; -1 = none. FreeBSD has one for both
  InterfaceName rt_ifname{};                     ///< nor on OpenBSD
  std::uint16_t qid = 0;                         ///< ALTQ queues and dummynet pipes: nor on OpenBSD
  std::uint16_t pqid = 0;
  std::uint16_t dnpipe = 0;
  std::uint16_t dnrpipe = 0;

  // 1500 or OpenBSD only.
  Family stack_af = Family::none;          ///< family of the STACK key where af-to makes it another
  std::uint8_t stack_proto = 0;            ///< protocol of the STACK key where it is not what usual_stack_proto says
  Family rt_af = Family::none;             ///< family of rt_addr where it is not that of the WIRE key
  std::array<std::uint16_t, 2> rdomain{};  ///< [0] WIRE, [1] STACK
  InterfaceName orig_ifname{};             ///< the interface the state was created on, where it is not `ifname`
  TagName tag{};

  [[nodiscard]] constexpr Family stack_family() const noexcept { return stack_af == Family::none ? af : stack_af; }
  [[nodiscard]] constexpr Family rt_family() const noexcept { return rt_af == Family::none ? af : rt_af; }
  /// af-to turns ICMP into ICMPv6 and back; any other protocol stays.
  [[nodiscard]] constexpr std::uint8_t usual_stack_proto() const noexcept {
    if (stack_af == Family::none || stack_af == af) return proto;
    if (proto == ipproto::icmp) return ipproto::icmpv6;
    return proto == ipproto::icmpv6 ? ipproto::icmp : proto;
  }
  friend constexpr bool operator==(const State&, const State&) noexcept = default;
};

inline constexpr std::size_t wire_side = 0;
inline constexpr std::size_t stack_side = 1;

/// What UPD_C carries, and all that a full UPD of a known state changes.
struct Update {
  StateId id{};
  Peer src{};
  Peer dst{};
  std::uint8_t timeout = 0;
  std::uint32_t expire_s = 0;  ///< of UPD_C: kernels send 0 and ignore it; kept so that a packet can be said again

  friend constexpr bool operator==(const Update&, const Update&) noexcept = default;
};

/// CLR: "I, this creator, have flushed my states". An empty name means every interface.
struct Clear {
  InterfaceName ifname{};
  std::uint32_t creatorid = 0;

  friend constexpr bool operator==(const Clear&, const Clear&) noexcept = default;
};

/// BUS: start or end of a bulk update.
struct BulkStatus {
  static constexpr std::uint8_t start = 1, end = 2;
  std::uint32_t creatorid = 0;  ///< host id of the node that sends the bulk
  std::uint32_t endtime_s = 0;  ///< seconds since that node received the request
  std::uint8_t status = 0;

  friend constexpr bool operator==(const BulkStatus&, const BulkStatus&) noexcept = default;
};

/// TDB: replay and byte counters of an IPsec security association.
struct Tdb {
  std::uint32_t spi = 0;
  Family af = Family::none;
  Address dst{};
  std::uint64_t rpl = 0;
  std::uint64_t cur_bytes = 0;
  std::uint8_t sproto = 0;  ///< 50 ESP, 51 AH, 108 IPCOMP
  std::uint8_t updates = 0;
  std::uint16_t rdomain = 0;  ///< OpenBSD only

  friend constexpr bool operator==(const Tdb&, const Tdb&) noexcept = default;
};

}  // namespace pfsync::wire
