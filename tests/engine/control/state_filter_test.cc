#include "engine/control/state_filter.h"

#include <gtest/gtest.h>

#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>

#include "engine/control/creator_counts.h"
#include "engine/control/states_report.h"
#include "statetable/entry.h"
#include "tests/engine/node.h"
#include "wire/address.h"

namespace pfsync::engine {
namespace {

StateFilter filter_of(std::string_view text) {
  auto parsed = parse_state_filter(text);
  if (const auto* why = std::get_if<std::string>(&parsed)) {
    ADD_FAILURE() << text << ": " << *why;
    return {};
  }
  return std::get<StateFilter>(parsed);
}

std::string refusal_of(std::string_view text) {
  auto parsed = parse_state_filter(text);
  return std::holds_alternative<std::string>(parsed) ? std::get<std::string>(parsed) : "";
}

void put_end(wire::Key& key, std::size_t end, std::string_view address, std::uint16_t port) {
  key.addr[end] = wire::parse_address(address).value().second;
  key.port[end] = port;
}

statetable::Snapshot snapshot_of(const wire::State& state) {
  statetable::Snapshot snapshot;
  snapshot.hot.id = state.id;
  snapshot.hot.proto = state.proto;
  snapshot.hot.af = state.af;
  snapshot.hot.direction = state.direction;
  snapshot.cold = statetable::cold_part(state);
  return snapshot;
}

/// What pfctl prints as "em0 tcp 198.51.100.1:61000 (10.1.0.5:40000) -> 203.0.113.9:443".
wire::State translated() {
  wire::State state;
  state.id = {0x6b03a1a3, 0x97bc0c81};
  state.ifname = wire::InterfaceName{"em0"};
  state.af = wire::Family::inet;
  state.proto = wire::ipproto::tcp;
  state.direction = wire::Direction::out;
  put_end(state.key[wire::wire_side], 1, "198.51.100.1", 61000);
  put_end(state.key[wire::stack_side], 1, "10.1.0.5", 40000);
  for (wire::Key& key : state.key) put_end(key, 0, "203.0.113.9", 443);
  return state;
}

bool fits(std::string_view filter, const wire::State& state) { return filter_of(filter).matches(snapshot_of(state)); }

TEST(StateFilter, EachTermFitsAndFails) {
  const wire::State state = translated();
  for (const char* text : {"",
                           "host 10.1.0.5",
                           "10.1.0.5",
                           "198.51.100.1",
                           "203.0.113.9",
                           "net 10.1.0.0/16",
                           "10.0.0.0/8",
                           "0.0.0.0/0",
                           "src 10.1.0.5",
                           "src host 198.51.100.1",
                           "dst net 203.0.113.0/24",
                           "port 443",
                           "dst port 443",
                           "src port 40000",
                           "src port 61000",
                           "port 400:500",
                           "port 443-443",
                           "proto tcp",
                           "proto 6",
                           "tcp",
                           "TCP",
                           "on em0",
                           "interface em0",
                           "creator 97bc0c81",
                           "creatorid: 97bc0c81",
                           "id 6b03a1a3",
                           "id 000000006b03a1a3/97bc0c81",
                           "000000006b03a1a3/97bc0c81",
                           "id: 000000006b03a1a3 creatorid: 97bc0c81",
                           "203.0.113.9:443",
                           "10.1.0.5:40000",
                           "host 10.1.0.5 and dst 203.0.113.9 and tcp port 443",
                           "  tcp\tport  443 "})
    EXPECT_TRUE(fits(text, state)) << text;
  for (const char* text : {"host 10.1.0.6",
                           "src 203.0.113.9",
                           "dst 10.1.0.5",
                           "net 10.2.0.0/16",
                           "10.1.0.4/32",
                           "src port 443",
                           "dst port 40000",
                           "port 444",
                           "port 0:442",
                           "udp",
                           "proto 17",
                           "on em1",
                           "on em",
                           "creator 97bc0c80",
                           "id 6b03a1a4",
                           "6b03a1a3/97bc0c80",
                           "203.0.113.9:80",
                           "10.1.0.5:443",
                           "host ::1",
                           "::/0",
                           "tcp port 443 host 10.9.9.9"})
    EXPECT_FALSE(fits(text, state)) << text;
}

TEST(StateFilter, TheOpenersEndDependsOnTheDirection) {
  wire::State state = translated();
  state.direction = wire::Direction::in;  // now index 0 opened it
  EXPECT_TRUE(fits("src 203.0.113.9", state));
  EXPECT_TRUE(fits("dst 10.1.0.5", state));
  EXPECT_FALSE(fits("src 10.1.0.5", state));
}

/// Its stack's ends have changed places: an IPv6 host opened a connection to an IPv4 one.
TEST(StateFilter, EndsOfTwoFamiliesAreThoseThatPfctlPrints) {
  wire::State state;
  state.af = wire::Family::inet;
  state.stack_af = wire::Family::inet6;
  state.proto = wire::ipproto::udp;
  state.direction = wire::Direction::out;
  put_end(state.key[wire::wire_side], 1, "192.0.2.1", 5000);
  put_end(state.key[wire::wire_side], 0, "198.51.100.7", 53);
  put_end(state.key[wire::stack_side], 0, "2001:db8::5", 4000);
  put_end(state.key[wire::stack_side], 1, "64:ff9b::c633:6407", 53);
  EXPECT_TRUE(fits("src 2001:db8::5", state));
  EXPECT_TRUE(fits("src 192.0.2.1", state));
  EXPECT_TRUE(fits("dst 64:ff9b::/96", state));
  EXPECT_TRUE(fits("2001:db8::5[4000]", state));
  EXPECT_TRUE(fits("[2001:db8::5]:4000", state));
  EXPECT_FALSE(fits("dst 2001:db8::5", state));
  EXPECT_FALSE(fits("0.0.0.0/0 src 198.51.100.7", state));
}

TEST(StateFilter, WhatPfKeepsForIcmpIsNoPort) {
  wire::State state = translated();
  state.proto = wire::ipproto::icmp;
  EXPECT_FALSE(fits("port 443", state));
  EXPECT_FALSE(fits("port 0:65535", state));
  EXPECT_TRUE(fits("icmp 203.0.113.9", state));
}

TEST(StateFilter, AStateThatFloatsIsFoundByTheInterfaceItWasMadeOn) {
  wire::State state = translated();
  state.ifname = wire::InterfaceName{"all"};
  state.orig_ifname = wire::InterfaceName{"em7"};
  EXPECT_TRUE(fits("on em7", state));
  EXPECT_TRUE(fits("on all", state));
  EXPECT_FALSE(fits("on em0", state));
}

TEST(StateFilter, WhatIsWrongIsNamedInOneSentence) {
  const std::pair<const char*, const char*> cases[] = {{"nonsense", "\"nonsense\" is no term"},
                                                       {"host", "behind \"host\""},
                                                       {"host example.org", "names are not looked up"},
                                                       {"net 10.0.0.0/33", "no address and no network"},
                                                       {"net 10.0.0.0/", "no address and no network"},
                                                       {"port 65536", "is no port"},
                                                       {"port 9:8", "is no port"},
                                                       {"port -1", "is no port"},
                                                       {"proto 256", "is no protocol"},
                                                       {"proto nope", "is no protocol"},
                                                       {"on a-name-of-sixteen", "at most 15"},
                                                       {"creator xyz", "is no creator id"},
                                                       {"creator 123456789", "is no creator id"},
                                                       {"id 1/2/3", "is no state's id"},
                                                       {"tcp udp", "given twice"},
                                                       {"on em0 on em1", "given twice"},
                                                       {"creator 1 2/3", "given twice"},
                                                       {"1.1.1.1 2.2.2.2 3.3.3.3 4.4.4.4 5.5.5.5", "at most 4"},
                                                       {"\x1b[2J", "\"?[2J\" is no term"}};
  for (const auto& [text, sentence] : cases)
    EXPECT_NE(refusal_of(text).find(sentence), std::string::npos) << text << ": " << refusal_of(text);
  EXPECT_NE(refusal_of(std::string(401, ' ')), "");
}

TEST(CreatorCounts, AreOfTheLastWholeWalk) {
  test::Node node{1000};
  for (std::uint64_t id = 1; id <= 300; ++id) ASSERT_EQ(node.open(id), Session::Local::done);
  CreatorCounts counts;
  counts.step(*node.table, node.now);
  ASSERT_TRUE(counts.counts());
  ASSERT_EQ(counts.counts()->rows.size(), 1u);
  EXPECT_EQ(counts.counts()->rows[0].creatorid, test::node_creatorid);
  EXPECT_EQ(counts.counts()->rows[0].states, 300u);
  EXPECT_EQ(counts.counts()->others, 0u);
  ASSERT_EQ(node.open(301), Session::Local::done);
  counts.step(*node.table, node.now + CreatorCounts::refresh - std::chrono::milliseconds{1});
  EXPECT_EQ(counts.counts()->rows[0].states, 300u);
  counts.step(*node.table, node.now + CreatorCounts::refresh);
  EXPECT_EQ(counts.counts()->rows[0].states, 301u);
}

/// A peer may make up creator ids; the list stays bounded, the sum right.
TEST(CreatorCounts, AreBoundedInNumber) {
  auto made = statetable::Table::create({.states_max = 1000, .shard_bits = 0});
  auto& table = *std::get<0>(made);
  auto writer = table.claim(0).value();
  for (std::uint32_t creatorid = 1; creatorid <= 200; ++creatorid) {
    statetable::HotState hot;
    hot.id = {creatorid, creatorid % 100};
    hot.in_use = true;
    ASSERT_EQ(writer.insert(hot, {}, table.hash(hot.id)).inserted, statetable::ShardWriter::Inserted::yes);
  }
  CreatorCounts counts;
  counts.step(table, test::node_started);
  ASSERT_TRUE(counts.counts());
  EXPECT_EQ(counts.counts()->rows.size(), CreatorCounts::creators_max);
  std::size_t sum = counts.counts()->others;
  for (const auto& row : counts.counts()->rows) sum += row.states;
  EXPECT_EQ(sum, 200u);
}

class StatesReport : public ::testing::Test {
 protected:
  Json ask(const Json& request) { return handle_request(request, node.view(), node.commands()); }
  /// All pages of a request; `pages`: how many there were.
  std::set<std::string> all(Json request, std::size_t& pages) {
    std::set<std::string> ids;
    pages = 0;
    do {
      const Json page = ask(request);
      EXPECT_EQ(page["ok"], true) << page;
      if (page["ok"] != true) break;
      EXPECT_LE(page["looked_at"], StatesPage::slots_max);
      EXPECT_LE(page["progress"]["at"], page["progress"]["of"]);
      for (const Json& state : page["states"]) EXPECT_TRUE(ids.insert(state["id"].get<std::string>()).second);
      ++pages;
      request["cursor"] = page["cursor"];
    } while (!request["cursor"].is_null());
    return ids;
  }
  test::Node node{100'000};
};

TEST_F(StatesReport, AFilterFindsWhatFitsAndEndsPagesByWorkToo) {
  constexpr std::uint64_t count = 2 * StatesPage::slots_max + 100;
  for (std::uint64_t id = 1; id <= count; ++id)
    ASSERT_EQ(node.open(id, id % 2 == 0 ? "em0" : "em1"), Session::Local::done);
  std::size_t pages = 0;
  const Json filtered{{"command", "show"}, {"what", "states"}, {"filter", "src 10.1.0.7 dst port 80 on em1"}};
  // Addresses of Node::open repeat after 65536 states.
  EXPECT_EQ(all(filtered, pages), (std::set<std::string>{"0000000000000007/97bc0c81", "0000000000010007/97bc0c81"}));
  EXPECT_GE(pages, 3u);
  const Json whole{{"command", "show"}, {"what", "states"}, {"filter", "id 9/97bc0c81"}};
  EXPECT_EQ(all(whole, pages), (std::set<std::string>{"0000000000000009/97bc0c81"}));
  EXPECT_EQ(pages, 1u);
  const Json none{{"command", "show"}, {"what", "states"}, {"filter", "udp"}};
  EXPECT_TRUE(all(none, pages).empty());
  EXPECT_EQ(ask({{"command", "show"}, {"what", "states"}, {"filter", "what"}})["ok"], false);
  // An address bar's "443" may arrive as a number; it is no term, and that is said.
  EXPECT_NE(
      ask({{"command", "show"}, {"what", "states"}, {"filter", 443u}})["error"].get<std::string>().find("\"443\""),
      std::string::npos);
}

TEST_F(StatesReport, KillTakesAllThatFitInBoundedSteps) {
  for (std::uint64_t id = 1; id <= 200; ++id) ASSERT_EQ(node.open(id, id <= 150 ? "em0" : "em1"), Session::Local::done);
  Json request{{"command", "kill"}, {"filter", "on em0"}};
  std::size_t killed = 0, pages = 0;
  do {
    const Json answer = ask(request);
    ASSERT_EQ(answer["ok"], true) << answer;
    EXPECT_LE(answer["states"], StatesPage::kills_max);
    killed += answer["states"].get<std::size_t>();
    ++pages;
    request["cursor"] = answer["cursor"];
  } while (!request["cursor"].is_null());
  EXPECT_EQ(killed, 150u);
  EXPECT_GE(pages, 3u);
  EXPECT_EQ(node.table->size(), 50u);
  EXPECT_NE(ask({{"command", "kill"}, {"filter", ""}})["error"].get<std::string>().find("every state"),
            std::string::npos);
  EXPECT_EQ(ask({{"command", "kill"}, {"filter", "fly"}})["ok"], false);
  EXPECT_EQ(node.table->size(), 50u);
}

TEST_F(StatesReport, CreatorsAreShownWithTheirStates) {
  for (std::uint64_t id = 1; id <= 3; ++id) ASSERT_EQ(node.open(id), Session::Local::done);
  const Json expected{{"creators", {{{"creatorid", "97bc0c81"}, {"states", 3}, {"own", true}}}},
                      {"other_states", 0},
                      {"counted_s", 0.0}};
  Json shown = ask({{"command", "show"}, {"what", "creators"}});
  shown.erase("ok");
  EXPECT_EQ(shown, expected);
  EXPECT_EQ(ask({{"command", "show"}, {"what", "status"}})["creators"], expected);
}

}  // namespace
}  // namespace pfsync::engine
