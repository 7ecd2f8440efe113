// The verdict from facts made by hand; whole sessions are judged in tests/sim/health_test.cc.
#include "engine/control/health.h"

#include <gtest/gtest.h>

namespace pfsync::engine {
namespace {

using namespace std::chrono_literals;

/// A node with one peer, all of which is well, and a clock.
struct Judged {
  HealthFacts facts{.now = statetable::Instant{} + 1000s, .own_address = "10.0.0.1", .drops = "imissed"};
  HealthMonitor monitor;

  Judged() {
    PeerFacts& peer = facts.peers.emplace_back();
    peer.address = "10.0.0.2";
    peer.phase = BulkPhase::done;
    peer.nodes.push_back({.address = "10.0.0.2", .heard_at = facts.now});
  }
  PeerFacts& peer() { return facts.peers.front(); }
  NodeFacts& node() { return peer().nodes.front(); }
  const Health& look() { return monitor.judge(facts); }
  /// A second passes in which so much was heard.
  const Health& pass(std::uint64_t inserts = 0, std::uint64_t packets = 0, std::uint64_t missed = 0) {
    facts.now += 1s;
    peer().counts.inserts_received += inserts;
    peer().counts.insert_packets_received += packets;
    peer().counts.missed += missed;
    return look();
  }
  /// How long until there is no reason any more; a minute at most.
  int seconds_until_healthy() {
    for (int s = 1; s <= 60; ++s)
      if (pass().is_healthy()) return s;
    return 61;
  }
};

TEST(HealthVerdict, IsGoodWithoutAReason) {
  Judged judged;
  EXPECT_EQ(judged.look().verdict, Verdict::healthy);
  EXPECT_EQ(judged.look().reason, "in sync since the bulk update");
  EXPECT_TRUE(judged.look().reasons.empty());
}

TEST(HealthVerdict, FiveQuestionsInARowDecide) {
  Judged judged;
  judged.node().silent_since = judged.facts.now - 4s;
  judged.node().heard_at = judged.facts.now;
  judged.node().unanswered = 4;
  EXPECT_TRUE(judged.look().is_healthy());
  judged.node().unanswered = 5;
  EXPECT_EQ(judged.look().verdict, Verdict::failed);
  EXPECT_EQ(judged.look().reasons.front().trouble, Trouble::deaf) << "it was heard meanwhile";
  EXPECT_EQ(judged.look().reason,
            "10.0.0.2 does not hear this node: it is heard, but left 5 questions within 4 s unanswered: check that it "
            "lets protocol 240 in from 10.0.0.1, and has it as its peer or its group");
}

TEST(HealthVerdict, WhoSaysNothingIsMute) {
  Judged judged;
  judged.node() = {
      .address = "10.0.0.2", .heard_at = judged.facts.now - 8s, .silent_since = judged.facts.now - 6s, .unanswered = 6};
  EXPECT_EQ(judged.look().reasons.front().trouble, Trouble::mute);
  EXPECT_TRUE(judged.look().reason.starts_with("nothing was heard of 10.0.0.2 for 8 s, and 6 questions"))
      << judged.look().reason;
}

/// Once it answers again the verdict stands for ten seconds, whatever comes in between.
TEST(HealthVerdict, DoesNotFlap) {
  Judged judged;
  judged.node().silent_since = judged.facts.now - 6s;
  judged.node().unanswered = 6;
  ASSERT_EQ(judged.look().verdict, Verdict::failed);
  unsigned changes = 0;
  for (int s = 0; s < 60; ++s) {
    judged.node().unanswered = s % 8 == 7 ? 6 : 0;  // now and then
    judged.node().silent_since = judged.facts.now;
    changes += judged.pass().verdict != Verdict::failed;
  }
  EXPECT_EQ(changes, 0u);
  judged.node().unanswered = 0;
  const int seconds = judged.seconds_until_healthy();
  EXPECT_GE(seconds, 6);
  EXPECT_LE(seconds, 11);
}

TEST(HealthVerdict, AnotherNodeSpeaksWithThePeer) {
  Judged judged;
  judged.node().unanswered = 50;
  judged.peer().active = false;
  EXPECT_TRUE(judged.look().is_healthy());
}

TEST(HealthVerdict, OneLostPacketIsNoLoss) {
  Judged judged;
  for (int s = 0; s < 30; ++s) ASSERT_TRUE(judged.pass(100, 20).is_healthy());
  ASSERT_TRUE(judged.pass(95, 19, 5).is_healthy()) << "five states of one packet";
  for (int s = 0; s < 8; ++s) ASSERT_TRUE(judged.pass(100, 20).is_healthy());
  const Health& health = judged.pass(95, 19, 5);
  EXPECT_EQ(health.verdict, Verdict::degraded) << "the second within ten seconds";
  EXPECT_EQ(health.reasons.front().trouble, Trouble::loss_in);
}

TEST(HealthVerdict, LossIsToldOfSlowPeersToo) {
  Judged judged;
  bool found = false;
  for (int s = 0; s < 300; ++s) found = judged.pass(1, 1, s % 50 == 49).verdict == Verdict::degraded || found;
  EXPECT_TRUE(found) << "one new state a second, one in fifty lost";
}

/// What a bulk update brings was not lost.
TEST(HealthVerdict, ABulkUpdateIsNoLoss) {
  Judged judged;
  judged.peer().phase = BulkPhase::receiving;
  for (int s = 0; s < 20; ++s) ASSERT_TRUE(judged.pass(50, 10, 50).is_healthy());
  judged.peer().phase = BulkPhase::done;
  for (int s = 0; s < 300; ++s) ASSERT_TRUE(judged.pass(50, 10).is_healthy()) << judged.look().reason;
}

/// Nor what there was no room for: its sender is not to look for errors on cables.
TEST(HealthVerdict, WhatAFullTableRefusesIsNoLoss) {
  Judged judged;
  for (int s = 0; s < 60; ++s) {
    judged.facts.states_refused += 20;
    for (const Reason& reason : judged.pass(50, 10, 20).reasons) ASSERT_EQ(reason.trouble, Trouble::table) << s;
  }
  bool is_told = false;
  for (int s = 0; s < 60; ++s)
    for (const Reason& reason : judged.pass(50, 10, 20).reasons)
      is_told = is_told || reason.trouble == Trouble::loss_in;
  EXPECT_TRUE(is_told) << "once it has room again";
}

TEST(HealthVerdict, FullPacketsThatNeverArriveAreAnMtu) {
  Judged judged;
  for (int s = 0; s < 5; ++s) ASSERT_TRUE(judged.pass(50, 10).is_healthy());
  for (int s = 0; s < 11; ++s) static_cast<void>(judged.pass(0, 0, 50));
  EXPECT_EQ(judged.look().verdict, Verdict::failed);
  EXPECT_EQ(judged.look().reasons.front().trouble, Trouble::mtu);
}

TEST(HealthVerdict, LongQuestionsThatAloneAreUnanswered) {
  Judged judged;
  judged.node().unanswered_long = 3;
  EXPECT_TRUE(judged.look().is_healthy());
  judged.node().unanswered_long = 4;
  EXPECT_EQ(judged.look().reasons.front().trouble, Trouble::mtu);
  EXPECT_TRUE(judged.look().reason.starts_with("packets of 1500 bytes do not reach 10.0.0.2, shorter ones do"));
}

TEST(HealthVerdict, StatesRefusedFailForAMinuteAndDegradeForGood) {
  Judged judged;
  ASSERT_TRUE(judged.look().is_healthy());
  judged.facts.states_refused = 7;
  EXPECT_EQ(judged.pass().verdict, Verdict::failed);
  for (int s = 0; s < 61; ++s) static_cast<void>(judged.pass());
  EXPECT_EQ(judged.look().verdict, Verdict::degraded);
  EXPECT_EQ(judged.look().reason, "7 states were refused because the table is full: raise table.states_max");
}

TEST(HealthVerdict, NamesWithoutANumberDegrade) {
  Judged judged;
  judged.facts.names_refused = 3;
  EXPECT_EQ(judged.pass().verdict, Verdict::degraded);
  EXPECT_EQ(judged.look().reasons.front().trouble, Trouble::names);
  EXPECT_NE(judged.look().reason.find("3 states have a name"), std::string::npos) << judged.look().reason;
}

TEST(HealthVerdict, FramesThatALinkWithoutAnotherEndTakesNotAreNoDrops) {
  Judged judged;
  judged.facts.link_up = false;
  for (int s = 0; s < 5; ++s) {
    judged.facts.frames_dropped += 500;
    judged.pass();
  }
  judged.facts.frames_dropped += 400;  // until it is up
  judged.facts.link_up = true;
  judged.pass();
  judged.pass();
  for (const Reason& reason : judged.look().reasons) EXPECT_NE(reason.trouble, Trouble::drops) << reason.sentence;
}

TEST(HealthVerdict, FramesDroppedHereAreTold) {
  Judged judged;
  static_cast<void>(judged.look());
  judged.facts.frames_received = 10'000;
  judged.facts.frames_dropped = 9;
  EXPECT_TRUE(judged.pass().is_healthy());
  judged.facts.frames_dropped = 30;
  EXPECT_EQ(judged.pass().verdict, Verdict::degraded);
  EXPECT_TRUE(judged.look().reason.starts_with("30 frames were dropped on this machine within the last 2 s (imissed)"))
      << judged.look().reason;
  EXPECT_LE(judged.seconds_until_healthy(), 25);
}

TEST(HealthVerdict, NamesWithoutARowDegradeWhileTheyAreMet) {
  Judged judged;
  static_cast<void>(judged.look());
  judged.peer().unmapped_names = {"igb1", "igb2", "igb3", "igb4"};
  judged.peer().counts.names_unmapped = 3;
  EXPECT_EQ(judged.pass().verdict, Verdict::degraded);
  EXPECT_NE(judged.look().reason.find("(igb1, igb2, igb3 and 1 more)"), std::string::npos) << judged.look().reason;
  for (int s = 0; s < 75; ++s) static_cast<void>(judged.pass());
  EXPECT_TRUE(judged.look().is_healthy());
}

TEST(HealthVerdict, PacketsThatCannotBeRead) {
  Judged judged;
  static_cast<void>(judged.look());
  judged.peer().counts.packets_received = 40;
  judged.peer().counts.packets_refused = 4;
  EXPECT_EQ(judged.pass().reasons.front().trouble, Trouble::unreadable);
}

TEST(HealthVerdict, WhatAComparisonFoundStandsUntilItIsMended) {
  Judged judged;
  judged.facts.divergence = "3 states differ from those of the paired engine 10.0.0.2";
  judged.facts.divergence_peer = "10.0.0.2";
  const Health& health = judged.look();
  EXPECT_EQ(health.verdict, Verdict::degraded);
  EXPECT_EQ(health.reason, judged.facts.divergence);
  EXPECT_EQ(health.reasons.front().trouble, Trouble::divergence);
  judged.peer().differing = {.share = 0.02, .low = 0.012, .high = 0.031, .judged = 400};
  EXPECT_EQ(judged.pass().reasons.size(), 1u) << "samples say the same of that peer";
  judged.facts.divergence.clear();
  judged.peer().differing.reset();
  EXPECT_TRUE(judged.pass().is_healthy());
}

TEST(HealthVerdict, SamplesThatDifferAreToldUnlessTheyFollowFromSomethingElse) {
  Judged judged;
  judged.peer().differing = {.share = 0.02, .low = 0.012, .high = 0.031, .judged = 400};
  EXPECT_EQ(judged.look().verdict, Verdict::degraded);
  EXPECT_TRUE(judged.look().reason.starts_with(
      "10.0.0.2 has about 2.0 % of the states otherwise than here, or not at all (1.2 to 3.1, by 400 samples)"))
      << judged.look().reason;
  judged.node().silent_since = judged.facts.now - 6s;
  judged.node().unanswered = 6;
  const Health& health = judged.pass();
  ASSERT_EQ(health.reasons.size(), 1u);
  EXPECT_EQ(health.reasons.front().trouble, Trouble::deaf);
}

/// A peer that is set up for another group, or for unicast, looks the same as none.
TEST(HealthVerdict, WhoHearsNobodyInAGroupSaysSoAfterTenSeconds) {
  Judged judged;
  judged.facts.device = "eth1";
  PeerFacts& group = judged.peer();
  group = {.address = "224.0.0.240", .is_group = true, .phase = BulkPhase::asked, .tries = 2, .bulk_taking = 9s};
  EXPECT_TRUE(judged.look().is_healthy()) << "a start is waited for";
  group.bulk_taking = 10s;
  group.tries = 3;
  EXPECT_EQ(judged.pass().verdict, Verdict::degraded);
  EXPECT_EQ(judged.look().reasons.front().trouble, Trouble::alone);
  EXPECT_TRUE(judged.look().reason.starts_with("nobody has been heard in the group 224.0.0.240 yet"))
      << judged.look().reason;
  group.heard_at = judged.facts.now;
  EXPECT_EQ(judged.pass().reasons.front().trouble, Trouble::deaf) << "somebody is heard, who does not answer";
  group.phase = BulkPhase::receiving;
  EXPECT_LE(judged.seconds_until_healthy(), 11);
  group.heard_at.reset();
  group.phase = BulkPhase::none;
  EXPECT_TRUE(judged.pass().is_healthy()) << "nobody is asked here, so nobody is missed";
  group.is_group = false;
  group.phase = BulkPhase::asked;
  EXPECT_EQ(judged.pass().reasons.front().trouble, Trouble::mute) << "one address that was configured";
}

/// A peer that comes back asks for what it hears of and does not know, until its bulk update is over, which takes no
/// time.
TEST(HealthVerdict, WhatAPeerAskedForBeforeItsBulkUpdateIsNoLoss) {
  for (const bool is_served : {false, true}) {
    Judged judged;
    for (int s = 0; s < 5; ++s) judged.pass();
    judged.facts.now += 1s;
    judged.peer().counts.missed_by_peer += 20;
    judged.peer().bulks_served += is_served;
    EXPECT_EQ(judged.look().is_healthy(), is_served);
    for (int s = 0; s < 5; ++s) judged.pass();
    EXPECT_EQ(judged.look().is_healthy(), is_served);
  }
}

/// What a peer asks for before it asks again looks like a loss for a moment.
TEST(HealthVerdict, ALossThatHasAnotherNameNowIsNone) {
  Judged judged;
  judged.pass();
  judged.pass();
  judged.pass();
  judged.facts.now += 1s;
  judged.peer().counts.missed_by_peer += 20;
  EXPECT_EQ(judged.look().reasons.front().trouble, Trouble::loss_out);
  judged.facts.now += 1s;
  judged.peer().counts.asked_again += 20;
  ASSERT_EQ(judged.look().reasons.size(), 1u);
  EXPECT_EQ(judged.look().reasons.front().trouble, Trouble::refused);
}

TEST(LossEstimate, CountsPacketsNotTheStatesInThem) {
  // 1000 packets of five states, of which ten were lost: the bounds are those of ten of a thousand.
  const LossEstimate loss = estimate_loss(4950, 990, 50, 60);
  EXPECT_NEAR(loss.percent, 1.0, 1e-9);
  EXPECT_NEAR(loss.low, 0.54, 0.01);
  EXPECT_NEAR(loss.high, 1.83, 0.01);
}

TEST(LossEstimate, HasBoundsWhereNothingWasLost) {
  const LossEstimate none = estimate_loss(300, 300, 0, 60);
  EXPECT_EQ(none.percent, 0);
  EXPECT_EQ(none.low, 0);
  EXPECT_NEAR(none.high, 1.26, 0.01);
  EXPECT_EQ(estimate_loss(0, 0, 0, 60).high, 0) << "nothing was told, so nothing is known";
}

/// Two nodes that did not reach each other for a while ask for what was opened meanwhile, once they do.
TEST(HealthVerdict, AfterASilenceWhatWasSaidInItIsNoLoss) {
  Judged judged;
  PeerCounts& counts = judged.peer().counts;
  const auto second = [&](std::uint64_t missed) -> const Health& {
    counts.inserts_sent += 20;
    counts.insert_packets_sent += 10;
    counts.missed_by_peer += missed;
    return judged.pass(20, 10, missed);
  };
  for (int s = 0; s < 30; ++s) ASSERT_TRUE(second(0).is_healthy());
  judged.node().silent_since = judged.facts.now;
  for (unsigned s = 1; s <= 15; ++s) {
    judged.node().unanswered = s;
    judged.pass();
  }
  ASSERT_EQ(judged.look().reasons.front().trouble, Trouble::mute);
  judged.node().heard_at = judged.node().heard_again_at = judged.facts.now;
  for (int s = 0; s < 6; ++s) {
    const Health& health = second(s < 3 ? 100 : 0);
    EXPECT_TRUE(health.is_healthy() || (health.reasons.size() == 1 && health.reasons.front().trouble == Trouble::mute))
        << s << ": " << health.reason;
    judged.node().unanswered = 0;
    judged.node().heard_at = judged.node().answered_at = judged.facts.now;
  }
  EXPECT_TRUE(judged.look().is_healthy()) << "it has answered for seconds: " << judged.look().reason;
  for (int s = 0; s < 60; ++s) EXPECT_TRUE(second(0).is_healthy()) << judged.look().reason;
}

TEST(HealthVerdict, WhoStillDoesNotAnswerAfterASilenceIsDeaf) {
  Judged judged;
  judged.node() = {.address = "10.0.0.2",
                   .heard_at = judged.facts.now,
                   .silent_since = judged.facts.now - 9s,
                   .heard_again_at = judged.facts.now,
                   .unanswered = 9};
  EXPECT_TRUE(judged.look().is_healthy()) << "it has just come back";
  judged.pass();
  judged.pass();
  EXPECT_EQ(judged.pass().reasons.front().trouble, Trouble::deaf);
}

TEST(HealthVerdict, AShareOfAHundredIsWrittenAsOne) {
  Judged judged;
  PeerCounts& counts = judged.peer().counts;
  for (int s = 0; s < 10; ++s) judged.pass();
  for (int s = 0; s < 4; ++s) {
    counts.inserts_sent += 50;
    counts.insert_packets_sent += 50;
    counts.missed_by_peer += 50;
    judged.pass();
  }
  ASSERT_FALSE(judged.look().is_healthy());
  EXPECT_NE(judged.look().reason.find("about 100 % ("), std::string::npos) << judged.look().reason;
}

}  // namespace
}  // namespace pfsync::engine
