#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "tests/fuzz/mutate.h"
#include "wire/ethernet.h"
#include "wire/icmp.h"
#include "wire/ip.h"

namespace pfsync::fuzz {

/// The header that Router Alert stands in. Source: RFC 8200 section 4.3.
inline constexpr std::uint8_t hop_by_hop = 0;

/// A frame's lengths and checksums as the bytes that are there have them: of IPv4 and IPv6, and behind them of IGMP and
/// ICMPv6, that behind a Router Alert too. Otherwise nearly every change ends at the first of them.
inline void mend(Input& input) {
  using namespace wire;
  const auto frame = read_ethernet(input);
  if (!frame || frame->payload.empty()) return;
  const Room datagram = Room{input}.subspan(static_cast<std::size_t>(frame->payload.data() - input.data()));
  if (frame->ethertype == ethertype::ipv4 && datagram.size() >= sizeof(Ipv4Header)) {
    const std::size_t header = std::clamp<std::size_t>((datagram[0] & 0x0fu) * 4u, sizeof(Ipv4Header),
                                                       std::min<std::size_t>(datagram.size() / 4 * 4, 60));
    datagram[0] = static_cast<std::uint8_t>(0x40u | header / 4u);
    store(datagram, offsetof(Ipv4Header, total_length), Be16{static_cast<std::uint16_t>(datagram.size())});
    store(datagram, offsetof(Ipv4Header, checksum), Be16{0});
    store(datagram, offsetof(Ipv4Header, checksum), Be16{internet_checksum(Bytes{datagram}.first(header))});
    const Room payload = datagram.subspan(header);
    if (datagram[offsetof(Ipv4Header, protocol)] == ipproto::igmp && payload.size() >= 8) {
      store(payload, 2, Be16{0});
      store(payload, 2, Be16{internet_checksum(payload)});
    }
  }
  if (frame->ethertype == ethertype::ipv6 && datagram.size() >= sizeof(Ipv6Header)) {
    datagram[0] = static_cast<std::uint8_t>(0x60u | (datagram[0] & 0x0fu));
    store(datagram, offsetof(Ipv6Header, payload_length),
          Be16{static_cast<std::uint16_t>(datagram.size() - sizeof(Ipv6Header))});
    const IpResult ip = read_ip(datagram);
    if (ip.reject) return;
    Room message = datagram.last(ip.packet.payload.size());
    std::uint8_t next = ip.packet.protocol;
    if (next == hop_by_hop && message.size() >= 8) {
      next = message[0];
      message = message.subspan(std::min<std::size_t>((message[1] + 1u) * 8u, message.size()));
    }
    if (next != ipproto::icmpv6 || message.size() < 4) return;
    store(message, 2, Be16{0});
    store(message, 2, Be16{icmpv6_checksum(ip.packet.source, ip.packet.destination, message)});
  }
}

}  // namespace pfsync::fuzz
