#pragma once

#include <cstdint>
#include <fstream>
#include <iterator>
#include <stdexcept>
#include <string>
#include <vector>

#include "wire/ip.h"

/// The pfsync packets of a classic little-endian pcap file of Ethernet frames without VLAN tags, which is
/// what tests/captures/pfsync-synthetic has. Format: draft-ietf-opsawg-pcap.
namespace pfsync::wire::test {

[[nodiscard]] inline std::vector<std::vector<std::uint8_t>> payloads_of(const std::string& path) {
  std::ifstream file{path, std::ios::binary};
  const std::vector<std::uint8_t> bytes{std::istreambuf_iterator<char>{file}, {}};
  constexpr std::size_t file_header = 24, record_header = 16, ethernet_header = 14;
  if (bytes.size() < file_header || bytes[0] != 0xd4 || bytes[20] != 1)
    throw std::runtime_error{path + " is not what this reads"};
  std::vector<std::vector<std::uint8_t>> payloads;
  for (std::size_t at = file_header; at + record_header <= bytes.size();) {
    const std::size_t size = bytes[at + 8] + bytes[at + 9] * 256u;
    const IpResult ip = read_ip(Bytes{bytes}.subspan(at + record_header + ethernet_header, size - ethernet_header));
    if (ip.reject) throw std::runtime_error{path + " has a frame that is no IP packet"};
    payloads.emplace_back(ip.packet.payload.begin(), ip.packet.payload.end());
    at += record_header + size;
  }
  if (payloads.empty()) throw std::runtime_error{path + " has no packets"};
  return payloads;
}

}  // namespace pfsync::wire::test
