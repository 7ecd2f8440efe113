// pfsyncctl as operators and scripts run it: the program itself, against a server in a thread.
#include <gtest/gtest.h>

#include <algorithm>
#include <mutex>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>

#include "engine/control/states_report.h"
#include "engine/ctl/exit_status.h"
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

struct Ran {
  int status;
  std::string out;
  std::string err;
  [[nodiscard]] Json json() const { return Json::parse(out, nullptr, false); }
};

/// One sentence: what, where, what to do.
void expect_sentence(const std::string& err) {
  EXPECT_TRUE(err.starts_with("pfsyncctl: ")) << err;
  EXPECT_TRUE(err.ends_with(".\n")) << err;
  EXPECT_EQ(std::count(err.begin(), err.end(), '\n'), 1) << err;
}

class CliTest : public ::testing::Test {
 protected:
  Ran run(std::vector<std::string> arguments) const {
    arguments.insert(arguments.end(), {"--socket", path});
    Program program{std::move(arguments)};
    const int status = program.end();
    return {status, program.out(), program.err()};
  }
  void serve() { daemon.emplace(path, node); }
  /// A daemon that answers everything alike.
  void serve(Json answer) {
    daemon.emplace(path, [answer = std::move(answer)](const Json&) { return answer; });
  }

  TemporaryDirectory directory;
  std::string path = directory.file("socket");
  Node node{5000};
  std::optional<Daemon> daemon;
};

TEST_F(CliTest, StatusOfAHealthyNode) {
  ASSERT_EQ(node.open(1), Session::Local::done);
  serve();
  const Ran ran = run({"show", "status"});
  EXPECT_EQ(ran.status, exit_ok);
  EXPECT_EQ(ran.err, "");
  EXPECT_NE(ran.out.find("Status: healthy, up 1 day 01:01:01"), std::string::npos) << ran.out;
  EXPECT_NE(ran.out.find("Host id: 97bc0c81"), std::string::npos) << ran.out;
  EXPECT_NE(ran.out.find("  current entries                        1\n"), std::string::npos) << ran.out;
  EXPECT_EQ(ran.out.find("Digest"), std::string::npos);
}

TEST_F(CliTest, StatusOfAnUnhealthyNodeIsSaidByTheExitStatusToo) {
  node.link_up = false;
  serve();
  const Ran ran = run({"show", "status"});
  EXPECT_EQ(ran.status, exit_unhealthy);
  EXPECT_NE(ran.out.find("Status: failed"), std::string::npos) << ran.out;
  EXPECT_NE(ran.out.find("  the link is down: check the cable"), std::string::npos) << ran.out;
  EXPECT_EQ(run({"show", "status", "--json"}).status, exit_unhealthy);
}

TEST_F(CliTest, StatusAsJsonIsTheDaemonsOwn) {
  ASSERT_EQ(node.open(1), Session::Local::done);
  const Json expected = status_json(node.view(), true);
  serve();
  const Ran ran = run({"--json", "show", "status", "--digest"});
  EXPECT_EQ(ran.status, exit_ok);
  Json json = ran.json();
  EXPECT_EQ(json["ok"], true);
  json.erase("ok");
  EXPECT_EQ(json, expected);
}

TEST_F(CliTest, PeersBulkAndConfigAreShownAsTextAndAsJson) {
  serve();
  const std::pair<const char*, const char*> begins[] = {
      {"peers", "224.0.0.240\n  spoken with "}, {"bulk", "224.0.0.240\n  own "}, {"config", "[link]\ndevice = "}};
  for (const auto& [what, text] : begins) {
    const Ran ran = run({"show", what});
    EXPECT_EQ(ran.status, exit_ok) << ran.err;
    EXPECT_TRUE(ran.out.starts_with(text)) << ran.out;
    const Ran json = run({"--json", "show", what});
    EXPECT_EQ(json.status, exit_ok);
    EXPECT_TRUE(json.json().contains(what)) << json.out;
  }
}

TEST_F(CliTest, DigestIsShownWhenAsked) {
  ASSERT_EQ(node.open(1), Session::Local::done);
  serve();
  const std::string expected = "Digest\n  " + digest_text(node.table->digest()) + " over 1 states\n";
  EXPECT_NE(run({"show", "status", "--digest"}).out.find(expected), std::string::npos);
}

