#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace pfsync::engine {

/// PFTM_* indexes. Source: FreeBSD sys/netpfil/pf/pf.h, enum with PFTM_TCP_FIRST_PACKET.
namespace pftm {
inline constexpr std::uint8_t tcp_first_packet = 0, tcp_opening = 1, tcp_established = 2, tcp_closing = 3,
                              tcp_fin_wait = 4, tcp_closed = 5, udp_first_packet = 6, udp_single = 7, udp_multiple = 8,
                              icmp_first_packet = 9, icmp_error_reply = 10, other_first_packet = 11, other_single = 12,
                              other_multiple = 13, frag = 14, interval = 15, adaptive_start = 16, adaptive_end = 17,
                              src_node = 18, ts_diff = 19, sctp_first_packet = 20, sctp_opening = 21,
                              sctp_established = 22, sctp_closing = 23, sctp_closed = 24;
}
/// First invalid index: 25 since FreeBSD 14 knows SCTP (20 before; all are accepted here).
inline constexpr std::uint8_t pftm_max = 25;

/// Seconds by PFTM_* index, and the two adaptive limits in states. Names as in pf.conf(5).
struct Timeouts {
  std::array<std::uint32_t, pftm_max> value{120, 30, 86400, 900,   45,     90, 60, 30,  60, 20,    10,  60, 30,
                                            60,  30, 10,    60000, 120000, 0,  30, 120, 30, 86400, 900, 90};

  friend bool operator==(const Timeouts&, const Timeouts&) = default;

  /// The timeout in seconds for an index, shortened in proportion when more than adaptive.start states
  /// are held (0 disables). Contract: index < pftm_max.
  /// Source: FreeBSD sys/netpfil/pf/pf.c, pf_state_expires().
  [[nodiscard]] constexpr std::uint32_t seconds(std::uint8_t index, std::size_t states) const noexcept {
    const std::uint64_t timeout = value[index];
    const std::uint64_t start = value[pftm::adaptive_start], end = value[pftm::adaptive_end];
    if (start == 0 || end <= start || states <= start) return static_cast<std::uint32_t>(timeout);
    if (states >= end) return 0;
    return static_cast<std::uint32_t>(timeout * (end - states) / (end - start));
  }
};

struct TimeoutName {
  std::uint8_t index;
  std::string_view name;
};
/// The names that `[table.timeouts]` takes, as pf.conf(5) writes them with '_' for '.'.
inline constexpr std::array timeout_names{
    TimeoutName{pftm::tcp_first_packet, "tcp_first"},        TimeoutName{pftm::tcp_opening, "tcp_opening"},
    TimeoutName{pftm::tcp_established, "tcp_established"},   TimeoutName{pftm::tcp_closing, "tcp_closing"},
    TimeoutName{pftm::tcp_fin_wait, "tcp_finwait"},          TimeoutName{pftm::tcp_closed, "tcp_closed"},
    TimeoutName{pftm::udp_first_packet, "udp_first"},        TimeoutName{pftm::udp_single, "udp_single"},
    TimeoutName{pftm::udp_multiple, "udp_multiple"},         TimeoutName{pftm::icmp_first_packet, "icmp_first"},
    TimeoutName{pftm::icmp_error_reply, "icmp_error"},       TimeoutName{pftm::other_first_packet, "other_first"},
    TimeoutName{pftm::other_single, "other_single"},         TimeoutName{pftm::other_multiple, "other_multiple"},
    TimeoutName{pftm::adaptive_start, "adaptive_start"},     TimeoutName{pftm::adaptive_end, "adaptive_end"},
    TimeoutName{pftm::sctp_first_packet, "sctp_first"},      TimeoutName{pftm::sctp_opening, "sctp_opening"},
    TimeoutName{pftm::sctp_established, "sctp_established"}, TimeoutName{pftm::sctp_closing, "sctp_closing"},
    TimeoutName{pftm::sctp_closed, "sctp_closed"},
};

}  // namespace pfsync::engine
