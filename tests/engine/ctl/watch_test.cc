#include <gtest/gtest.h>
#include <stdlib.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <optional>

#include "engine/ctl/exit_status.h"
#include "engine/ctl/watch.h"
#include "tests/engine/ctl/daemon.h"
#include "tests/engine/ctl/program.h"
#include "tests/engine/temporary_directory.h"

namespace pfsync::engine {
namespace {

using namespace ctl;
using test::Daemon;
using test::Node;
using test::Program;
using test::TemporaryDirectory;

class WatchTest : public ::testing::Test {
 protected:
  std::vector<std::string> watch(std::vector<std::string> more = {}) const {
    more.insert(more.begin(), {"watch", "--socket", path, "-w", "0.01"});
    return more;
  }
  TemporaryDirectory directory;
  std::string path = directory.file("socket");
  Node node;
  std::optional<Daemon> daemon{std::in_place, path, node};
};

TEST_F(WatchTest, PrintsALineEachWhereThereIsNoTerminal) {
  Program program{watch({"-n", "3"})};
  EXPECT_EQ(program.end(), exit_ok);
  const std::string line = "healthy states 0 in 0/s out 0/s refused 0 bulk asked\n";
  EXPECT_EQ(program.out(), line + line + line);
}

TEST_F(WatchTest, PrintsAnObjectALineAsJson) {
  Program program{watch({"-n", "2", "--json"})};
  EXPECT_EQ(program.end(), exit_ok);
  const std::string first = program.out().substr(0, program.out().find('\n'));
  EXPECT_EQ(Json::parse(first)["creatorid"], "97bc0c81");
  EXPECT_EQ(std::count(program.out().begin(), program.out().end(), '\n'), 2);
}

TEST_F(WatchTest, EndsAtASignalWithTheHealthThatItSawLast) {
  for (const int signal : {SIGINT, SIGTERM, SIGHUP}) {
    Program program{watch()};
    ASSERT_TRUE(program.await_out("healthy"));
    program.signal(signal);
    EXPECT_EQ(program.end(), exit_ok);
  }
  node.link_up = false;
  Program program{watch()};
  ASSERT_TRUE(program.await_out("failed"));
  program.signal(SIGINT);
  EXPECT_EQ(program.end(), exit_unhealthy);
}

TEST_F(WatchTest, WaitsForADaemonThatIsRestarted) {
  Program program{watch()};
  ASSERT_TRUE(program.await_out("states 0"));
  daemon.reset();
  ASSERT_TRUE(program.await_err("no pfsyncd answers on " + path));
  ASSERT_EQ(node.open(1), Session::Local::done);
  daemon.emplace(path, node);
  ASSERT_TRUE(program.await_out("states 1"));
  daemon.reset();
  program.signal(SIGINT);
  const int status = program.end();
  EXPECT_TRUE(status == exit_no_daemon || status == exit_ok) << status;  // whichever it saw last
}

/// Without what is said last.
std::vector<std::string> lines_of(std::string_view page, std::size_t columns) {
  std::vector<std::string> lines = fitted(page, columns, 100);
  EXPECT_EQ(lines.back(), std::string{"Ctrl-C ends."}.substr(0, columns));
  lines.resize(lines.size() - 2);
  return lines;
}

TEST(Fitted, LeavesWhatFits) {
  EXPECT_EQ(lines_of("one\n\n  two  three\n", 80), (std::vector<std::string>{"one", "", "  two  three"}));
  EXPECT_EQ(lines_of("twelve chars", 12), std::vector<std::string>{"twelve chars"});
  EXPECT_TRUE(lines_of("", 80).empty());
}

TEST(Fitted, GoesOnInTheNextLineBetweenWords) {
  EXPECT_EQ(lines_of("failed: the link is down: check the cable\nnext", 20),
            (std::vector<std::string>{"failed: the link is", "    down: check the", "    cable", "next"}));
  EXPECT_EQ(lines_of("  0123456789abcdef", 12), (std::vector<std::string>{"  0123456789", "    abcdef"}))
      << "a word that is longer than a line";
  for (const std::size_t columns : {1, 5, 8, 9, 13, 40})
    for (const std::string& line : fitted("a word, and averyverylongonewithoutanyspace.", columns, 24))
      EXPECT_LE(line.size(), columns);
}

TEST(Fitted, TellsHowManyLinesAreLeftOut) {
  const std::string page = "1\n2\n3\n4\n";
  EXPECT_EQ(fitted(page, 80, 6), (std::vector<std::string>{"1", "2", "3", "4", "", "Ctrl-C ends."}));
  EXPECT_EQ(fitted(page, 80, 5), (std::vector<std::string>{"1", "2", "3", "4", "Ctrl-C ends."}));
  EXPECT_EQ(fitted(page, 80, 4), (std::vector<std::string>{"1", "2", "3", "1 more lines do not fit. Ctrl-C ends."}));
  EXPECT_EQ(fitted(page, 80, 1), std::vector<std::string>{"4 more lines do not fit. Ctrl-C ends."});
}

TEST_F(WatchTest, LeavesTheTerminalTidy) {
  const int terminal = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
  ASSERT_GE(terminal, 0);
  ASSERT_EQ(grantpt(terminal), 0);
  ASSERT_EQ(unlockpt(terminal), 0);
  const int held =
      open(ptsname(terminal), O_RDWR | O_NOCTTY | O_CLOEXEC);  // a terminal that nobody has open ends its reader
  Program program{watch(), ptsname(terminal)};
  std::string shown;
  const auto read_until = [&](const std::string& words) {
    std::array<char, 4096> bytes;
    while (shown.find(words) == std::string::npos) {
      const ssize_t got = read(terminal, bytes.data(), bytes.size());
      if (got <= 0) break;
      shown.append(bytes.data(), static_cast<std::size_t>(got));
    }
    return shown.find(words) != std::string::npos;
  };
  ASSERT_TRUE(read_until("Ctrl-C ends."));
  program.signal(SIGINT);
  EXPECT_EQ(program.end(), exit_ok);
  EXPECT_TRUE(shown.starts_with("\033[2J\033[?25l\033[H")) << shown;
  EXPECT_NE(shown.find("healthy: waiting for a peer"), std::string::npos);
  EXPECT_TRUE(read_until("\033[?25h"));
  close(held);
  close(terminal);
}

}  // namespace
}  // namespace pfsync::engine
