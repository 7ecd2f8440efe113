#include "engine/replay/survey.h"

#include <algorithm>
#include <optional>
#include <utility>
#include <vector>

#include "wire/convert.h"
#include "wire/dialect.h"
#include "wire/ip.h"
#include "wire/packet_reader.h"

namespace pfsync::engine::replay {
namespace {

constexpr std::string_view unknown = "unknown";

bool is_full_state(wire::Message message) noexcept {
  return message == wire::Message::ins || message == wire::Message::upd || message == wire::Message::del;
}

/// The only dialect of a header version, when there is just one.
std::optional<std::string_view> only_dialect(std::uint8_t header_version) noexcept {
  std::optional<std::string_view> found;
  for (const wire::DialectInfo& dialect : wire::dialect_table) {
    if (dialect.header_version != header_version) continue;
    if (found) return std::nullopt;
    found = dialect.word;
  }
  return found;
}

/// The dialect whose full states have this size.
std::optional<std::string_view> dialect_of_states(std::uint8_t header_version, std::size_t state_bytes) noexcept {
  for (const wire::DialectInfo& dialect : wire::dialect_table)
    if (dialect.header_version == header_version && dialect.state_bytes == state_bytes) return dialect.word;
  return std::nullopt;
}

/// The dialect of one packet, if it tells; collects the ids of its full states.
std::optional<std::string_view> read_packet(wire::Bytes payload, std::vector<wire::StateId>& ids) {
  std::optional<std::string_view> dialect;
  wire::PacketReader reader{payload};
  wire::Section section;
  while (reader.next(section)) {
    if (section.count == 0 || !is_full_state(section.action->message)) continue;
    dialect = dialect_of_states(reader.header().version, section.action->record_bytes);
    for (std::size_t i = 0; i < section.count; ++i)
      ids.push_back(wire::read_id(section.action->message, section.action->layout, section.record(i)));
  }
  if (dialect || reader.reject() == wire::Reject::hdrops) return dialect;
  // Version 5 has several dialects, so that its other messages tell nothing; which is so even while this
  // program knows only one of them.
  if (reader.header().version == wire::header_version_freebsd) return std::nullopt;
  return only_dialect(reader.header().version);
}

struct Source {
  std::optional<std::string_view> dialect;
  std::uint64_t frames_before = 0;  ///< heard before the source told its dialect
};

}  // namespace

Survey survey(const Capture& capture) {
  Survey result;
  std::map<std::pair<wire::Family, wire::Address>, Source> sources;
  std::vector<wire::StateId> ids;
  for (const Capture::Packet& packet : capture.packets()) {
    const auto ip = wire::read_ip(capture.bytes(packet));
    if (ip.reject) {
      ++result.dialect_frames[unknown];
      continue;
    }
    Source& source = sources[{ip.packet.family, ip.packet.source}];
    if (const auto dialect = read_packet(ip.packet.payload, ids)) source.dialect = dialect;
    if (source.dialect) ++result.dialect_frames[*source.dialect];
    else ++source.frames_before;
    if (source.dialect && source.frames_before > 0)
      result.dialect_frames[*source.dialect] += std::exchange(source.frames_before, 0);
  }
  for (const auto& [address, source] : sources)
    if (source.frames_before > 0) result.dialect_frames[unknown] += source.frames_before;
  std::sort(ids.begin(), ids.end());
  result.distinct_states = static_cast<std::size_t>(std::unique(ids.begin(), ids.end()) - ids.begin());
  return result;
}

}  // namespace pfsync::engine::replay
