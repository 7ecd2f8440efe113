#include "tests/sim/simulation.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cstdlib>

#include "statetable/hash.h"
#include "wire/packet_reader.h"
#include "wire/packet_writer.h"

namespace pfsync::sim {
namespace {

constexpr Duration tick = std::chrono::milliseconds{1};
constexpr std::size_t packet_bytes_max = 1480;  // MTU 1500 less the IPv4 header

}  // namespace

std::uint64_t seed_of_run(std::uint64_t otherwise) {
  const char* given = std::getenv("SIM_SEED");
  return given != nullptr ? std::strtoull(given, nullptr, 10) : otherwise;
}

Simulation::Simulation(std::uint64_t seed, LinkConfig link) : seed_{seed}, link_{link}, random_{seed} {}

std::size_t Simulation::add(const NodeConfig& config) {
  nodes_.emplace_back().config = config;
  power_on(nodes_.back());
  return nodes_.size() - 1;
}

void Simulation::reboot(std::size_t node) { power_on(nodes_[node]); }

void Simulation::power_off(std::size_t index) {
  Node& node = nodes_[index];
  node.load.reset();
  node.bulks.clear();
  node.frames.clear();
  node.session.reset();
  node.gates.clear();
  node.table.reset();
}

void Simulation::power_on(Node& node) {
  auto made = statetable::Table::create({.states_max = node.config.states_max,
                                         .shard_bits = node.config.cores > 2 ? 3u : 1u,
                                         .hash_seed = random_(),
                                         .by_connection = true});
  node.session.reset();
  node.bulks.clear();
  node.frames.clear();
  node.gates.clear();
  node.table = std::move(std::get<0>(made));
  engine::SessionConfig config;
  config.creatorid = node.config.creatorid;
  config.sync_rules = node.config.rules;
  config.probe_every = node.config.probe_every;
  // As pf.conf(5): adaptive scaling follows the limit on states.
  config.timeouts.value[engine::pftm::adaptive_start] = static_cast<std::uint32_t>(node.config.states_max / 10 * 6);
  config.timeouts.value[engine::pftm::adaptive_end] = static_cast<std::uint32_t>(node.config.states_max / 10 * 12);
  for (std::size_t i = 0; i < std::max<std::size_t>(node.config.peers.size(), 1); ++i) {
    engine::BulkGate& gate = node.gates.emplace_back();
    const auto interfaces = i < node.config.interfaces.size() ? node.config.interfaces[i] : engine::InterfaceMap{};
    config.peers.push_back({.dialect = node.config.dialect,
                            .learn_dialect = node.config.learn_dialect,
                            .gate = &gate,
                            .interfaces = interfaces});
    node.bulks.emplace_back(engine::BulkSenderConfig{.creatorid = node.config.creatorid,
                                                     .dialect = node.config.dialect,
                                                     .states_per_s = node.config.bulk_states_per_s,
                                                     .interfaces = interfaces},
                            *node.table, &gate);
  }
  node.frames.resize(config.peers.size());
  node.session = std::make_unique<engine::PartitionedSession>(config, *node.table, node.config.cores);
  node.load.reset();
  if (node.config.load) node.load = std::make_unique<engine::SyntheticFirewall>(*node.config.load);
  node.session->first().start(now_);
}

void Simulation::run_for(Duration duration) {
  const Instant end = now_ + duration;
  while (now_ < end) step();
}

bool Simulation::run_until(const std::function<bool()>& reached, Duration limit) {
  const Instant end = now_ + limit;
  while (now_ < end) {
    if (reached()) return true;
    step();
  }
  return reached();
}

void Simulation::step() {
  const Instant end = now_ + tick;
  while (!in_flight_.empty() && in_flight_.top().at <= end) {
    const Delivery delivery = in_flight_.top();
    in_flight_.pop();
    now_ = delivery.at;
    deliver(delivery);
  }
  now_ = end;
  for (std::size_t i = 0; i < nodes_.size(); ++i) turn(i);
}

void Simulation::deliver(const Delivery& delivery) {
  const auto hash = statetable::content_hash(delivery.packet.data(), delivery.packet.size());
  trace_ = trace_ * 1099511628211u +
           (hash.low ^ static_cast<std::uint64_t>(delivery.at.time_since_epoch().count()) ^ delivery.receiver);
  Node& node = nodes_[delivery.receiver];
  if (!node.session) {
    if (lost_) lost_(delivery.sender, delivery.receiver, delivery.packet);
    return;
  }
  if (!takes(node, delivery.packet)) {
    ++refused_;
    return;
  }
  ++deliveries_;
  if (before_) before_(delivery.receiver, delivery.packet);
  const auto host = static_cast<std::uint8_t>(delivery.sender + 1);
  const std::vector<std::uint8_t> known = without_unknown(node, delivery.packet);
  const engine::Arrival arrival{known, wire::ipv4_address(10, 0, 0, host), delivery.peer};
  node.session->on_packets({&arrival, 1}, now_);
  if (hook_) hook_(delivery.receiver, delivery.packet);
}

bool Simulation::takes(const Node& node, wire::Bytes packet) const {
  if (!node.config.is_kernel) return true;
  wire::PacketReader reader{packet};
  wire::Section section;
  while (reader.next(section))
    if (!wire::takes(node.config.dialect, *section.action)) return false;
  return reader.header().version == wire::info(node.config.dialect).header_version;
}

std::vector<std::uint8_t> Simulation::without_unknown(const Node& node, wire::Bytes packet) const {
  std::vector<std::uint8_t> left{packet.begin(), packet.end()};
  if (node.config.interfaces_known.empty()) return left;
  left.resize(packet_bytes_max);
  wire::PacketWriter writer{node.config.dialect, left};
  wire::PacketReader reader{packet};
  wire::Section section;
  bool fits = true;
  while (reader.next(section)) {
    const auto [message, layout] = std::pair{section.action->message, section.action->layout};
    for (std::size_t i = 0; i < section.count && message != wire::Message::eof; ++i) {
      const wire::Bytes record = section.record(i);
      switch (message) {
        case wire::Message::ins:
        case wire::Message::upd:
          if (const wire::State state = wire::read_state(layout, record);
              node.config.interfaces_known.contains(std::string{state.ifname.view()}))
            fits = writer.append_state(message, state) && fits;
          break;
        case wire::Message::upd_c: fits = writer.append_update(wire::read_update(layout, record)) && fits; break;
        case wire::Message::clr: fits = writer.append_clear(wire::read_clear(record)) && fits; break;
        case wire::Message::bus: fits = writer.append_bulk_status(wire::read_bulk_status(record)) && fits; break;
        default: fits = writer.append_id(message, wire::read_id(message, layout, record)) && fits; break;
      }
    }
  }
  EXPECT_TRUE(fits);
  left.resize(writer.finish());
  return left;
}

void Simulation::turn(std::size_t index) {
  Node& node = nodes_[index];
  if (!node.session) return;
  engine::Session& first = node.session->first();
  if (node.load) node.load->run(first, now_);
  std::array<std::uint8_t, packet_bytes_max> room{};
  // The first core last: it is the one that sends, and what the others said before a clear goes before it.
  for (unsigned core = node.session->parts(); core-- > 0;) {
    while (node.session->turn(core, now_) > 0 && node.session->has_to_take(core)) {
    }
    for (unsigned peer = 0; peer < first.peers(); ++peer)
      for (std::size_t sent = 0; node.config.packets_per_turn == 0 || sent < node.config.packets_per_turn; ++sent) {
        const std::size_t bytes = node.session->part(core).transmit(peer, room, now_);
        if (bytes == 0) break;
        send(index, peer, wire::Bytes{room}.first(bytes));
      }
  }
  for (unsigned peer = 0; peer < first.peers(); ++peer) serve_bulk(index, peer);
}

void Simulation::serve_bulk(std::size_t index, unsigned peer) {
  Node& node = nodes_[index];
  engine::Session& first = node.session->first();
  engine::BulkSender& bulk = node.bulks[peer];
  auto& frames = node.frames[peer];
  const auto hand_over = [&](std::size_t count) {
    for (; count > 0 && !frames.empty(); --count) {
      send(index, peer, frames.front());
      frames.pop_front();
      node.gates[peer].frame_handed_over();
    }
  };
  const std::size_t ahead = node.config.frames_ahead;
  hand_over(frames_per_turn);
  bulk.speak(first.dialect(peer).in_use());
  if (first.take_bulk_request(peer)) bulk.start(now_);
  std::array<std::uint8_t, packet_bytes_max> room{};
  while (ahead == 0 || frames.size() < ahead) {
    const std::size_t bytes = bulk.transmit(room, now_);
    if (bytes == 0) break;
    frames.emplace_back(room.begin(), room.begin() + static_cast<std::ptrdiff_t>(bytes));
    if (ahead == 0) hand_over(1);
  }
}

void Simulation::send(std::size_t sender, unsigned peer, wire::Bytes packet) {
  wire::PacketReader reader{packet};
  wire::Section section;
  while (reader.next(section)) {
  }
  ASSERT_FALSE(reader.reject().has_value()) << "a node sent a malformed packet; " << replay_hint();
  const NodeConfig& config = nodes_[sender].config;
  if (!config.peers.empty()) {
    const std::size_t receiver = config.peers[peer];
    if (receiver >= nodes_.size()) return;  // nobody is there yet
    const auto& back = nodes_[receiver].config.peers;
    const auto found = std::find(back.begin(), back.end(), sender);
    if (found != back.end()) send_to(sender, receiver, static_cast<unsigned>(found - back.begin()), packet);
    return;
  }
  for (std::size_t receiver = 0; receiver < nodes_.size(); ++receiver)
    if (receiver != sender && nodes_[receiver].config.peers.empty()) send_to(sender, receiver, 0, packet);
}

void Simulation::send_to(std::size_t sender, std::size_t receiver, unsigned peer, wire::Bytes packet) {
  if (pulled_.contains(std::minmax(sender, receiver)) || silenced_.contains({sender, receiver}) ||
      packet.size() > link_.packet_bytes_max) {
    if (lost_) lost_(sender, receiver, packet);
    return;
  }
  const unsigned copies = below(100) < link_.duplicate_percent ? 2 : 1;
  for (unsigned copy = 0; copy < copies; ++copy) {
    if (below(100) < link_.loss_percent) {
      if (lost_) lost_(sender, receiver, packet);
      continue;
    }
    Duration delay = link_.delay;
    if (link_.jitter.count() > 0)
      delay += Duration{static_cast<Duration::rep>(below(static_cast<std::uint64_t>(link_.jitter.count())))};
    in_flight_.push({now_ + delay, order_++, sender, receiver, peer, {packet.begin(), packet.end()}});
  }
}

}  // namespace pfsync::sim
