#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "wire/freebsd.h"
#include "wire/messages.h"

namespace pfsync::wire {

/// What a message says, whatever dialect and action number say it. `ins` and `upd` stand for the
/// full-state message of every dialect. The order is that of interface outputs.
enum class Message : std::uint8_t { clr, ins, ins_ack, upd, upd_c, upd_req, del, del_c, bus, tdb, eof };

inline constexpr std::array<std::string_view, 11> message_words{"clr", "ins", "ins_ack", "upd", "upd_c", "upd_req",
                                                                "del", "del_c", "bus",   "tdb", "eof"};
inline constexpr std::size_t message_count = message_words.size();

[[nodiscard]] constexpr std::string_view word(Message message) noexcept {
  return message_words[static_cast<std::size_t>(message)];
}

/// A way to speak pfsync: header version plus, on FreeBSD, the message version that full states have.
enum class Dialect : std::uint8_t { freebsd_1301 };

/// How a full state or TDB lies in the packet.
enum class Layout : std::uint8_t { none, common, state_1301, tdb_freebsd };

/// One row of a dialect's action table.
struct Action {
  std::uint8_t number;
  Message message;
  Layout layout;
  std::uint16_t record_bytes;  ///< size of one record; 0 for EOF
  std::string_view printed;    ///< the words of tcpdump's pfsync printer
};

/// Everything that reader and writer need to know about a dialect.
struct DialectInfo {
  Dialect dialect;
  std::string_view word;              ///< as in configuration and outputs
  std::uint8_t header_version;
  bool has_eof;                       ///< packets end with an EOF sub-header
  std::uint16_t section_bytes_max;    ///< larger sections are refused by kernels of this kind; 0 = no limit
  std::uint16_t state_bytes;          ///< size of a full state
  std::span<const Action> actions;    ///< what is read, by any node of this header version
};

/// FreeBSD receivers pull a section into one cluster and refuse what does not fit.
/// Source: FreeBSD sys/kern/uipc_mbuf2.c, m_pulldown(), MCLBYTES.
inline constexpr std::uint16_t freebsd_section_bytes_max = 2048;

/// Actions of header version 5. Source: FreeBSD sys/netpfil/pf/if_pfsync.c, pfsync_acts[].
inline constexpr std::array freebsd_actions{
    Action{0, Message::clr, Layout::common, sizeof(ClrRecord), "clear all"},
    Action{1, Message::ins, Layout::state_1301, sizeof(freebsd::State1301), "insert"},
    Action{2, Message::ins_ack, Layout::common, sizeof(IdRecord), "insert ack"},
    Action{3, Message::upd, Layout::state_1301, sizeof(freebsd::State1301), "update"},
    Action{4, Message::upd_c, Layout::common, sizeof(UpdCRecord), "update compressed"},
    Action{5, Message::upd_req, Layout::common, sizeof(IdRecord), "request uncompressed"},
    Action{6, Message::del, Layout::state_1301, sizeof(freebsd::State1301), "delete"},
    Action{7, Message::del_c, Layout::common, sizeof(IdRecord), "delete compressed"},
    Action{10, Message::bus, Layout::common, sizeof(BusRecord), "bulk update status"},
    Action{11, Message::tdb, Layout::tdb_freebsd, sizeof(freebsd::TdbRecord), "tdb"},
    Action{12, Message::eof, Layout::none, 0, "eof"},
};

inline constexpr std::array dialect_table{
    DialectInfo{Dialect::freebsd_1301, "1301", header_version_freebsd, true, freebsd_section_bytes_max,
                sizeof(freebsd::State1301), freebsd_actions},
};

[[nodiscard]] constexpr const DialectInfo& info(Dialect dialect) noexcept {
  return dialect_table[static_cast<std::size_t>(dialect)];
}

/// The row that a receiver of this header version uses for an action number; null when it knows none.
[[nodiscard]] constexpr const Action* find_action(std::uint8_t header_version, std::uint8_t number) noexcept {
  if (header_version != header_version_freebsd) return nullptr;
  for (const Action& action : freebsd_actions)
    if (action.number == number) return &action;
  return nullptr;
}

/// The row that a dialect writes a message with; every dialect can write every message but DEL.
[[nodiscard]] constexpr const Action* find_action(Dialect dialect, Message message) noexcept {
  for (const Action& action : info(dialect).actions)
    if (action.message == message) return &action;
  return nullptr;
}

[[nodiscard]] constexpr bool is_known_header_version(std::uint8_t version) noexcept {
  return version == header_version_freebsd;
}

}  // namespace pfsync::wire
