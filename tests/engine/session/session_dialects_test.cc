// Sessions that speak each dialect, and one that hears them all.
#include <algorithm>

#include "engine/session/bulk_sender.h"
#include "tests/engine/session/session_fixture.h"
#include "wire/fields.h"

namespace pfsync::engine {
namespace {

/// A state of a multi-WAN firewall with traffic shaping: most of what 1500 carries.
wire::State routed_state(std::uint64_t id) {
  wire::State state = tcp_state(id, own_creatorid);
  state.rt = wire::route::reply_to;
  state.rt_addr.bytes = {192, 0, 2, 1};
  state.rt_ifname = wire::InterfaceName{"em1"};
  state.orig_ifname = wire::InterfaceName{"em1"};
  state.tag = wire::TagName{"WEB"};
  state.dnpipe = 7;
  state.state_flags = wire::state_flag::dn_is_pipe | wire::state_flag::scrub_tcp;
  state.max_mss = 1400;
  return state;
}

/// A NAT64 connection.
wire::State af_to_state(std::uint64_t id) {
  wire::State state = tcp_state(id, own_creatorid);
  state.af = wire::Family::inet6;
  state.stack_af = wire::Family::inet;
  state.key[wire::wire_side].addr[0].bytes = {0x00, 0x64, 0xff, 0x9b, 0, 0, 0, 0, 0, 0, 0, 0, 10, 2, 0, 100};
  return state;
}

class Dialects : public SessionTest {
 protected:
  /// One packet of the session, handed to `hearer`.
  void pass_on(Session& hearer, Instant now) {
    std::vector<std::uint8_t> room(1480);
    room.resize(session->transmit(room, now));
    ASSERT_FALSE(room.empty());
    hearer.on_packet(room, now);
  }
  [[nodiscard]] std::uint64_t lost(wire::Field field) const {
    return session->counters().lost.fields[static_cast<std::size_t>(field)].value();
  }
};

TEST_F(Dialects, OfOneSessionAreUnderstoodByAnother) {
  for (const wire::DialectInfo& dialect : wire::dialect_table) {
    SCOPED_TRACE(dialect.word);
    SessionConfig config;
    config.dialect = dialect.dialect;
    make_quiet(config);
    ASSERT_EQ(session->insert(routed_state(1), t0), Session::Local::done);
    ASSERT_EQ(session->insert(udp_state(2, own_creatorid), t0), Session::Local::done);

    auto made = statetable::Table::create({.states_max = 100, .shard_bits = 0, .hash_seed = 9});
    auto heard_table = std::move(std::get<std::unique_ptr<statetable::Table>>(made));
    Session hearer{{.creatorid = peer_creatorid, .request_bulk = false}, *heard_table};
    hearer.start(t0);
    pass_on(hearer, t0 + 1s);

    EXPECT_EQ(heard_table->size(), 2u);
    EXPECT_EQ(heard_table->digest(), table->digest());
    EXPECT_EQ(hearer.counters()[Tally::inserts].value(), 2u);
    const auto heard = heard_table->reader().find({1, own_creatorid});
    ASSERT_TRUE(heard);
    const Seconds now_s = statetable::to_seconds(t0 + 1s);
    const auto had = held({1, own_creatorid});
    const wire::Fields differing = wire::differences(statetable::to_state(heard->hot, heard->cold, now_s),
                                                     statetable::to_state(had->hot, had->cold, now_s));
    for (const wire::FieldInfo& row : wire::field_table)
      EXPECT_EQ(differing.has(row.field), lost(row.field) == 1) << row.word;

    // The windows follow in the same dialect, and so does the end.
    wire::Update update = update_of(routed_state(1));
    update.src.seqlo += 100;
    ASSERT_EQ(session->update(update, t0 + 2s), Session::Local::done);
    pass_on(hearer, t0 + 3s);
    EXPECT_EQ(heard_table->digest(), table->digest());
    ASSERT_EQ(session->erase({1, own_creatorid}, t0 + 4s), Session::Local::done);
    pass_on(hearer, t0 + 5s);
    EXPECT_EQ(heard_table->digest(), table->digest());
    EXPECT_EQ(heard_table->size(), 1u);
  }
}

TEST_F(Dialects, LossesAreCountedByField) {
  SessionConfig config;
  config.dialect = wire::Dialect::openbsd;
  make_quiet(config);
  ASSERT_EQ(session->insert(routed_state(1), t0), Session::Local::done);
  ASSERT_EQ(said(t0 + 1s).size(), 1u);
  for (const wire::FieldInfo& row : wire::field_table) {
    const bool expected = row.field == wire::Field::rt_ifname || row.field == wire::Field::orig_ifname ||
                          row.field == wire::Field::tag || row.field == wire::Field::dnpipe ||
                          row.field == wire::Field::state_flags;
    EXPECT_EQ(lost(row.field), expected ? 1u : 0u) << row.word;
  }
}

TEST_F(Dialects, WithoutWordsForTwoFamiliesSkipAndCountSuchStates) {
  for (const wire::DialectInfo& dialect : wire::dialect_table) {
    SCOPED_TRACE(dialect.word);
    const bool can = wire::is_expressible(af_to_state(1), dialect.dialect);
    SessionConfig config;
    config.expire = false;
    config.dialect = dialect.dialect;
    make_quiet(config);
    ASSERT_EQ(session->insert(af_to_state(1), t0), Session::Local::done);
    EXPECT_EQ(said(t0 + 1s).size(), can ? 1u : 0u);
    EXPECT_EQ(session->counters().lost.states.value(), can ? 0u : 1u);
    EXPECT_EQ(session->timeout(t0 + 1s), Instant::max());  // nothing is left that wants to be sent

    ASSERT_EQ(session->insert(af_to_state(2), t0), Session::Local::done);
    ASSERT_EQ(session->insert(tcp_state(3, own_creatorid), t0), Session::Local::done);
    EXPECT_EQ(said(t0 + 3s).size(), can ? 2u : 1u);

    BulkSender sender{{.creatorid = own_creatorid, .dialect = dialect.dialect, .states_per_s = 0}, *table};
    sender.start(t0);
    std::vector<std::uint8_t> room(1480);
    while (sender.running()) ASSERT_GT(sender.transmit(room, t0), 0u);
    EXPECT_EQ(sender.states_sent(), can ? 3u : 1u);
    EXPECT_EQ(sender.lost().states.value(), can ? 0u : 2u);
  }
}

TEST_F(Dialects, WithoutWordsForAStateSayNothingOfItsLife) {
  for (const wire::DialectInfo& dialect : wire::dialect_table) {
    SCOPED_TRACE(dialect.word);
    const bool can = wire::is_expressible(af_to_state(1), dialect.dialect);
    SessionConfig config;
    config.expire = false;
    config.dialect = dialect.dialect;
    make_quiet(config);
    for (const wire::State& state : {af_to_state(1), tcp_state(2, own_creatorid)})
      ASSERT_EQ(session->insert(state, t0), Session::Local::done);
    EXPECT_EQ(said(t0 + 1s).size(), can ? 2u : 1u);

    for (const wire::State& state : {af_to_state(1), tcp_state(2, own_creatorid)}) {
      wire::Update update = update_of(state);
      update.src.seqlo += 100;
      ASSERT_EQ(session->update(update, t0 + 2s), Session::Local::done);
    }
    const auto updates = said(t0 + 3s);
    ASSERT_EQ(updates.size(), can ? 2u : 1u);
    EXPECT_EQ(updates.back().id.id, 2u);
    EXPECT_EQ(updates.back().message, Message::upd_c);
    EXPECT_EQ(session->counters().lost.updates.value(), can ? 0u : 1u);
    EXPECT_EQ(session->timeout(t0 + 3s), Instant::max());

    for (const std::uint64_t id : {1u, 2u})
      ASSERT_EQ(session->erase({id, own_creatorid}, t0 + 4s), Session::Local::done);
    const auto deletes = said(t0 + 5s);
    ASSERT_EQ(deletes.size(), can ? 2u : 1u);
    EXPECT_EQ(deletes.back().id.id, 2u);
    EXPECT_EQ(session->counters().lost.updates.value(), can ? 0u : 2u);
    EXPECT_EQ(session->counters().lost.states.value(), can ? 0u : 1u);
  }
}

TEST_F(Dialects, HaveNoSectionLargerThanTheirReceiversTake) {
  for (const wire::DialectInfo& dialect : wire::dialect_table) {
    SCOPED_TRACE(dialect.word);
    SessionConfig config;
    config.dialect = dialect.dialect;
    make_quiet(config);
    for (std::uint64_t id = 1; id <= 40; ++id)
      ASSERT_EQ(session->insert(tcp_state(id, own_creatorid), t0), Session::Local::done);
    std::vector<std::uint8_t> room(8960);
    room.resize(session->transmit(room, t0 + 1s));
    wire::PacketReader reader{room};
    wire::Section section;
    std::size_t largest = 0, states = 0;
    while (reader.next(section)) {
      largest = std::max(largest, std::size_t{section.count} * section.action->record_bytes);
      states += section.action->message == Message::ins ? section.count : 0;
    }
    EXPECT_GT(states, 20u);
    if (dialect.section_bytes_max > 0)
      EXPECT_LE(largest, dialect.section_bytes_max);
    else
      EXPECT_GT(largest, 4096u);
  }
}

TEST_F(Dialects, MayMixInOnePacketOfVersionFive) {
  make_quiet();
  std::vector<std::uint8_t> packet(sizeof(wire::Header));
  std::uint64_t id = 0;
  for (const std::uint8_t number : std::array<std::uint8_t, 3>{1, 13, 15}) {  // INS of the three message versions
    const wire::Action& action = *wire::find_action(wire::header_version_freebsd, number);
    packet.insert(packet.end(), {number, 0, 0, 1});
    packet.resize(packet.size() + action.record_bytes);
    wire::write_state(action.layout, tcp_state(++id), wire::Room{packet}.last(action.record_bytes));
  }
  wire::store(wire::Room{packet}, 0,
              wire::Header{wire::header_version_freebsd, 0, wire::Be16{static_cast<std::uint16_t>(packet.size())}, {}});
  session->on_packet(packet, t0);
  EXPECT_EQ(count(Tally::inserts), 3u);
  for (std::uint64_t i = 1; i <= 3; ++i) {
    const auto entry = held({i, peer_creatorid});
    ASSERT_TRUE(entry);
    EXPECT_EQ(statetable::to_state(entry->hot, entry->cold, statetable::to_seconds(t0)), tcp_state(i));
  }
}

TEST_F(Dialects, OfVersionSixMaySkipSectionsWhichIsCounted) {
  make_quiet();
  std::vector<std::uint8_t> room(1480);
  wire::PacketWriter writer{wire::Dialect::openbsd, room};
  ASSERT_TRUE(writer.append_clear({}));
  ASSERT_TRUE(writer.append_state(Message::ins, tcp_state(1)));
  room.resize(writer.finish());
  room[sizeof(wire::Header)] = 77;  // the CLR becomes an action of the future
  session->on_packet(room, t0);
  EXPECT_EQ(count(Tally::sections_skipped), 1u);
  EXPECT_EQ(count(Tally::inserts), 1u);
}

}  // namespace
}  // namespace pfsync::engine
