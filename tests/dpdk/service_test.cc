// What the service manager is told, and how much is logged; the clock is the test's.
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cstddef>
#include <cstdlib>

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

/// A service manager that listens.
class Manager {
 public:
  Manager() : socket_{::socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0)} {
    // A name without a file, which ends with the socket.
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    EXPECT_EQ(::bind(socket_, reinterpret_cast<const sockaddr*>(&address), sizeof(sa_family_t)), 0);
    socklen_t length = sizeof address;
    EXPECT_EQ(::getsockname(socket_, reinterpret_cast<sockaddr*>(&address), &length), 0);
    std::string name{address.sun_path, length - offsetof(sockaddr_un, sun_path)};
    name.front() = '@';
    EXPECT_EQ(::setenv("NOTIFY_SOCKET", name.c_str(), 1), 0);
  }
  ~Manager() {
    ::unsetenv("NOTIFY_SOCKET");
    ::close(socket_);
  }
  Manager(const Manager&) = delete;
  Manager& operator=(const Manager&) = delete;
  /// What has been said; empty: nothing.
  std::string hear() const {
    std::array<char, 4096> room{};
    const ssize_t got = ::recv(socket_, room.data(), room.size(), 0);
    return got <= 0 ? "" : std::string{room.data(), static_cast<std::size_t>(got)};
  }

 private:
  int socket_;
};

/// A disk may take longer than the manager waits, but not for ever.
TEST(Service, AsksForTimeWhileItStops) {
  const Manager manager;
  Service service;
  const std::string wanted = "WATCHDOG=1\nEXTEND_TIMEOUT_USEC=30000000\nSTATUS=writing the last snapshot";
  service.stops("writing the last snapshot", start);
  EXPECT_EQ(manager.hear(), wanted) << "at once";
  service.stops("writing the last snapshot", start + 500ms);
  EXPECT_EQ(manager.hear(), "");
  for (std::chrono::seconds passed{1}; passed < Service::stop_max; passed += 1s) {
    service.stops("writing the last snapshot", start + passed);
    ASSERT_EQ(manager.hear(), wanted) << passed.count();
  }
  service.stops("writing the last snapshot", start + Service::stop_max);
  EXPECT_EQ(manager.hear(), "");
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
  EXPECT_EQ(end,
            "warning: 40 lines of the log were left out: too many at once, or nobody read them\nerror: still "
            "said\ninfo: later\n");
  for (std::uint64_t i = 0; i < 2 * BoundedSink::burst; ++i) say(spdlog::level::err, "flood", 2000s);
  const std::string all = text_of(file.get());
  EXPECT_EQ(std::count(all.begin(), all.end(), '\n'), static_cast<std::ptrdiff_t>(2 * BoundedSink::burst) + 3)
      << "nor with errors";
}

/// A collector that stopped, or a terminal: nobody here waits for it.
TEST(BoundedSink, LeavesOutWhatNobodyReads) {
  std::array<int, 2> ends{};
  ASSERT_EQ(pipe(ends.data()), 0);
  const std::unique_ptr<std::FILE, CloseFile> in{fdopen(ends[0], "r")}, out{fdopen(ends[1], "w")};
  ASSERT_EQ(std::setvbuf(out.get(), nullptr, _IONBF, 0), 0);
  BoundedSink sink{out.get()};
  sink.set_pattern("%v");
  const std::string long_words(3000, 'x');
  const auto say = [&](const std::string& words) {
    sink.log({spdlog::log_clock::time_point{1000s}, {}, "test", spdlog::level::info, words});
  };
  for (int i = 0; i < 40; ++i) say(long_words);  // a pipe holds 65,536 bytes
  std::string text(1 << 17, '\0');
  const auto read_all = [&] {
    const ssize_t bytes = ::read(ends[0], text.data(), text.size());
    return text.substr(0, static_cast<std::size_t>(std::max<ssize_t>(bytes, 0)));
  };
  const std::string first = read_all();
  const auto lines = std::count(first.begin(), first.end(), '\n');
  EXPECT_LT(lines, 40);
  EXPECT_EQ(first.size(), static_cast<std::size_t>(lines) * (long_words.size() + 1)) << "whole lines";
  say("read again");
  EXPECT_EQ(read_all(), std::to_string(40 - lines) +
                            " lines of the log were left out: too many at once, or nobody read them\nread again\n");
}

}  // namespace
}  // namespace pfsync::engine::dpdk
