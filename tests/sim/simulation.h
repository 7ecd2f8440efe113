#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <queue>
#include <random>
#include <string>
#include <vector>

#include "engine/bulk_sender.h"
#include "engine/session.h"
#include "engine/synthetic.h"
#include "statetable/table.h"

namespace pfsync::sim {

using engine::Duration;
using engine::Instant;

/// What a link does to the packets that cross it. Chances are per receiver.
struct LinkConfig {
  Duration delay = std::chrono::microseconds{200};
  Duration jitter{0};            ///< 0 to this much is added to each packet: reorders
  unsigned loss_percent = 0;
  unsigned duplicate_percent = 0;
};

struct NodeConfig {
  std::uint32_t creatorid = 1;
  std::size_t states_max = 4096;
  std::optional<engine::SyntheticConfig> load{};
};

/// Whole engines on one multicast segment, under a virtual clock. Everything that happens follows from
/// the seed: the same seed gives the same packets at the same times (`trace`).
class Simulation {
 public:
  explicit Simulation(std::uint64_t seed, LinkConfig link = {});

  /// Powers a node on; its session starts now. Returns its number.
  std::size_t add(const NodeConfig& config);
  /// Loses the node's memory and starts it again with an empty table.
  void reboot(std::size_t node);
  void run_for(Duration duration);
  [[nodiscard]] bool run_until(const std::function<bool()>& reached, Duration limit);

  [[nodiscard]] engine::Session& session(std::size_t node) { return *nodes_[node].session; }
  [[nodiscard]] statetable::Table& table(std::size_t node) { return *nodes_[node].table; }
  [[nodiscard]] engine::SyntheticFirewall& load(std::size_t node) { return *nodes_[node].load; }
  [[nodiscard]] statetable::Digest digest(std::size_t node) const { return nodes_[node].table->digest(); }
  [[nodiscard]] Instant now() const { return now_; }
  LinkConfig& link() { return link_; }
  /// A hash over all packets delivered, their times and receivers.
  [[nodiscard]] std::uint64_t trace() const { return trace_; }
  /// Called after each delivery with the receiving node.
  void on_delivery(std::function<void(std::size_t)> hook) { hook_ = std::move(hook); }
  [[nodiscard]] std::string replay_hint() const { return "replay with SIM_SEED=" + std::to_string(seed_); }

 private:
  struct Node {
    NodeConfig config;
    std::unique_ptr<statetable::Table> table;
    std::unique_ptr<engine::BulkGate> gate;
    std::unique_ptr<engine::Session> session;
    std::unique_ptr<engine::BulkSender> bulk;
    std::unique_ptr<engine::SyntheticFirewall> load;
  };
  struct Delivery {
    Instant at;
    std::uint64_t order;  ///< breaks ties, so that the run does not depend on the heap
    std::size_t receiver;
    std::vector<std::uint8_t> packet;
    bool operator>(const Delivery& other) const { return std::tie(at, order) > std::tie(other.at, other.order); }
  };

  void power_on(Node& node);
  void step();
  void deliver(const Delivery& delivery);
  void turn(std::size_t node);
  void broadcast(std::size_t sender, wire::Bytes packet);
  [[nodiscard]] std::uint64_t below(std::uint64_t bound) { return random_() % bound; }

  std::uint64_t seed_;
  LinkConfig link_;
  std::mt19937_64 random_;
  Instant now_ = Instant{} + std::chrono::hours{1};
  std::vector<Node> nodes_;
  std::priority_queue<Delivery, std::vector<Delivery>, std::greater<>> in_flight_;
  std::uint64_t order_ = 0;
  std::uint64_t trace_ = 0;
  std::function<void(std::size_t)> hook_;
};

/// The seed of this run: from the environment when a failure is replayed.
[[nodiscard]] std::uint64_t seed_of_run(std::uint64_t otherwise);

}  // namespace pfsync::sim
