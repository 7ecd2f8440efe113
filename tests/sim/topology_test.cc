// Third node, hub and pair on whole frames, over IPv4 and IPv6: sessions behind links on one segment.
#include <gtest/gtest.h>

#include <deque>
#include <memory>
#include <variant>
#include <vector>

#include "engine/link/link.h"
#include "engine/session/bulk_sender.h"
#include "engine/session/session.h"
#include "statetable/table.h"
#include "wire/ethernet.h"
#include "wire/icmp.h"
#include "wire/ip.h"

namespace pfsync::sim {
namespace {

using namespace std::chrono_literals;
using engine::Instant;
using wire::Dialect;
using wire::Family;
using Frame = std::vector<std::uint8_t>;

class Topology : public ::testing::TestWithParam<Family> {
 protected:
  /// A node's peers, by number; none: multicast.
  struct Spec {
    std::vector<std::size_t> peers{};
    std::vector<Dialect> dialects{Dialect::freebsd_1301};  ///< of each peer, or of the group
  };

  struct Node {
    Node(const engine::SessionConfig& config, const engine::LinkConfig& at, std::deque<engine::BulkGate>& gates,
         std::unique_ptr<statetable::Table> of)
        : table{std::move(of)}, session{config, *table}, link{at, session.counters()} {
      for (unsigned peer = 0; peer < session.peers(); ++peer)
        bulks.emplace_back(engine::BulkSenderConfig{.creatorid = config.creatorid, .states_per_s = 0}, *table,
                           &gates[peer]);
    }
    std::unique_ptr<statetable::Table> table;
    engine::Session session;
    engine::Link link;
    std::deque<engine::BulkSender> bulks;
  };

  [[nodiscard]] static wire::Address address(std::size_t node) {
    const auto last = static_cast<std::uint8_t>(node + 1);
    if (GetParam() == Family::inet) return wire::ipv4_address(192, 0, 2, last);
    return wire::Address{{0xfd, 0x2c, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, last}};
  }
  [[nodiscard]] static wire::MacAddress mac(std::size_t node) {
    return {{2, 0, 0, 0, 0, static_cast<std::uint8_t>(node + 1)}};
  }
  [[nodiscard]] static std::uint32_t creator(std::size_t node) { return 0x1000u + static_cast<std::uint32_t>(node); }

  /// (Re)starts a node without memory.
  void power_on(std::size_t number, const Spec& spec) {
    if (nodes.size() <= number) nodes.resize(number + 1), gates.resize(number + 1);
    nodes[number].reset();
    gates[number] = std::make_unique<std::deque<engine::BulkGate>>(std::max<std::size_t>(spec.peers.size(), 1));
    engine::SessionConfig config{.creatorid = creator(number)};
    engine::LinkConfig at{.mac = mac(number), .family = GetParam(), .address = address(number)};
    at.destination = GetParam() == Family::inet ? wire::pfsync_group_inet : wire::pfsync_group_inet6;
    for (std::size_t i = 0; i < std::max<std::size_t>(spec.peers.size(), 1); ++i) {
      config.peers.push_back({.dialect = spec.dialects[i], .gate = &(*gates[number])[i]});
      if (!spec.peers.empty()) at.peers.push_back({.address = address(spec.peers[i])});
    }
    auto table =
        statetable::Table::create({.states_max = 1000, .shard_bits = 1, .hash_seed = 7, .by_connection = true});
    nodes[number] = std::make_unique<Node>(config, at, *gates[number],
                                           std::move(std::get<std::unique_ptr<statetable::Table>>(table)));
    nodes[number]->session.start(now);
  }
  void power_off(std::size_t number) { nodes[number].reset(); }

