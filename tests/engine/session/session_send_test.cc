#include "engine/session/bulk_sender.h"
#include "tests/engine/session/session_fixture.h"

namespace pfsync::engine {
namespace {

TEST_F(SessionTest, AChangeWaitsForTheDelay) {
  make_quiet();
  ASSERT_EQ(session->insert(tcp_state(1, 0), t0), Session::Local::done);
  EXPECT_TRUE(said(t0 + 999ms).empty());
  EXPECT_EQ(session->timeout(t0 + 999ms), t0 + 100ms);  // the sweep; the packet is due a second after
  const auto messages = said(t0 + 1s);
  ASSERT_EQ(messages.size(), 1u);
  EXPECT_EQ(messages[0].message, Message::ins);
  EXPECT_EQ(messages[0].id, (wire::StateId{1, own_creatorid}));
  EXPECT_TRUE(said(t0 + 5s).empty());
}

TEST_F(SessionTest, APacketLeavesAsSoonAsItIsFull) {
  make_quiet();
  for (std::uint64_t id = 1; id <= 5; ++id) static_cast<void>(session->insert(tcp_state(id, 0), t0));
  EXPECT_TRUE(said(t0, 1480).empty());
  static_cast<void>(session->insert(tcp_state(6, 0), t0));
  static_cast<void>(session->insert(tcp_state(7, 0), t0));
  EXPECT_EQ(said(t0, 1480).size(), 6u);  // 20 + 4 + 6 * 242 + 4 = 1480
  EXPECT_TRUE(said(t0, 1480).empty());   // the seventh waits for the delay
  EXPECT_EQ(said(t0 + 1s, 1480).size(), 1u);
}

TEST_F(SessionTest, ManyUpdatesOfOneStateGoOutOnceWithTheLatestContent) {
  make_quiet();
  static_cast<void>(session->insert(tcp_state(1, own_creatorid), t0));
  static_cast<void>(said(t0 + 1s));
  wire::Update update = update_of(tcp_state(1, own_creatorid));
  for (std::uint32_t i = 1; i <= 100; ++i) {
    update.src.seqlo = 1000 + i;
    ASSERT_EQ(session->update(update, t0 + 2s), Session::Local::done);
  }
  EXPECT_TRUE(said(t0 + 2s).empty());
  const auto messages = said(t0 + 3s);
  ASSERT_EQ(messages.size(), 1u);
  EXPECT_EQ(wire::read_update(wire::Layout::common, messages[0].record).src.seqlo, 1100u);
}

TEST_F(SessionTest, MaxupdUpdatesPush) {
  make_quiet({.maxupd = 3});
  static_cast<void>(session->insert(tcp_state(1, own_creatorid), t0));
  static_cast<void>(said(t0 + 1s));
  for (int i = 0; i < 3; ++i) static_cast<void>(session->update(update_of(tcp_state(1, own_creatorid)), t0 + 2s));
  EXPECT_TRUE(said(t0 + 2s).empty());
  static_cast<void>(session->update(update_of(tcp_state(1, own_creatorid)), t0 + 2s));
  EXPECT_EQ(said(t0 + 2s).size(), 1u);
}

TEST_F(SessionTest, AStateDeletedBeforeItsInsertLeftIsNeverMentioned) {
  make_quiet();
  static_cast<void>(session->insert(tcp_state(1, own_creatorid), t0));
  EXPECT_EQ(session->erase({1, own_creatorid}, t0), Session::Local::done);
  EXPECT_TRUE(said(t0 + 2s).empty());
}

TEST_F(SessionTest, ADeleteReplacesAQueuedUpdate) {
  make_quiet();
  static_cast<void>(session->insert(tcp_state(1, own_creatorid), t0));
  static_cast<void>(said(t0 + 1s));
  static_cast<void>(session->update(update_of(tcp_state(1, own_creatorid)), t0 + 1s));
  static_cast<void>(session->erase({1, own_creatorid}, t0 + 1s));
  const auto messages = said(t0 + 2s);
  ASSERT_EQ(messages.size(), 1u);
  EXPECT_EQ(messages[0].message, Message::del_c);
}

TEST_F(SessionTest, SectionsLeaveInTheKernelsOrder) {
  make_quiet();
  static_cast<void>(session->insert(tcp_state(1, own_creatorid), t0));
  static_cast<void>(session->insert(tcp_state(2, own_creatorid), t0));
  static_cast<void>(session->insert(tcp_state(3, own_creatorid), t0));
  static_cast<void>(said(t0 + 1s));
  receive_id(Message::upd_req, {2, own_creatorid}, t0 + 1s);
  static_cast<void>(session->update(update_of(tcp_state(1, own_creatorid)), t0 + 1s));
  static_cast<void>(session->erase({3, own_creatorid}, t0 + 1s));
  wire::State acked = tcp_state(7);
  acked.state_flags = wire::state_flag::ack;
  receive_state(Message::ins, acked, t0 + 1s);
  receive_update(update_of(tcp_state(8)), t0 + 1s);
  static_cast<void>(session->insert(tcp_state(4, own_creatorid), t0 + 1s));
  std::vector<Message> order;
  for (const Said& message : said(t0 + 1s)) order.push_back(message.message);
  EXPECT_EQ(order, (std::vector{Message::ins, Message::ins_ack, Message::upd, Message::upd_c, Message::del_c,
                                Message::upd_req}));
}

TEST_F(SessionTest, PfsyncsOwnStatesAndNosyncStatesStayHome) {
  make_quiet();
  wire::State own = tcp_state(1, own_creatorid);
  own.proto = wire::ipproto::pfsync;
  wire::State nosync = tcp_state(2, own_creatorid);
  nosync.state_flags = wire::state_flag::nosync;
  ASSERT_EQ(session->insert(own, t0), Session::Local::done);
  ASSERT_EQ(session->insert(nosync, t0), Session::Local::done);
  static_cast<void>(session->update(update_of(nosync), t0));
  static_cast<void>(session->erase(nosync.id, t0));
  EXPECT_TRUE(said(t0 + 5s).empty());
}

TEST_F(SessionTest, OwnStatesThatExpireAreAnnounced) {
  make_quiet();
  static_cast<void>(session->insert(udp_state(1, own_creatorid), t0));
  static_cast<void>(said(t0 + 1s));
  for (Instant now = t0; now < t0 + 32s; now += 100ms) session->on_timeout(now);
  EXPECT_EQ(table->size(), 0u);
  const auto messages = said(t0 + 33s);
  ASSERT_EQ(messages.size(), 1u);
  EXPECT_EQ(messages[0].message, Message::del_c);
}

TEST_F(SessionTest, AnUpdateOfAStateThatIsAliveElsewhereLeavesAtOnce) {
  make_quiet();
  receive_state(Message::ins, tcp_state(1));
  static_cast<void>(session->update(update_of(tcp_state(1)), t0 + 1s));
  EXPECT_EQ(said(t0 + 1s).size(), 1u);
}

TEST_F(SessionTest, EveryUpdateWithinTwoSecondsOfBeingHeardLeavesAtOnce) {
  make_quiet();
  receive_state(Message::ins, tcp_state(1));
  for (const Instant now : {t0 + 100ms, t0 + 900ms, t0 + 1999ms}) {
    static_cast<void>(session->update(update_of(tcp_state(1)), now));
    EXPECT_EQ(said(now).size(), 1u);
  }
  static_cast<void>(session->update(update_of(tcp_state(1)), t0 + 2s));
  EXPECT_TRUE(said(t0 + 2s).empty());
  EXPECT_EQ(said(t0 + 3s).size(), 1u);
}

TEST_F(SessionTest, FlushRemovesOwnStatesAndSaysOneClear) {
  make_quiet();
  static_cast<void>(session->insert(tcp_state(1, own_creatorid), t0));
  static_cast<void>(session->insert(tcp_state(2, own_creatorid), t0));
  receive_state(Message::ins, tcp_state(3));
  EXPECT_EQ(session->flush({}, t0), 2u);
  EXPECT_EQ(table->size(), 1u);
  const auto messages = said(t0);
  ASSERT_EQ(messages.size(), 1u);
  EXPECT_EQ(messages[0].message, Message::clr);
  EXPECT_EQ(wire::read_clear(messages[0].record), (wire::Clear{{}, own_creatorid}));
}

TEST_F(SessionTest, ABulkIsAskedForAtStartAndRetriedTwelveTimes) {
  make();
  std::size_t requests = 0;
  Instant now = t0;
  for (; session->bulk().phase() != BulkPhase::failed && now < t0 + 200s; now += 500ms) {
    session->on_timeout(now);
    for (const Said& message : said(now))
      requests += message.message == Message::upd_req && message.id == wire::StateId{};
  }
  EXPECT_EQ(requests, 13u);
  EXPECT_EQ(now - t0, 65s + 500ms);
}

TEST_F(SessionTest, AnEndThatAnswersAnOlderRequestIsIgnored) {
  make();
  receive(t0 + 1s, [](wire::PacketWriter& writer) {
    ASSERT_TRUE(writer.append_bulk_status({peer_creatorid, 50, wire::BulkStatus::end}));
  });
  EXPECT_EQ(session->bulk().phase(), BulkPhase::asked);
  receive(t0 + 1s, [](wire::PacketWriter& writer) {
    ASSERT_TRUE(writer.append_bulk_status({peer_creatorid, 1, wire::BulkStatus::end}));
  });
  EXPECT_EQ(session->bulk().phase(), BulkPhase::done);
}

/// The packets of a whole bulk update, at most `packets_max` of them.
std::vector<std::vector<std::uint8_t>> bulk_packets(BulkSender& sender, Instant now, std::size_t packets_max = 10000) {
  std::vector<std::vector<std::uint8_t>> packets;
  for (; sender.running() && packets.size() < packets_max; now = std::max(now, sender.timeout())) {
    std::vector<std::uint8_t> room(1480);
    const std::size_t bytes = sender.transmit(room, now);
    if (bytes == 0) continue;
    room.resize(bytes);
    packets.push_back(std::move(room));
  }
  return packets;
}

TEST_F(SessionTest, ABulkCarriesEveryStateInFullPackets) {
  make_quiet();
  for (std::uint64_t id = 1; id <= 600; ++id) receive_state(Message::ins, tcp_state(id));
  receive_id(Message::upd_req, wire::bulk_request_id);
  ASSERT_TRUE(session->take_bulk_request());
  EXPECT_FALSE(session->take_bulk_request());
  BulkSender sender{{.creatorid = own_creatorid, .states_per_s = 0}, *table};
  sender.start(t0);
  const auto packets = bulk_packets(sender, t0);
  EXPECT_EQ(packets.size(), 101u);  // 5 beside START, then 6 each, the last beside END
  EXPECT_EQ(sender.states_sent(), 600u);

  const auto served = std::move(table);
  const auto digest = served->digest();
  const auto old_session = std::move(session);
  make();
  for (const auto& packet : packets) session->on_packet(packet, t0);
  EXPECT_EQ(session->bulk().phase(), BulkPhase::done);
  EXPECT_EQ(session->bulk().states(), 600u);
  EXPECT_EQ(table->digest(), digest);
}

TEST_F(SessionTest, AnEmptyTableAnswersStartAndEnd) {
  make();
  BulkSender sender{{.creatorid = own_creatorid}, *table};
  sender.start(t0);
  const auto packets = bulk_packets(sender, t0);
  // Two packets: receivers look at the first BUS of a section only.
  ASSERT_EQ(packets.size(), 2u);
  session->on_packet(packets[0], t0);
  EXPECT_EQ(session->bulk().phase(), BulkPhase::receiving);
  session->on_packet(packets[1], t0);
  EXPECT_EQ(session->bulk().phase(), BulkPhase::done);
}

TEST_F(SessionTest, ABulkIsPaced) {
  make_quiet();
  for (std::uint64_t id = 1; id <= 600; ++id) receive_state(Message::ins, tcp_state(id));
  BulkSender sender{{.creatorid = own_creatorid, .states_per_s = 100}, *table};
  sender.start(t0);
  std::size_t packets = 0;
  std::array<std::uint8_t, 1480> room{};
  for (Instant now = t0; now < t0 + 1s; now += 1ms) packets += sender.transmit(room, now) > 0;
  EXPECT_GE(sender.states_sent(), 100u);
  EXPECT_LE(sender.states_sent(), 108u);
}

TEST_F(SessionTest, ADeleteWaitsForTheBulkFrameThatMayCarryItsState) {
  BulkGate gate;
  make({.request_bulk = false}, &gate);
  static_cast<void>(session->insert(tcp_state(1, own_creatorid), t0));
  static_cast<void>(said(t0 + 1s));
  BulkSender sender{{.creatorid = own_creatorid, .states_per_s = 0}, *table, &gate};
  sender.start(t0 + 1s);
  std::array<std::uint8_t, 1480> room{};
  ASSERT_GT(sender.transmit(room, t0 + 1s), 0u);  // filled, not yet handed over
  static_cast<void>(session->erase({1, own_creatorid}, t0 + 1s));
  EXPECT_TRUE(said(t0 + 3s).empty());
  gate.frame_handed_over();
  const auto messages = said(t0 + 3s);
  ASSERT_EQ(messages.size(), 1u);
  EXPECT_EQ(messages[0].message, Message::del_c);
}

TEST_F(SessionTest, AnUpdateWaitsForTheBulkFrameThatCarriesWhatWasBefore) {
  BulkGate gate;
  make({.request_bulk = false}, &gate);
  static_cast<void>(session->insert(tcp_state(1, own_creatorid), t0));
  static_cast<void>(session->insert(tcp_state(2, own_creatorid), t0));
  static_cast<void>(said(t0 + 1s));
  BulkSender sender{{.creatorid = own_creatorid, .states_per_s = 0}, *table, &gate};
  sender.start(t0 + 1s);
  std::array<std::uint8_t, 1480> room{};
  ASSERT_GT(sender.transmit(room, t0 + 1s), 0u);  // filled, not yet handed over
  const auto change = [&](std::uint64_t id, std::uint32_t seqlo, Instant now) {
    wire::Update update = update_of(tcp_state(id, own_creatorid));
    update.src.seqlo = seqlo;
    EXPECT_EQ(session->update(update, now), Session::Local::done);
  };
  change(1, 2000, t0 + 1s);
  EXPECT_TRUE(said(t0 + 2s).empty());
  gate.frame_handed_over();
  const auto told = [](const Said& one) { return wire::read_update(wire::Layout::common, one.record).src.seqlo; };
  auto messages = said(t0 + 2s);
  ASSERT_EQ(messages.size(), 1u);
  EXPECT_EQ(told(messages[0]), 2000u);
  EXPECT_EQ(session->queued(), 0u);

  // Behind a frame that was begun after the first of two changes, the second is told again.
  change(1, 2500, t0 + 3s);
  gate.frame_begun();
  EXPECT_TRUE(said(t0 + 4s).empty()) << "its batch begins when it is due";
  gate.frame_begun();
  change(1, 3000, t0 + 4s);
  gate.frame_handed_over();
  messages = said(t0 + 4s);
  ASSERT_EQ(messages.size(), 1u);
  EXPECT_EQ(told(messages[0]), 3000u);
  EXPECT_EQ(session->queued(), 1u);
  EXPECT_TRUE(said(t0 + 4s + 999ms).empty()) << "in its own time";
  EXPECT_TRUE(said(t0 + 5s).empty()) << "behind the frame";
  gate.frame_handed_over();
  messages = said(t0 + 5s);
  ASSERT_EQ(messages.size(), 1u);
  EXPECT_EQ(told(messages[0]), 3000u);
  EXPECT_EQ(session->queued(), 0u);

  // One that leaves its batch otherwise holds nobody back.
  gate.frame_begun();
  change(1, 4000, t0 + 6s);
  EXPECT_TRUE(said(t0 + 7s).empty());
  change(2, 4000, t0 + 7s);
  EXPECT_EQ(session->erase({1, own_creatorid}, t0 + 7s), Session::Local::done);
  gate.frame_handed_over();
  messages = said(t0 + 8s);
  ASSERT_EQ(messages.size(), 2u);
  EXPECT_EQ(messages[0].message, Message::upd_c);
  EXPECT_EQ(messages[1].message, Message::del_c);
  EXPECT_EQ(session->queued(), 0u);
}

TEST_F(SessionTest, AStateThatOnlyABulkFrameMentionedIsDeletedAloud) {
  BulkGate gate;
  make({.request_bulk = false}, &gate);
  BulkSender sender{{.creatorid = own_creatorid, .states_per_s = 0}, *table, &gate};
  std::array<std::uint8_t, 1480> room{};
  // Inserted, sent by the bulk before its own insert left, and gone again before that.
  ASSERT_EQ(session->insert(tcp_state(1, own_creatorid), t0), Session::Local::done);
  sender.start(t0);
  ASSERT_GT(sender.transmit(room, t0), 0u);
  gate.frame_handed_over();
  ASSERT_EQ(session->erase({1, own_creatorid}, t0), Session::Local::done);
  auto messages = said(t0 + 2s);
  ASSERT_EQ(messages.size(), 1u);
  EXPECT_EQ(messages[0].message, Message::del_c);
  // The same while a frame is being filled: it was begun before the insert, and may yet read it.
  gate.frame_begun();
  ASSERT_EQ(session->insert(tcp_state(2, own_creatorid), t0 + 3s), Session::Local::done);
  ASSERT_EQ(session->erase({2, own_creatorid}, t0 + 3s), Session::Local::done);
  EXPECT_TRUE(said(t0 + 5s).empty()) << "it waits for the frame";
  gate.frame_handed_over();
  messages = said(t0 + 5s);
  ASSERT_EQ(messages.size(), 1u);
  EXPECT_EQ(messages[0].message, Message::del_c);
  // And with no frame about, nobody was told, so nobody is told.
  ASSERT_EQ(session->insert(tcp_state(3, own_creatorid), t0 + 6s), Session::Local::done);
  ASSERT_EQ(session->erase({3, own_creatorid}, t0 + 6s), Session::Local::done);
  EXPECT_TRUE(said(t0 + 8s).empty());
}

}  // namespace
}  // namespace pfsync::engine
