// Whole pairs under faults drawn from seeds (tests/sim/chaos). CHAOS_SEEDS=1000 runs as many, CHAOS_FROM=n begins with
// another, CHAOS_TRACE=ID/CREATORID prints what nodes are told of one state; what fails is told as a scenario, for
// `chaos shrink FILE` and `chaos replay FILE`.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <deque>
#include <filesystem>
#include <fstream>
#include <iterator>

#include "tests/sim/chaos/referee.h"
#include "tests/sim/chaos/shrink.h"
#include "tests/sim/chaos/world.h"
#include "wire/ethernet.h"
#include "wire/ip.h"
#include "wire/packet_writer.h"

namespace pfsync::sim::chaos {
namespace {

using namespace std::chrono_literals;

std::uint64_t from_environment(const char* name, std::uint64_t otherwise) {
  const char* text = std::getenv(name);
  return text == nullptr ? otherwise : std::strtoull(text, nullptr, 10);
}

Scenario scenario_of(const std::string& text) {
  auto parsed = parse(text);
  const auto* why = std::get_if<std::string>(&parsed);
  EXPECT_EQ(why, nullptr) << *why;
  return why == nullptr ? std::get<Scenario>(parsed) : Scenario{};
}

TEST(Chaos, SeedsHoldAndTakeThePathsThatCount) {
  const std::uint64_t seeds = from_environment("CHAOS_SEEDS", 24), first = from_environment("CHAOS_FROM", 1);
  Marks marks;
  for (std::uint64_t seed = first; seed < first + seeds; ++seed) {
    const Scenario scenario = draw(seed);
    const Verdict verdict = run(scenario);
    ASSERT_EQ(verdict.broken, "") << "at " << verdict.at_ms << " ms of\n" << text_of(scenario);
    marks.add(verdict.marks);
  }
  if (first != 1 || seeds < 24) return;
  for (const char* mark : {"net: frame lost",
                           "net: frame overtaken",
                           "net: frame doubled",
                           "net: frame into a cut path",
                           "node: crashed",
                           "node: frozen",
                           "node: its link came up again",
                           "bulk: done",
                           "bulk: served",
                           "clear: flushed by a firewall",
                           "hub: a peer is spoken with",
                           "shape: pair",
                           "net: of IPv6",
                           "carp: master timed out",
                           "carp: preempting a slower master",
                           "carp: demoted by a bulk update",
                           "snapshot: written",
                           "snapshot: restored",
                           "config: pushed and confirmed",
                           "liar: a lie was told",
                           "judge: a state that ended was held",
                           "judge: a clear ended a state",
                           "judge: a window was compared",
                           "judge: what came and went was counted up",
                           "judge: a restored window was compared",
                           "session: deletes_dropped",
                           "refused: stale",
                           "session: removed_before",
                           "session: expired"})
    EXPECT_GT(marks.of(mark), 0u) << "no run took this path: " << mark;
}

TEST(Chaos, ScenariosThatOnceFailedHold) {
  std::vector<std::filesystem::path> files;
  for (const auto& entry : std::filesystem::directory_iterator{PFSYNC_SCENARIOS_DIR}) files.push_back(entry.path());
  std::ranges::sort(files);
  ASSERT_FALSE(files.empty());
  for (const auto& path : files) {
    std::ifstream file{path};
    const std::string text{std::istreambuf_iterator<char>{file}, {}};
    EXPECT_EQ(run(scenario_of(text)).broken, "") << path;
  }
}

TEST(Chaos, WhatASmallerMtuLostIsHealed) {
  const Verdict verdict =
      run(scenario_of("seed 6\nshape hub\nengines 2\nstates 60\nopens_per_s 20\nupdates_per_s 200\nlength 9000\n"
                      "at 500 for 7000 narrow 2 0 200\nat 3000 for 500 link_down 2 0 0\n"));
  EXPECT_EQ(verdict.broken, "");
  EXPECT_GT(verdict.marks.of("net: frame longer than the MTU"), 0u);
  EXPECT_GT(verdict.marks.of("node: its link came up again"), 0u);
}

TEST(Chaos, ASeedReplaysItsRun) {
  const Verdict once = run(draw(3)), again = run(draw(3));
  EXPECT_EQ(once.trace, again.trace);
  EXPECT_EQ(once.marks.counts(), again.marks.counts());
  EXPECT_NE(once.trace, run(draw(4)).trace);
}

TEST(Chaos, AScenarioIsReadAsItWasWritten) {
  for (std::uint64_t seed = 1; seed <= 200; ++seed) {
    const Scenario scenario = draw(seed);
    EXPECT_EQ(scenario_of(text_of(scenario)), scenario) << text_of(scenario);
  }
}

TEST(Chaos, WhatIsNoScenarioIsToldByItsLine) {
  const auto why = [](const std::string& text) {
    const auto parsed = parse(text);
    const auto* sentence = std::get_if<std::string>(&parsed);
    return sentence == nullptr ? "" : *sentence;
  };
  EXPECT_EQ(why("seed 1\n# a comment\nengines 9\n"), "line 3: engines is a number from 1 to 3");
  EXPECT_EQ(why("colour 1\n"), "line 1: there is no key \"colour\"");
  EXPECT_EQ(why("family ipx\n"), "line 1: the family is inet or inet6");
  EXPECT_EQ(why("shape pair\nengines 3\n"), "of pairs there are two: engines is 2");
  EXPECT_EQ(why("at 1 for 2 rain 0 1 2\n"), "line 1: there is no fault \"rain\"");
  EXPECT_EQ(why("at 1 for 2 loss 0 1\n"), "line 1: an event is: at MS for MS FAULT A B AMOUNT");
  EXPECT_EQ(why("at 1 for 2 loss 0 7 2\n"), "the event \"loss\" at 1 names a node or an amount that is not there");
}

/// A run in which somebody is broken on purpose, among faults that have nothing to do with it.
Scenario sabotaged(int how) {
  return scenario_of(
      "seed 5\nshape hub\nengines 2\nstates 10\nopens_per_s 3\nupdates_per_s 30\nlength 12000\n"
      "at 1000 for 500 duplicate 0 2 20\nat 2000 for 900 crash 0 0 0\nat 3000 for 0 sabotage 3 0 " +
      std::to_string(how) +
      "\nat 4000 for 300 reorder 2 3 20\nat 5000 for 2000 one_way 2 3 0\nat 9000 for 0 edit 0 0 9\n");
}

TEST(Chaos, TheRefereeFindsWhoIsBrokenAndAShortScenarioShowsIt) {
  const std::array<std::string, 3> kinds{"tables differ in peace", "a state outlasts its timeout", "two masters"};
  for (int how = 0; how < 3; ++how) {
    const Scenario scenario = sabotaged(how);
    const Verdict verdict = run(scenario);
    ASSERT_EQ(verdict.kind(), kinds[static_cast<std::size_t>(how)]) << verdict.broken;
    const Scenario shortest = shrink(scenario, verdict.kind(), 25);
    EXPECT_LE(shortest.events.size(), 2u) << text_of(shortest);
    EXPECT_EQ(run(shortest).kind(), verdict.kind());
    EXPECT_TRUE(
        std::ranges::any_of(shortest.events, [](const Event& event) { return event.fault == Fault::sabotage; }));
  }
}

/// A firewall with one connection, and a referee who sees what is done to it.
class Judged : public testing::Test {
 protected:
  explicit Judged(const Scenario& scenario = {}) : scenario_{scenario} {
    for (Machine& machine : machines_) {
      machine.send_by([](wire::Bytes) {});
      machine.power_on(machine.local(now_), 1'700'000'000);
    }
    state_.id = {7, 1};
    state_.ifname = wire::InterfaceName{"all"};
    state_.af = wire::Family::inet;
    state_.proto = wire::ipproto::tcp;
    state_.direction = wire::Direction::out;
    state_.key[0].addr = state_.key[1].addr = {wire::ipv4_address(192, 0, 2, 1), wire::ipv4_address(198, 51, 100, 1)};
    state_.src = {.seqlo = 1000, .seqhi = 2000, .state = wire::tcps::established};
    state_.dst = state_.src;
    state_.timeout = engine::pftm::tcp_established;
  }
  [[nodiscard]] std::deque<Machine> make_machines() {
    std::deque<Machine> machines;
    for (unsigned node = 0; node < scenario_.nodes(); ++node) machines.emplace_back(scenario_, node, marks_);
    return machines;
  }
  [[nodiscard]] Instant at() const { return machines_.front().local(now_); }
  [[nodiscard]] std::vector<std::uint8_t> packet(wire::Message message) const {
    std::vector<std::uint8_t> room(1400);
    wire::PacketWriter writer{wire::Dialect::freebsd_1301, room};
    if (message == wire::Message::clr)
      EXPECT_TRUE(writer.append_clear({.ifname = {}, .creatorid = state_.id.creatorid}));
    else if (message == wire::Message::del_c)
      EXPECT_TRUE(writer.append_id(message, state_.id));
    else
      EXPECT_TRUE(writer.append_state(message, state_));
    room.resize(writer.finish());
    return room;
  }
  [[nodiscard]] engine::Session& session() { return machines_.front().session(); }

  const Scenario scenario_;
  Marks marks_;
  Duration now_ = 1h;
  std::deque<Machine> machines_ = make_machines();
  Referee referee_{scenario_, machines_, [](unsigned) { return true; }, marks_};
  wire::State state_;
};

TEST_F(Judged, AWindowThatGoesBackIsFound) {
  ASSERT_EQ(session().insert(state_, at()), engine::Session::Local::done);
  const auto update = packet(wire::Message::upd);
  referee_.before(0, update, now_);
  referee_.after(0, update, now_);
  EXPECT_EQ(referee_.broken(), "");
  referee_.before(0, update, now_);
  state_.dst.seqlo = 999;
  ASSERT_EQ(session().update({state_.id, state_.src, state_.dst, state_.timeout}, at()), engine::Session::Local::done);
  referee_.after(0, update, now_);
  EXPECT_EQ(referee_.broken(), "a window went back: state 7 of creator 1 at node 0");
}

TEST_F(Judged, AWindowThatGoesBackOverARestartIsFound) {
  ASSERT_EQ(session().insert(state_, at()), engine::Session::Local::done);
  referee_.snapshot_begun(0, 1);
  referee_.restored(0, 1);
  EXPECT_EQ(referee_.broken(), "");
  state_.src.seqhi = 1999;
  ASSERT_EQ(session().update({state_.id, state_.src, state_.dst, state_.timeout}, at()), engine::Session::Local::done);
  referee_.restored(0, 1);
  EXPECT_EQ(referee_.broken(), "a window went back over a restart: state 7 of creator 1 at node 0");
}

TEST_F(Judged, AnEndedStateThatComesBackIsFound) {
  const auto end = packet(wire::Message::del_c), late = packet(wire::Message::ins);
  referee_.before(0, end, now_);
  referee_.after(0, end, now_);
  referee_.before(0, late, now_);
  ASSERT_EQ(session().insert(state_, at()), engine::Session::Local::done);
  referee_.after(0, late, now_ + 3s);
  EXPECT_EQ(referee_.broken(),
            "a late message brought back what ended: state 7 of creator 1 at node 0, 3000 ms after its end was heard");
}

/// An engine holds a state, a clear ends it.
class ClearedAtAnEngine : public Judged {
 protected:
  static constexpr unsigned engine = Scenario::firewalls;

