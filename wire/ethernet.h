#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>

#include "wire/address.h"
#include "wire/be.h"
#include "wire/bytes.h"

namespace pfsync::wire {

/// Source: IANA IEEE 802 Numbers.
namespace ethertype {
inline constexpr std::uint16_t ipv4 = 0x0800, arp = 0x0806, vlan = 0x8100, ipv6 = 0x86dd, service_vlan = 0x88a8;
}

/// Source: RFC 894 (the frame), IEEE 802.3 section 3.2.
struct EthernetHeader {
  MacAddress destination;
  MacAddress source;
  Be16 ethertype;
};
static_assert(sizeof(EthernetHeader) == 14 && offsetof(EthernetHeader, source) == 6 &&
              offsetof(EthernetHeader, ethertype) == 12);

/// What follows an ethertype of 0x8100 or 0x88a8: priority (3 bits), drop eligible (1), VLAN id (12).
/// Source: IEEE 802.1Q section 9.6.
struct VlanTag {
  Be16 control;
  Be16 ethertype;
};
static_assert(sizeof(VlanTag) == 4 && offsetof(VlanTag, ethertype) == 2);

/// What one look at a frame yields. Borrowed: good for as long as the frame's bytes are.
struct EthernetFrame {
  MacAddress destination{};
  MacAddress source{};
  std::uint16_t ethertype = 0;  ///< of the payload; below 1536 it is an 802.3 length
  std::optional<std::uint16_t> vlan{};
  Bytes payload{};  ///< up to the frame's end: padding included, frame check sequence not expected
};

/// Reads the header and at most two tags (an 802.1ad service tag around an 802.1Q one). `vlan` is the
/// innermost id that is not zero: id 0 only carries a priority, such a frame counts as untagged.
/// Errors: nullopt when the frame ends inside the header or a tag (badip).
[[nodiscard]] std::optional<EthernetFrame> read_ethernet(Bytes frame) noexcept;

/// Returns the header's size, 14 or 18 bytes; 0, with nothing written, when `room` is smaller.
[[nodiscard]] std::size_t write_ethernet_header(const MacAddress& destination, const MacAddress& source,
                                                std::optional<std::uint16_t> vlan, std::uint16_t type,
                                                Room room) noexcept;

}  // namespace pfsync::wire
