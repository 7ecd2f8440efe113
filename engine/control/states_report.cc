#include "engine/control/states_report.h"

#include <fmt/format.h>

#include <chrono>
#include <nlohmann/json.hpp>

#include "wire/text.h"

namespace pfsync::engine {
namespace {

using statetable::Snapshot;

/// Calls take(state) for the states of a page that fit, until it returns false. Returns what an answer says of the
/// walk.
template <class F>
Json walk(const statetable::TableReader& reader, const StatesPage& page, F&& take) {
  auto cursor = page.cursor;
  std::size_t slots = StatesPage::slots_max;
  bool ended = false;
  if (const auto identity = page.filter.identity()) {
    // One state at most, which needs no walk.
    --slots;
    if (const auto state = reader.find(*identity); state && page.filter.matches(*state)) take(*state);
    ended = true;
  } else {
    bool more = true;
    while (more) {
      const auto state = reader.next(cursor, slots);
      if (!state) break;
      if (page.filter.matches(*state)) more = take(*state);
    }
    ended = reader.at_end(cursor);
  }
  const auto progress = reader.progress(cursor);
  Json json;
  json["cursor"] = ended ? Json(nullptr) : Json{{"shard", cursor.shard}, {"slot", cursor.slot}};
  json["looked_at"] = StatesPage::slots_max - slots;
  json["progress"] = {{"at", ended ? progress.of : progress.at}, {"of", progress.of}};
  return json;
}

}  // namespace

Json states_json(const DaemonView& daemon, const StatesPage& page) {
  const Seconds now_s = statetable::to_seconds(daemon.now());
  Json states = Json::array();
  Json rest = walk(daemon.table.reader(), page, [&](const Snapshot& found) {
    const wire::State state = statetable::to_state(found.hot, found.cold, now_s);
    states.push_back(page.only_text ? Json{{"text", wire::state_text(state)}} : state_json(state));
    return states.size() < page.limit;
  });
  Json json;
  json["states"] = std::move(states);
  json.update(rest);
  return json;
}

Json kill_json(const DaemonView& daemon, const Commands& commands, const StatesPage& page) {
  const statetable::TableReader reader = daemon.table.reader();
  std::size_t killed = 0, tried = 0;
  std::string failed;
  Json rest = walk(reader, page, [&](const Snapshot& found) {
    const Outcome outcome = commands.kill(found.hot.id);
    if (outcome.done) ++killed;
    // One that is gone went by itself meanwhile.
    else if (reader.find(found.hot.id))
      failed = outcome.sentence;
    return failed.empty() && ++tried < StatesPage::kills_max;
  });
  Json json;
  json["ok"] = failed.empty();
  if (failed.empty())
    json["sentence"] = fmt::format("{} {} killed", killed, killed == 1 ? "state" : "states");
  else
    json["error"] = fmt::format("{} of those that fit were killed, then: {}", killed, failed);
  json["states"] = killed;
  json.update(rest);
  return json;
}

Json creators_json(const DaemonView& daemon) {
  daemon.creators->step(daemon.table, daemon.now());
  Json json;
  json["creators"] = Json::array();
  const auto& counts = daemon.creators->counts();
  if (counts)
    for (const CreatorCounts::Row& row : counts->rows)
      json["creators"].push_back({{"creatorid", creatorid_text(row.creatorid)},
                                  {"states", row.states},
                                  {"own", row.creatorid == daemon.session.config().creatorid}});
  json["other_states"] = counts ? counts->others : 0;
  json["counted_s"] =
      counts ? Json(std::chrono::duration<double>(daemon.now() - counts->counted_at).count()) : Json(nullptr);
  return json;
}

}  // namespace pfsync::engine
