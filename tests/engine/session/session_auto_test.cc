// Sessions that learn what their peers speak.
#include "tests/engine/session/session_fixture.h"

namespace pfsync::engine {
namespace {

using wire::Dialect;

class AutoDialect : public SessionTest {
 protected:
  void make_learning(Dialect first = Dialect::freebsd_1301) {
    SessionConfig config;
    config.dialect = first;
    config.learn_dialect = true;
    config.expire = false;
    make_quiet(config);
  }
  template <class F>
  void hear(Dialect dialect, std::uint8_t source, Instant now, F&& fill) {
    std::vector<std::uint8_t> room(1480);
    wire::PacketWriter writer{dialect, room};
    fill(writer);
    room.resize(writer.finish());
    session->on_packet(Arrival{room, wire::ipv4_address(10, 0, 0, source)}, now);
  }
  void hear_state(Dialect dialect, std::uint8_t source, Instant now) {
    hear(dialect, source, now,
         [&](wire::PacketWriter& writer) { ASSERT_TRUE(writer.append_state(Message::ins, tcp_state(++last_id))); });
  }
  void hear_update(Dialect dialect, std::uint8_t source, Instant now) {
    hear(dialect, source, now,
         [&](wire::PacketWriter& writer) { ASSERT_TRUE(writer.append_update(update_of(tcp_state(1)))); });
  }
  [[nodiscard]] Dialect in_use() const { return session->dialect().in_use(); }

