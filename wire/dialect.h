#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

#include "wire/freebsd.h"
#include "wire/freebsd14.h"
#include "wire/freebsd15.h"
#include "wire/messages.h"
#include "wire/openbsd.h"
#include "wire/state.h"

namespace pfsync::wire {

/// What a message says, whatever dialect and action number say it. `ins` and `upd` stand for the
/// full-state message of every dialect. The order is that of interface outputs.
enum class Message : std::uint8_t { clr, ins, ins_ack, upd, upd_c, upd_req, del, del_c, bus, tdb, eof };

inline constexpr std::array<std::string_view, 11> message_words{"clr", "ins",   "ins_ack", "upd", "upd_c", "upd_req",
                                                                "del", "del_c", "bus",     "tdb", "eof"};
inline constexpr std::size_t message_count = message_words.size();

[[nodiscard]] constexpr std::string_view word(Message message) noexcept {
  return message_words[static_cast<std::size_t>(message)];
}

/// A way to speak pfsync: header version plus, on FreeBSD, the message version that full states have.
/// The message version is nowhere in a packet: only the action numbers of full states tell it.
enum class Dialect : std::uint8_t { freebsd_1301, freebsd_1400, freebsd_1500, openbsd };
inline constexpr std::size_t dialect_count = 4;

/// How a full state or TDB lies in the packet.
enum class Layout : std::uint8_t {
  none,
  common,
  state_1301,
  state_1400,
  state_1500,
  state_openbsd,
  tdb_freebsd,
  tdb_openbsd
};

/// One row of an action table.
struct Action {
  std::uint8_t number;
  Message message;
  Layout layout;
  std::uint16_t record_bytes;  ///< size of one record; 0 for EOF
  std::uint8_t known_to;       ///< bit 1 << Dialect for each kind of kernel that takes it
  std::string_view printed;    ///< the words of that system's pfsync printer
};

/// Everything that reader and writer need to know about a dialect.
struct DialectInfo {
  Dialect dialect;
  std::string_view word;     ///< as in configuration and outputs
  std::string_view systems;  ///< who speaks it, for people
  std::uint8_t header_version;
  bool has_eof;                     ///< packets end with an EOF sub-header
  std::uint16_t section_bytes_max;  ///< larger sections are refused by kernels of this kind; 0 = no limit
  std::uint16_t reserved_bytes;     ///< of the MTU, before the first section
  Layout state_layout;
  std::uint16_t state_bytes;        ///< size of a full state
  std::span<const Action> actions;  ///< of the header version; see Action::known_to
};

/// FreeBSD receivers pull a section into one cluster and refuse what does not fit.
/// Source: FreeBSD sys/kern/uipc_mbuf2.c, m_pulldown(), MCLBYTES.
inline constexpr std::uint16_t freebsd_section_bytes_max = 2048;

namespace known_to {
inline constexpr std::uint8_t v1301 = 1, v1400 = 2, v1500 = 4, openbsd = 8, freebsd = v1301 | v1400 | v1500;
}

/// Actions of header version 5. Source: FreeBSD sys/netpfil/pf/if_pfsync.c, pfsync_acts[].
inline constexpr std::array freebsd_actions{
    Action{0, Message::clr, Layout::common, sizeof(ClrRecord), known_to::freebsd, "clear all"},
    Action{1, Message::ins, Layout::state_1301, sizeof(freebsd::State1301), known_to::freebsd, "insert"},
    Action{2, Message::ins_ack, Layout::common, sizeof(IdRecord), known_to::freebsd, "insert ack"},
    Action{3, Message::upd, Layout::state_1301, sizeof(freebsd::State1301), known_to::freebsd, "update"},
    Action{4, Message::upd_c, Layout::common, sizeof(UpdCRecord), known_to::freebsd, "update compressed"},
    Action{5, Message::upd_req, Layout::common, sizeof(IdRecord), known_to::freebsd, "request uncompressed"},
    Action{6, Message::del, Layout::state_1301, sizeof(freebsd::State1301), known_to::v1301, "delete"},
    Action{7, Message::del_c, Layout::common, sizeof(IdRecord), known_to::freebsd, "delete compressed"},
    Action{10, Message::bus, Layout::common, sizeof(BusRecord), known_to::freebsd, "bulk update status"},
    Action{11, Message::tdb, Layout::tdb_freebsd, sizeof(freebsd::TdbRecord), known_to::freebsd, "tdb"},
    Action{12, Message::eof, Layout::none, 0, known_to::freebsd, "eof"},
    Action{13, Message::ins, Layout::state_1400, sizeof(freebsd::State1400), known_to::v1400 | known_to::v1500,
           "insert 1400"},
    Action{14, Message::upd, Layout::state_1400, sizeof(freebsd::State1400), known_to::v1400 | known_to::v1500,
           "update 1400"},
    Action{15, Message::ins, Layout::state_1500, sizeof(freebsd::State1500), known_to::v1500, "insert 1500"},
    Action{16, Message::upd, Layout::state_1500, sizeof(freebsd::State1500), known_to::v1500, "update 1500"},
};

/// Actions of header version 6. Numbers below 16 that are not here are skipped by OpenBSD.
/// Source: OpenBSD sys/net/if_pfsync.c, pfsync_acts[]; if_pfsync.h, PFSYNC_ACTIONS.
inline constexpr std::array openbsd_actions{
    Action{0, Message::clr, Layout::common, sizeof(ClrRecord), known_to::openbsd, "act CLR ST"},
    Action{2, Message::ins_ack, Layout::common, sizeof(IdRecord), known_to::openbsd, "act INS ST ACK"},
    Action{4, Message::upd_c, Layout::common, sizeof(UpdCRecord), known_to::openbsd, "act UPD ST COMP"},
    Action{5, Message::upd_req, Layout::common, sizeof(IdRecord), known_to::openbsd, "act UPD ST REQ"},
    Action{6, Message::del, Layout::state_openbsd, sizeof(openbsd::StateRecord), known_to::openbsd, "act DEL ST"},
    Action{7, Message::del_c, Layout::common, sizeof(IdRecord), known_to::openbsd, "act DEL ST COMP"},
    Action{10, Message::bus, Layout::common, sizeof(BusRecord), known_to::openbsd, "act BULK UPD STAT"},
    Action{13, Message::ins, Layout::state_openbsd, sizeof(openbsd::StateRecord), known_to::openbsd, "act INS ST"},
    Action{14, Message::upd, Layout::state_openbsd, sizeof(openbsd::StateRecord), known_to::openbsd, "act UPD ST"},
    Action{15, Message::tdb, Layout::tdb_openbsd, sizeof(openbsd::TdbRecord), known_to::openbsd, "act TDB UPD"},
};

/// The bytes reserved are those of the kernels' own senders: IP header, pfsync header and, on FreeBSD, EOF;
/// since 14 the IP header is taken for IPv6's 40 bytes, whatever carries the packet.
/// Source: FreeBSD and OpenBSD sys/netpfil/pf/if_pfsync.c and sys/net/if_pfsync.c, PFSYNC_MINPKT.
inline constexpr std::array dialect_table{
    DialectInfo{Dialect::freebsd_1301, "1301", "FreeBSD 12 and 13", header_version_freebsd, true,
                freebsd_section_bytes_max, 44, Layout::state_1301, sizeof(freebsd::State1301), freebsd_actions},
    DialectInfo{Dialect::freebsd_1400, "1400", "FreeBSD 14", header_version_freebsd, true, freebsd_section_bytes_max,
                64, Layout::state_1400, sizeof(freebsd::State1400), freebsd_actions},
    DialectInfo{Dialect::freebsd_1500, "1500", "FreeBSD 15", header_version_freebsd, true, freebsd_section_bytes_max,
                64, Layout::state_1500, sizeof(freebsd::State1500), freebsd_actions},
    DialectInfo{Dialect::openbsd, "openbsd", "OpenBSD since 4.8", header_version_openbsd, false, 0, 40,
                Layout::state_openbsd, sizeof(openbsd::StateRecord), openbsd_actions},
};
static_assert(dialect_table.size() == dialect_count);

[[nodiscard]] constexpr const DialectInfo& info(Dialect dialect) noexcept {
  return dialect_table[static_cast<std::size_t>(dialect)];
}
[[nodiscard]] constexpr std::string_view word(Dialect dialect) noexcept { return info(dialect).word; }

[[nodiscard]] constexpr std::optional<Dialect> find_dialect(std::string_view word) noexcept {
  for (const DialectInfo& row : dialect_table)
    if (row.word == word) return row.dialect;
  return std::nullopt;
}

/// Whether a kernel of this dialect takes the action. Kernels take the full states of older ones too.
[[nodiscard]] constexpr bool takes(Dialect dialect, const Action& action) noexcept {
  return (action.known_to >> static_cast<unsigned>(dialect) & 1u) != 0;
}

/// Whether the dialect says a message with this action: its own full states, and all that the dialects share.
[[nodiscard]] constexpr bool writes(Dialect dialect, const Action& action) noexcept {
  const bool is_state =
      action.message == Message::ins || action.message == Message::upd || action.message == Message::del;
  return takes(dialect, action) && (!is_state || action.layout == info(dialect).state_layout);
}

namespace detail {

template <std::size_t Numbers, std::size_t Rows>
[[nodiscard]] consteval auto by_number(const std::array<Action, Rows>& rows) {
  std::array<const Action*, Numbers> result{};
  for (const Action& row : rows) result[row.number] = &row;
  return result;
}
inline constexpr auto freebsd_by_number = by_number<17>(freebsd_actions);
inline constexpr auto openbsd_by_number = by_number<openbsd::first_unknown_action>(openbsd_actions);

inline constexpr auto by_message = [] {
  std::array<std::array<const Action*, message_count>, dialect_count> result{};
  for (const DialectInfo& dialect : dialect_table)
    for (const Action& row : dialect.actions)
      if (writes(dialect.dialect, row))
        result[static_cast<std::size_t>(dialect.dialect)][static_cast<std::size_t>(row.message)] = &row;
  return result;
}();

}  // namespace detail

/// The row that we use for an action number of this header version, the union of what its dialects know;
/// null when none knows it.
[[nodiscard]] constexpr const Action* find_action(std::uint8_t header_version, std::uint8_t number) noexcept {
  if (header_version == header_version_freebsd && number < detail::freebsd_by_number.size())
    return detail::freebsd_by_number[number];
  if (header_version == header_version_openbsd && number < detail::openbsd_by_number.size())
    return detail::openbsd_by_number[number];
  return nullptr;
}

/// The row that a dialect writes a message with. Every dialect can write every message but DEL, which
/// FreeBSD 14 and later refuse, and EOF, which OpenBSD does without.
[[nodiscard]] constexpr const Action* find_action(Dialect dialect, Message message) noexcept {
  return detail::by_message[static_cast<std::size_t>(dialect)][static_cast<std::size_t>(message)];
}

[[nodiscard]] constexpr bool is_known_header_version(std::uint8_t version) noexcept {
  return version == header_version_freebsd || version == header_version_openbsd;
}

/// The dialect that the sender of a section speaks, if the section tells: on FreeBSD only full states do.
[[nodiscard]] constexpr std::optional<Dialect> told_dialect(std::uint8_t header_version,
                                                            const Action& action) noexcept {
  if (header_version == header_version_openbsd) return Dialect::openbsd;
  for (const DialectInfo& row : dialect_table)
    if (row.state_layout == action.layout) return row.dialect;
  return std::nullopt;
}

/// Largest pfsync packet, IP header not counted, that a kernel of the dialect would build for this MTU.
/// Contract: mtu >= 576.
[[nodiscard]] constexpr std::size_t payload_bytes_max(Dialect dialect, Family transport, std::size_t mtu) noexcept {
  const DialectInfo& row = info(dialect);
  const std::size_t own = sizeof(Header) + (row.has_eof ? sizeof(Subheader) : 0);
  const std::size_t ip_header = transport == Family::inet6 ? 40 : 20;
  return std::min(mtu - ip_header, mtu - row.reserved_bytes + own);
}

}  // namespace pfsync::wire