TEST_F(CliTest, StatesAreShownPageByPageToTheLast) {
  constexpr std::uint64_t count = 2 * StatesPage::limit_max + 500;
  for (std::uint64_t id = 1; id <= count; ++id) ASSERT_EQ(node.open(id), Session::Local::done);
  serve();
  const Ran text = run({"show", "states"});
  EXPECT_EQ(text.status, exit_ok);
  EXPECT_EQ(std::count(text.out.begin(), text.out.end(), '\n'), static_cast<std::ptrdiff_t>(count));
  EXPECT_NE(text.out.find("em0 tcp 10.1.0.7:1031 -> 10.2.0.100:80       ESTABLISHED:ESTABLISHED\n"), std::string::npos);
  const Ran json = run({"show", "states", "--json"});
  EXPECT_EQ(json.status, exit_ok);
  std::set<std::string> ids;
  const Json parsed = json.json();
  for (const Json& state : parsed["states"]) ids.insert(state["id"].get<std::string>());
  EXPECT_EQ(ids.size(), count);
}

TEST_F(CliTest, AFilterChoosesWhatIsShownAndKilled) {
  for (std::uint64_t id = 1; id <= 5; ++id) ASSERT_EQ(node.open(id, id == 5 ? "em1" : "em0"), Session::Local::done);
  serve();
  EXPECT_EQ(run({"show", "states", "src", "10.1.0.3", "tcp"}).out,
            "em0 tcp 10.1.0.3:1027 -> 10.2.0.100:80       ESTABLISHED:ESTABLISHED\n");
  EXPECT_EQ(run({"show", "states", "--json", "on", "em1"}).json()["states"].size(), 1u);
  EXPECT_EQ(run({"kill", "on", "em1"}).out, "1 state killed.\n");
  EXPECT_EQ(run({"kill", "-k", "10.1.0.1", "-k", "10.2.0.100"}).out, "1 state killed.\n");
  EXPECT_EQ(run({"kill", "-k", "10.2.0.100"}).out, "0 states killed.\n");  // nothing comes from there
  EXPECT_EQ(run({"kill", "-k", "id", "-k", "2/97bc0c81"}).out, "1 state killed.\n");
  EXPECT_EQ(run({"kill", "--json", "host", "10.2.0.100"}).json(),
            (Json{{"ok", true}, {"sentence", "2 states killed"}, {"states", 2}}));
  EXPECT_EQ(run({"show", "creators"}).out, "creator id       states\n");
}

TEST_F(CliTest, CreatorsAreALineEach) {
  ASSERT_EQ(node.open(1), Session::Local::done);
  serve();
  EXPECT_EQ(run({"show", "creators"}).out, "creator id       states\n97bc0c81              1  this node\n");
}

TEST_F(CliTest, NoStatesAreNoLinesAndAnEmptyArray) {
  serve();
  EXPECT_EQ(run({"show", "states"}).out, "");
  EXPECT_EQ(run({"show", "states", "--json"}).json(), (Json{{"ok", true}, {"states", Json::array()}}));
}

TEST_F(CliTest, VerboseStatesTellAllAsPfctlDoes) {
  ASSERT_EQ(node.open(7), Session::Local::done);
  serve();
  EXPECT_EQ(run({"show", "states", "-v"}).out,
            "em0 tcp 10.1.0.7:1031 -> 10.2.0.100:80       ESTABLISHED:ESTABLISHED\n"
            "   [1000 + 65000]  [5000 + 65000]\n"
            "   age 00:00:00, expires in 24:00:00, 0:0 pkts, 0:0 bytes\n"
            "   id: 0000000000000007 creatorid: 97bc0c81\n");
}

TEST_F(CliTest, CountersAreNumberSentenceAndWordAndZeroOnlyWhenAsked) {
  ASSERT_EQ(node.open(1), Session::Local::done);
  node.outside = {{"imissed", "frames that the device dropped", 7}};
  serve();
  EXPECT_EQ(run({"show", "counters"}).out,
            "pfsync:\n"
            "\t1 states entered into the table (inserts)\n"
            "\t1 bulk updates asked of a peer (bulk_requests_out)\n"
            "\tlink and control\n"
            "\t\t7 frames that the device dropped (imissed)\n");
  const Ran all = run({"show", "counters", "-v"});
  EXPECT_EQ(all.status, exit_ok);
  EXPECT_NE(all.out.find("\t0 packets whose lengths do not agree (badlen)\n"), std::string::npos) << all.out;
  EXPECT_NE(all.out.find("\t\t0 upd_c\n"), std::string::npos) << all.out;
  const Ran json = run({"show", "counters", "--json"});
  EXPECT_EQ(json.json()["counters"]["inserts"], 1);
}