  std::uint64_t last_id = 0;
};

TEST_F(AutoDialect, IsTheDefaultUntilAFullStateTellsAnother) {
  make_learning(Dialect::freebsd_1400);
  EXPECT_EQ(in_use(), Dialect::freebsd_1400);
  EXPECT_FALSE(session->dialect().is_learned());
  hear_update(Dialect::freebsd_1500, 2, t0);  // header version 5, no more
  EXPECT_EQ(in_use(), Dialect::freebsd_1400);
  EXPECT_FALSE(session->dialect().is_learned());
  hear_state(Dialect::freebsd_1500, 2, t0);
  EXPECT_EQ(in_use(), Dialect::freebsd_1500);
  EXPECT_TRUE(session->dialect().is_learned());
  EXPECT_EQ(session->dialect().changes(), 1u);
  EXPECT_EQ(count(Tally::dialect_changes), 1u);
  EXPECT_EQ(count(Tally::not_understood), 0u);
}

TEST_F(AutoDialect, KnowsOpenBsdByItsHeaderAndFreeBsdToo) {
  make_learning();
  hear_update(Dialect::openbsd, 2, t0);
  EXPECT_EQ(in_use(), Dialect::openbsd);
  EXPECT_TRUE(session->dialect().is_learned());
  // The same host, another system: any kernel of version 5 takes 1301.
  hear_update(Dialect::freebsd_1400, 2, t0 + 1s);
  hear_update(Dialect::freebsd_1400, 2, t0 + 1s + PeerDialect::believed);
  EXPECT_EQ(in_use(), Dialect::freebsd_1301);
  EXPECT_FALSE(session->dialect().is_learned());
}

TEST_F(AutoDialect, FollowsAnUpgradeAndADowngrade) {
  make_learning();
  std::uint64_t changes = 0;
  Instant now = t0;
  for (const Dialect dialect : {Dialect::freebsd_1400, Dialect::freebsd_1500, Dialect::freebsd_1301,
                                Dialect::freebsd_1400, Dialect::openbsd, Dialect::freebsd_1500}) {
    hear_state(dialect, 2, now);
    hear_update(dialect, 2, now += PeerDialect::believed);
    EXPECT_EQ(in_use(), dialect);
    EXPECT_EQ(session->dialect().changes(), ++changes);
  }
}

TEST_F(AutoDialect, AnotherHeaderVersionIsBelievedOnceNothingElseWasHeardForSomeSeconds) {
  make_learning();
  hear_state(Dialect::freebsd_1400, 2, t0);
  // Packets in a node's name change nothing while it speaks itself, as seldom as it may.
  for (int i = 1; i <= 20; ++i) {
    hear_state(Dialect::openbsd, 2, t0 + i * 2s);
    hear_state(Dialect::openbsd, 2, t0 + i * 2s + 1s);
    ASSERT_EQ(in_use(), Dialect::freebsd_1400);
    hear_update(Dialect::freebsd_1400, 2, t0 + i * 2s + 1500ms);
  }
  EXPECT_EQ(count(Tally::not_understood), 40u);
  EXPECT_EQ(session->dialect().changes(), 1u);
  hear_state(Dialect::openbsd, 2, t0 + 60s);
  hear_update(Dialect::openbsd, 2, t0 + 60s + PeerDialect::believed - 1ms);
  EXPECT_EQ(in_use(), Dialect::freebsd_1400);
  hear_update(Dialect::openbsd, 2, t0 + 60s + PeerDialect::believed);
  EXPECT_EQ(in_use(), Dialect::openbsd);
  EXPECT_EQ(count(Tally::not_understood), 42u);
}

TEST_F(AutoDialect, InventedNodesNeitherTakeTheNodesPlacesNorDecide) {
  make_learning();
  for (int i = 0; i <= 10; ++i) {
    hear_state(Dialect::freebsd_1400, 2, t0 + i * 1s);
    hear_state(Dialect::freebsd_1500, 3, t0 + i * 1s);
  }
  for (std::uint8_t source = 20; source < 120; ++source) hear_state(Dialect::openbsd, source, t0 + 11s);
  EXPECT_EQ(in_use(), Dialect::freebsd_1400);
  EXPECT_EQ(session->dialect().known(), PeerDialect::sources_max);
  // As long as both go on, whatever comes.
  for (int i = 1; i <= 100; ++i) {
    for (std::uint8_t source = 20; source < 40; ++source) hear_state(Dialect::openbsd, source, t0 + 11s + i * 30s);
    ASSERT_EQ(in_use(), Dialect::freebsd_1400);
    if (i % 10 == 0) hear_update(Dialect::freebsd_1400, 2, t0 + 11s + i * 30s);
    if (i % 10 == 0) hear_update(Dialect::freebsd_1400, 3, t0 + 11s + i * 30s);
  }
  EXPECT_EQ(session->dialect().changes(), 1u);
}

TEST_F(AutoDialect, WhoWasHeardForAMomentDoesNotDecideForThoseWhoStay) {
  make_learning();
  for (std::uint8_t source = 20; source < 40; ++source) hear_state(Dialect::openbsd, source, t0);
  EXPECT_EQ(in_use(), Dialect::openbsd) << "there is nobody else";
  for (Instant now = t0; now <= t0 + PeerDialect::established; now += 1s) hear_state(Dialect::freebsd_1400, 2, now);
  EXPECT_EQ(in_use(), Dialect::freebsd_1400);
  // Of the same version, too.
  hear_state(Dialect::freebsd_1301, 3, t0 + 20s);
  EXPECT_EQ(in_use(), Dialect::freebsd_1400);
  EXPECT_EQ(session->dialect().apart(), 0u);
  // Who stays is taken for what it is, until it is gone for an hour.
  hear_state(Dialect::freebsd_1301, 3, t0 + 20s + PeerDialect::established);
  EXPECT_EQ(in_use(), Dialect::freebsd_1301);
  hear_state(Dialect::freebsd_1301, 2, t0 + 59min);
  EXPECT_EQ(in_use(), Dialect::freebsd_1301);
  hear_update(Dialect::freebsd_1301, 2, t0 + 31s + PeerDialect::lately);
  hear_update(Dialect::freebsd_1301, 2, t0 + 33s + PeerDialect::lately);
  EXPECT_EQ(in_use(), Dialect::freebsd_1400);
}

/// Two engines of a group that learn; each tells what it writes once a second, in an answer to a question.
struct Pair {
  static constexpr std::uint8_t first = 1, second = 2;
  PeerDialect a{Dialect::freebsd_1500, true}, b{Dialect::freebsd_1500, true};
  Instant now = t0;

