#include "engine/ctl/text.h"

#include <gtest/gtest.h>

#include "engine/control/report.h"
#include "tests/engine/node.h"

namespace pfsync::engine::ctl {
namespace {

using test::Node;

TEST(TerminalSafe, KeepsTextAndEscapesWhatControls) {
  EXPECT_EQ(terminal_safe("line\n\ttab …"), "line\n\ttab …");
  EXPECT_EQ(terminal_safe("\x1b[2J\r\b\x7f"), "\\x1b[2J\\x0d\\x08\\x7f");
  EXPECT_EQ(terminal_safe("\xc2\x9b"
                          "31m \xc2\xa0"),
            "\\x9b31m \xc2\xa0");
  EXPECT_EQ(terminal_safe("\xc2"), "\xc2");
}

TEST(Uptime, ReadsAsPfctlsDoes) {
  EXPECT_EQ(uptime_text(0), "00:00:00");
  EXPECT_EQ(uptime_text(3725.9), "01:02:05");
  EXPECT_EQ(uptime_text(86400), "1 day 00:00:00");
  EXPECT_EQ(uptime_text(2 * 86400 + 1), "2 days 00:00:01");
  EXPECT_EQ(uptime_text(-1), "00:00:00");
}

TEST(Bar, IsAsLongAsItsWidthWhateverTheFraction) {
  EXPECT_EQ(bar_text(0, 10), "[..........]");
  EXPECT_EQ(bar_text(0.5, 10), "[#####.....]");
  EXPECT_EQ(bar_text(1, 10), "[##########]");
  EXPECT_EQ(bar_text(7, 4), "[####]");
  EXPECT_EQ(bar_text(-1, 4), "[....]");
}

TEST(FirstLine, IsAllThereIsWithoutANewline) {
  EXPECT_EQ(first_line("a\nb\n"), "a");
  EXPECT_EQ(first_line("a"), "a");
  EXPECT_EQ(first_line(""), "");
}

TEST(StatusText, HasALineForEachThingThatANodeMayHave) {
  Node node;
  node.config.link.vlan = 7;
  node.config.peers.emplace_back().address = node.config.link.destination;
  node.synthetic.emplace(SyntheticConfig{.states = 10});
  node.synthetic->stop();
  node.sender.start(node.now);
  const std::string text = status_text(status_json(node.view(), false));
  EXPECT_NE(text.find("10.0.0.1 to peer 224.0.0.240, mtu 1500, vlan 7, dialect 1301\n"), std::string::npos) << text;
  EXPECT_NE(text.find("Synthetic Load (stopped)\n"), std::string::npos) << text;
  EXPECT_NE(text.find("sending 0 of 0 states\n"), std::string::npos) << text;
  EXPECT_NE(text.find("asked (request 1 of 13)\n"), std::string::npos) << text;
}

TEST(StatusText, NamesTheInterfacesWithoutARow) {
  InterfaceMap map;
  ASSERT_EQ(map.add(wire::InterfaceName{"igb0"}, wire::InterfaceName{"vmx1"}), InterfaceMap::Added::yes);
  Node node{1000, false, map, wire::Dialect::freebsd_1500};
  EXPECT_EQ(status_text(status_json(node.view(), false)).find("interface_map"), std::string::npos);
  node.session.flush(wire::InterfaceName{"em9"}, node.now);
  node.session.flush(wire::InterfaceName{"em7"}, node.now);
  node.session.flush(wire::InterfaceName{"em9"}, node.now);
  const std::string text = status_text(status_json(node.view(), false));
  EXPECT_NE(
      text.find("\n  not in the interface_map of 224.0.0.240: em7 (0 in, 1 out), em9 (0 in, 2 out)\n\nState Table"),
      std::string::npos)
      << text;
}

TEST(TdbsText, HasALineForEachSa) {
  EXPECT_EQ(tdbs_text(Json{{"tdbs", Json::array()}}), "no IPsec counters have been heard of\n");
  const Json tdb{{"spi", "00c0ffee"}, {"dst", "192.0.2.7"}, {"protocol", "esp"}, {"rdomain", 2},
                 {"rpl", 5},          {"cur_bytes", 700},   {"heard_s", 3}};
  EXPECT_EQ(tdbs_text(Json{{"tdbs", {tdb}}}),
            "spi       dst                                      proto           rpl        cur_bytes  heard\n"
            "00c0ffee  192.0.2.7 rdomain 2                      esp               5              700  00:00:03 ago\n");
}

TEST(StatusText, SaysWhoSpeaksWithASharedPeer) {
  Node node;
  Json status = status_json(node.view(), false);
  status["peers"] = {{{"address", "10.0.0.2"},
                      {"source", "10.0.0.1"},
                      {"active", true},
                      {"dialect", "1400"},
                      {"dialect_from", "learned"},
                      {"interfaces_unmapped", Json::array()},
                      {"bulk", status["bulk"]}},
                     {{"address", "10.0.0.3"},
                      {"source", "10.0.0.254"},
                      {"active", false},
                      {"dialect", "1301"},
                      {"dialect_from", "default"},
                      {"interfaces_unmapped", Json::array()},
                      {"bulk", status["bulk"]}}};
  const std::string text = status_text(status);
  EXPECT_NE(text.find("  peer 10.0.0.2, dialect 1400 (learned), bulk update asked"), std::string::npos) << text;
  EXPECT_NE(text.find("  peer 10.0.0.3, dialect 1301 (default), spoken with by the master of 10.0.0.254\n"),
            std::string::npos)
      << text;
}

TEST(StatusText, TellsWhereTheDialectComesFrom) {
  Node node;
  Json status = status_json(node.view(), false);
  status["dialect_from"] = "learned";
  status["dialect"] = "1500";
  EXPECT_NE(status_text(status).find("dialect 1500 (learned)\n"), std::string::npos) << status_text(status);
}

TEST(Rates, AreWhatWasAddedBySecond) {
  const Json before{{"uptime_s", 10.0}, {"totals", {{"inserts", 100}}}};
  const Json after{{"uptime_s", 12.0}, {"totals", {{"inserts", 150}}}};
  EXPECT_EQ((Rates{before, after}("inserts")), 25.0);
  EXPECT_EQ((Rates{std::nullopt, after}("inserts")), 0.0);
  EXPECT_EQ((Rates{after, before}("inserts")), 0.0) << "the daemon was restarted";
}

TEST(WatchText, ShowsWhatHappenedSinceTheLastPicture) {
  Node node;
  const Json before = status_json(node.view(), false);
  for (std::uint64_t id = 1; id <= 500; ++id) ASSERT_EQ(node.open(id), Session::Local::done);
  node.now += std::chrono::seconds{2};
  node.sender.start(node.now);
  std::array<std::uint8_t, 1480> room{};
  while (node.sender.states_sent() == 0) ASSERT_GT(node.sender.transmit(room, node.now), 0u);
  const Json status = status_json(node.view(), false);
  const std::string text = watch_text(before, status);
  EXPECT_NE(text.find("[####################....................] 500 of 1000\n"), std::string::npos) << text;
  EXPECT_NE(text.find("inserts                              500          250.0/s\n"), std::string::npos) << text;
  EXPECT_NE(text.find(" of 500 states\n"), std::string::npos) << text;
  EXPECT_EQ(watch_line(before, status), "healthy states 500 in 0/s out 0/s refused 0 bulk asked\n");
}

TEST(Status, TellsOfSnapshots) {
  Node node;
  Json status = status_json(node.view(), false);
  EXPECT_EQ(status_text(status).find("Snapshot"), std::string::npos);
  status["snapshot"] = {{"path", "/x/states.snapshot"},
                        {"interval_s", 60},
                        {"writing", true},
                        {"error", nullptr},
                        {"last", nullptr},
                        {"restored", nullptr},
                        {"not_restored", "it is damaged"}};
  EXPECT_NE(
      status_text(status).find("Snapshot\n"
                               "  file                      /x/states.snapshot, every 60 s; one is being written\n"
                               "  last                      none since the start\n"
                               "  at the start              empty: it is damaged\n"),
      std::string::npos)
      << status_text(status);
  status["snapshot"].update({{"writing", false},
                             {"error", "the disk is full"},
                             {"last", {{"age_s", 61}, {"states", 7}, {"bytes", 900}, {"seconds", 0.25}}},
                             {"restored", {{"sentence", "7 of 7 states"}}}});
  EXPECT_NE(status_text(status).find("  file                      /x/states.snapshot, every 60 s\n"
                                     "  last                      00:01:01 ago: 7 states, 900 bytes, in 0.25 s\n"
                                     "  error                     the disk is full\n"
                                     "  at the start              7 of 7 states\n"),
            std::string::npos)
      << status_text(status);
}

}  // namespace
}  // namespace pfsync::engine::ctl
