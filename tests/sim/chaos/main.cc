// Runs whole pairs under faults drawn from seeds, and shrinks what fails to a short scenario.
//   chaos seeds FIRST STEP SECONDS   seeds FIRST, FIRST + STEP, …, until the time is over: a line of JSON each second
//   and
//                                    at the end; a failure is shrunk and told as it is found
//   chaos seed N                     one seed; prints what went wrong and its scenario
//   chaos replay FILE                a scenario
//   chaos shrink FILE                the shortest scenario that fails as this one does
//   chaos marks                      the names of all marks
// Exit status: 0 nothing went wrong, 1 something did, 2 usage.
#include <chrono>
#include <cstdio>
#include <fstream>
#include <iterator>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "tests/sim/chaos/shrink.h"
#include "tests/sim/chaos/world.h"

namespace pfsync::sim::chaos {
namespace {

constexpr unsigned shrinking_runs = 300;

/// As JSON has it; all our text is ASCII.
std::string quoted(std::string_view text) {
  std::string quoted = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') quoted += '\\';
    if (c == '\n')
      quoted += "\\n";
    else
      quoted += c;
  }
  return quoted + "\"";
}

/// What all runs came to.
struct Sums {
  std::uint64_t runs = 0, failures = 0, virtual_ms = 0, frames = 0;
  Marks marks;

  void add(const Verdict& verdict) {
    ++runs;
    failures += verdict.broken.empty() ? 0 : 1;
    virtual_ms += verdict.at_ms;
    frames += verdict.frames;
    marks.add(verdict.marks);
  }
  void print() const {
    std::printf("{\"runs\":%llu,\"failures\":%llu,\"virtual_ms\":%llu,\"frames\":%llu,\"marks\":{",
                static_cast<unsigned long long>(runs), static_cast<unsigned long long>(failures),
                static_cast<unsigned long long>(virtual_ms), static_cast<unsigned long long>(frames));
    const char* between = "";
    for (const auto& [word, count] : marks.counts()) {
      std::printf("%s%s:%llu", between, quoted(word).c_str(), static_cast<unsigned long long>(count));
      between = ",";
    }
    std::printf("}}\n");
    std::fflush(stdout);
  }
};

std::uint64_t number(const char* text) { return std::strtoull(text, nullptr, 10); }

int run_seeds(std::uint64_t first, std::uint64_t step, double seconds) {
  using Clock = std::chrono::steady_clock;
  const auto end = Clock::now() + std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>{seconds});
  auto told_at = Clock::now();
  Sums sums;
  for (std::uint64_t seed = first; Clock::now() < end || sums.runs == 0; seed += step) {
    const Scenario scenario = draw(seed);
    const Verdict verdict = run(scenario);
    sums.add(verdict);
    if (!verdict.broken.empty()) {
      const Scenario shortest = shrink(scenario, verdict.kind(), shrinking_runs);
      std::printf("{\"seed\":%llu,\"broken\":%s,\"at_ms\":%llu,\"scenario\":%s}\n",
                  static_cast<unsigned long long>(seed), quoted(verdict.broken).c_str(),
                  static_cast<unsigned long long>(verdict.at_ms), quoted(text_of(shortest)).c_str());
      std::fflush(stdout);
    }
    if (Clock::now() - told_at < std::chrono::seconds{1}) continue;
    told_at = Clock::now();
    sums.print();
  }
  sums.print();
  return sums.failures == 0 ? 0 : 1;
}

int tell(const Scenario& scenario) {
  const Verdict verdict = run(scenario);
  std::printf("%s", text_of(scenario).c_str());
  if (verdict.broken.empty())
    std::printf("# nothing went wrong in %llu ms and %llu frames\n", static_cast<unsigned long long>(verdict.at_ms),
                static_cast<unsigned long long>(verdict.frames));
  else
    std::printf("# at %llu ms: %s\n", static_cast<unsigned long long>(verdict.at_ms), verdict.broken.c_str());
  return verdict.broken.empty() ? 0 : 1;
}

std::variant<Scenario, std::string> read(const char* name) {
  std::ifstream file{name};
  if (!file) return std::string{name} + " cannot be read: name a scenario";
  const std::string text{std::istreambuf_iterator<char>{file}, {}};
  auto parsed = parse(text);
  if (const auto* why = std::get_if<std::string>(&parsed)) return std::string{name} + ": " + *why;
  return parsed;
}

int shrink_file(const Scenario& scenario) {
  const Verdict verdict = run(scenario);
  if (verdict.broken.empty()) {
    std::printf("# nothing goes wrong: there is nothing to shrink\n");
    return 0;
  }
  const Scenario shortest = shrink(scenario, verdict.kind(), shrinking_runs, [](unsigned runs, const Scenario& best) {
    std::fprintf(stderr, "\r%u runs, %zu events ", runs, best.events.size());
  });
  std::fprintf(stderr, "\n");
  return tell(shortest);
}

int main_of(const std::vector<std::string>& words) {
  const auto is = [&](std::string_view word, std::size_t count) { return words.size() == count && words[1] == word; };
  if (is("seeds", 5))
    return run_seeds(number(words[2].c_str()), number(words[3].c_str()), std::strtod(words[4].c_str(), nullptr));
  if (is("seed", 3)) return tell(draw(number(words[2].c_str())));
  if (is("marks", 2)) {
    for (const std::string& word : all_marks()) std::printf("%s\n", word.c_str());
    return 0;
  }
  if (is("replay", 3) || is("shrink", 3)) {
    const auto scenario = read(words[2].c_str());
    if (const auto* why = std::get_if<std::string>(&scenario)) {
      std::fprintf(stderr, "chaos: %s\n", why->c_str());
      return 2;
    }
    return words[1] == "replay" ? tell(std::get<Scenario>(scenario)) : shrink_file(std::get<Scenario>(scenario));
  }
  std::fprintf(stderr, "usage: chaos seeds FIRST STEP SECONDS | seed N | replay FILE | shrink FILE | marks\n");
  return 2;
}

}  // namespace
}  // namespace pfsync::sim::chaos

int main(int argc, char** argv) { return pfsync::sim::chaos::main_of({argv, argv + argc}); }
