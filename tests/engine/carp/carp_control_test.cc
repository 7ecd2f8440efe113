// CARP as operators meet it: the configuration, orders, what is told.
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "engine/carp/order.h"
#include "engine/carp/report.h"
#include "engine/config/config.h"
#include "engine/ctl/carp.h"
#include "tests/engine/carp/carp_bench.h"
#include "tests/engine/config/config_text.h"

namespace pfsync::engine::carp::test {
namespace {

using engine::test::good;
using engine::test::refusal;

const std::string head = "[link]\ndevice = \"eth1\"\naddress = \"10.0.0.1/24\"\n[[carp]]\n";  // lines 1 to 4
const std::string least = head + "vhid = 7\npassword = \"secret\"\naddresses = [\"10.0.0.254/24\"]\n";

TEST(CarpConfig, TheShortestHasEveryDefault) {
  const Config config = good(least);
  ASSERT_EQ(config.carp.size(), 1u);
  const HostConfig& host = config.carp[0].host;
  EXPECT_EQ(host.vhid, 7);
  EXPECT_EQ(host.advbase, 1);
  EXPECT_EQ(host.advskew, 0);
  EXPECT_EQ(host.password, "secret");
  EXPECT_EQ(host.addresses, std::vector{address("10.0.0.254")});
  EXPECT_EQ(config.carp[0].address_texts, std::vector<std::string>{"10.0.0.254/24"});
  EXPECT_EQ(host.peer_inet, wire::carp_group_inet);
  EXPECT_TRUE(host.preempt);
  EXPECT_FALSE(host.openbsd);
  EXPECT_FALSE(host.both_families);
  EXPECT_TRUE(config.warnings.empty());
  EXPECT_TRUE(good("[link]\ndevice = \"eth1\"\naddress = \"10.0.0.1/24\"\n").carp.empty());
}

TEST(CarpConfig, EveryKeyIsTaken) {
  const Config config = good(head + R"(vhid = 255
advbase = 3
advskew = 254
password = "a b'c"
password_form = "pfsense"
addresses = ["10.0.0.254/24", "2001:db8::1/64"]
peer = "10.0.0.2"
peer6 = "fe80::2"
preempt = false
openbsd = true
both_families = true
interface = "eth1"
[[carp]]
vhid = 1
password = ""
addresses = ["10.0.0.253"]
[control]
state_dir = "/var/db/x"
)");
  ASSERT_EQ(config.carp.size(), 2u);
  const HostConfig& host = config.carp[0].host;
  EXPECT_EQ(host.advbase, 3);
  EXPECT_EQ(host.advskew, 254);
  EXPECT_EQ(host.password, "ab\\'c");
  EXPECT_EQ(host.addresses.size(), 2u);
  EXPECT_EQ(host.peer_inet, address("10.0.0.2").address);
  EXPECT_EQ(host.peer_inet6, address("fe80::2").address);
  EXPECT_FALSE(host.preempt);
  EXPECT_TRUE(host.openbsd);
  EXPECT_TRUE(host.both_families);
  EXPECT_EQ(config.carp[0].interface, "eth1");
  EXPECT_EQ(config.control.state_dir, "/var/db/x");
}

TEST(CarpConfig, APasswordMayStandInAFile) {
  const auto file = std::filesystem::temp_directory_path() / ("carp-password-" + std::to_string(::getpid()));
  std::ofstream{file} << "from a file\r\nsecond line\n";
  const Config config =
      good(head + "vhid = 1\npassword_file = \"" + file.string() + "\"\naddresses = [\"10.0.0.254\"]\n");
  std::filesystem::remove(file);
  ASSERT_EQ(config.carp.size(), 1u);
  EXPECT_EQ(config.carp[0].host.password, "from a file");
}

TEST(CarpConfig, ALinkLocalAddressBelongsToItsPort) {
  const Config config = good(least +
                             "[[interface]]\ndevice = \"eth2\"\naddress = \"10.1.0.1\"\n"
                             "[[carp]]\nvhid = 8\npassword = \"x\"\naddresses = [\"fe80::9\"]\n"
                             "[[carp]]\ninterface = \"eth2\"\nvhid = 8\npassword = \"x\"\naddresses = [\"fe80::9\"]\n");
  ASSERT_EQ(config.carp.size(), 3u);
  EXPECT_EQ(config.carp[2].port, 1u);
}

TEST(CarpConfig, WarnsOfAPeerBehindARouter) {
  EXPECT_TRUE(good(least + "peer = \"10.0.0.2\"\n").warnings.empty());
  const Config config = good(least + "peer = \"10.0.1.2\"\n");
  ASSERT_EQ(config.warnings.size(), 1u);
  EXPECT_NE(config.warnings[0].find("10.0.1.2 is outside 10.0.0.1/24"), std::string::npos) << config.warnings[0];
}

TEST(CarpConfig, WarnsOfWhatHasNoEffect) {
  const std::string inet6 = head + "vhid = 7\npassword = \"secret\"\naddresses = [\"2001:db8::1/64\"]\n";
  for (const auto& [text, says] :
       {std::pair{least + "peer6 = \"fe80::2\"\n", "peer6 has no effect: there is no IPv6"},
        std::pair{least + "both_families = true\n", "both_families has no effect: there is no IPv6"},
        std::pair{inet6 + "peer = \"10.0.0.2\"\n", "peer has no effect: there is no IPv4"}}) {
    const Config config = good(text);
    ASSERT_EQ(config.warnings.size(), 1u) << text;
    EXPECT_NE(config.warnings[0].find(says), std::string::npos) << config.warnings[0];
  }
  EXPECT_TRUE(good(inet6 + "peer6 = \"fe80::2\"\n").warnings.empty());
}

TEST(CarpConfig, WarnsOfMoreIpv6AddressesThanSwitchesAreToldOf) {
  const auto with = [](int addresses) {
    std::string list;
    for (int i = 1; i <= addresses; ++i) list += fmt::format("\"2001:db8::{:x}\", ", i);
    return good(head + "vhid = 1\npassword = \"x\"\naddresses = [" + list + "]\n").warnings;
  };
  EXPECT_TRUE(with(22).empty());  // beside them the group of advertisements and that of the own address
  ASSERT_EQ(with(23).size(), 1u);
  EXPECT_NE(with(23)[0].find("need 25 groups; a switch that snoops MLD is told of 24"), std::string::npos)
      << with(23)[0];
}

TEST(CarpConfig, WarnsWhenTheOtherEngineIsNoPeer) {
  const std::string firewall = "[[peer]]\naddress = \"10.0.0.7\"\nsource = \"10.0.0.254\"\n";
  EXPECT_TRUE(good(least + firewall + "[[peer]]\naddress = \"10.0.0.2\"\n").warnings.empty());
  const Config config = good(least + firewall);
  ASSERT_EQ(config.warnings.size(), 1u);
  EXPECT_NE(config.warnings[0].find("without source"), std::string::npos) << config.warnings[0];
}

TEST(CarpConfig, WarnsOfAPasswordThatKernelsCut) {
  const Config config = good(head + "vhid = 1\npassword = \"12345678901234567890\"\naddresses = [\"10.0.0.254\"]\n");
  ASSERT_EQ(config.warnings.size(), 1u);
  EXPECT_NE(config.warnings[0].find("first 19 bytes"), std::string::npos);
}

TEST(CarpConfig, RefusesInOneSentenceThatNamesLineAndKey) {
  struct Refusal {
    std::string text, starts, says;
  };
  const std::string rest = "password = \"x\"\naddresses = [\"10.0.0.254\"]\n";
  for (const Refusal& row : {
           Refusal{head + rest, "t.toml:4: carp.vhid: is missing", "1 to 255"},
           Refusal{head + "vhid = 0\n" + rest, "t.toml:5: carp.vhid:", "1"},
           Refusal{head + "vhid = 256\n" + rest, "t.toml:5: carp.vhid:", "255"},
           Refusal{least + "advskew = 255\n", "t.toml:8: carp.advskew:", "254"},
           Refusal{least + "advbase = 0\n", "t.toml:8: carp.advbase:", "1"},
           Refusal{least + "advbase = 256\n", "t.toml:8: carp.advbase:", "255"},
           Refusal{head + "vhid = 1\naddresses = [\"10.0.0.254\"]\n", "t.toml:4: carp.password:", "password_file"},
           Refusal{least + "password_file = \"/x\"\n", "t.toml:8: carp.password_file:", "either"},
           Refusal{head + "vhid = 1\npassword_file = \"/nowhere\"\naddresses = [\"10.0.0.254\"]\n",
                   "t.toml:6: carp.password_file:", "/nowhere"},
           Refusal{least + "password_form = \"md5\"\n", "t.toml:8: carp.password_form:", "pfsense"},
           Refusal{head + "vhid = 1\npassword = \"x\"\n", "t.toml:4: carp.addresses: is missing", "every address"},
           Refusal{head + "vhid = 1\npassword = \"x\"\naddresses = [\"224.0.0.1\"]\n",
                   "t.toml:7: carp.addresses:", "224.0.0.1"},
           Refusal{head + "vhid = 1\npassword = \"x\"\naddresses = [\"10.0.0.254/33\"]\n",
                   "t.toml:7: carp.addresses:", "/32"},
           Refusal{head + "vhid = 1\npassword = \"x\"\naddresses = [\"10.0.0.1\"]\n",
                   "t.toml:7: carp.addresses:", "link.address"},
           Refusal{head + "vhid = 1\npassword = \"x\"\naddresses = [\"10.0.0.9\", \"10.0.0.9/24\"]\n",
                   "t.toml:7: carp.addresses:", "twice"},
           Refusal{least + "peer = \"fe80::1\"\n", "t.toml:8: carp.peer:", "IPv4"},
           Refusal{least + "peer = \"224.0.0.18\"\n", "t.toml:8: carp.peer:", "leave it out"},
           Refusal{least + "peer = \"10.0.0.1\"\n", "t.toml:8: carp.peer:", "link.address"},
           Refusal{least + "peer = \"10.0.0.254\"\n", "t.toml:8: carp.peer:", "the nodes share"},
           Refusal{least + "[[carp]]\nvhid = 7\npassword = \"x\"\naddresses = [\"10.0.0.9\"]\n",
                   "t.toml:9: carp.vhid:", "earlier"},
           Refusal{least + "[[carp]]\nvhid = 8\npassword = \"x\"\naddresses = [\"10.0.0.254\"]\n",
                   "t.toml:9: carp.vhid:", "shares an address"},
           Refusal{least + "[[carp]]\nvhid = 8\npassword = \"x\"\naddresses = [\"fe80::9\"]\n" +
                       "[[carp]]\nvhid = 9\npassword = \"x\"\naddresses = [\"fe80::9\"]\n",
                   "t.toml:13: carp.vhid:", "shares an address"},
           Refusal{least + "vhidd = 1\n", "t.toml:8: carp.vhidd:", "unknown"},
           Refusal{least + "interface = \"eth2\"\n", "t.toml:8: carp.interface:", "[[interface]]"},
           Refusal{least + "[[interface]]\ndevice = \"eth2\"\naddress = \"10.1.0.1/24\"\n",
                   "t.toml:9: interface.device: is used by no [[carp]]", "remove"},
           Refusal{least + "interface = \"eth2\"\n[[interface]]\naddress = \"10.1.0.1\"\n",
                   "t.toml:9: interface.device: is missing", "eth2"},
           Refusal{least + "[[interface]]\ndevice = \"eth1\"\naddress = \"10.1.0.1\"\n",
                   "t.toml:9: interface.device: \"eth1\" is the port of [link]", "opened once"},
           Refusal{least + "[[interface]]\ndevice = \"net_af_packet3,iface=eth1\"\naddress = \"10.1.0.1\"\n",
                   "t.toml:9: interface.device:", "opened once"},
           Refusal{least + "interface = \"eth2\"\n[[interface]]\ndevice = \"eth2\"\naddress = \"10.0.0.1\"\n",
                   "t.toml:11: interface.address: is taken", "another"},
           Refusal{least + "interface = \"eth2\"\n[[interface]]\ndevice = \"eth2\"\naddress = \"10.0.0.254\"\n",
                   "t.toml:7: carp.addresses: holds interface.address", "further"},
       }) {
    const std::string why = refusal(row.text);
    EXPECT_TRUE(why.starts_with(row.starts)) << why << "\nshould start with " << row.starts << "\n" << row.text;
    EXPECT_NE(why.find(row.says), std::string::npos) << why;
  }
}

TEST(CarpConfig, PortsOfTheirOwn) {
  const Config config = good(head + R"(vhid = 7
password = "x"
addresses = ["10.0.0.254/24"]
[[carp]]
vhid = 7
password = "y"
addresses = ["10.1.0.254/24"]
interface = "eth2"
[[interface]]
device = "net_af_packet1,iface=eth2,framecnt=512"
address = "10.1.0.1/24"
vlan = 12
)");
  ASSERT_EQ(config.interfaces.size(), 1u);
  EXPECT_EQ(config.interfaces[0].address, wire::ipv4_address(10, 1, 0, 1));
  EXPECT_EQ(config.interfaces[0].vlan, 12);
  ASSERT_EQ(config.carp.size(), 2u) << "one VHID on two ports is two virtual hosts";
  EXPECT_EQ(config.carp[0].port, 0u);
  EXPECT_EQ(config.carp[0].interface, "eth1");
  EXPECT_EQ(config.carp[1].port, 1u);
  EXPECT_EQ(config.carp[1].interface, "eth2");
}

// --- orders ------------------------------------------------------------------------------------------

TEST(CarpOrder, IsReadOrRefusedInOneSentence) {
  const auto is_order = [](const char* text) { return std::holds_alternative<Order>(order_of(Json::parse(text))); };
  EXPECT_TRUE(is_order(R"({"do": "enable"})"));
  EXPECT_TRUE(is_order(R"({"do": "maintenance", "on": true})"));
  EXPECT_TRUE(is_order(R"({"do": "demote", "value": -240})"));
  EXPECT_TRUE(is_order(R"({"do": "become", "vhid": 255, "state": "master"})"));
  for (const char* text : {R"({})", R"({"do": 1})", R"({"do": "maintenance"})", R"({"do": "maintenance", "on": 1})",
                           R"({"do": "demote", "value": 241})", R"({"do": "demote", "value": 18446744073709551615})",
                           R"({"do": "demote", "value": 1.5})", R"({"do": "become", "vhid": 0, "state": "master"})",
                           R"({"do": "become", "vhid": 1, "state": "init"})",
                           R"({"do": "become", "vhid": 1, "state": "master", "interface": ""})",
                           R"({"do": "become", "vhid": 1, "state": "master", "interface": "sixteen letters!"})"})
    EXPECT_FALSE(is_order(text)) << text;
}

TEST(CarpOrder, IsCarriedOut) {
  Bench bench{node_config({host_config(1, 0, {"192.168.1.100"})})};
  Node* const nodes[] = {&bench.node};
  const auto carry = [&](const Order& order) { return carry_out(order, nodes, bench.demotion, bench.now); };
  EXPECT_TRUE(carry({.kind = Order::Kind::become, .vhid = 1, .state = State::master}));
  EXPECT_EQ(bench.state(), State::master);
  EXPECT_FALSE(carry({.kind = Order::Kind::become, .vhid = 9, .state = State::master}));
  EXPECT_TRUE(carry({.kind = Order::Kind::maintenance, .on = true}));
  EXPECT_TRUE(carry({.kind = Order::Kind::demote, .value = -40}));
  EXPECT_EQ(bench.demotion.total(), 200);
  EXPECT_TRUE(carry({.kind = Order::Kind::disable}));
  EXPECT_EQ(bench.state(), State::init);
  EXPECT_FALSE(carry({.kind = Order::Kind::become, .vhid = 1, .state = State::master}));
  EXPECT_TRUE(carry({.kind = Order::Kind::enable}));
  EXPECT_EQ(bench.state(), State::backup);
}

TEST(CarpOrder, NamesThePortWhenSeveralHaveTheVhid) {
  Journal journal;
  Demotion demotion{journal};
  NodeConfig first = node_config({host_config(1, 0, {"192.168.1.100"}), host_config(2, 0, {"192.168.1.101"})});
  NodeConfig second = node_config({host_config(1, 0, {"192.168.2.100"})});
  second.name = "dev1";
  second.port = 1;
  Node one{first, demotion, journal}, two{second, demotion, journal};
  Node* const nodes[] = {&one, &two};
  const Instant now = Instant{} + 1h;
  for (Node* node : nodes) node->set_link(true, now);
  const auto carry = [&](const Order& order) { return carry_out(order, nodes, demotion, now); };
  const auto state = [](const Node& node, std::size_t host) { return node.hosts()[host].state(); };
  EXPECT_FALSE(carry({.kind = Order::Kind::become, .vhid = 1, .state = State::master})) << "which of the two?";
  EXPECT_TRUE(carry({.kind = Order::Kind::become, .vhid = 2, .state = State::master})) << "only one port has it";
  EXPECT_EQ(state(one, 1), State::master);
  const auto named = order_of(Json::parse(R"({"do": "become", "vhid": 1, "state": "master", "interface": "dev1"})"));
  ASSERT_TRUE(std::holds_alternative<Order>(named));
  EXPECT_TRUE(carry(std::get<Order>(named)));
  EXPECT_EQ(state(two, 0), State::master);
  EXPECT_EQ(state(one, 0), State::backup);
  EXPECT_FALSE(carry(
      {.kind = Order::Kind::become, .vhid = 1, .interface = wire::InterfaceName{"dev2"}, .state = State::master}));
  // The trouble of one port is the node's: all its addresses stand back.
  one.set_link(false, now);
  EXPECT_EQ(demotion.total(), Demotion::factor);
  EXPECT_TRUE(two.timeout().has_value() && *two.timeout() <= now) << "the second hears of it at once";
}

// --- what is told ------------------------------------------------------------------------------------

struct Told {
  std::vector<Settings> settings;
  Bench bench;
  View view;

