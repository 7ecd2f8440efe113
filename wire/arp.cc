#include "wire/arp.h"

#include "wire/ethernet.h"

namespace pfsync::wire {
namespace {

constexpr std::uint16_t hardware_ethernet = 1;

}  // namespace

std::optional<Arp> read_arp(Bytes payload) noexcept {
  if (payload.size() < sizeof(ArpRecord)) return std::nullopt;
  const auto record = load<ArpRecord>(payload, 0);
  if (record.hardware_type.host() != hardware_ethernet || record.protocol_type.host() != ethertype::ipv4 ||
      record.hardware_bytes != sizeof(MacAddress) || record.protocol_bytes != record.sender.size())
    return std::nullopt;
  const ArpOperation operation{record.operation.host()};
  if (operation != ArpOperation::request && operation != ArpOperation::reply) return std::nullopt;
  return Arp{operation, record.sender_mac, inet_address(record.sender), record.target_mac, inet_address(record.target)};
}

std::size_t write_arp(const Arp& arp, Room room) noexcept {
  if (room.size() < sizeof(ArpRecord)) return 0;
  store(room, 0,
        ArpRecord{.hardware_type = Be16{hardware_ethernet},
                  .protocol_type = Be16{ethertype::ipv4},
                  .hardware_bytes = sizeof(MacAddress),
                  .protocol_bytes = 4,
                  .operation = Be16{static_cast<std::uint16_t>(arp.operation)},
                  .sender_mac = arp.sender_mac,
                  .sender = inet_bytes(arp.sender),
                  .target_mac = arp.target_mac,
                  .target = inet_bytes(arp.target)});
  return sizeof(ArpRecord);
}

}  // namespace pfsync::wire