  void open(std::size_t node, std::uint64_t id) {
    wire::State state;
    state.id = {id, 0};
    state.ifname = wire::InterfaceName{"em0"};
    for (auto& key : state.key) {
      key.addr[0].bytes = {10, 2, 0, 100};
      key.addr[1].bytes = {10, 1, static_cast<std::uint8_t>(node), static_cast<std::uint8_t>(id)};
      key.port = {443, static_cast<std::uint16_t>(1024 + id)};
    }
    state.src = {.seqlo = 1000, .seqhi = 66000, .max_win = 500, .state = wire::tcps::established};
    state.dst = {.seqlo = 5000, .seqhi = 70000, .max_win = 500, .state = wire::tcps::established};
    state.af = Family::inet;
    state.proto = wire::ipproto::tcp;
    state.direction = wire::Direction::out;
    state.timeout = engine::pftm::tcp_established;
    ASSERT_EQ(nodes[node]->session.insert(state, now), engine::Session::Local::done);
  }

  /// Time in steps of 10 ms; a switch that floods.
  void pass(engine::Duration duration) {
    for (const Instant end = now + duration; now < end; now += 10ms)
      for (bool more = true; more;) {
        more = false;
        for (std::size_t from = 0; from < nodes.size(); ++from)
          if (nodes[from])
            for (const Frame& frame : frames_of(*nodes[from], *gates[from])) {
              more = true;
              ++frames;
              flood(from, frame);
            }
      }
  }
  void flood(std::size_t from, const Frame& frame) {
    const auto ethernet = wire::read_ethernet(frame);
    ASSERT_TRUE(ethernet);
    for (std::size_t to = 0; to < nodes.size(); ++to) {
      const bool is_for_it = (ethernet->destination.bytes[0] & 1u) != 0 || ethernet->destination == mac(to);
      if (to == from || !nodes[to] || !is_for_it) continue;
      if (const auto packet = nodes[to]->link.on_frame(frame)) nodes[to]->session.on_packet(*packet, now);
      if (const Frame answer = advertisement(*ethernet, to); !answer.empty())
        static_cast<void>(nodes[from]->link.on_frame(answer));
    }
  }
  /// What the host behind a link answers to a solicitation.
  [[nodiscard]] static Frame advertisement(const wire::EthernetFrame& ethernet, std::size_t node) {
    if (ethernet.ethertype != wire::ethertype::ipv6) return {};
    const wire::IpResult ip = wire::read_ip(ethernet.payload);
    const auto question =
        ip.reject || ip.packet.protocol != wire::ipproto::icmpv6 ? std::nullopt : wire::read_neighbour(ip.packet);
    if (!question || !question->is_solicitation || question->target != address(node)) return {};
    Frame frame(128);
    const std::size_t header =
        wire::write_ethernet_header(ethernet.source, mac(node), {}, wire::ethertype::ipv6, frame);
    const std::size_t headers = header + wire::ip_header_bytes(Family::inet6);
    const std::size_t body =
        wire::write_neighbour({.is_solicitation = false, .target = address(node), .mac = mac(node)}, address(node),
                              ip.packet.source, wire::Room{frame}.subspan(headers));
    static_cast<void>(wire::write_ip_header({Family::inet6, address(node), ip.packet.source, wire::ipproto::icmpv6},
                                            body, wire::Room{frame}.subspan(header)));
    frame.resize(headers + body);
    return frame;
  }
  [[nodiscard]] std::vector<Frame> frames_of(Node& node, std::deque<engine::BulkGate>& its_gates) const {
    std::vector<Frame> sent;
    Frame room(1600);
    const auto keep = [&](std::size_t bytes) {
      sent.emplace_back(room.begin(), room.begin() + static_cast<std::ptrdiff_t>(bytes));
    };
    if (now >= node.session.timeout(now)) node.session.on_timeout(now);
    while (const std::size_t bytes = node.link.transmit_resolution(room, now)) keep(bytes);
    for (unsigned peer = 0; peer < node.session.peers(); ++peer) {
      engine::BulkSender& bulk = node.bulks[peer];
      const Dialect dialect = node.session.dialect(peer).in_use();
      bulk.speak(dialect);
      if (node.session.take_bulk_request(peer)) bulk.start(now);
      if (!node.link.can_send(peer)) continue;
      while (const std::size_t bytes = node.session.transmit(peer, node.link.packet_room(room, dialect), now))
        keep(node.link.finish(room, bytes, peer));
      while (const std::size_t bytes = bulk.transmit(node.link.packet_room(room, dialect), now)) {
        keep(node.link.finish(room, bytes, peer));
        its_gates[peer].frame_handed_over();
      }
    }
    return sent;
  }

