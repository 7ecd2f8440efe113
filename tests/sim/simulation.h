#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <queue>
#include <random>
#include <set>
#include <string>
#include <vector>

#include "engine/session/bulk_sender.h"
#include "engine/session/partitioned_session.h"
#include "engine/session/synthetic.h"
#include "statetable/table.h"

namespace pfsync::sim {

using engine::Duration;
using engine::Instant;

/// What a link does to the packets that cross it. Chances are per receiver.
struct LinkConfig {
  Duration delay = std::chrono::microseconds{200};
  Duration jitter{0};  ///< 0 to this much is added to each packet: reorders
  unsigned loss_percent = 0;
  unsigned duplicate_percent = 0;
  std::size_t packet_bytes_max = 65535;  ///< longer packets are lost
};

struct NodeConfig {
  std::uint32_t creatorid = 1;
  std::size_t states_max = 4096;
  std::optional<engine::SyntheticConfig> load{};
  /// The nodes it speaks with by unicast, each of which must name it too. Empty: multicast.
  std::vector<std::size_t> peers{};
  wire::Dialect dialect = wire::Dialect::freebsd_1301;
  bool learn_dialect = false;
  /// Takes only what a kernel of its dialect takes; packets with anything else are refused.
  bool is_kernel = false;
  /// One for each of its peers; none: names pass as they are.
  std::vector<engine::InterfaceMap> interfaces{};
  std::vector<engine::SyncRule> rules{};  ///< what it announces
  std::uint64_t bulk_states_per_s = 20'000;
  /// Bulk frames that its control thread fills ahead of the data path, which sends frames_per_turn of them a turn; 0:
  /// each leaves as soon as it is filled.
  std::size_t frames_ahead = 0;
  /// What its link takes of it in a millisecond, bulk frames apart; 0: all that there is.
  std::size_t packets_per_turn = 0;
  unsigned cores = 1;      ///< of its data path; turned one after the other
  Duration probe_every{};  ///< as in SessionConfig
  /// The interfaces that a kernel has: it skips full states of others, without a word. Empty: all that there are.
  std::set<std::string> interfaces_known{};
};

/// Whole engines on one multicast segment or on unicast links, under a virtual clock. Everything that happens follows
/// from the seed: the same seed gives the same packets at the same times (`trace`).
class Simulation {
 public:
  static constexpr std::size_t frames_per_turn = 4;

  explicit Simulation(std::uint64_t seed, LinkConfig link = {});

  /// Powers a node on; its session starts now. Returns its number.
  std::size_t add(const NodeConfig& config);
  /// Loses the node's memory and starts it again with an empty table, as it is configured then.
  void reboot(std::size_t node);
  /// Off until it is rebooted.
  void power_off(std::size_t node);
  [[nodiscard]] NodeConfig& config(std::size_t node) { return nodes_[node].config; }
  /// Pulls the cable between two nodes, and puts it back. What is under way still arrives.
  void pull(std::size_t a, std::size_t b) { pulled_.insert(std::minmax(a, b)); }
  void put_back(std::size_t a, std::size_t b) { pulled_.erase(std::minmax(a, b)); }
  /// Loses all that the one sends to the other, and no longer.
  void silence(std::size_t sender, std::size_t receiver) { silenced_.insert({sender, receiver}); }
  void unsilence(std::size_t sender, std::size_t receiver) { silenced_.erase({sender, receiver}); }
  void run_for(Duration duration);
  [[nodiscard]] bool run_until(const std::function<bool()>& reached, Duration limit);

