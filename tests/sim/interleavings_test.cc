// Random networks of two to eight nodes under everything that happens to packets: loss, duplication, reordering,
// pulled cables, reboots, all dialects at once. What must hold is judged here, apart from the engine's own rules.
// SIM_SEED=n runs network n alone; SIM_INTERLEAVINGS=1000000 goes on until as many connections have lived.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <map>
#include <unordered_map>
#include <unordered_set>

#include "tests/sim/simulation.h"
#include "wire/convert.h"
#include "wire/packet_reader.h"

namespace pfsync::sim {
namespace {

using namespace std::chrono_literals;
using wire::Message;
using wire::StateId;

struct OfId {
  std::size_t operator()(StateId id) const { return id.id * 0x9e3779b97f4a7c15u ^ id.creatorid; }
};
using Ids = std::unordered_set<StateId, OfId>;
using States = std::unordered_map<StateId, statetable::HotState, OfId>;

/// Every state that a packet names.
void for_each_id(wire::Bytes packet, const auto& visit) {
  wire::PacketReader reader{packet};
  wire::Section section;
  while (reader.next(section)) {
    const Message message = section.action->message;
    if (message == Message::clr || message == Message::bus || message == Message::tdb || message == Message::eof)
      continue;
    for (std::size_t i = 0; i < section.count; ++i)
      visit(wire::read_id(message, section.action->layout, section.record(i)));
  }
}

[[nodiscard]] bool precedes(std::uint32_t a, std::uint32_t b) { return static_cast<std::int32_t>(a - b) < 0; }

/// Whether a TCP end of a connection went from one value to an earlier one.
[[nodiscard]] bool goes_back(const wire::Peer& from, const wire::Peer& to) {
  if (from.state != to.state) return to.state < from.state;
  if (from.seqlo != to.seqlo) return precedes(to.seqlo, from.seqlo);
  return precedes(to.seqhi, from.seqhi);
}

class Network {
 public:
  explicit Network(std::uint64_t seed) : random_{seed}, sim_{seed, link()} {
    sim_.before_delivery([this](std::size_t node, wire::Bytes packet) { look_before(node, packet); });
    sim_.on_delivery([this](std::size_t node, wire::Bytes packet) { look_after(node, packet); });
    sim_.on_loss([this](std::size_t, std::size_t, wire::Bytes packet) {
      for_each_id(packet, [this](StateId id) { told_in_vain_.insert(id); });
    });
    const std::size_t nodes = 2 + below(7);
    hubs_ = below(2) == 0 ? 0 : 1 + below(std::min<std::size_t>(nodes - 1, 3));
    is_perfect_ = sim_.link().loss_percent == 0;
    const std::vector<std::vector<std::size_t>> tree =
        hubs_ > 0 ? make_tree(nodes) : std::vector<std::vector<std::size_t>>(nodes);
    for (std::size_t i = 0; i < nodes; ++i) {
      NodeConfig config{.creatorid = static_cast<std::uint32_t>(i + 1),
                        .peers = tree[i],
                        .dialect = static_cast<wire::Dialect>(below(4))};
      if (i >= hubs_)
        config.load = engine::SyntheticConfig{.states = 10 + below(40),
                                              .fill_per_s = 400,
                                              .new_per_s = 10 + below(50),
                                              .updates_per_s = 50 + below(400),
                                              .tcp_percent = 100,
                                              .udp_percent = 0,
                                              .seed = random_()};
      sim_.add(config);
    }
    nodes_ = nodes;
  }

