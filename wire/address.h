#pragma once

#include <array>
#include <compare>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "wire/state.h"

namespace pfsync::wire {

/// An Ethernet address, in the order of transmission.
struct MacAddress {
  std::array<std::uint8_t, 6> bytes{};

  friend constexpr auto operator<=>(const MacAddress&, const MacAddress&) noexcept = default;
};

inline constexpr MacAddress broadcast_mac{{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}};

[[nodiscard]] constexpr Address ipv4_address(std::uint8_t a, std::uint8_t b, std::uint8_t c, std::uint8_t d) noexcept {
  return Address{{a, b, c, d}};
}

/// As the fields of IPv4 headers hold it.
[[nodiscard]] constexpr Address inet_address(const std::array<std::uint8_t, 4>& bytes) noexcept {
  return ipv4_address(bytes[0], bytes[1], bytes[2], bytes[3]);
}
[[nodiscard]] constexpr std::array<std::uint8_t, 4> inet_bytes(const Address& address) noexcept {
  return {address.bytes[0], address.bytes[1], address.bytes[2], address.bytes[3]};
}

/// Where pfsync goes unless a peer is configured: 224.0.0.240 and ff12::f0.
/// Source: FreeBSD sys/netinet/in.h, INADDR_PFSYNC_GROUP; sys/netinet6/in6.h, IN6ADDR_LINKLOCAL_PFSYNC_GROUP_INIT.
inline constexpr Address pfsync_group_inet = ipv4_address(224, 0, 0, 240);
inline constexpr Address pfsync_group_inet6{{0xff, 0x12, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xf0}};

/// Source: RFC 1112 section 4, RFC 4291 section 2.7.
[[nodiscard]] constexpr bool is_multicast(Family family, const Address& address) noexcept {
  if (family == Family::inet) return (address.bytes[0] & 0xf0u) == 0xe0u;
  return family == Family::inet6 && address.bytes[0] == 0xff;
}

/// The Ethernet address of a multicast group. Contract: is_multicast(family, group).
/// Source: RFC 1112 section 6.4 (the low 23 bits), RFC 2464 section 7 (the last 4 bytes).
[[nodiscard]] constexpr MacAddress multicast_mac(Family family, const Address& group) noexcept {
  const auto& b = group.bytes;
  if (family == Family::inet6) return MacAddress{{0x33, 0x33, b[12], b[13], b[14], b[15]}};
  return MacAddress{{0x01, 0x00, 0x5e, static_cast<std::uint8_t>(b[1] & 0x7fu), b[2], b[3]}};
}

/// "192.0.2.1", "2001:db8::1"; "-" for Family::none.
[[nodiscard]] std::string to_string(const Address& address, Family family);
/// Takes exactly what inet_pton takes: no port, no prefix, no scope.
[[nodiscard]] std::optional<std::pair<Family, Address>> parse_address(std::string_view text);

/// "02:00:00:00:00:01": lower case, two digits each.
[[nodiscard]] std::string to_string(const MacAddress& address);
/// Six pairs of hex digits of either case, with colons between.
[[nodiscard]] std::optional<MacAddress> parse_mac(std::string_view text);

}  // namespace pfsync::wire