TEST_F(CliTest, OrdersAreCarriedOutAndAnswered) {
  for (std::uint64_t id = 1; id <= 3; ++id) ASSERT_EQ(node.open(id, id == 3 ? "em1" : "em0"), Session::Local::done);
  node.synthetic.emplace(SyntheticConfig{.states = 10});
  serve();
  const auto expect_done = [&](const std::vector<std::string>& arguments, const std::string& sentence) {
    const Ran ran = run(arguments);
    EXPECT_EQ(ran.status, exit_ok) << sentence;
    EXPECT_EQ(ran.out, sentence + ".\n");
    EXPECT_EQ(ran.err, "");
  };
  expect_done({"kill", "1/97bc0c81"}, "1 state killed");
  expect_done({"flush", "-i", "em1"}, "1 states cleared");
  expect_done({"flush"}, "1 states cleared");
  expect_done({"resync"}, "a bulk update was asked for");
  expect_done({"push"}, "what was queued is on its way");
  expect_done({"synthetic", "stop"}, "the load stands still");
  expect_done({"synthetic", "start"}, "the load runs");
  EXPECT_EQ(run({"flush", "--json"}).json(), (Json{{"ok", true}, {"sentence", "0 states cleared"}, {"states", 0}}));
}

TEST_F(CliTest, ReloadListsWhatChangedAndWhatWaits) {
  Outcome outcome{true, "nothing differs from the configuration at work", 0};
  Commands with_reload = node.commands();
  std::mutex guard;  // the daemon answers on a thread of its own
  with_reload.reload = [&] {
    const std::lock_guard locked{guard};
    return outcome;
  };
  const auto next = [&](Outcome other) {
    const std::lock_guard locked{guard};
    outcome = std::move(other);
  };
  daemon.emplace(path, [&](const Json& request) { return handle_request(request, node.view(), with_reload); });
  EXPECT_EQ(run({"reload"}).out, "nothing differs from the configuration at work.\n");
  next({true, "", 0, {"log.level: info -> debug", "peer 10.0.0.9: added"}, {"link.device"}});
  const Ran changed = run({"reload"});
  EXPECT_EQ(changed.out, "log.level: info -> debug\npeer 10.0.0.9: added\nlink.device: needs a restart\n");
  EXPECT_EQ(changed.status, exit_ok);
  EXPECT_EQ(run({"reload", "--json"}).json()["restart"], Json::array({"link.device"}));
  next({false, "pfsyncd.toml:3: link.mtu: is wrong", 0});
  const Ran refused = run({"reload"});
  EXPECT_EQ(refused.err, "pfsyncctl: pfsyncd.toml:3: link.mtu: is wrong.\n");
  EXPECT_EQ(refused.status, exit_unhealthy);
  daemon.reset();  // before what its thread looks at
}

TEST_F(CliTest, AnOrderThatFailsIsOneSentenceAndStatusOne) {
  serve();
  const Ran ran = run({"kill", "1/97bc0c81"});
  EXPECT_EQ(ran.status, exit_unhealthy);
  EXPECT_EQ(ran.out, "");
  EXPECT_EQ(ran.err, "pfsyncctl: no state has that id.\n");
  const Ran json = run({"kill", "1/97bc0c81", "--json"});
  EXPECT_EQ(json.status, exit_unhealthy);
  EXPECT_EQ(json.json(), (Json{{"ok", false}, {"error", "no state has that id"}}));
}

