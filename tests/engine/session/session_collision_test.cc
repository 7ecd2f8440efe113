#include "tests/engine/session/session_fixture.h"

namespace pfsync::engine {
namespace {

/// pf has one state a connection, interface and direction. Source: FreeBSD sys/netpfil/pf/pf.c, pf_state_key_attach().
class CollisionTest : public SessionTest {
 protected:
  CollisionTest() { by_connection = true; }
  /// Another state of the connection that state 1 has.
  static wire::State another(std::uint64_t id, std::uint32_t creatorid) {
    wire::State state = tcp_state(1, creatorid);
    state.id.id = id;
    return state;
  }
  static constexpr std::uint32_t third_creatorid = 0x33333333;
};

TEST_F(CollisionTest, AStateOfTheSameConnectionIsRefusedAndTheFirstStays) {
  make_quiet();
  receive_state(Message::ins, tcp_state(1));
  receive_state(Message::ins, another(2, third_creatorid));
  EXPECT_TRUE(held({1, peer_creatorid}));
  EXPECT_FALSE(held({2, third_creatorid}));
  EXPECT_EQ(count(Tally::collisions), 1u);
  EXPECT_EQ(session->insert(another(3, own_creatorid), t0), Session::Local::collides);
  receive_state(Message::upd, another(2, third_creatorid));
  EXPECT_FALSE(held({2, third_creatorid}));
  EXPECT_EQ(count(Tally::collisions), 3u);
  receive_state(Message::ins, tcp_state(1));  // the same state again is no collision
  EXPECT_EQ(count(Tally::insert_exists), 1u);
  EXPECT_EQ(count(Tally::collisions), 3u);
}

TEST_F(CollisionTest, AnotherInterfaceDirectionOrProtocolIsAnotherConnection) {
  make_quiet();
  receive_state(Message::ins, tcp_state(1));
  wire::State other = another(2, third_creatorid);
  other.ifname = wire::InterfaceName{"em1"};
  receive_state(Message::ins, other);
  other = another(3, third_creatorid);
  other.direction = wire::Direction::in;
  receive_state(Message::ins, other);
  other = udp_state(1, third_creatorid);
  other.id.id = 4;
  receive_state(Message::ins, other);
  for (std::uint64_t id = 2; id <= 4; ++id) EXPECT_TRUE(held({id, third_creatorid})) << id;
  EXPECT_EQ(count(Tally::collisions), 0u);
}

/// There are numbers for 4,095 names in a process's life: what is refused must not use them up.
TEST_F(CollisionTest, StatesThatAreRefusedLeaveTheirNamesToOthers) {
  make_quiet();
  for (unsigned n = 0; n < statetable::names_max + 1000; ++n) {
    wire::State state = another(100 + n, third_creatorid);
    state.timeout = 99;
    state.ifname = wire::InterfaceName{"x" + std::to_string(n)};
    receive_state(Message::ins, state);
  }
  EXPECT_EQ(table->size(), 0u);
  for (std::uint64_t id = 1; id <= 2; ++id) {
    wire::State state = another(id, id == 1 ? peer_creatorid : third_creatorid);
    state.ifname = wire::InterfaceName{"em8"};
    receive_state(Message::ins, state);
  }
  EXPECT_EQ(table->size(), 1u);
  EXPECT_EQ(count(Tally::collisions), 1u);
  EXPECT_EQ(count(Tally::names_full), 0u);
}

TEST_F(CollisionTest, OneSideIsEnough) {
  make_quiet();
  wire::State translated = tcp_state(1);
  translated.key[1].port[1] = 50000;
  receive_state(Message::ins, translated);
  wire::State other = another(2, third_creatorid);
  other.key[1].port[1] = 50001;  // the same on the wire
  receive_state(Message::ins, other);
  other.key[0] = translated.key[1];  // crosswise is no collision
  receive_state(Message::ins, other);
  EXPECT_EQ(count(Tally::collisions), 1u);
  other = another(3, third_creatorid);
  other.key[0].port[1] = 50002;
  other.key[1] = translated.key[1];  // the same to the stack
  receive_state(Message::ins, other);
  EXPECT_EQ(count(Tally::collisions), 2u);
  EXPECT_EQ(table->size(), 2u);
}

TEST_F(CollisionTest, AConnectionThatBothEndsAreClosingGivesWay) {
  make_quiet();
  wire::State closing = tcp_state(1);
  closing.src.state = wire::tcps::fin_wait_2;
  receive_state(Message::ins, closing);
  receive_state(Message::ins, another(2, third_creatorid));
  EXPECT_EQ(count(Tally::collisions), 1u);  // one end is still open
  closing.dst.state = wire::tcps::time_wait;
  receive_state(Message::upd, closing);
  receive_state(Message::ins, another(2, third_creatorid));
  EXPECT_TRUE(held({2, third_creatorid}));
  EXPECT_FALSE(held({1, peer_creatorid}));
  EXPECT_EQ(count(Tally::displaced), 1u);
  receive_state(Message::upd, closing);  // late: it is over
  EXPECT_FALSE(held({1, peer_creatorid}));
  EXPECT_EQ(count(Tally::removed_before), 1u);
}

TEST_F(CollisionTest, WhatItsCreatorMadeAnewGivesWayToTheYounger) {
  make_quiet();
  wire::State old = tcp_state(1);
  old.creation_s = 100;
  receive_state(Message::ins, old);
  wire::State young = another(2, peer_creatorid);
  young.creation_s = 5;
  receive_state(Message::ins, young);
  EXPECT_TRUE(held({2, peer_creatorid}));
  EXPECT_FALSE(held({1, peer_creatorid}));
  wire::State oldest = another(3, peer_creatorid);
  oldest.creation_s = 300;
  receive_state(Message::ins, oldest);
  EXPECT_FALSE(held({3, peer_creatorid}));
  EXPECT_EQ(count(Tally::displaced), 1u);
  EXPECT_EQ(count(Tally::collisions), 1u);
}

TEST_F(CollisionTest, OfTwoThatItsCreatorMadeWithinASecondTheSecondIsTheOneItHas) {
  make_quiet();
  receive_state(Message::ins, tcp_state(1));
  receive_state(Message::ins, another(2, peer_creatorid));
  EXPECT_TRUE(held({2, peer_creatorid}));
  EXPECT_FALSE(held({1, peer_creatorid}));
  receive_state(Message::upd, tcp_state(1));  // late: it does not come back
  EXPECT_FALSE(held({1, peer_creatorid}));
  // Of its own states the firewall knows what it has.
  ASSERT_EQ(session->insert(tcp_state(5, own_creatorid), t0), Session::Local::done);
  wire::State same = tcp_state(5, own_creatorid);
  same.id.id = 6;
  EXPECT_EQ(session->insert(same, t0), Session::Local::collides);
}

TEST_F(CollisionTest, TheConnectionIsFreeOnceItsStateIsGone) {
  make_quiet();
  EXPECT_EQ(session->insert(tcp_state(1, own_creatorid), t0), Session::Local::done);
  EXPECT_EQ(session->erase({1, own_creatorid}, t0), Session::Local::done);
  receive_state(Message::ins, another(2, third_creatorid));
  EXPECT_TRUE(held({2, third_creatorid}));
  EXPECT_EQ(count(Tally::collisions), 0u);
}

TEST_F(CollisionTest, WithoutTheIndexBothAreKept) {
  by_connection = false;
  make_quiet();
  receive_state(Message::ins, tcp_state(1));
  receive_state(Message::ins, another(2, third_creatorid));
  EXPECT_EQ(table->size(), 2u);
  EXPECT_EQ(count(Tally::collisions), 0u);
}

}  // namespace
}  // namespace pfsync::engine
