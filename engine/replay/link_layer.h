#pragma once

#include <cstdint>
#include <optional>

#include "wire/bytes.h"

namespace pfsync::engine::replay {

/// What the frames of a capture begin with. Source: https://www.tcpdump.org/linktypes.html.
enum class LinkLayer : std::uint8_t {
  ethernet,   ///< LINKTYPE_ETHERNET
  cooked_v1,  ///< LINKTYPE_LINUX_SLL
  cooked_v2,  ///< LINKTYPE_LINUX_SLL2
  raw_ip,     ///< LINKTYPE_RAW, LINKTYPE_IPV4, LINKTYPE_IPV6
};

/// The IPv4 or IPv6 packet that a frame carries, behind link header and VLAN tags; nullopt when it
/// carries something else or ends before that can be told. Only the first nibble of the packet is judged.
[[nodiscard]] std::optional<wire::Bytes> network_packet(LinkLayer link, wire::Bytes frame) noexcept;

/// Whether an IP packet says that it carries pfsync, however broken it is otherwise; a fragment's
/// protocol counts too.
[[nodiscard]] bool claims_pfsync(wire::Bytes packet) noexcept;

}  // namespace pfsync::engine::replay
