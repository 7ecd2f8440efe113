#pragma once

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <span>

#include "wire/address.h"
#include "wire/be.h"
#include "wire/bytes.h"
#include "wire/icmp.h"
#include "wire/ip.h"

/// IGMP and MLD as a host speaks them: queries and other hosts' reports are read, own reports and leaves are written as
/// whole IP packets. Switches that snoop pass a group on to those ports only where they hear these.
namespace pfsync::wire {

/// IGMP of any version before 3, and the beginning of a version 3 query. Source: RFC 2236 section 2.
struct IgmpRecord {
  std::uint8_t type;
  std::uint8_t code;  ///< max resp time, 1/10 s
  Be16 checksum;
  std::array<std::uint8_t, 4> group;
};
static_assert(sizeof(IgmpRecord) == 8 && offsetof(IgmpRecord, checksum) == 2 && offsetof(IgmpRecord, group) == 4);

/// MLDv1, and the beginning of an MLDv2 query. Source: RFC 2710 section 3.
struct MldRecord {
  std::uint8_t type;
  std::uint8_t code;
  Be16 checksum;
  Be16 response_max;  ///< ms
  Be16 reserved;
  std::array<std::uint8_t, 16> group;
};
static_assert(sizeof(MldRecord) == 24 && offsetof(MldRecord, response_max) == 4 && offsetof(MldRecord, group) == 8);

/// What an IGMPv3 or MLDv2 query has behind the group. Source: RFC 3376 section 4.1, RFC 3810 section 5.1.
struct QueryTailRecord {
  std::uint8_t flags;     ///< 4 bits reserved, 1 suppress router-side processing, 3 querier's robustness
  std::uint8_t interval;  ///< of the querier, a code
  Be16 sources;           ///< how many addresses follow
};
static_assert(sizeof(QueryTailRecord) == 4 && offsetof(QueryTailRecord, sources) == 2);

/// An IGMPv3 or MLDv2 report; its records follow. Source: RFC 3376 section 4.2, RFC 3810 section 5.2.
struct ReportRecord {
  std::uint8_t type;
  std::uint8_t reserved;
  Be16 checksum;
  Be16 flags;
  Be16 records;
};
static_assert(sizeof(ReportRecord) == 8 && offsetof(ReportRecord, checksum) == 2 &&
              offsetof(ReportRecord, records) == 6);

/// One group of such a report; the group's address and the sources' follow. Source: as above.
struct GroupRecordHeader {
  std::uint8_t type;
  std::uint8_t auxiliary;  ///< in 4-byte words
  Be16 sources;
};
static_assert(sizeof(GroupRecordHeader) == 4 && offsetof(GroupRecordHeader, sources) == 2);

namespace igmp_type {
inline constexpr std::uint8_t query = 0x11, report_v1 = 0x12, report_v2 = 0x16, leave = 0x17, report_v3 = 0x22;
}
namespace mld_type {
inline constexpr std::uint8_t query = 130, report_v1 = 131, done = 132, report_v2 = 143;
}

/// A multicast group of either family.
struct Group {
  Family family = Family::none;
  Address address{};

