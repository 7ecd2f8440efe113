// An Ethernet frame: header and tags, then ARP or IP, then pfsync; and the headers written again.
#include <array>
#include <cstdint>
#include <vector>

#include "tests/fuzz/check.h"
#include "tests/fuzz/mend.h"
#include "tests/fuzz/mutate.h"
#include "wire/address.h"
#include "wire/arp.h"
#include "wire/ethernet.h"
#include "wire/ip.h"
#include "wire/packet_reader.h"

namespace pfsync::fuzz {
namespace {

using namespace wire;

bool lies_in(Bytes inner, Bytes outer) {
  return inner.empty() || (inner.data() >= outer.data() && inner.data() + inner.size() <= outer.data() + outer.size());
}

void check_address(const Address& address, Family family) {
  const auto parsed = parse_address(to_string(address, family));
  check(parsed && parsed->first == family && parsed->second == address, "an address survives its text");
}

void check_arp(Bytes payload) {
  const auto arp = read_arp(payload);
  if (!arp) return;
  std::array<std::uint8_t, sizeof(ArpRecord)> room;
  check(write_arp(*arp, room) == room.size(), "an ARP message fits its record");
  check(std::equal(room.begin(), room.end(), payload.begin()), "an ARP message is written as it was read");
}

void check_ip_packet(const IpPacket& packet, Bytes datagram) {
  check(lies_in(packet.payload, datagram), "an IP payload lies inside its packet");
  check_address(packet.source, packet.family);
  check_address(packet.destination, packet.family);

  std::array<std::uint8_t, sizeof(Ipv6Header)> header;
  const std::size_t bytes = write_ip_header({packet.family, packet.source, packet.destination, packet.protocol},
                                            packet.payload.size(), header);
  check(bytes == ip_header_bytes(packet.family), "a header that was read can be written");
  std::vector<std::uint8_t> rebuilt(header.begin(), header.begin() + static_cast<std::ptrdiff_t>(bytes));
  rebuilt.insert(rebuilt.end(), packet.payload.begin(), packet.payload.end());
  const IpResult again = read_ip(rebuilt);
  check(!again.reject && again.packet.source == packet.source && again.packet.destination == packet.destination &&
            again.packet.protocol == packet.protocol && again.packet.payload.size() == packet.payload.size(),
        "a header that we write reads as what was written");

  if (packet.protocol != ipproto::pfsync) return;
  PacketReader reader{packet.payload};
  for (Section section; reader.next(section);) check(lies_in(section.records, packet.payload), "records lie inside");
}

void check_ip(Bytes datagram) {
  const IpResult result = read_ip(datagram);
  if (!result.reject) return check_ip_packet(result.packet, datagram);
  check(*result.reject == Reject::badip || *result.reject == Reject::badsum || *result.reject == Reject::fragment,
        "an IP packet is refused in a documented way");
  if (*result.reject != Reject::badsum) return;
  // A random checksum is nearly always wrong: set it right, so that what lies behind the check is reached.
  std::vector<std::uint8_t> corrected(datagram.begin(), datagram.end());
  store(Room{corrected}, offsetof(Ipv4Header, checksum), Be16{0});
  const std::size_t header_bytes = (corrected[0] & 0x0fu) * 4u;
  store(Room{corrected}, offsetof(Ipv4Header, checksum), Be16{internet_checksum(Bytes{corrected}.first(header_bytes))});
  const IpResult second = read_ip(corrected);
  check(second.reject != Reject::badsum, "a checksum that we compute is accepted");
  if (!second.reject) check_ip_packet(second.packet, corrected);
}

void check_frame(Bytes bytes) {
  const auto frame = read_ethernet(bytes);
  if (!frame) return;
  check(lies_in(frame->payload, bytes), "a payload lies inside its frame");
  check(parse_mac(to_string(frame->source)) == frame->source, "a MAC address survives its text");
  if (frame->ethertype != ethertype::vlan && frame->ethertype != ethertype::service_vlan) {  // no third tag
    std::array<std::uint8_t, 18> room;
    const std::size_t header_bytes =
        write_ethernet_header(frame->destination, frame->source, frame->vlan, frame->ethertype, room);
    const auto again = read_ethernet(Bytes{room}.first(header_bytes));
    check(again && again->destination == frame->destination && again->source == frame->source &&
              again->vlan == frame->vlan && again->ethertype == frame->ethertype,
          "a header that we write reads as what was written");
  }
  if (frame->ethertype == ethertype::arp) check_arp(frame->payload);
  if (frame->ethertype == ethertype::ipv4 || frame->ethertype == ethertype::ipv6) check_ip(frame->payload);
}

}  // namespace
}  // namespace pfsync::fuzz

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  pfsync::fuzz::check_frame({data, size});
  return 0;
}

extern "C" std::size_t LLVMFuzzerCustomMutator(std::uint8_t* data, std::size_t size, std::size_t max_size,
                                               unsigned seed) {
  using namespace pfsync;
  return fuzz::mutated(data, size, max_size, seed, [](fuzz::Input& input, fuzz::Random&) {
    fuzz::mutate_bytes(input);
    fuzz::mend(input);
  });
}
