#include "tests/engine/replay/account.h"

#include <gtest/gtest.h>

#include <cstdio>
#include <regex>
#include <sstream>
#include <string>

namespace pfsync::engine::replay {
namespace {

const std::regex head_line{
    R"(^(\S+) (\S+) (\S+(?: \(\S+\))? (?:->|<-) \S+(?: \(\S+\))?) {7}([A-Z0-9_]+):([A-Z0-9_]+)$)"};
const std::regex window_line{R"(^   \[(\d+) \+ (\d+)\](?: (wscale \d+))?  \[(\d+) \+ (\d+)\](?: (wscale \d+))?$)"};
const std::regex age_line{
    R"(^   age (\d+):(\d+):(\d+), expires in (\d+):(\d+):(\d+), \d+:\d+ pkts, \d+:\d+ bytes(?:, (.*))?$)"};
const std::regex id_line{R"(^   (id: [0-9a-f]{16} creatorid: [0-9a-f]{8})$)"};

/// What the kernel wrote to the console while pfctl printed there, in the middle of a line (capture 05).
const std::regex console_message{R"((carp: demoted by [^\n]*|pfsync: received valid bulk update end)\n)"};

std::uint32_t number(const std::ssub_match& match) { return static_cast<std::uint32_t>(std::stoul(match.str())); }

}  // namespace

Account parse_account(std::string_view text) {
  Account account;
  PrintedState state;
  std::istringstream in{std::regex_replace(std::string{text}, console_message, "")};
  std::smatch match;
  for (std::string line; std::getline(in, line);) {
    if (std::regex_match(line, match, head_line)) {
      state = {};
      state.proto = match[2].str() == "2" ? "igmp" : match[2].str();  // one node had no word for it at first
      state.flow = match[3].str();
      state.side[0].level = match[4].str();
      state.side[1].level = match[5].str();
    } else if (std::regex_match(line, match, window_line)) {
      state.has_windows = true;
      for (std::size_t i = 0; i < 2; ++i) {
        state.side[i].seqlo = number(match[3 * i + 1]);
        state.side[i].window = number(match[3 * i + 2]);
        state.side[i].scale = match[3 * i + 3].str();
      }
    } else if (std::regex_match(line, match, age_line)) {
      state.age_s = number(match[1]) * 3600 + number(match[2]) * 60 + number(match[3]);
      state.expires_s = number(match[4]) * 3600 + number(match[5]) * 60 + number(match[6]);
      state.rule = match[7].str();
    } else if (std::regex_match(line, match, id_line)) {
      EXPECT_TRUE(account.emplace(match[1].str(), state).second) << "twice in one account: " << line;
    } else {
      EXPECT_FALSE(line.starts_with("   ") && line.find("creatorid") != std::string::npos) << line;
      EXPECT_FALSE(line.starts_with("all ")) << line;
    }
  }
  return account;
}

std::string section_of(const std::string& text, const std::string& node) {
  const std::string mark = "=== " + node + "\n";
  const std::size_t begin = text.find(mark);
  EXPECT_NE(begin, std::string::npos) << node;
  const std::size_t end = text.find("\n=== ", begin + 1);
  return text.substr(begin, end == std::string::npos ? end : end - begin);
}

}  // namespace pfsync::engine::replay