  static void hear(PeerDialect& at, std::uint8_t source, Dialect told, Instant now) {
    const wire::Address address = wire::ipv4_address(10, 0, 0, source);
    at.heard(address, at.place_of(address), wire::info(told).header_version, told, now);
  }
  void go_on(Duration time) {
    for (const Instant end = now + time; now < end; now += 1s) {
      hear(a, second, b.in_use(), now);
      hear(b, first, a.in_use(), now + 500ms);
    }
  }
  void expect(Dialect dialect) const {
    EXPECT_EQ(a.in_use(), dialect);
    EXPECT_EQ(b.in_use(), dialect);
  }
};

TEST(PairOfDialects, IsNotLoweredByWhoIsHeardOnce) {
  Pair pair;
  pair.go_on(14s);
  Pair::hear(pair.a, 77, Dialect::freebsd_1301, pair.now);
  Pair::hear(pair.b, 77, Dialect::freebsd_1301, pair.now);
  pair.expect(Dialect::freebsd_1500);
  pair.go_on(6min);
  pair.expect(Dialect::freebsd_1500);
  EXPECT_EQ(pair.a.changes(), 0u);
  EXPECT_EQ(pair.b.changes(), 0u);
}

TEST(PairOfDialects, FindsItsWayBackOnceWhoLoweredItIsForgotten) {
  for (const bool both_hear_it : {true, false}) {
    Pair pair;
    pair.go_on(14s);
    for (int i = 0; i <= 10; ++i) {
      Pair::hear(pair.a, 77, Dialect::freebsd_1301, pair.now);
      if (both_hear_it) Pair::hear(pair.b, 77, Dialect::freebsd_1301, pair.now);
      pair.go_on(1s);
    }
    pair.go_on(50min);
    pair.expect(Dialect::freebsd_1301);
    pair.go_on(11min);
    pair.expect(Dialect::freebsd_1500);
  }
}

TEST(PairOfDialects, FollowsANodeThatTakesLessThanBefore) {
  Pair pair;
  pair.go_on(14s);
  // One that speaks 1301 alone now stands in the other's place.
  Pair::hear(pair.a, Pair::second, Dialect::freebsd_1301, pair.now);
  Pair::hear(pair.a, Pair::second, Dialect::freebsd_1301, pair.now + PeerDialect::believed - 1ms);
  EXPECT_EQ(pair.a.in_use(), Dialect::freebsd_1500) << "a forged packet would do";
  Pair::hear(pair.a, Pair::second, Dialect::freebsd_1301, pair.now + PeerDialect::believed);
  EXPECT_EQ(pair.a.in_use(), Dialect::freebsd_1301);
}

TEST_F(AutoDialect, ThatIsFixedIsNotLearnedButTheMisfitIsCounted) {
  make_quiet();                              // 1301
  hear_state(Dialect::freebsd_1500, 2, t0);  // takes 1301
  EXPECT_EQ(count(Tally::not_understood), 0u);
  hear_state(Dialect::openbsd, 3, t0);
  EXPECT_EQ(in_use(), Dialect::freebsd_1301);
  EXPECT_TRUE(session->dialect().is_fixed());
  EXPECT_EQ(count(Tally::not_understood), 1u);
  EXPECT_EQ(session->dialect().apart(), 1u);
}

TEST_F(AutoDialect, OfAGroupIsOneThatAllTake) {
  make_learning();
  hear_state(Dialect::freebsd_1500, 2, t0);
  EXPECT_EQ(in_use(), Dialect::freebsd_1500);
  hear_state(Dialect::freebsd_1400, 3, t0 + 1s);
  EXPECT_EQ(in_use(), Dialect::freebsd_1400);
  hear_state(Dialect::freebsd_1301, 4, t0 + 2s);
  EXPECT_EQ(in_use(), Dialect::freebsd_1301);
  hear_state(Dialect::freebsd_1500, 4, t0 + 3s);
  EXPECT_EQ(in_use(), Dialect::freebsd_1400);
  EXPECT_EQ(session->dialect().apart(), 0u);
}

TEST_F(AutoDialect, StaysWhereTwoHeaderVersionsHaveNoneInCommon) {
  make_learning();
  hear_state(Dialect::freebsd_1400, 2, t0);
  hear_state(Dialect::openbsd, 3, t0);
  EXPECT_EQ(in_use(), Dialect::freebsd_1400);
  EXPECT_EQ(session->dialect().apart(), 1u);
  EXPECT_EQ(count(Tally::not_understood), 1u);
  hear_state(Dialect::freebsd_1400, 2, t0 + PeerDialect::established);
  // The FreeBSD is gone: after an hour of silence it no longer counts.
  hear_update(Dialect::openbsd, 3, t0 + 30min);
  EXPECT_EQ(in_use(), Dialect::freebsd_1400);
  hear_update(Dialect::openbsd, 3, t0 + 61min);
  EXPECT_EQ(in_use(), Dialect::openbsd);
  EXPECT_EQ(session->dialect().apart(), 0u);
}

TEST_F(AutoDialect, RemembersABoundedNumberOfSources) {
  make_learning();
  hear_state(Dialect::freebsd_1301, 1, t0);
  for (std::uint8_t source = 2; source <= PeerDialect::sources_max; ++source)
    hear_state(Dialect::freebsd_1500, source, t0 + 1s);
  EXPECT_EQ(in_use(), Dialect::freebsd_1301);
  hear_state(Dialect::freebsd_1500, 100, t0 + 2s);  // in the place of the one heard longest ago
  EXPECT_EQ(in_use(), Dialect::freebsd_1500);
}

TEST_F(AutoDialect, TakesTheNewestOfAPacketThatHasTwo) {
  make_learning();
  std::vector<std::uint8_t> packet(sizeof(wire::Header));
  for (const std::uint8_t number : {std::uint8_t{1}, std::uint8_t{13}}) {
    const wire::Action& action = *wire::find_action(wire::header_version_freebsd, number);
    packet.insert(packet.end(), {number, 0, 0, 1});
    packet.resize(packet.size() + action.record_bytes);
    wire::write_state(action.layout, tcp_state(++last_id), wire::Room{packet}.last(action.record_bytes));
  }
  wire::store(wire::Room{packet}, 0,
              wire::Header{wire::header_version_freebsd, 0, wire::Be16{static_cast<std::uint16_t>(packet.size())}, {}});
  session->on_packet(packet, t0);
  EXPECT_EQ(in_use(), Dialect::freebsd_1400);
}

TEST_F(AutoDialect, IsThatOfTheMomentAPacketIsWritten) {
  make_learning();
  ASSERT_EQ(session->insert(tcp_state(500, own_creatorid), t0), Session::Local::done);
  hear_state(Dialect::openbsd, 2, t0);
  std::vector<std::uint8_t> room(1480);
  room.resize(session->transmit(room, t0 + 1s));
  wire::PacketReader reader{room};
  wire::Section section;
  ASSERT_TRUE(reader.next(section));
  EXPECT_EQ(reader.header().version, wire::header_version_openbsd);
  EXPECT_EQ(section.action->layout, wire::Layout::state_openbsd);
}

TEST_F(AutoDialect, IsNotLearnedFromWhatCannotBeRead) {
  make_learning();
  std::vector<std::uint8_t> packet(sizeof(wire::Header));
  wire::store(wire::Room{packet}, 0, wire::Header{7, 0, wire::Be16{sizeof(wire::Header)}, {}});
  session->on_packet(packet, t0);
  session->on_packet(wire::Bytes{packet}.first(2), t0);
  EXPECT_EQ(in_use(), Dialect::freebsd_1301);
  EXPECT_EQ(count(Reject::badver), 1u);
  EXPECT_EQ(count(Tally::not_understood), 0u);
}

}  // namespace
}  // namespace pfsync::engine
