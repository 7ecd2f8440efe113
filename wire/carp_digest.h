#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "wire/address.h"
#include "wire/carp.h"

/// Who made an advertisement: HMAC-SHA1 over version, type, VHID, all addresses of the VHID and the counter.
/// advbase, advskew, the demote byte, the checksum and the sender's address are not covered.
/// Source: FreeBSD sys/netinet/ip_carp.c, carp_hmac_prepare() and carp_hmac_generate().
namespace pfsync::wire {

/// The key is the password itself, at most 19 bytes of it, filled with zeros; not a hash, whatever the
/// kernels' headers say. Source: FreeBSD sbin/ifconfig/carp.c (a C string in 20 bytes).
using CarpKey = std::array<std::uint8_t, 20>;
inline constexpr std::size_t carp_password_max = 19;

[[nodiscard]] CarpKey carp_key(std::string_view password) noexcept;

/// What pfSense and OPNsense make of a password before a kernel sees it: no spaces, and a backslash in front of
/// ' " \ and NUL (which becomes the digit 0). Source: pfSense src/etc/inc/interfaces.inc, interface_carp_configure().
[[nodiscard]] std::string as_pfsense_hands_over(std::string_view password);

/// One address that carries the VHID.
struct CarpAddress {
  Family family = Family::none;
  Address address{};

  friend constexpr auto operator<=>(const CarpAddress&, const CarpAddress&) noexcept = default;
};

/// The addresses of a VHID as they are hashed: ascending, IPv4 before IPv6, each once, without those that kernels
/// never hash (all zeros, all ones), and link-local ones without a scope in bytes 2 and 3.
[[nodiscard]] std::vector<CarpAddress> carp_address_list(std::span<const CarpAddress> addresses);

/// What two nodes must have in common to believe each other. Immutable, copyable; no allocation, no throw after
/// construction.
class CarpDigest {
 public:
  /// The addresses are taken in any order: carp_address_list() of them is hashed.
  CarpDigest(const CarpKey& key, std::uint8_t vhid, std::span<const CarpAddress> addresses)
      : CarpDigest{of_list(key, vhid, carp_address_list(addresses))} {}
  /// The same of such a list, without allocation and without throwing.
  [[nodiscard]] static CarpDigest of_list(const CarpKey& key, std::uint8_t vhid,
                                          std::span<const CarpAddress> list) noexcept;

  [[nodiscard]] CarpMd md(std::uint64_t counter) const noexcept;
  /// Takes the same time whether and wherever the two differ.
  [[nodiscard]] bool verifies(const CarpAdvert& advert) const noexcept;

 private:
  CarpDigest() = default;
  // SHA-1 after the inner pad and all that does not change, and after the outer pad: an advertisement then costs
  // two blocks. Opaque, so that OpenSSL's headers stay in the .cc.
  static constexpr std::size_t state_bytes = 96;
  alignas(8) std::array<std::byte, state_bytes> inner_{};
  alignas(8) std::array<std::byte, state_bytes> outer_{};
};

}  // namespace pfsync::wire
