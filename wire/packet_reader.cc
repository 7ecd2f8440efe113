#include "wire/packet_reader.h"

namespace pfsync::wire {

PacketReader::PacketReader(Bytes payload) noexcept : payload_{payload} {
  if (payload.size() < sizeof(Header)) {
    stop(Reject::hdrops);
    return;
  }
  header_ = load<Header>(payload, 0);
  if (!is_known_header_version(header_.version)) {
    stop(Reject::badver);
    return;
  }
  const std::size_t len = header_.len.host();
  if (len < sizeof(Header) || len > payload.size()) {
    stop(Reject::badlen);
    return;
  }
  end_ = len;
}

bool PacketReader::next(Section& section) noexcept {
  while (offset_ + sizeof(Subheader) <= end_) {
    const auto subheader = load<Subheader>(payload_, offset_);
    offset_ += sizeof(Subheader);

    const Action* action = find_action(header_.version, subheader.action);
    const std::uint16_t count = subheader.count.host();
    std::size_t record_bytes = action == nullptr ? 0 : action->record_bytes;
    if (header_.version == header_version_openbsd) {
      // The sub-header tells the size: a newer sender's records may be longer than ours, and what we do not
      // know, or is too short to be it, can be stepped over.
      const std::size_t told_bytes = std::size_t{subheader.len_words} * 4;
      const bool usable = action != nullptr && told_bytes >= record_bytes;
      const bool never_sent = action != nullptr || subheader.action >= openbsd::first_unknown_action;
      if (!usable && never_sent && (count == 0 || told_bytes == 0)) return stop_at(subheader.action);
      if (std::size_t{count} * told_bytes > end_ - offset_) return stop(Reject::badlen);
      if (!usable) {
        offset_ += count * told_bytes;
        ++skipped_;
        continue;
      }
      record_bytes = told_bytes;
    } else if (action == nullptr) {
      return stop_at(subheader.action);
    } else if (action->message == Message::eof) {
      section = Section{action, count, 0, {}};
      // What lies behind EOF is not read. The FreeBSD kernel of the 14.0 era sends 20 bytes of garbage
      // there; its peers count one badlen a packet and have applied everything by then.
      const bool at_end = offset_ == payload_.size();
      end_ = 0;
      if (!at_end) reject_ = Reject::badlen;
      return true;
    }
    const std::size_t bytes = count * record_bytes;
    if (bytes > end_ - offset_) return stop(Reject::badlen);
    section = Section{action, count, static_cast<std::uint16_t>(record_bytes), payload_.subspan(offset_, bytes)};
    offset_ += bytes;
    return true;
  }
  return stop(reject_);  // fewer than 4 bytes left: the end
}

bool PacketReader::stop_at(std::uint8_t unknown_action) noexcept {
  unknown_action_ = unknown_action;
  return stop(Reject::badact);
}

bool PacketReader::stop(std::optional<Reject> why) noexcept {
  end_ = 0;
  reject_ = why;
  return false;
}

bool has_only_updates(Bytes payload) noexcept {
  PacketReader reader{payload};
  Section section;
  bool has_updates = false;
  while (reader.next(section)) {
    if (section.action->message != Message::upd_c && section.action->message != Message::eof) return false;
    has_updates |= section.action->message == Message::upd_c;
  }
  return has_updates && !reader.reject() && reader.skipped() == 0;
}

}  // namespace pfsync::wire
