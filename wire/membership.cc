#include "wire/membership.h"

#include <algorithm>

namespace pfsync::wire {
namespace {

using Kind = MembershipMessage::Kind;

constexpr std::uint8_t hops = 1;                         // never past a router
constexpr std::uint8_t internetwork_control_tos = 0xc0;  // RFC 3376 section 4
constexpr std::uint8_t next_header_hop_by_hop = 0;       // RFC 8200 section 4.3

/// IPv4's option 148 with value 0: every router looks at it. Source: RFC 2113 section 2.1.
constexpr std::array<std::uint8_t, 4> router_alert_inet{0x94, 0x04, 0x00, 0x00};
constexpr std::size_t inet_header_bytes = sizeof(Ipv4Header) + router_alert_inet.size();

/// A hop-by-hop header before ICMPv6: Router Alert (5) with value 0, MLD, and two bytes of padding (PadN of length 0).
/// Source: RFC 2711 section 2.1, RFC 8200 sections 4.2 and 4.3.
constexpr std::array<std::uint8_t, 8> router_alert_inet6{ipproto::icmpv6, 0, 0x05, 0x02, 0x00, 0x00, 0x01, 0x00};
constexpr std::size_t inet6_header_bytes = sizeof(Ipv6Header) + router_alert_inet6.size();
constexpr std::uint8_t option_pad1 = 0, option_router_alert = 5;

constexpr std::size_t header_bytes(Family family) noexcept {
  return family == Family::inet ? inet_header_bytes : inet6_header_bytes;
}

constexpr bool is_link_local(const Address& address) noexcept {
  return address.bytes[0] == 0xfe && (address.bytes[1] & 0xc0u) == 0x80u;  // RFC 4291 section 2.4
}

MembershipMessage refused() noexcept { return {.kind = Kind::refused}; }

/// The ICMPv6 message behind a hop-by-hop header; empty when there is none.
struct HopByHop {
  Bytes message{};
  bool router_alert = false;
};
HopByHop step_over_hop_by_hop(Bytes payload) noexcept {
  if (payload.size() < 8 || payload[0] != ipproto::icmpv6) return {};
  const std::size_t bytes = (payload[1] + std::size_t{1}) * 8;  // the first 8 are not counted
  if (payload.size() < bytes) return {};
  bool router_alert = false;
  for (std::size_t at = 2; at < bytes;) {
    if (payload[at] == option_pad1) {
      ++at;
      continue;
    }
    if (bytes - at < 2 || bytes - at - 2 < payload[at + 1]) return {};
    // An unknown option with one of these bits set means: drop the packet (RFC 8200 section 4.2).
    if (payload[at] != option_router_alert && (payload[at] & 0xc0u) != 0) return {};
    if (payload[at] == option_router_alert && payload[at + 1] == 2)
      router_alert = payload[at + 2] == 0 && payload[at + 3] == 0;
    at += std::size_t{payload[at + 1]} + 2;
  }
  return {payload.subspan(bytes), router_alert};
}

/// What a v3 query says behind its first part; false when its sources are cut off. More bytes than they need are
/// allowed (RFC 3376 section 4.1.10).
bool read_sources(Bytes message, std::size_t first_part, std::size_t address_bytes, MembershipMessage& query) noexcept {
  const std::size_t at = first_part + sizeof(QueryTailRecord);
  const std::size_t bytes = load<QueryTailRecord>(message, first_part).sources.host() * address_bytes;
  if (message.size() - at < bytes) return false;
  query.sources = message.subspan(at, bytes);
  // Sources of no group: no such query exists.
  return query.sources.empty() || !query.is_general();
}

/// Whether the message went where its kind goes: a query to all hosts or to its group, a report to its group.
bool is_to_the_right_group(const MembershipMessage& message, const IpPacket& packet) noexcept {
  if (!message.is_general() && !is_multicast(packet.family, message.group)) return false;
  const Address all_hosts = packet.family == Family::inet ? all_hosts_inet : all_nodes_inet6;
  if (message.kind == Kind::query && packet.destination == all_hosts) return true;
  return !message.is_general() && packet.destination == message.group;
}

MembershipMessage read_igmp(const IpPacket& packet) noexcept {
  const Bytes message = packet.payload;
  if (message.empty()) return refused();
  const std::uint8_t type = message[0];
  if (type != igmp_type::query && type != igmp_type::report_v1 && type != igmp_type::report_v2) return {};
  if (message.size() < sizeof(IgmpRecord) || packet.ttl != hops || internet_checksum(message) != 0) return refused();
  const auto record = load<IgmpRecord>(message, 0);
  const Address group = ipv4_address(record.group[0], record.group[1], record.group[2], record.group[3]);
  MembershipMessage result;
  if (type != igmp_type::query) {
    const auto version = type == igmp_type::report_v1 ? MembershipVersion::v1 : MembershipVersion::v2;
    result = {.kind = Kind::report, .version = version, .group = group};
  } else if (message.size() >= sizeof(IgmpRecord) + sizeof(QueryTailRecord)) {
    result = {.kind = Kind::query,
              .version = MembershipVersion::v3,
              .group = group,
              .response_max = std::chrono::milliseconds{igmp_code_value(record.code) * 100}};
    if (!read_sources(message, sizeof(IgmpRecord), 4, result)) return refused();
  } else if (message.size() != sizeof(IgmpRecord)) {
    return refused();
  } else if (record.code == 0) {
    // Version 1 asks for everything, whatever stands in the group's place, within 10 s (RFC 2236 section 4).
    result = {.kind = Kind::query, .version = MembershipVersion::v1, .response_max = std::chrono::seconds{10}};
  } else {
    result = {.kind = Kind::query,
              .version = MembershipVersion::v2,
              .group = group,
              .response_max = std::chrono::milliseconds{record.code * 100}};
  }
  return is_to_the_right_group(result, packet) ? result : refused();
}

MembershipMessage read_mld(const IpPacket& packet) noexcept {
  const HopByHop behind =
      packet.protocol == ipproto::icmpv6 ? HopByHop{packet.payload, false} : step_over_hop_by_hop(packet.payload);
  const Bytes message = behind.message;
  if (message.empty() || (message[0] != mld_type::query && message[0] != mld_type::report_v1)) return {};
  if (message.size() < sizeof(MldRecord) || packet.ttl != hops || !behind.router_alert ||
      !is_link_local(packet.source) || icmpv6_checksum(packet.source, packet.destination, message) != 0)
    return refused();
  const auto record = load<MldRecord>(message, 0);
  MembershipMessage result{.kind = Kind::query,
                           .version = MembershipVersion::v2,
                           .group = Address{record.group},
                           .response_max = std::chrono::milliseconds{record.response_max.host()}};
  if (message[0] == mld_type::report_v1) {
    result.kind = Kind::report;
    result.response_max = {};
  } else if (message.size() >= sizeof(MldRecord) + sizeof(QueryTailRecord)) {
    result.version = MembershipVersion::v3;
    result.response_max = std::chrono::milliseconds{mld_code_value(record.response_max.host())};
    if (!read_sources(message, sizeof(MldRecord), 16, result)) return refused();
  } else if (message.size() != sizeof(MldRecord)) {
    return refused();
  }
  return is_to_the_right_group(result, packet) ? result : refused();
}

/// In front of a message of `payload` bytes. Contract: room for header_bytes(family), and lengths fit.
void write_header(Family family, const Address& source, const Address& destination, std::size_t payload,
                  Room room) noexcept {
  if (family == Family::inet6) {
    store(room, 0,
          Ipv6Header{.version_class_flow = Be32{0x60000000u},
                     .payload_length = Be16{static_cast<std::uint16_t>(router_alert_inet6.size() + payload)},
                     .next_header = next_header_hop_by_hop,
                     .hop_limit = hops,
                     .source = source.bytes,
                     .destination = destination.bytes});
    return store(room, sizeof(Ipv6Header), router_alert_inet6);
  }
  Ipv4Header header{.version_ihl = 0x46,
                    .tos = internetwork_control_tos,
                    .total_length = Be16{static_cast<std::uint16_t>(inet_header_bytes + payload)},
                    .identification = Be16{0},
                    .fragment = Be16{ipv4_dont_fragment},
                    .ttl = hops,
                    .protocol = ipproto::igmp,
                    .checksum = Be16{0},
                    .source = inet_bytes(source),
                    .destination = inet_bytes(destination)};
  store(room, 0, header);
  store(room, sizeof header, router_alert_inet);
  header.checksum = Be16{internet_checksum(room.first(inet_header_bytes))};
  store(room, 0, header);
}

/// Of the finished message, whose checksum field is still zero and lies at the same place in all of them.
void write_checksum(Family family, const Address& source, const Address& destination, Room message) noexcept {
  constexpr std::size_t at = offsetof(IgmpRecord, checksum);
  static_assert(at == offsetof(MldRecord, checksum) && at == offsetof(ReportRecord, checksum));
  store(message, at,
        Be16{family == Family::inet ? internet_checksum(message) : icmpv6_checksum(source, destination, message)});
}

}  // namespace

MembershipMessage read_membership(const IpPacket& packet) noexcept {
  if (packet.family == Family::inet && packet.protocol == ipproto::igmp) return read_igmp(packet);
  if (packet.family == Family::inet6 &&
      (packet.protocol == next_header_hop_by_hop || packet.protocol == ipproto::icmpv6))
    return read_mld(packet);
  return {};
}

std::size_t write_membership_report(Family family, const Address& source, std::span<const GroupRecord> records,
                                    Room room) noexcept {
  if (family == Family::none) return 0;
  const std::size_t address_bytes = family == Family::inet ? 4 : 16;
  std::size_t bytes = header_bytes(family) + sizeof(ReportRecord);
  for (const GroupRecord& record : records)
    bytes += sizeof(GroupRecordHeader) + (1 + record.sources.size()) * address_bytes;
  // The whole packet's length bounds every other number in it.
  if (bytes > ip_length_max || bytes > room.size()) return 0;

  const Room message = room.subspan(header_bytes(family), bytes - header_bytes(family));
  store(message, 0,
        ReportRecord{.type = family == Family::inet ? igmp_type::report_v3 : mld_type::report_v2,
                     .reserved = 0,
                     .checksum = Be16{0},
                     .flags = Be16{0},
                     .records = Be16{static_cast<std::uint16_t>(records.size())}});
  std::size_t at = sizeof(ReportRecord);
  const auto put = [&](const Address& address) {
    std::copy_n(address.bytes.begin(), address_bytes, message.begin() + static_cast<std::ptrdiff_t>(at));
    at += address_bytes;
  };
  for (const GroupRecord& record : records) {
    store(message, at,
          GroupRecordHeader{.type = static_cast<std::uint8_t>(record.type),
                            .auxiliary = 0,
                            .sources = Be16{static_cast<std::uint16_t>(record.sources.size())}});
    at += sizeof(GroupRecordHeader);
    put(record.group);
    for (const Address& each : record.sources) put(each);
  }
  const Address& destination = family == Family::inet ? report_group_inet : report_group_inet6;
  write_checksum(family, source, destination, message);
  write_header(family, source, destination, message.size(), room);
  return bytes;
}

std::size_t write_older_membership(OlderMessage message, const Group& group, const Address& source,
                                   Room room) noexcept {
  const bool leaves = message == OlderMessage::leave;
  if (group.family == Family::none) return 0;
  if (group.family == Family::inet6 && message == OlderMessage::report_v1) return 0;
  const bool inet = group.family == Family::inet;
  const std::size_t payload = inet ? sizeof(IgmpRecord) : sizeof(MldRecord);
  const std::size_t bytes = header_bytes(group.family) + payload;
  if (room.size() < bytes) return 0;
  const Room to = room.subspan(header_bytes(group.family), payload);
  if (inet) {
    const std::uint8_t report = message == OlderMessage::report_v1 ? igmp_type::report_v1 : igmp_type::report_v2;
    store(to, 0,
          IgmpRecord{.type = leaves ? igmp_type::leave : report,
                     .code = 0,
                     .checksum = Be16{0},
                     .group = inet_bytes(group.address)});
  } else {
    store(to, 0,
          MldRecord{.type = leaves ? mld_type::done : mld_type::report_v1,
                    .code = 0,
                    .checksum = Be16{0},
                    .response_max = Be16{0},
                    .reserved = Be16{0},
                    .group = group.address.bytes});
  }
  const Address& routers = inet ? all_routers_inet : all_routers_inet6;
  const Address& destination = leaves ? routers : group.address;
  write_checksum(group.family, source, destination, to);
  write_header(group.family, source, destination, payload, room);
  return bytes;
}

}  // namespace pfsync::wire
