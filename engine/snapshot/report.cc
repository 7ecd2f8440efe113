#include "engine/snapshot/report.h"

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>

#include "wire/text.h"

namespace pfsync::engine::snapshot {
namespace {

struct Count {
  const char* word;
  const char* sentence;
  std::uint64_t (*of)(const Status& status);
};

std::uint64_t of_restored(const Status& status, std::uint64_t Session::Restored::*count) {
  return status.restored ? status.restored->states.*count : 0;
}

constexpr std::array counts{
    Count{"snapshot_writes", "snapshots written", [](const Status& status) { return status.written; }},
    Count{"snapshot_failures", "snapshots that could not be written",
          [](const Status& status) { return status.failures; }},
    Count{"snapshot_restored", "states restored from the snapshot at the start",
          [](const Status& status) { return of_restored(status, &Session::Restored::entered); }},
    Count{"snapshot_expired", "states of the snapshot that had come to their end meanwhile",
          [](const Status& status) { return of_restored(status, &Session::Restored::expired); }},
    Count{"snapshot_invalid", "states of the snapshot that were not valid",
          [](const Status& status) { return of_restored(status, &Session::Restored::invalid); }},
    Count{"snapshot_refused", "states of the snapshot that had the id or the connection of another",
          [](const Status& status) { return of_restored(status, &Session::Restored::refused); }},
    Count{"snapshot_beyond", "states of the snapshot beyond table.states_max",
          [](const Status& status) { return of_restored(status, &Session::Restored::beyond); }},
};

}  // namespace

Json status_json(const Status& status, std::int64_t wall_s) {
  if (!status.settings) return nullptr;
  Json json{{"path", wire::printable(status.settings->path)},
            {"interval_s", status.settings->interval_s},
            {"writing", status.is_writing},
            {"answered", status.answered},
            {"writes", status.written},
            {"failures", status.failures},
            {"error", status.error.empty() ? Json(nullptr) : Json(wire::printable(status.error))},
            {"last", nullptr},
            {"restored", nullptr},
            {"not_restored", status.not_restored.empty() ? Json(nullptr) : Json(wire::printable(status.not_restored))}};
  if (const auto& last = status.last)
    json["last"] = {{"at", last->at_s},
                    {"age_s", std::max<std::int64_t>(wall_s - last->at_s, 0)},
                    {"states", last->states},
                    {"bytes", last->bytes},
                    {"seconds", last->seconds}};
  if (const auto& restored = status.restored)
    json["restored"] = {{"written_at", restored->header.written_at_s},
                        {"passed_s", restored->passed_s},
                        {"states", restored->states.entered},
                        {"of", restored->totals.states},
                        {"sentence", sentence_of(*restored)}};
  return json;
}

std::vector<NamedCount> counts_of(const Status& status) {
  std::vector<NamedCount> all;
  for (const Count& count : counts) all.push_back({count.word, count.sentence, count.of(status)});
  return all;
}

}  // namespace pfsync::engine::snapshot
