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
  if (offset_ + sizeof(Subheader) > end_) return stop(reject_);  // fewer than 4 bytes left: the end

  const auto subheader = load<Subheader>(payload_, offset_);
  offset_ += sizeof(Subheader);

  const Action* action = find_action(header_.version, subheader.action);
  if (action == nullptr) {
    unknown_action_ = subheader.action;
    return stop(Reject::badact);
  }
  const std::uint16_t count = subheader.count.host();
  if (action->message == Message::eof) {
    section = Section{action, count, 0, {}};
    // What lies behind EOF is not read. The FreeBSD kernel of the 14.0 era sends 20 bytes of garbage
    // there; its peers count one badlen a packet and have applied everything by then.
    const bool at_end = offset_ == payload_.size();
    end_ = 0;
    if (!at_end) reject_ = Reject::badlen;
    return true;
  }
  const std::size_t bytes = std::size_t{count} * action->record_bytes;
  if (bytes > end_ - offset_) return stop(Reject::badlen);
  section = Section{action, count, action->record_bytes, payload_.subspan(offset_, bytes)};
  offset_ += bytes;
  return true;
}

bool PacketReader::stop(std::optional<Reject> why) noexcept {
  end_ = 0;
  reject_ = why;
  return false;
}

}  // namespace pfsync::wire