TEST_F(CliTest, UsageIsStatusTwo) {
  const std::vector<std::string> lines[] = {{},
                                            {"fly"},
                                            {"show"},
                                            {"show", "weather"},
                                            {"kill"},
                                            {"kill", "nonsense"},
                                            {"kill", "-k"},
                                            {"kill", "-k", "example.org"},
                                            {"show", "states", "port", "x"},
                                            {"kill", "\x1b[2J/1"},
                                            {"flush", "-i", ""},
                                            {"flush", "-i", "a-name-of-sixteen"},
                                            {"synthetic"},
                                            {"watch", "-w", "0"},
                                            {"watch", "-n", "0"},
                                            {"watch", "-n", "-1"},
                                            {"show", "status", "--no-such-thing"}};
  for (const auto& arguments : lines) {
    const Ran ran = run(arguments);
    EXPECT_EQ(ran.status, exit_usage) << ran.err;
    EXPECT_EQ(ran.out, "");
    expect_sentence(ran.err);
    EXPECT_EQ(ran.err.find('\x1b'), std::string::npos);
  }
}

TEST_F(CliTest, AStrangeWordIsNamedAlsoAsJson) {
  const std::vector<std::string> lines[] = {{"fly"}, {"show", "fly"}, {"--json", "fly"}};
  for (const auto& arguments : lines)
    EXPECT_NE(run(arguments).err.find("nothing here is called 'fly'"), std::string::npos);
  for (const auto& arguments :
       {std::vector<std::string>{"show", "fly", "--json"}, {"--json", "kill", "-k"}, {"--json"}}) {
    const Ran ran = run(arguments);
    EXPECT_EQ(ran.status, exit_usage);
    const Json said = Json::parse(ran.out, nullptr, false);
    ASSERT_TRUE(said.is_object()) << ran.out;
    EXPECT_EQ(said.value("ok", true), false);
    EXPECT_NE(ran.err.find(said.value("error", "none")), std::string::npos);
  }
}

TEST_F(CliTest, TheSocketMayBeNamedByTheEnvironment) {
  serve();
  ASSERT_EQ(setenv("PFSYNCD_SOCKET", path.c_str(), 1), 0);
  Program named{{"show", "peers"}};
  EXPECT_EQ(named.end(), exit_ok) << named.err();
  ASSERT_EQ(setenv("PFSYNCD_SOCKET", directory.file("nobody").c_str(), 1), 0);
  EXPECT_EQ(run({"show", "peers"}).status, exit_ok) << "the option goes first";
  Program elsewhere{{"show", "peers"}};
  EXPECT_EQ(elsewhere.end(), exit_no_daemon) << elsewhere.err();
  ASSERT_EQ(unsetenv("PFSYNCD_SOCKET"), 0);
}

TEST_F(CliTest, HelpAndVersionAreNoErrors) {
  EXPECT_EQ(run({"--help"}).status, exit_ok);
  EXPECT_NE(run({"show", "status", "--help"}).out.find("--digest"), std::string::npos);
  const Ran version = run({"--version"});
  EXPECT_EQ(version.status, exit_ok);
  EXPECT_EQ(version.out, "pfsyncctl " PFSYNC_VERSION "\n");
}

TEST_F(CliTest, NoDaemonIsStatusThreeForEveryCommand) {
  const std::vector<std::string> lines[] = {{"show", "status"},
                                            {"show", "states"},
                                            {"show", "counters"},
                                            {"resync"},
                                            {"reload"},
                                            {"flush"},
                                            {"kill", "1/1"},
                                            {"push"},
                                            {"watch"},
                                            {"synthetic", "stop"},
                                            {"synthetic", "start"}};
  for (const auto& arguments : lines) {
    const Ran ran = run(arguments);
    EXPECT_EQ(ran.status, exit_no_daemon);
    expect_sentence(ran.err);
    EXPECT_EQ(ran.err, "pfsyncctl: no pfsyncd answers on " + path +
                           " (No such file or directory): start pfsyncd, or name its control.socket with --socket.\n");
  }
  EXPECT_EQ(run({"show", "status", "--json"}).json()["ok"], false);
}

TEST_F(CliTest, TooManyClientsAreToldSo) {
  daemon.emplace(
      path,
      [](const Json&) {
        return Json{{"ok", true}};
      },
      ControlServer::Limits{.clients = 0});
  const Ran ran = run({"push"});
  EXPECT_EQ(ran.status, exit_unhealthy);
  EXPECT_EQ(ran.err, "pfsyncctl: 0 clients are connected already: close one.\n");
}

TEST_F(CliTest, WhatIsNoPfsyncdIsRecognized) {
  for (const Json& answer : {Json::array(), Json::object(), Json{{"ok", 1}}, Json{{"ok", false}}}) {
    daemon.reset();
    serve(answer);
    const Ran ran = run({"show", "status"});
    EXPECT_EQ(ran.status, exit_no_daemon) << answer;
    EXPECT_EQ(ran.err,
              "pfsyncctl: what answers on " + path + " is not pfsyncd: name its control.socket with --socket.\n");
  }
}

