#include "engine/replay/survey.h"

#include <algorithm>
#include <optional>
#include <utility>
#include <vector>

#include "wire/convert.h"
#include "wire/dialect.h"
#include "wire/fields.h"
#include "wire/ip.h"
#include "wire/packet_reader.h"

namespace pfsync::engine::replay {
namespace {

constexpr std::string_view unknown = "unknown";

bool is_full_state(wire::Message message) noexcept {
  return message == wire::Message::ins || message == wire::Message::upd || message == wire::Message::del;
}

void count_losses(const wire::State& state, Survey& result) {
  for (const wire::DialectInfo& dialect : wire::dialect_table) {
    auto& counts = result.losses[dialect.word];
    if (!wire::is_expressible(state, dialect.dialect))
      ++counts["states"];
    else
      wire::lost(state, dialect.dialect).for_each([&counts](wire::Field field) { ++counts[wire::word(field)]; });
  }
}

void count_losses(const wire::Tdb& tdb, Survey& result) {
  for (const wire::DialectInfo& dialect : wire::dialect_table)
    wire::lost(tdb, dialect.dialect).for_each([&](wire::Field field) {
      ++result.losses[dialect.word][wire::word(field)];
    });
}

/// The dialect of one packet, if it tells; collects the ids of its full states and what others would lose.
std::optional<std::string_view> read_packet(wire::Bytes payload, std::vector<wire::StateId>& ids, Survey& result) {
  std::optional<std::string_view> dialect;
  wire::PacketReader reader{payload};
  wire::Section section;
  while (reader.next(section)) {
    if (section.count == 0) continue;
    if (const auto told = wire::told_dialect(reader.header().version, *section.action)) dialect = wire::word(*told);
    if (section.action->message == wire::Message::tdb)
      for (std::size_t i = 0; i < section.count; ++i)
        count_losses(wire::read_tdb(section.action->layout, section.record(i)), result);
    if (!is_full_state(section.action->message)) continue;
    for (std::size_t i = 0; i < section.count; ++i) {
      const wire::State state = wire::read_state(section.action->layout, section.record(i));
      ids.push_back(state.id);
      count_losses(state, result);
    }
  }
  // Version 6 has one dialect, so that any packet of it tells, sections or none.
  if (reader.reject() != wire::Reject::hdrops && reader.header().version == wire::header_version_openbsd)
    dialect = wire::word(wire::Dialect::openbsd);
  return dialect;
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
    if (const auto dialect = read_packet(ip.packet.payload, ids, result)) source.dialect = dialect;
    if (source.dialect)
      ++result.dialect_frames[*source.dialect];
    else
      ++source.frames_before;
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
