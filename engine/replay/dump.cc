#include "engine/replay/dump.h"

#include <algorithm>
#include <array>
#include <cstdio>
#include <ctime>
#include <optional>

#include "wire/address.h"
#include "wire/convert.h"
#include "wire/dialect.h"
#include "wire/ip.h"
#include "wire/packet_reader.h"
#include "wire/reject.h"
#include "wire/text.h"

namespace pfsync::engine::replay {
namespace {

/// "2020-03-21T14:32:01.123456Z".
std::string time_text(std::chrono::nanoseconds unix_time) {
  const auto us = std::chrono::duration_cast<std::chrono::microseconds>(unix_time).count();
  const auto s = static_cast<std::time_t>(us / 1'000'000);
  std::tm utc{};
  gmtime_r(&s, &utc);
  std::array<char, 40> text{};
  const std::size_t n = std::strftime(text.data(), text.size(), "%Y-%m-%dT%H:%M:%S", &utc);
  std::snprintf(text.data() + n, text.size() - n, ".%06ldZ", static_cast<long>(us % 1'000'000));
  return text.data();
}

std::string message_line(const wire::Action& action, wire::Bytes record) {
  using wire::Message;
  switch (action.message) {
    case Message::ins:
    case Message::upd:
    case Message::del: return wire::state_line(wire::read_state(action.layout, record));
    case Message::upd_c: return wire::update_line(wire::read_update(action.layout, record));
    case Message::ins_ack:
    case Message::upd_req:
    case Message::del_c: return wire::id_text(wire::read_id(action.message, action.layout, record));
    case Message::clr: return wire::clear_line(wire::read_clear(record));
    case Message::bus: return wire::bulk_status_line(wire::read_bulk_status(record));
    case Message::tdb: return wire::tdb_line(wire::read_tdb(action.layout, record));
    case Message::eof: break;
  }
  return {};
}

std::string reject_line(wire::Reject reject) {
  return "    " + std::string{wire::word(reject)} + ": " +
         std::string{wire::reject_table[static_cast<std::size_t>(reject)].sentence};
}

/// What the packet itself tells of its sender: the newest of the dialects in it.
std::optional<wire::Dialect> dialect_of(wire::Bytes payload) {
  std::optional<wire::Dialect> dialect;
  wire::PacketReader reader{payload};
  for (wire::Section section; reader.next(section);)
    if (const auto told = wire::told_dialect(reader.header().version, *section.action))
      dialect = std::max(dialect, told);
  return dialect;
}

}  // namespace

std::string dump_text(std::chrono::nanoseconds unix_time, wire::Bytes ip_packet) {
  std::string text = time_text(unix_time) + " ";
  const auto ip = wire::read_ip(ip_packet);
  if (ip.reject)
    return text + "unreadable IP packet, " + std::to_string(ip_packet.size()) + " bytes\n" + reject_line(*ip.reject) +
           "\n";
  text += wire::to_string(ip.packet.source, ip.packet.family) + " > " +
          wire::to_string(ip.packet.destination, ip.packet.family) + ": ";

  wire::PacketReader reader{ip.packet.payload};
  if (reader.reject() == wire::Reject::hdrops)
    return text + "pfsync, " + std::to_string(ip.packet.payload.size()) + " bytes\n" + reject_line(*reader.reject()) +
           "\n";
  text += "PFSYNCv" + std::to_string(reader.header().version) + " len " + std::to_string(reader.header().len.host());
  if (const auto dialect = dialect_of(ip.packet.payload)) text += " dialect " + std::string{wire::word(*dialect)};
  text += "\n";
  if (ip.packet.ttl != wire::link_local_ttl)
    text += reject_line(wire::Reject::badttl) + " (" + std::to_string(ip.packet.ttl) + ")\n";

  wire::Section section;
  while (reader.next(section)) {
    text += "    " + std::string{section.action->printed} + " count " + std::to_string(section.count) + "\n";
    if (section.record_bytes == 0) continue;
    for (std::size_t i = 0; i < section.count; ++i)
      text.append("\t").append(message_line(*section.action, section.record(i))).append("\n");
  }
  if (reader.skipped() > 0)
    text += "    sections_skipped: " + std::to_string(reader.skipped()) +
            " that this does not know, or of too short records\n";
  if (reader.reject()) {
    text += reject_line(*reader.reject());
    if (reader.reject() == wire::Reject::badact)
      text += " (act UNKNOWN id " + std::to_string(reader.unknown_action()) + ")";
    text += "\n";
  }
  return text;
}

}  // namespace pfsync::engine::replay
