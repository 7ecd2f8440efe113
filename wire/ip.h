#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>

#include "wire/be.h"
#include "wire/bytes.h"
#include "wire/reject.h"
#include "wire/state.h"

namespace pfsync::wire {

/// IPv4 header without options. Source: RFC 791 section 3.1.
struct Ipv4Header {
  std::uint8_t version_ihl;  ///< 4 bits version, 4 bits header length in 4-byte words
  std::uint8_t tos;
  Be16 total_length;
  Be16 identification;
  Be16 fragment;  ///< 1 bit zero, DF, MF, 13 bits offset in 8-byte units
  std::uint8_t ttl;
  std::uint8_t protocol;
  Be16 checksum;
  std::array<std::uint8_t, 4> source;
  std::array<std::uint8_t, 4> destination;
};
static_assert(sizeof(Ipv4Header) == 20 && offsetof(Ipv4Header, tos) == 1 && offsetof(Ipv4Header, total_length) == 2 &&
              offsetof(Ipv4Header, identification) == 4 && offsetof(Ipv4Header, fragment) == 6 &&
              offsetof(Ipv4Header, ttl) == 8 && offsetof(Ipv4Header, protocol) == 9 &&
              offsetof(Ipv4Header, checksum) == 10 && offsetof(Ipv4Header, source) == 12 &&
              offsetof(Ipv4Header, destination) == 16);

inline constexpr std::uint16_t ipv4_dont_fragment = 0x4000;
inline constexpr std::uint16_t ipv4_more_fragments = 0x2000;
inline constexpr std::uint16_t ipv4_offset_mask = 0x1fff;

/// IPv6 header. Source: RFC 8200 section 3.
struct Ipv6Header {
  Be32 version_class_flow;  ///< 4 bits version, 8 bits traffic class, 20 bits flow label
  Be16 payload_length;      ///< what follows these 40 bytes
  std::uint8_t next_header;
  std::uint8_t hop_limit;
  std::array<std::uint8_t, 16> source;
  std::array<std::uint8_t, 16> destination;
};
static_assert(sizeof(Ipv6Header) == 40 && offsetof(Ipv6Header, payload_length) == 4 &&
              offsetof(Ipv6Header, next_header) == 6 && offsetof(Ipv6Header, hop_limit) == 7 &&
              offsetof(Ipv6Header, source) == 8 && offsetof(Ipv6Header, destination) == 24);

/// What pfsync and CARP packets are sent with; a receiver refuses any other TTL (badttl).
inline constexpr std::uint8_t link_local_ttl = 255;
inline constexpr std::uint8_t low_delay_tos = 0x10;  // RFC 1349 section 4

/// What one look at an IP packet yields. Borrowed: good for as long as its bytes are.
struct IpPacket {
  Family family = Family::none;
  Address source{};
  Address destination{};
  std::uint8_t protocol = 0;   ///< for IPv6 the first next header
  std::uint8_t ttl = 0;        ///< or hop limit
  std::uint8_t tos = 0;        ///< or traffic class
  bool dont_fragment = false;  ///< true for IPv6, where routers never fragment
  Bytes payload{};             ///< cut at the packet's own length: Ethernet padding is not in it
};

struct IpResult {
  std::optional<Reject> reject{};
  IpPacket packet{};  ///< default when rejected
};

/// Reads IPv4 (options are stepped over) or IPv6 (extension headers are not walked: pfsync and CARP
/// follow the 40-byte header directly).
/// Errors: badip (no IP version, truncated, lengths that do not agree), badsum (IPv4 header checksum),
///         fragment (IPv4 offset or MF set, or an IPv6 fragment header).
[[nodiscard]] IpResult read_ip(Bytes datagram) noexcept;

struct IpHeaderFields {
  Family family = Family::none;
  Address source{};
  Address destination{};
  std::uint8_t protocol = 0;
};

inline constexpr std::size_t ip_length_max = 0xffff;  ///< what the length field of either header can say

/// Header size of a packet that we write; 0 for Family::none.
[[nodiscard]] constexpr std::size_t ip_header_bytes(Family family) noexcept {
  if (family == Family::inet) return sizeof(Ipv4Header);
  return family == Family::inet6 ? sizeof(Ipv6Header) : 0;
}

/// Writes the header that pfsync and CARP packets have: TTL or hop limit 255; for IPv4 also DF, TOS
/// 0x10, identification 0 (RFC 6864 section 4.1: meaningless with DF).
/// Returns its size; 0, with nothing written, when `room` is smaller, the family is none, or the
/// lengths do not fit their 16-bit fields.
[[nodiscard]] std::size_t write_ip_header(const IpHeaderFields& fields, std::size_t payload_bytes, Room room) noexcept;

/// One's complement sum of 16-bit words, complemented; an odd last byte is padded with zero. Over a
/// header that includes a correct checksum it is 0. Source: RFC 1071 section 1.
[[nodiscard]] std::uint16_t internet_checksum(Bytes bytes) noexcept;

}  // namespace pfsync::wire