  void SetUp() override {
    engine::Session& owner = machines_.front().session();
    ASSERT_EQ(owner.insert(state_, at()), engine::Session::Local::done);
    ASSERT_EQ(session().insert(state_, at()), engine::Session::Local::done);
    referee_.look(now_);
    now_ += 20s;
    ASSERT_EQ(owner.erase(state_.id, at()), engine::Session::Local::done);
    referee_.look(now_);
    const auto clear = packet(wire::Message::clr);
    referee_.before(engine, clear, now_);
    ASSERT_EQ(session().erase(state_.id, at()), engine::Session::Local::done);
    referee_.after(engine, clear, now_);
  }
  /// The engine is told of it, and takes it.
  void come_back(Duration passed) {
    const auto late = packet(wire::Message::upd);
    referee_.before(engine, late, now_ + passed);
    ASSERT_EQ(session().insert(state_, at() + passed), engine::Session::Local::done);
    referee_.after(engine, late, now_ + passed);
  }
  [[nodiscard]] engine::Session& session() { return machines_[engine].session(); }
};

TEST_F(ClearedAtAnEngine, AStateThatComesBackByALateMessageIsFound) {
  come_back(3s);
  EXPECT_EQ(
      referee_.broken(),
      "a late message brought back what ended: state 7 of creator 1 at node 2, 3000 ms after its end was heard by "
      "a clear");
}

TEST_F(ClearedAtAnEngine, AStateThatComesBackForLongerThanItsTimeoutIsFound) {
  come_back(11s);
  referee_.look(now_ + 12s);
  EXPECT_EQ(referee_.broken(), "");
  // News of it make it no younger, as they do of a state whose end nobody has cleared.
  const auto update = packet(wire::Message::upd);
  referee_.before(engine, update, now_ + 40s);
  ++state_.src.seqlo;
  ASSERT_EQ(session().update({state_.id, state_.src, state_.dst, state_.timeout}, at() + 40s),
            engine::Session::Local::done);
  referee_.after(engine, update, now_ + 40s);
  referee_.look(now_ + 66s);
  EXPECT_EQ(referee_.broken(), "");
  referee_.look(now_ + 67s);
  EXPECT_EQ(referee_.broken(),
            "a state that a clear ended outlasts its timeout: state 7 of creator 1 at node 2, 56 s after it came back, "
            "of 40 s");
}

TEST_F(Judged, StatesThatAreNotAccountedForAreFound) {
  ASSERT_EQ(session().insert(state_, at()), engine::Session::Local::done);
  referee_.look(now_);
  EXPECT_EQ(referee_.broken(), "");
  session().counters()[engine::Tally::inserts].add();
  referee_.look(now_);
  EXPECT_EQ(referee_.broken(), "states are not accounted for: 2 came, 0 went, 1 are here, node 0");
}

TEST_F(Judged, WhoRefusesWithoutNeedIsFound) {
  session().counters()[engine::Tally::table_full].add();
  referee_.look(now_);
  EXPECT_EQ(referee_.broken(), "a state was refused while there was room: 0 of 180, node 0");
}

TEST_F(Judged, WhoDropsWithoutNeedIsFound) {
  session().counters()[engine::Tally::deletes_dropped].add();
  referee_.look(now_);
  EXPECT_EQ(referee_.broken(), "deletes were dropped while there was room: 0 of 256, node 0");
}

TEST_F(Judged, WhoAnswersTooOftenIsFound) {
  referee_.look_at_rates();
  session().counters().out(wire::Message::upd).add(1'200);
  referee_.look_at_rates();
  EXPECT_EQ(referee_.broken(), "");
  session().counters().out(wire::Message::upd).add(1'300);
  referee_.look_at_rates();
  EXPECT_EQ(referee_.broken(), "too many answers: 1300 of 1100, node 0");
}

class JudgedPair : public Judged {
 protected:
  JudgedPair() : Judged{Scenario{.shape = Shape::pair}} {}
};

TEST_F(JudgedPair, AStateThatGetsIntoTheOtherPairIsFound) {
  ASSERT_EQ(machines_[2].session().insert(state_, at()), engine::Session::Local::done);
  referee_.look(now_);
  EXPECT_EQ(referee_.broken(), "");
  ASSERT_EQ(machines_[3].session().insert(state_, at()), engine::Session::Local::done);
  referee_.look(now_);
  EXPECT_EQ(referee_.broken(), "a state is held by who cannot have heard of it: state 7 of creator 1 at node 3");
}

TEST_F(Judged, WhatSomebodyLiedAboutIsExcusedByName) {
  ASSERT_EQ(session().insert(state_, at()), engine::Session::Local::done);
  const auto lie = packet(wire::Message::upd);
  constexpr std::size_t headers = sizeof(wire::EthernetHeader) + sizeof(wire::Ipv4Header);
  Frame frame(headers + lie.size());
  const wire::Address group = wire::pfsync_group_inet;
  static_cast<void>(wire::write_ethernet_header(wire::multicast_mac(wire::Family::inet, group), Machine::mac_of(1),
                                                std::nullopt, wire::ethertype::ipv4, frame));
  static_cast<void>(wire::write_ip_header(
      {wire::Family::inet, Machine::address_of(1, wire::Family::inet), group, wire::ipproto::pfsync}, lie.size(),
      wire::Room{frame}.subspan(sizeof(wire::EthernetHeader))));
  std::ranges::copy(lie, frame.begin() + headers);
  Referee lenient{scenario_, machines_, [](unsigned) { return true; }, marks_};
  lenient.excuse(frame, now_);
  lenient.judge_peace();
  EXPECT_EQ(lenient.broken(), "");
  referee_.judge_peace();
  EXPECT_EQ(referee_.broken().substr(0, 22), "tables differ in peace");
}

}  // namespace
}  // namespace pfsync::sim::chaos
