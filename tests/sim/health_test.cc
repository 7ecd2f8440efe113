// What a node says of its sync, while something is wrong with a peer or the network and while nothing is.
#include <gtest/gtest.h>

#include <array>
#include <iostream>

#include "engine/control/health_facts.h"
#include "tests/sim/simulation.h"
#include "tests/under_sanitizer.h"
#include "wire/packet_reader.h"

namespace pfsync::sim {
namespace {

using namespace std::chrono_literals;
using engine::Health;
using engine::Trouble;
using engine::Verdict;

/// A verdict and its sentence are there within this.
constexpr Duration within = 10s;

/// Connections last twelve seconds and change twice a second, in the mean.
engine::SyntheticConfig load_of(std::uint64_t seed, std::uint64_t new_per_s = 100) {
  return {.states = 12 * new_per_s,
          .fill_per_s = 30 * new_per_s,
          .new_per_s = new_per_s,
          .updates_per_s = 24 * new_per_s,
          .seed = seed};
}

/// Looks at a node once a second of its time, as its control thread does.
class Observer {
 public:
  Observer(Simulation& sim, std::size_t node) : sim_{sim}, node_{node} {}

  const Health& look() {
    const engine::Session& session = sim_.session(node_);
    const std::array parts{&session};
    engine::HealthFacts facts{.now = sim_.now(), .own_address = address_of(node_), .mtu = 1500};
    const auto& peers = sim_.config(node_).peers;
    for (unsigned peer = 0; peer < session.peers(); ++peer) {
      engine::PeerFacts& one = facts.peers.emplace_back(engine::peer_facts(parts, peer, wire::Family::inet));
      one.is_group = peers.empty();
      one.address = one.is_group ? "224.0.0.240" : address_of(peers[peer]);
      one.bulk_taking = session.bulk(peer).taking(sim_.now());
      one.is_served = sim_.is_serving(node_, peer);
    }
    return monitor_.judge(facts);
  }
  /// Lets time pass; returns when the condition holds, or the time is over.
  bool await(const std::function<bool(const Health&)>& condition, Duration limit) {
    for (const Instant end = sim_.now() + limit; sim_.now() < end;) {
      sim_.run_for(1s);
      if (condition(look())) return true;
    }
    return false;
  }
  /// All is well all the time.
  void expect_healthy_for(Duration time) {
    await(
        [&](const Health& health) {
          EXPECT_EQ(health.verdict, Verdict::healthy) << health.reason << "; " << sim_.replay_hint();
          return ::testing::Test::HasFailure();
        },
        time);
  }
  /// Within ten seconds this is what an operator reads first. Returns the sentence.
  std::string expect(Trouble trouble, Verdict verdict) {
    const bool came = await(
        [&](const Health& health) { return !health.reasons.empty() && health.reasons.front().trouble == trouble; },
        within);
    const Health& health = monitor_.last();
    EXPECT_TRUE(came) << "it says: " << health.reason << "; " << sim_.replay_hint();
    EXPECT_EQ(health.verdict, verdict) << health.reason;
    return health.reason;
  }
  [[nodiscard]] const Health& last() const { return monitor_.last(); }

  static std::string address_of(std::size_t node) { return "10.0.0." + std::to_string(node + 1); }

