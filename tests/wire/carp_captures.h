#pragma once

#include <cstdint>
#include <fstream>
#include <iterator>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

/// The recorded advertisements of tests/captures, and what they were made with.
namespace pfsync::wire::test {

/// The frames of a classic little-endian pcap file of Ethernet frames. Format: draft-ietf-opsawg-pcap.
[[nodiscard]] inline std::vector<std::vector<std::uint8_t>> frames_of(const std::string& path) {
  std::ifstream file{path, std::ios::binary};
  const std::vector<std::uint8_t> bytes{std::istreambuf_iterator<char>{file}, {}};
  constexpr std::size_t file_header = 24, record_header = 16;
  if (bytes.size() < file_header || bytes[0] != 0xd4 || bytes[20] != 1)
    throw std::runtime_error{path + " is not what this reads"};
  std::vector<std::vector<std::uint8_t>> frames;
  for (std::size_t at = file_header; at + record_header <= bytes.size();) {
    const std::size_t size = bytes[at + 8] + bytes[at + 9] * 256u;
    const auto from = bytes.begin() + static_cast<std::ptrdiff_t>(at + record_header);
    frames.emplace_back(from, from + static_cast<std::ptrdiff_t>(size));
    at += record_header + size;
  }
  if (frames.empty()) throw std::runtime_error{path + " has no frames"};
  return frames;
}

/// One VHID of a capture: with this password and this one address `adverts` of its advertisements verify.
struct Recorded {
  const char* file;
  std::uint8_t vhid;
  std::string_view password;
  const char* address;
  std::size_t adverts;
};
inline constexpr Recorded recorded[] = {
    {"freebsd12-pair/08-carp-lan.pcap", 1, "testpw", "10.1.0.254", 32},
    {"freebsd12-pair/08-carp-lan.pcap", 3, "testpw6", "fd01::fe", 32},
    {"carp-ucarp/ucarp_bcast_nomcast.pcap", 7, "hello", "192.0.2.7", 2},
    {"carp-ucarp/ucarp_election_A0_B100_stopA.pcap", 3, "love", "192.0.2.252", 8},
    {"carp-ucarp/ucarp_election_demoteA.pcap", 4, "love", "192.0.2.253", 8},
    {"carp-ucarp/ucarp_equal_priority.pcap", 13, "love", "192.0.2.13", 6},
    {"carp-ucarp/ucarp_password_mismatch.pcap", 5, "right", "192.0.2.254", 6},
    {"carp-ucarp/ucarp_password_mismatch.pcap", 5, "wrong", "192.0.2.254", 3},
    {"carp-ucarp/ucarp_preempt_A100_then_B0.pcap", 12, "love", "192.0.2.12", 3},
    {"carp-ucarp/ucarp_vhid1_skew0_pass_secret.pcap", 1, "secret", "192.0.2.100", 3},
    {"carp-ucarp/ucarp_vhid255_base3_skew240_pass19.pcap", 255, "1234567890123456789", "198.51.100.7", 3},
    {"carp-ucarp/ucarp_vhid42_skew100_pass_interop.pcap", 42, "interop-pass", "10.88.0.100", 1},
};

}  // namespace pfsync::wire::test
