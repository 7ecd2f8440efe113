#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

#include "wire/bytes.h"
#include "wire/convert.h"
#include "wire/dialect.h"
#include "wire/messages.h"
#include "wire/state.h"

namespace pfsync::wire {

/// Fills one pfsync packet (what follows the IP header) in room that the caller owns. Messages of one
/// kind in a row share a section; a section is closed before it exceeds what receivers of the dialect
/// take, and another of the same action follows. Every byte up to `finish()` is written.
/// Contract: room.size() >= smallest_room; what exceeds one IP packet is not used. Every append returns
///           false, and changes nothing, when the message no longer fits: finish, send, start another.
/// Source:   FreeBSD sys/netpfil/pf/if_pfsync.c, pfsync_sendout().
class PacketWriter {
 public:
  using Checksum = std::array<std::uint8_t, 16>;

  /// Header, one section with the largest state, EOF.
  static constexpr std::size_t smallest_room = sizeof(Header) + 2 * sizeof(Subheader) + 360;

  PacketWriter(Dialect dialect, Room room, const Checksum& pfcksum = {}) noexcept;

  [[nodiscard]] bool append_state(Message ins_or_upd, const State& state) noexcept {
    return append_states(ins_or_upd, {&state, 1}) == 1;
  }
  [[nodiscard]] bool append_update(const Update& update) noexcept { return append_updates({&update, 1}) == 1; }
  /// As many as fit, from the front; returns how many. Room is looked for once a section, not once a message.
  [[nodiscard]] std::size_t append_states(Message ins_or_upd, std::span<const State> states) noexcept;
  [[nodiscard]] std::size_t append_updates(std::span<const Update> updates) noexcept;
  /// For INS_ACK, UPD_REQ and DEL_C; false for any other.
  [[nodiscard]] bool append_id(Message message, StateId id) noexcept;
  [[nodiscard]] bool append_clear(const Clear& clear) noexcept;
  [[nodiscard]] bool append_bulk_status(const BulkStatus& status) noexcept;
  [[nodiscard]] bool append_tdb(const Tdb& tdb) noexcept;

  [[nodiscard]] bool empty() const noexcept { return used_ == sizeof(Header); }
  /// Whether one more message of this kind would fit now.
  [[nodiscard]] bool fits(Message message) const noexcept;

  /// Completes the header (and EOF where the dialect has one); returns the packet's size in bytes.
  [[nodiscard]] std::size_t finish() noexcept;

 private:
  /// Room for one record, in the open section or a new one; empty when it does not fit.
  [[nodiscard]] Room take(const Action& action) noexcept;
  /// The same for up to `wanted` records in a row, which end where `used_` then is; how many.
  [[nodiscard]] std::size_t count_taken(const Action& action, std::size_t wanted) noexcept;
  [[nodiscard]] bool section_takes(const Action& action) const noexcept;
  [[nodiscard]] bool open_section(const Action& action) noexcept;
  void close_section() noexcept;
  void store_subheader(std::size_t at, std::uint8_t action, std::size_t words, std::uint16_t count) noexcept;

  const DialectInfo* dialect_;
  Room room_;
  Checksum pfcksum_;
  std::size_t used_ = sizeof(Header);
  std::size_t section_ = 0;  ///< offset of the open sub-header; 0 = none
  const Action* section_action_ = nullptr;
  std::uint16_t section_count_ = 0;
  std::size_t section_end_ = 0;  ///< what receivers take of the open section
  std::size_t end_;              ///< no section reaches past this: behind it EOF has its place
};

}  // namespace pfsync::wire
