#include <set>

#include "tests/engine/session/session_fixture.h"

namespace pfsync::engine {
namespace {

TEST_F(SessionTest, InsertEntersTheState) {
  make_quiet();
  const wire::State state = tcp_state(1);
  receive_state(Message::ins, state);
  ASSERT_TRUE(held(state.id));
  EXPECT_EQ(statetable::to_state(held(state.id)->hot, held(state.id)->cold, statetable::to_seconds(t0)), state);
  EXPECT_EQ(count(Tally::inserts), 1u);
}

TEST_F(SessionTest, InsertOfAKnownStateChangesNothing) {
  make_quiet();
  wire::State state = tcp_state(1);
  receive_state(Message::ins, state);
  state.src.seqlo = 9999;
  receive_state(Message::ins, state);
  EXPECT_EQ(held(state.id)->hot.src.seqlo, 1000u);
  EXPECT_EQ(count(Tally::insert_exists), 1u);
}

TEST_F(SessionTest, InsertOutOfRangeIsBadval) {
  make_quiet();
  for (const auto& spoil : std::vector<void (*)(wire::State&)>{
           [](wire::State& s) { s.timeout = pftm_max; }, [](wire::State& s) { s.src.state = 13; },
           [](wire::State& s) { s.dst.state = 13; }, [](wire::State& s) { s.direction = wire::Direction{3}; },
           [](wire::State& s) { s.af = wire::Family::none; }}) {
    const std::uint64_t before = count(Reject::badval);
    wire::State state = tcp_state(1);
    spoil(state);
    receive_state(Message::ins, state);
    EXPECT_EQ(count(Reject::badval), before + 1);
  }
  EXPECT_EQ(table->size(), 0u);
}

TEST_F(SessionTest, ABadMessageDoesNotStopItsSection) {
  make_quiet();
  receive(t0, [](wire::PacketWriter& writer) {
    wire::State bad = tcp_state(1);
    bad.timeout = 200;
    ASSERT_TRUE(writer.append_state(Message::ins, bad));
    ASSERT_TRUE(writer.append_state(Message::ins, tcp_state(2)));
  });
  EXPECT_EQ(table->size(), 1u);
  EXPECT_EQ(count(Reject::badval), 1u);
}

TEST_F(SessionTest, CreatoridZeroIsRefused) {
  make_quiet();
  receive_state(Message::ins, tcp_state(1, 0));
  receive_state(Message::upd, tcp_state(2, 0));
  EXPECT_EQ(table->size(), 0u);
  EXPECT_EQ(count(Reject::badstate), 2u);
}

TEST_F(SessionTest, InsertWithTheAckFlagIsAcknowledgedAtOnce) {
  make_quiet();
  wire::State state = tcp_state(1);
  state.state_flags = wire::state_flag::ack;
  receive_state(Message::ins, state);
  const auto messages = said(t0);
  ASSERT_EQ(messages.size(), 1u);
  EXPECT_EQ(messages[0].message, Message::ins_ack);
  EXPECT_EQ(messages[0].id, state.id);
  EXPECT_EQ(held(state.id)->hot.state_flags, 0u);
}

TEST_F(SessionTest, AFullUpdateThatBringsAStateWithTheAckFlagIsAcknowledgedToo) {
  make_quiet();
  wire::State state = tcp_state(1);
  state.state_flags = wire::state_flag::ack;
  receive_state(Message::upd, state);
  auto messages = said(t0);
  ASSERT_EQ(messages.size(), 1u);
  EXPECT_EQ(messages[0].message, Message::ins_ack);
  receive_state(Message::upd, state, t0 + 1s);
  EXPECT_TRUE(said(t0 + 3s).empty()) << "nobody asks twice";
}

TEST_F(SessionTest, AReceivedChangeIsNeverAnnouncedAgain) {
  make_quiet();
  receive_state(Message::ins, tcp_state(1));
  receive_update(update_of(tcp_state(1)));
  receive_id(Message::del_c, tcp_state(1).id);
  session->on_timeout(t0 + 5s);
  EXPECT_TRUE(said(t0 + 5s).empty());
}

TEST_F(SessionTest, ARemovedStateIsNotBroughtBackByLateMessages) {
  make_quiet();
  const wire::State state = tcp_state(1);
  receive_state(Message::ins, state);
  receive_id(Message::del_c, state.id);
  receive_state(Message::ins, state, t0 + 1s);
  receive_state(Message::upd, state, t0 + 2s);
  receive_update(update_of(state), t0 + 3s);
  EXPECT_EQ(table->size(), 0u);
  EXPECT_EQ(count(Tally::removed_before), 3u);
  EXPECT_TRUE(said(t0 + 3s).empty()) << "nor is it asked for";
  // Whoever still speaks of it much later means it.
  receive_state(Message::upd, state, t0 + 12s);
  EXPECT_EQ(table->size(), 1u);
}

TEST_F(SessionTest, AnOwnStateThatEndedIsNotBroughtBackByABulkFrameOnItsWay) {
  make_quiet();
  const wire::State killed = tcp_state(1, own_creatorid), ended = udp_state(2, own_creatorid);
  session->insert(killed, t0);
  session->insert(ended, t0);
  EXPECT_EQ(session->erase(killed.id, t0 + 1s), Session::Local::done);
  for (Instant now = t0; now < t0 + 40s; now += 100ms) session->on_timeout(now);
  ASSERT_EQ(count(Tally::expired), 1u);
  receive_state(Message::upd, ended, t0 + 40s);
  EXPECT_EQ(table->size(), 0u);
  EXPECT_EQ(count(Tally::removed_before), 1u);
}

TEST_F(SessionTest, AnIdThatIsUsedAgainHereIsNotLate) {
  make_quiet();
  const wire::State state = tcp_state(1, own_creatorid);
  session->insert(state, t0);
  session->erase(state.id, t0);
  session->insert(state, t0);
  receive_state(Message::ins, state, t0);
  EXPECT_EQ(count(Tally::insert_exists), 1u);
  session->erase(state.id, t0);
  EXPECT_EQ(count(Tally::removed_before), 0u);
}

TEST_F(SessionTest, OfTooManyRemovedTheOldestIsForgotten) {
  make_quiet({.removed_max = 8});
  for (std::uint64_t id = 1; id <= 9; ++id) {
    const Instant now = t0 + std::chrono::milliseconds{1000 * (id - 1)};
    receive_state(Message::ins, tcp_state(id), now);
    receive_id(Message::del_c, tcp_state(id).id, now);
  }
  for (std::uint64_t id = 1; id <= 9; ++id) receive_state(Message::upd, tcp_state(id), t0 + 8s);
  EXPECT_TRUE(held(tcp_state(1).id));
  EXPECT_EQ(table->size(), 1u);
  EXPECT_EQ(count(Tally::removed_before), 8u);
}

TEST_F(SessionTest, WhoTellsTheEndOfUnknownStatesMakesNoOthersForgotten) {
  make_quiet({.removed_max = 64});
  for (std::uint64_t id = 1; id <= 20; ++id) {
    receive_state(Message::ins, tcp_state(id));
    receive_id(Message::del_c, tcp_state(id).id);
  }
  for (std::uint64_t id = 1000; id < 3000; ++id) receive_id(Message::del_c, tcp_state(id).id, t0 + 1s);
  for (std::uint64_t id = 1; id <= 20; ++id) receive_state(Message::upd, tcp_state(id), t0 + 2s);
  EXPECT_EQ(count(Tally::removed_before), 20u);
  EXPECT_EQ(table->size(), 0u);
  receive_state(Message::upd, tcp_state(2999), t0 + 2s);
  EXPECT_FALSE(held(tcp_state(2999).id)) << "of an unknown one the end is remembered too";
}

TEST_F(SessionTest, AForeignStateThatEndedHereMayLiveOnElsewhere) {
  make_quiet();
  const wire::State state = udp_state(1);
  receive_state(Message::ins, state);
  for (Instant now = t0; now < t0 + 40s; now += 100ms) session->on_timeout(now);
  ASSERT_EQ(table->size(), 0u);
  receive_state(Message::upd, state, t0 + 40s);
  EXPECT_EQ(table->size(), 1u);
}

TEST_F(SessionTest, AFullTableIsCountedAndSurvived) {
  make({.request_bulk = false}, nullptr, 10);
  for (std::uint64_t id = 1; id <= 100; ++id) receive_state(Message::ins, tcp_state(id));
  EXPECT_GE(table->size(), 10u);
  EXPECT_EQ(count(Tally::table_full), 100 - table->size());
}

TEST_F(SessionTest, UpdateOfAnUnknownStateInsertsIt) {
  make_quiet();
  receive_state(Message::upd, tcp_state(1));
  EXPECT_TRUE(held(tcp_state(1).id));
}

TEST_F(SessionTest, CompressedUpdateOfAnUnknownStateIsAskedForOnceASecond) {
  make_quiet();
  const wire::Update update = update_of(tcp_state(1));
  receive_update(update);
  receive_update(update);
  const auto messages = said(t0);
  ASSERT_EQ(messages.size(), 1u);
  EXPECT_EQ(messages[0].message, Message::upd_req);
  EXPECT_EQ(messages[0].id, update.id);
  EXPECT_EQ(count(Tally::requests_suppressed), 1u);
  receive_update(update, t0 + 1s);
  EXPECT_EQ(said(t0 + 1s).size(), 1u);
}

TEST_F(SessionTest, AnUpdateMayFollowItsOwnInsertInOnePacket) {
  make_quiet();
  receive(t0, [](wire::PacketWriter& writer) {
    ASSERT_TRUE(writer.append_state(Message::ins, tcp_state(1)));
    wire::Update update = update_of(tcp_state(1));
    update.src.seqlo = 2000;
    ASSERT_TRUE(writer.append_update(update));
  });
  EXPECT_EQ(held(tcp_state(1).id)->hot.src.seqlo, 2000u);
}

TEST_F(SessionTest, EachDirectionOfAnUpdateIsJudgedOnItsOwn) {
  make_quiet();
  receive_state(Message::ins, tcp_state(1));
  wire::Update update = update_of(tcp_state(1));
  update.src.seqlo = 2000;
  update.dst.seqlo = 4999;  // one behind
  receive_update(update);
  EXPECT_EQ(held(update.id)->hot.src.seqlo, 2000u);
  EXPECT_EQ(held(update.id)->hot.dst.seqlo, 5000u);
  EXPECT_EQ(count(Reject::stale), 1u);
}

TEST_F(SessionTest, AStaleUpdateIsAnsweredWithOurNewerState) {
  make_quiet();
  receive_state(Message::ins, tcp_state(1));
  wire::Update update = update_of(tcp_state(1));
  update.src.seqlo = 1;
  update.dst.state = wire::tcps::syn_sent;
  receive_update(update);
  const auto messages = said(t0);
  ASSERT_EQ(messages.size(), 1u);
  EXPECT_EQ(messages[0].message, Message::upd_c);
  EXPECT_EQ(wire::read_update(wire::Layout::common, messages[0].record), update_of(tcp_state(1)));
}

TEST_F(SessionTest, SequenceNumbersCompareModulo2To32) {
  make_quiet();
  wire::State state = tcp_state(1);
  state.src.seqlo = 0xfffffff0;
  receive_state(Message::ins, state);
  wire::Update update = update_of(state);
  update.src.seqlo = 0x10;
  receive_update(update);
  EXPECT_EQ(held(state.id)->hot.src.seqlo, 0x10u);
  EXPECT_EQ(count(Reject::stale), 0u);
}

// The roll-back that breaks transfers: the window of dst was rejected and copied all the same.
TEST_F(SessionTest, ARejectedDstWindowNeverGoesBack) {
  make_quiet();
  wire::State state = tcp_state(1);
  state.dst.seqlo = 3016315118;
  receive_state(Message::ins, state);
  wire::Update update = update_of(state);
  update.dst.seqlo = 3016208802;
  receive_update(update);
  EXPECT_EQ(held(state.id)->hot.dst.seqlo, 3016315118u);
}

TEST_F(SessionTest, WhereTheLowerEdgesAreEqualTheUpperOnesTellWhichIsOlder) {
  make_quiet();
  wire::State state = tcp_state(1);
  state.src.seqlo = 0xffffff00;
  state.src.seqhi = 0x100;  // beyond 2^32
  receive_state(Message::ins, state);
  wire::Update older = update_of(state);
  older.src.seqhi = 0xfffffff0;
  older.dst.seqlo = state.dst.seqlo + 1;
  receive_update(older);
  EXPECT_EQ(held(state.id)->hot.src, state.src);
  EXPECT_EQ(held(state.id)->hot.dst.seqlo, state.dst.seqlo + 1) << "each direction is judged on its own";
  EXPECT_EQ(count(Reject::stale), 1u);
  wire::Update newer = older;
  newer.src.seqhi = 0x200;
  receive_update(newer);
  EXPECT_EQ(held(state.id)->hot.src.seqhi, 0x200u);
  EXPECT_EQ(count(Reject::stale), 1u);
}

TEST_F(SessionTest, AnUpdateRestartsTheTimer) {
  make_quiet();
  wire::State state = udp_state(1);
  state.expire_s = 5;
  receive_state(Message::ins, state);
  const auto now_s = statetable::to_seconds(t0);
  EXPECT_EQ(held(state.id)->hot.expire_at_s, now_s + 5);
  receive_update(update_of(state), t0 + 2s);
  EXPECT_EQ(held(state.id)->hot.expire_at_s, now_s + 2 + 30);
}

TEST_F(SessionTest, AFullStateThatSaysNothingNewKeepsNoneAlive) {
  make_quiet();
  const wire::StateId own{7, own_creatorid}, theirs{8, peer_creatorid};
  wire::State state = udp_state(7, own_creatorid);
  ASSERT_EQ(session->insert(state, t0), Session::Local::done);
  receive_state(Message::ins, udp_state(8));
  std::set<Message> said_of_own;
  for (int second = 1; second <= 60; ++second) {
    const Instant now = t0 + std::chrono::seconds{second};
    // As a peer answers that holds both, and was told of no traffic either.
    for (const wire::StateId id : {own, theirs}) {
      if (!held(id)) continue;
      state = udp_state(id.id, id.creatorid);
      state.expire_s = static_cast<std::uint32_t>(std::max(31 - second, 0));
      receive_state(Message::upd, state, now);
    }
    session->on_timeout(now);
    for (const Said& message : said(now))
      if (message.id == own) said_of_own.insert(message.message);
    if (second < 29) {
      EXPECT_TRUE(held(own) && held(theirs)) << second;
    }
  }
  EXPECT_FALSE(held(own));
  EXPECT_FALSE(held(theirs));
  EXPECT_TRUE(said_of_own.contains(Message::del_c)) << "it is still this node's, and told by it";
}

TEST_F(SessionTest, AFullStateTellsOfTrafficThatWasNotHeardOf) {
  make_quiet();
  receive_state(Message::ins, udp_state(1));
  wire::State state = udp_state(1);
  state.expire_s = 25;
  receive_state(Message::upd, state, t0 + 20s);
  EXPECT_EQ(held(state.id)->hot.expire_at_s, statetable::to_seconds(t0) + 20 + 25 - 2);
  state.expire_s = 86'400;
  receive_state(Message::upd, state, t0 + 20s);
  EXPECT_EQ(held(state.id)->hot.expire_at_s, statetable::to_seconds(t0) + 20 + 30) << "no longer than our own timeout";
}

TEST_F(SessionTest, ARequestIsAnsweredWithTheFullState) {
  make_quiet();
  receive_state(Message::ins, tcp_state(1));
  receive_id(Message::upd_req, tcp_state(1).id);
  const auto messages = said(t0);
  ASSERT_EQ(messages.size(), 1u);
  EXPECT_EQ(messages[0].message, Message::upd);
  EXPECT_EQ(wire::read_state(wire::Layout::state_1301, messages[0].record), tcp_state(1));
}

TEST_F(SessionTest, ARequestForAnUnknownStateIsBadstate) {
  make_quiet();
  receive_id(Message::upd_req, tcp_state(1).id);
  EXPECT_EQ(count(Reject::badstate), 1u);
  EXPECT_TRUE(said(t0).empty());
}

TEST_F(SessionTest, DeletesRemoveAndUnknownOnesAreBadstate) {
  make_quiet();
  receive_state(Message::ins, tcp_state(1));
  receive_state(Message::ins, tcp_state(2));
  receive_id(Message::del_c, tcp_state(1).id);
  receive_state(Message::del, tcp_state(2));
  EXPECT_EQ(table->size(), 0u);
  receive_id(Message::del_c, tcp_state(1).id);
  EXPECT_EQ(count(Reject::badstate), 1u);
}

TEST_F(SessionTest, ClearTakesOneCreatorsStatesOfOneInterface) {
  make_quiet();
  wire::State on_em0 = tcp_state(1);
  on_em0.ifname = wire::InterfaceName{"em0"};
  receive_state(Message::ins, on_em0);
  receive_state(Message::ins, tcp_state(2));
  receive_state(Message::ins, tcp_state(3, 0x33333333));
  receive(t0, [](wire::PacketWriter& writer) {
    ASSERT_TRUE(writer.append_clear({wire::InterfaceName{"em0"}, peer_creatorid}));
  });
  EXPECT_FALSE(held(on_em0.id));
  EXPECT_EQ(table->size(), 2u);
  receive(t0, [](wire::PacketWriter& writer) { ASSERT_TRUE(writer.append_clear({{}, peer_creatorid})); });
  EXPECT_EQ(table->size(), 1u);
  EXPECT_TRUE(held({3, 0x33333333}));
}

TEST_F(SessionTest, TdbWithAReservedSpiIsBadstate) {
  make_quiet();
  wire::Tdb tdb{.spi = 255, .af = wire::Family::inet, .sproto = 50};
  receive(t0, [&](wire::PacketWriter& writer) { ASSERT_TRUE(writer.append_tdb(tdb)); });
  EXPECT_EQ(count(Reject::badstate), 1u);
  tdb.spi = 256;
  receive(t0, [&](wire::PacketWriter& writer) { ASSERT_TRUE(writer.append_tdb(tdb)); });
  EXPECT_EQ(count(Tally::tdbs), 1u);
}

TEST_F(SessionTest, APassiveNodeNeverSpeaks) {
  make({.passive = true});
  wire::State state = tcp_state(1);
  state.state_flags = wire::state_flag::ack;
  receive_state(Message::ins, state);
  receive_update(update_of(tcp_state(9)));
  receive_id(Message::upd_req, state.id);
  receive_id(Message::upd_req, wire::bulk_request_id);
  wire::Update stale = update_of(state);
  stale.src.seqlo = 1;
  receive_update(stale);
  session->on_timeout(t0 + 100000s);
  EXPECT_TRUE(said(t0 + 100000s).empty());
  EXPECT_FALSE(session->take_bulk_request());
}

TEST_F(SessionTest, WhatCameWithNoTimeLeftIsAsIfItWasUsedNow) {
  make_quiet({.foreign_grace = 5s});
  wire::State over = tcp_state(1), unused = udp_state(2), nearly = tcp_state(3);
  over.expire_s = unused.expire_s = 0;
  nearly.expire_s = 1;
  receive_state(Message::ins, over);
  receive_state(Message::upd, unused);
  receive_state(Message::upd, nearly);
  for (Instant now = t0; now < t0 + 30s; now += 100ms) session->on_timeout(now);
  EXPECT_TRUE(held(over.id));
  EXPECT_TRUE(held(unused.id));
  EXPECT_FALSE(held(nearly.id));
  for (Instant now = t0 + 30s; now < t0 + 80s; now += 100ms) session->on_timeout(now);
  EXPECT_TRUE(held(over.id)) << "of a connection that stands, for a day";
  EXPECT_FALSE(held(unused.id));
}

TEST_F(SessionTest, WhatHasNoTimeLeftIsSaidToHaveASecond) {
  make_quiet({.foreign_grace = 5s});
  receive_state(Message::ins, udp_state(1));
  const auto left_s = [&](Duration at) {
    receive_id(Message::upd_req, udp_state(1).id, t0 + at);
    const auto messages = said(t0 + at);
    return wire::read_state(wire::Layout::state_1301, messages.at(0).record).expire_s;
  };
  EXPECT_EQ(left_s(20s), 10u);
  EXPECT_EQ(left_s(33s), 1u) << "in its grace: 0 would be as if it was used now";
}

TEST_F(SessionTest, ForeignStatesEndSilentlyAfterAGrace) {
  make_quiet({.foreign_grace = 5s});
  receive_state(Message::ins, udp_state(1));
  for (Instant now = t0; now < t0 + 34s; now += 100ms) session->on_timeout(now);
  EXPECT_TRUE(held(udp_state(1).id));
  for (Instant now = t0 + 34s; now < t0 + 37s; now += 100ms) session->on_timeout(now);
  EXPECT_FALSE(held(udp_state(1).id));
  EXPECT_TRUE(said(t0 + 60s).empty());
  EXPECT_EQ(count(Tally::expired), 1u);
}

}  // namespace
}  // namespace pfsync::engine
