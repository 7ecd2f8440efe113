#pragma once

#include <cstddef>

#include "wire/packet_reader.h"

namespace pfsync::sim {

/// Calls visit(message, layout, record) for each message of a packet.
void for_each_message(wire::Bytes packet, const auto& visit) {
  wire::PacketReader reader{packet};
  wire::Section section;
  while (reader.next(section))
    for (std::size_t i = 0; i < section.count && section.action->message != wire::Message::eof; ++i)
      visit(section.action->message, section.action->layout, section.record(i));
}

[[nodiscard]] constexpr bool names_a_state(wire::Message message) {
  return message != wire::Message::clr && message != wire::Message::bus && message != wire::Message::tdb &&
         message != wire::Message::eof;
}
[[nodiscard]] constexpr bool tells_content(wire::Message message) {
  return message == wire::Message::ins || message == wire::Message::upd || message == wire::Message::upd_c;
}
[[nodiscard]] constexpr bool is_end(wire::Message message) {
  return message == wire::Message::del || message == wire::Message::del_c;
}

}  // namespace pfsync::sim
