#include "tests/sim/chaos/marks.h"

#include "tests/sim/chaos/liar.h"
#include "tests/sim/chaos/scenario.h"

namespace pfsync::sim::chaos {
namespace {

std::string name_of(std::string_view kind, std::string_view word) { return std::string{kind}.append(word); }

}  // namespace

void Marks::add(const engine::Counters& counters) {
  const auto count = [this](std::string_view word, std::uint64_t value, std::string_view kind) {
    if (value > 0) meet(name_of(kind, word), value);
  };
  for (const auto& info : engine::tally_table) count(info.word, counters[info.tally].value(), "session: ");
  for (const auto& info : wire::reject_table) count(info.word, counters[info.reject].value(), "refused: ");
  for (std::size_t i = 0; i < wire::message_count; ++i)
    count(wire::message_words[i], counters.received[i].value(), "heard: ");
}

std::vector<std::string> all_marks() {
  std::vector<std::string> all{mark_words.begin(), mark_words.end()};
  for (const auto& info : engine::tally_table) all.push_back(name_of("session: ", info.word));
  for (const auto& info : wire::reject_table) all.push_back(name_of("refused: ", info.word));
  for (const auto word : wire::message_words) all.push_back(name_of("heard: ", word));
  for (const auto& info : fault_table)
    if (info.fault != Fault::sabotage) all.push_back(name_of("fault: ", info.word));
  for (const auto word : lie_table) all.push_back(name_of("lie: ", word));
  return all;
}

}  // namespace pfsync::sim::chaos
