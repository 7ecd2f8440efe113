#include "engine/replay/report.h"

#include <algorithm>
#include <cstdio>
#include <map>
#include <nlohmann/json.hpp>

#include "engine/replay/player.h"

namespace pfsync::engine::replay {
namespace {

/// "000000006b03a1a3/97bc0c81".
std::string id_and_creator(wire::StateId id) {
  std::array<char, 32> text{};
  const int n =
      std::snprintf(text.data(), text.size(), "%016llx/%08x", static_cast<unsigned long long>(id.id), id.creatorid);
  return {text.data(), static_cast<std::size_t>(n)};
}

std::string fixed(double value, int digits) {
  std::array<char, 64> text{};
  const int n = std::snprintf(text.data(), text.size(), "%.*f", digits, value);
  return {text.data(), static_cast<std::size_t>(n)};
}

std::string eight_hex(std::uint32_t value) {
  std::array<char, 16> text{};
  const int n = std::snprintf(text.data(), text.size(), "%08x", value);
  return {text.data(), static_cast<std::size_t>(n)};
}

/// Pairs of word and number that are not zero, or `none`.
class Words {
 public:
  void add(std::string_view word, std::uint64_t number) {
    if (number == 0) return;
    if (!text_.empty()) text_ += ", ";
    text_ += std::string{word} + " " + std::to_string(number);
  }
  [[nodiscard]] std::string text() const { return text_.empty() ? "none" : text_; }

 private:
  std::string text_;
};

template <std::size_t N>
void add_counters(std::array<std::uint64_t, N>& sums, const std::array<Counter, N>& counters) {
  for (std::size_t i = 0; i < N; ++i) sums[i] += counters[i].value();
}

}  // namespace

void Report::add_run(const Capture& capture, const Survey& survey, const Counters& counters) {
  frames += capture.frames();
  pfsync_frames += capture.packets().size();
  truncated += capture.cut_frames();
  for (const auto& [word, count] : survey.dialect_frames) dialects[word] += count;
  for (const auto& [dialect, fields] : survey.losses)
    for (const auto& [field, count] : fields) losses[dialect][field] += count;
  add_counters(messages, counters.received);
  add_counters(rejects, counters.rejects);
  add_counters(tallies, counters.tallies);
}

std::string json_text(const Report& report) {
  using Json = nlohmann::ordered_json;
  Json messages = Json::object();
  for (std::size_t i = 0; i < report.messages.size(); ++i)
    messages[std::string{wire::message_words[i]}] = report.messages[i];
  Json counters = Json::object();
  for (const auto& row : wire::reject_table)
    counters[std::string{row.word}] = report.rejects[static_cast<std::size_t>(row.reject)];
  for (const auto& row : tally_table)
    counters[std::string{row.word}] = report.tallies[static_cast<std::size_t>(row.tally)];
  counters["truncated"] = report.truncated;
  counters["collisions"] = collisions(report.states);
  Json dialects = Json::object();
  for (const auto& [word, count] : report.dialects) dialects[std::string{word}] = count;
  Json losses = Json::object();
  for (const auto& [dialect, fields] : report.losses)
    for (const auto& [field, count] : fields) losses[std::string{dialect}][std::string{field}] = count;
  Json ids = Json::array();
  for (const wire::State& state : report.states) ids.push_back(id_and_creator(state.id));

  Json json{
      {"frames", report.frames},         {"pfsync_frames", report.pfsync_frames}, {"seconds", report.seconds},
      {"messages", std::move(messages)}, {"counters", std::move(counters)},       {"dialects", std::move(dialects)},
      {"losses", std::move(losses)},     {"states", report.states.size()},        {"state_ids", std::move(ids)}};
  if (report.frames_sent) json["frames_sent"] = *report.frames_sent;
  if (report.messages_per_second) {
    json["loops"] = report.loops;
    json["messages_per_second"] = *report.messages_per_second;
  }
  return json.dump() + "\n";
}

std::string summary_text(const Report& report, const std::string& name) {
  std::string text = name + ": " + std::to_string(report.frames) + " frames, " + std::to_string(report.pfsync_frames) +
                     " of them pfsync, over " + fixed(report.seconds, 3) + " s\n";
  Words messages;
  for (std::size_t i = 0; i < report.messages.size(); ++i) messages.add(wire::message_words[i], report.messages[i]);
  text += "messages: " + messages.text() + "\n";
  Words dialects;
  for (const auto& [word, count] : report.dialects) dialects.add(word, count);
  text += "frames by dialect: " + dialects.text() + "\n";
  Words applied;
  for (const auto& row : tally_table) applied.add(row.word, report.tallies[static_cast<std::size_t>(row.tally)]);
  text += "applied: " + applied.text() + "\n";
  Words refused;
  for (const auto& row : wire::reject_table)
    refused.add(row.word, report.rejects[static_cast<std::size_t>(row.reject)]);
  refused.add("truncated", report.truncated);
  text += "refused: " + refused.text() + "\n";

  std::map<std::uint32_t, std::uint64_t> creators;
  for (const wire::State& state : report.states) ++creators[state.id.creatorid];
  Words owners;
  for (const auto& [creatorid, count] : creators) owners.add("creator " + eight_hex(creatorid), count);
  text += "table: " + std::to_string(report.states.size()) + " states";
  if (!creators.empty()) text += " (" + owners.text() + ")";
  if (const std::size_t count = collisions(report.states); count > 0)
    text += ", " + std::to_string(count) + " share their connection with another (collisions)";
  text += "\n";
  if (report.frames_sent) text += "sent: " + std::to_string(*report.frames_sent) + " frames\n";
  if (report.messages_per_second)
    text += "speed: messages_per_second " + fixed(*report.messages_per_second, 0) + " over " +
            std::to_string(report.loops) + (report.loops == 1 ? " loop\n" : " loops\n");
  return text;
}

}  // namespace pfsync::engine::replay
