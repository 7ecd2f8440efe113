#include "tests/sim/simulation.h"

#include <gtest/gtest.h>

#include <array>
#include <cstdlib>

#include "statetable/hash.h"
#include "wire/packet_reader.h"

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
  nodes_.push_back({config, {}, {}, {}, {}, {}});
  power_on(nodes_.back());
  return nodes_.size() - 1;
}

void Simulation::reboot(std::size_t node) { power_on(nodes_[node]); }

void Simulation::power_on(Node& node) {
  auto made = statetable::Table::create({.states_max = node.config.states_max, .shard_bits = 1, .hash_seed = random_()});
  node.session.reset();
  node.bulk.reset();
  node.table = std::move(std::get<0>(made));
  node.gate = std::make_unique<engine::BulkGate>();
  engine::SessionConfig config;
  config.creatorid = node.config.creatorid;
  node.session = std::make_unique<engine::Session>(config, *node.table, node.gate.get());
  node.bulk = std::make_unique<engine::BulkSender>(
      engine::BulkSenderConfig{.creatorid = node.config.creatorid, .states_per_s = 20'000}, *node.table, node.gate.get());
  node.load.reset();
  if (node.config.load) node.load = std::make_unique<engine::SyntheticFirewall>(*node.config.load);
  node.session->start(now_);
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
  trace_ = trace_ * 1099511628211u + (hash.low ^ static_cast<std::uint64_t>(delivery.at.time_since_epoch().count()) ^ delivery.receiver);
  nodes_[delivery.receiver].session->on_packet(delivery.packet, now_);
  if (hook_) hook_(delivery.receiver);
}

void Simulation::turn(std::size_t index) {
  Node& node = nodes_[index];
  if (node.load) node.load->run(*node.session, now_);
  if (node.session->timeout(now_) <= now_) node.session->on_timeout(now_);
  std::array<std::uint8_t, packet_bytes_max> room{};
  while (const std::size_t bytes = node.session->transmit(room, now_)) broadcast(index, wire::Bytes{room}.first(bytes));
  // What a control thread does beside the data path.
  if (node.session->take_bulk_request()) node.bulk->start(now_);
  while (const std::size_t bytes = node.bulk->transmit(room, now_)) {
    broadcast(index, wire::Bytes{room}.first(bytes));
    node.gate->frame_handed_over();
  }
}

void Simulation::broadcast(std::size_t sender, wire::Bytes packet) {
  wire::PacketReader reader{packet};
  wire::Section section;
  while (reader.next(section)) {}
  ASSERT_FALSE(reader.reject().has_value()) << "a node sent a malformed packet; " << replay_hint();
  for (std::size_t receiver = 0; receiver < nodes_.size(); ++receiver) {
    if (receiver == sender) continue;
    const unsigned copies = below(100) < link_.duplicate_percent ? 2 : 1;
    for (unsigned copy = 0; copy < copies; ++copy) {
      if (below(100) < link_.loss_percent) continue;
      Duration delay = link_.delay;
      if (link_.jitter.count() > 0)
        delay += Duration{static_cast<Duration::rep>(below(static_cast<std::uint64_t>(link_.jitter.count())))};
      in_flight_.push({now_ + delay, order_++, receiver, {packet.begin(), packet.end()}});
    }
  }
}

}  // namespace pfsync::sim
