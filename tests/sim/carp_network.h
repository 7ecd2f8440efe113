#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <queue>
#include <random>
#include <string>
#include <tuple>
#include <vector>

#include "engine/carp/node.h"

namespace pfsync::sim {

using engine::carp::Duration;
using engine::carp::Instant;

/// Whole CARP nodes on one segment under a virtual clock, each with a clock of its own that runs a little fast or slow,
/// and a monitor that knows who could hear whom and for how long. Everything follows from the seed.
class CarpNetwork {
 public:
  struct Config {
    std::size_t nodes = 2;
    unsigned loss_percent = 0;      ///< of each frame at each receiver
    unsigned drift_ppm_max = 1000;  ///< of each node's clock, either way
    bool preempt = true;
    bool dual_stack = false, both_families = false;
    bool equal_skews = false;
    bool openbsd = false;  ///< demote counts are said and compared first
  };
  CarpNetwork(const Config& config, std::uint64_t seed);

  void run_for(Duration duration);
  void fork_into_halves();  ///< at random: nobody hears the other half
  void heal();              ///< everybody hears everybody
  /// Frames of one family get through to nobody: a switch that filters groups.
  void filter(wire::Family family);
  /// What `from` sends does not get to `to`; the way back is as it was.
  void cut(std::size_t from, std::size_t to);
  void stop_loss() { config_.loss_percent = 0; }
  void kill(std::size_t node);  ///< without a word
  void start(std::size_t node);
  void freeze(std::size_t node);
  void thaw(std::size_t node);  ///< what came meanwhile is still in its queue
  void set_link(std::size_t node, bool up);
  void set_enabled(std::size_t node, bool enabled);
  void demote(std::size_t node, bool on);
  /// Where the node's table of states stands; a node that begins anew has it all.
  void set_sync(std::size_t node, engine::carp::Sync sync);
  void order(std::size_t node, engine::carp::State state);
  /// `node` hears nobody any more, though the monitor thinks so: what the monitor must notice.
  void deafen(std::size_t node) { nodes_[node].deaf = true; }
  /// Something random out of the above.
  void mishap();

  [[nodiscard]] std::size_t masters() const;
  [[nodiscard]] bool is_master(std::size_t node) const;
  [[nodiscard]] bool is_able(std::size_t node) const;
  [[nodiscard]] int rank(std::size_t node) const;  ///< the lower the better
  [[nodiscard]] std::size_t size() const { return nodes_.size(); }
  /// The first bound that was broken, in words; empty: none.
  [[nodiscard]] const std::string& broken() const { return broken_; }
  /// How often a master was judged that heard a better one, with losses or without.
  [[nodiscard]] std::uint64_t outranked() const { return outranked_; }
  [[nodiscard]] std::uint64_t trace() const { return trace_; }
  [[nodiscard]] int demotion(std::size_t node) const { return nodes_[node].demotion->total(); }

 private:
  struct Node {
    std::unique_ptr<engine::carp::Journal> journal;
    std::unique_ptr<engine::carp::Demotion> demotion;
    std::unique_ptr<engine::carp::Node> node;  ///< null: dead
    double rate = 1;
    std::uint8_t skew = 0;
    unsigned group = 0;
    bool link = true, enabled = true, frozen = false, deaf = false;
    Duration frozen_at{};
    std::vector<std::vector<std::uint8_t>> queue;
    std::optional<Duration> without_master_since;
  };
  struct Delivery {
    Duration at;
    std::uint64_t order;
    std::size_t from, to;
    std::vector<std::uint8_t> frame;
    bool operator>(const Delivery& other) const { return std::tie(at, order) > std::tie(other.at, other.order); }
  };

  [[nodiscard]] Instant local(const Node& node) const;
  [[nodiscard]] Duration global(const Node& node, Instant at) const;
  [[nodiscard]] bool runs(const Node& node) const { return node.node != nullptr && !node.frozen; }
  [[nodiscard]] bool hears(std::size_t to, std::size_t from) const;
  [[nodiscard]] bool hear_each_other(std::size_t a, std::size_t b) const { return hears(a, b) && hears(b, a); }
  [[nodiscard]] bool is_filtered(wire::Family family) const { return filtered_[family == wire::Family::inet6 ? 1 : 0]; }
  void turn(std::size_t node);
  void hear(const Delivery& delivery);
  void transmit(std::size_t node);
  void judge();
  void remember();
  void forget(std::size_t node);
  void forget_all();
  [[nodiscard]] std::uint64_t below(std::uint64_t bound) { return random_() % bound; }

  Config config_;
  std::mt19937_64 random_;
  Duration now_ = std::chrono::hours{1};
  std::vector<Node> nodes_;
  std::vector<std::optional<Duration>> two_since_;  ///< [a * nodes + b], a < b
  std::vector<bool> cut_;                           ///< [from * nodes + to]
  std::array<bool, 2> filtered_{};                  ///< IPv4, IPv6
  std::priority_queue<Delivery, std::vector<Delivery>, std::greater<>> in_flight_;
  std::uint64_t order_ = 0, trace_ = 0, outranked_ = 0;
  std::string broken_;
};

}  // namespace pfsync::sim
