#include "wire/packet_writer.h"

#include <algorithm>

namespace pfsync::wire {
namespace {

// What fits an IP packet of 65535 bytes with the larger of the two headers. In more room than that
// header.len, 16 bits wide, would wrap.
constexpr std::size_t packet_bytes_max = 0xffff - 40;

}  // namespace

PacketWriter::PacketWriter(Dialect dialect, Room room, const Checksum& pfcksum) noexcept
    : dialect_{&info(dialect)}, room_{room.first(std::min(room.size(), packet_bytes_max))}, pfcksum_{pfcksum} {}

bool PacketWriter::section_takes(const Action& action) const noexcept {
  if (section_action_ != &action) return false;
  const std::size_t bytes = std::size_t{section_count_ + 1u} * action.record_bytes;
  return dialect_->section_bytes_max == 0 || bytes <= dialect_->section_bytes_max;
}

bool PacketWriter::fits(Message message) const noexcept {
  const Action* action = find_action(dialect_->dialect, message);
  if (action == nullptr) return false;
  const std::size_t eof = dialect_->has_eof ? sizeof(Subheader) : 0;
  const std::size_t subheader = section_takes(*action) ? 0 : sizeof(Subheader);
  return used_ + subheader + action->record_bytes + eof <= room_.size();
}

Room PacketWriter::take(const Action& action) noexcept {
  if (!fits(action.message)) return {};
  if (!section_takes(action)) {
    section_ = used_;
    section_action_ = &action;
    section_count_ = 0;
    used_ += sizeof(Subheader);
  }
  ++section_count_;
  const std::uint8_t words =
      dialect_->header_version == header_version_openbsd ? static_cast<std::uint8_t>(action.record_bytes / 4) : 0;
  store(room_, section_, Subheader{action.number, words, Be16{section_count_}});
  const Room record = room_.subspan(used_, action.record_bytes);
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
  if (dialect_->has_eof) {
    store(room_, used_, Subheader{find_action(dialect_->dialect, Message::eof)->number, 0, Be16{1}});
    used_ += sizeof(Subheader);
  }
  store(room_, 0, Header{dialect_->header_version, 0, Be16{static_cast<std::uint16_t>(used_)}, pfcksum_});
  return used_;
}

}  // namespace pfsync::wire
