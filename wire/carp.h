#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>
#include <variant>

#include "wire/address.h"
#include "wire/be.h"
#include "wire/bytes.h"
#include "wire/describes_each.h"

/// CARP version 2 as bytes; who made it (the HMAC) is carp_digest.h.
/// Source: FreeBSD and OpenBSD sys/netinet/ip_carp.h, struct carp_header.
namespace pfsync::wire {

/// An advertisement, which follows the IP header directly.
struct CarpRecord {
  std::uint8_t version_type;  ///< 4 bits version, 4 bits type
  std::uint8_t vhid;
  std::uint8_t advskew;  ///< 1/256 s
  std::uint8_t authlen;  ///< counter and md, in 4-byte words
  std::uint8_t demote;   ///< OpenBSD's demote count; FreeBSD sends 0 and does not look
  std::uint8_t advbase;  ///< seconds
  Be16 checksum;         ///< of these 36 bytes alone: no pseudo-header, for IPv6 neither
  Be64 counter;
  std::array<std::uint8_t, 20> md;
};
static_assert(sizeof(CarpRecord) == 36 && offsetof(CarpRecord, vhid) == 1 && offsetof(CarpRecord, advskew) == 2 &&
              offsetof(CarpRecord, authlen) == 3 && offsetof(CarpRecord, demote) == 4 &&
              offsetof(CarpRecord, advbase) == 5 && offsetof(CarpRecord, checksum) == 6 &&
              offsetof(CarpRecord, counter) == 8 && offsetof(CarpRecord, md) == 16);

inline constexpr std::uint8_t carp_version = 2, carp_type_advertisement = 1, carp_authlen = 7;

/// Where advertisements go unless a peer is configured: 224.0.0.18 and ff02::12, which VRRP uses too.
inline constexpr Address carp_group_inet = ipv4_address(224, 0, 0, 18);
inline constexpr Address carp_group_inet6{{0xff, 0x02, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x12}};

/// The virtual host's Ethernet address, the same for IPv4 and IPv6 (VRRP has another one for IPv6).
[[nodiscard]] constexpr MacAddress carp_mac(std::uint8_t vhid) noexcept {
  return {{0x00, 0x00, 0x5e, 0x00, 0x01, vhid}};
}

/// Why an advertisement was refused. The words of `netstat -s -p carp` come first, then those it has none for.
enum class CarpReject : std::uint8_t {
  badif,
  badttl,
  hdrops,
  badsum,
  badver,
  badlen,
  badauth,
  badvhid,
  badaddrs,
  looped,
  vrrp,
  disabled,
};

struct CarpRejectInfo {
  CarpReject reject;
  std::string_view word;
  std::string_view sentence;
};

inline constexpr std::array carp_reject_table{
    CarpRejectInfo{CarpReject::badif, "badif",
                   "advertisements for another host: not to the group, nor to an own address"},
    CarpRejectInfo{CarpReject::badttl, "badttl", "advertisements whose TTL or hop limit was not 255"},
    CarpRejectInfo{CarpReject::hdrops, "hdrops", "frames of protocol 112 with a malformed IP header"},
    CarpRejectInfo{CarpReject::badsum, "badsum", "advertisements with a wrong checksum"},
    CarpRejectInfo{CarpReject::badver, "badver", "packets of protocol 112 that are neither CARP version 2 nor VRRP"},
    CarpRejectInfo{CarpReject::badlen, "badlen", "packets of protocol 112 shorter than an advertisement"},
    CarpRejectInfo{CarpReject::badauth, "badauth", "advertisements with a wrong HMAC"},
    CarpRejectInfo{CarpReject::badvhid, "badvhid", "advertisements of a VHID that has no address of that family here"},
    CarpRejectInfo{CarpReject::badaddrs, "badaddrs",
                   "advertisements with the HMAC of another list of addresses, one more or one less"},
    CarpRejectInfo{CarpReject::looped, "looped", "own advertisements that came back"},
    CarpRejectInfo{CarpReject::vrrp, "vrrp", "VRRP advertisements: another protocol under the same number"},
    CarpRejectInfo{CarpReject::disabled, "disabled", "advertisements not looked at, because CARP is disabled here"},
};
inline constexpr std::size_t carp_reject_count = carp_reject_table.size();
static_assert(describes_each(carp_reject_table, &CarpRejectInfo::reject, CarpReject::disabled),
              "carp_reject_table[i] must describe CarpReject(i), and every CarpReject");

[[nodiscard]] constexpr std::string_view word(CarpReject reject) noexcept {
  return carp_reject_table[static_cast<std::size_t>(reject)].word;
}

using CarpMd = std::array<std::uint8_t, 20>;

/// An advertisement as a value.
struct CarpAdvert {
  std::uint8_t vhid = 0;
  std::uint8_t advbase = 1;
  std::uint8_t advskew = 0;
  std::uint8_t demote = 0;
  std::uint64_t counter = 0;
  CarpMd md{};

  friend constexpr bool operator==(const CarpAdvert&, const CarpAdvert&) noexcept = default;
};

/// Reads what an IP packet of protocol 112 carries. Type, authlen and what follows the 36 bytes are not judged: no
/// kernel does. Errors: badlen, vrrp (version 3, or version 2 with the lengths of VRRP), badver, badsum. Differs: the
/// kernels call VRRP of version 2 a bad sum or HMAC; it is named here because it takes the same Ethernet address.
[[nodiscard]] std::variant<CarpAdvert, CarpReject> read_carp(Bytes payload) noexcept;

/// Returns 36, or 0 with nothing written when `room` is smaller.
[[nodiscard]] std::size_t write_carp(const CarpAdvert& advert, Room room) noexcept;

/// The virtual router id of a VRRP advertisement of version 2 or 3; nullopt when it is none.
/// Version 2 begins with the same byte as CARP; its fourth byte counts addresses, where CARP has 7, and the
/// length follows from the count: a VRRP packet with 7 addresses has 44 bytes, not 36. Its checksum is judged, since it
/// covers the packet alone; that of version 3 covers addresses as well and is not.
/// Source: RFC 3768 section 5.1, RFC 5798 section 5.1.
[[nodiscard]] std::optional<std::uint8_t> vrrp_id(Bytes payload) noexcept;

}  // namespace pfsync::wire
