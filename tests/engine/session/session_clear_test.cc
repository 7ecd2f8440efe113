// What a clear ends stays ended, and what began after it comes in.
#include <gtest/gtest.h>

#include <algorithm>

#include "engine/session/bulk_sender.h"
#include "tests/engine/session/session_fixture.h"
#include "tests/engine/session/session_hub.h"

namespace pfsync::engine {
namespace {

class Clears : public SessionTest {
 protected:
  void receive_clear(Instant now, std::uint32_t creatorid = peer_creatorid, std::string_view ifname = {}) {
    receive(now, [&](wire::PacketWriter& writer) {
      ASSERT_TRUE(writer.append_clear({wire::InterfaceName{ifname}, creatorid}));
    });
  }
  /// A state that is so old when a message tells of it.
  static wire::State aged(std::uint64_t id, std::uint32_t seconds, std::uint32_t creatorid = peer_creatorid) {
    wire::State state = tcp_state(id, creatorid);
    state.creation_s = seconds;
    return state;
  }
};

TEST_F(Clears, WhatBeganBeforeAClearIsNotBroughtBack) {
  make_quiet();
  receive_state(Message::ins, aged(1, 100));
  receive_state(Message::ins, aged(2, 0));
  receive_clear(t0 + 1s);
  ASSERT_EQ(table->size(), 0u);
  receive_state(Message::upd, aged(1, 102), t0 + 2s);
  receive_state(Message::ins, aged(1, 102), t0 + 2s);
  receive_state(Message::upd, aged(2, 2), t0 + 2s);    // its age tells nothing sure: it is known by its id
  receive_state(Message::upd, aged(3, 102), t0 + 2s);  // another node's bulk frame: never heard of here
  EXPECT_EQ(table->size(), 0u);
  EXPECT_EQ(count(Tally::removed_before), 4u);
  EXPECT_EQ(count(Reject::badstate), 0u);
  // Who still speaks of it much later means it.
  receive_state(Message::upd, aged(1, 112), t0 + 12s);
  EXPECT_EQ(table->size(), 1u);
}

TEST_F(Clears, WhatBeganAfterAClearComesIn) {
  make_quiet();
  receive_state(Message::ins, aged(1, 100));
  receive_clear(t0 + 500ms);
  receive_state(Message::ins, aged(2, 0), t0 + 600ms);
  receive_state(Message::upd, aged(3, 0), t0 + 700ms);
  receive_state(Message::ins, aged(4, 1), t0 + 800ms);   // counted in whole seconds by the one who says it
  receive_state(Message::upd, aged(5, 9), t0 + 8500ms);  // and once more by a node between
  receive_state(Message::ins, aged(6, 100, 0x33333333), t0 + 1s);
  EXPECT_EQ(table->size(), 5u);
  EXPECT_EQ(count(Tally::removed_before), 0u);
}

TEST_F(Clears, OfAnUnknownIdTheAnswerToARequestTells) {
  make_quiet();
  receive_clear(t0);
  receive_update(update_of(tcp_state(1)), t0 + 1s);
  receive_update(update_of(tcp_state(2)), t0 + 1s);
  const auto messages = said(t0 + 1s);
  ASSERT_EQ(messages.size(), 2u);
  for (const Said& message : messages) EXPECT_EQ(message.message, Message::upd_req);
  receive_state(Message::upd, aged(1, 50), t0 + 1s);
  receive_state(Message::upd, aged(2, 0), t0 + 1s);
  EXPECT_FALSE(held({1, peer_creatorid}));
  EXPECT_TRUE(held({2, peer_creatorid}));
  EXPECT_EQ(count(Tally::removed_before), 1u);
}

TEST_F(Clears, AClearOfOneInterfaceIsHeldAgainstNoOther) {
  make_quiet();
  receive_clear(t0, peer_creatorid, "em0");
  wire::State one = aged(1, 100), other = aged(2, 100);
  one.ifname = wire::InterfaceName{"em0"};
  other.ifname = wire::InterfaceName{"em1"};
  receive_state(Message::upd, one, t0 + 1s);
  receive_state(Message::upd, other, t0 + 1s);
  EXPECT_FALSE(held(one.id));
  EXPECT_TRUE(held(other.id));
}

TEST_F(Clears, OfOwnStatesThatWereFlushedNoneComesBackHoweverYoungOrMany) {
  make_quiet({.removed_max = 8});
  for (std::uint64_t id = 1; id <= 100; ++id)
    ASSERT_EQ(session->insert(aged(id, id > 50 ? 1000 : 0, own_creatorid), t0), Session::Local::done);
  static_cast<void>(said(t0 + 1s));
  EXPECT_EQ(session->flush({}, t0 + 1s), 100u);
  EXPECT_EQ(session->insert(aged(101, 0, own_creatorid), t0 + 1s), Session::Local::done);
  static_cast<void>(said(t0 + 2s));
  for (std::uint64_t id = 1; id <= 100; ++id)
    receive_state(Message::upd, aged(id, id > 50 ? 1000 : 0, own_creatorid), t0 + 2s);
  receive_update(update_of(tcp_state(1, own_creatorid)), t0 + 2s);
  EXPECT_EQ(table->size(), 1u);
  EXPECT_EQ(count(Tally::removed_before), 101u);
  EXPECT_TRUE(said(t0 + 4s).empty()) << "nothing is asked for";
}

TEST_F(Clears, OfTooManyTheOldestIsForgottenAndCounted) {
  make_quiet();
  for (std::uint32_t creator = 1; creator <= RecentClears::places + 1; ++creator)
    receive_clear(t0 + std::chrono::milliseconds{100 * creator}, creator);
  EXPECT_EQ(count(Tally::clears_forgotten), 1u);
  receive_clear(t0 + 4s, 2);
  EXPECT_EQ(count(Tally::clears_forgotten), 1u) << "it has its place";
  for (const std::uint32_t creator : {1u, 2u, std::uint32_t{RecentClears::places} + 1})
    receive_state(Message::upd, aged(creator, 100, creator), t0 + 5s);
  EXPECT_EQ(table->size(), 1u);
  EXPECT_TRUE(held({1, 1}));
  receive_clear(t0 + 30s, 1000);
  EXPECT_EQ(count(Tally::clears_forgotten), 1u) << "none of the others counted any longer";
}

TEST_F(Clears, AClearWaitsForTheBulkFrameThatMayCarryItsStatesAndNothingOvertakesIt) {
  BulkGate gate;
  make({.request_bulk = false}, &gate);
  for (std::uint64_t id = 1; id <= 3; ++id)
    ASSERT_EQ(session->insert(tcp_state(id, own_creatorid), t0), Session::Local::done);
  static_cast<void>(said(t0 + 1s));
  BulkSender sender{{.creatorid = own_creatorid, .states_per_s = 0}, *table, &gate};
  sender.start(t0 + 1s);
  std::array<std::uint8_t, 1480> room{};
  ASSERT_GT(sender.transmit(room, t0 + 1s), 0u);  // filled, not yet handed over
  EXPECT_EQ(session->flush({}, t0 + 1s), 3u);
  ASSERT_EQ(session->insert(tcp_state(4, own_creatorid), t0 + 1s), Session::Local::done);
  session->push();
  EXPECT_TRUE(said(t0 + 3s).empty());
  sender.start(t0 + 3s);
  ASSERT_GT(sender.transmit(room, t0 + 3s), 0u);  // one begun later does not hold it up
  gate.frame_handed_over();
  const auto messages = said(t0 + 3s);
  ASSERT_EQ(messages.size(), 2u);
  EXPECT_EQ(messages[0].message, Message::clr);
  EXPECT_EQ(messages[1].message, Message::ins);
  EXPECT_EQ(messages[1].id.id, 4u);
}

TEST_F(Hub, AClearThatIsPassedOnWaitsForTheBulkFramesToThatPeerAlone) {
  BulkGate gate;
  make_hub({{}, {.gate = &gate}, {}});
  for (std::uint64_t id = 1; id <= 3; ++id) state_from(0, tcp_state(id), t0);
  for (unsigned peer = 0; peer < 3; ++peer) told(peer, t0 + 1s);
  gate.frame_begun();
  from(0, t0 + 2s, [](wire::PacketWriter& writer) { ASSERT_TRUE(writer.append_clear({{}, peer_creatorid})); });
  EXPECT_EQ(told(1, t0 + 3s), Told{});
  EXPECT_EQ(told(2, t0 + 3s), (Told{{Message::clr, 0}}));
  gate.frame_handed_over();
  EXPECT_EQ(told(1, t0 + 3s), (Told{{Message::clr, 0}}));
}

}  // namespace
}  // namespace pfsync::engine
