#include "engine/control/commands.h"

#include <gtest/gtest.h>

#include <array>
#include <nlohmann/json.hpp>

#include "tests/engine/node.h"
#include "wire/packet_writer.h"

namespace pfsync::engine {
namespace {

using test::Node;

/// A node and its operator, without the socket between them.
class CommandsTest : public ::testing::Test {
 protected:
  Json ask(const Json& request) { return handle_request(request, node.view(), node.commands()); }
  std::string refusal(const Json& request) {
    const Json answer = ask(request);
    EXPECT_EQ(answer["ok"], false) << request;
    return answer["ok"] == false ? answer["error"].get<std::string>() : "";
  }
  Node node;
};

TEST_F(CommandsTest, ShowGivesWhatIsAskedFor) {
  EXPECT_EQ(ask({{"command", "show"}, {"what", "status"}})["states"], 0);
  EXPECT_TRUE(ask({{"command", "show"}, {"what", "status"}, {"digest", true}}).contains("digest"));
  EXPECT_TRUE(ask({{"command", "show"}, {"what", "states"}})["states"].is_array());
  EXPECT_TRUE(ask({{"command", "show"}, {"what", "counters"}, {"sentences", true}})["sentences"].is_object());
}

TEST_F(CommandsTest, ShowTdbsListsTheSasHeardOfLastFirst) {
  EXPECT_EQ(ask({{"command", "show"}, {"what", "tdbs"}})["tdbs"], Json::array());
  const auto hear = [this](const wire::Tdb& tdb) {
    std::array<std::uint8_t, 200> room{};
    wire::PacketWriter writer{wire::Dialect::openbsd, room};
    ASSERT_TRUE(writer.append_tdb(tdb));
    node.session.on_packet(wire::Bytes{room}.first(writer.finish()), node.now);
  };
  hear({.spi = 0xc0ffee,
        .af = wire::Family::inet,
        .dst = wire::ipv4_address(192, 0, 2, 7),
        .rpl = 5,
        .cur_bytes = 700,
        .sproto = 50});
  node.now += std::chrono::seconds{3};
  hear({.spi = 0x1000,
        .af = wire::Family::inet,
        .dst = wire::ipv4_address(192, 0, 2, 8),
        .rpl = 1,
        .sproto = 51,
        .rdomain = 2});
  const Json tdbs = ask({{"command", "show"}, {"what", "tdbs"}})["tdbs"];
  ASSERT_EQ(tdbs.size(), 2u);
  EXPECT_EQ(tdbs[0]["spi"], "00001000");
  EXPECT_EQ(tdbs[0]["rdomain"], 2);
  EXPECT_EQ(tdbs[1], (Json{{"spi", "00c0ffee"},
                           {"dst", "192.0.2.7"},
                           {"protocol", "esp"},
                           {"rdomain", 0},
                           {"rpl", 5},
                           {"cur_bytes", 700},
                           {"heard_s", 3}}));
}

TEST_F(CommandsTest, ReloadAnswersWithItsLists) {
  EXPECT_EQ(refusal({{"command", "reload"}}), "this node cannot do that: its configuration came from no file");
  Commands commands = node.commands();
  commands.reload = [] { return Outcome{true, "changed: a; a restart is needed for: b", 0, {"a"}, {"b"}, {"c"}}; };
  EXPECT_EQ(handle_request({{"command", "reload"}}, node.view(), commands),
            (Json{{"ok", true},
                  {"sentence", "changed: a; a restart is needed for: b"},
                  {"changes", {"a"}},
                  {"restart", {"b"}},
                  {"warnings", {"c"}}}));
  commands.reload = [] { return Outcome{false, "the file is broken", 0}; };
  EXPECT_EQ(handle_request({{"command", "reload"}}, node.view(), commands)["error"], "the file is broken");
}

TEST_F(CommandsTest, ASnapshotHasANumberToWaitFor) {
  Commands commands = node.commands();
  const auto snapshot = [&] { return handle_request({{"command", "snapshot"}}, node.view(), commands); };
  constexpr const char* none = "this node writes no snapshots: its configuration has no [snapshot]";
  EXPECT_EQ(snapshot()["error"], none);
  commands.snapshot = [] { return std::optional<std::uint64_t>{}; };
  EXPECT_EQ(snapshot()["error"], none);
  commands.snapshot = [] { return std::optional<std::uint64_t>{7}; };
  EXPECT_EQ(snapshot(), (Json{{"ok", true}, {"sentence", "a snapshot is being written"}, {"number", 7}}));
}

TEST_F(CommandsTest, ForgetTakesANodeOfTheLink) {
  Commands commands = node.commands();
  wire::Address forgotten{};
  commands.forget = [&](const wire::Address& address) {
    forgotten = address;
    return Outcome{true, "it is missed no longer", 0};
  };
  const auto forget = [&](const Json& address) {
    return handle_request({{"command", "forget"}, {"address", address}}, node.view(), commands);
  };
  EXPECT_EQ(forget("10.0.0.77")["sentence"], "it is missed no longer");
  EXPECT_EQ(forgotten, wire::ipv4_address(10, 0, 0, 77));
  for (const Json& address : {Json{"2001:db8::1"}, Json{"fw2"}, Json{""}, Json{7}, Json{}})
    EXPECT_EQ(forget(address)["ok"], false) << address;
  node.config.peers.emplace_back().address = wire::ipv4_address(10, 0, 0, 78);
  EXPECT_EQ(forget("10.0.0.78")["error"], "that is a [[peer]] of the configuration: take it out there, and reload");
}

TEST_F(CommandsTest, ACursorOutsideTheTableEndsTheWalk) {
  ASSERT_EQ(node.open(1), Session::Local::done);
  const auto from = [&](std::uint64_t shard, std::uint64_t slot) {
    return ask({{"command", "show"}, {"what", "states"}, {"cursor", {{"shard", shard}, {"slot", slot}}}});
  };
  EXPECT_EQ(from(0, 0)["states"].size(), 1u);
  const Json past = from(node.table->shard_count(), node.table->slot_count());
  EXPECT_EQ(past["ok"], true);
  EXPECT_EQ(past["states"].size(), 0u);
  EXPECT_TRUE(past["cursor"].is_null());
  EXPECT_EQ(from(node.table->shard_count() + 1, 0)["ok"], false);
  EXPECT_EQ(from(0, node.table->slot_count() + 1)["ok"], false);
}

TEST_F(CommandsTest, KillRemovesTheStateThatItNames) {
  ASSERT_EQ(node.open(1), Session::Local::done);
  ASSERT_EQ(node.open(2), Session::Local::done);
  const Json answer = ask({{"command", "kill"}, {"id", "1/97bc0c81"}});
  EXPECT_EQ(answer["ok"], true);
  EXPECT_EQ(answer["states"], 1);
  EXPECT_FALSE(node.table->reader().find({1, test::node_creatorid}));
  EXPECT_TRUE(node.table->reader().find({2, test::node_creatorid}));
  EXPECT_EQ(refusal({{"command", "kill"}, {"id", "1/97bc0c81"}}), "no state has that id");
}

TEST_F(CommandsTest, FlushTakesOneInterfaceOrAll) {
  ASSERT_EQ(node.open(1, "em0"), Session::Local::done);
  ASSERT_EQ(node.open(2, "em1"), Session::Local::done);
  ASSERT_EQ(node.open(3, "em1"), Session::Local::done);
  EXPECT_EQ(ask({{"command", "flush"}, {"interface", "em1"}})["states"], 2);
  EXPECT_EQ(node.table->size(), 1u);
  EXPECT_EQ(ask({{"command", "flush"}})["states"], 1);
  EXPECT_EQ(node.table->size(), 0u);
}

TEST_F(CommandsTest, FlushRefusesANameThatWouldBeReadAsAnother) {
  ASSERT_EQ(node.open(1, "em0"), Session::Local::done);
  EXPECT_NE(refusal({{"command", "flush"}, {"interface", std::string{"\0em1", 4}}}), "");
  EXPECT_NE(refusal({{"command", "flush"}, {"interface", "a-name-of-sixteen"}}), "");
  EXPECT_EQ(node.table->size(), 1u);
}

TEST_F(CommandsTest, ResyncAsksForABulkUpdateAgain) {
  node.give_up_bulk();
  ASSERT_EQ(node.session.bulk().phase(), BulkPhase::failed);
  EXPECT_EQ(ask({{"command", "resync"}})["ok"], true);
  EXPECT_EQ(node.session.bulk().phase(), BulkPhase::asked);
}

TEST_F(CommandsTest, ResyncOfAPeerNamesOneThatIsThere) {
  node.give_up_bulk();
  EXPECT_EQ(refusal({{"command", "resync"}, {"peer", "10.0.0.9\n"}}),
            "10.0.0.9? is no peer of this node: pfsyncctl show peers lists them");
  EXPECT_EQ(refusal({{"command", "resync"}, {"peer", 7}}), "\"peer\" must be a string");
  EXPECT_EQ(node.session.bulk().phase(), BulkPhase::failed);
  EXPECT_EQ(ask({{"command", "resync"}, {"peer", "224.0.0.240"}})["sentence"], "that peer was asked");
  EXPECT_EQ(node.session.bulk().phase(), BulkPhase::asked);
}

TEST_F(CommandsTest, PushSendsWhatIsQueuedWithoutWaiting) {
  std::array<std::uint8_t, 1480> room{};
  while (node.session.transmit(room, node.now) > 0) {
  }
  ASSERT_EQ(node.open(1), Session::Local::done);
  ASSERT_EQ(node.session.transmit(room, node.now), 0u);
  EXPECT_EQ(ask({{"command", "push"}})["ok"], true);
  EXPECT_GT(node.session.transmit(room, node.now), 0u);
}

TEST_F(CommandsTest, SyntheticStopsAndStartsTheLoad) {
  EXPECT_EQ(refusal({{"command", "synthetic"}, {"run", false}}), "this node plays no firewall");
  node.synthetic.emplace(SyntheticConfig{.states = 10});
  EXPECT_EQ(ask({{"command", "synthetic"}, {"run", false}})["ok"], true);
  EXPECT_EQ(ask({{"command", "show"}, {"what", "status"}})["synthetic"]["running"], false);
  EXPECT_EQ(ask({{"command", "synthetic"}, {"run", true}})["ok"], true);
  EXPECT_TRUE(node.synthetic->running());
}

TEST_F(CommandsTest, ACommandThatTheNodeLacksIsRefused) {
  for (const Json& request :
       {Json{{"command", "resync"}}, Json{{"command", "push"}}, Json{{"command", "flush"}},
        Json{{"command", "kill"}, {"id", "1/1"}}, Json{{"command", "synthetic"}, {"run", true}}}) {
    const Json answer = handle_request(request, node.view(), Commands{});
    EXPECT_EQ(answer["ok"], false) << request;
    EXPECT_EQ(answer["error"], "this node cannot do that: its configuration has no such part");
  }
}

TEST_F(CommandsTest, AnyJsonGetsAnAnswer) {
  const Json requests[] = {nullptr,
                           7,
                           "show",
                           Json::array({1, 2}),
                           Json::object(),
                           {{"command", 7}},
                           {{"command", "fly"}},
                           {{"command", "show"}},
                           {{"command", "show"}, {"what", {{"a", 1}}}},
                           {{"command", "show"}, {"what", "weather"}},
                           {{"command", "show"}, {"what", "status"}, {"digest", "yes"}},
                           {{"command", "show"}, {"what", "states"}, {"limit", 0}},
                           {{"command", "show"}, {"what", "states"}, {"limit", 1001}},
                           {{"command", "show"}, {"what", "states"}, {"limit", -1}},
                           {{"command", "show"}, {"what", "states"}, {"limit", 1.5}},
                           {{"command", "show"}, {"what", "states"}, {"cursor", 3}},
                           {{"command", "show"}, {"what", "states"}, {"cursor", {{"slot", "0"}}}},
                           {{"command", "kill"}},
                           {{"command", "kill"}, {"id", "zz/1"}},
                           {{"command", "flush"}, {"interface", nullptr}},
                           {{"command", "synthetic"}},
                           {{"command", "synthetic"}, {"run", 1}}};
  for (const Json& request : requests) EXPECT_NE(refusal(request), "") << request;
}

}  // namespace
}  // namespace pfsync::engine
