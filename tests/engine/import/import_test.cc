// Configurations of firewalls as those of this daemon: what is taken, what is named, what is refused.
#include <gtest/gtest.h>

#include <algorithm>

#include "engine/config/config.h"
#include "engine/import/translate.h"
#include "wire/carp_digest.h"

namespace pfsync::engine {
namespace {

using imports::Choice;
using imports::Imported;
using imports::Source;
using imports::translate;

struct Result {
  std::string refusal, toml;
  std::vector<std::string> notes;
  Config config;
  [[nodiscard]] bool notes_have(const std::string& words) const {
    return std::any_of(notes.begin(), notes.end(),
                       [&](const std::string& note) { return note.find(words) != std::string::npos; });
  }
};

/// What comes out must be a configuration whatever went in.
Result run(const std::vector<Source>& files, const Choice& choice = {}) {
  Result result;
  auto translated = translate(files, choice);
  if (auto* why = std::get_if<std::string>(&translated)) {
    result.refusal = *why;
    return result;
  }
  auto& imported = std::get<Imported>(translated);
  result.toml = std::move(imported.toml);
  result.notes = std::move(imported.notes);
  auto config = parse_config(result.toml, "made.toml");
  if (const auto* why = std::get_if<std::string>(&config))
    ADD_FAILURE() << *why << "\n" << result.toml;
  else
    result.config = std::get<Config>(config);
  return result;
}

wire::Address inet(std::uint8_t a, std::uint8_t b, std::uint8_t c, std::uint8_t d) {
  return wire::ipv4_address(a, b, c, d);
}

TEST(Import, OpenbsdWithCarp) {
  const auto result = run({{"/etc/hostname.pfsync0", "up syncdev em2 syncpeer 10.0.0.2 maxupd 64 defer\n"},
                           {"/etc/hostname.em2", "inet 10.0.0.1 255.255.255.0\nmtu 4000\n"},
                           {"/etc/hostname.em0", "inet 192.168.1.2/24\n!echo hello\n"},
                           {"/etc/hostname.carp0",
                            "# the LAN\ninet 192.168.1.1 255.255.255.0 192.168.1.255 vhid 1 carpdev em0 \\\n"
                            "pass s3cret advskew 100\ninet alias 192.168.1.9 255.255.255.255\n"},
                           {"/etc/sysctl.conf", "net.inet.carp.preempt=1   # as it should\n"}});
  EXPECT_EQ(result.refusal, "");
  const Config& config = result.config;
  EXPECT_EQ(config.link.device, "em2");
  EXPECT_EQ(config.link.address, inet(10, 0, 0, 1));
  EXPECT_EQ(config.link.prefix, 24u);
  EXPECT_EQ(config.link.mtu, 4000u);
  ASSERT_EQ(config.peers.size(), 1u);
  EXPECT_EQ(config.peers[0].address, inet(10, 0, 0, 2));
  EXPECT_EQ(config.peers[0].dialect, wire::Dialect::openbsd);
  EXPECT_EQ(config.sync.maxupd, 64u);
  ASSERT_EQ(config.interfaces.size(), 1u);
  EXPECT_EQ(config.interfaces[0].device, "em0");
  EXPECT_EQ(config.interfaces[0].address, inet(192, 168, 1, 2));
  ASSERT_EQ(config.carp.size(), 1u);
  const auto& host = config.carp[0].host;
  EXPECT_EQ(host.vhid, 1);
  EXPECT_EQ(host.advskew, 100);
  EXPECT_EQ(host.password, "s3cret");
  EXPECT_TRUE(host.preempt);
  EXPECT_TRUE(host.openbsd);
  EXPECT_EQ(config.carp[0].address_texts, (std::vector<std::string>{"192.168.1.1/24", "192.168.1.9/32"}));
  EXPECT_TRUE(result.notes_have("defer")) << result.toml;
  EXPECT_TRUE(result.notes_have("a command")) << result.toml;
  EXPECT_TRUE(result.notes_have("device em0")) << result.toml;
  EXPECT_FALSE(result.notes_have("hostname.carp0")) << result.toml;
}

TEST(Import, OpenbsdAloneIsMulticastWithAnAddressThatStandsForTheRealOne) {
  const auto result = run({{"hostname.pfsync0", "up syncdev em2\n"}});
  EXPECT_EQ(result.config.link.destination, wire::pfsync_group_inet);
  EXPECT_EQ(result.config.link.dialect, wire::Dialect::openbsd);
  EXPECT_EQ(result.config.link.address, inet(192, 0, 2, 1));
  EXPECT_TRUE(result.notes_have("no file tells the address of em2")) << result.toml;
}

TEST(Import, OpenbsdCarpWithoutItsPortIsWhereItsNetworkIs) {
  const std::vector<Source> files{{"hostname.pfsync0", "syncdev em2"},
                                  {"hostname.em1", "inet 10.2.0.2 0xffff0000"},
                                  {"hostname.carp1", "10.2.7.1 255.255.0.0 vhid 7 pass x"}};
  const auto result = run(files);
  ASSERT_EQ(result.config.interfaces.size(), 1u) << result.toml;
  EXPECT_EQ(result.config.interfaces[0].device, "em1");
  const auto without = run({files[0], files[2]});
  EXPECT_TRUE(without.config.carp.empty());
  EXPECT_TRUE(without.notes_have("vhid 7: left out")) << without.toml;
}

TEST(Import, OpenbsdLoadBalancingIsLeftOutByName) {
  const auto result =
      run({{"hostname.pfsync0", "syncdev em2"},
           {"hostname.carp0", "inet 10.2.7.1 255.255.0.0 carpdev em2 carpnodes 1:0,2:100 balancing ip"}});
  EXPECT_TRUE(result.config.carp.empty());
  EXPECT_TRUE(result.notes_have("carpnodes")) << result.toml;
}

TEST(Import, FreebsdsRcConf) {
  const auto result =
      run({{"rc.conf",
            "# rc.conf\nhostname=fw1\npfsync_enable=\"YES\"\npfsync_syncdev=\"igb2.100\"\n"
            "pfsync_syncpeer='10.0.0.2'\npfsync_ifconfig=\"maxupd 32 version 1400\"\n"
            "ifconfig_igb2_100=\"inet 10.0.0.1 netmask 255.255.255.0\"\n"
            "ifconfig_igb0=\"inet 192.168.1.2/24\"; ifconfig_igb0_ipv6=\"inet6 2001:db8:1::2 prefixlen 64\"\n"
            "ifconfig_igb0_alias0=\"inet vhid 1 advskew 100 pass mekmitasdigoat alias 192.168.1.1/32\"\n"
            "ifconfig_igb0_aliases=\"inet vhid 1 192.168.1.7/32 \\\n inet6 vhid 2 pass b 2001:db8:1::1/64\"\n"}});
  const Config& config = result.config;
  EXPECT_EQ(config.link.device, "igb2.100");
  EXPECT_EQ(config.link.address, inet(10, 0, 0, 1));
  ASSERT_EQ(config.peers.size(), 1u) << result.toml;
  EXPECT_EQ(config.peers[0].dialect, wire::Dialect::freebsd_1400);
  EXPECT_EQ(config.sync.maxupd, 32u);
  ASSERT_EQ(config.carp.size(), 2u) << result.toml;
  EXPECT_EQ(config.carp[0].address_texts, (std::vector<std::string>{"192.168.1.1/32", "192.168.1.7/32"}));
  EXPECT_EQ(config.carp[0].host.password, "mekmitasdigoat");
  EXPECT_FALSE(config.carp[0].host.openbsd);
  EXPECT_FALSE(config.carp[0].host.preempt);
  EXPECT_EQ(config.carp[1].host.vhid, 2);
  EXPECT_EQ(config.carp[1].interface, "igb0");
  EXPECT_TRUE(result.notes_have("preempt")) << result.toml;
}

TEST(Import, FreebsdsVrrpAndVariablesAreNamed) {
  const auto result = run({{"rc.conf",
                            "pfsync_enable=NO\npfsync_syncdev=em1\nifconfig_em1=\"inet $address/24\"\n"
                            "ifconfig_em0_alias0=\"inet vhid 1 carpver 3 vrrpprio 100 alias 192.168.1.1/32\"\n"}});
  EXPECT_TRUE(result.notes_have("VRRP")) << result.toml;
  EXPECT_TRUE(result.notes_have("variable")) << result.toml;
  EXPECT_TRUE(result.notes_have("pfsync is off")) << result.toml;
  EXPECT_TRUE(result.config.carp.empty());
}

constexpr const char* pfsense = R"(<?xml version="1.0"?>
<pfsense><version>24.0</version>
<interfaces>
 <wan><if>igb0</if><ipaddr>203.0.113.2</ipaddr><subnet>29</subnet></wan>
 <lan><if>igb1</if><ipaddr>dhcp</ipaddr></lan>
 <opt1><if>igb2</if><ipaddr>10.0.0.1</ipaddr><subnet>24</subnet></opt1>
</interfaces>
<hasync><pfsyncenabled>on</pfsyncenabled><pfsyncinterface>opt1</pfsyncinterface><pfsyncpeerip>10.0.0.2</pfsyncpeerip>
 <pfhostid>a1b2c3</pfhostid><synchronizetoip>10.0.0.2</synchronizetoip><username>admin</username><password>do not tell</password></hasync>
<virtualip>
 <vip><mode>carp</mode><interface>wan</interface><uniqid>6602c2b1a3f10</uniqid><vhid>1</vhid><advskew>0</advskew><advbase>1</advbase>
  <password>a&amp;b&quot;c</password><type>single</type><subnet_bits>29</subnet_bits><subnet>203.0.113.1</subnet></vip>
 <vip><mode>ipalias</mode><interface>_vip6602c2b1a3f10</interface><subnet>203.0.113.3</subnet><subnet_bits>32</subnet_bits></vip>
 <vip><mode>proxyarp</mode><interface>wan</interface><subnet>203.0.113.4</subnet><subnet_bits>32</subnet_bits></vip>
 <vip><mode>carp</mode><interface>opt9</interface><vhid>2</vhid><subnet>1.2.3.4</subnet><subnet_bits>32</subnet_bits></vip>
</virtualip></pfsense>)";

TEST(Import, PfsensesConfigXml) {
  const auto result = run({{"config-fw1.xml", pfsense}}, {.devices = {{"igb2", "eth1"}, {"igb0", "0000:03:00.0"}}});
  const Config& config = result.config;
  EXPECT_EQ(config.link.device, "eth1");
  EXPECT_EQ(config.link.address, inet(10, 0, 0, 1));
  ASSERT_EQ(config.peers.size(), 1u);
  EXPECT_FALSE(config.peers[0].dialect);
  EXPECT_EQ(config.sync.creatorid, 0xa1b2c3u);
  ASSERT_EQ(config.carp.size(), 1u) << result.toml;
  EXPECT_EQ(config.carp[0].typed_password, "a&b\"c");
  EXPECT_EQ(config.carp[0].host.password, wire::as_pfsense_hands_over("a&b\"c"));
  EXPECT_TRUE(config.carp[0].host.preempt);
  EXPECT_EQ(config.carp[0].address_texts, (std::vector<std::string>{"203.0.113.1/29", "203.0.113.3/32"}));
  EXPECT_EQ(config.interfaces[0].device, "0000:03:00.0");
  for (const char* words : {"proxyarp", "opt9", "synchronizetoip 10.0.0.2"})
    EXPECT_TRUE(result.notes_have(words)) << result.toml;
  EXPECT_EQ(result.toml.find("do not tell"), std::string::npos);
  EXPECT_FALSE(result.notes_have("device igb"));
}

TEST(Import, OpnsensesConfigXml) {
  const auto result = run({{"config.xml", R"(<opnsense>
<interfaces><lan><if>vtnet0</if><ipaddr>192.168.1.2</ipaddr><subnet>24</subnet></lan>
 <opt1><if>vtnet2</if><ipaddr>10.0.0.1</ipaddr><subnet>24</subnet></opt1></interfaces>
<hasync version="1.0.2"><disablepreempt>1</disablepreempt><pfsyncenabled>1</pfsyncenabled><pfsyncinterface>opt1</pfsyncinterface>
 <pfsyncpeerip/><pfsyncversion>1400</pfsyncversion></hasync>
<virtualip version="1.0.1"><vip uuid="1"><mode>carp</mode><interface>lan</interface><vhid>3</vhid><password>x</password><advbase>1</advbase>
 <advskew>100</advskew><subnet>192.168.1.1</subnet><subnet_bits>24</subnet_bits><peer>224.0.0.18</peer><peer6/></vip>
 <vip uuid="2"><mode>ipalias</mode><interface>lan</interface><vhid>3</vhid><subnet>192.168.1.5</subnet><subnet_bits>32</subnet_bits></vip>
</virtualip></opnsense>)"}});
  EXPECT_EQ(result.config.link.dialect, wire::Dialect::freebsd_1400);
  EXPECT_TRUE(result.config.peers.empty());
  ASSERT_EQ(result.config.carp.size(), 1u) << result.toml;
  EXPECT_EQ(result.config.carp[0].host.addresses.size(), 2u);
  EXPECT_FALSE(result.config.carp[0].host.preempt);
  EXPECT_FALSE(result.notes_have("preempt"));
}

TEST(Import, AVlanIsToldWithWhatCarriesIt) {
  const auto result = run({{"config.xml", R"(<opnsense>
<interfaces><opt1><if>vlan0.240</if><ipaddr>10.0.0.1</ipaddr><subnet>24</subnet></opt1></interfaces>
<vlans><vlan uuid="1"><if>igb0</if><tag>240</tag><vlanif>vlan0.240</vlanif></vlan>
 <vlan uuid="2"><if>igb0</if><tag>241</tag><vlanif>vlan0.241</vlanif></vlan></vlans>
<hasync><pfsyncinterface>opt1</pfsyncinterface></hasync></opnsense>)"}});
  EXPECT_EQ(result.config.link.device, "vlan0.240");
  EXPECT_TRUE(result.notes_have("device vlan0.240 is the firewall's name of VLAN 240 of igb0")) << result.toml;
  EXPECT_TRUE(result.notes_have("vlan = 240")) << result.toml;
  EXPECT_FALSE(result.notes_have("241"));
}

TEST(Import, BesideTheFirewallBothAreItsPeersAndTheAddressesStayTheirs) {
  const auto result = run({{"config.xml", pfsense}}, {.address = "10.0.0.3/24", .devices = {{"igb2", "eth1"}}});
  EXPECT_EQ(result.config.link.address, inet(10, 0, 0, 3));
  ASSERT_EQ(result.config.peers.size(), 2u) << result.toml;
  EXPECT_EQ(result.config.peers[0].address, inet(10, 0, 0, 1));
  EXPECT_EQ(result.config.peers[1].address, inet(10, 0, 0, 2));
  EXPECT_TRUE(result.config.carp.empty());
  EXPECT_TRUE(result.config.sync.has_random_creatorid);
  EXPECT_TRUE(result.notes_have("give each of them this node's address")) << result.toml;
}

TEST(Import, WhatTheDaemonRefusesIsLeftOutWithItsReason) {
  const auto result = run({{"hostname.pfsync0", "syncdev em2 syncpeer fw2.example maxupd 999"},
                           {"hostname.em2", "inet 10.0.0.1 255.255.255.0"},
                           {"hostname.carp0", "inet 10.0.0.9 255.255.255.0 vhid 300 carpdev em2 pass a"},
                           {"hostname.carp1", "inet 10.0.0.1 255.255.255.0 vhid 4 carpdev em2 pass a"}});
  EXPECT_TRUE(result.config.peers.empty());
  EXPECT_TRUE(result.config.carp.empty());
  for (const char* words : {"syncpeer fw2.example: left out, since ", "maxupd 999: left out, since ",
                            "vhid 300 on em2: left out, since ", "vhid 4 on em2: left out, since "})
    EXPECT_TRUE(result.notes_have(words)) << words << "\n" << result.toml;
}

TEST(Import, RefusalsAreOneSentence) {
  const std::pair<Source, const char*> refused[] = {
      {{"x.xml", "<a><b></a>"}, "x.xml: not sound XML"},
      {{"x.xml", "<config/>"}, "x.xml: neither <pfsense> nor <opnsense>"},
      {{"x.xml", "<!DOCTYPE a [<!ENTITY b \"c\">]><pfsense/>"}, "x.xml: a document type"},
      {{"x.xml", "<pfsense><hasync><pfsyncinterface>opt7</pfsyncinterface></hasync></pfsense>"}, "\"opt7\""},
      {{"notes.txt", "buy milk\n"}, "notes.txt says nothing of pfsync"},
      {{"hostname.carp0", "vhid 1 pass x carpdev em0 10.0.0.1"}, "nothing tells the port of pfsync"},
      {{"rc.conf", std::string("pfsync_syncdev=\"a\0b\"", 20)}, "rc.conf is not text"},
      {{"rc.conf", "pfsync_syncdev=\"\""}, "nothing tells the port of pfsync"},
  };
  for (const auto& [file, words] : refused) {
    const auto result = run({file});
    EXPECT_NE(result.refusal.find(words), std::string::npos) << result.refusal;
    EXPECT_EQ(result.refusal.find('\n'), std::string::npos);
  }
  EXPECT_NE(run({{"hostname.pfsync0", "syncdev em2"}}, {.address = "10.0.0"}).refusal, "");
}

TEST(Import, NothingInAFileBreaksOutOfItsPlace) {
  const auto result =
      run({{"rc.conf",
            "pfsync_syncdev=\"e\n\"m'1'\nifconfig_e_m1=x\npfsync_syncpeer=\"1\\\"\n[cores]\ndata = 1\n#\"\n"
            "ifconfig_em0_alias0=\"inet vhid 1 pass \xff\\\\x 10.0.0.1/24\"\n"}});
  EXPECT_TRUE(result.config.cores.data.empty());
  EXPECT_TRUE(result.notes_have("not UTF-8")) << result.toml;
}

TEST(Import, MoreHostsThanAreTakenAreCounted) {
  std::string text = "pfsync_syncdev=em1\n";
  for (int i = 0; i < 1000; ++i)
    text += "ifconfig_em" + std::to_string(i) + "_alias0=\"inet vhid 1 pass x 10.0.0.1/24\"\n";
  const auto result = run({{"rc.conf", text}});
  EXPECT_TRUE(result.notes_have("more")) << result.notes.size();
  EXPECT_LE(result.notes.size(), 201u);
}

}  // namespace
}  // namespace pfsync::engine
