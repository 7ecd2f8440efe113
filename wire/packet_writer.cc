#include "wire/packet_writer.h"

#include <algorithm>

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
  return section_action_ == &action && used_ + action.record_bytes <= section_end_;
}

bool PacketWriter::fits(Message message) const noexcept {
  const Action* action = find_action(dialect_->dialect, message);
  return action != nullptr && (section_takes(*action) || used_ + sizeof(Subheader) + action->record_bytes <= end_);
}

/// As one word, for the reason in finish().
inline void PacketWriter::store_subheader(std::size_t at, std::uint8_t action, std::size_t words,
                                          std::uint16_t count) noexcept {
  static_assert(sizeof(Subheader) == 4 && offsetof(Subheader, count) == 2);
  store(room_, at, Be32{std::uint32_t{action} << 24u | static_cast<std::uint32_t>(words << 16u) | count});
}

/// The count is known once the section is complete, and written then.
void PacketWriter::close_section() noexcept {
  if (section_action_ == nullptr) return;
  const std::size_t words = dialect_->header_version == header_version_openbsd ? section_action_->record_bytes / 4 : 0;
  store_subheader(section_, section_action_->number, words, section_count_);
}

bool PacketWriter::open_section(const Action& action) noexcept {
  if (used_ + sizeof(Subheader) + action.record_bytes > end_) return false;
  close_section();
  section_ = used_;
  section_action_ = &action;
  section_count_ = 0;
  used_ += sizeof(Subheader);
  section_end_ = dialect_->section_bytes_max == 0 ? end_ : std::min(end_, used_ + dialect_->section_bytes_max);
  return true;
}

/// Contract: wanted > 0.
inline std::size_t PacketWriter::count_taken(const Action& action, std::size_t wanted) noexcept {
  if (!section_takes(action) && !open_section(action)) return 0;
  std::uint32_t count = 1;
  if (wanted > 1) {  // 32 bits: a 64-bit division takes twice as long
    count = static_cast<std::uint32_t>(section_end_ - used_) / std::uint32_t{action.record_bytes};
    if (wanted < count) count = static_cast<std::uint32_t>(wanted);
  }
  section_count_ = static_cast<std::uint16_t>(section_count_ + count);
  used_ += std::size_t{count} * action.record_bytes;
  return count;
}

inline Room PacketWriter::take(const Action& action) noexcept {
  return count_taken(action, 1) == 0 ? Room{} : room_.subspan(used_ - action.record_bytes, action.record_bytes);
}

std::size_t PacketWriter::append_states(Message ins_or_upd, std::span<const State> states) noexcept {
  const Action* action = find_action(dialect_->dialect, ins_or_upd);
  if (action == nullptr || action->layout != dialect_->state_layout) return 0;
  std::size_t done = 0;
  while (done < states.size()) {
    const std::size_t count = count_taken(*action, states.size() - done);
    if (count == 0) break;
    const std::size_t bytes = count * action->record_bytes;
    write_states(action->layout, states.subspan(done, count), room_.subspan(used_ - bytes, bytes));
    done += count;
  }
  return done;
}

std::size_t PacketWriter::append_updates(std::span<const Update> updates) noexcept {
  const Action& action = *find_action(dialect_->dialect, Message::upd_c);
  std::size_t done = 0;
  while (done < updates.size()) {
    const std::size_t count = count_taken(action, updates.size() - done);
    if (count == 0) break;
    const std::size_t bytes = count * sizeof(UpdCRecord);
    write_updates(dialect_->dialect, updates.subspan(done, count), room_.subspan(used_ - bytes, bytes));
    done += count;
  }
  return done;
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
    constexpr std::uint8_t eof =
        find_action(Dialect::freebsd_1301, Message::eof)->number;  // and no other dialect's differs
    store_subheader(used_, eof, 0, 1);
    used_ += sizeof(Subheader);
  }
  // Each part where it goes: a Header made elsewhere and copied here would wait for its own narrow stores.
  store(room_, 0, std::array{dialect_->header_version, std::uint8_t{0}});
  store(room_, offsetof(Header, len), Be16{static_cast<std::uint16_t>(used_)});
  store(room_, offsetof(Header, pfcksum), pfcksum_);
  return used_;
}

}  // namespace pfsync::wire