  friend constexpr auto operator<=>(const Group&, const Group&) noexcept = default;
};

inline constexpr Address all_hosts_inet = ipv4_address(224, 0, 0, 1);      // RFC 1112 section 4
inline constexpr Address all_routers_inet = ipv4_address(224, 0, 0, 2);    // RFC 2236 section 9
inline constexpr Address report_group_inet = ipv4_address(224, 0, 0, 22);  // RFC 3376 4.2.14
inline constexpr Address all_routers_inet6{
    {0xff, 0x02, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x02}};  // RFC 2710 section 3
inline constexpr Address report_group_inet6{
    {0xff, 0x02, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x16}};  // RFC 3810 5.2.14

/// Whether membership of the group is told to anybody: not of the group of all hosts, and not of one that never leaves
/// its host. Source: RFC 3376 section 5, RFC 3810 section 6 (the scopes 0 and 1).
[[nodiscard]] constexpr bool is_reported(const Group& group) noexcept {
  if (!is_multicast(group.family, group.address)) return false;
  if (group.family == Family::inet) return group.address != all_hosts_inet;
  return (group.address.bytes[1] & 0x0fu) > 1 && group.address != all_nodes_inet6;
}

/// In IGMP's numbers: MLDv1 is IPv6's v2, MLDv2 is its v3. IPv6 has no v1.
enum class MembershipVersion : std::uint8_t { v1, v2, v3 };

/// What one look at an IP packet yields. Borrowed: good for as long as its bytes are.
struct MembershipMessage {
  enum class Kind : std::uint8_t {
    other,    ///< not IGMP or MLD, or a message that is nothing to a host
    refused,  ///< a query or report that is not sound
    query,
    report,  ///< of versions 1 and 2 only: those that save other hosts' reports
  };
  Kind kind = Kind::other;
  MembershipVersion version = MembershipVersion::v3;
  Address group{};                            ///< zeros: a general query
  std::chrono::milliseconds response_max{0};  ///< of a query: answers are spread over this time
  Bytes sources{};                            ///< of a v3 query: addresses of 4 or 16 bytes each

  [[nodiscard]] bool is_general() const noexcept { return group == Address{}; }
};

/// Reads a query or an older version's report. Refused are: a bad checksum, TTL or hop limit other than 1, a
/// destination other than the group of all hosts or the group itself, a group that is none, a length that no version
/// has or that its sources exceed; for MLD also a source that is not link-local, and no Router Alert option. Source:
/// RFC 3376 sections 4.1, 7.1 and 9.1, RFC 2236 section 2, RFC 3810 sections 6.2 and 8.1, RFC 2710 section 4. Differs:
/// IGMP queries are taken without Router Alert too, since the simple queriers of switches may omit it.
[[nodiscard]] MembershipMessage read_membership(const IpPacket& packet) noexcept;

/// The floating point codes, in their own units. Source: RFC 3376 section 4.1.1, RFC 3810 section 5.1.3.
[[nodiscard]] constexpr std::uint32_t igmp_code_value(std::uint8_t code) noexcept {
  return code < 0x80 ? code : ((code & 0x0fu) | 0x10u) << (((code >> 4u) & 7u) + 3u);
}
[[nodiscard]] constexpr std::uint32_t mld_code_value(std::uint16_t code) noexcept {
  return code < 0x8000 ? code : ((code & 0x0fffu) | 0x1000u) << (((code >> 12u) & 7u) + 3u);
}

/// What an IGMPv3 or MLDv2 report says of a group. Source: RFC 3376 section 4.2.12, RFC 3810 section 5.2.12.
struct GroupRecord {
  enum class Type : std::uint8_t { is_include = 1, is_exclude = 2, to_include = 3, to_exclude = 4 };
  Type type = Type::is_exclude;
  Address group{};
  std::span<const Address> sources{};
};

/// A packet with one IGMPv3 or MLDv2 report, to 224.0.0.22 or ff02::16. Returns its bytes; 0, with nothing written,
/// when `room` is smaller or a length does not fit its field.
[[nodiscard]] std::size_t write_membership_report(Family family, const Address& source,
                                                  std::span<const GroupRecord> records, Room room) noexcept;

/// The messages of the older versions, one group each.
enum class OlderMessage : std::uint8_t { report_v1, report_v2, leave };

/// A packet with one of them, to the group or, a leave, to all routers. IPv6 has no report_v1. Returns its bytes; 0,
/// with nothing written, when `room` is smaller.
[[nodiscard]] std::size_t write_older_membership(OlderMessage message, const Group& group, const Address& source,
                                                 Room room) noexcept;

}  // namespace pfsync::wire
