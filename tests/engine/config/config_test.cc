#include "engine/config/config.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <ostream>

#include "tests/engine/config/config_text.h"

namespace pfsync::engine {
namespace {

using test::good;
using test::refusal;

const std::string link_section = "[link]\ndevice = \"net_null0\"\naddress = \"10.0.0.1/24\"\n";  // lines 1 to 3

const std::string peer_section = link_section + "[[peer]]\naddress = \"10.0.0.2\"\n";  // lines 1 to 5

TEST(Config, TheShortestHasEveryDefault) {
  const Config config = good(link_section);
  EXPECT_EQ(config.link.device, "net_null0");
  EXPECT_EQ(config.link.family, wire::Family::inet);
  EXPECT_EQ(config.link.address, wire::ipv4_address(10, 0, 0, 1));
  EXPECT_EQ(config.link.prefix, 24u);
  EXPECT_EQ(config.link.mtu, 1500u);
  EXPECT_FALSE(config.link.vlan);
  EXPECT_EQ(config.link.destination, wire::pfsync_group_inet);
  EXPECT_TRUE(config.peers.empty());
  EXPECT_EQ(config.table.states_max, 1'000'000u);
  EXPECT_EQ(config.table.timeouts.value[pftm::adaptive_start], 600'000u);
  EXPECT_EQ(config.table.timeouts.value[pftm::adaptive_end], 1'200'000u);
  EXPECT_NE(config.sync.creatorid, 0u);
  EXPECT_EQ(config.control.socket, "/run/pfsyncd.sock");
  EXPECT_FALSE(config.synthetic);
  EXPECT_TRUE(config.warnings.empty());
}

TEST(Config, SeveralPeersMakeAHub) {
  const Config config = good(link_section +
                             "[[peer]]\naddress = \"10.0.0.2\"\ndialect = \"1301\"\n"
                             "[[peer]]\naddress = \"10.0.0.3\"\nmac = \"02:00:00:00:00:03\"\n");
  ASSERT_EQ(config.peers.size(), 2u);
  EXPECT_EQ(config.peers[0].dialect, wire::Dialect::freebsd_1301);
  EXPECT_EQ(config.peers[1].dialect, std::nullopt);  // "auto"
  EXPECT_EQ(config.peers[1].address, wire::ipv4_address(10, 0, 0, 3));
  EXPECT_EQ(config.peers[1].mac, wire::parse_mac("02:00:00:00:00:03"));
}

TEST(Config, APeerMayKnowUsByAVirtualAddress) {
  const Config config = good(link_section +
                             "[[carp]]\nvhid = 7\npassword = \"x\"\naddresses = [\"10.0.0.254/24\"]\n"
                             "[[peer]]\naddress = \"10.0.0.2\"\nsource = \"10.0.0.254\"\n"
                             "[[peer]]\naddress = \"10.0.0.3\"\nsource = \"10.0.0.1\"\n");
  EXPECT_EQ(config.peers[0].source, wire::ipv4_address(10, 0, 0, 254));
  EXPECT_EQ(config.peers[1].source, std::nullopt) << "the link's own";
}

TEST(Config, EachPeerHasAMapOfInterfaces) {
  const Config config = good(peer_section +
                             "interface_map = { igb0 = \"vmx1\", \"igb1.7\" = \"vmx0.7\" }\n"
                             "[[peer]]\naddress = \"10.0.0.3\"\n[peer.interface_map]\nigb0 = \"em0\"\n"
                             "[[peer]]\naddress = \"10.0.0.4\"\ninterface_map = {}\n");
  const auto theirs = [&](std::size_t peer, std::string_view ours) -> std::string_view {
    const InterfaceMap::Row* row = config.peers[peer].interfaces.of_ours(wire::InterfaceName{ours});
    return row == nullptr ? "" : row->theirs.view();
  };
  ASSERT_EQ(config.peers.size(), 3u);
  EXPECT_EQ(theirs(0, "igb0"), "vmx1");
  EXPECT_EQ(theirs(0, "igb1.7"), "vmx0.7");
  EXPECT_EQ(theirs(1, "igb0"), "em0");
  EXPECT_TRUE(config.peers[2].interfaces.empty());
  EXPECT_TRUE(config.link.interfaces.empty());
}

TEST(Config, AGroupHasAMapOfInterfacesToo) {
  const Config config = good(link_section + "[link.interface_map]\nigb0 = \"vmx1\"\n");
  ASSERT_EQ(config.link.interfaces.rows().size(), 1u);
  EXPECT_EQ(config.link.interfaces.rows()[0].theirs, wire::InterfaceName{"vmx1"});
}

TEST(Config, EveryKeyIsTaken) {
  const Config config = good(R"([link]
device = "0000:03:00.0"
address = "10.0.0.1/24"
mtu = 9000
vlan = 42
sources = ["10.0.0.2", { address = "10.0.0.3", mac = "02:00:00:00:00:03" }]
[[peer]]
address = "10.0.0.2"
dialect = "1500"
mac = "02:00:00:00:00:02"
bulk_states_per_s = 8
[table]
states_max = 5000
shards = 16
collisions = "keep"
memory = "grow"
[table.timeouts]
tcp_established = 3600
adaptive_start = 0
[sync]
creatorid = "0xab"
maxupd = 1
delay_ms = 20
defer = false
dialect = "1400"
bulk_states_per_s = 7
requests_per_s = 9
probe_every_s = 5
request_bulk = false
[[sync.rule]]
action = "sync"
proto = "tcp"
port = 443
direction = "in"
interface = "igb0"
[[sync.rule]]
action = "delay"
port = "8000-8999"
age_s = 10
[[sync.rule]]
action = "skip"
proto = 58
[control]
socket = "/tmp/s"
[cores]
control = 0
data = 1
poll = "busy"
[log]
level = "debug"
[synthetic]
states = 4000
fill_per_s = 5
new_per_s = 6
updates_per_s = 8
tcp_percent = 10
udp_percent = 20
ipv6_percent = 30
nat_percent = 40
seed = 50
)");
  EXPECT_EQ(config.link.mtu, 9000u);
  EXPECT_EQ(config.link.vlan, 42);
  ASSERT_EQ(config.link.sources.size(), 2u);
  EXPECT_EQ(config.link.sources[0].address, wire::ipv4_address(10, 0, 0, 2));
  EXPECT_EQ(config.link.sources[0].mac, std::nullopt);
  EXPECT_EQ(config.link.sources[1].address, wire::ipv4_address(10, 0, 0, 3));
  EXPECT_EQ(config.link.sources[1].mac, wire::parse_mac("02:00:00:00:00:03"));
  ASSERT_EQ(config.peers.size(), 1u);
  EXPECT_EQ(config.link.destination, wire::ipv4_address(10, 0, 0, 2));
  EXPECT_EQ(config.peers[0].mac, wire::parse_mac("02:00:00:00:00:02"));
  EXPECT_EQ(config.peers[0].dialect, wire::Dialect::freebsd_1500);
  EXPECT_EQ(config.sync.dialect, wire::Dialect::freebsd_1400);
  EXPECT_EQ(config.table.states_max, 5000u);
  EXPECT_EQ(config.table.shard_bits, 4u);
  EXPECT_FALSE(config.table.refuse_collisions);
  EXPECT_FALSE(config.table.reserve);
  EXPECT_EQ(config.table.timeouts.value[pftm::tcp_established], 3600u);
  EXPECT_EQ(config.table.timeouts.value[pftm::adaptive_start], 0u);
  EXPECT_EQ(config.table.timeouts.value[pftm::adaptive_end], 6000u);
  EXPECT_EQ(config.sync.creatorid, 0xabu);
  EXPECT_EQ(config.sync.maxupd, 1u);
  EXPECT_EQ(config.sync.delay_ms, 20u);
  EXPECT_EQ(config.sync.bulk_states_per_s, 7u);
  EXPECT_EQ(config.sync.requests_per_s, 9u);
  EXPECT_EQ(config.sync.probe_every_s, 5u);
  EXPECT_EQ(config.peers[0].bulk_states_per_s, 8u);
  EXPECT_FALSE(config.sync.request_bulk);
  ASSERT_EQ(config.sync.rules.size(), 3u);
  EXPECT_EQ(config.sync.rules[0].action, SyncRule::Action::sync);
  EXPECT_EQ(config.sync.rules[0].proto, wire::ipproto::tcp);
  EXPECT_EQ(config.sync.rules[0].port, (std::pair<std::uint16_t, std::uint16_t>{443, 443}));
  EXPECT_EQ(config.sync.rules[0].direction, wire::Direction::in);
  EXPECT_EQ(config.sync.rules[0].interface, wire::InterfaceName{"igb0"});
  EXPECT_EQ(config.sync.rules[1].action, SyncRule::Action::delay);
  EXPECT_EQ(config.sync.rules[1].port, (std::pair<std::uint16_t, std::uint16_t>{8000, 8999}));
  EXPECT_EQ(config.sync.rules[1].age_s, 10);
  EXPECT_EQ(config.sync.rules[1].proto, std::nullopt);
  EXPECT_TRUE(config.sync.rules[1].interface.empty());
  EXPECT_EQ(config.sync.rules[2].action, SyncRule::Action::skip);
  EXPECT_EQ(config.sync.rules[2].proto, wire::ipproto::icmpv6);
  EXPECT_EQ(config.control.socket, "/tmp/s");
  EXPECT_EQ(config.cores.control, 0u);
  EXPECT_EQ(config.cores.data, std::vector{1u});
  EXPECT_EQ(config.cores.data_cores, 1u);
  EXPECT_EQ(config.cores.poll, Config::Poll::busy);
  EXPECT_EQ(config.log.level, Config::LogLevel::debug);
  ASSERT_TRUE(config.synthetic);
  EXPECT_EQ(config.synthetic->states, 4000u);
  EXPECT_EQ(config.synthetic->fill_per_s, 5u);
  EXPECT_EQ(config.synthetic->new_per_s, 6u);
  EXPECT_EQ(config.synthetic->updates_per_s, 8u);
  EXPECT_EQ(config.synthetic->tcp_percent, 10u);
  EXPECT_EQ(config.synthetic->udp_percent, 20u);
  EXPECT_EQ(config.synthetic->ipv6_percent, 30u);
  EXPECT_EQ(config.synthetic->nat_percent, 40u);
  EXPECT_EQ(config.synthetic->seed, 50u);
  ASSERT_EQ(config.warnings.size(), 1u);
  EXPECT_NE(config.warnings[0].find("4080"), std::string::npos);
}

TEST(Config, WarnsOfAnMtuThatStopsFreeBsdUnlessAllReceiversAreOpenBsd) {
  const auto warnings = [](const char* mtu, const std::string& rest) {
    return good("[link]\ndevice = \"net_memif0\"\naddress = \"10.0.0.1\"\nmtu = " + std::string{mtu} + "\n" + rest)
        .warnings;
  };
  const std::string openbsd = "[[peer]]\naddress = \"10.0.0.2\"\ndialect = \"openbsd\"\n";
  EXPECT_EQ(warnings("4080", "").size(), 0u);
  ASSERT_EQ(warnings("4081", "").size(), 1u);
  EXPECT_EQ(warnings("4081", "")[0],
            "link.mtu 4081 is above 4080: FreeBSD peers with such an mtu stop sending; lower it on all nodes");
  EXPECT_EQ(warnings("9000", "dialect = \"1500\"\n").size(), 1u);
  EXPECT_EQ(warnings("9000", "dialect = \"openbsd\"\n").size(), 0u);
  EXPECT_EQ(warnings("9000", openbsd).size(), 0u);
  EXPECT_EQ(warnings("9000", openbsd + "[[peer]]\naddress = \"10.0.0.3\"\n").size(), 1u) << "it may be anything";
}

TEST(Config, Ipv6GoesToItsOwnGroup) {
  const Config config = good("[link]\ndevice = \"d\"\naddress = \"fe80::1\"\n");
  EXPECT_EQ(config.link.family, wire::Family::inet6);
  EXPECT_EQ(config.link.destination, wire::pfsync_group_inet6);
  EXPECT_FALSE(config.link.prefix);
}

TEST(Config, AnAddressOfItsOwnIsAnyHosts) {
  for (const char* address : {"10.0.0.0", "10.0.0.0/31", "10.0.0.1/31", "10.0.0.0/32", "10.1.0.0/8", "::1:0/64"})
    EXPECT_EQ(good("[link]\ndevice = \"d\"\naddress = \"" + std::string{address} + "\"\n").link.device, "d");
}

TEST(Config, AnotherGroupCanBeNamed) {
  EXPECT_EQ(good(link_section + "multicast = \"224.0.0.241\"\n").link.destination, wire::ipv4_address(224, 0, 0, 241));
}

TEST(Config, RandomHostIdsDiffer) {
  // One equal pair in 2^32 runs.
  EXPECT_NE(good(link_section).sync.creatorid, good(link_section).sync.creatorid);
}

TEST(Config, EightBareHexDigitsAreAHostId) {
  EXPECT_EQ(good(link_section + "[sync]\ncreatorid = \"0000beef\"\n").sync.creatorid, 0xbeefu);
}

struct Refusal {
  std::string name;
  std::string text;
  std::string begins;    ///< file, line and key
  std::string contains;  ///< what to do
};
std::ostream& operator<<(std::ostream& out, const Refusal& row) { return out << row.name; }

class ConfigRefusal : public testing::TestWithParam<Refusal> {};

TEST_P(ConfigRefusal, NamesFileLineAndKey) {
  const std::string sentence = refusal(GetParam().text);
  EXPECT_TRUE(sentence.starts_with(GetParam().begins)) << sentence;
  EXPECT_NE(sentence.find(GetParam().contains), std::string::npos) << sentence;
  EXPECT_EQ(sentence.find('\n'), std::string::npos) << sentence;
}

const std::string rule_section = link_section + "[[sync.rule]]\n";  // lines 1 to 4

const std::string six = "[link]\ndevice = \"d\"\naddress = \"fd00::1/64\"\n";

INSTANTIATE_TEST_SUITE_P(
    Everything, ConfigRefusal,
    testing::Values(
        Refusal{"syntax", "[link\n", "t.toml:1: not valid TOML: ", "correct"},
        Refusal{"no_link", "[log]\n", "t.toml:1: link: ", "add a section"},
        Refusal{"link_no_section", "link = 3\n", "t.toml:1: link: ", "[link]"},
        Refusal{"unknown_section", link_section + "[tabel]\n", "t.toml:4: tabel: unknown key", "table"},
        Refusal{"unknown_key", link_section + "mut = 1\n", "t.toml:4: link.mut: unknown key", "mtu"},
        Refusal{"unknown_timeout", link_section + "[table.timeouts]\ntcp = 1\n",
                "t.toml:5: table.timeouts.tcp: unknown key", "tcp_first"},
        Refusal{"no_device", "[link]\naddress = \"10.0.0.1\"\n", "t.toml:1: link.device: is missing", "give"},
        Refusal{"no_address", "[link]\ndevice = \"d\"\n", "t.toml:1: link.address: is missing", "give"},
        Refusal{"device_type", "[link]\ndevice = 3\n", "t.toml:2: link.device: is an integer", "string"},
        Refusal{"bad_address", "[link]\ndevice = \"d\"\naddress = \"10.0.0\"\n",
                "t.toml:3: link.address: ", "10.0.0.1"},
        Refusal{"bad_prefix", "[link]\ndevice = \"d\"\naddress = \"10.0.0.1/33\"\n", "t.toml:3: link.address: ", "/32"},
        Refusal{"network", "[link]\ndevice = \"d\"\naddress = \"192.0.2.0/24\"\n",
                "t.toml:3: link.address: ", "one host's"},
        Refusal{"broadcast", "[link]\ndevice = \"d\"\naddress = \"10.255.255.255/8\"\n",
                "t.toml:3: link.address: ", "one host's"},
        Refusal{"loopback", "[link]\ndevice = \"d\"\naddress = \"127.0.0.1/8\"\n",
                "t.toml:3: link.address: ", "unicast"},
        Refusal{"loopback_6", "[link]\ndevice = \"d\"\naddress = \"::1\"\n", "t.toml:3: link.address: ", "unicast"},
        Refusal{"no_prefix", "[link]\ndevice = \"d\"\naddress = \"10.0.0.1/\"\n", "t.toml:3: link.address: ", "prefix"},
        Refusal{"group_as_host", "[link]\ndevice = \"d\"\naddress = \"224.0.0.240\"\n",
                "t.toml:3: link.address: ", "unicast"},
        Refusal{"mtu_low", link_section + "mtu = 575\n", "t.toml:4: link.mtu: 575 is out of range", "576 to 9000"},
        Refusal{"mtu_high", link_section + "mtu = 9001\n", "t.toml:4: link.mtu: ", "576 to 9000"},
        Refusal{"mtu_type", link_section + "mtu = \"1500\"\n", "t.toml:4: link.mtu: is a string", "integer"},
        Refusal{"mtu_fraction", link_section + "mtu = 1500.5\n", "t.toml:4: link.mtu: is a number with", "integer"},
        Refusal{"vlan", link_section + "vlan = 4095\n", "t.toml:4: link.vlan: ", "4094"},
        Refusal{"host_as_group", link_section + "multicast = \"10.0.0.9\"\n", "t.toml:4: link.multicast: ", "group"},
        Refusal{"group_family", link_section + "multicast = \"ff12::f0\"\n", "t.toml:4: link.multicast: ", "IPv4"},
        Refusal{"sources_type", link_section + "sources = \"10.0.0.2\"\n", "t.toml:4: link.sources: ", "array"},
        Refusal{"sources_element", link_section + "sources = [1]\n", "t.toml:4: link.sources: ", "strings"},
        Refusal{"sources_family", link_section + "sources = [\"fd00::2\"]\n", "t.toml:4: link.sources: ", "family"},
        Refusal{"sources_table", link_section + "sources = [{ mac = \"02:00:00:00:00:02\" }]\n",
                "t.toml:4: link.sources.address: is missing", "string"},
        Refusal{"sources_mac", link_section + "sources = [{ address = \"10.0.0.2\", mac = \"x\" }]\n",
                "t.toml:4: link.sources.mac: ", "02:"},
        Refusal{"sources_key", link_section + "sources = [{ address = \"10.0.0.2\", max = 1 }]\n",
                "t.toml:4: link.sources.max: unknown key", "mac"},
        Refusal{"peer_section", link_section + "[peer]\n", "t.toml:4: peer: must be a list", "[[peer]]"},
        Refusal{"peer_no_address", link_section + "[[peer]]\n", "t.toml:4: peer.address: is missing", "multicast"},
        Refusal{"peer_twice", link_section + "[[peer]]\naddress = \"10.0.0.2\"\n[[peer]]\naddress = \"10.0.0.2\"\n",
                "t.toml:7: peer.address: ", "already"},
        Refusal{"a_peer_too_many",
                link_section +
                    [] {
                      std::string peers;
                      for (int i = 2; i <= 66; ++i)
                        peers += "[[peer]]\naddress = \"10.0.0." + std::to_string(i) + "\"\n";
                      return peers;
                    }(),
                "t.toml:132: peer: is one too many", "64 peers"},
        Refusal{"peer_and_group", link_section + "multicast = \"224.0.0.240\"\n[[peer]]\naddress = \"10.0.0.2\"\n",
                "t.toml:6: peer.address: ", "remove one"},
        Refusal{"peer_is_own", link_section + "[[peer]]\naddress = \"10.0.0.1\"\n",
                "t.toml:5: peer.address: ", "other node"},
        Refusal{"peer_elsewhere", link_section + "[[peer]]\naddress = \"10.0.1.2\"\n",
                "t.toml:5: peer.address: ", "routes"},
        Refusal{"peer_source", link_section + "[[peer]]\naddress = \"10.0.0.2\"\nsource = \"10.0.0.254\"\n",
                "t.toml:6: peer.source: \"10.0.0.254\" ", "[[carp]]"},
        Refusal{"peer_source_word", link_section + "[[peer]]\naddress = \"10.0.0.2\"\nsource = \"vip\"\n",
                "t.toml:6: peer.source: ", "IP address"},
        Refusal{"peer_family", link_section + "[[peer]]\naddress = \"fd00::2\"\n",
                "t.toml:5: peer.address: ", "family"},
        Refusal{"peer_mac", link_section + "[[peer]]\naddress = \"10.0.0.2\"\nmac = \"2:0:0:0:0:2\"\n",
                "t.toml:6: peer.mac: ", "02:"},
        Refusal{"peer_group_mac", link_section + "[[peer]]\naddress = \"10.0.0.2\"\nmac = \"01:00:5e:00:00:02\"\n",
                "t.toml:6: peer.mac: ", "host"},
        Refusal{"dialect", link_section + "[[peer]]\naddress = \"10.0.0.2\"\ndialect = \"1600\"\n",
                "t.toml:6: peer.dialect: ", "\"1301\""},
        Refusal{"group_dialect", link_section + "dialect = \"1401\"\n", "t.toml:4: link.dialect: ", "\"auto\""},
        Refusal{"default_dialect", link_section + "[sync]\ndialect = \"auto\"\n",
                "t.toml:5: sync.dialect: ", "\"1301\""},
        Refusal{"group_dialect_and_peer", link_section + "dialect = \"1400\"\n[[peer]]\naddress = \"10.0.0.2\"\n",
                "t.toml:4: link.dialect: is for multicast", "[[peer]]"},
        Refusal{"map_type", link_section + "interface_map = \"igb0\"\n",
                "t.toml:4: link.interface_map: must be a section", "[link.interface_map]"},
        Refusal{"map_twice", peer_section + "[peer.interface_map]\nigb0 = \"vmx0\"\nigb1 = \"vmx0\"\n",
                "t.toml:8: peer.interface_map.igb1: \"vmx0\" is in another row", "one of ours"},
        Refusal{"map_key_twice", peer_section + "[peer.interface_map]\nigb0 = \"vmx0\"\nigb0 = \"vmx1\"\n",
                "t.toml:8: not valid TOML", "correct"},
        Refusal{"map_long", peer_section + "interface_map = { igb0 = \"0123456789abcdef\" }\n",
                "t.toml:6: peer.interface_map.igb0: \"0123456789abcdef\" is not", "15"},
        Refusal{"map_long_key", peer_section + "interface_map = { 0123456789abcdef = \"vmx0\" }\n",
                "t.toml:6: peer.interface_map.0123456789abcdef: ", "15"},
        Refusal{"map_empty", peer_section + "interface_map = { igb0 = \"\" }\n",
                "t.toml:6: peer.interface_map.igb0: \"\" is not", "blanks"},
        Refusal{"map_blank", peer_section + "interface_map = { igb0 = \"vm x\" }\n",
                "t.toml:6: peer.interface_map.igb0: ", "blanks"},
        Refusal{"map_all", peer_section + "interface_map = { all = \"vmx0\" }\n",
                "t.toml:6: peer.interface_map.all: ", "float"},
        Refusal{"map_dot", peer_section + "interface_map = { igb0.7 = \"vmx0.7\" }\n",
                "t.toml:6: peer.interface_map.igb0: is a section", "quotes"},
        Refusal{"map_number", peer_section + "interface_map = { igb0 = 1 }\n",
                "t.toml:6: peer.interface_map.igb0: is an integer", "quotes"},
        Refusal{"map_rows",
                peer_section + "[peer.interface_map]\n" +
                    [] {
                      std::string rows;
                      for (int i = 10; i < 75; ++i)
                        rows += "igb" + std::to_string(i) + " = \"vmx" + std::to_string(i) + "\"\n";
                      return rows;
                    }(),
                "t.toml:71: peer.interface_map.igb74: is one too many", "64"},
        Refusal{"group_map_and_peer",
                link_section + "interface_map = { a = \"b\" }\n[[peer]]\naddress = \"10.0.0.2\"\n",
                "t.toml:4: link.interface_map: is for multicast", "[[peer]]"},
        Refusal{"key_with_newline", link_section + "\"a\\nb\" = 1\n", "t.toml:4: link.a?b: unknown key", "mtu"},
        Refusal{"value_with_newline", link_section + "[log]\nlevel = \"x\\u001by\\n\"\n",
                "t.toml:5: log.level: \"x?y?\"", "info"},
        Refusal{"states_max", link_section + "[table]\nstates_max = 0\n", "t.toml:5: table.states_max: ", "from 1"},
        Refusal{"shards", link_section + "[table]\nshards = 3\n", "t.toml:5: table.shards: ", "power of two"},
        Refusal{"timeout", link_section + "[table.timeouts]\nudp_single = -1\n",
                "t.toml:5: table.timeouts.udp_single: ", "from 0"},
        Refusal{"adaptive", link_section + "[table.timeouts]\nadaptive_start = 9\nadaptive_end = 9\n",
                "t.toml:6: table.timeouts.adaptive_end: ", "adaptive_start"},
        Refusal{"creatorid_zero", link_section + "[sync]\ncreatorid = \"00000000\"\n",
                "t.toml:5: sync.creatorid: ", "hex"},
        Refusal{"creatorid_long", link_section + "[sync]\ncreatorid = \"0x123456789\"\n",
                "t.toml:5: sync.creatorid: ", "hex"},
        Refusal{"creatorid_short", link_section + "[sync]\ncreatorid = \"beef\"\n",
                "t.toml:5: sync.creatorid: ", "hex"},
        Refusal{"creatorid_empty", link_section + "[sync]\ncreatorid = \"0x\"\n", "t.toml:5: sync.creatorid: ", "hex"},
        Refusal{"maxupd", link_section + "[sync]\nmaxupd = 256\n", "t.toml:5: sync.maxupd: ", "255"},
        Refusal{"delay", link_section + "[sync]\ndelay_ms = 60001\n", "t.toml:5: sync.delay_ms: ", "60000"},
        Refusal{"defer", link_section + "[sync]\ndefer = true\n", "t.toml:5: sync.defer: needs a firewall", "remove"},
        Refusal{"defer_type", link_section + "[sync]\ndefer = 1\n", "t.toml:5: sync.defer: is an integer",
                "true or false"},
        Refusal{"rule_section", link_section + "[sync.rule]\n", "t.toml:4: sync.rule: must be a list", "[[sync.rule]]"},
        Refusal{"rule_no_action", rule_section + "proto = \"udp\"\n", "t.toml:4: sync.rule.action: is missing", "skip"},
        Refusal{"rule_action", rule_section + "action = \"drop\"\n", "t.toml:5: sync.rule.action: ", "delay"},
        Refusal{"rule_key", rule_section + "action = \"skip\"\nage = 3\n", "t.toml:6: sync.rule.age: unknown key",
                "action"},
        Refusal{"rule_proto", rule_section + "action = \"skip\"\nproto = \"ospf6\"\n",
                "t.toml:6: sync.rule.proto: ", "number"},
        Refusal{"rule_proto_high", rule_section + "action = \"skip\"\nproto = 256\n",
                "t.toml:6: sync.rule.proto: ", "255"},
        Refusal{"rule_port", rule_section + "action = \"skip\"\nport = \"9-8\"\n",
                "t.toml:6: sync.rule.port: ", "range"},
        Refusal{"rule_port_word", rule_section + "action = \"skip\"\nport = \"http\"\n",
                "t.toml:6: sync.rule.port: ", "range"},
        Refusal{"rule_port_zero", rule_section + "action = \"skip\"\nport = 0\n",
                "t.toml:6: sync.rule.port: ", "65535"},
        Refusal{"rule_port_of_icmp", rule_section + "action = \"skip\"\nport = 1\nproto = \"icmp\"\n",
                "t.toml:6: sync.rule.port: ", "only TCP"},
        Refusal{"rule_direction", rule_section + "action = \"skip\"\ndirection = \"both\"\n",
                "t.toml:6: sync.rule.direction: ", "out"},
        Refusal{"rule_interface", rule_section + "action = \"skip\"\ninterface = \"\"\n",
                "t.toml:6: sync.rule.interface: ", "15"},
        Refusal{"rule_no_age", rule_section + "action = \"delay\"\n", "t.toml:4: sync.rule.age_s: is missing",
                "seconds"},
        Refusal{"rule_age", rule_section + "action = \"delay\"\nage_s = 3601\n", "t.toml:6: sync.rule.age_s: ", "3600"},
        Refusal{"rule_age_of_skip", rule_section + "action = \"skip\"\nage_s = 3\n",
                "t.toml:6: sync.rule.age_s: ", "delay"},
        Refusal{"too_many_rules",
                link_section +
                    [] {
                      std::string rules;
                      for (std::size_t i = 0; i <= sync_rules_max; ++i) rules += "[[sync.rule]]\naction = \"sync\"\n";
                      return rules;
                    }(),
                "t.toml:132: sync.rule: is one too many", "64"},
        Refusal{"socket_empty", link_section + "[control]\nsocket = \"\"\n", "t.toml:5: control.socket: ", "107"},
        Refusal{"core", link_section + "[cores]\ndata = -1\n", "t.toml:5: cores.data: ", "from 0"},
        Refusal{"core_of_list", link_section + "[cores]\ndata = [2, 1024]\n", "t.toml:5: cores.data: 1024", "to 1023"},
        Refusal{"core_type", link_section + "[cores]\ndata = [2, \"3\"]\n", "t.toml:5: cores.data: is a string",
                "integer"},
        Refusal{"core_twice", link_section + "[cores]\ndata = [2, 2]\n", "t.toml:5: cores.data: names CPU 2 twice",
                "one of its own"},
        Refusal{"no_core", link_section + "[cores]\ndata = []\n", "t.toml:5: cores.data: is empty", "leave"},
        Refusal{"cores_differ", link_section + "[cores]\ndata = [2, 3]\ndata_cores = 3\n",
                "t.toml:6: cores.data_cores: is 3", "leave one"},
        Refusal{"too_many_cores", link_section + "[cores]\ndata_cores = 9\n", "t.toml:5: cores.data_cores: 9",
                "1 to 8"},
        Refusal{"cores_above_shards", link_section + "[table]\nshards = 2\n[cores]\ndata = [1, 2, 3]\n",
                "t.toml:7: cores.data: asks for 3", "table.shards"},
        Refusal{"memory", link_section + "[table]\nmemory = \"some\"\n", "t.toml:5: table.memory: ", "reserve"},
        Refusal{"collisions", link_section + "[table]\ncollisions = \"drop\"\n",
                "t.toml:5: table.collisions: ", "refuse"},
        Refusal{"poll", link_section + "[cores]\npoll = \"lazy\"\n", "t.toml:5: cores.poll: ", "adaptive"},
        Refusal{"log", link_section + "[log]\nlevel = \"loud\"\n", "t.toml:5: log.level: ", "info"},
        Refusal{"synthetic_states", link_section + "[table]\nstates_max = 9\n[synthetic]\nstates = 10\n",
                "t.toml:7: synthetic.states: ", "to 9"},
        Refusal{"synthetic_percent", link_section + "[synthetic]\ntcp_percent = 80\nudp_percent = 21\n",
                "t.toml:6: synthetic.udp_percent: ", "100"},
        Refusal{"http_listen", link_section + "[http]\nlisten = \"localhost:8443\"\n",
                "t.toml:5: http.listen: ", "127.0.0.1:8443"},
        Refusal{"http_port", link_section + "[http]\nlisten = \"127.0.0.1:0\"\n", "t.toml:5: http.listen: ", "8443"},
        Refusal{"http_key", link_section + "[http]\ncertificate = \"/a.pem\"\n",
                "t.toml:5: http.certificate: ", "other half"},
        Refusal{"http_file", link_section + "[http]\nusers_file = \"users\"\n", "t.toml:5: http.users_file: ", "/"},
        Refusal{"http_read", link_section + "[http]\nread = \"all\"\n", "t.toml:5: http.read: ", "anyone"},
        Refusal{"http_session", link_section + "[http]\nsession_minutes = 0\n",
                "t.toml:5: http.session_minutes: ", "1440"},
        Refusal{"sync_role", link_section + "[config_sync]\nrole = \"boss\"\n",
                "t.toml:5: config_sync.role: ", "secondary"},
        Refusal{"sync_peer", link_section + "[config_sync]\nrole = \"primary\"\n",
                "t.toml:4: config_sync.peer: ", "missing"},
        Refusal{"sync_listen", link_section + "[config_sync]\nlisten = \"10.0.0.1\"\n",
                "t.toml:5: config_sync.listen: ", "8444"},
        Refusal{"sync_user", link_section + "[config_sync.compat]\nlisten = \"10.0.0.1:443\"\n",
                "t.toml:4: config_sync.compat.user: ", "missing"},
        Refusal{"snapshot_path", link_section + "[snapshot]\npath = \"x\"\n",
                "t.toml:5: snapshot.path: ", "begin it with /"},
        Refusal{"snapshot_folder", link_section + "[snapshot]\npath = \"/x/\"\n",
                "t.toml:5: snapshot.path: ", "a file's name"},
        Refusal{"snapshot_interval", link_section + "[snapshot]\ninterval_s = 0\n",
                "t.toml:5: snapshot.interval_s: ", "1 to 86400"},
        Refusal{"snapshot_unknown", link_section + "[snapshot]\nevery = 1\n",
                "t.toml:5: snapshot.every: ", "known here are"}),
    [](const testing::TestParamInfo<Refusal>& row) { return row.param.name; });

TEST(Config, WhoMayLookDependsOnWhereThePageIs) {
  EXPECT_FALSE(good(link_section).http.has_value());
  const http::Settings usual = good(link_section + "[http]\n").http.value();
  EXPECT_EQ(usual.address, "127.0.0.1");
  EXPECT_EQ(usual.port, 8443);
  EXPECT_TRUE(usual.anyone_reads);
  const http::Settings open = good(link_section + "[http]\nlisten = \"[2001:db8::1]:443\"\n").http.value();
  EXPECT_EQ(open.address, "2001:db8::1");
  EXPECT_EQ(open.port, 443);
  EXPECT_FALSE(open.anyone_reads);
  EXPECT_TRUE(good(link_section + "[http]\nlisten = \"0.0.0.0:443\"\nread = \"anyone\"\n").http->anyone_reads);
  EXPECT_TRUE(good(link_section + "[http]\nlisten = \"[::1]:8443\"\n").http->anyone_reads);
}

TEST(Config, ASnapshotHasItsPlaceAmongWhatOutlivesTheProcess) {
  EXPECT_FALSE(good(link_section).snapshot.has_value());
  EXPECT_EQ(
      good(link_section + "[snapshot]\n").snapshot.value(),
      (snapshot::Settings{
          .path = "/var/lib/pfsyncd/states.snapshot", .interval_s = 60, .at_exit = true, .states_per_s = 500'000}));
  EXPECT_EQ(good(link_section + "[snapshot]\n[control]\nstate_dir = \"/srv\"\n").snapshot->path,
            "/srv/states.snapshot");
  EXPECT_EQ(good(link_section + "[snapshot]\npath = \"/srv/s\"\ninterval_s = 5\nat_exit = false\nstates_per_s = 0\n")
                .snapshot.value(),
            (snapshot::Settings{.path = "/srv/s", .interval_s = 5, .at_exit = false, .states_per_s = 0}));
}

TEST(ConfigFile, AMissingFileAndAFolderAreNamed) {
  const auto folder = std::filesystem::temp_directory_path();
  for (const auto& path : {folder / "pfsyncd-there-is-no-such-file.toml", folder}) {
    const ConfigResult result = load_config(path);
    const auto* why = std::get_if<std::string>(&result);
    ASSERT_NE(why, nullptr);
    EXPECT_TRUE(why->starts_with(path.string() + ": ")) << *why;
  }
}

TEST(ConfigFile, IsReadFromDisk) {
  const std::string name = "pfsyncd-config-test-" + std::to_string(getpid()) + ".toml";
  const auto path = std::filesystem::temp_directory_path() / name;
  std::ofstream{path} << link_section;
  const ConfigResult result = load_config(path);
  std::filesystem::remove(path);
  EXPECT_TRUE(std::holds_alternative<Config>(result));
}

}  // namespace
}  // namespace pfsync::engine
