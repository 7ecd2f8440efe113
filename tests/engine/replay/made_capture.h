#pragma once

#include <gtest/gtest.h>
#include <pcap/pcap.h>

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "wire/address.h"
#include "wire/ip.h"
#include "wire/packet_writer.h"

/// Captures made for a test. Bytes are kept in strings, which concatenate.
namespace pfsync::engine::replay {

inline std::string text(wire::Bytes bytes) { return {reinterpret_cast<const char*>(bytes.data()), bytes.size()}; }

/// An IP packet with one DEL_C in it.
inline std::string ip_packet(wire::Family family, std::uint8_t protocol = wire::ipproto::pfsync) {
  std::array<std::uint8_t, 200> room{};
  const std::size_t header = wire::ip_header_bytes(family);
  wire::PacketWriter writer{wire::Dialect::freebsd_1301, wire::Room{room}.subspan(header)};
  EXPECT_TRUE(writer.append_id(wire::Message::del_c, {7, 8}));
  const std::size_t payload = writer.finish();
  const wire::IpHeaderFields fields{
      .family = family,
      .source = family == wire::Family::inet ? wire::ipv4_address(10, 3, 0, 1) : wire::Address{{0xfe, 0x80}},
      .destination = family == wire::Family::inet ? wire::pfsync_group_inet : wire::pfsync_group_inet6,
      .protocol = protocol};
  EXPECT_EQ(wire::write_ip_header(fields, payload, room), header);
  return text(wire::Bytes{room}.first(header + payload));
}

inline std::string u16(unsigned value) { return {static_cast<char>(value >> 8u), static_cast<char>(value & 0xffu)}; }

struct Frame {
  std::string bytes;
  std::int64_t s = 1'000'000'000;
  long ns = 0;
  std::size_t left_out = 0;  ///< bytes at the end that the snapshot length cut off
};

/// A pcap file made by libpcap.
inline void write_pcap(const std::string& path, int link_type, const std::vector<Frame>& frames) {
  pcap_t* dead = pcap_open_dead_with_tstamp_precision(link_type, 65535, PCAP_TSTAMP_PRECISION_NANO);
  ASSERT_NE(dead, nullptr);
  pcap_dumper_t* dump = pcap_dump_open(dead, path.c_str());
  ASSERT_NE(dump, nullptr);
  for (const Frame& frame : frames) {
    pcap_pkthdr header{};
    header.ts.tv_sec = frame.s;
    header.ts.tv_usec = frame.ns;
    header.len = static_cast<bpf_u_int32>(frame.bytes.size());
    header.caplen = static_cast<bpf_u_int32>(frame.bytes.size() - frame.left_out);
    pcap_dump(reinterpret_cast<u_char*>(dump), &header, reinterpret_cast<const u_char*>(frame.bytes.data()));
  }
  pcap_dump_close(dump);
  pcap_close(dead);
}

inline const std::string ethernet_inet = std::string(12, '\x02') + u16(0x0800);

}  // namespace pfsync::engine::replay
