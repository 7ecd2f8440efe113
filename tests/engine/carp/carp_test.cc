// One node: elections, timers, counters, demotion. The rules alone: carp_election_test.cc; what it does for its
// addresses: carp_link_test.cc.
#include <gtest/gtest.h>

#include <atomic>
#include <thread>

#include "tests/engine/carp/carp_bench.h"
#include "tests/wire/carp_captures.h"

namespace pfsync::engine::carp::test {
namespace {

using wire::CarpReject;
using wire::Family;

constexpr Duration moment = 1ms;

// --- timers ------------------------------------------------------------------------------------------

TEST(CarpNode, BecomesMasterExactlyAfterTheMasterDownTime) {
  for (const auto& [base, skew, micros] : {std::tuple{1, 0, 3'000'000},
                                           {1, 1, 3'003'906},
                                           {1, 100, 3'390'625},
                                           {1, 254, 3'992'187},
                                           {3, 240, 9'937'500}}) {
    auto config = host_config(1, static_cast<std::uint8_t>(skew), {"192.168.1.100"});
    config.advbase = static_cast<std::uint8_t>(base);
    Bench bench{node_config({config})};
    EXPECT_EQ(bench.state(), State::backup);
    const auto due = bench.node.timeout();
    ASSERT_TRUE(due);
    EXPECT_EQ(*due - bench.now, std::chrono::microseconds{micros});
    EXPECT_TRUE(adverts_in(bench.pass(std::chrono::microseconds{micros} - moment)).empty());
    EXPECT_EQ(bench.state(), State::backup);
    EXPECT_EQ(adverts_in(bench.pass(moment)).size(), 1u);
    EXPECT_EQ(bench.state(), State::master);
  }
}

TEST(CarpNode, AdvertisesInTheIntervalOfItsSkew) {
  Bench bench{node_config({host_config(1, 128, {"192.168.1.100"})})};
  bench.pass(3500ms);
  ASSERT_EQ(bench.state(), State::master);
  EXPECT_EQ(adverts_in(bench.pass(15s)).size(), 10u);  // every 1.5 s
}

TEST(CarpNode, ABackupThatHearsItsMasterWaitsOn) {
  Bench bench{node_config({host_config(1, 100, {"192.168.1.100"})})};
  Other other{host_config(1, 0, {"192.168.1.100"})};
  for (int i = 0; i < 20; ++i) {
    bench.hear(other.advert(1, 0));
    EXPECT_TRUE(bench.pass(1s).empty());
  }
  EXPECT_EQ(bench.state(), State::backup);
  EXPECT_EQ(bench.status().adverts_in, 20u);
  bench.pass(2390ms);
  EXPECT_EQ(bench.state(), State::backup);
  bench.pass(1ms);
  EXPECT_EQ(bench.state(), State::master);
}

TEST(CarpNode, EachFamilyHasATimerOfItsOwn) {
  Bench bench{node_config({host_config(1, 100, {"192.168.1.100", "2001:db8::1"})})};
  Other other{host_config(1, 0, {"192.168.1.100", "2001:db8::1"})};
  for (int i = 0; i < 4; ++i) {
    bench.hear(other.advert(1, 0));  // IPv4 alone
    bench.pass(800ms);
  }
  EXPECT_EQ(bench.state(), State::backup);
  bench.pass(200ms);
  EXPECT_EQ(bench.state(), State::master);  // as the kernels: the silence of one family is enough

  auto both = host_config(1, 100, {"192.168.1.100", "2001:db8::1"});
  both.both_families = true;
  Bench patient{node_config({both})};
  for (int i = 0; i < 10; ++i) {
    patient.hear(other.advert(1, 0));
    patient.pass(800ms);
  }
  EXPECT_EQ(patient.state(), State::backup);
  patient.pass(3s);
  EXPECT_EQ(patient.state(), State::master);
}

TEST(CarpNode, AnAbsentProcessDoesNotTakeItsOwnSilenceForTheMasters) {
  Bench bench{node_config({host_config(1, 0, {"192.168.1.100"})})};
  bench.now += 20s;
  bench.node.on_absence(bench.now);
  bench.node.on_timeout(bench.now);
  EXPECT_EQ(bench.state(), State::backup);
  bench.pass(3s);
  EXPECT_EQ(bench.state(), State::master);
}

// --- elections ---------------------------------------------------------------------------------------

TEST(CarpNode, PreemptsASlowerMasterAtOnce) {
  Bench bench{node_config({host_config(1, 0, {"192.168.1.100"})})};
  Other other{host_config(1, 100, {"192.168.1.100"})};
  bench.hear(other.advert(1, 100));
  EXPECT_EQ(bench.state(), State::master);
  const auto adverts = adverts_in(bench.take());
  ASSERT_EQ(adverts.size(), 1u);
  EXPECT_EQ(adverts[0].advskew, 0);
  EXPECT_EQ(bench.status().move[1].event, Event::preempts);
  EXPECT_EQ(bench.count(Tally::preempt), 1u);
}

TEST(CarpNode, StepsDownForABetterMaster) {
  Bench bench{node_config({host_config(1, 100, {"192.168.1.100"})})};
  Other other{host_config(1, 0, {"192.168.1.100"})};
  bench.pass(4s);
  ASSERT_EQ(bench.state(), State::master);
  bench.hear(other.advert(1, 0));
  EXPECT_EQ(bench.state(), State::backup);
  EXPECT_TRUE(bench.take().empty());
}

TEST(CarpNode, OfEqualMastersTheLowerAddressStays) {
  for (const char* source : {"192.168.1.0", "192.168.1.2"}) {
    Bench bench{node_config({host_config(1, 50, {"192.168.1.100"})})};
    bench.pass(4s);
    Other other{host_config(1, 50, {"192.168.1.100"}), address(source)};
    bench.hear(other.advert(1, 50));
    EXPECT_EQ(bench.state(), source == std::string{"192.168.1.2"} ? State::master : State::backup);
  }
}

TEST(CarpNode, AMasterThatHearsAWorseOneSaysSoAtOnceButNotForEver) {
  Bench bench{node_config({host_config(1, 0, {"192.168.1.100"})})};
  Other other{host_config(1, 100, {"192.168.1.100"})};
  bench.pass(3300ms);
  ASSERT_EQ(bench.state(), State::master);
  std::size_t sent = 0;
  for (int i = 0; i < 100; ++i) {
    bench.hear(other.advert(1, 100));
    sent += adverts_in(bench.pass(10ms)).size();
    if (i == 0) {
      EXPECT_EQ(sent, 1u);
    }
  }
  EXPECT_LE(sent, 5u);  // in a second
}

TEST(CarpNode, TakesABowOutAsTheMastersEnd) {
  for (const bool preempt : {false, true}) {
    auto config = host_config(1, 100, {"192.168.1.100"});
    config.preempt = preempt;
    Bench bench{node_config({config})};
    Other other{host_config(1, 0, {"192.168.1.100"})};
    bench.hear(other.advert(1, 0));
    bench.hear(other.advert(255, 255));
    EXPECT_EQ(bench.state(), State::master);
    EXPECT_EQ(bench.mistakes(Mistake::intervals_differ), 0u);
    EXPECT_EQ(bench.count(Tally::preempt), 0u) << "it has taken over from nobody who went on";
  }
}

TEST(CarpNode, OrdersMoveAHostButNotOutOfInit) {
  Bench bench{node_config({host_config(1, 0, {"192.168.1.100"})})};
  EXPECT_TRUE(bench.node.order(1, State::master, bench.now));
  EXPECT_EQ(bench.state(), State::master);
  EXPECT_TRUE(bench.node.order(1, State::backup, bench.now));
  EXPECT_EQ(bench.state(), State::backup);
  EXPECT_FALSE(bench.node.order(2, State::master, bench.now));
  bench.node.set_link(false, bench.now);
  EXPECT_FALSE(bench.node.order(1, State::master, bench.now));
  EXPECT_EQ(bench.state(), State::init);
}

// --- counters of advertisements ----------------------------------------------------------------------

TEST(CarpNode, CountsAtRandomUntilItHasHeardSomebodyAndThenGoesOnFromThere) {
  Bench bench{node_config({host_config(1, 100, {"192.168.1.100"})})};
  const auto alone = adverts_in(bench.pass(6s));
  ASSERT_GE(alone.size(), 2u);
  EXPECT_NE(alone[1].counter, alone[0].counter + 1);
  Other other{host_config(1, 0, {"192.168.1.100"})};
  bench.hear(other.advert(1, 0));
  const std::uint64_t heard = other.counter;
  const auto after = adverts_in(bench.pass(6s));
  ASSERT_GE(after.size(), 2u);
  EXPECT_EQ(after[0].counter, heard + 1);
  EXPECT_EQ(after[1].counter, heard + 2);
}

TEST(CarpNode, TwoNodesDoNotCountAlike) {
  auto first = node_config({host_config(1, 0, {"192.168.1.100"})}), second = first;
  second.seed = 8;
  Bench a{first}, b{second};
  EXPECT_NE(adverts_in(a.pass(3s)).at(0).counter, adverts_in(b.pass(3s)).at(0).counter);
}

TEST(CarpNode, AcceptsAConstantCounterAndReplays) {
  Bench bench{node_config({host_config(1, 100, {"192.168.1.100"})})};
  Other other{host_config(1, 0, {"192.168.1.100"})};
  const Frame same = other.advert(1, 0);
  for (int i = 0; i < 10; ++i) {
    bench.hear(same);
    bench.pass(1s);
  }
  EXPECT_EQ(bench.state(), State::backup);
  EXPECT_EQ(bench.status().adverts_in, 10u);
}

TEST(CarpNode, IgnoresItsOwnAdvertisementsThatComeBack) {
  Bench bench{node_config({host_config(1, 0, {"192.168.1.100"})})};
  const auto frames = bench.pass(5s);
  ASSERT_EQ(bench.state(), State::master);
  for (const Frame& frame : frames) bench.hear(frame);
  EXPECT_EQ(bench.state(), State::master);
  EXPECT_EQ(bench.count(CarpReject::looped), adverts_in(frames).size());
  EXPECT_EQ(bench.mistakes(Mistake::looped), adverts_in(frames).size());
}

TEST(CarpNode, AMasterThatCountsAlikeIsNoEcho) {
  // After a partition both count on from the same number: same counter, same HMAC, another source.
  Bench bench{node_config({host_config(1, 0, {"192.168.1.100"})})};
  const auto mine = adverts_in(bench.pass(3s));
  ASSERT_EQ(mine.size(), 1u);
  const Other other{host_config(1, 0, {"192.168.1.100"}), address("192.168.1.0")};
  bench.hear(other.frame_of(mine[0]));
  EXPECT_EQ(bench.state(), State::backup);
}

// --- refusals ----------------------------------------------------------------------------------------

TEST(CarpNode, CountsEveryRefusalUnderItsName) {
  Bench bench{node_config({host_config(1, 100, {"192.168.1.100"})})};
  Other other{host_config(1, 0, {"192.168.1.100"})};
  const auto expect = [&](CarpReject why, const Frame& frame) {
    const std::uint64_t before = bench.count(why);
    bench.hear(frame);
    EXPECT_EQ(bench.count(why), before + 1) << wire::word(why);
    EXPECT_EQ(bench.status().adverts_in, 0u) << wire::word(why);
  };
  expect(CarpReject::badttl, other.advert(1, 0, 0, 254));
  Frame frame = other.advert(1, 0);
  frame[14 + 20 + 2] ^= 1;
  expect(CarpReject::badsum, frame);
  frame = other.advert(1, 0);
  frame.resize(frame.size() - 1);
  expect(CarpReject::hdrops, frame);  // shorter than its IP header says
  expect(CarpReject::badlen,
         framed({}, peer_mac,
                {Family::inet, address("192.168.1.2").address, wire::carp_group_inet, wire::ipproto::carp}, Frame(35)));
  Frame version(36);
  version[0] = 0x41;
  expect(CarpReject::badver,
         framed({}, peer_mac,
                {Family::inet, address("192.168.1.2").address, wire::carp_group_inet, wire::ipproto::carp}, version));
  expect(CarpReject::badif,
         framed({}, peer_mac,
                {Family::inet, address("192.168.1.2").address, address("192.168.1.9").address, wire::ipproto::carp},
                version));
  Other stranger{host_config(9, 0, {"192.168.1.100"})};
  expect(CarpReject::badvhid, stranger.advert(1, 0));
  Other over_inet6{host_config(1, 0, {"192.168.1.100"}), address("fe80::2")};
  expect(CarpReject::badvhid, over_inet6.advert(1, 0));
  Other liar{host_config(1, 0, {"192.168.1.100"})};
  liar.config.password = "other";
  expect(CarpReject::badauth, liar.advert(1, 0));
  const Frame vrrp{0x31, 1, 100, 1, 0, 100, 0xab, 0xcd, 10, 0, 0, 1};
  expect(CarpReject::vrrp,
         framed({}, peer_mac,
                {Family::inet, address("192.168.1.2").address, wire::carp_group_inet, wire::ipproto::carp}, vrrp));
  EXPECT_EQ(bench.mistakes(Mistake::vrrp_clash), 1u);
  bench.node.set_enabled(false, bench.now);
  expect(CarpReject::disabled, other.advert(1, 0));
  EXPECT_EQ(bench.count(Tally::ipackets) + bench.count(Tally::ipackets6),
            10u);  // all but the one without a sound IP header
}

TEST(CarpNode, BelievesEveryRecordedAdvertisementWithItsPasswordAndNoneWithout) {
  for (const auto& source : wire::test::recorded) {
    HostConfig config{.vhid = source.vhid,
                      .advskew = 240,
                      .password = std::string{source.password},
                      .addresses = {address(source.address)}};
    config.preempt = false;
    for (const bool right : {true, false}) {
      if (!right) config.password += "x";
      if (!right && config.password.size() > wire::carp_password_max) config.password[0] = 'x';
      Bench bench{node_config({config})};
      for (const auto& frame : wire::test::frames_of(std::string{PFSYNC_CAPTURES_DIR "/"} + source.file)) {
        bench.now += 1s;
        bench.hear(frame);
      }
      EXPECT_EQ(bench.status().adverts_in, right ? source.adverts : 0u) << source.file;
      EXPECT_EQ(bench.mistakes(Mistake::wrong_password) > 0,
                !right || std::string_view{source.file}.find("mismatch") != std::string_view::npos)
          << source.file;
    }
  }
}

TEST(CarpNode, UnderstandsOpenBsdsOmissionOfLinkLocalAddresses) {
  Bench bench{node_config({host_config(1, 100, {"192.168.1.100", "fe80::100"})})};
  Other whole{host_config(1, 0, {"192.168.1.100", "fe80::100"})}, openbsd{host_config(1, 0, {"192.168.1.100"})};
  bench.hear(whole.advert(1, 0));
  bench.hear(openbsd.advert(1, 0));
  EXPECT_EQ(bench.status().adverts_in, 2u);
  Bench strict{node_config({host_config(1, 100, {"192.168.1.100", "192.168.1.101"})})};
  strict.hear(openbsd.advert(1, 0));
  EXPECT_EQ(strict.count(CarpReject::badaddrs), 1u);
}

// --- demotion ----------------------------------------------------------------------------------------

TEST(CarpDemotion, IsASumOfNamedPartsThatCannotLeak) {
  Journal journal;
  Demotion demotion{journal};
  const Instant now{};
  demotion.add(Cause::interface_down, 0, now);
  demotion.add(Cause::interface_down, 0, now);
  demotion.follow(Sync::under_way, now);
  demotion.follow(Sync::under_way, now);
  EXPECT_EQ(demotion.total(), 480);
  EXPECT_EQ(demotion.count(), 2);
  demotion.order(-100, now);
  EXPECT_EQ(demotion.total(), 380);
  demotion.remove(Cause::interface_down, 0, now);
  EXPECT_EQ(demotion.part(Cause::interface_down), 240);
  demotion.remove(Cause::interface_down, 0, now);
  demotion.remove(Cause::interface_down, 0, now);
  demotion.follow(Sync::complete, now);
  demotion.order(0, now);
  EXPECT_EQ(demotion.total(), 0);
  std::vector<std::pair<int, int>> told;
  while (const auto entry = journal.pop())
    if (entry->kind == Entry::Kind::demoted) told.emplace_back(entry->delta, entry->total);
  EXPECT_EQ(told, (std::vector<std::pair<int, int>>{
                      {240, 240}, {240, 480}, {-100, 380}, {-240, 140}, {-240, -100}, {100, 0}}));
}

TEST(CarpNode, AMasterSaysAtOnceThatItStandsBack) {
  Bench bench{node_config({host_config(1, 0, {"192.168.1.100"}), host_config(2, 100, {"192.168.1.101"})})};
  bench.pass(4500ms);
  bench.demotion.hold(Cause::maintenance, true, bench.now);
  const auto adverts = adverts_in(bench.pass(0s));
  ASSERT_EQ(adverts.size(), 2u);
  EXPECT_EQ(adverts[0].advskew, 240);
  EXPECT_EQ(adverts[1].advskew, 240);
  EXPECT_EQ(bench.status().skew_now, 240);
  bench.demotion.hold(Cause::maintenance, false, bench.now);
  EXPECT_EQ(adverts_in(bench.pass(0s)).at(0).advskew, 0);
}

TEST(CarpNode, RemembersWhoReignedBeforeAndBetween) {
  Bench bench{node_config({host_config(1, 0, {"192.168.1.100"})})};
  Other other{host_config(1, 100, {"192.168.1.100"})};
  bench.hear(other.advert(1, 100));
  ASSERT_EQ(bench.state(), State::master) << "at its first advertisement";
  ASSERT_EQ(bench.status().reigns, 2u);
  EXPECT_EQ(bench.status().reign[0].source.address, other.source.address);
  EXPECT_EQ(bench.status().reign[1].source.family, Family::none);
  bench.pass(1s);
  bench.node.set_enabled(false, bench.now);
  ASSERT_EQ(bench.status().reigns, 3u);
  EXPECT_TRUE(bench.status().reign[2].is_vacant);
  EXPECT_EQ(bench.status().reign[2].at, bench.now);
  bench.pass(10s);
  bench.node.set_enabled(true, bench.now);
  bench.pass(4s);
  ASSERT_EQ(bench.state(), State::master);
  ASSERT_EQ(bench.status().reigns, 4u);
  EXPECT_FALSE(bench.status().reign[3].is_vacant);
}

TEST(CarpNode, ADemotedHeirOfAHealthyMasterStaysMasterThroughAllCopiesOfItsFarewell) {
  for (const bool dual_stack : {false, true}) {
    auto config = host_config(1, 0, {"192.168.1.100"});
    if (dual_stack) config.addresses.push_back(address("2001:db8::1"));
    config.openbsd = true;
    Bench leaver{node_config({config})}, heir{node_config({config})};
    leaver.pass(3s);
    ASSERT_EQ(leaver.state(), State::master);
    heir.demotion.hold(Cause::maintenance, true, heir.now);
    leaver.node.set_enabled(false, leaver.now);
    for (const wire::CarpAdvert& advert : adverts_in(leaver.take())) {
      Other inet{config}, inet6{config, address("fe80::2")};
      heir.hear(inet.frame_of(advert));
      EXPECT_EQ(heir.state(), State::master);
      if (dual_stack) heir.hear(inet6.frame_of(advert));
      EXPECT_EQ(heir.state(), State::master);
    }
    EXPECT_EQ(heir.status().entered[static_cast<std::size_t>(State::master)], 1u);

    // OpenBSD's own farewell has the count that its sender has otherwise.
    Bench other_heir{node_config({config})};
    other_heir.demotion.hold(Cause::maintenance, true, other_heir.now);
    Other openbsd{config};
    for (int copy = 0; copy < 2; ++copy) other_heir.hear(openbsd.advert(255, 255, 0));
    EXPECT_EQ(other_heir.state(), State::master);
  }
}

TEST(CarpNode, TellsOpenBsdHowManyThingsAreWrong) {
  auto config = host_config(1, 20, {"192.168.1.100"});
  config.openbsd = true;
  Bench bench{node_config({config})};
  bench.pass(3100ms);
  bench.demotion.hold(Cause::maintenance, true, bench.now);
  bench.demotion.follow(Sync::under_way, bench.now);
  const auto adverts = adverts_in(bench.pass(0s));
  ASSERT_EQ(adverts.size(), 1u);
  EXPECT_EQ(adverts[0].demote, 2);
  EXPECT_EQ(adverts[0].advskew, 20);
}

TEST(CarpNode, ADemotionBelowNothingIsNoTroubleToTellOpenBsdOf) {
  auto config = host_config(1, 20, {"192.168.1.100"});
  config.openbsd = true;
  Bench bench{node_config({config})};
  bench.demotion.order(-100, bench.now);
  const auto adverts = adverts_in(bench.pass(3100ms));
  ASSERT_EQ(adverts.size(), 1u);
  EXPECT_EQ(adverts[0].demote, 0) << "the operator wants it forward, not back";
}

TEST(CarpNode, StandsBackWhileItsPortTakesNothingAndComesBackAfterwards) {
  Bench bench{node_config({host_config(1, 0, {"192.168.1.100"})})};
  bench.pass(3s);
  ASSERT_EQ(bench.state(), State::master);
  const auto tick = [&](bool takes) {
    bench.now = *bench.node.timeout();
    bench.node.on_timeout(bench.now);
    if (takes) bench.take();
  };
  for (int i = 0; i < 12; ++i) tick(false);
  EXPECT_EQ(bench.demotion.part(Cause::send_errors), 240);
  for (int i = 0; i < 12; ++i) tick(true);
  EXPECT_EQ(bench.demotion.total(), 0);
  for (int i = 0; i < 12; ++i) tick(false);
  EXPECT_EQ(bench.demotion.part(Cause::send_errors), 240);
  bench.node.set_link(false, bench.now);
  bench.node.set_link(true, bench.now);
  EXPECT_EQ(bench.demotion.total(), 0);
}

TEST(CarpNode, ADeadLinkStopsEverythingAndIsTakenBack) {
  Bench bench{node_config({host_config(1, 0, {"192.168.1.100"})})};
  bench.pass(3s);
  bench.node.set_link(false, bench.now);
  EXPECT_EQ(bench.state(), State::init);
  EXPECT_EQ(bench.demotion.total(), 240);
  EXPECT_TRUE(bench.pass(10s).empty());
  bench.node.set_link(true, bench.now);
  EXPECT_EQ(bench.demotion.total(), 0);
  EXPECT_EQ(bench.state(), State::backup);
}

TEST(CarpNode, SaysFarewellWhenItIsDisabled) {
  Bench bench{node_config({host_config(1, 0, {"192.168.1.100"})})};
  bench.pass(3s);
  bench.node.set_enabled(false, bench.now);
  const auto adverts = adverts_in(bench.take());
  ASSERT_EQ(adverts.size(), 3u);
  for (const auto& advert : adverts) EXPECT_TRUE(is_bow_out({advert.advbase, advert.advskew}));
  EXPECT_TRUE(bench.pass(10s).empty());
  bench.node.set_enabled(true, bench.now);
  EXPECT_EQ(bench.state(), State::backup);
}

TEST(CarpDemotion, WhoLeavesWithSendErrorsTakesTheirDemotionAlong) {
  Bench bench{node_config({host_config(1, 0, {"192.168.1.100"})})};
  bench.pass(3s);
  for (int i = 0; i < 12; ++i) {
    bench.now = *bench.node.timeout();
    bench.node.on_timeout(bench.now);
  }
  ASSERT_EQ(bench.demotion.part(Cause::send_errors), Demotion::factor);
  EXPECT_GT(bench.count(Tally::onomem), 3u);
  NodeConfig config = bench.node.config();
  config.hosts.clear();
  const auto next = bench.node.successor(config);
  bench.node.adopt(*next, bench.now);
  EXPECT_EQ(bench.demotion.total(), 0);
}

// --- at large ------------------------------------------------------------------------------------------

TEST(CarpNode, KeepsTimeWith255Hosts) {
  std::vector<HostConfig> hosts;
  for (unsigned vhid = 1; vhid <= 255; ++vhid)
    hosts.push_back(host_config(static_cast<std::uint8_t>(vhid), 0, {("10.0.0." + std::to_string(vhid)).c_str()}));
  Bench bench{node_config(std::move(hosts))};
  bench.pass(3s);
  EXPECT_EQ(adverts_in(bench.pass(60s)).size(), 255u * 60);
}

TEST(CarpNode, PublishesWhatItIs) {
  Bench bench{node_config({host_config(1, 0, {"192.168.1.100"})})};
  bench.pass(3s);
  const HostStatus seen = bench.node.status(0);
  EXPECT_EQ(seen.state, State::master);
  EXPECT_EQ(seen.adverts_out, 1u);
  EXPECT_EQ(seen.moves, 2u);
  EXPECT_EQ(seen.reigns, 1u);
}

TEST(CarpPublished, ReadersSeeWholeValues) {
  struct Value {
    std::array<std::uint64_t, 16> words;
  };
  Published<Value> published;
  std::atomic<bool> done{false};
  std::uint64_t torn = 0, last = 0, backwards = 0;
  std::thread reader{[&] {
    while (!done.load()) {
      const Value seen = published.read();
      for (const std::uint64_t word : seen.words) torn += word != seen.words[0] ? 1 : 0;
      backwards += seen.words[0] < last ? 1 : 0;
      last = seen.words[0];
    }
  }};
  for (std::uint64_t i = 1; i <= 100'000; ++i) {
    Value value;
    value.words.fill(i);
    published.publish(value);
  }
  done.store(true);
  reader.join();
  EXPECT_EQ(torn, 0u);
  EXPECT_EQ(backwards, 0u);
  EXPECT_EQ(published.read().words[15], 100'000u);
}

TEST(CarpJournal, DropsAndCountsWhatNobodyReads) {
  Journal journal;
  for (std::size_t i = 0; i < Journal::capacity + 44; ++i) journal.push({});
  EXPECT_EQ(journal.dropped(), 44u);
  unsigned entries = 0;
  while (journal.pop()) ++entries;
  EXPECT_EQ(entries, Journal::capacity);
}

}  // namespace
}  // namespace pfsync::engine::carp::test
