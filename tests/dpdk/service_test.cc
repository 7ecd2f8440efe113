// What the service manager is told, and how much is logged; the clock is the test's.
#include <gtest/gtest.h>

#include <algorithm>

#include <array>
#include <cstdio>
#include <memory>
#include <string>

#include "engine/dpdk/log.h"
#include "engine/dpdk/service.h"

namespace pfsync::engine::dpdk {
namespace {

using namespace std::chrono_literals;
using State = Readiness::State;

constexpr Instant start{std::chrono::hours{1}};

State look(Readiness& readiness, std::initializer_list<BulkPhase> phases, Instant now, bool link_up = true,
           bool asks = true) {
  return readiness.look({.asks = asks, .link_up = link_up, .phases = phases}, now);
}

TEST(Readiness, ComesWithTheEndOfTheBulkUpdateHoweverLongItTakes) {
  Readiness readiness;
  EXPECT_EQ(look(readiness, {BulkPhase::asked}, start), State::waits);
  EXPECT_EQ(look(readiness, {BulkPhase::receiving}, start + 1s), State::receives);
  EXPECT_EQ(look(readiness, {BulkPhase::receiving}, start + 1h), State::receives);
  EXPECT_EQ(look(readiness, {BulkPhase::done}, start + 1h), State::ready);
}

TEST(Readiness, OfSeveralPeersWaitsForEach) {
  Readiness readiness;
  EXPECT_EQ(look(readiness, {BulkPhase::done, BulkPhase::asked}, start), State::waits);
  EXPECT_EQ(look(readiness, {BulkPhase::done, BulkPhase::receiving}, start + 1min), State::receives);
  EXPECT_EQ(look(readiness, {BulkPhase::done, BulkPhase::failed}, start + 2min), State::ready);
}

TEST(Readiness, TimesOutWhereNobodyAnswers) {
  Readiness readiness;
  EXPECT_EQ(look(readiness, {BulkPhase::asked}, start), State::waits);
  EXPECT_EQ(look(readiness, {BulkPhase::asked}, start + Readiness::patience - 1ms), State::waits);
  EXPECT_EQ(look(readiness, {BulkPhase::asked}, start + Readiness::patience), State::ready);
}

TEST(Readiness, TimesOutWithoutALink) {
  Readiness readiness;
  EXPECT_EQ(look(readiness, {BulkPhase::none}, start, false), State::waits);
  EXPECT_EQ(look(readiness, {BulkPhase::none}, start + Readiness::patience, false), State::ready);
}

TEST(Readiness, IsThereAtOnceWhereNothingIsAskedAndStaysOnce) {
  Readiness readiness;
  EXPECT_EQ(look(readiness, {BulkPhase::none}, start, false, false), State::ready);
  EXPECT_EQ(look(readiness, {BulkPhase::receiving}, start + 1s), State::ready);
}

TEST(Progress, IsThatOfEachCore) {
  Progress progress;
  EXPECT_TRUE(progress.all_went_on(std::array<std::uint64_t, 2>{5, 7}));
  EXPECT_TRUE(progress.all_went_on(std::array<std::uint64_t, 2>{6, 8}));
  EXPECT_FALSE(progress.all_went_on(std::array<std::uint64_t, 2>{9, 8}));
  EXPECT_FALSE(progress.all_went_on(std::array<std::uint64_t, 2>{12, 8}));
  EXPECT_TRUE(progress.all_went_on(std::array<std::uint64_t, 2>{13, 9}));
}

struct CloseFile {
  void operator()(std::FILE* file) const noexcept { std::fclose(file); }
};

std::string text_of(std::FILE* file) {
  std::fflush(file);
  std::rewind(file);
  std::string text(1 << 20, '\0');
  text.resize(std::fread(text.data(), 1, text.size(), file));
  return text;
}

TEST(BoundedSink, LeavesOutWhatIsTooMuchAndSaysSo) {
  const std::unique_ptr<std::FILE, CloseFile> file{std::tmpfile()};
  BoundedSink sink{file.get()};
  sink.set_pattern("%l: %v");
  const auto say = [&](spdlog::level::level_enum level, const char* words, std::chrono::seconds at) {
    spdlog::details::log_msg message{spdlog::log_clock::time_point{at}, {}, "test", level, words};
    sink.log(message);
  };
  for (std::uint64_t i = 0; i < BoundedSink::burst + 40; ++i) say(spdlog::level::info, "flood", 1000s);
  say(spdlog::level::err, "still said", 1000s);
  say(spdlog::level::info, "later", 1010s);
  const std::string text = text_of(file.get());
  EXPECT_EQ(std::count(text.begin(), text.end(), '\n'), static_cast<std::ptrdiff_t>(BoundedSink::burst) + 3);
  const std::string end = text.substr(text.rfind("warning: "));
  EXPECT_EQ(end, "warning: 40 lines of the log were left out: too many at once\nerror: still said\ninfo: later\n");
}

}  // namespace
}  // namespace pfsync::engine::dpdk