TEST_F(CliTest, AnAnswerThatLacksPartsIsAnError) {
  serve(Json{{"ok", true}});
  for (const std::vector<std::string>& arguments :
       {std::vector<std::string>{"show", "status"}, {"show", "states"}, {"show", "counters"}, {"resync"}, {"watch"}}) {
    const Ran ran = run(arguments);
    EXPECT_EQ(ran.status, exit_unhealthy);
    expect_sentence(ran.err);
    EXPECT_NE(ran.err.find("of one version"), std::string::npos) << ran.err;
  }
}

TEST_F(CliTest, NothingADaemonSaysControlsTheTerminal) {
  const std::string evil =
      "\x1b[2J\x07\x7f\xc2\x9b"
      "31m";
  serve(
      Json{{"ok", true}, {"sentence", evil}, {"states", Json::array({{{"text", evil + "\n"}}})}, {"cursor", nullptr}});
  for (const std::vector<std::string>& arguments :
       {std::vector<std::string>{"push"}, {"push", "--json"}, {"show", "states", "-v"}, {"show", "states", "--json"}}) {
    const Ran ran = run(arguments);
    EXPECT_EQ(ran.status, exit_ok);
    EXPECT_EQ(ran.out.find_first_of("\x1b\x07\xc2"), std::string::npos) << ran.out;
    EXPECT_NE(ran.out.find("[2J"), std::string::npos) << ran.out;
  }
  daemon.reset();
  serve(Json{{"ok", false}, {"error", evil}});
  EXPECT_EQ(run({"push"}).err.find('\x1b'), std::string::npos);
}

TEST_F(CliTest, AFullDiskIsNoSuccess) {
  serve();
  Program program{{"show", "status", "--socket", path}, "/dev/full"};
  EXPECT_EQ(program.end(), exit_unhealthy);
  EXPECT_EQ(program.err(), "pfsyncctl: standard output could not be written: free some space or give another place.\n");
}

TEST_F(CliTest, SnapshotWaitsUntilItIsThere) {
  Json snapshot{{"path", "/x/states.snapshot"}, {"answered", 2}, {"error", "of the one before"}, {"last", nullptr}};
  daemon.emplace(path, [&snapshot](const Json& request) -> Json {
    if (request.at("command") == "snapshot") return {{"ok", true}, {"sentence", "begun"}, {"number", 3}};
    const Json before = snapshot;
    snapshot["answered"] = 3;
    snapshot["error"] = nullptr;
    snapshot["last"] = {{"states", 7}, {"bytes", 900}, {"seconds", 0.25}};
    return {{"ok", true}, {"snapshot", before}};
  });
  const Ran ran = run({"snapshot"});
  EXPECT_EQ(ran.status, exit_ok);
  EXPECT_EQ(ran.out, "7 states written to /x/states.snapshot: 900 bytes, in 0.25 s.\n");
  EXPECT_EQ(run({"snapshot", "--json"}).json()["snapshot"]["last"]["states"], 7);
  daemon.reset();  // its thread writes into what ends here
}

TEST_F(CliTest, ASnapshotThatFailsIsTold) {
  const std::string error = "the snapshot could not be written: the disk is full";
  daemon.emplace(path, [error](const Json& request) -> Json {
    if (request.at("command") == "snapshot") return {{"ok", true}, {"sentence", "begun"}, {"number", 1}};
    return {{"ok", true}, {"snapshot", {{"answered", 1}, {"error", error}}}};
  });
  const Ran ran = run({"snapshot"});
  EXPECT_EQ(ran.status, exit_unhealthy);
  expect_sentence(ran.err);
  EXPECT_NE(ran.err.find("the disk is full"), std::string::npos);
}

TEST_F(CliTest, ANodeWithoutSnapshotsSaysSo) {
  serve();
  const Ran ran = run({"snapshot"});
  EXPECT_EQ(ran.status, exit_unhealthy);
  expect_sentence(ran.err);
  EXPECT_NE(ran.err.find("[snapshot]"), std::string::npos) << ran.err;
}

}  // namespace
}  // namespace pfsync::engine