  explicit Told(const HostConfig& host)
      : settings{{.host = host, .typed_password = host.password, .address_texts = {}, .interface = ""}},
        bench{node_config({host})},
        view{{&bench.node}, bench.demotion, bench.journal, settings} {
    for (const auto& it : host.addresses)
      settings[0].address_texts.push_back(wire::to_string(it.address, it.family) + "/24");
  }
};

TEST(CarpReport, LogsInTheKernelsWords) {
  Told told{host_config(1, 0, {"192.168.1.100", "192.168.1.101"})};
  told.bench.pass(3s);
  told.bench.demotion.follow(Sync::under_way, told.bench.now);
  told.bench.demotion.follow(Sync::complete, told.bench.now);
  told.bench.demotion.follow(Sync::under_way, told.bench.now);
  told.bench.demotion.follow(Sync::missing, told.bench.now);
  told.bench.demotion.add(Cause::send_errors, 0, told.bench.now);
  told.bench.demotion.remove(Cause::send_errors, 0, told.bench.now);
  Other liar{host_config(1, 0, {"192.168.1.100", "192.168.1.101"})}, forgetful{host_config(1, 0, {"192.168.1.100"})};
  liar.config.password = "other";
  told.bench.hear(liar.advert(1, 0));
  told.bench.pass(Watch::settled);
  told.bench.hear(liar.advert(1, 0));
  told.bench.hear(forgetful.advert(1, 0));
  std::vector<std::string> lines;
  while (const auto entry = told.bench.journal.pop()) lines.push_back(sentence_of(*entry, told.view));
  const std::vector<std::string> expected{
      "carp: 1@dev0: INIT -> BACKUP (initialization complete)",
      "carp: 1@dev0: BACKUP -> MASTER (master timed out)",
      "carp: not in sync: this node takes over from no slower master",
      "carp: demoted by 240 to 240 (pfsync bulk start)",
      "carp: in sync: this node takes over from slower masters",
      "carp: demoted by -240 to 0 (pfsync bulk done)",
      "carp: not in sync: this node takes over from no slower master",
      "carp: demoted by 240 to 240 (pfsync bulk start)",
      "carp: demoted by -240 to 0 (pfsync bulk fail)",
      "carp: demoted by 240 to 240 (send error on dev0)",
      "carp: demoted by -240 to 0 (send ok on dev0)",
      "carp: 1@dev0: 192.168.1.2 advertises with another password, or with addresses of this VHID that were never seen "
      "here (incorrect hash)",
      "carp: 1@dev0: 192.168.1.2 advertises with another list of addresses for this VHID (incorrect hash): "
      "192.168.1.101 is missing there"};
  EXPECT_EQ(lines, expected);
}

TEST(CarpReport, WhoAdvertisesRarelyIsNamedFromOneAdvertisementToTheNext) {
  auto host = host_config(1, 0, {"192.168.1.100"});
  host.advbase = 20;
  Told told{host};
  Other liar{host};
  liar.config.password = "other";
  for (int i = 0; i < 3; ++i) {
    told.bench.hear(liar.advert(20, 100));
    for (int second = 0; second < 20; ++second) {
      told.bench.pass(1s);
      EXPECT_NE(trouble(told.view, told.bench.now), "") << second << " s after one";
    }
  }
  told.bench.pass(22s);
  EXPECT_EQ(trouble(told.view, told.bench.now), "");
}

TEST(CarpReport, FindsOutWhatAWrongHashMeans) {
  Told told{host_config(1, 0, {"192.168.1.100", "192.168.1.101"})};
  const auto says = [&](const HostConfig& other) {
    told.bench.hear(Other{other}.advert(1, 0));
    const HostStatus status = told.bench.node.status(0);
    return diagnosis(told.settings[0], status.mistakes[static_cast<std::size_t>(Mistake::wrong_password)].advert);
  };
  auto other = told.settings[0].host;
  other.password = "";
  EXPECT_EQ(says(other), "there is no password there");
  other.password = "something else";
  EXPECT_NE(says(other).find("compare the password and all addresses"), std::string::npos);
  told.settings[0].typed_password = "mek mitas digoat";
  other.password = "mek mitas digoat";
  EXPECT_EQ(says(other), "the password fits as it is typed: set password_form = \"raw\"");
}

TEST(CarpReport, NamesAndCountsEveryMistakeByKind) {
  auto config = host_config(1, 100, {"192.168.1.100", "192.168.1.101"});
  config.preempt = false;
  Told told{config};
  Bench& bench = told.bench;
  Other other{host_config(1, 0, {"192.168.1.100", "192.168.1.101"})};
  Other forgetful{host_config(1, 0, {"192.168.1.100"}), address("192.168.1.3")};
  Other liar{told.settings[0].host, address("192.168.1.4")};
  liar.config.password = "other";
  Other second{told.settings[0].host, address("192.168.1.5")};
  const Frame vrrp{0x31, 1, 100, 1, 0, 100, 0xab, 0xcd, 10, 0, 0, 1};
  const wire::IpHeaderFields to_group{wire::Family::inet, address("192.168.1.6").address, wire::carp_group_inet,
                                      wire::ipproto::carp};
  for (int i = 0; i < 8; ++i, bench.pass(1s)) {
    bench.hear(other.advert(1, 0));
    bench.hear(second.advert(2, 0));
    bench.hear(liar.advert(1, 0));
    bench.hear(forgetful.advert(1, 0));
    bench.hear(framed({}, peer_mac, to_group, vrrp));
  }
  bench.node.order(1, State::master, bench.now);
  for (const Frame& frame : bench.take()) bench.hear(frame);

  const Json json = status_json(told.view, bench.now);
  const Json& host = json.at("hosts").at(0);
  EXPECT_FALSE(json.at("healthy").get<bool>());
  for (const MistakeInfo& row : mistake_table) {
    const std::string word{row.word};
    EXPECT_GT(host.at("mistake_counts").at(word).get<std::uint64_t>(), 0u) << word;
    EXPECT_EQ(json.at("counters").at("mistake_" + word), host.at("mistake_counts").at(word));
    const auto named = std::find_if(host.at("mistakes").begin(), host.at("mistakes").end(),
                                    [&](const Json& mistake) { return mistake.at("mistake") == word; });
    ASSERT_NE(named, host.at("mistakes").end()) << word;
    EXPECT_NE(ctl::carp_text(json, false).find(named->at("sentence").get<std::string>()), std::string::npos) << word;
  }
  std::string log;
  while (const auto entry = bench.journal.pop()) log += sentence_of(*entry, told.view) + "\n";
  for (const MistakeInfo& row : mistake_table) EXPECT_NE(log.find(row.sentence), std::string::npos) << row.word;
  EXPECT_EQ(host.at("transitions").at("MASTER"), 1);
  EXPECT_EQ(host.at("transitions").at("BACKUP"), 1);
}

TEST(CarpReport, AnExplainedHmacIsNoOtherPassword) {
  Told told{host_config(1, 100, {"192.168.1.100"})};
  Other other{host_config(1, 0, {"192.168.1.100", "192.168.1.7"})};
  told.bench.hear(other.advert(1, 0));
  EXPECT_NE(status_json(told.view, told.bench.now).at("reason").get<std::string>().find("another password"),
            std::string::npos);
  told.bench.hear(arp_frame(wire::broadcast_mac, {.sender_mac = wire::carp_mac(1),
                                                  .sender = address("192.168.1.7").address,
                                                  .target = address("192.168.1.7").address}));
  told.bench.pass(1s);
  told.bench.hear(other.advert(1, 0));
  EXPECT_NE(status_json(told.view, told.bench.now).at("reason").get<std::string>().find("192.168.1.7 is missing here"),
            std::string::npos);
}

TEST(CarpReport, TellsWhoIsMasterSinceWhenAndWhy) {
  Told told{host_config(1, 100, {"192.168.1.100"})};
  Other other{host_config(1, 0, {"192.168.1.100"})};
  told.bench.hear(other.advert(1, 0));
  told.bench.pass(4s);
  told.bench.pass(60s);
  const Json json = status_json(told.view, told.bench.now);
  EXPECT_TRUE(json.at("healthy").get<bool>()) << json.at("reason");
  const Json& host = json.at("hosts").at(0);
  EXPECT_EQ(host.at("state"), "MASTER");
  EXPECT_EQ(host.at("interface"), "dev0");
  EXPECT_EQ(host.at("mac"), "00:00:5e:00:01:01");
  EXPECT_NEAR(host.at("seconds").get<double>(), 60.6, 0.1);
  EXPECT_EQ(host.at("heard").at("source"), "192.168.1.2");
  EXPECT_EQ(host.at("masters").size(), 2u);
  EXPECT_EQ(host.at("masters").at(0).at("master"), "192.168.1.2");
  EXPECT_EQ(host.at("masters").at(1).at("master"), "this node");
  const std::string text = ctl::carp_text(json, true);
  EXPECT_NE(text.find("carp: MASTER vhid 1 advbase 1 advskew 100"), std::string::npos) << text;
  EXPECT_NE(text.find("BACKUP -> MASTER (master timed out)"), std::string::npos) << text;
  EXPECT_NE(text.find("1 packets received (IPv4)"), std::string::npos) << text;
}

TEST(CarpReport, IsUnhealthyWhileSomethingIsWrongAndNotAfterwards) {
  Told told{host_config(1, 0, {"192.168.1.100"})};
  Other liar{host_config(1, 0, {"192.168.1.100"})};
  liar.config.password = "other";
  told.bench.hear(liar.advert(1, 0));
  EXPECT_NE(trouble(told.view, told.bench.now).find("another password"), std::string::npos);
  told.bench.pass(11s);
  EXPECT_EQ(trouble(told.view, told.bench.now), "");
  told.bench.node.set_link(false, told.bench.now);
  EXPECT_NE(trouble(told.view, told.bench.now).find("INIT"), std::string::npos);
  const Json json = status_json(told.view, told.bench.now);
  EXPECT_EQ(json.at("demotion"), 240);
  EXPECT_EQ(json.at("demotion_parts").at("interface_down"), 240);
}

TEST(CarpReport, DisabledIsSaidAndIsNoTrouble) {
  Told told{host_config(1, 0, {"192.168.1.100"})};
  told.bench.node.set_enabled(false, told.bench.now);
  const Json json = status_json(told.view, told.bench.now);
  EXPECT_TRUE(json.at("healthy").get<bool>());
  EXPECT_EQ(json.at("hosts").at(0).at("state"), "DISABLED");
  EXPECT_NE(ctl::carp_text(json, false).find("CARP is disabled"), std::string::npos);
}

TEST(CarpReport, EveryCounterHasAWordOfItsOwnAndASentence) {
  const Told told{host_config(1, 0, {"192.168.1.100"})};
  const Json counters = counters_json(told.view), sentences = sentences_json();
  EXPECT_EQ(counters.size(), tally_count + wire::carp_reject_count + mistake_count);
  EXPECT_EQ(sentences.size(), counters.size());
  for (const auto& [word, value] : counters.items())
    EXPECT_FALSE(sentences.at(word).get<std::string>().empty()) << word;
}

}  // namespace
}  // namespace pfsync::engine::carp::test