 private:
  Simulation& sim_;
  std::size_t node_;
  engine::HealthMonitor monitor_;
};

bool tells(const std::string& sentence, std::string_view words) { return sentence.find(words) != std::string::npos; }

/// A node that watches, beside a firewall with a load; by unicast or in a group.
struct Pair {
  static constexpr std::size_t self = 0, other = 1;
  explicit Pair(std::uint64_t seed, bool multicast = false, std::uint64_t new_per_s = 100) : sim{seed_of_run(seed)} {
    sim.add({.creatorid = 1, .states_max = 16384, .peers = multicast ? none : of_other, .probe_every = 1s});
    sim.add(
        {.creatorid = 2, .states_max = 16384, .load = load_of(seed, new_per_s), .peers = multicast ? none : of_self});
  }
  Simulation sim;
  Observer observer{sim, self};
  const std::vector<std::size_t> none{}, of_other{other}, of_self{self};
};

/// Opens connections on an interface, some new ones each second, all of which transfer.
class Opener {
 public:
  Opener(Simulation& sim, std::size_t node, std::string_view interface, std::uint64_t first_id = 1)
      : sim_{sim}, node_{node}, name_{interface}, first_{first_id}, opened_{first_id - 1} {}
  void work(unsigned connections) {
    engine::Session& session = sim_.session(node_);
    for (; connections > 0; --connections) {
      const std::uint64_t id = ++opened_;
      wire::State state;
      state.id = {id, 0};
      state.ifname = name_;
      for (auto& key : state.key) {
        key.addr[0].bytes = {10, 2, 0, 100};
        key.addr[1].bytes = {10, 9, static_cast<std::uint8_t>(id >> 8u), static_cast<std::uint8_t>(id)};
        key.port = {80, 1024};
      }
      state.src = {.seqlo = 1000, .seqhi = 66000, .max_win = 500, .state = wire::tcps::established};
      state.dst = {.seqlo = 5000, .seqhi = 70000, .max_win = 500, .state = wire::tcps::established};
      state.expire_s = 86400;
      state.af = wire::Family::inet;
      state.proto = wire::ipproto::tcp;
      state.direction = wire::Direction::out;
      state.timeout = engine::pftm::tcp_established;
      ASSERT_EQ(session.insert(state, sim_.now()), engine::Session::Local::done);
    }
    for (std::uint64_t id = first_; id <= opened_; ++id) {
      wire::Update update{.id = {id, sim_.config(node_).creatorid}, .timeout = engine::pftm::tcp_established};
      update.src = {.seqlo = 1000 + moved_, .seqhi = 66000 + moved_, .max_win = 500, .state = wire::tcps::established};
      update.dst = {.seqlo = 5000, .seqhi = 70000, .max_win = 500, .state = wire::tcps::established};
      static_cast<void>(session.update(update, sim_.now()));
    }
    moved_ += 100;
  }