  /// Some seconds of work and mishaps.
  void work() {
    const unsigned mishaps = static_cast<unsigned>(below(4));
    for (unsigned i = 0; i < mishaps && !::testing::Test::HasFatalFailure(); ++i) {
      sim_.run_for(Duration{static_cast<Duration::rep>(below(3'000'000'000))});
      if (below(2) == 0) {
        reboot(below(nodes_));
      } else {
        const std::size_t a = below(nodes_), b = below(nodes_);
        sim_.pull(a, b);
        sim_.run_for(Duration{static_cast<Duration::rep>(below(1'000'000'000))});
        sim_.put_back(a, b);
      }
    }
    sim_.run_for(3s);
  }

  /// All that is queued and under way arrives, or is lost.
  void rest() {
    for (std::size_t i = hubs_; i < nodes_; ++i) sim_.load(i).stop();
    sim_.run_for(8s);
  }

  /// Equal tables; or else what differs is exactly among the states of which something was lost.
  void expect_one_table() {
    std::vector<States> tables;
    for (std::size_t i = 0; i < nodes_; ++i) tables.push_back(states_of(i));
    Ids differing;
    for (const States& table : tables)
      for (const auto& [id, state] : table)
        for (const States& other : tables) {
          const auto found = other.find(id);
          if (found == other.end() || found->second.src != state.src || found->second.dst != state.dst)
            differing.insert(id);
        }
    for (const StateId id : differing)
      ASSERT_TRUE(told_in_vain_.contains(id))
          << "state " << id.id << " of " << id.creatorid << " differs though nothing of it was lost, " << hint();
    if (differing.empty()) {
      for (std::size_t i = 1; i < nodes_; ++i)
        EXPECT_EQ(sim_.digest(i), sim_.digest(0)) << "node " << i << ", " << hint();
    }
    if (is_perfect_ && told_in_vain_.empty()) ++perfect_;
    differing_ += differing.size();
  }

  [[nodiscard]] std::uint64_t connections() const {
    std::uint64_t opened = opened_before_;
    for (std::size_t i = hubs_; i < nodes_; ++i) opened += const_cast<Simulation&>(sim_).load(i).opened();
    return opened;
  }
  [[nodiscard]] std::uint64_t compared() const { return compared_; }
  [[nodiscard]] std::uint64_t differing() const { return differing_; }
  [[nodiscard]] std::uint64_t perfect() const { return perfect_; }
  [[nodiscard]] std::uint64_t deliveries() const { return sim_.deliveries(); }
  [[nodiscard]] std::uint64_t stale() {
    std::uint64_t sum = 0;
    for (std::size_t i = 0; i < nodes_; ++i) sum += sim_.session(i).counters()[wire::Reject::stale].value();
    return sum;
  }

 private:
  [[nodiscard]] std::uint64_t below(std::uint64_t bound) { return random_() % bound; }
  [[nodiscard]] LinkConfig link() {
    constexpr std::array<Duration, 4> jitters{0ms, 2ms, 50ms, 1500ms};
    return {.jitter = jitters[below(4)],
            .loss_percent = below(3) == 0 ? 0 : static_cast<unsigned>(below(31)),
            .duplicate_percent = static_cast<unsigned>(below(21))};
  }
  /// Hubs in a row, and each firewall behind one of them: whom each node speaks with.
  [[nodiscard]] std::vector<std::vector<std::size_t>> make_tree(std::size_t nodes) {
    std::vector<std::vector<std::size_t>> peers(nodes);
    const auto join = [&](std::size_t a, std::size_t b) {
      peers[a].push_back(b);
      peers[b].push_back(a);
    };
    for (std::size_t i = 1; i < hubs_; ++i) join(i - 1, i);
    for (std::size_t i = hubs_; i < nodes; ++i) join(below(hubs_), i);
    return peers;
  }

  [[nodiscard]] States states_of(std::size_t node) {
    States states;
    const auto reader = sim_.table(node).reader();
    statetable::TableReader::Cursor cursor;
    while (const auto entry = reader.next(cursor)) states.emplace(entry->hot.id, entry->hot);
    return states;
  }

  /// What a node had not told yet is lost with its memory, and so is what it alone had heard.
  void reboot(std::size_t node) {
    const States its = states_of(node);
    for (std::size_t i = 0; i < nodes_; ++i) {
      if (i == node) continue;
      const States others = states_of(i);
      const auto mark_differing = [this](const States& a, const States& b) {
        for (const auto& [id, state] : a) {
          const auto found = b.find(id);
          if (found == b.end() || found->second.src != state.src || found->second.dst != state.dst)
            told_in_vain_.insert(id);
        }
      };
      mark_differing(its, others);
      mark_differing(others, its);
    }
    NodeConfig& config = sim_.config(node);
    if (config.load) {
      opened_before_ += sim_.load(node).opened();
      config.load->first_id += std::uint64_t{1} << 32u;  // pf takes the time of boot
      ++config.load->seed;
    }
    sim_.power_off(node);
    sim_.run_for(2s);  // longer than a packet is under way
    sim_.reboot(node);
  }

  void look_before(std::size_t node, wire::Bytes packet) {
    before_.clear();
    const auto reader = sim_.table(node).reader();
    for_each_id(packet, [&](StateId id) {
      if (const auto held = reader.find(id)) before_.emplace(id, held->hot);
    });
  }
  void look_after(std::size_t node, wire::Bytes) {
    const auto reader = sim_.table(node).reader();
    for (const auto& [id, before] : before_) {
      const auto after = reader.find(id);
      if (!after) continue;
      ++compared_;
      ASSERT_FALSE(goes_back(before.src, after->hot.src))
          << "src of " << id.id << " at node " << node << ", " << hint();
      ASSERT_FALSE(goes_back(before.dst, after->hot.dst))
          << "dst of " << id.id << " at node " << node << ", " << hint();
    }
  }
  [[nodiscard]] std::string hint() const { return sim_.replay_hint(); }

  std::mt19937_64 random_;
  Simulation sim_;
  std::size_t nodes_ = 0, hubs_ = 0;
  bool is_perfect_ = false;
  States before_;
  Ids told_in_vain_;
  std::uint64_t opened_before_ = 0, compared_ = 0, differing_ = 0, perfect_ = 0;
};

std::uint64_t from_environment(const char* name, std::uint64_t otherwise) {
  const char* text = std::getenv(name);
  return text == nullptr ? otherwise : std::strtoull(text, nullptr, 10);
}

TEST(Interleavings, NothingGoesBackAndOnlyWhatWasLostDiffers) {
  const std::uint64_t only = from_environment("SIM_SEED", 0);
  const std::uint64_t wanted = from_environment("SIM_INTERLEAVINGS", 8'000);
  std::uint64_t connections = 0, compared = 0, differing = 0, stale = 0, deliveries = 0, perfect = 0, seed = 0;
  while (connections < wanted) {
    seed = only != 0 ? only : seed + 1;
    Network network{seed};
    network.work();
    if (HasFatalFailure()) return;
    network.rest();
    network.expect_one_table();
    if (HasFailure()) return;
    connections += network.connections();
    compared += network.compared();
    differing += network.differing();
    stale += network.stale();
    deliveries += network.deliveries();
    perfect += network.perfect();
    if (only != 0) return;
  }
  RecordProperty("networks", std::to_string(seed));
  std::printf(
      "%llu networks, %llu connections, %llu packets, %llu states compared before and after, %llu stale updates, %llu "
      "states differ because something of them was lost\n",
      static_cast<unsigned long long>(seed), static_cast<unsigned long long>(connections),
      static_cast<unsigned long long>(deliveries), static_cast<unsigned long long>(compared),
      static_cast<unsigned long long>(stale), static_cast<unsigned long long>(differing));
  EXPECT_GT(compared, 10 * connections);
  EXPECT_GT(stale, 0u);
  EXPECT_GT(perfect, 0u);
  EXPECT_GT(differing, 0u) << "a link that loses nothing shows nothing";
}

}  // namespace
}  // namespace pfsync::sim
