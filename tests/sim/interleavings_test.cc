// Random networks of two to eight nodes under everything that happens to packets: loss, duplication, reordering,
// pulled cables, reboots, flushes, all dialects at once. What must hold is judged by ledger.h, apart from the engine's
// own rules.
// SIM_SEED=n runs network n alone, SIM_TRACE=ID/CREATORID prints what is said of one state; SIM_INTERLEAVINGS=1000000
// goes on until as many connections have lived, and each kind of network that the end asks for has been met.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>

#include "tests/sim/ledger.h"
#include "tests/sim/simulation.h"

namespace pfsync::sim {
namespace {

using namespace std::chrono_literals;

class Network {
 public:
  explicit Network(std::uint64_t seed) : random_{seed}, sim_{seed, link()} {
    const std::size_t nodes = 2 + below(7);
    hubs_ = below(2) == 0 ? 0 : 1 + below(std::min<std::size_t>(nodes - 1, 3));
    is_perfect_ = sim_.link().loss_percent == 0;
    const std::vector<std::vector<std::size_t>> tree =
        hubs_ > 0 ? make_tree(nodes) : std::vector<std::vector<std::size_t>>(nodes);
    for (std::size_t i = 0; i < nodes; ++i) {
      NodeConfig config{.creatorid = static_cast<std::uint32_t>(i + 1),
                        .peers = tree[i],
                        .dialect = static_cast<wire::Dialect>(below(4)),
                        .frames_ahead = 32 * below(3)};
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
    ledger_.emplace(sim_, tree);
  }

  /// Some seconds of work and mishaps.
  void work() {
    const unsigned mishaps = static_cast<unsigned>(below(4));
    for (unsigned i = 0; i < mishaps && !::testing::Test::HasFatalFailure(); ++i) {
      sim_.run_for(Duration{static_cast<Duration::rep>(below(3'000'000'000))});
      if (const std::uint64_t mishap = below(3); mishap == 0) {
        reboot(below(nodes_));
      } else if (mishap == 1) {
        flush(hubs_ + below(nodes_ - hubs_));
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
    // Who still asks for everything is told at last, or gives up; and all hear of what is new in that.
    ASSERT_TRUE(sim_.run_until([this] { return is_quiet(); }, 10min)) << sim_.replay_hint();
  }

  /// Equal tables, or else differences that have a cause.
  void judge() {
    ledger_->judge();
    if (is_perfect_ && !ledger_->has_lost_anything()) ++perfect_;
  }

  [[nodiscard]] std::uint64_t connections() const {
    std::uint64_t opened = opened_before_;
    for (std::size_t i = hubs_; i < nodes_; ++i) opened += const_cast<Simulation&>(sim_).load(i).opened();
    return opened;
  }
  [[nodiscard]] const Ledger& ledger() const { return *ledger_; }
  [[nodiscard]] std::uint64_t perfect() const { return perfect_; }
  [[nodiscard]] std::uint64_t deliveries() const { return sim_.deliveries(); }
  [[nodiscard]] std::uint64_t stale() {
    std::uint64_t sum = 0;
    for (std::size_t i = 0; i < nodes_; ++i) sum += sim_.session(i).counters()[wire::Reject::stale].value();
    return sum;
  }

 private:
  [[nodiscard]] bool is_quiet() {
    if (sim_.in_flight() > 0) return false;
    for (std::size_t i = 0; i < nodes_; ++i) {
      if (sim_.session(i).queued() > 0) return false;
      for (unsigned peer = 0; peer < sim_.session(i).peers(); ++peer)
        if (sim_.session(i).bulk(peer).due()) return false;
    }
    return true;
  }
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

  void reboot(std::size_t node) {
    NodeConfig& config = sim_.config(node);
    if (config.load) {
      opened_before_ += sim_.load(node).opened();
      config.load->first_id += std::uint64_t{1} << 32u;  // pf takes the time of boot
      ++config.load->seed;
    }
    ledger_->goes_down(node);
    sim_.power_off(node);
    sim_.run_for(2s);  // longer than a packet is under way
    ledger_->comes_up(node);
    sim_.reboot(node);
  }

  void flush(std::size_t node) {
    ledger_->flushes(node);
    static_cast<void>(sim_.session(node).flush({}, sim_.now()));
  }

  std::mt19937_64 random_;
  Simulation sim_;
  std::size_t nodes_ = 0, hubs_ = 0;
  bool is_perfect_ = false;
  std::optional<Ledger> ledger_;
  std::uint64_t opened_before_ = 0, perfect_ = 0;
};

std::uint64_t from_environment(const char* name, std::uint64_t otherwise) {
  const char* text = std::getenv(name);
  return text == nullptr ? otherwise : std::strtoull(text, nullptr, 10);
}

TEST(Interleavings, NothingGoesBackAndOnlyWhatWasLostDiffers) {
  const std::uint64_t only = from_environment("SIM_SEED", 0);
  const std::uint64_t wanted = from_environment("SIM_INTERLEAVINGS", 8'000);
  std::uint64_t connections = 0, compared = 0, judged = 0, differing = 0, stale = 0, deliveries = 0, perfect = 0,
                seed = 0;
  std::array<std::uint64_t, Ledger::cause_words.size()> causes{};
  // What few connections leave untried is met by going on, and by no more than this many networks.
  constexpr std::uint64_t networks_max = 1'000;
  const auto has_met_all = [&] { return stale > 0 && perfect > 0 && differing > 0; };
  while (connections < wanted || (!has_met_all() && seed < networks_max)) {
    seed = only != 0 ? only : seed + 1;
    Network network{seed};
    network.work();
    if (HasFatalFailure()) return;
    network.rest();
    if (HasFatalFailure()) return;
    network.judge();
    if (HasFailure()) return;
    connections += network.connections();
    compared += network.ledger().compared();
    judged += network.ledger().judged();
    differing += network.ledger().differing();
    for (std::size_t i = 0; i < causes.size(); ++i) causes[i] += network.ledger().causes()[i];
    stale += network.stale();
    deliveries += network.deliveries();
    perfect += network.perfect();
    if (only != 0) break;
  }
  RecordProperty("networks", std::to_string(seed));
  std::printf(
      "%llu networks, %llu connections, %llu packets, %llu states compared before and after, %llu stale updates; of "
      "%llu "
      "states at a node at the end %llu differ:",
      static_cast<unsigned long long>(seed), static_cast<unsigned long long>(connections),
      static_cast<unsigned long long>(deliveries), static_cast<unsigned long long>(compared),
      static_cast<unsigned long long>(stale), static_cast<unsigned long long>(judged),
      static_cast<unsigned long long>(differing));
  for (std::size_t i = 0; i < causes.size(); ++i)
    std::printf(" %llu %.*s%s", static_cast<unsigned long long>(causes[i]),
                static_cast<int>(Ledger::cause_words[i].size()), Ledger::cause_words[i].data(),
                i + 1 < causes.size() ? "," : "\n");
  if (only != 0) return;
  EXPECT_GT(compared, 10 * connections);
  EXPECT_GT(stale, 0u);
  EXPECT_GT(perfect, 0u);
  EXPECT_GT(differing, 0u) << "a link that loses nothing shows nothing";
  EXPECT_LT(differing, judged / 2) << "most of what is judged has to be equal";
}

}  // namespace
}  // namespace pfsync::sim
