// pfsyncctl diff and resync, as operators and scripts run them, against a daemon that has compared.
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "engine/ctl/divergence.h"
#include "engine/ctl/exit_status.h"
#include "engine/divergence/report.h"
#include "tests/engine/ctl/daemon.h"
#include "tests/engine/ctl/program.h"
#include "tests/engine/session/session_fixture.h"
#include "tests/engine/temporary_directory.h"

namespace pfsync::engine::ctl {
namespace {

using divergence::Findings;
using divergence::Kind;
using test::Daemon;
using test::Program;

Findings two_differ() {
  Findings found;
  found.states_here = 1001;
  found.states_there = 1000;
  found.suspects = 5;
  found.settled = 2;
  found.in_flux = 1;
  found.of_kind[static_cast<std::size_t>(Kind::only_here)] = 1;
  found.of_kind[static_cast<std::size_t>(Kind::newer_there)] = 1;
  wire::State newer = tcp_state(2);
  newer.src.state = wire::tcps::fin_wait_2;
  found.differences = {{tcp_state(1).id, Kind::only_here, tcp_state(1), std::nullopt},
                       {newer.id, Kind::newer_there, tcp_state(2), newer}};
  return found;
}

/// show divergence after that comparison.
Json shown(const Findings& found, bool repair = false) {
  Json last{{"order", 1}, {"repair", repair}, {"time", 0}, {"sentence", divergence::sentence_of(found, repair)}};
  last.update(divergence::findings_json(found, true));
  return {{"ok", true},
          {"can_ask", true},
          {"why_not", nullptr},
          {"comparison",
           {{"running", nullptr},
            {"every_s", 3600},
            {"last", last},
            {"comparisons", 1},
            {"failures", 0},
            {"different_total", 2},
            {"mended_total", 0}}}};
}

TEST(DiffTextTest, ShowsBothSidesOfEachDifference) {
  EXPECT_EQ(
      diff_text(shown(two_differ())),
      "0000000000000001/22222222: only here\n"
      "    here  all tcp 10.1.0.1:1025 -> 10.2.0.100:80       ESTABLISHED:ESTABLISHED  [1000 + 65000] wscale 7  [5000 "
      "+ "
      "65000] wscale 7  age 00:00:00, expires in 24:00:00, 0:0 pkts, 0:0 bytes  id: 0000000000000001 creatorid: "
      "22222222\n"
      "    there -\n"
      "0000000000000002/22222222: newer there\n"
      "    here  all tcp 10.1.0.2:1026 -> 10.2.0.100:80       ESTABLISHED:ESTABLISHED  [1000 + 65000] wscale 7  [5000 "
      "+ "
      "65000] wscale 7  age 00:00:00, expires in 24:00:00, 0:0 pkts, 0:0 bytes  id: 0000000000000002 creatorid: "
      "22222222\n"
      "    there all tcp 10.1.0.2:1026 -> 10.2.0.100:80       FIN_WAIT_2:ESTABLISHED  [1000 + 65000] wscale 7  [5000 + "
      "65000] wscale 7  age 00:00:00, expires in 24:00:00, 0:0 pkts, 0:0 bytes  id: 0000000000000002 creatorid: "
      "22222222\n"
      "of 1001 states here and 1000 there 2 differ (1 were changing all the time).\n");
}

TEST(DiffTextTest, TellsHowTheLastComparisonWent) {
  const std::string text = divergence_text(shown(two_differ()));
  EXPECT_NE(text.find("compares every 3600 s\n"), std::string::npos) << text;
  EXPECT_NE(text.find("5 suspects, 2 settled, 1 in flux"), std::string::npos) << text;
  EXPECT_EQ(divergence_text({{"ok", true}, {"comparison", nullptr}, {"why_not", "not paired"}}), "not paired\n");
}

TEST(DiffTextTest, WhatIsMendedIsAlike) {
  Findings found = two_differ();
  EXPECT_FALSE(are_alike(shown(found)));
  EXPECT_TRUE(are_alike(shown(found, true)));
  found.unclear = 1;
  EXPECT_FALSE(are_alike(shown(found, true)));
  found = {};
  EXPECT_TRUE(are_alike(shown(found)));
  found.failure = "lost";
  EXPECT_FALSE(are_alike(shown(found)));
}

class DiffTest : public ::testing::Test {
 protected:
  struct Ran {
    int status;
    std::string out, err;
  };
  Ran run(std::vector<std::string> arguments) const {
    arguments.insert(arguments.end(), {"--socket", path});
    Program program{std::move(arguments)};
    const int status = program.end();
    return {status, program.out(), program.err()};
  }
  /// A daemon whose comparisons find that, or that refuses to compare.
  void serve(const Findings& found, const std::string& refusal = "") {
    daemon.emplace(path, [found, refusal](const Json& request) -> Json {
      if (request.at("command") == "resync") return {{"ok", true}, {"sentence", "a bulk update was asked for"}};
      if (request.at("command") == "compare") {
        if (!refusal.empty()) return {{"ok", false}, {"error", refusal}};
        return {{"ok", true}, {"order", 1}};
      }
      return shown(found, true);
    });
  }
  test::TemporaryDirectory directory;
  std::string path = directory.file("socket");
  std::optional<Daemon> daemon;
};

TEST_F(DiffTest, ExitStatusIsOneWhileSomethingIsLeft) {
  Findings found = two_differ();
  found.mended_here = found.mended_there = 1;
  serve(found);
  const Ran mended = run({"diff", "--repair"});
  EXPECT_EQ(mended.status, exit_ok) << mended.err;
  EXPECT_NE(mended.out.find("1 mended here, 1 there"), std::string::npos) << mended.out;
  EXPECT_EQ(Json::parse(run({"diff", "--repair", "--json"}).out)["comparison"]["last"]["different"], 2);
  daemon.reset();
  found.refused = 1;
  serve(found);
  EXPECT_EQ(run({"diff", "--repair"}).status, exit_unhealthy);
}

TEST_F(DiffTest, ARefusalIsASentence) {
  serve({}, "this node is not paired");
  const Ran refused = run({"diff"});
  EXPECT_EQ(refused.status, exit_unhealthy);
  EXPECT_EQ(refused.err, "pfsyncctl: this node is not paired.\n");
}

TEST_F(DiffTest, OfAPeerThatKnowsNoDigestSamplesTell) {
  Findings found;
  found.family = wire::Family::inet;
  found.peer = wire::ipv4_address(10, 0, 0, 4);
  const Json sampling{{"per_s", 1},    {"asked", 700},       {"same", 595},   {"different", 5},
                      {"missing", 0},  {"in_flux", 90},      {"ended", 10},   {"answering", true},
                      {"judged", 600}, {"share", 5.0 / 600}, {"low", 0.0036}, {"high", 0.0194}};
  daemon.emplace(path, [found, sampling](const Json& request) -> Json {
    if (request.at("command") == "compare") return {{"ok", true}, {"order", 1}};
    if (request.at("what") == "divergence") return shown(found);
    return {{"ok", true},
            {"peers", Json::array({{{"address", "10.0.0.1"}, {"sampling", sampling}},
                                   {{"address", "10.0.0.4"}, {"sampling", sampling}}})}};
  });
  const Ran kernel = run({"diff", "--peer", "10.0.0.1"});
  EXPECT_EQ(kernel.status, exit_ok) << kernel.err;
  EXPECT_EQ(kernel.out,
            "10.0.0.1, samples: 0.83 % of the states differ (0.36 to 1.94 % with 95 % confidence), by 600 of 700 asked "
            "for.\n");
  EXPECT_EQ(run({"diff", "--peer", "10.0.0.1", "--repair"}).status, exit_unhealthy);
  EXPECT_EQ(run({"diff", "--peer", "10.0.0.4"}).out, "of 0 states here and 0 there none differs.\n");
  EXPECT_NE(run({"diff", "--peer", "10.0.0.9"}).err.find("is no peer of this node"), std::string::npos);
}

TEST_F(DiffTest, ResyncGetsWhatDiffersWhereItCan) {
  serve(two_differ());
  EXPECT_NE(run({"resync"}).out.find("2 differ"), std::string::npos);
  EXPECT_EQ(run({"resync", "--full"}).out, "a bulk update was asked for.\n");
}

TEST_F(DiffTest, ResyncOfOnePeerAsksNoOther) {
  Findings found = two_differ();
  found.family = wire::Family::inet;
  found.peer = wire::ipv4_address(10, 0, 0, 4);
  daemon.emplace(path, [found](const Json& request) -> Json {
    if (request.at("command") == "compare") return {{"ok", true}, {"order", 1}};
    if (request.at("command") == "show") return shown(found, true);
    return {{"ok", true}, {"sentence", request.value("peer", "everybody") + " was asked"}};
  });
  EXPECT_EQ(run({"resync", "--peer", "10.0.0.1"}).out, "10.0.0.1 was asked.\n");
  EXPECT_NE(run({"resync", "--peer", "10.0.0.4"}).out.find("2 differ"), std::string::npos) << "the paired engine";
  EXPECT_EQ(run({"resync", "--peer", "10.0.0.4", "--full"}).out, "10.0.0.4 was asked.\n");
  EXPECT_EQ(run({"resync", "--full"}).out, "everybody was asked.\n");
}

TEST_F(DiffTest, ResyncGetsAllWhereTooManyDiffer) {
  Findings found;
  found.failure = "so many states differ";
  found.is_too_much = true;
  serve(found);
  const Ran ran = run({"resync"});
  EXPECT_EQ(ran.status, exit_ok);
  EXPECT_EQ(ran.out, "the tables were not compared (so many states differ): a bulk update was asked for.\n");
}

}  // namespace
}  // namespace pfsync::engine::ctl
