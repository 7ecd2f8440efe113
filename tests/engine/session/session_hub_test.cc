// A session with several peers: what one says is passed on to the others.
#include "tests/engine/session/session_hub.h"
#include "engine/session/bulk_retry.h"

namespace pfsync::engine {
namespace {

TEST_F(Hub, PassesOnToTheOthersAndNeverBack) {
  make_hub();
  const wire::State state = tcp_state(1);
  state_from(0, state, t0);
  EXPECT_EQ(told(0, t0 + 1s), Told{});
  EXPECT_EQ(told(1, t0 + 1s), (Told{{Message::ins, 1}}));
  EXPECT_EQ(told(2, t0 + 1s), (Told{{Message::ins, 1}}));
  wire::Update update = update_of(state);
  update.src.seqlo += 10;
  update_from(1, update, t0 + 2s);
  EXPECT_EQ(told(0, t0 + 3s), (Told{{Message::upd_c, 1}}));
  EXPECT_EQ(told(1, t0 + 3s), Told{});
  EXPECT_EQ(told(2, t0 + 3s), (Told{{Message::upd_c, 1}}));
  id_from(2, Message::del_c, state.id, t0 + 4s);
  EXPECT_EQ(told(0, t0 + 5s), (Told{{Message::del_c, 1}}));
  EXPECT_EQ(told(1, t0 + 5s), (Told{{Message::del_c, 1}}));
  EXPECT_EQ(told(2, t0 + 5s), Told{});
  EXPECT_EQ(session->queued(), 0u);
}

TEST_F(Hub, IsNotCaughtUpWithAPeerThatFellSilentUntilItHasToldAllAgain) {
  make_hub(std::vector<PeerConfig>(1), true);
  const auto end_bulk = [&](Instant now) {
    from(0, now, [](wire::PacketWriter& writer) {
      ASSERT_TRUE(
          writer.append_bulk_status({.creatorid = peer_creatorid, .endtime_s = 0, .status = wire::BulkStatus::end}));
    });
  };
  session->start(t0);
  EXPECT_TRUE(session->is_catching_up());
  end_bulk(t0 + 1s);
  EXPECT_TRUE(session->is_caught_up());
  session->set_silent(0, t0 + 1s, t0 + 17s);
  EXPECT_TRUE(session->is_cut_off());
  EXPECT_FALSE(session->is_caught_up());
  EXPECT_EQ(session->silent_since(), t0 + 1s);
  const std::uint64_t asked = session->counters()[Tally::bulk_requests_out].value();
  session->set_silent(0, std::nullopt, t0 + 60s);
  EXPECT_EQ(session->counters()[Tally::bulk_requests_out].value(), asked + 1);
  EXPECT_FALSE(session->is_cut_off() || session->is_caught_up());
  EXPECT_FALSE(session->is_catching_up()) << "a master does not stand back for a peer that comes back empty";
  end_bulk(t0 + 61s);
  EXPECT_TRUE(session->is_caught_up());
}

TEST_F(Hub, OfWhomAllPeersAreSharedIsCaughtUpOnlyWhileItSpeaksWithThem) {
  make_hub(std::vector<PeerConfig>(1, {.is_shared = true}), true);
  session->start(t0);
  EXPECT_FALSE(session->is_caught_up()) << "it never led, and heard nothing";
  session->set_active(0, true, t0 + 1s);
  EXPECT_FALSE(session->is_caught_up());
  from(0, t0 + 2s, [](wire::PacketWriter& writer) {
    ASSERT_TRUE(
        writer.append_bulk_status({.creatorid = peer_creatorid, .endtime_s = 0, .status = wire::BulkStatus::end}));
  });
  EXPECT_TRUE(session->is_caught_up());
  session->set_active(0, false, t0 + 3s);
  EXPECT_FALSE(session->is_caught_up()) << "what is said to the other node is not heard here";
  EXPECT_FALSE(session->is_cut_off());
}

TEST_F(Hub, StandsBackForAPeerAskedAgainOnlyOnceItAnswers) {
  make_hub(std::vector<PeerConfig>(1), true);
  session->start(t0);
  for (int s = 0; s < 100; ++s) session->on_timeout(t0 + std::chrono::seconds{s});
  ASSERT_EQ(session->bulk().phase(), BulkPhase::failed);
  session->retry_bulk(0, t0 + 100s);
  EXPECT_FALSE(session->is_catching_up() || session->is_caught_up());
  from(0, t0 + 101s, [](wire::PacketWriter& writer) {
    ASSERT_TRUE(
        writer.append_bulk_status({.creatorid = peer_creatorid, .endtime_s = 0, .status = wire::BulkStatus::start}));
  });
  EXPECT_TRUE(session->is_catching_up());
}

TEST_F(Hub, AnOperatorAsksOneOfThePeers) {
  make_hub(std::vector<PeerConfig>(2), false);
  EXPECT_TRUE(session->request_bulk(1, t0));
  EXPECT_EQ(session->bulk(0).phase(), BulkPhase::none);
  EXPECT_EQ(session->bulk(1).phase(), BulkPhase::asked);
  EXPECT_TRUE(session->is_catching_up());
  EXPECT_FALSE(session->request_bulk(2, t0)) << "there is no such peer";
  session->set_active(0, false, t0);
  EXPECT_FALSE(session->request_bulk(0, t0)) << "another node speaks with it";
}

TEST(BulkRetry, ComesWithTheFirstPacketThenLessOften) {
  using enum BulkPhase;
  BulkRetry retry;
  EXPECT_FALSE(retry.is_due(asked, {}, t0));
  EXPECT_FALSE(retry.is_due(failed, {}, t0));
  EXPECT_FALSE(retry.is_due(failed, {}, t0 + 300s)) << "nobody is there";
  EXPECT_TRUE(retry.is_due(failed, t0 + 301s, t0 + 301s)) << "at the first packet";
  EXPECT_FALSE(retry.is_due(failed, t0 + 305s, t0 + 305s));
  EXPECT_FALSE(retry.is_due(asked, t0 + 305s, t0 + 306s)) << "asked";
  EXPECT_FALSE(retry.is_due(failed, t0 + 305s, t0 + 370s));
  EXPECT_FALSE(retry.is_due(failed, t0 + 379s, t0 + 379s));
  EXPECT_TRUE(retry.is_due(failed, t0 + 379s, t0 + 380s));
  EXPECT_FALSE(retry.is_due(done, t0 + 381s, t0 + 381s));
  EXPECT_FALSE(retry.is_due(failed, t0 + 381s, t0 + 500s));
  EXPECT_TRUE(retry.is_due(failed, t0 + 501s, t0 + 505s)) << "soon again";
}

/// One peer has sent all that it has, the other speaks and answers no request.
TEST_F(Hub, AsksAPeerThatNeverAnswersEverLessOftenWhateverAnotherHasSent) {
  make_hub(std::vector<PeerConfig>(2), true);
  from(0, t0 + 1s, [](wire::PacketWriter& writer) {
    ASSERT_TRUE(
        writer.append_bulk_status({.creatorid = peer_creatorid, .endtime_s = 1, .status = wire::BulkStatus::end}));
  });
  std::array<BulkRetry, 2> retries;
  std::vector<Instant> failed, asked_again;
  for (Instant now = t0 + 2s; now < t0 + 1200s; now += 1s) {
    update_from(1, update_of(tcp_state(1)), now);
    const BulkPhase before = session->bulk(1).phase();
    session->on_timeout(now);
    if (before != BulkPhase::failed && session->bulk(1).phase() == BulkPhase::failed) failed.push_back(now);
    for (unsigned peer = 0; peer < 2; ++peer)
      if (retries[peer].is_due(session->bulk(peer).phase(), session->heard_at(peer), now)) {
        ASSERT_EQ(peer, 1u);
        session->retry_bulk(peer, now);
        asked_again.push_back(now);
      }
  }
  EXPECT_EQ(session->bulk(0).phase(), BulkPhase::done) << "it is not asked again";
  ASSERT_GE(asked_again.size(), 5u);
  constexpr std::array waits{5s, 10s, 20s, 40s, 60s};
  for (std::size_t i = 0; i < waits.size(); ++i) EXPECT_EQ(asked_again[i], failed[i] + waits[i]) << i;
}

/// It has come up since its peers heard of a state, which a bulk update brings and which ends at once.
TEST_F(Hub, PassesOnTheEndOfAStateThatItsPeersMayHaveHeardOfBefore) {
  make_hub();
  state_from(0, tcp_state(1), t0, Message::upd);
  id_from(0, Message::del_c, tcp_state(1).id, t0);
  EXPECT_EQ(told(1, t0 + 2s), (Told{{Message::del_c, 1}}));
  state_from(0, tcp_state(2), t0 + 3s, Message::ins);
  id_from(0, Message::del_c, tcp_state(2).id, t0 + 3s);
  EXPECT_EQ(told(1, t0 + 5s), Told{}) << "a new one, of which nobody else can have told";
}

TEST_F(Hub, TellsAPeerNothingThatItHasSaidItself) {
  make_hub();
  wire::State state = tcp_state(1);
  state_from(0, state, t0);
  for (unsigned peer = 0; peer < 3; ++peer) told(peer, t0 + 1s);
  const auto next = [&] {
    state.src.seqlo += 10;
    state.src.seqhi += 10;
    return update_of(state);
  };
  update_from(0, next(), t0 + 2s);
  update_from(1, next(), t0 + 2s);  // before the hub has told it the other
  EXPECT_EQ(told(0, t0 + 3s), (Told{{Message::upd_c, 1}}));
  EXPECT_EQ(told(1, t0 + 3s), Told{});
  EXPECT_EQ(told(2, t0 + 3s), (Told{{Message::upd_c, 1}}));
  // What it has said a part of only, it is told.
  wire::Update half = next();
  update_from(0, half, t0 + 4s);
  half.src.seqlo -= 5;
  half.dst.seqlo += 10;
  half.dst.seqhi += 10;
  update_from(1, half, t0 + 4s);
  EXPECT_EQ(told(1, t0 + 5s), (Told{{Message::upd_c, 1}}));
}

TEST_F(Hub, PassesNothingOnThatIsNotNew) {
  make_hub();
  const wire::State state = tcp_state(1);
  state_from(0, state, t0);
  for (unsigned peer = 0; peer < 3; ++peer) told(peer, t0 + 1s);
  state_from(1, state, t0 + 2s);                 // it is here
  update_from(1, update_of(state), t0 + 2s);     // as it is
  id_from(1, Message::del_c, {99, 1}, t0 + 2s);  // there is none
  from(1, t0 + 2s, [](wire::PacketWriter& writer) { ASSERT_TRUE(writer.append_clear({{}, 0x77777777})); });
  EXPECT_EQ(session->queued(), 0u);
  // Removed a moment ago: what another peer still says of it does not bring it back.
  id_from(0, Message::del_c, state.id, t0 + 3s);
  for (unsigned peer = 0; peer < 3; ++peer) told(peer, t0 + 4s);
  state_from(1, state, t0 + 4s);
  update_from(2, update_of(state), t0 + 4s);
  EXPECT_EQ(session->queued(), 0u);
  EXPECT_EQ(table->size(), 0u);
}

TEST_F(Hub, KeepsAConnectionAliveWhosePacketsChangeNothing) {
  make_hub();
  wire::State state = udp_state(1);
  state.src.state = state.dst.state = 2;
  state.timeout = pftm::udp_multiple;  // 60 seconds
  state_from(0, state, t0);
  std::size_t refreshes = 0;
  for (int second = 1; second <= 60; ++second) {
    update_from(0, update_of(state), t0 + std::chrono::seconds{second});
    for (const auto& [message, id] : told(1, t0 + std::chrono::seconds{second})) refreshes += message == Message::upd_c;
  }
  EXPECT_GE(refreshes, 15u);  // often enough
  EXPECT_LE(refreshes, 25u);  // yet not each
  EXPECT_EQ(told(0, t0 + 70s), Told{});
}

TEST_F(Hub, DoesNotTakeABulkUpdateForTraffic) {
  make_hub();
  wire::State state = udp_state(1);
  state.src.state = state.dst.state = 2;
  state.timeout = pftm::udp_multiple;
  state_from(0, state, t0);
  for (unsigned peer = 0; peer < 3; ++peer) told(peer, t0 + 1s);
  for (int second = 10; second <= 60; second += 10)
    state_from(1, state, t0 + std::chrono::seconds{second}, Message::upd);
  for (unsigned peer = 0; peer < 3; ++peer) EXPECT_EQ(told(peer, t0 + 70s), Told{}) << peer;
}

TEST_F(Hub, AnswersTheOneWhoAskedOrIsBehind) {
  make_hub();
  const wire::State state = tcp_state(1);
  state_from(0, state, t0);
  for (unsigned peer = 0; peer < 3; ++peer) told(peer, t0 + 1s);
  id_from(1, Message::upd_req, state.id, t0 + 2s);
  EXPECT_EQ(told(0, t0 + 2s), Told{});
  EXPECT_EQ(told(1, t0 + 2s), (Told{{Message::upd, 1}}));
  wire::Update old = update_of(state);
  old.src.seqlo -= 10;
  old.dst.seqlo -= 10;
  update_from(2, old, t0 + 3s);
  EXPECT_EQ(told(2, t0 + 3s), (Told{{Message::upd_c, 1}}));
  EXPECT_EQ(told(0, t0 + 5s), Told{});
  EXPECT_EQ(told(1, t0 + 5s), Told{});
  update_from(2, update_of(tcp_state(7)), t0 + 6s);  // unknown here
  EXPECT_EQ(told(2, t0 + 6s), (Told{{Message::upd_req, 7}}));
  EXPECT_EQ(session->queued(), 0u);
}

TEST_F(Hub, PassesOnAtOnceWhatSomebodyWaitsFor) {
  make_hub();
  wire::State state = tcp_state(1);
  state.state_flags |= wire::state_flag::ack;
  state_from(0, state, t0);
  EXPECT_EQ(told(0, t0), (Told{{Message::ins_ack, 1}}));
  EXPECT_EQ(told(1, t0), (Told{{Message::ins, 1}}));
}

TEST_F(Hub, PassesAClearOnInFrontOfWhatFollowedIt) {
  make_hub();
  for (std::uint64_t id = 1; id <= 3; ++id) state_from(0, tcp_state(id), t0);
  for (unsigned peer = 0; peer < 3; ++peer) told(peer, t0 + 1s);
  from(0, t0 + 2s, [](wire::PacketWriter& writer) { ASSERT_TRUE(writer.append_clear({{}, peer_creatorid})); });
  state_from(0, tcp_state(4), t0 + 2s);
  EXPECT_EQ(told(0, t0 + 3s), Told{});
  EXPECT_EQ(told(1, t0 + 3s), (Told{{Message::clr, 0}, {Message::ins, 4}}));
  EXPECT_EQ(table->size(), 1u);
}

TEST_F(Hub, AClearOfOneInterfaceIsSaidToThoseWhoTakeItForThat) {
  make_hub({{Dialect::freebsd_1301, true, nullptr},
            {Dialect::freebsd_1301, false, nullptr},
            {Dialect::freebsd_1400, false, nullptr},
            {Dialect::freebsd_1500, false, nullptr},
            {Dialect::openbsd, false, nullptr}});
  for (std::uint64_t id = 1; id <= 4; ++id) {
    wire::State state = tcp_state(id);
    state.ifname = wire::InterfaceName{id <= 2 ? "em0" : "em1"};
    state_from(0, state, t0);
  }
  for (unsigned peer = 0; peer < 5; ++peer) told(peer, t0 + 1s);
  from(0, t0 + 2s, [](wire::PacketWriter& writer) {
    ASSERT_TRUE(writer.append_clear({wire::InterfaceName{"em0"}, peer_creatorid}));
  });
  EXPECT_EQ(table->size(), 2u);
  const Told deletes{{Message::del_c, 1}, {Message::del_c, 2}}, clear{{Message::clr, 0}};
  EXPECT_EQ(told(0, t0 + 2s), Told{});
  EXPECT_EQ(told(1, t0 + 2s), deletes) << "it would remove all four";
  EXPECT_EQ(told(2, t0 + 2s), deletes);
  EXPECT_EQ(told(3, t0 + 2s), clear);
  EXPECT_EQ(told(4, t0 + 2s), clear);
}

TEST_F(Hub, SpeaksToEachPeerInItsOwnDialect) {
  make_hub({{Dialect::freebsd_1301, true, nullptr},
            {Dialect::freebsd_1301, true, nullptr},
            {Dialect::freebsd_1301, true, nullptr}});
  from(
      1, t0, [](wire::PacketWriter& writer) { ASSERT_TRUE(writer.append_state(Message::ins, tcp_state(1))); },
      Dialect::openbsd);
  from(
      2, t0, [](wire::PacketWriter& writer) { ASSERT_TRUE(writer.append_state(Message::ins, tcp_state(2))); },
      Dialect::freebsd_1500);
  EXPECT_EQ(session->dialect(0).in_use(), Dialect::freebsd_1301);
  EXPECT_EQ(session->dialect(1).in_use(), Dialect::openbsd);
  EXPECT_EQ(session->dialect(2).in_use(), Dialect::freebsd_1500);
  EXPECT_EQ(told(0, t0 + 1s), (Told{{Message::ins, 1}, {Message::ins, 2}}));
  EXPECT_EQ(told(1, t0 + 1s), (Told{{Message::ins, 2}}));
  EXPECT_EQ(told(2, t0 + 1s), (Told{{Message::ins, 1}}));
  EXPECT_EQ(count(Tally::not_understood), 0u);
}

TEST_F(Hub, AsksEveryPeerForABulkAndServesTheOneThatAsks) {
  make_hub(std::vector<PeerConfig>(3), true);
  for (unsigned peer = 0; peer < 3; ++peer) EXPECT_EQ(told(peer, t0), (Told{{Message::upd_req, 0}}));
  from(1, t0 + 1s, [](wire::PacketWriter& writer) {
    ASSERT_TRUE(
        writer.append_bulk_status({.creatorid = peer_creatorid, .endtime_s = 0, .status = wire::BulkStatus::start}));
  });
  state_from(1, tcp_state(1), t0 + 1s, Message::upd);
  from(1, t0 + 1s, [](wire::PacketWriter& writer) {
    ASSERT_TRUE(
        writer.append_bulk_status({.creatorid = peer_creatorid, .endtime_s = 0, .status = wire::BulkStatus::end}));
  });
  EXPECT_EQ(session->bulk(0).phase(), BulkPhase::asked);
  EXPECT_EQ(session->bulk(1).phase(), BulkPhase::done);
  EXPECT_EQ(session->bulk(1).states(), 1u);
  id_from(2, Message::upd_req, wire::bulk_request_id, t0 + 2s);
  EXPECT_FALSE(session->take_bulk_request(0));
  EXPECT_FALSE(session->take_bulk_request(1));
  EXPECT_TRUE(session->take_bulk_request(2));
}

TEST_F(Hub, TellsEveryPeerOfStatesOfItsOwn) {
  make_hub();
  ASSERT_EQ(session->insert(tcp_state(1, own_creatorid), t0), Session::Local::done);
  for (unsigned peer = 0; peer < 3; ++peer) EXPECT_EQ(told(peer, t0 + 1s), (Told{{Message::ins, 1}}));
  ASSERT_EQ(session->erase({1, own_creatorid}, t0 + 2s), Session::Local::done);
  for (unsigned peer = 0; peer < 3; ++peer) EXPECT_EQ(told(peer, t0 + 3s), (Told{{Message::del_c, 1}}));
}

TEST_F(Hub, ABulkUpdateDoesNotBringBackWhatAnotherPeerSaidHasEnded) {
  make_hub();
  const wire::State state = tcp_state(1);
  id_from(0, Message::del_c, state.id, t0);  // never heard of: this node has only just come up
  state_from(1, state, t0 + 1s, Message::upd);
  EXPECT_EQ(table->size(), 0u);
  EXPECT_EQ(count(Tally::removed_before), 1u);
}

// --- peers that another node may be the one to speak with ---------------------------------------------

class SharedPeer : public Hub {
 protected:
  static constexpr unsigned other = 0, shared = 1;
  void make_pair(bool request_bulk = false) {
    std::vector<PeerConfig> peers(2);
    peers[shared].is_shared = true;
    make_hub(std::move(peers), request_bulk);
  }
  /// Time passes in small steps, as it does for a daemon.
  void wait(Instant from, Instant until) {
    for (Instant now = from; now <= until; now += 100ms)
      if (now >= session->timeout(now)) session->on_timeout(now);
  }
};

TEST_F(SharedPeer, IsToldNothingWhileAnotherNodeSpeaksWithIt) {
  make_pair(true);
  EXPECT_EQ(told(other, t0), (Told{{Message::upd_req, 0}}));
  state_from(other, tcp_state(1), t0);
  id_from(other, Message::upd_req, wire::bulk_request_id, t0);
  id_from(shared, Message::upd_req, wire::bulk_request_id, t0);
  update_from(shared, update_of(tcp_state(2)), t0);  // of an unknown state: no question either
  EXPECT_EQ(told(shared, t0 + 2s), Told{});
  EXPECT_TRUE(session->take_bulk_request(other));
  EXPECT_FALSE(session->take_bulk_request(shared));
  EXPECT_EQ(session->queued(), 0u);
  EXPECT_FALSE(session->is_active(shared));
  EXPECT_EQ(session->bulk(shared).phase(), BulkPhase::none);
}

TEST_F(SharedPeer, IsToldWhatWasLatelySaidWhenItsNodeFallsSilent) {
  make_pair();
  for (const std::uint64_t id : {1, 2, 3}) state_from(other, tcp_state(id), t0);
  wait(t0, t0 + 20s);
  for (const std::uint64_t id : {4, 5}) state_from(other, tcp_state(id), t0 + 20s);
  wire::State moved = tcp_state(2);
  moved.src.seqlo += 1000;
  update_from(other, update_of(moved), t0 + 20s);
  id_from(other, Message::del_c, tcp_state(3).id, t0 + 20s);
  wait(t0 + 20s, t0 + 24s);
  session->set_active(shared, true, t0 + 24s);
  // 4 and 5 are new, 2 moved, 3 ended; of 1 nothing was said for long.
  EXPECT_EQ(told(shared, t0 + 24s),
            (Told{{Message::ins, 4}, {Message::ins, 5}, {Message::upd_c, 2}, {Message::del_c, 3}}));
}

TEST_F(SharedPeer, WhatIsSaidAgainAndAgainIsHeldFromTheLastTimeOn) {
  make_pair();
  wire::State state = tcp_state(1);
  state_from(other, state, t0);
  for (auto at = t0; at <= t0 + 30s; at += 1s) {
    state.src.seqlo += 1000;
    update_from(other, update_of(state), at);
    wait(at, at + 900ms);
  }
  session->set_active(shared, true, t0 + 31s);
  EXPECT_EQ(told(shared, t0 + 31s), (Told{{Message::ins, 1}}));
}

TEST_F(SharedPeer, IsToldOfTheEndOfAStateThatTheOtherNodeMayHaveToldItOf) {
  make_pair();
  for (const std::uint64_t id : {1, 2}) state_from(other, tcp_state(id), t0);
  id_from(other, Message::del_c, tcp_state(1).id, t0 + 1s);  // while standing by
  session->set_active(shared, true, t0 + 2s);
  id_from(other, Message::del_c, tcp_state(2).id, t0 + 2s);  // before anything was sent
  state_from(other, tcp_state(3), t0 + 2s);
  id_from(other, Message::del_c, tcp_state(3).id, t0 + 2s);  // heard of by nobody but us
  EXPECT_EQ(told(shared, t0 + 2s), (Told{{Message::del_c, 1}, {Message::del_c, 2}}));
}

TEST_F(SharedPeer, HoldsNothingForLong) {
  make_pair();
  for (std::uint64_t id = 1; id <= 50; ++id) state_from(other, tcp_state(id), t0);
  for (std::uint64_t id = 1; id <= 10; ++id) id_from(other, Message::del_c, tcp_state(id).id, t0);
  from(other, t0, [](wire::PacketWriter& writer) { ASSERT_TRUE(writer.append_clear({{}, peer_creatorid + 1})); });
  wait(t0, t0 + 2 * Outbox::held + 1s);
  session->set_active(shared, true, t0 + 12s);
  EXPECT_EQ(told(shared, t0 + 14s), Told{});
}

TEST_F(SharedPeer, IsAskedForEverythingByTheNodeThatTakesOverWithoutStandingBack) {
  make_pair(true);
  EXPECT_TRUE(session->is_catching_up());
  from(other, t0, [](wire::PacketWriter& writer) {
    ASSERT_TRUE(writer.append_bulk_status({1, 0, wire::BulkStatus::start}));
  });
  from(other, t0, [](wire::PacketWriter& writer) {
    ASSERT_TRUE(writer.append_bulk_status({1, 0, wire::BulkStatus::end}));
  });
  EXPECT_FALSE(session->is_catching_up());
  session->set_active(shared, true, t0 + 1s);
  EXPECT_EQ(told(shared, t0 + 1s), (Told{{Message::upd_req, 0}}));
  EXPECT_EQ(session->bulk(shared).phase(), BulkPhase::asked);
  EXPECT_FALSE(session->is_catching_up());  // it would give the address away again
  session->request_bulk(t0 + 2s);           // now an operator asks
  EXPECT_TRUE(session->is_catching_up());
  session->set_active(shared, false, t0 + 3s);
  EXPECT_EQ(session->bulk(shared).phase(), BulkPhase::none);
  EXPECT_EQ(session->bulk(other).phase(), BulkPhase::asked);
  EXPECT_EQ(told(shared, t0 + 5s), Told{});
}

}  // namespace
}  // namespace pfsync::engine