 private:
  Simulation& sim_;
  std::size_t node_;
  wire::InterfaceName name_;
  std::uint64_t first_, opened_;
  std::uint32_t moved_ = 100;
};

TEST(HealthSimulation, IsHealthyWhileAllIsWell) {
  for (std::uint64_t seed = 1; seed <= (under_sanitizer ? 1u : 3u); ++seed)
    for (const bool multicast : {false, true}) {
      Pair net{seed, multicast};
      net.observer.expect_healthy_for(60s);
      EXPECT_EQ(net.observer.last().peers.front().loss_in.missed, 0u);
      EXPECT_GT(net.observer.last().peers.front().loss_in.told, 3000u);
      net.sim.load(Pair::other).stop();  // a quiet peer is no mute one
      net.observer.expect_healthy_for(30s);
      net.sim.load(Pair::other).resume();
      net.sim.reboot(Pair::other);
      net.observer.expect_healthy_for(30s);
      if (::testing::Test::HasFailure()) return;
    }
}

/// Both ask the other for signs of life: of states that are as young on one side as they may be on the other, none is
/// taken for a loss.
TEST(HealthSimulation, QuestionsOfTheOtherAreNoLosses) {
  for (const bool multicast : {false, true}) {
    // On its way a second ends for every third state.
    Simulation sim{seed_of_run(1), {.delay = 300ms}};
    sim.add({.creatorid = 1,
             .peers = multicast ? std::vector<std::size_t>{} : std::vector<std::size_t>{1},
             .probe_every = 1s});
    sim.add({.creatorid = 2,
             .load = load_of(1),
             .peers = multicast ? std::vector<std::size_t>{} : std::vector<std::size_t>{0},
             .probe_every = 1s});
    Observer standby{sim, 0}, active{sim, 1};
    for (unsigned s = 0; s < 120; ++s) {
      standby.expect_healthy_for(1s);
      EXPECT_TRUE(active.look().is_healthy()) << active.last().reason;
      if (::testing::Test::HasFailure()) return;
    }
  }
}

/// Before the first connection, or after the last: whoever dies then is missed too.
TEST(HealthSimulation, PeersWithoutAnyState) {
  for (const bool multicast : {false, true})
    for (const Trouble trouble : {Trouble::mute, Trouble::deaf}) {
      const std::vector<std::size_t> none{};
      Simulation sim{seed_of_run(1)};
      sim.add({.creatorid = 1, .peers = multicast ? none : std::vector<std::size_t>{1}, .probe_every = 1s});
      sim.add({.creatorid = 2, .peers = multicast ? none : std::vector<std::size_t>{0}, .probe_every = 1s});
      Observer observer{sim, 0};
      observer.expect_healthy_for(40s);
      sim.silence(trouble == Trouble::mute ? 1 : 0, trouble == Trouble::mute ? 0 : 1);
      observer.expect(trouble, Verdict::failed);
      sim.unsilence(trouble == Trouble::mute ? 1 : 0, trouble == Trouble::mute ? 0 : 1);
      EXPECT_TRUE(observer.await([](const Health& health) { return health.is_healthy(); }, 20s))
          << observer.last().reason;
    }
}

/// Of a table that was full once few places are in use.
TEST(HealthSimulation, APeerThatIsNotHeardWhereFewStatesAreLeft) {
  Simulation sim{seed_of_run(1)};
  sim.add({.creatorid = 1, .states_max = 65536, .peers = {1}, .probe_every = 1s});
  sim.add({.creatorid = 2, .states_max = 65536, .peers = {0}});
  Observer observer{sim, 0};
  Opener opener{sim, 1, "igb0"};
  for (unsigned s = 0; s < 15; ++s) {
    if (s == 0) opener.work(40'000);
    observer.expect_healthy_for(1s);
  }
  ASSERT_EQ(sim.table(0).size(), 40'000u);
  for (std::uint64_t id = 1; id <= 40'000; ++id) {
    if (id % 1'000 != 0) static_cast<void>(sim.session(1).erase({id, 2}, sim.now()));
    if (id % 2'000 == 0) observer.expect_healthy_for(1s);
  }
  observer.expect_healthy_for(20s);
  ASSERT_EQ(sim.table(0).size(), 40u);
  sim.silence(1, 0);
  observer.expect(Trouble::mute, Verdict::failed);
}

/// One that was taken away for good.
TEST(HealthSimulation, ANodeOfTheGroupThatIsForgotten) {
  Simulation sim{seed_of_run(2)};
  sim.add({.creatorid = 1, .probe_every = 1s});
  sim.add({.creatorid = 2, .load = load_of(1)});
  sim.add({.creatorid = 3});
  Observer observer{sim, 0};
  observer.expect_healthy_for(20s);
  sim.silence(2, 0);
  const std::string sentence = observer.expect(Trouble::mute, Verdict::failed);
  EXPECT_TRUE(tells(sentence, "pfsyncctl forget 10.0.0.3")) << sentence;
  EXPECT_FALSE(sim.session(0).forget(wire::ipv4_address(10, 0, 0, 9), sim.now()));
  EXPECT_TRUE(sim.session(0).forget(wire::ipv4_address(10, 0, 0, 3), sim.now()));
  EXPECT_TRUE(observer.await([](const Health& health) { return health.is_healthy(); }, 15s)) << observer.last().reason;
  observer.expect_healthy_for(30s);
  sim.unsilence(2, 0);
}

/// Nor do reordered and doubled packets make a loss.
TEST(HealthSimulation, IsHealthyOnALinkThatDoubles) {
  Simulation sim{seed_of_run(1), {.delay = 200us, .jitter = 200us, .duplicate_percent = 5}};
  sim.add({.creatorid = 1, .peers = {1}, .probe_every = 1s});
  sim.add({.creatorid = 2, .load = load_of(1), .peers = {0}});
  Observer observer{sim, 0};
  observer.expect_healthy_for(60s);
}

TEST(HealthSimulation, APeerThatDoesNotHear) {
  for (const bool multicast : {false, true}) {
    Pair net{1, multicast};
    net.observer.expect_healthy_for(20s);
    net.sim.silence(Pair::self, Pair::other);
    const std::string sentence = net.observer.expect(Trouble::deaf, Verdict::failed);
    EXPECT_TRUE(tells(sentence, "10.0.0.2 does not hear this node")) << sentence;
    EXPECT_TRUE(tells(sentence, "lets protocol 240 in from 10.0.0.1")) << sentence;
    net.sim.unsilence(Pair::self, Pair::other);
    EXPECT_TRUE(net.observer.await([](const Health& health) { return health.is_healthy(); }, 20s))
        << net.observer.last().reason;
  }
}

/// Each of two engines asks the other: the one that hears is not misled by questions that are none for what it said,
/// nor by the full packets that no longer come from one that misses it.
TEST(HealthSimulation, BothEndsOfAPathThatIsCutInOneDirection) {
  for (const bool multicast : {false, true})
    for (const bool both_have_a_load : {false, true})
      for (const std::size_t deaf : {0u, 1u}) {
        const std::size_t heard_by_nobody = 1 - deaf;
        const std::vector<std::size_t> none{};
        Simulation sim{seed_of_run(1)};
        for (std::size_t node = 0; node < 2; ++node)
          sim.add({.creatorid = static_cast<std::uint32_t>(node + 1),
                   .load = node == 0 || both_have_a_load ? std::optional{load_of(node + 1)} : std::nullopt,
                   .peers = multicast ? none : std::vector<std::size_t>{1 - node},
                   .probe_every = 1s});
        Observer at_deaf{sim, deaf}, at_other{sim, heard_by_nobody};
        for (unsigned s = 0; s < 30; ++s) {
          at_deaf.expect_healthy_for(1s);
          EXPECT_TRUE(at_other.look().is_healthy()) << at_other.last().reason;
        }
        sim.silence(heard_by_nobody, deaf);
        const auto told = [](const Health& health) { return health.verdict == Verdict::failed; };
        bool was_told_here = false, was_told_there = false;
        for (unsigned s = 0; s < 40; ++s) {
          sim.run_for(1s);
          was_told_here = was_told_here || told(at_deaf.look());
          was_told_there = was_told_there || told(at_other.look());
          if (s == 9) {
            EXPECT_TRUE(was_told_here) << at_deaf.last().reason;
            EXPECT_TRUE(was_told_there) << at_other.last().reason;
          }
          for (const engine::Reason& reason : at_deaf.last().reasons)
            if (reason.level == Verdict::failed) {
              EXPECT_EQ(reason.trouble, Trouble::mute) << reason.sentence;
            }
          for (const engine::Reason& reason : at_other.last().reasons)
            if (reason.level == Verdict::failed) {
              EXPECT_EQ(reason.trouble, Trouble::deaf) << reason.sentence;
            }
          if (::testing::Test::HasFailure())
            FAIL() << "after " << s << " s, multicast " << multicast << ", both " << both_have_a_load << ", deaf "
                   << deaf;
        }
      }
}

TEST(HealthSimulation, APeerThatHasNeverHeard) {
  for (const bool multicast : {false, true}) {
    Pair net{1, multicast};
    net.sim.silence(Pair::self, Pair::other);
    const std::string sentence = net.observer.expect(Trouble::deaf, Verdict::failed);
    EXPECT_TRUE(tells(sentence, "10.0.0.2 does not hear this node")) << sentence;
  }
}

TEST(HealthSimulation, APeerThatIsNotHeard) {
  for (const bool multicast : {false, true}) {
    Pair net{1, multicast};
    net.observer.expect_healthy_for(20s);
    net.sim.silence(Pair::other, Pair::self);
    const std::string sentence = net.observer.expect(Trouble::mute, Verdict::failed);
    EXPECT_TRUE(tells(sentence, "nothing was heard of 10.0.0.2 for")) << sentence;
    net.sim.unsilence(Pair::other, Pair::self);
    EXPECT_TRUE(net.observer.await([](const Health& health) { return health.verdict != Verdict::failed; }, 20s))
        << net.observer.last().reason;
  }
}

TEST(HealthSimulation, APeerThatWasNeverHeard) {
  Pair net{1};
  net.sim.silence(Pair::other, Pair::self);
  const std::string sentence = net.observer.expect(Trouble::mute, Verdict::failed);
  EXPECT_TRUE(tells(sentence, "nothing is heard of 10.0.0.2")) << sentence;
}

/// Nobody is missed who was never heard, but that it is so is said; and failed once all requests have had their time.
TEST(HealthSimulation, AGroupInWhichNobodyIsHeard) {
  Pair net{1, true};
  net.sim.silence(Pair::other, Pair::self);
  net.observer.expect_healthy_for(9s);
  EXPECT_EQ(net.observer.last().reason, "waiting for a peer to answer the bulk request");
  const std::string sentence = net.observer.expect(Trouble::alone, Verdict::degraded);
  EXPECT_TRUE(tells(sentence, "nobody has been heard in the group 224.0.0.240 yet")) << sentence;
  static_cast<void>(net.observer.await([](const Health&) { return false; }, 47s));
  EXPECT_EQ(net.observer.last().verdict, Verdict::degraded);
  EXPECT_TRUE(tells(net.observer.expect(Trouble::bulk, Verdict::failed), "no peer answered 13 requests"));
}

/// Of a group of three the one is named that does not hear, though the other answers.
TEST(HealthSimulation, TheOneOfAGroupThatDoesNotHear) {
  Simulation sim{seed_of_run(2)};
  sim.add({.creatorid = 1, .probe_every = 1s});
  sim.add({.creatorid = 2, .load = load_of(1)});
  sim.add({.creatorid = 3, .load = load_of(2)});
  Observer observer{sim, 0};
  observer.expect_healthy_for(20s);
  sim.silence(0, 2);
  const std::string sentence = observer.expect(Trouble::deaf, Verdict::failed);
  EXPECT_TRUE(tells(sentence, "10.0.0.3 does not hear this node")) << sentence;
  EXPECT_EQ(observer.last().reasons.size(), 1u);
}

/// With some 100 packets that announce new states a second.
TEST(HealthSimulation, APeerThatLosesOnePacketInAHundred) {
  for (std::uint64_t seed = 1; seed <= 5; ++seed) {
    Pair net{seed};
    net.observer.expect_healthy_for(20s);
    net.sim.link().loss_percent = 1;
    const std::string sentence = net.observer.expect(Trouble::loss_in, Verdict::degraded);
    EXPECT_TRUE(tells(sentence, "of what 10.0.0.2 says is lost")) << sentence;
    if (::testing::Test::HasFailure()) return;
    if (seed > 1) continue;
    net.sim.link().loss_percent = 0;  // it is remembered for five minutes
    net.sim.load(Pair::other).stop();
    EXPECT_TRUE(net.observer.await([](const Health& health) { return health.is_healthy(); }, 320s))
        << net.observer.last().reason;
  }
}

/// The node that announces hears of it by what it is asked for.
TEST(HealthSimulation, TellsOfLossOnTheWayToThePeer) {
  for (std::uint64_t seed = 1; seed <= 5; ++seed) {
    Simulation sim{seed_of_run(seed)};
    sim.add({.creatorid = 1, .load = load_of(seed), .peers = {1}, .probe_every = 1s});
    sim.add({.creatorid = 2, .peers = {0}, .probe_every = 1s});
    Observer observer{sim, 0};
    observer.expect_healthy_for(20s);
    sim.link().loss_percent = 1;
    const std::string sentence = observer.expect(Trouble::loss_out, Verdict::degraded);
    EXPECT_TRUE(tells(sentence, "of what is said to 10.0.0.2 is lost")) << sentence;
    if (::testing::Test::HasFailure()) return;
  }
}

/// The estimate beside what was lost: of the packets that announce new states.
TEST(HealthSimulation, TheEstimateIsRight) {
  for (const unsigned percent : {3u, 1u, 10u}) {
    if (under_sanitizer && percent != 3) continue;
    Pair net{percent, false, 500};
    net.observer.expect_healthy_for(20s);
    std::uint64_t arrived = 0, lost = 0;
    const auto has_inserts = [](wire::Bytes packet) {
      wire::PacketReader reader{packet};
      wire::Section section;
      bool found = false;
      while (reader.next(section)) found = found || section.action->message == wire::Message::ins;
      return found;
    };
    net.sim.on_delivery([&](std::size_t node, wire::Bytes packet) { arrived += node == 0 && has_inserts(packet); });
    net.sim.on_loss(
        [&](std::size_t, std::size_t receiver, wire::Bytes packet) { lost += receiver == 0 && has_inserts(packet); });
    net.sim.link().loss_percent = percent;
    static_cast<void>(net.observer.await([](const Health&) { return false; }, 61s));
    const engine::LossEstimate& loss = net.observer.last().peers.front().loss_in;
    const double truth = 100.0 * static_cast<double>(lost) / static_cast<double>(lost + arrived);
    std::cout << percent << " %: " << truth << " % of " << lost + arrived << " packets lost, estimate " << loss.percent
              << " % (" << loss.low << " to " << loss.high << ")\n";
    // Some states end before an update of theirs comes: it is a little low, by less than a tenth.
    EXPECT_GE(truth, loss.low) << net.sim.replay_hint();
    EXPECT_LE(0.9 * truth, loss.high) << net.sim.replay_hint();
    EXPECT_NEAR(loss.percent, truth, 0.1 * truth) << net.sim.replay_hint();
  }
}

TEST(HealthSimulation, APeerOfAnotherDialect) {
  Simulation sim{seed_of_run(1)};
  // Told to write what the other does not take.
  sim.add({.creatorid = 1, .peers = {1}, .dialect = wire::Dialect::freebsd_1500, .probe_every = 1s});
  sim.add(
      {.creatorid = 2, .load = load_of(1), .peers = {0}, .dialect = wire::Dialect::freebsd_1301, .is_kernel = true});
  Observer observer{sim, 0};
  const std::string sentence = observer.expect(Trouble::dialect, Verdict::failed);
  EXPECT_TRUE(tells(sentence, "10.0.0.2 (which speaks 1301) does not take the dialect 1500")) << sentence;
  EXPECT_TRUE(tells(sentence, "set dialect = \"auto\"")) << sentence;
}

/// A firewall of its own beside a kernel that is heard only by its short messages: the dialect it takes is not known.
TEST(HealthSimulation, APeerThatDoesNotTakeWhatItIsGiven) {
  Simulation sim{seed_of_run(1)};
  sim.add(
      {.creatorid = 1, .load = load_of(1), .peers = {1}, .dialect = wire::Dialect::freebsd_1500, .probe_every = 1s});
  sim.add({.creatorid = 2, .peers = {0}, .dialect = wire::Dialect::freebsd_1301, .is_kernel = true});
  Observer observer{sim, 0};
  const std::string sentence = observer.expect(Trouble::refused, Verdict::failed);
  EXPECT_TRUE(tells(sentence, "or it does not take dialect 1500")) << sentence;
  // Nor later, when it has none of the states that it is asked for, is it said not to hear.
  static_cast<void>(observer.await([](const Health&) { return false; }, 30s));
  for (const engine::Reason& reason : observer.last().reasons)
    EXPECT_EQ(reason.trouble, Trouble::refused) << reason.sentence;
}

TEST(HealthSimulation, APathThatTakesOnlyShortPackets) {
  // The other opens what is lost on the way here; this one, what is lost on the way there. At any time between two of
  // its questions.
  for (const bool multicast : {false, true})
    for (const bool is_ours : {false, true})
      for (const Duration later : {0ms, 700ms, 1400ms}) {
        Simulation sim{seed_of_run(1)};
        const std::vector<std::size_t> none{}, first{0}, second{1};
        const auto load = std::optional{load_of(1)};
        sim.add({.creatorid = 1,
                 .load = is_ours ? load : std::nullopt,
                 .peers = multicast ? none : second,
                 .probe_every = 1s});
        sim.add({.creatorid = 2, .load = is_ours ? std::nullopt : load, .peers = multicast ? none : first});
        Observer observer{sim, 0};
        observer.expect_healthy_for(20s);
        sim.run_for(later);
        sim.link().packet_bytes_max = 1380;
        const std::string sentence = observer.expect(Trouble::mtu, Verdict::failed);
        if (::testing::Test::HasFailure()) return;
        EXPECT_TRUE(tells(sentence, "MTU")) << sentence;
        if (is_ours) {
          EXPECT_TRUE(tells(sentence, "packets of 1500 bytes do not reach 10.0.0.2, shorter ones do")) << sentence;
        }
        sim.link().packet_bytes_max = 65535;
        EXPECT_TRUE(observer.await([](const Health& health) { return health.verdict != Verdict::failed; }, 60s))
            << observer.last().reason;
      }
}

/// A kernel skips states of interfaces that it has not, without a word.
TEST(HealthSimulation, APeerWithOtherInterfaceNames) {
  Simulation sim{seed_of_run(1)};
  sim.add({.creatorid = 1, .peers = {1}, .probe_every = 1s});
  sim.add({.creatorid = 2, .peers = {0}, .is_kernel = true, .interfaces_known = {"vmx0", "vmx1", "all"}});
  Observer observer{sim, 0};
  Opener opener{sim, 0, "igb0"};
  const bool came = observer.await(
      [&](const Health& health) {
        opener.work(10);
        return !health.reasons.empty();
      },
      within);
  EXPECT_TRUE(came);
  const std::string sentence = observer.expect(Trouble::refused, Verdict::failed);
  EXPECT_TRUE(tells(sentence, "10.0.0.2 asks again for states that it was given")) << sentence;
  EXPECT_TRUE(tells(sentence, "bound to igb0")) << sentence;
  EXPECT_TRUE(tells(sentence, "interface_map")) << sentence;
}

/// Through a map that lacks a row.
TEST(HealthSimulation, AnInterfaceWithoutARow) {
  Simulation sim{seed_of_run(1)};
  engine::InterfaceMap map;
  ASSERT_EQ(map.add(wire::InterfaceName{"lan"}, wire::InterfaceName{"igb0"}), engine::InterfaceMap::Added::yes);
  sim.add({.creatorid = 1, .peers = {1}, .interfaces = {map}, .probe_every = 1s});
  sim.add({.creatorid = 2, .peers = {0}});
  Observer observer{sim, 0};
  observer.expect_healthy_for(3s);
  Opener{sim, 1, "igb0"}.work(5);
  observer.expect_healthy_for(10s);
  Opener{sim, 1, "igb7", 100}.work(1);
  const std::string sentence = observer.expect(Trouble::names, Verdict::degraded);
  EXPECT_TRUE(tells(sentence, "no row in its interface_map (igb7)")) << sentence;
}

}  // namespace
}  // namespace pfsync::sim
