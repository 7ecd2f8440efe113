#include "tests/sim/chaos/scenario.h"

#include <algorithm>
#include <charconv>
#include <random>
#include <sstream>

#include "tests/sim/chaos/liar.h"

namespace pfsync::sim::chaos {
namespace {

class Dice {
 public:
  explicit Dice(std::uint64_t seed) : random_{seed} {}
  std::uint64_t below(std::uint64_t bound) { return random_() % bound; }
  std::uint64_t between(std::uint64_t from, std::uint64_t to) { return from + below(to - from + 1); }
  bool one_in(std::uint64_t n) { return below(n) == 0; }

 private:
  std::mt19937_64 random_;
};

/// How often each fault is drawn, among all that the table says; those of a path come for several paths at once.
constexpr std::array<unsigned, fault_table.size()> weights{
    8,  // loss
    4,  // burst
    5,  // reorder
    4,  // duplicate
    2,  // corrupt
    1,  // garble
    4,  // one_way
    4,  // partition
    2,  // narrow
    4,  // link_down
    8,  // crash
    3,  // crash_in_write
    2,  // stop
    1,  // power_cut
    3,  // freeze
    2,  // slow_disk
    1,  // full_disk
    1,  // lying_disk
    3,  // clock_jump
    2,  // upgrade
    3,  // flush
    5,  // edit
    2,  // order
    2,  // demote
    3,  // liar
    0,  // sabotage: never
};

Fault draw_fault(Dice& dice) {
  unsigned sum = 0;
  for (const unsigned weight : weights) sum += weight;
  std::uint64_t place = dice.below(sum);
  std::size_t i = 0;
  for (; place >= weights[i]; ++i) place -= weights[i];
  return static_cast<Fault>(i);
}

/// FreeBSD's dialects, or OpenBSD's: a group speaks one of the two header versions.
wire::Dialect draw_dialect(Dice& dice) {
  return dice.one_in(5) ? wire::Dialect::openbsd : static_cast<wire::Dialect>(dice.below(3));
}

Event draw_event(Dice& dice, const Scenario& scenario) {
  Event event{.at = dice.below(scenario.length), .lasts = dice.between(200, 12'000), .fault = draw_fault(dice)};
  const unsigned nodes = scenario.nodes();
  const auto engine = [&] { return Scenario::firewalls + static_cast<unsigned>(dice.below(scenario.engines)); };
  const auto firewall = [&] { return static_cast<unsigned>(dice.below(Scenario::firewalls)); };
  const auto amount = [&](std::uint64_t from, std::uint64_t to) {
    event.amount = static_cast<std::int64_t>(dice.between(from, to));
  };
  event.a = static_cast<unsigned>(dice.below(nodes));
  event.b = (event.a + 1 + static_cast<unsigned>(dice.below(nodes - 1))) % nodes;
  switch (event.fault) {
    case Fault::loss: amount(1, 60); break;
    case Fault::burst: amount(20, 2'000); break;
    case Fault::reorder: amount(1, 1'500); break;
    case Fault::duplicate: amount(5, 60); break;
    case Fault::corrupt: amount(1, 50); break;
    case Fault::garble: amount(1, 20); break;
    case Fault::partition: amount(1, (1u << nodes) - 2); break;
    case Fault::narrow: amount(200, 1'400); break;
    case Fault::crash: event.amount = dice.one_in(3) ? 1 : 0; break;
    case Fault::crash_in_write:
      event.a = engine();
      amount(1, 8);
      break;
    case Fault::slow_disk:
      event.a = engine();
      amount(2, 200);
      break;
    case Fault::full_disk:
    case Fault::lying_disk: event.a = engine(); break;
    case Fault::clock_jump:
      event.a = engine();
      event.amount = static_cast<std::int64_t>(dice.between(0, 7'200)) - 3'600;
      break;
    case Fault::upgrade: {
      event.a = firewall();
      const bool is_openbsd = scenario.dialects[event.a] == wire::Dialect::openbsd;
      const bool stays = scenario.shape == Shape::group;
      const wire::Dialect next = stays && is_openbsd ? wire::Dialect::openbsd
                                 : stays             ? static_cast<wire::Dialect>(dice.below(3))
                                                     : draw_dialect(dice);
      event.amount = static_cast<std::int64_t>(next);
      break;
    }
    case Fault::flush: event.a = firewall(); break;
    case Fault::edit: amount(1, 250); break;
    case Fault::order:
      event.a = engine();
      amount(1, 2);
      break;
    case Fault::demote: event.a = engine(); break;
    case Fault::liar: amount(0, lie_table.size() - 1); break;
    case Fault::one_way:
    case Fault::link_down:
    case Fault::stop:
    case Fault::power_cut:
    case Fault::freeze:
    case Fault::sabotage: break;
  }
  return event;
}

std::optional<std::int64_t> number(std::string_view text) {
  std::int64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  return error == std::errc{} && end == text.data() + text.size() ? std::optional{value} : std::nullopt;
}

std::vector<std::string_view> words_of(std::string_view line) {
  std::vector<std::string_view> words;
  for (std::size_t at = 0; at < line.size();) {
    const std::size_t end = std::min(line.find(' ', at), line.size());
    if (end > at) words.push_back(line.substr(at, end - at));
    at = end + 1;
  }
  return words;
}

/// A key that takes one number, where it goes and what it may be.
struct Key {
  std::string_view word;
  std::int64_t least, most;
  void (*set)(Scenario&, std::int64_t);
};
constexpr std::array keys{
    Key{"seed", 0, INT64_MAX, [](Scenario& s, std::int64_t v) { s.seed = static_cast<std::uint64_t>(v); }},
    Key{"engines", 1, 3, [](Scenario& s, std::int64_t v) { s.engines = static_cast<unsigned>(v); }},
    Key{"cores", 1, 2, [](Scenario& s, std::int64_t v) { s.cores = static_cast<unsigned>(v); }},
    Key{"states", 1, 2'000, [](Scenario& s, std::int64_t v) { s.states = static_cast<unsigned>(v); }},
    Key{"opens_per_s", 0, 1'000, [](Scenario& s, std::int64_t v) { s.opens_per_s = static_cast<unsigned>(v); }},
    Key{"updates_per_s", 0, 10'000, [](Scenario& s, std::int64_t v) { s.updates_per_s = static_cast<unsigned>(v); }},
    Key{"ids", 1, 65'536, [](Scenario& s, std::int64_t v) { s.ids = static_cast<unsigned>(v); }},
    Key{"snapshot_s", 1, 3'600, [](Scenario& s, std::int64_t v) { s.snapshot_s = static_cast<unsigned>(v); }},
    Key{"length", 1, 3'600'000, [](Scenario& s, std::int64_t v) { s.length = static_cast<std::uint64_t>(v); }},
};

/// `at 1200 for 5000 loss 0 2 30`; or why it is none.
std::variant<Event, std::string> parse_event(const std::vector<std::string_view>& words) {
  constexpr const char* form = "an event is: at MS for MS FAULT A B AMOUNT";
  if (words.size() != 8 || words[0] != "at" || words[2] != "for") return form;
  const auto at = number(words[1]), lasts = number(words[3]), a = number(words[5]), b = number(words[6]),
             amount = number(words[7]);
  if (!at || !lasts || !a || !b || !amount || *at < 0 || *lasts < 0 || *a < 0 || *b < 0) return form;
  for (const FaultInfo& info : fault_table)
    if (info.word == words[4])
      return Event{static_cast<std::uint64_t>(*at), static_cast<std::uint64_t>(*lasts), info.fault,
                   static_cast<unsigned>(*a),       static_cast<unsigned>(*b),          *amount};
  return "there is no fault \"" + std::string{words[4]} + "\"";
}

}  // namespace

Scenario draw(std::uint64_t seed) {
  Dice dice{seed};
  Scenario scenario{.seed = seed};
  scenario.shape = dice.one_in(2) ? Shape::hub : Shape::group;
  scenario.engines = dice.one_in(5) ? 3 : dice.one_in(6) ? 1 : 2;
  // By dice of its own, so that seeds of a group or a hub give what they gave before there were pairs.
  Dice apart{~seed};
  if (apart.one_in(3)) scenario.family = wire::Family::inet6;
  if (apart.one_in(4)) {
    scenario.shape = Shape::pair;
    scenario.engines = Scenario::firewalls;
  }
  scenario.cores = dice.one_in(5) ? 2 : 1;
  for (auto& dialect : scenario.dialects) dialect = draw_dialect(dice);
  if (scenario.shape == Shape::group) scenario.dialects[1] = scenario.dialects[0];
  scenario.states = static_cast<unsigned>(dice.between(5, 60));
  scenario.opens_per_s = static_cast<unsigned>(dice.between(0, 20));
  scenario.updates_per_s = static_cast<unsigned>(dice.between(5, 200));
  if (dice.one_in(6)) scenario.ids = static_cast<unsigned>(dice.between(1, 8));
  scenario.snapshot_s = static_cast<unsigned>(dice.between(2, 15));
  scenario.length = dice.between(8'000, 45'000);
  const std::uint64_t events = dice.between(1, 14);
  for (std::uint64_t i = 0; i < events; ++i) {
    Event event = draw_event(dice, scenario);
    // What is wrong with a cable is mostly so both ways, and a bad switch harms several.
    const bool is_of_path = event.fault <= Fault::one_way;
    const std::uint64_t paths = is_of_path ? dice.between(1, 4) : 1;
    for (std::uint64_t path = 0; path < paths; ++path) {
      scenario.events.push_back(event);
      std::swap(event.a, event.b);
      if (path == 1)
        event.b = (event.a + 1 + static_cast<unsigned>(dice.below(scenario.nodes() - 1))) % scenario.nodes();
    }
  }
  std::ranges::stable_sort(scenario.events, {}, &Event::at);
  return scenario;
}

std::string text_of(const Scenario& scenario) {
  std::ostringstream text;
  text << "seed " << scenario.seed << "\nshape " << shape_words[static_cast<std::size_t>(scenario.shape)] << "\nfamily "
       << family_words[scenario.family == wire::Family::inet6 ? 1 : 0] << "\nengines " << scenario.engines << "\ncores "
       << scenario.cores << "\ndialects";
  for (const auto dialect : scenario.dialects) text << ' ' << wire::word(dialect);
  text << "\nstates " << scenario.states << "\nopens_per_s " << scenario.opens_per_s << "\nupdates_per_s "
       << scenario.updates_per_s << "\nids " << scenario.ids << "\nsnapshot_s " << scenario.snapshot_s << "\nlength "
       << scenario.length << '\n';
  for (const Event& event : scenario.events)
    text << "at " << event.at << " for " << event.lasts << ' ' << word(event.fault) << ' ' << event.a << ' ' << event.b
         << ' ' << event.amount << '\n';
  return text.str();
}

std::variant<Scenario, std::string> parse(std::string_view text) {
  Scenario scenario;
  std::size_t line_number = 0;
  const auto wrong = [&](const std::string& why) { return "line " + std::to_string(line_number) + ": " + why; };
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t end = std::min(text.find('\n', at), text.size());
    std::string_view line = text.substr(at, end - at);
    at = end + 1;
    ++line_number;
    line = line.substr(0, line.find('#'));
    const auto words = words_of(line);
    if (words.empty()) continue;
    if (words[0] == "at") {
      auto event = parse_event(words);
      if (auto* why = std::get_if<std::string>(&event)) return wrong(*why);
      scenario.events.push_back(std::get<Event>(event));
      continue;
    }
    if (words[0] == "shape") {
      const auto found = std::ranges::find(shape_words, words.size() == 2 ? words[1] : "");
      if (found == shape_words.end()) return wrong("the shape is group, hub or pair");
      scenario.shape = static_cast<Shape>(found - shape_words.begin());
      continue;
    }
    if (words[0] == "family") {
      const auto found = std::ranges::find(family_words, words.size() == 2 ? words[1] : "");
      if (found == family_words.end()) return wrong("the family is inet or inet6");
      scenario.family = found == family_words.begin() ? wire::Family::inet : wire::Family::inet6;
      continue;
    }
    if (words[0] == "dialects") {
      if (words.size() != 1 + Scenario::firewalls) return wrong("dialects names one for each firewall");
      for (std::size_t i = 0; i < Scenario::firewalls; ++i) {
        const auto dialect = wire::find_dialect(words[1 + i]);
        if (!dialect) return wrong("there is no dialect \"" + std::string{words[1 + i]} + "\"");
        scenario.dialects[i] = *dialect;
      }
      continue;
    }
    const auto key = std::ranges::find(keys, words[0], &Key::word);
    if (key == keys.end()) return wrong("there is no key \"" + std::string{words[0]} + "\"");
    const auto value = words.size() == 2 ? number(words[1]) : std::nullopt;
    if (!value || *value < key->least || *value > key->most)
      return wrong(std::string{key->word} + " is a number from " + std::to_string(key->least) + " to " +
                   std::to_string(key->most));
    key->set(scenario, *value);
  }
  if (scenario.shape == Shape::pair && scenario.engines != Scenario::firewalls)
    return "of pairs there are two: engines is 2";
  for (const Event& event : scenario.events) {
    const bool names_nodes = event.a < scenario.nodes() && event.b < scenario.nodes();
    const bool is_lie = event.fault != Fault::liar || static_cast<std::size_t>(event.amount) < lie_table.size();
    const bool is_dialect =
        event.fault != Fault::upgrade || static_cast<std::size_t>(event.amount) < wire::dialect_count;
    const bool is_firewalls =
        (event.fault != Fault::upgrade && event.fault != Fault::flush) || event.a < Scenario::firewalls;
    const bool is_engines =
        (event.fault != Fault::order && event.fault != Fault::demote) || event.a >= Scenario::firewalls;
    if (!names_nodes || !is_lie || !is_dialect || !is_firewalls || !is_engines || event.amount < -100'000)
      return "the event \"" + std::string{word(event.fault)} + "\" at " + std::to_string(event.at) +
             " names a node or an amount that is not there";
  }
  std::ranges::stable_sort(scenario.events, {}, &Event::at);
  return scenario;
}

}  // namespace pfsync::sim::chaos
