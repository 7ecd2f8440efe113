#include "wire/packet_writer.h"

#include <algorithm>
#include <limits>

namespace pfsync::wire {
namespace {

// What fits an IP packet of 65535 bytes with the larger of the two headers. In more room than that
// header.len, 16 bits wide, would wrap.
constexpr std::size_t packet_bytes_max = 0xffff - 40;

}  // namespace

PacketWriter::PacketWriter(Dialect dialect, Room room, const Checksum& pfcksum) noexcept
    : dialect_{&info(dialect)}, room_{room.first(std::min(room.size(), packet_bytes_max))}, pfcksum_{pfcksum} {
  const std::size_t eof = dialect_->has_eof ? sizeof(Subheader) : 0;
  end_ = room_.size() - std::min(eof, room_.size());
}

inline bool PacketWriter::section_takes(const Action& action) const noexcept {
  return section_action_ == &action && section_count_ < section_count_max_;
}

bool PacketWriter::fits(Message message) const noexcept {
  const Action* action = find_action(dialect_->dialect, message);
  return action != nullptr && used_ + (section_takes(*action) ? 0 : sizeof(Subheader)) + action->record_bytes <= end_;
}

/// The count is known once the section is complete, and written then.
void PacketWriter::close_section() noexcept {
  if (section_action_ == nullptr) return;
  const std::size_t words = dialect_->header_version == header_version_openbsd ? section_action_->record_bytes / 4 : 0;
  store(room_, section_, Subheader{section_action_->number, static_cast<std::uint8_t>(words), Be16{section_count_}});
}

bool PacketWriter::open_section(const Action& action) noexcept {
  if (used_ + sizeof(Subheader) + action.record_bytes > end_) return false;
  close_section();
  section_ = used_;
  section_action_ = &action;
  section_count_ = 0;
  section_count_max_ = dialect_->section_bytes_max == 0
                           ? std::numeric_limits<std::uint16_t>::max()
                           : static_cast<std::uint16_t>(dialect_->section_bytes_max / action.record_bytes);
  used_ += sizeof(Subheader);
  return true;
}

inline Room PacketWriter::take(const Action& action) noexcept {
  if (!section_takes(action)) {
    if (!open_section(action)) return {};
  } else if (used_ + action.record_bytes > end_) {
    return {};
  }
  ++section_count_;
  const Room record{room_.data() + used_, action.record_bytes};
  used_ += action.record_bytes;
  return record;
}

bool PacketWriter::append_state(Message ins_or_upd, const State& state) noexcept {
  const Action* action = find_action(dialect_->dialect, ins_or_upd);
  if (action == nullptr || action->layout != dialect_->state_layout) return false;
  const Room record = take(*action);
  if (record.empty()) return false;
  write_state(action->layout, state, record);
  return true;
}

bool PacketWriter::append_update(const Update& update) noexcept {
  const Room record = take(*find_action(dialect_->dialect, Message::upd_c));
  if (record.empty()) return false;
  write_update(dialect_->dialect, update, record);
  return true;
}

bool PacketWriter::append_id(Message message, StateId id) noexcept {
  if (message != Message::ins_ack && message != Message::upd_req && message != Message::del_c) return false;
  const Room record = take(*find_action(dialect_->dialect, message));
  if (record.empty()) return false;
  write_id(id, record);
  return true;
}

bool PacketWriter::append_clear(const Clear& clear) noexcept {
  const Room record = take(*find_action(dialect_->dialect, Message::clr));
  if (record.empty()) return false;
  write_clear(clear, record);
  return true;
}

bool PacketWriter::append_bulk_status(const BulkStatus& status) noexcept {
  const Room record = take(*find_action(dialect_->dialect, Message::bus));
  if (record.empty()) return false;
  write_bulk_status(status, record);
  return true;
}

bool PacketWriter::append_tdb(const Tdb& tdb) noexcept {
  const Action* action = find_action(dialect_->dialect, Message::tdb);
  if (action == nullptr) return false;
  const Room record = take(*action);
  if (record.empty()) return false;
  write_tdb(action->layout, tdb, record);
  return true;
}

std::size_t PacketWriter::finish() noexcept {
  close_section();
  if (dialect_->has_eof) {
    store(room_, used_, Subheader{find_action(dialect_->dialect, Message::eof)->number, 0, Be16{1}});
    used_ += sizeof(Subheader);
  }
  store(room_, 0, Header{dialect_->header_version, 0, Be16{static_cast<std::uint16_t>(used_)}, pfcksum_});
  return used_;
}

}  // namespace pfsync::wire
