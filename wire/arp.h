#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>

#include "wire/address.h"
#include "wire/be.h"
#include "wire/bytes.h"

namespace pfsync::wire {

/// ARP for IPv4 over Ethernet. Source: RFC 826, "Packet format".
struct ArpRecord {
  Be16 hardware_type;
  Be16 protocol_type;
  std::uint8_t hardware_bytes;
  std::uint8_t protocol_bytes;
  Be16 operation;
  MacAddress sender_mac;
  std::array<std::uint8_t, 4> sender;
  MacAddress target_mac;
  std::array<std::uint8_t, 4> target;
};
static_assert(sizeof(ArpRecord) == 28 && offsetof(ArpRecord, protocol_type) == 2 &&
              offsetof(ArpRecord, hardware_bytes) == 4 && offsetof(ArpRecord, protocol_bytes) == 5 &&
              offsetof(ArpRecord, operation) == 6 && offsetof(ArpRecord, sender_mac) == 8 &&
              offsetof(ArpRecord, sender) == 14 && offsetof(ArpRecord, target_mac) == 18 &&
              offsetof(ArpRecord, target) == 24);

enum class ArpOperation : std::uint16_t { request = 1, reply = 2 };

/// An ARP message as a value; the addresses are IPv4.
struct Arp {
  ArpOperation operation = ArpOperation::request;
  MacAddress sender_mac{};
  Address sender{};
  MacAddress target_mac{};
  Address target{};

  friend constexpr bool operator==(const Arp&, const Arp&) noexcept = default;
};

/// Nullopt when it is truncated, not for IPv4 over Ethernet, or neither a request nor a reply.
[[nodiscard]] std::optional<Arp> read_arp(Bytes payload) noexcept;
/// Returns 28, or 0 with nothing written when `room` is smaller.
[[nodiscard]] std::size_t write_arp(const Arp& arp, Room room) noexcept;

}  // namespace pfsync::wire
