#include "engine/control/report.h"

#include "engine/control/states_report.h"

#include <gtest/gtest.h>

#include <algorithm>

#include <nlohmann/json.hpp>
#include <set>

#include "tests/engine/node.h"

namespace pfsync::engine {
namespace {

using test::Node;

std::set<std::string> words(const Json& object) {
  std::set<std::string> keys;
  for (const auto& [key, value] : object.items()) keys.insert(key);
  return keys;
}

TEST(Health, IsGoodWhileABulkUpdateIsAwaitedAndAfterItsEnd) {
  Node node;
  EXPECT_TRUE(health_of(node.view()).is_healthy());
  EXPECT_EQ(health_of(node.view()).reason, "waiting for a peer to answer the bulk request");
  node.receive({.creatorid = 2, .endtime_s = 0, .status = wire::BulkStatus::start});
  EXPECT_EQ(health_of(node.view()).reason, "a bulk update is being received");
  node.receive({.creatorid = 2, .endtime_s = 0, .status = wire::BulkStatus::end});
  EXPECT_TRUE(health_of(node.view()).is_healthy());
  EXPECT_EQ(health_of(node.view()).reason, "in sync since the bulk update");
}

TEST(Health, IsBadWhenNobodyAnsweredTheBulkRequests) {
  Node node;
  node.give_up_bulk();
  const Health health = health_of(node.view());
  EXPECT_FALSE(health.is_healthy());
  EXPECT_EQ(health.reason,
            "no peer answered 13 requests for a bulk update: check that one is on the link and speaks pfsync, then run "
            "pfsyncctl resync");
  EXPECT_EQ(status_json(node.view(), false)["bulk"]["tries_max"], 13);
}

TEST(Health, IsBadWhenStatesWereRefused) {
  Node node{4};
  std::uint64_t id = 1;
  while (node.open(id) == Session::Local::done) ++id;
  const Health health = health_of(node.view());
  EXPECT_FALSE(health.is_healthy());
  EXPECT_NE(health.reason.find("raise table.states_max"), std::string::npos) << health.reason;
}

TEST(Health, NamesTheLinkBeforeWhatFollowsFromIt) {
  Node node;
  node.give_up_bulk();
  node.link_up = false;
  EXPECT_FALSE(health_of(node.view()).is_healthy());
  EXPECT_EQ(health_of(node.view()).reason, "the link is down: check the cable or the device net_memif0,role=server");
}

TEST(Health, ListsEveryReasonWorstFirst) {
  Node node{4};
  std::uint64_t id = 1;
  while (node.open(id) == Session::Local::done) ++id;
  node.give_up_bulk();
  DaemonView view = node.view();
  view.config_sync = [] { return Json{{"healthy", false}, {"alarms", {"the other node is out of step"}}}; };
  const Json status = status_json(view, false);
  EXPECT_EQ(status["verdict"], "failed");
  EXPECT_EQ(status["healthy"], false);
  ASSERT_EQ(status["reasons"].size(), 3u) << status["reasons"];
  EXPECT_EQ(status["reason"], status["reasons"][0]["sentence"]);
  EXPECT_EQ(status["reasons"][0]["trouble"], "bulk");
  EXPECT_EQ(status["reasons"][0]["peer"], "224.0.0.240");
  EXPECT_EQ(status["reasons"][1]["trouble"], "table");
  EXPECT_EQ(status["reasons"][1]["level"], "failed");
  EXPECT_EQ(status["reasons"][1]["peer"], nullptr);
  EXPECT_EQ(status["reasons"][2]["trouble"], "config_sync");
  EXPECT_EQ(status["reasons"][2]["level"], "degraded");
}

TEST(Health, IsBadWhenANodeDoesNotTakeTheDialectWritten) {
  Node node;
  std::vector<std::uint8_t> room(100);
  wire::PacketWriter writer{wire::Dialect::openbsd, room};
  ASSERT_TRUE(writer.append_id(wire::Message::del_c, {1, 2}));
  room.resize(writer.finish());
  node.session.on_packet(room, node.now);
  EXPECT_FALSE(health_of(node.view()).is_healthy());
  EXPECT_EQ(health_of(node.view()).reason,
            "0.0.0.0 (which speaks openbsd) does not take the dialect 1301 that is written to it: set dialect = "
            "\"auto\", or its own (ifconfig pfsync0 shows the version)");
}

TEST(Health, IsBadWhileTheConfigurationsDiffer) {
  Node node;
  DaemonView view = node.view();
  Json told{{"healthy", true}, {"alarms", Json::array()}};
  view.config_sync = [&told] { return told; };
  const Health before = health_of(view);
  told = {{"healthy", false}, {"alarms", {"the other node is out of step: it is asleep", "another"}}};
  const Health health = health_of(view);
  EXPECT_FALSE(health.is_healthy());
  EXPECT_EQ(health.reason,
            "config sync: the other node is out of step: it is asleep (2 in all: pfsyncctl show config_sync)");
  told["healthy"] = true;
  EXPECT_EQ(health_of(view).is_healthy(), before.is_healthy());
}

TEST(Health, IsBadWhileSnapshotsCannotBeWritten) {
  Node node;
  DaemonView view = node.view();
  Json told = nullptr;
  view.snapshot = [&told] { return told; };
  EXPECT_TRUE(health_of(view).is_healthy());
  told = {{"error", nullptr}};
  EXPECT_TRUE(health_of(view).is_healthy());
  told["error"] = "the snapshot could not be written: the disk is full";
  EXPECT_FALSE(health_of(view).is_healthy());
  EXPECT_EQ(health_of(view).reason, "the snapshot could not be written: the disk is full");
  EXPECT_EQ(status_json(view, false)["snapshot"], told);
}

TEST(Status, TellsTheNodeItsLinkAndItsTable) {
  Node node;
  ASSERT_EQ(node.open(1), Session::Local::done);
  ASSERT_EQ(node.open(2), Session::Local::done);
  const Json status = status_json(node.view(), false);
  EXPECT_EQ(status["healthy"], true);
  EXPECT_EQ(status["verdict"], "healthy");
  EXPECT_EQ(status["reasons"], Json::array());
  EXPECT_EQ(status["creatorid"], "97bc0c81");
  EXPECT_EQ(status["dialect"], "1301");
  EXPECT_EQ(status["dialect_from"], "fixed");
  EXPECT_EQ(status["uptime_s"], 90061.0);
  EXPECT_EQ(status["link"]["address"], "10.0.0.1");
  EXPECT_EQ(status["link"]["multicast"], "224.0.0.240");
  EXPECT_EQ(status["states"], 2);
  EXPECT_EQ(status["states_max"], 1000);
  EXPECT_EQ(status["queued"], node.session.queued());
  EXPECT_EQ(status["totals"]["inserts"], 2);
  EXPECT_EQ(status["totals"]["messages_out"], 0);
  EXPECT_TRUE(status["synthetic"].is_null());
  EXPECT_FALSE(status.contains("digest"));
}

TEST(Status, GivesTheDigestOfTheTableWhenAsked) {
  Node node;
  ASSERT_EQ(node.open(1), Session::Local::done);
  const Json status = status_json(node.view(), true);
  EXPECT_EQ(status["digest"], digest_text(node.table->digest()));
  EXPECT_EQ(status["digest_states"], 1);
}

TEST(Status, ListsTheInterfacesThatAPeersMapHasNoRowFor) {
  InterfaceMap map;
  ASSERT_EQ(map.add(wire::InterfaceName{"igb0"}, wire::InterfaceName{"vmx1"}), InterfaceMap::Added::yes);
  Node node{1000, false, map, wire::Dialect::freebsd_1500};
  EXPECT_EQ(status_json(node.view(), false)["peers"][0]["interfaces_mapped"], 1);
  ASSERT_EQ(node.open(1, "igb0"), Session::Local::done);
  ASSERT_EQ(node.open(2, "em\x1b"), Session::Local::done);
  std::vector<std::uint8_t> room(1480);
  node.session.push();
  ASSERT_GT(node.session.transmit(room, node.now), 0u);
  node.sender.start(node.now);
  ASSERT_GT(node.sender.transmit(room, node.now), 0u);
  node.session.flush(wire::InterfaceName{"em9"}, node.now);
  const Json names = status_json(node.view(), false)["peers"][0]["interfaces_unmapped"];
  ASSERT_EQ(names.size(), 2u);
  EXPECT_EQ(names[0], (Json{{"name", "em9"}, {"in", 0}, {"out", 1}}));
  EXPECT_EQ(names[1], (Json{{"name", "em?"}, {"in", 0}, {"out", 2}}));
  const Json counters = counters_json(node.view(), false)["counters"];
  EXPECT_EQ(counters["ifname_unmapped_in"], 0);
  EXPECT_EQ(counters["ifname_unmapped_out"], 3);
}

TEST(Counters, HaveEveryWordOnceAndASentenceForEach) {
  Node node;
  node.outside = {{"imissed", "frames that the device dropped", 7}};
  const Json json = counters_json(node.view(), true);
  const auto losable = std::count_if(wire::field_table.begin(), wire::field_table.end(), wire::can_be_lost);
  EXPECT_EQ(json["counters"].size(), tally_table.size() + wire::reject_count + static_cast<std::size_t>(losable) +
                                         4);  // and what was not said at all, and names without a row
  EXPECT_EQ(json["received"].size(), wire::message_count);
  EXPECT_EQ(json["sent"].size(), wire::message_count);
  EXPECT_EQ(json["outside"]["imissed"], 7);
  std::set<std::string> counted = words(json["counters"]);
  counted.merge(words(json["outside"]));
  EXPECT_EQ(words(json["sentences"]), counted);
  EXPECT_FALSE(counters_json(node.view(), false).contains("sentences"));
}

TEST(Counters, AreTheSessionsOwn) {
  Node node;
  ASSERT_EQ(node.open(1), Session::Local::done);
  const std::array<std::uint8_t, 3> stump{5, 0, 0};
  node.session.on_packet(stump, node.now);
  const Json counters = counters_json(node.view(), false)["counters"];
  EXPECT_EQ(counters["inserts"], 1);
  EXPECT_EQ(counters["hdrops"], 1);
}

TEST(States, PagesShowEachStateOnce) {
  Node node;
  for (std::uint64_t id = 1; id <= 25; ++id) ASSERT_EQ(node.open(id), Session::Local::done);
  std::multiset<std::string> seen;
  StatesPage page{.limit = 10};
  int pages = 0;
  for (bool more = true; more; ++pages) {
    const Json json = states_json(node.view(), page);
    EXPECT_LE(json["states"].size(), 10u);
    for (const Json& state : json["states"]) seen.insert(state["id"].get<std::string>());
    more = !json["cursor"].is_null();
    if (more) page.cursor = {json["cursor"]["shard"], json["cursor"]["slot"]};
  }
  EXPECT_GE(pages, 3);
  EXPECT_EQ(seen.size(), 25u);
  for (std::uint64_t id = 1; id <= 25; ++id) EXPECT_EQ(seen.count(state_id_text({id, test::node_creatorid})), 1u) << id;
}

TEST(States, ReadAsPfctlPrintsThem) {
  Node node;
  ASSERT_EQ(node.open(7), Session::Local::done);
  node.now += std::chrono::seconds{5};
  const Json state = states_json(node.view(), {})["states"][0];
  EXPECT_EQ(state["id"], "0000000000000007/97bc0c81");
  EXPECT_EQ(state["interface"], "em0");
  EXPECT_EQ(state["protocol"], "tcp");
  EXPECT_EQ(state["direction"], "out");
  EXPECT_EQ(state["wire"], Json::array({"10.2.0.100:80", "10.1.0.7:1031"}));
  EXPECT_EQ(state["levels"], "ESTABLISHED:ESTABLISHED");
  EXPECT_EQ(state["age_s"], 5);
  EXPECT_TRUE(state["text"].get<std::string>().starts_with("em0 tcp 10.1.0.7:1031 -> 10.2.0.100:80 "));
}

TEST(States, CanBeHadAsTextAlone) {
  Node node;
  ASSERT_EQ(node.open(7), Session::Local::done);
  const Json full = states_json(node.view(), {})["states"][0];
  const Json brief = states_json(node.view(), {.only_text = true})["states"][0];
  EXPECT_EQ(brief, (Json{{"text", full["text"]}}));
}

TEST(States, AnInterfaceNameCannotReachATerminalUnfiltered) {
  Node node;
  ASSERT_EQ(node.open(1, "\x1b[2J\xff"), Session::Local::done);
  const Json state = states_json(node.view(), {})["states"][0];
  EXPECT_EQ(state["interface"], "?[2J?");
  EXPECT_EQ(state["text"].get<std::string>().find('\x1b'), std::string::npos);
  EXPECT_NO_THROW((void)state.dump());  // throws on what is not UTF-8
}

TEST(StateIds, ReadBackWhatTheyPrint) {
  const wire::StateId id{0x000000006b03a1a3, 0x97bc0c81};
  EXPECT_EQ(state_id_text(id), "000000006b03a1a3/97bc0c81");
  EXPECT_EQ(parse_state_id(state_id_text(id)), id);
  EXPECT_EQ(parse_state_id("6B03A1A3/97bc0c81"), id);
}

TEST(StateIds, RefuseEverythingElse) {
  for (const char* text : {"", "/", "1", "1/", "/1", "0x1/1", "-1/1", "+1/1", " 1/1", "1/1 ", "1/1/1", "g/1",
                           "11112222333344445/1", "1/123456789"})
    EXPECT_FALSE(parse_state_id(text)) << text;
}

}  // namespace
}  // namespace pfsync::engine
