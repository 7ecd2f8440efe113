#include <gtest/gtest.h>
#include <sys/wait.h>

#include <array>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <set>
#include <string>

#include "tests/engine/replay/account.h"
#include "tests/engine/replay/files.h"
#include "tests/engine/replay/made_capture.h"

/// The program itself, as scripts use it.
namespace pfsync::engine::replay {
namespace {

struct Outcome {
  int status;
  std::string output;
  std::string errors;
};

Outcome run(const std::string& arguments) {
  const TemporaryFile errors;
  // The shell, so that arguments read as users write them; every path here is ours and needs no quoting.
  const std::string command = std::string{REPLAY_PROGRAM} + " " + arguments + " 2>" + errors.path();
  std::FILE* pipe = popen(command.c_str(), "r");
  if (pipe == nullptr) return {-1, {}, "popen failed"};
  std::string output;
  std::array<char, 4096> room{};
  for (std::size_t n = 0; (n = std::fread(room.data(), 1, room.size(), pipe)) > 0;) output.append(room.data(), n);
  const int status = pclose(pipe);
  return {WIFEXITED(status) ? WEXITSTATUS(status) : -1, output, text_of(errors.path())};
}

const std::string traffic = capture_path("freebsd12-pair/02-mcast-tcp-udp-icmp-nat.pcap");

TEST(ReplayProgram, PrintsTheJsonThatScriptsRelyOn) {
  const Outcome outcome = run(traffic + " --json --no-expire");
  ASSERT_EQ(outcome.status, 0) << outcome.errors;
  EXPECT_EQ(outcome.errors, "");
  const auto json = nlohmann::json::parse(outcome.output);
  EXPECT_EQ(json.at("frames"), 16);
  EXPECT_EQ(json.at("pfsync_frames"), 16);
  EXPECT_NEAR(json.at("seconds").get<double>(), 7.860994, 1e-9);
  EXPECT_EQ(
      json.at("messages").dump(),
      R"({"bus":0,"clr":0,"del":0,"del_c":0,"eof":16,"ins":14,"ins_ack":0,"tdb":0,"upd":0,"upd_c":12,"upd_req":0})");
  for (const char* counter :
       {"hdrops", "badver", "badact", "badlen", "badttl", "badval", "stale", "badstate", "collisions", "truncated"})
    EXPECT_EQ(json.at("counters").at(counter), 0) << counter;
  EXPECT_EQ(json.at("dialects").dump(), R"({"1301":16})");
  EXPECT_EQ(json.at("states"), 14);
  ASSERT_EQ(json.at("state_ids").size(), 14u);
  EXPECT_EQ(json.at("state_ids").front(), "000000006b03a196/97bc0c81");
  EXPECT_EQ(json.at("state_ids").back(), "000000006b03a1a3/97bc0c81");
  EXPECT_FALSE(json.contains("messages_per_second"));
}

TEST(ReplayProgram, PrintsStatesAsPfctlDoes) {
  const Outcome outcome = run("--states --no-expire " + traffic);
  ASSERT_EQ(outcome.status, 0) << outcome.errors;
  EXPECT_EQ(parse_account(outcome.output).size(), 14u);
  EXPECT_NE(
      outcome.output.find("all icmp 10.2.0.254:14115 (10.1.0.100:10635) -> 10.2.0.100:14115       0:0\n   age 00:00:0"),
      std::string::npos);
}

TEST(ReplayProgram, DumpsEveryFrame) {
  const Outcome outcome = run("--dump " + traffic);
  ASSERT_EQ(outcome.status, 0) << outcome.errors;
  std::size_t frames = 0, messages = 0;
  for (std::size_t at = 0; (at = outcome.output.find("PFSYNCv5 len", at)) != std::string::npos; ++at) ++frames;
  for (std::size_t at = 0; (at = outcome.output.find("\n\t", at)) != std::string::npos; ++at) ++messages;
  EXPECT_EQ(frames, 16u);
  EXPECT_EQ(messages, 26u);  // 14 INS and 12 UPD_C; EOF has no record
}

TEST(ReplayProgram, NamesInTheDumpWhatTheSessionRefused) {
  const TemporaryFile file;
  ASSERT_NO_FATAL_FAILURE(write_pcap(file.path(), DLT_RAW, {{ip_packet(wire::Family::inet)}}));
  const Outcome outcome = run("--dump " + file.path());
  EXPECT_NE(outcome.output.find("\tid: 0000000000000007 creatorid: 00000008\n    eof count 1\n    badstate: 1\n"),
            std::string::npos)
      << outcome.output;
}

TEST(ReplayProgram, LoopsIntoAnEmptyTableEachTime) {
  const Outcome once = run(traffic + " --json");
  const Outcome thrice = run(traffic + " --json --loop 3");
  ASSERT_EQ(thrice.status, 0) << thrice.errors;
  const auto one = nlohmann::json::parse(once.output), three = nlohmann::json::parse(thrice.output);
  for (const auto& [word, count] : one.at("messages").items())
    EXPECT_EQ(three.at("messages").at(word), 3 * count.get<int>()) << word;
  EXPECT_EQ(three.at("counters").at("inserts"), 3 * one.at("counters").at("inserts").get<int>());
  EXPECT_EQ(three.at("frames"), 3 * one.at("frames").get<int>());
  EXPECT_EQ(three.at("state_ids"), one.at("state_ids"));
  EXPECT_EQ(three.at("loops"), 3);
  EXPECT_GT(three.at("messages_per_second").get<double>(), 0);
}

TEST(ReplayProgram, KeepsToTheRateItIsGiven) {
  // 42 messages, EOF included, at 420 a second: 0.1 s. A loaded machine may be slower, never faster.
  const Outcome outcome = run(traffic + " --json --rate 420");
  ASSERT_EQ(outcome.status, 0) << outcome.errors;
  EXPECT_LE(nlohmann::json::parse(outcome.output).at("messages_per_second").get<double>(), 420.5);
  EXPECT_GT(nlohmann::json::parse(outcome.output).at("messages_per_second").get<double>(), 0);
}

TEST(ReplayProgram, SumsUpForPeople) {
  const Outcome outcome = run(traffic + " --no-expire");
  ASSERT_EQ(outcome.status, 0) << outcome.errors;
  EXPECT_NE(outcome.output.find(traffic + ": 16 frames, 16 of them pfsync, over 7.861 s\n"), std::string::npos)
      << outcome.output;
  EXPECT_NE(outcome.output.find("messages: ins 14, upd_c 12, eof 16\n"), std::string::npos) << outcome.output;
  EXPECT_NE(outcome.output.find("refused: none\n"), std::string::npos) << outcome.output;
  EXPECT_NE(outcome.output.find("table: 14 states (creator 97bc0c81 14)\n"), std::string::npos) << outcome.output;
}

TEST(ReplayProgram, AcceptsACaptureWithoutPfsync) {
  const Outcome outcome = run(capture_path("freebsd12-pair/08-carp-lan.pcap") + " --json");
  ASSERT_EQ(outcome.status, 0) << outcome.errors;
  const auto json = nlohmann::json::parse(outcome.output);
  EXPECT_EQ(json.at("frames"), 67);
  EXPECT_EQ(json.at("pfsync_frames"), 0);
  EXPECT_EQ(json.at("states"), 0);
  EXPECT_EQ(json.at("state_ids").size(), 0u);
}

TEST(ReplayProgram, RefusesWithOneSentenceAndStatusTwo) {
  const TemporaryFile no_capture{"no capture, but words"};
  const std::string whole = text_of(traffic);
  const TemporaryFile cut{whole.substr(0, whole.size() - 10)};
  for (const std::string& arguments :
       {std::string{"/nonexistent.pcap"}, no_capture.path(), cut.path() + " --json", cut.path() + " --dump",
        std::string{"/tmp"}, std::string{}, traffic + " --loop 0", traffic + " --rate -1", traffic + " --json --dump",
        traffic + " --what"}) {
    const Outcome outcome = run(arguments);
    EXPECT_EQ(outcome.status, 2) << arguments;
    EXPECT_EQ(outcome.output, "") << arguments;
    EXPECT_TRUE(outcome.errors.starts_with("pfsync-replay: ")) << arguments << ": " << outcome.errors;
    EXPECT_EQ(outcome.errors.find('\n'), outcome.errors.size() - 1) << arguments << ": " << outcome.errors;
  }
}

TEST(ReplayProgram, SaysSoWhenItsOutputCannotBeWritten) {
  const Outcome outcome = run(traffic + " --states >/dev/full");
  EXPECT_EQ(outcome.status, 1);
  EXPECT_NE(outcome.errors.find("standard output could not be written"), std::string::npos) << outcome.errors;
}

}  // namespace
}  // namespace pfsync::engine::replay
