#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "wire/messages.h"
#include "wire/state.h"

/// Values as text, in the words and the layout that operators know from `pfctl -ss -vv` and from
/// tcpdump's pfsync printer. Nothing a peer sent reaches a terminal unfiltered: bytes of a name that are
/// not printable ASCII are shown as '?'.
/// Source: FreeBSD sbin/pfctl/pf_print_state.c, print_state(), print_host(), print_seq();
///         contrib/tcpdump/print-pfsync.c. Spelling and spacing were compared with both programs' output.
namespace pfsync::wire {

/// "10.2.0.254:64898", "fd01::2[443]"; port 0 is left out.
[[nodiscard]] std::string host_text(const Address& address, Family family, std::uint16_t port);

/// "tcp", "ipv6-icmp", …; the number where there is no word.
[[nodiscard]] std::string protocol_text(std::uint8_t proto);
/// The number of such a word; nullopt when there is none.
[[nodiscard]] std::optional<std::uint8_t> find_protocol(std::string_view word);

/// "ESTABLISHED:ESTABLISHED", "MULTIPLE:SINGLE", "0:0" for ICMP, "PROXY:SRC".
[[nodiscard]] std::string levels_text(std::uint8_t proto, std::uint8_t left, std::uint8_t right);

/// The words of pf.conf(5) for a PFTM_* index, as "tcp.established"; the number where there is none.
[[nodiscard]] std::string timeout_text(std::uint8_t timeout);

/// "01:02:05". Units: seconds; hours are not limited to two digits.
[[nodiscard]] std::string duration_text(std::uint32_t seconds);

/// "id: 000000006b03a1a3 creatorid: 97bc0c81".
[[nodiscard]] std::string id_text(StateId id);

/// "[3101188114 + 86016] wscale 10  [3429298741 + 86016] wscale 10": sequence windows, the side that
/// is printed first in front. The scale is shown only when both ends offered one.
[[nodiscard]] std::string window_text(const Peer& left, const Peer& right);

/// A state as `pfctl -ss -vv` prints it: three lines, four for TCP, each with its newline. The near
/// side comes first, so src is left for direction out and right for direction in.
[[nodiscard]] std::string state_text(const State& state);
/// The same words on one line, without a newline.
[[nodiscard]] std::string state_line(const State& state);

/// Messages, one line each, without a newline.
[[nodiscard]] std::string update_line(const Update& update);
[[nodiscard]] std::string clear_line(const Clear& clear);
[[nodiscard]] std::string bulk_status_line(const BulkStatus& status);
[[nodiscard]] std::string tdb_line(const Tdb& tdb);

/// The name with unprintable bytes replaced.
[[nodiscard]] std::string printable(std::string_view name);

}  // namespace pfsync::wire