  void expect_one_table() const {
    const auto digest = nodes[0]->table->digest();
    for (std::size_t i = 1; i < nodes.size(); ++i) EXPECT_EQ(nodes[i]->table->digest(), digest) << "node " << i;
  }
  [[nodiscard]] std::size_t states(std::size_t node) const { return nodes[node]->table->size(); }
  [[nodiscard]] std::uint64_t refused(std::size_t node) const {
    std::uint64_t sum = 0;
    for (const auto& row : wire::reject_table) sum += nodes[node]->session.counters()[row.reject].value();
    return sum;
  }

  std::vector<std::unique_ptr<std::deque<engine::BulkGate>>> gates;
  std::vector<std::unique_ptr<Node>> nodes;
  Instant now = Instant{} + 1000s;
  std::uint64_t frames = 0;
};

INSTANTIATE_TEST_SUITE_P(Families, Topology, ::testing::Values(Family::inet, Family::inet6),
                         [](const auto& row) { return row.param == Family::inet ? "IPv4" : "IPv6"; });

TEST_P(Topology, AThirdNodeRemembersWhatBothFirewallsForgot) {
  for (std::size_t number = 0; number < 3; ++number) power_on(number, {});
  for (std::uint64_t id = 1; id <= 20; ++id) open(id % 2, id);
  pass(3s);
  EXPECT_EQ(states(2), 20u);
  expect_one_table();
  power_off(0);
  power_off(1);
  pass(1s);
  power_on(0, {});
  power_on(1, {});
  pass(3s);
  EXPECT_EQ(states(0), 20u);
  expect_one_table();
  for (std::size_t number = 0; number < 3; ++number) {
    EXPECT_EQ(refused(number), 0u) << number;
    EXPECT_EQ(nodes[number]->session.bulk().phase(), engine::BulkPhase::done) << number;
  }
}

TEST_P(Topology, AHubJoinsFirewallsOfSeveralDialects) {
  const std::vector<Dialect> dialects{Dialect::freebsd_1301, Dialect::freebsd_1500, Dialect::openbsd};
  power_on(0, {.peers = {1, 2, 3}, .dialects = dialects});
  for (std::size_t number = 1; number <= 3; ++number)
    power_on(number, {.peers = {0}, .dialects = {dialects[number - 1]}});
  for (std::uint64_t id = 1; id <= 30; ++id) open(1 + id % 3, id);
  pass(5s);
  EXPECT_EQ(states(0), 30u);
  expect_one_table();
  // One comes up without memory; what it had is given back by the hub alone.
  power_off(2);
  pass(1s);
  power_on(2, {.peers = {0}, .dialects = {dialects[1]}});
  pass(3s);
  EXPECT_EQ(states(2), 30u);
  // It ends everywhere.
  ASSERT_EQ(nodes[1]->session.erase({3, creator(1)}, now), engine::Session::Local::done);
  pass(4s);
  EXPECT_EQ(states(0), 29u);
  expect_one_table();
  for (std::size_t number = 0; number <= 3; ++number) EXPECT_EQ(refused(number), 0u) << number;
  const std::uint64_t before = frames;
  pass(20s);
  EXPECT_LE(frames - before, 100u) << "a quiet hub only looks after its peers' Ethernet addresses";
}

TEST_P(Topology, APairOfHubsPassesOnAndDoesNotLoop) {
  power_on(0, {.peers = {1, 2}, .dialects = {2, Dialect::freebsd_1301}});
  power_on(1, {.peers = {0, 3}, .dialects = {2, Dialect::freebsd_1301}});
  power_on(2, {.peers = {0}});
  power_on(3, {.peers = {1}});
  for (std::uint64_t id = 1; id <= 10; ++id) open(2 + id % 2, id);
  pass(5s);
  EXPECT_EQ(states(2), 10u);
  expect_one_table();
  const std::uint64_t before = frames;
  pass(10s);
  EXPECT_LE(frames - before, 60u);
}

}  // namespace
}  // namespace pfsync::sim