  [[nodiscard]] engine::Session& session(std::size_t node) { return nodes_[node].session->first(); }
  /// What all cores of a node have counted.
  void add_counters(std::size_t node, engine::Counters& sums) const { nodes_[node].session->add_counters(sums); }
  [[nodiscard]] statetable::Table& table(std::size_t node) { return *nodes_[node].table; }
  [[nodiscard]] bool is_serving(std::size_t node, unsigned peer) const { return nodes_[node].bulks[peer].running(); }
  [[nodiscard]] engine::SyntheticFirewall& load(std::size_t node) { return *nodes_[node].load; }
  [[nodiscard]] statetable::Digest digest(std::size_t node) const { return nodes_[node].table->digest(); }
  [[nodiscard]] Instant now() const { return now_; }
  LinkConfig& link() { return link_; }
  /// Packets that are still on their way.
  [[nodiscard]] std::size_t in_flight() const { return in_flight_.size(); }
  [[nodiscard]] std::uint64_t deliveries() const { return deliveries_; }
  /// Packets that a kernel refused because of their dialect.
  [[nodiscard]] std::uint64_t refused() const { return refused_; }
  /// A hash over all packets delivered, their times and receivers.
  [[nodiscard]] std::uint64_t trace() const { return trace_; }
  /// Called after each delivery with the receiving node and the packet.
  using DeliveryHook = std::function<void(std::size_t, wire::Bytes)>;
  void on_delivery(DeliveryHook hook) { hook_ = std::move(hook); }
  /// The same, before the node takes the packet.
  void before_delivery(DeliveryHook hook) { before_ = std::move(hook); }
  /// Called for each packet that the link loses on its way from a node to another, also because of a pulled cable or a
  /// receiver that is off.
  using LossHook = std::function<void(std::size_t sender, std::size_t receiver, wire::Bytes)>;
  void on_loss(LossHook hook) { lost_ = std::move(hook); }
  [[nodiscard]] std::string replay_hint() const { return "replay with SIM_SEED=" + std::to_string(seed_); }

 private:
  struct Node {
    NodeConfig config;
    std::unique_ptr<statetable::Table> table;
    std::deque<engine::BulkGate> gates;  ///< one for each peer
    std::unique_ptr<engine::PartitionedSession> session;
    std::deque<engine::BulkSender> bulks;
    std::vector<std::deque<std::vector<std::uint8_t>>> frames;  ///< filled, for each peer
    std::unique_ptr<engine::SyntheticFirewall> load;
  };
  struct Delivery {
    Instant at;
    std::uint64_t order;  ///< breaks ties, so that the run does not depend on the heap
    std::size_t sender, receiver;
    unsigned peer;  ///< the sender, among the receiver's peers
    std::vector<std::uint8_t> packet;
    bool operator>(const Delivery& other) const { return std::tie(at, order) > std::tie(other.at, other.order); }
  };

  void power_on(Node& node);
  void step();
  void deliver(const Delivery& delivery);
  void turn(std::size_t node);
  /// What a control thread does beside the data path, and what that sends of it.
  void serve_bulk(std::size_t node, unsigned peer);
  /// To a unicast peer, or to all others of the group.
  void send(std::size_t sender, unsigned peer, wire::Bytes packet);
  void send_to(std::size_t sender, std::size_t receiver, unsigned peer, wire::Bytes packet);
  [[nodiscard]] bool takes(const Node& node, wire::Bytes packet) const;
  /// The packet without the full states of interfaces that the node has not.
  [[nodiscard]] std::vector<std::uint8_t> without_unknown(const Node& node, wire::Bytes packet) const;
  [[nodiscard]] std::uint64_t below(std::uint64_t bound) { return random_() % bound; }

  std::uint64_t seed_;
  LinkConfig link_;
  std::mt19937_64 random_;
  Instant now_ = Instant{} + std::chrono::hours{1};
  std::deque<Node> nodes_;
  std::set<std::pair<std::size_t, std::size_t>> pulled_, silenced_;
  std::priority_queue<Delivery, std::vector<Delivery>, std::greater<>> in_flight_;
  std::uint64_t order_ = 0;
  std::uint64_t trace_ = 0;
  std::uint64_t deliveries_ = 0;
  std::uint64_t refused_ = 0;
  DeliveryHook before_, hook_;
  LossHook lost_;
};

/// The seed of this run: from the environment when a failure is replayed.
[[nodiscard]] std::uint64_t seed_of_run(std::uint64_t otherwise);

}  // namespace pfsync::sim
