// Peers come, go and change while a session runs.
#include <atomic>
#include <thread>

#include "engine/link/link.h"
#include "engine/session/command_slot.h"
#include "tests/engine/allocations.h"
#include "tests/engine/session/session_hub.h"
#include "tests/under_sanitizer.h"
#include "wire/arp.h"
#include "wire/ethernet.h"
#include "wire/ip.h"

namespace pfsync::engine {
namespace {

using Before = std::vector<std::optional<std::size_t>>;

class SessionChange : public Hub {
 protected:
  void change(const SessionConfig& config, const Before& before, Instant now) {
    const auto prepared = session->prepare(config, before);
    const std::uint64_t taken = test::allocations();
    session->adopt(*prepared, now);
    EXPECT_EQ(test::allocations(), taken) << "the data path takes no memory";
  }
  void change_peers(std::vector<PeerConfig> peers, const Before& before, Instant now) {
    SessionConfig config = session->config();
    config.peers = std::move(peers);
    change(config, before, now);
  }
};

TEST_F(SessionChange, APeerThatStaysKeepsItsQueueAndItsDialect) {
  make_hub({{.learn_dialect = true}, {.learn_dialect = true}, {.learn_dialect = true}});
  from(
      2, t0, [](wire::PacketWriter& writer) { ASSERT_TRUE(writer.append_state(Message::ins, tcp_state(9))); },
      Dialect::freebsd_1400);
  told(0, t0 + 1s);
  told(1, t0 + 1s);
  state_from(0, tcp_state(1), t0 + 2s);
  // The first goes, the third is now the first, the second stays where it is, and one comes.
  change_peers({{.learn_dialect = true}, {.learn_dialect = true}, {.dialect = Dialect::openbsd}}, {2, 1, std::nullopt},
               t0 + 2s);
  EXPECT_EQ(session->peers(), 3u);
  EXPECT_EQ(session->dialect(0).in_use(), Dialect::freebsd_1400);
  EXPECT_TRUE(session->dialect(0).is_learned());
  EXPECT_EQ(session->dialect(2).in_use(), Dialect::openbsd);
  EXPECT_EQ(told(0, t0 + 3s), (Told{{Message::ins, 1}}));
  EXPECT_EQ(told(1, t0 + 3s), (Told{{Message::ins, 1}}));
  EXPECT_EQ(told(2, t0 + 3s), Told{}) << "what was before it";
  state_from(0, tcp_state(2), t0 + 4s);
  EXPECT_EQ(told(0, t0 + 5s), Told{});
  EXPECT_EQ(told(1, t0 + 5s), (Told{{Message::ins, 2}}));
  EXPECT_EQ(told(2, t0 + 5s), (Told{{Message::ins, 2}}));
}

TEST_F(SessionChange, ABulkUpdateGoesOnAndANewPeerIsAsked) {
  make_hub(std::vector<PeerConfig>(1), true);
  EXPECT_EQ(told(0, t0 + 1s), (Told{{Message::upd_req, 0}}));
  from(0, t0 + 2s, [](wire::PacketWriter& writer) {
    ASSERT_TRUE(writer.append_bulk_status({peer_creatorid, 0, wire::BulkStatus::start}));
  });
  ASSERT_EQ(session->bulk(0).phase(), BulkPhase::receiving);
  change_peers(std::vector<PeerConfig>(2), {std::nullopt, 0}, t0 + 2s);
  EXPECT_EQ(session->bulk(1).phase(), BulkPhase::receiving);
  EXPECT_EQ(session->bulk(0).phase(), BulkPhase::asked);
  EXPECT_EQ(told(0, t0 + 3s), (Told{{Message::upd_req, 0}}));
  EXPECT_EQ(told(1, t0 + 3s), Told{});
  from(1, t0 + 4s, [](wire::PacketWriter& writer) {
    ASSERT_TRUE(writer.append_bulk_status({peer_creatorid, 2, wire::BulkStatus::end}));
  });
  EXPECT_EQ(session->bulk(1).phase(), BulkPhase::done);
  EXPECT_FALSE(session->is_catching_up()) << "nobody stands back for what a further peer may add";
}

TEST_F(SessionChange, NobodyIsAskedWhereTheConfigurationSaysSo) {
  make_hub(std::vector<PeerConfig>(1));
  change_peers(std::vector<PeerConfig>(2), {0, std::nullopt}, t0);
  EXPECT_EQ(session->bulk(1).phase(), BulkPhase::none);
  EXPECT_EQ(told(1, t0 + 2s), Told{});
}

TEST_F(SessionChange, DialectAndInterfaceMapChangeInPlace) {
  make_hub(std::vector<PeerConfig>(2));
  state_from(0, tcp_state(1), t0);
  PeerConfig fixed{.dialect = Dialect::freebsd_1500};
  EXPECT_EQ(fixed.interfaces.add(wire::InterfaceName{"vmx1"}, wire::InterfaceName{"igb1"}), InterfaceMap::Added::yes);
  change_peers({PeerConfig{}, fixed}, {0, 1}, t0);
  EXPECT_EQ(session->dialect(1).in_use(), Dialect::freebsd_1500);
  EXPECT_TRUE(session->dialect(1).is_fixed());
  EXPECT_EQ(session->interfaces(1).map(), fixed.interfaces);
  EXPECT_EQ(told(1, t0 + 1s), (Told{{Message::ins, 1}})) << "in the new dialect";
  wire::State unmapped = tcp_state(2);
  unmapped.ifname = wire::InterfaceName{"em0"};
  state_from(0, unmapped, t0 + 2s);
  told(1, t0 + 3s);
  EXPECT_GT(session->interfaces(1).unmapped_out().total(), 0u);
  EXPECT_EQ(fixed.interfaces.add(wire::InterfaceName{"em0"}, wire::InterfaceName{"em7"}), InterfaceMap::Added::yes);
  change_peers({PeerConfig{}, fixed}, {0, 1}, t0 + 4s);
  EXPECT_EQ(session->interfaces(1).unmapped_out().total(), 0u);
  EXPECT_EQ(session->interfaces(1).unmapped_out().size(), 0u);
  // What it is heard to speak decides again, once it may.
  PeerConfig learned = fixed;
  learned.learn_dialect = true;
  learned.dialect = Dialect::freebsd_1301;
  change_peers({PeerConfig{}, learned}, {0, 1}, t0 + 5s);
  EXPECT_EQ(session->dialect(1).in_use(), Dialect::freebsd_1301);
  from(
      1, t0 + 6s, [](wire::PacketWriter& writer) { ASSERT_TRUE(writer.append_state(Message::ins, tcp_state(3))); },
      Dialect::freebsd_1400);
  EXPECT_EQ(session->dialect(1).in_use(), Dialect::freebsd_1400);
}

TEST_F(SessionChange, TimeoutsAndPace) {
  make_hub(std::vector<PeerConfig>(2));
  SessionConfig config = session->config();
  config.delay = 5s;
  config.timeouts.value[pftm::tcp_established] = 100;
  change(config, {0, 1}, t0);
  state_from(0, tcp_state(1), t0);
  EXPECT_EQ(told(1, t0 + 4s), Told{});
  EXPECT_EQ(told(1, t0 + 5s), (Told{{Message::ins, 1}}));
  const auto snapshot = table->reader().find({1, peer_creatorid});
  ASSERT_TRUE(snapshot);
  EXPECT_EQ(snapshot->hot.expire_at_s, statetable::to_seconds(t0) + 100) << "not the day that it asks for";
  // maxupd: one update too many of a TCP state makes it leave at once.
  config.maxupd = 2;
  change(config, {0, 1}, t0 + 6s);
  wire::Update update = update_of(tcp_state(1));
  for (int i = 1; i <= 3; ++i) {
    EXPECT_EQ(told(1, t0 + 6s), Told{});
    update.src.seqlo += 10;
    update_from(0, update, t0 + 6s);
  }
  EXPECT_EQ(told(1, t0 + 6s), (Told{{Message::upd_c, 1}}));
}

/// Who told of a state that is held back is known by more than its place, which may be another's by then.
TEST_F(SessionChange, AStateHeldBackIsNotToldToWhoToldOfIt) {
  SessionConfig config;
  config.peers = std::vector<PeerConfig>(3);
  config.request_bulk = false;
  config.expire = false;
  config.sync_rules = {{.action = SyncRule::Action::delay, .age_s = 10}};
  make(config);
  wire::State state = tcp_state(1);
  state_from(2, state, t0);
  change_peers(std::vector<PeerConfig>(3), {std::nullopt, 0, 2}, t0 + 1s);
  session->on_timeout(t0 + 11s);
  EXPECT_EQ(told(0, t0 + 13s), (Told{{Message::ins, 1}}));
  EXPECT_EQ(told(1, t0 + 13s), (Told{{Message::ins, 1}}));
  EXPECT_EQ(told(2, t0 + 13s), Told{});
  state_from(0, tcp_state(2), t0 + 14s);
  change_peers(std::vector<PeerConfig>(3), {std::nullopt, 1, 2}, t0 + 15s);
  session->on_timeout(t0 + 25s);
  for (unsigned peer = 0; peer < 3; ++peer)
    EXPECT_EQ(told(peer, t0 + 27s), (Told{{Message::ins, 2}})) << "who told of it is gone";
}

TEST_F(SessionChange, PeersComeAndGoForEver) {
  make_hub(std::vector<PeerConfig>(2));
  for (unsigned i = 0; i < (under_sanitizer ? 20 : 300); ++i) {
    change_peers(std::vector<PeerConfig>(2), {1, std::nullopt}, t0);
    ASSERT_EQ(session->peers(), 2u);
  }
  state_from(0, tcp_state(1), t0);
  EXPECT_EQ(told(1, t0 + 1s), (Told{{Message::ins, 1}}));
}

/// The data path works while peers come and go: what it uses was made by one thread and goes back to it.
TEST_F(SessionChange, PeersAreHandedOverBetweenTwoThreads) {
  struct Handover final : LiveChange {
    Handover(Session& of, Session::ChangePointer made) : session{&of}, change{std::move(made)} {}
    void take_place(Instant now) noexcept override { session->adopt(*change, now); }
    Session* session;
    Session::ChangePointer change;
  };
  make_hub(std::vector<PeerConfig>(2));
  CommandSlot slot;
  std::atomic<bool> stop{false};
  std::thread data_path{[&] {
    std::vector<std::uint8_t> room(1480);
    std::uint64_t id = 0;
    for (Instant now = t0; !stop.load(std::memory_order_relaxed); now += 100ms) {
      if (id < 500) state_from(0, tcp_state(++id), now);
      for (unsigned peer = 0; peer < session->peers(); ++peer)
        while (session->transmit(peer, room, now) > 0) {
        }
      const bool served = slot.serve([&](const Command& command) -> std::optional<CommandResult> {
        command.change->take_place(now);
        return CommandResult{true, 0};
      });
      if (!served) std::this_thread::yield();
    }
  }};
  for (unsigned round = 0; round < (under_sanitizer ? 15 : 60); ++round) {
    SessionConfig config = session->config();
    config.peers = std::vector<PeerConfig>(1 + 7 * round % peers_max);
    config.maxupd = 1 + round;
    Before before(config.peers.size());
    before[0] = 0;  // whose packets come all the time
    if (before.size() > 2 && session->peers() > 1) before.back() = session->peers() - 1;
    Handover handover{*session, session->prepare(config, before)};
    ASSERT_TRUE(slot.post({.kind = Command::Kind::change, .change = &handover}));
    while (!slot.take()) std::this_thread::yield();
    // The control thread reads, as when somebody asks for the status.
    ASSERT_EQ(session->peers(), config.peers.size());
    for (unsigned peer = 0; peer < session->peers(); ++peer)
      EXPECT_EQ(session->dialect(peer).in_use(), Dialect::freebsd_1301);
  }
  stop = true;
  data_path.join();
  EXPECT_GT(table->size(), 0u);
}

TEST(LinkChange, KnowsWhereThePeersAreThatStay) {
  constexpr wire::MacAddress own{{2, 0, 0, 0, 0, 1}}, mac{{2, 0, 0, 0, 0, 2}}, other_mac{{2, 0, 0, 0, 0, 3}};
  const auto host = [](std::uint8_t number) { return wire::ipv4_address(10, 0, 0, number); };
  LinkConfig config{.mac = own, .address = host(1), .peers = {{host(2), {}}, {host(3), other_mac}}};
  Counters counters;
  Link link{config, counters};
  std::vector<std::uint8_t> reply(60);
  const std::size_t header =
      wire::write_ethernet_header(own, mac, std::nullopt, wire::ethertype::arp, wire::Room{reply});
  ASSERT_GT(wire::write_arp({.operation = wire::ArpOperation::reply,
                             .sender_mac = mac,
                             .sender = host(2),
                             .target_mac = own,
                             .target = host(1)},
                            wire::Room{reply}.subspan(header)),
            0u);
  EXPECT_FALSE(link.on_frame(reply));
  ASSERT_TRUE(link.can_send(0));

  config.peers = {{host(4), {}}, {host(3), {}}, {host(2), {}}};
  config.sources = {{host(2), {}}};
  Link next{config, counters};
  const Before before{std::nullopt, 1, 0};
  const std::uint64_t taken = test::allocations();
  link.adopt(next, before);
  EXPECT_EQ(test::allocations(), taken);
  EXPECT_FALSE(link.can_send(0));
  EXPECT_TRUE(link.can_send(1)) << "the address that was configured is used until it answers";
  EXPECT_TRUE(link.can_send(2));
  const auto packet_from = [&](const wire::Address& source) {
    std::vector<std::uint8_t> frame(14 + 20 + 20);
    static_cast<void>(wire::write_ethernet_header(own, mac, std::nullopt, wire::ethertype::ipv4, wire::Room{frame}));
    static_cast<void>(wire::write_ip_header({wire::Family::inet, source, host(1), wire::ipproto::pfsync}, 20,
                                            wire::Room{frame}.subspan(14)));
    return frame;
  };
  const auto of_two = packet_from(host(2)), of_three = packet_from(host(3));
  const auto arrival = link.on_frame(of_two);
  ASSERT_TRUE(arrival);
  EXPECT_EQ(arrival->peer, 2u);
  EXPECT_FALSE(link.on_frame(of_three)) << "not among the sources any more";
}

}  // namespace
}  // namespace pfsync::engine
