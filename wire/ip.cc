#include "wire/ip.h"

#include "wire/address.h"

namespace pfsync::wire {
namespace {

constexpr std::uint8_t next_header_fragment = 44;  // RFC 8200 section 4.5

IpResult refuse(Reject why) noexcept { return {.reject = why, .packet = {}}; }

IpResult read_ipv4(Bytes datagram) noexcept {
  if (datagram.size() < sizeof(Ipv4Header)) return refuse(Reject::badip);
  const auto header = load<Ipv4Header>(datagram, 0);
  const std::size_t header_bytes = std::size_t{header.version_ihl & 0x0fu} * 4;
  const std::size_t total = header.total_length.host();
  if (header_bytes < sizeof(Ipv4Header) || total < header_bytes || total > datagram.size())
    return refuse(Reject::badip);
  if (internet_checksum(datagram.first(header_bytes)) != 0) return refuse(Reject::badsum);
  const std::uint16_t fragment = header.fragment.host();
  if ((fragment & (ipv4_offset_mask | ipv4_more_fragments)) != 0) return refuse(Reject::fragment);
  return {.reject = {},
          .packet = {.family = Family::inet,
                     .source = inet_address(header.source),
                     .destination = inet_address(header.destination),
                     .protocol = header.protocol,
                     .ttl = header.ttl,
                     .tos = header.tos,
                     .dont_fragment = (fragment & ipv4_dont_fragment) != 0,
                     .payload = datagram.subspan(header_bytes, total - header_bytes)}};
}

IpResult read_ipv6(Bytes datagram) noexcept {
  if (datagram.size() < sizeof(Ipv6Header)) return refuse(Reject::badip);
  const auto header = load<Ipv6Header>(datagram, 0);
  const std::size_t payload = header.payload_length.host();
  if (payload > datagram.size() - sizeof(Ipv6Header)) return refuse(Reject::badip);
  if (header.next_header == next_header_fragment) return refuse(Reject::fragment);
  return {.reject = {},
          .packet = {.family = Family::inet6,
                     .source = Address{header.source},
                     .destination = Address{header.destination},
                     .protocol = header.next_header,
                     .ttl = header.hop_limit,
                     .tos = static_cast<std::uint8_t>(header.version_class_flow.host() >> 20u),
                     .dont_fragment = true,
                     .payload = datagram.subspan(sizeof(Ipv6Header), payload)}};
}

}  // namespace

std::uint16_t internet_checksum(Bytes bytes) noexcept {
  // 64 bits hold the carries of any span that memory can hold, so that they are folded once.
  std::uint64_t sum = 0;
  std::size_t i = 0;
  for (; i + 1 < bytes.size(); i += 2) sum += (std::uint64_t{bytes[i]} << 8u) | bytes[i + 1];
  if (i < bytes.size()) sum += std::uint64_t{bytes[i]} << 8u;
  while ((sum >> 16u) != 0) sum = (sum & 0xffffu) + (sum >> 16u);
  return static_cast<std::uint16_t>(~sum);
}

IpResult read_ip(Bytes datagram) noexcept {
  if (datagram.empty()) return refuse(Reject::badip);
  switch (datagram[0] >> 4u) {
    case 4: return read_ipv4(datagram);
    case 6: return read_ipv6(datagram);
    default: return refuse(Reject::badip);
  }
}

std::size_t write_ip_header(const IpHeaderFields& fields, std::size_t payload_bytes, Room room) noexcept {
  const std::size_t bytes = ip_header_bytes(fields.family);
  if (bytes == 0 || room.size() < bytes) return 0;
  if (fields.family == Family::inet6) {
    if (payload_bytes > ip_length_max) return 0;
    store(room, 0,
          Ipv6Header{.version_class_flow = Be32{0x60000000u},
                     .payload_length = Be16{static_cast<std::uint16_t>(payload_bytes)},
                     .next_header = fields.protocol,
                     .hop_limit = link_local_ttl,
                     .source = fields.source.bytes,
                     .destination = fields.destination.bytes});
    return bytes;
  }
  if (payload_bytes > ip_length_max - bytes) return 0;
  Ipv4Header header{.version_ihl = 0x45,
                    .tos = low_delay_tos,
                    .total_length = Be16{static_cast<std::uint16_t>(bytes + payload_bytes)},
                    .identification = Be16{0},
                    .fragment = Be16{ipv4_dont_fragment},
                    .ttl = link_local_ttl,
                    .protocol = fields.protocol,
                    .checksum = Be16{0},
                    .source = inet_bytes(fields.source),
                    .destination = inet_bytes(fields.destination)};
  store(room, 0, header);
  header.checksum = Be16{internet_checksum(room.first(bytes))};
  store(room, 0, header);
  return bytes;
}

}  // namespace pfsync::wire
