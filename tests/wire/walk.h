#pragma once

#include <optional>
#include <variant>
#include <vector>

#include "wire/convert.h"
#include "wire/packet_reader.h"
#include "wire/packet_writer.h"

/// A whole packet as values, for tests that want to compare two of them.
namespace pfsync::wire::test {

using Body = std::variant<State, Update, StateId, Clear, BulkStatus, Tdb>;

struct ReadMessage {
  Message message;
  Body body;

  friend bool operator==(const ReadMessage&, const ReadMessage&) = default;
};

inline Body read_body(const Action& action, Bytes record) {
  switch (action.message) {
    case Message::ins:
    case Message::upd:
    case Message::del: return read_state(action.layout, record);
    case Message::upd_c: return read_update(action.layout, record);
    case Message::clr: return read_clear(record);
    case Message::bus: return read_bulk_status(record);
    case Message::tdb: return read_tdb(action.layout, record);
    case Message::ins_ack:
    case Message::upd_req:
    case Message::del_c:
    case Message::eof: break;
  }
  return read_id(action.message, action.layout, record);
}

struct Walk {
  std::vector<ReadMessage> messages;
  std::optional<Reject> reject;
  bool eof = false;
  std::uint8_t unknown_action = 0;
  std::size_t skipped = 0;  ///< sections

  friend bool operator==(const Walk&, const Walk&) = default;
};

inline Walk walk(Bytes payload) {
  PacketReader reader{payload};
  Walk result;
  Section section;
  while (reader.next(section)) {
    if (section.action->message == Message::eof)
      result.eof = true;
    else
      for (std::size_t i = 0; i < section.count; ++i)
        result.messages.push_back({section.action->message, read_body(*section.action, section.record(i))});
  }
  result.reject = reader.reject();
  result.unknown_action = reader.unknown_action();
  result.skipped = reader.skipped();
  return result;
}

[[nodiscard]] inline bool append(PacketWriter& writer, const ReadMessage& read) {
  struct Appender {
    PacketWriter& writer;
    Message message;
    bool operator()(const State& state) const { return writer.append_state(message, state); }
    bool operator()(const Update& update) const { return writer.append_update(update); }
    bool operator()(const StateId& id) const { return writer.append_id(message, id); }
    bool operator()(const Clear& clear) const { return writer.append_clear(clear); }
    bool operator()(const BulkStatus& status) const { return writer.append_bulk_status(status); }
    bool operator()(const Tdb& tdb) const { return writer.append_tdb(tdb); }
  };
  return std::visit(Appender{writer, read.message}, read.body);
}

}  // namespace pfsync::wire::test
