#include "engine/replay/link_layer.h"

#include <cstddef>

#include "wire/be.h"
#include "wire/ethernet.h"
#include "wire/ip.h"
#include "wire/state.h"

namespace pfsync::engine::replay {
namespace {

using wire::Be16;

/// Source: https://www.tcpdump.org/linktypes/LINKTYPE_LINUX_SLL.html.
struct CookedV1 {
  Be16 packet_type;
  Be16 arphrd;
  Be16 address_bytes;
  std::array<std::uint8_t, 8> address;
  Be16 protocol;
};
static_assert(sizeof(CookedV1) == 16 && offsetof(CookedV1, protocol) == 14);

/// Source: https://www.tcpdump.org/linktypes/LINKTYPE_LINUX_SLL2.html.
struct CookedV2 {
  Be16 protocol;
  Be16 reserved;
  wire::Be32 interface_index;
  Be16 arphrd;
  std::uint8_t packet_type;
  std::uint8_t address_bytes;
  std::array<std::uint8_t, 8> address;
};
static_assert(sizeof(CookedV2) == 20 && offsetof(CookedV2, arphrd) == 8 && offsetof(CookedV2, address) == 12);

constexpr int tags_max = 2;
constexpr std::uint8_t ipv6_fragment_header = 44;  // RFC 8200 section 4.5

/// Cooked headers keep VLAN tags as Ethernet does: the tag's type in the header, the tag behind it.
std::optional<wire::Bytes> behind_tags(std::uint16_t type, wire::Bytes rest) noexcept {
  for (int tags = 0; tags < tags_max && (type == wire::ethertype::vlan || type == wire::ethertype::service_vlan);
       ++tags) {
    if (rest.size() < sizeof(wire::VlanTag)) return std::nullopt;
    type = wire::load<wire::VlanTag>(rest, 0).ethertype.host();
    rest = rest.subspan(sizeof(wire::VlanTag));
  }
  if (type != wire::ethertype::ipv4 && type != wire::ethertype::ipv6) return std::nullopt;
  return rest;
}

template <class Header>
std::optional<wire::Bytes> behind_cooked(wire::Bytes frame) noexcept {
  if (frame.size() < sizeof(Header)) return std::nullopt;
  return behind_tags(wire::load<Header>(frame, 0).protocol.host(), frame.subspan(sizeof(Header)));
}

std::optional<wire::Bytes> behind_link(LinkLayer link, wire::Bytes frame) noexcept {
  switch (link) {
    case LinkLayer::ethernet: {
      const auto ethernet = wire::read_ethernet(frame);
      if (!ethernet) return std::nullopt;
      return behind_tags(ethernet->ethertype, ethernet->payload);
    }
    case LinkLayer::cooked_v1: return behind_cooked<CookedV1>(frame);
    case LinkLayer::cooked_v2: return behind_cooked<CookedV2>(frame);
    case LinkLayer::raw_ip: return frame;
  }
  return std::nullopt;
}

}  // namespace

std::optional<wire::Bytes> network_packet(LinkLayer link, wire::Bytes frame) noexcept {
  const auto packet = behind_link(link, frame);
  if (!packet || packet->empty()) return std::nullopt;
  const auto version = (*packet)[0] >> 4u;
  if (version != 4 && version != 6) return std::nullopt;
  return packet;
}

bool claims_pfsync(wire::Bytes packet) noexcept {
  if (packet.empty()) return false;
  const bool inet = packet[0] >> 4u == 4;
  const std::size_t at = inet ? offsetof(wire::Ipv4Header, protocol) : offsetof(wire::Ipv6Header, next_header);
  if (packet.size() <= at) return false;
  if (packet[at] == wire::ipproto::pfsync) return true;
  return !inet && packet[at] == ipv6_fragment_header && packet.size() > sizeof(wire::Ipv6Header) &&
         packet[sizeof(wire::Ipv6Header)] == wire::ipproto::pfsync;
}

}  // namespace pfsync::engine::replay
