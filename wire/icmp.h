#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>

#include "wire/address.h"
#include "wire/be.h"
#include "wire/bytes.h"
#include "wire/ip.h"

/// The few messages that an address without a kernel behind it has to answer: echo, and IPv6 neighbour discovery.
namespace pfsync::wire {

/// Source: RFC 792 "Echo or Echo Reply Message", RFC 4443 section 4.1.
struct IcmpRecord {
  std::uint8_t type;
  std::uint8_t code;
  Be16 checksum;
  Be32 rest;
};
static_assert(sizeof(IcmpRecord) == 8 && offsetof(IcmpRecord, checksum) == 2 && offsetof(IcmpRecord, rest) == 4);

/// Neighbour solicitation or advertisement without options. Source: RFC 4861 sections 4.3 and 4.4.
struct NeighbourRecord {
  std::uint8_t type;
  std::uint8_t code;
  Be16 checksum;
  Be32 flags;
  std::array<std::uint8_t, 16> target;
};
static_assert(sizeof(NeighbourRecord) == 24 && offsetof(NeighbourRecord, flags) == 4 &&
              offsetof(NeighbourRecord, target) == 8);

/// Source or target link-layer address. Source: RFC 4861 section 4.6.1.
struct LinkAddressOption {
  std::uint8_t type;
  std::uint8_t length;  ///< in 8-byte units
  MacAddress mac;
};
static_assert(sizeof(LinkAddressOption) == 8 && offsetof(LinkAddressOption, mac) == 2);

namespace icmp_type {
inline constexpr std::uint8_t echo_reply = 0, echo_request = 8;
}
namespace icmpv6_type {
inline constexpr std::uint8_t echo_request = 128, echo_reply = 129, solicitation = 135, advertisement = 136;
}

inline constexpr Address all_nodes_inet6{{0xff, 0x02, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1}};

/// Source: RFC 4291 section 2.7.1.
[[nodiscard]] constexpr Address solicited_node(const Address& address) noexcept {
  Address group{{0xff, 0x02, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0xff}};
  for (std::size_t i = 13; i < 16; ++i) group.bytes[i] = address.bytes[i];
  return group;
}

/// The link-local address that a host makes of its Ethernet address. Source: RFC 4291 appendix A.
[[nodiscard]] constexpr Address link_local_address(const MacAddress& mac) noexcept {
  const auto& m = mac.bytes;
  return Address{
      {0xfe, 0x80, 0, 0, 0, 0, 0, 0, static_cast<std::uint8_t>(m[0] ^ 2u), m[1], m[2], 0xff, 0xfe, m[3], m[4], m[5]}};
}

struct Neighbour {
  bool is_solicitation = false;
  bool router = false, solicited = false, override = false;  ///< of an advertisement
  Address target{};
  std::optional<MacAddress> mac{};  ///< source link-layer address of a solicitation, target's of an advertisement

  friend constexpr bool operator==(const Neighbour&, const Neighbour&) noexcept = default;
};

/// Nullopt unless it is a valid solicitation or advertisement: hop limit 255, code 0, checksum, sound options, a target
/// that is no group. Source: RFC 4861 sections 7.1.1 and 7.1.2.
[[nodiscard]] std::optional<Neighbour> read_neighbour(const IpPacket& packet) noexcept;
/// Returns the bytes of the ICMPv6 message; 0, with nothing written, when `room` is smaller.
[[nodiscard]] std::size_t write_neighbour(const Neighbour& neighbour, const Address& source, const Address& destination,
                                          Room room) noexcept;

/// The reply to an echo request of either family, from its destination to its source: returns the bytes of the ICMP
/// message. 0, with nothing written, when it is no sound echo request or `room` is smaller.
[[nodiscard]] std::size_t write_echo_reply(const IpPacket& request, Room room) noexcept;

/// Over the pseudo-header and the message. 0 when the message holds a correct checksum. Source: RFC 8200 section 8.1.
[[nodiscard]] std::uint16_t icmpv6_checksum(const Address& source, const Address& destination, Bytes message) noexcept;

}  // namespace pfsync::wire
