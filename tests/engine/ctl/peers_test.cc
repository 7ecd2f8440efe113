#include "engine/ctl/peers.h"

#include <gtest/gtest.h>

#include "engine/control/config_report.h"
#include "engine/control/peers_report.h"
#include "tests/engine/config/config_text.h"
#include "tests/engine/node.h"

namespace pfsync::engine::ctl {
namespace {

using namespace std::chrono_literals;
using test::good;
using test::Node;

/// A node that speaks with 10.0.0.2.
struct Spoken : Node {
  explicit Spoken(const InterfaceMap& map = {}) : Node{1000, true, map} {
    config.peers.emplace_back().address = wire::ipv4_address(10, 0, 0, 2);
  }
  [[nodiscard]] Json peers() { return {{"peers", peers_json(view())}}; }
  [[nodiscard]] Json bulk() { return {{"bulk", bulk_json(view())}}; }
  /// A packet of full states from that peer.
  void hear(std::uint64_t first, std::uint64_t count) {
    std::vector<std::uint8_t> room(1480);
    for (std::uint64_t id = first; id < first + count; ++id) {
      wire::PacketWriter writer{wire::Dialect::freebsd_1301, room};
      wire::State state = udp(id);
      ASSERT_TRUE(writer.append_state(wire::Message::upd, state));
      const std::size_t bytes = writer.finish();
      session.on_packet(Arrival{.packet = wire::Bytes{room}.first(bytes), .source = config.peers[0].address}, now);
    }
  }
  static wire::State udp(std::uint64_t id) {
    wire::State state;
    state.id = {id, 2};
    state.ifname = wire::InterfaceName{"em0"};
    state.key[0].port = state.key[1].port = {53, static_cast<std::uint16_t>(id)};
    state.expire_s = 60;
    state.af = wire::Family::inet;
    state.proto = wire::ipproto::udp;
    state.timeout = pftm::udp_multiple;
    return state;
  }
};

void expect_lines(const std::string& text, std::initializer_list<const char*> lines) {
  for (const char* line : lines) EXPECT_NE(text.find(line), std::string::npos) << line << "\nis not in\n" << text;
}

TEST(PeersText, TellsWhoIsSpokenWithAndHow) {
  InterfaceMap map;
  ASSERT_EQ(map.add(wire::InterfaceName{"igb0"}, wire::InterfaceName{"vmx1"}), InterfaceMap::Added::yes);
  Spoken node{map};
  expect_lines(peers_text(node.peers()), {"10.0.0.2\n", "heard              never\n"});
  node.hear(1, 3);
  ASSERT_EQ(node.open(7), Session::Local::done);
  node.session.on_timeout(node.now);
  node.now += 1500ms;
  expect_lines(peers_text(node.peers()), {"  spoken with        from 10.0.0.1\n", "  dialect            1301 (fixed)\n",
                                          "  heard              1.5 s ago\n", "10.0.0.2, 1.5 s ago, dialect 1301\n",
                                          "  queued             2 changes\n",  // and the bulk request
                                          "asked, request 1 of 13, 3 states in 1.5 s, 2/s, next try in 3.5 s\n",
                                          "  bulk update, its   0 served, at most 50000/s\n",
                                          "  interfaces         igb0 = vmx1; without a row: em0 (3 in, 0 out)\n"});
}

TEST(BulkText, HasBothDirectionsWithTheirProgress) {
  Spoken node;
  node.hear(1, 400);
  std::vector<std::uint8_t> room(1480);
  node.sender.start(node.now);
  for (int packets = 0; packets < 20; ++packets) {
    node.now += 1ms;
    static_cast<void>(node.sender.transmit(room, node.now));
  }
  node.sender.start(node.now);
  const Json serving = node.bulk()["bulk"][0]["serving"];
  EXPECT_EQ(serving["running"], true);
  EXPECT_EQ(serving["states_total"], 400);
  EXPECT_EQ(serving["requests_merged"], 1);
  const double left_s = (400 - serving["states_sent"].get<double>()) / serving["rate_per_s"].get<double>();
  EXPECT_NEAR(serving["eta_s"].get<double>(), left_s, 1e-6);
  expect_lines(bulk_text(node.bulk()),
               {"10.0.0.2\n  own                asked, request 1 of 13, 400 states in 0.0 s", " of 400 states",
                "; 0 served, 1 requests joined one under way, at most 50000/s\n"});
  node.receive({.creatorid = 2, .endtime_s = 0, .status = wire::BulkStatus::start});
  node.receive({.creatorid = 2, .endtime_s = 0, .status = wire::BulkStatus::end});
  while (node.sender.running()) {
    node.now += 10ms;
    static_cast<void>(node.sender.transmit(room, node.now));
  }
  expect_lines(bulk_text(node.bulk()), {"own                done, request 1 of 13, 400 states in 0.0 s",
                                        "its                the last one ", "; 2 served"});
  EXPECT_TRUE(node.bulk()["bulk"][0]["serving"]["eta_s"].is_null());
  EXPECT_TRUE(node.bulk()["bulk"][0]["bulk"]["next_try_s"].is_null());
}

TEST(ConfigText, IsAConfigurationThatSaysTheSame) {
  for (const char* text : {R"([link]
device = "eth1"
address = "10.0.0.1"
sources = ["10.0.0.2", { address = "10.0.0.3", mac = "02:00:00:00:00:03" }]
interface_map = { "igb0.7" = "vmx1.7" }
)",
                           R"([link]
device = "net_af_packet0,iface=eth1"
address = "10.0.0.1/24"
vlan = 7
[[peer]]
address = "10.0.0.2"
dialect = "1400"
mac = "02:00:00:00:00:02"
source = "10.0.0.254"
interface_map = { igb0 = "vmx1", igb1 = "vmx0" }
[[peer]]
address = "10.0.0.3"
bulk_states_per_s = 7
[table.timeouts]
tcp_first = 3
[[sync.rule]]
action = "delay"
port = "8000-8999"
age_s = 10
[[sync.rule]]
action = "skip"
proto = "udp"
port = 53
direction = "out"
interface = "igb0"
[[carp]]
vhid = 7
password = "do not tell"
addresses = ["10.0.0.254/24", "fd00::1/64"]
[cores]
data = 1
poll = "busy"
[http]
listen = "[::1]:9443"
session_minutes = 5
[config_sync]
role = "secondary"
listen = "[fd00::2]:8444"
peer = "10.0.0.1:8444"
cluster = "edge"
strict = true
confirm_s = 20
interface_map = { wan = "eth1" }
advskew = { "7" = 100, "7@wan" = 50 }
[config_sync.compat]
listen = "10.0.0.2:443"
user = "pfsense"
sources = ["10.0.0.1"]
config_version = "23.3"
[synthetic]
states = 10
)"}) {
    const Config config = good(text);
    const Json json = config_json(config);
    const std::string written = config_text({{"config", json}});
    EXPECT_EQ(config_json(good(written)), json) << written;
    EXPECT_EQ(written.find("do not tell"), std::string::npos) << written;
  }
}

TEST(ConfigText, HasEveryDefault) {
  const std::string text =
      config_text({{"config", config_json(good("[link]\ndevice = \"eth1\"\naddress = \"10.0.0.1\"\n"))}});
  expect_lines(text, {"[link]\ndevice = \"eth1\"\n", "mtu = 1500\n", "multicast = \"224.0.0.240\"\n",
                      "dialect = \"auto\"\n", "states_max = 1000000\n", "tcp_established = 86400\n", "maxupd = 128\n",
                      "bulk_states_per_s = 50000\n", "requests_per_s = 10000\n", "probe_every_s = 1\n",
                      "telemetry = true\n", "poll = \"adaptive\"\n", "socket = \"/run/pfsyncd.sock\"\n"});
}

}  // namespace
}  // namespace pfsync::engine::ctl
