// What is announced of which states: sync.rule.
#include "engine/session/bulk_sender.h"
#include "tests/engine/session/session_hub.h"

namespace pfsync::engine {
namespace {

using Action = SyncRule::Action;

class Rules : public Hub {
 protected:
  static constexpr SyncRule no_udp{.action = Action::skip, .proto = wire::ipproto::udp};
  static constexpr SyncRule after_10s{.action = Action::delay, .age_s = 10};

  void make_ruled(std::vector<SyncRule> rules, std::size_t peers = 1) {
    SessionConfig config;
    config.peers.resize(peers);
    config.request_bulk = false;
    config.expire = false;
    config.sync_rules = std::move(rules);
    make(config, nullptr, 4000);
  }
  /// Turns until there is nothing to do now, then what a peer is told by `now` plus the longest wait for a packet.
  Told told_after_turns(Instant now, unsigned peer = 0) {
    for (int turns = 0; session->timeout(now) <= now; ++turns) {
      EXPECT_LT(turns, 100);
      session->on_timeout(now);
      session->push();
      if (session->queued() > 0) break;
    }
    session->push();
    return told(peer, now);
  }
  [[nodiscard]] std::size_t in_a_bulk(Instant now) {
    BulkSender sender{{.states_per_s = 0}, *table};
    sender.start(now);
    std::vector<std::uint8_t> room(1480);
    while (sender.transmit(room, now) > 0) {
    }
    return sender.states_sent();
  }
};

TEST_F(Rules, NothingIsSaidOfAStateThatIsSkipped) {
  make_ruled({no_udp});
  ASSERT_EQ(session->insert(udp_state(1, 0), t0), Session::Local::done);
  ASSERT_EQ(session->insert(tcp_state(2, 0), t0), Session::Local::done);
  EXPECT_EQ(told_after_turns(t0 + 1s), (Told{{Message::ins, 2}}));
  EXPECT_EQ(count(Tally::sync_skipped), 1u);
  EXPECT_EQ(in_a_bulk(t0 + 1s), 1u);
  wire::Update update = update_of(udp_state(1, own_creatorid));
  update.src.state = 2;
  ASSERT_EQ(session->update(update, t0 + 1s), Session::Local::done);
  id_from(0, Message::upd_req, {1, own_creatorid}, t0 + 1s);
  EXPECT_EQ(told_after_turns(t0 + 2s), Told{});
  ASSERT_EQ(session->erase({1, own_creatorid}, t0 + 2s), Session::Local::done);
  EXPECT_EQ(told_after_turns(t0 + 4s), Told{});
  EXPECT_EQ(count(Tally::sync_short), 0u);
}

TEST_F(Rules, TheFirstThatMatchesDecides) {
  const SyncRule to_80{.action = Action::sync, .port = {{80, 80}}};
  make_ruled({to_80, no_udp});
  ASSERT_EQ(session->insert(udp_state(1, 0), t0), Session::Local::done);
  EXPECT_EQ(told_after_turns(t0 + 1s), (Told{{Message::ins, 1}}));
  make_ruled({no_udp, to_80});
  ASSERT_EQ(session->insert(udp_state(1, 0), t0), Session::Local::done);
  EXPECT_EQ(told_after_turns(t0 + 1s), Told{});
}

TEST_F(Rules, AYoungStateIsAnnouncedOnceItIsOldEnough) {
  make_ruled({after_10s});
  ASSERT_EQ(session->insert(tcp_state(1, 0), t0), Session::Local::done);
  EXPECT_EQ(session->timeout(t0), t0 + 10s);
  wire::Update update = update_of(tcp_state(1, own_creatorid));
  update.src.seqlo += 1;
  ASSERT_EQ(session->update(update, t0 + 1s), Session::Local::done);
  EXPECT_EQ(told_after_turns(t0 + 10s - 1ns), Told{});
  EXPECT_EQ(in_a_bulk(t0 + 9s), 0u);
  EXPECT_EQ(told_after_turns(t0 + 10s), (Told{{Message::ins, 1}}));
  EXPECT_EQ(in_a_bulk(t0 + 10s), 1u);
  EXPECT_EQ(session->timeout(t0 + 10s), Instant::max());
  update.src.seqlo += 1;
  ASSERT_EQ(session->update(update, t0 + 11s), Session::Local::done);
  EXPECT_EQ(told_after_turns(t0 + 12s), (Told{{Message::upd_c, 1}}));
  ASSERT_EQ(session->erase({1, own_creatorid}, t0 + 13s), Session::Local::done);
  EXPECT_EQ(told_after_turns(t0 + 14s), (Told{{Message::del_c, 1}}));
  EXPECT_EQ(count(Tally::sync_short), 0u);
}

TEST_F(Rules, AShortConnectionIsNeverHeardOf) {
  make_ruled({{.action = Action::delay, .proto = wire::ipproto::tcp, .age_s = 10}});
  ASSERT_EQ(session->insert(tcp_state(1, 0), t0), Session::Local::done);
  ASSERT_EQ(session->erase({1, own_creatorid}, t0 + 5s), Session::Local::done);
  EXPECT_EQ(count(Tally::sync_short), 1u);
  ASSERT_EQ(session->insert(udp_state(2, 0), t0 + 6s), Session::Local::done);  // in the same slot
  EXPECT_EQ(told_after_turns(t0 + 7s), (Told{{Message::ins, 2}}));
  EXPECT_EQ(told_after_turns(t0 + 20s), Told{});
  ASSERT_EQ(session->erase({2, own_creatorid}, t0 + 21s), Session::Local::done);
  EXPECT_EQ(told_after_turns(t0 + 22s), (Told{{Message::del_c, 2}}));
  EXPECT_EQ(count(Tally::sync_short), 1u);
}

TEST_F(Rules, AStateThatIsClearedNoLongerWaits) {
  make_ruled({after_10s});
  ASSERT_EQ(session->insert(tcp_state(1, 0), t0), Session::Local::done);
  EXPECT_EQ(session->flush({}, t0 + 1s), 1u);
  EXPECT_EQ(count(Tally::sync_short), 1u);
  EXPECT_EQ(told_after_turns(t0 + 2s), (Told{{Message::clr, 0}}));
  EXPECT_EQ(told_after_turns(t0 + 20s), Told{});
}

TEST_F(Rules, AHubHoldsBackWhatItPassesOn) {
  make_ruled({after_10s}, 3);
  state_from(0, tcp_state(1), t0);
  state_from(0, tcp_state(2), t0);
  wire::State old = tcp_state(3);
  old.creation_s = 10;
  state_from(0, old, t0);
  EXPECT_EQ(told_after_turns(t0 + 1s, 1), (Told{{Message::ins, 3}}));
  id_from(0, Message::del_c, {2, peer_creatorid}, t0 + 2s);
  EXPECT_EQ(count(Tally::sync_short), 1u);
  told(2, t0 + 3s);
  EXPECT_EQ(told_after_turns(t0 + 10s, 0), Told{}) << "it said so itself";
  EXPECT_EQ(told_after_turns(t0 + 10s, 1), (Told{{Message::ins, 1}}));
  EXPECT_EQ(told_after_turns(t0 + 10s, 2), (Told{{Message::ins, 1}}));
}

TEST_F(Rules, ToTheOnlyPeerItsOwnStatesAreNoNews) {
  make_ruled({after_10s});
  state_from(0, tcp_state(1), t0);
  EXPECT_EQ(session->timeout(t0), Instant::max());
  EXPECT_EQ(in_a_bulk(t0 + 1s), 1u) << "it may have lost them";
  wire::Update update = update_of(tcp_state(1));
  update.src.seqlo += 1;
  ASSERT_EQ(session->update(update, t0 + 1s), Session::Local::done);  // the connection is ours now
  EXPECT_EQ(told_after_turns(t0 + 2s), (Told{{Message::upd_c, 1}}));
}

TEST_F(Rules, ABulkUpdateBringsWhatIsJudgedToo) {
  make_ruled({no_udp, after_10s}, 2);
  state_from(0, udp_state(1), t0, Message::upd);
  state_from(0, tcp_state(2), t0, Message::upd);
  EXPECT_EQ(count(Tally::sync_skipped), 1u);
  EXPECT_EQ(in_a_bulk(t0), 0u);
  EXPECT_EQ(told_after_turns(t0 + 10s, 1), (Told{{Message::ins, 2}}));
}

TEST_F(Rules, OfNoSyncStatesAreNotAsked) {
  make_ruled({no_udp, after_10s});
  wire::State state = udp_state(1, 0);
  state.state_flags |= wire::state_flag::nosync;
  ASSERT_EQ(session->insert(state, t0), Session::Local::done);
  EXPECT_EQ(count(Tally::sync_skipped), 0u);
  state = tcp_state(2, 0);
  state.state_flags |= wire::state_flag::nosync;
  ASSERT_EQ(session->insert(state, t0), Session::Local::done);
  EXPECT_EQ(told_after_turns(t0 + 20s), Told{});
}

TEST_F(Rules, ABurstThatIsDueTogetherIsReleasedInParts) {
  make_ruled({after_10s});
  for (std::uint64_t id = 1; id <= 3000; ++id) ASSERT_EQ(session->insert(tcp_state(id, 0), t0), Session::Local::done);
  EXPECT_EQ(session->queued(), 0u);
  session->on_timeout(t0 + 10s);
  EXPECT_EQ(session->queued(), 1024u);
  EXPECT_LE(session->timeout(t0 + 10s), t0 + 10s);
  session->on_timeout(t0 + 10s);
  session->on_timeout(t0 + 10s);
  EXPECT_EQ(session->queued(), 3000u);
}

TEST_F(Rules, AStateThatExpiresWhileItWaitsIsShort) {
  SessionConfig config;
  config.request_bulk = false;
  config.sync_rules = {{.action = Action::delay, .age_s = 60}};
  make(config);
  ASSERT_EQ(session->insert(udp_state(1, 0), t0), Session::Local::done);  // ends after 30 seconds
  for (int second = 1; second < 70; ++second) {
    session->on_timeout(t0 + std::chrono::seconds{second});
    EXPECT_EQ(session->queued(), 0u);
  }
  EXPECT_EQ(table->size(), 0u);
  EXPECT_EQ(count(Tally::sync_short), 1u);
}

TEST_F(Rules, NameInterfacesInOurWords) {
  SessionConfig config;
  config.peers.resize(2);
  ASSERT_EQ(config.peers[0].interfaces.add(wire::InterfaceName{"lan"}, wire::InterfaceName{"igb0"}),
            InterfaceMap::Added::yes);
  config.request_bulk = false;
  config.sync_rules = {{.action = Action::skip, .interface = wire::InterfaceName{"lan"}}};
  make(config);
  wire::State state = tcp_state(1);
  state.ifname = wire::InterfaceName{"igb0"};
  state_from(0, state, t0);
  state.id.id = 2;
  state.ifname = wire::InterfaceName{"lan"};
  state_from(1, state, t0);
  EXPECT_EQ(count(Tally::sync_skipped), 2u);
  EXPECT_EQ(session->queued(), 0u);
}

}  // namespace
}  // namespace pfsync::engine
