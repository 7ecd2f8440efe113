#include "wire/icmp.h"

#include <algorithm>

namespace pfsync::wire {
namespace {

constexpr std::uint8_t option_source = 1, option_target = 2;
constexpr std::uint32_t flag_router = 0x80000000, flag_solicited = 0x40000000, flag_override = 0x20000000;
constexpr Address unspecified{};

}  // namespace

std::uint16_t icmpv6_checksum(const Address& source, const Address& destination, Bytes message) noexcept {
  struct PseudoHeader {
    std::array<std::uint8_t, 16> source, destination;
    Be32 bytes;
    std::array<std::uint8_t, 3> zero;
    std::uint8_t next_header;
  };
  static_assert(sizeof(PseudoHeader) == 40);
  std::array<std::uint8_t, sizeof(PseudoHeader)> pseudo;
  store(Room{pseudo}, 0,
        PseudoHeader{
            source.bytes, destination.bytes, Be32{static_cast<std::uint32_t>(message.size())}, {}, ipproto::icmpv6});
  // Sums may be added part by part: the first part has an even number of bytes (RFC 1071 section 2).
  const std::uint32_t sum = static_cast<std::uint16_t>(~internet_checksum(pseudo)) +
                            std::uint32_t{static_cast<std::uint16_t>(~internet_checksum(message))};
  return static_cast<std::uint16_t>(~((sum & 0xffffu) + (sum >> 16u)));
}

std::optional<Neighbour> read_neighbour(const IpPacket& packet) noexcept {
  if (packet.family != Family::inet6 || packet.protocol != ipproto::icmpv6 || packet.ttl != link_local_ttl)
    return std::nullopt;
  if (packet.payload.size() < sizeof(NeighbourRecord)) return std::nullopt;
  const auto record = load<NeighbourRecord>(packet.payload, 0);
  if ((record.type != icmpv6_type::solicitation && record.type != icmpv6_type::advertisement) || record.code != 0)
    return std::nullopt;
  if (icmpv6_checksum(packet.source, packet.destination, packet.payload) != 0) return std::nullopt;
  Neighbour result{.is_solicitation = record.type == icmpv6_type::solicitation, .target = Address{record.target}};
  if (is_multicast(Family::inet6, result.target)) return std::nullopt;
  if (!result.is_solicitation) {
    result.router = (record.flags.host() & flag_router) != 0;
    result.solicited = (record.flags.host() & flag_solicited) != 0;
    result.override = (record.flags.host() & flag_override) != 0;
  }
  const std::uint8_t wanted = result.is_solicitation ? option_source : option_target;
  for (std::size_t at = sizeof(NeighbourRecord); at < packet.payload.size();) {
    if (packet.payload.size() - at < 2) return std::nullopt;
    const std::size_t bytes = packet.payload[at + 1] * std::size_t{8};
    if (bytes == 0 || bytes > packet.payload.size() - at) return std::nullopt;
    if (packet.payload[at] == wanted && bytes == sizeof(LinkAddressOption))
      result.mac = load<LinkAddressOption>(packet.payload, at).mac;
    at += bytes;
  }
  // One that asks whether its address is free has no address to be answered at.
  if (result.is_solicitation && packet.source == unspecified && result.mac) return std::nullopt;
  return result;
}

std::size_t write_neighbour(const Neighbour& neighbour, const Address& source, const Address& destination,
                            Room room) noexcept {
  const std::size_t bytes = sizeof(NeighbourRecord) + (neighbour.mac ? sizeof(LinkAddressOption) : 0);
  if (room.size() < bytes) return 0;
  std::uint32_t flags = 0;
  if (!neighbour.is_solicitation)
    flags = (neighbour.router ? flag_router : 0) | (neighbour.solicited ? flag_solicited : 0) |
            (neighbour.override ? flag_override : 0);
  NeighbourRecord record{.type = neighbour.is_solicitation ? icmpv6_type::solicitation : icmpv6_type::advertisement,
                         .code = 0,
                         .checksum = Be16{0},
                         .flags = Be32{flags},
                         .target = neighbour.target.bytes};
  store(room, 0, record);
  if (neighbour.mac)
    store(room, sizeof record,
          LinkAddressOption{neighbour.is_solicitation ? option_source : option_target, 1, *neighbour.mac});
  record.checksum = Be16{icmpv6_checksum(source, destination, room.first(bytes))};
  store(room, 0, record);
  return bytes;
}

std::size_t write_echo_reply(const IpPacket& request, Room room) noexcept {
  const Bytes message = request.payload;
  if (message.size() < sizeof(IcmpRecord) || room.size() < message.size()) return 0;
  auto record = load<IcmpRecord>(message, 0);
  const bool inet6 = request.family == Family::inet6;
  if (request.protocol != (inet6 ? ipproto::icmpv6 : ipproto::icmp) || record.code != 0 ||
      record.type != (inet6 ? icmpv6_type::echo_request : icmp_type::echo_request))
    return 0;
  if ((inet6 ? icmpv6_checksum(request.source, request.destination, message) : internet_checksum(message)) != 0)
    return 0;
  std::copy(message.begin(), message.end(), room.begin());
  const Room reply = room.first(message.size());
  record.type = inet6 ? icmpv6_type::echo_reply : icmp_type::echo_reply;
  record.checksum = Be16{0};
  store(reply, 0, record);
  record.checksum =
      Be16{inet6 ? icmpv6_checksum(request.destination, request.source, reply) : internet_checksum(reply)};
  store(reply, 0, record);
  return reply.size();
}

}  // namespace pfsync::wire
