#include "wire/ethernet.h"

namespace pfsync::wire {
namespace {

constexpr std::uint16_t vlan_id_mask = 0x0fff;
constexpr int tags_max = 2;

constexpr bool is_tag(std::uint16_t type) noexcept {
  return type == ethertype::vlan || type == ethertype::service_vlan;
}

}  // namespace

std::optional<EthernetFrame> read_ethernet(Bytes frame) noexcept {
  if (frame.size() < sizeof(EthernetHeader)) return std::nullopt;
  const auto header = load<EthernetHeader>(frame, 0);
  EthernetFrame result{header.destination, header.source, header.ethertype.host(), std::nullopt, {}};
  std::size_t offset = sizeof(EthernetHeader);
  for (int tags = 0; tags < tags_max && is_tag(result.ethertype); ++tags) {
    if (frame.size() - offset < sizeof(VlanTag)) return std::nullopt;
    const auto tag = load<VlanTag>(frame, offset);
    offset += sizeof(VlanTag);
    const std::uint16_t id = tag.control.host() & vlan_id_mask;
    if (id != 0) result.vlan = id;
    result.ethertype = tag.ethertype.host();
  }
  result.payload = frame.subspan(offset);
  return result;
}

std::size_t write_ethernet_header(const MacAddress& destination, const MacAddress& source,
                                  std::optional<std::uint16_t> vlan, std::uint16_t type, Room room) noexcept {
  const std::size_t bytes = sizeof(EthernetHeader) + (vlan ? sizeof(VlanTag) : 0);
  if (room.size() < bytes) return 0;
  store(room, 0, EthernetHeader{destination, source, Be16{vlan ? ethertype::vlan : type}});
  if (vlan) {
    const auto id = static_cast<std::uint16_t>(*vlan & vlan_id_mask);
    store(room, sizeof(EthernetHeader), VlanTag{Be16{id}, Be16{type}});
  }
  return bytes;
}

}  // namespace pfsync::wire
