#include "engine/dpdk/data_path.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <chrono>
#include <deque>
#include <filesystem>
#include <memory>
#include <thread>

#include "wire/packet_writer.h"

namespace pfsync::engine::dpdk {
namespace {

using namespace std::chrono_literals;

struct NodeOptions {
  std::string device;
  std::uint32_t creatorid = 1;
  wire::Address address = wire::ipv4_address(10, 0, 0, 1);
  wire::Address destination = wire::pfsync_group_inet;
  SyntheticFirewall* load = nullptr;
  unsigned cores = 1;
  SyntheticFirewall* load_of_other = nullptr;  ///< of the second core
};

/// A further core of a node of one peer.
struct OtherCore {
  OtherCore(PartitionedSession& node, unsigned number, const Link& link, SyntheticFirewall* load)
      : path{{.session = node,
              .number = number,
              .link = link,
              .lanes = {&lane_pointer, 1},
              .synthetic = load,
              .clock = CycleClock{},
              .busy = false}} {}
  FrameExchange lane{PartPath::buffers_max};
  FrameExchange* lane_pointer = &lane;
  PartPath path;
};

/// A node as the daemon makes it, all of its threads driven by hand, on a clock of the test's own.
struct Node {
  explicit Node(const NodeOptions& options)
      : table{std::move(std::get<0>(statetable::Table::create({.states_max = 20'000})))},
        port{options.device},
        node{[&] {
               SessionConfig config;
               config.creatorid = options.creatorid;
               config.delay = 20ms;
               return config;
             }(),
             *table, options.cores, Port::place_bytes(1500), &gate},
        sender{{.creatorid = options.creatorid, .states_per_s = 0}, *table, &gate},
        link{{.mac = {{2, 0, 0, 0, 0, static_cast<std::uint8_t>(options.creatorid)}},
              .address = options.address,
              .destination = options.destination},
             session.counters()},
        other_cores{make_others(options, node, link)},
        others{pointers(other_cores)},
        path{{.port = port,
              .link = link,
              .session = node,
              .others = others,
              .lanes = {&lane, 1},
              .synthetic = options.load,
              .clock = CycleClock{},
              .busy = true,
              .stacks = {&first_stack, 1},
              .demotion = demotion}} {
    bulk.supply(port);
    for (OtherCore& other : other_cores) other.lane.supply(port);
  }

  void turn(Instant now) {
    path.turn(now);
    for (OtherCore& other : other_cores) other.path.turn(now);
    if (session.take_bulk_request()) sender.start(now);
    bulk.fill(sender, link, now);
  }
  CommandResult command(const Command& command, Instant now) {
    EXPECT_TRUE(path.commands().post(command));
    path.turn(now);
    for (OtherCore& other : other_cores) other.path.turn(now);
    if (!other_cores.empty()) path.turn(now);
    return path.commands().take().value_or(CommandResult{});
  }

  std::unique_ptr<statetable::Table> table;
  Port port;
  BulkExchange bulk;
  BulkGate gate;
  PartitionedSession node;
  Session& session = node.first();
  BulkSender sender;
  Link link;
  DataPath::Lane lane{&bulk, &gate};
  carp::Journal journal;
  carp::Demotion demotion{journal};
  carp::Node carp_node{{.name = "test", .hosts = {}}, demotion, journal};
  Membership membership{{}};
  HostStack stack{port, carp_node, membership};
  HostStack* first_stack = &stack;
  std::deque<OtherCore> other_cores;
  std::vector<PartPath*> others;
  DataPath path;

 private:
  static std::deque<OtherCore> make_others(const NodeOptions& options, PartitionedSession& node, const Link& link) {
    std::deque<OtherCore> made;
    for (unsigned number = 1; number < options.cores; ++number)
      made.emplace_back(node, number, link, number == 1 ? options.load_of_other : nullptr);
    return made;
  }
  static std::vector<PartPath*> pointers(std::deque<OtherCore>& cores) {
    std::vector<PartPath*> all;
    for (OtherCore& core : cores) all.push_back(&core.path);
    return all;
  }
};

class Folder {
 public:
  Folder() : path_{std::filesystem::temp_directory_path() / ("data_path." + std::to_string(getpid()))} {
    std::filesystem::create_directory(path_);
  }
  ~Folder() { std::filesystem::remove_all(path_); }
  [[nodiscard]] std::string file(const char* name) const { return (path_ / name).string(); }

 private:
  std::filesystem::path path_;
};

/// Both ends over a socket, with a load on the first, until the second has the first's table.
void expect_one_table(wire::Address a_sends_to, wire::Address b_sends_to, unsigned cores = 1) {
  const Folder folder;
  const std::string socket = folder.file("memif.sock");
  const SyntheticConfig whole{.states = 5000, .fill_per_s = 50'000, .new_per_s = 1000, .updates_per_s = 5000};
  SyntheticFirewall load{part_of(whole, 0, cores)}, load_of_other{part_of(whole, cores - 1, cores)};
  Node a{{.device = "net_memif0,role=server,socket-abstract=no,socket=" + socket,
          .destination = a_sends_to,
          .load = &load,
          .cores = cores,
          .load_of_other = &load_of_other}};
  // The device's own thread connects in real time; protocol time advances with each turn.
  Instant now = Instant{} + 1h;
  EXPECT_TRUE(a.command({.kind = Command::Kind::link_up}, now).done);
  for (int i = 0; i < 500; ++i, now += 1ms) a.turn(now);
  ASSERT_GT(a.table->size(), 4000u);
  Node b{{.device = "net_memif1,role=client,socket-abstract=no,socket=" + socket,
          .creatorid = 2,
          .address = wire::ipv4_address(10, 0, 0, 2),
          .destination = b_sends_to,
          .cores = cores}};
  const auto both = [&](int turns, auto&& reached) {
    for (int i = 0; i < turns && !reached(); ++i, now += 1ms) {
      a.turn(now);
      b.turn(now);
      std::this_thread::sleep_for(50us);
    }
    return reached();
  };
  ASSERT_TRUE(both(60'000, [&] { return b.port.link_up(); }));
  EXPECT_TRUE(b.command({.kind = Command::Kind::link_up}, now).done);
  ASSERT_TRUE(both(60'000, [&] { return b.session.bulk().phase() == BulkPhase::done; }));
  load.stop();
  load_of_other.stop();
  const auto queued = [](const Node& node) {
    std::uint64_t sum = node.path.queued();
    for (const OtherCore& other : node.other_cores) sum += other.path.queued();
    return sum;
  };
  EXPECT_TRUE(both(20'000, [&] { return queued(a) == 0 && a.table->digest() == b.table->digest(); }));
  EXPECT_GT(b.table->size(), 4000u);
  for (unsigned part = 0; part < cores; ++part) {
    EXPECT_GT(a.node.part(part).counters().out(wire::Message::upd_c).value(), 0u) << "part " << part << " spoke";
    EXPECT_GT(b.node.part(part).counters()[Tally::inserts].value(), 1000u) << "part " << part << " heard";
  }
  EXPECT_GT(b.session.counters().in(wire::Message::upd).value(), 4000u);
  EXPECT_GT(a.path.bulk_frames(), 600u);  // full ones, not a state each
  EXPECT_LT(a.path.bulk_frames(), 1500u);
}

TEST(DataPath, TwoNodesKeepOneTableByMulticast) { expect_one_table(wire::pfsync_group_inet, wire::pfsync_group_inet); }

TEST(DataPath, TwoNodesKeepOneTableByUnicast) {
  expect_one_table(wire::ipv4_address(10, 0, 0, 2), wire::ipv4_address(10, 0, 0, 1));
}

TEST(DataPath, TwoNodesOfTwoCoresKeepOneTable) {
  expect_one_table(wire::pfsync_group_inet, wire::pfsync_group_inet, 2);
}

TEST(DataPath, ADeviceThatPushesBackLosesNothingWhileAFurtherCoreIsBehind) {
  const Folder folder;
  const std::string socket = folder.file("memif.sock");
  const SyntheticConfig whole{.states = 2000, .fill_per_s = 50'000, .new_per_s = 1000, .updates_per_s = 100'000};
  SyntheticFirewall load{whole};
  Node a{{.device = "net_memif0,role=server,socket-abstract=no,socket=" + socket, .load = &load}};
  Node b{{.device = "net_memif1,role=client,socket-abstract=no,socket=" + socket,
          .creatorid = 2,
          .address = wire::ipv4_address(10, 0, 0, 2),
          .cores = 2}};
  Instant now = Instant{} + 1h;
  for (int i = 0; i < 60'000 && !(a.port.link_up() && b.port.link_up()); ++i) std::this_thread::sleep_for(50us);
  EXPECT_TRUE(a.command({.kind = Command::Kind::link_up}, now).done);
  EXPECT_TRUE(b.command({.kind = Command::Kind::link_up}, now).done);
  const auto both = [&](int turns, auto&& reached) {
    for (int i = 0; i < turns && !reached(); ++i, now += 1ms) {
      a.turn(now);
      b.turn(now);
      std::this_thread::sleep_for(20us);
    }
    return reached();
  };
  ASSERT_TRUE(both(60'000, [&] { return b.table->size() > 1900; }));
  const std::uint64_t before = b.session.counters()[Tally::ipackets].value();
  for (const Instant until = now + 990ms; now < until; now += 1ms) {
    a.turn(now);
    b.path.turn(now);
  }
  EXPECT_GE(b.session.counters()[Tally::ipackets].value() - before, PartitionedSession::waiting_max - 64)
      << "as many as may wait";
  load.stop();
  EXPECT_TRUE(both(20'000, [&] { return a.path.queued() == 0 && a.table->digest() == b.table->digest(); }));
  EXPECT_EQ(b.session.counters()[Tally::parts_behind].value(), 0u);
  EXPECT_EQ(b.session.counters()[Tally::updates_left_out].value(), 0u);
}

/// Removes every state, in all parts at once.
struct Emptying final : LiveChange {
  explicit Emptying(PartitionedSession& of) : node{&of} {}
  void take_place(Instant now) noexcept override {
    for (unsigned part = 0; part < node->parts(); ++part) flushed += node->part(part).flush({}, now);
  }
  PartitionedSession* node;
  std::size_t flushed = 0;
};

/// Each core on a thread of its own, commands from a third. During a change the other core stands still.
TEST(DataPath, CoresOnTheirThreadsCarryCommandsOutAndSayAllBeforeTheyEnd) {
  const SyntheticConfig whole{.states = 400, .fill_per_s = 100'000, .new_per_s = 500, .updates_per_s = 5000};
  SyntheticFirewall load{part_of(whole, 0, 2)}, load_of_other{part_of(whole, 1, 2)};
  Node node{{.device = "net_null6", .load = &load, .cores = 2, .load_of_other = &load_of_other}};
  std::thread first{[&] { node.path.run(); }};
  std::thread second{[&] { node.others.front()->run(); }};
  const auto wait_for = [](auto&& reached) {
    for (int i = 0; i < 100'000 && !reached(); ++i) std::this_thread::sleep_for(100us);
    return reached();
  };
  const auto ask = [&](const Command& command) {
    EXPECT_TRUE(node.path.commands().post(command));
    std::optional<CommandResult> result;
    EXPECT_TRUE(wait_for([&] { return result || (result = node.path.commands().take()); }));
    return result.value_or(CommandResult{});
  };
  EXPECT_TRUE(ask({.kind = Command::Kind::link_up}).done);
  EXPECT_TRUE(wait_for([&] { return node.table->size() == 400; }));
  load.stop();
  load_of_other.stop();
  EXPECT_TRUE(ask({.kind = Command::Kind::push}).done);
  Emptying emptying{node.node};
  EXPECT_TRUE(ask({.kind = Command::Kind::change, .change = &emptying}).done);
  EXPECT_GE(emptying.flushed, 399u) << "one may have been closed and not yet opened again";
  EXPECT_EQ(ask({.kind = Command::Kind::flush}).states, node.table->size());
  load.resume();
  load_of_other.resume();
  EXPECT_TRUE(wait_for([&] { return node.table->size() > 20; }));
  node.path.stop();
  node.others.front()->stop();
  first.join();
  second.join();
  for (unsigned part = 0; part < 2; ++part) EXPECT_EQ(node.node.part(part).queued(), 0u) << part;
  EXPECT_TRUE(node.other_cores.front().lane.is_empty());
}

TEST(DataPath, CarriesCommandsOut) {
  SyntheticFirewall load{{.states = 100, .fill_per_s = 100'000, .new_per_s = 0, .updates_per_s = 0}};
  Node node{{.device = "net_null1", .load = &load}};
  Instant now = Instant{} + 1h;
  for (int i = 0; i < 100; ++i, now += 1ms) node.turn(now);
  ASSERT_EQ(node.table->size(), 100u);
  load.stop();

  statetable::TableReader::Cursor cursor;
  const wire::StateId id = node.table->reader().next(cursor).value().hot.id;
  const CommandResult killed = node.command({.kind = Command::Kind::kill, .id = id}, now);
  EXPECT_TRUE(killed.done);
  EXPECT_EQ(killed.states, 1u);
  EXPECT_EQ(node.table->size(), 99u);
  EXPECT_FALSE(node.command({.kind = Command::Kind::kill, .id = id}, now).done) << "it is gone";

  const CommandResult flushed = node.command({.kind = Command::Kind::flush}, now);
  EXPECT_EQ(flushed.states, 99u);
  EXPECT_EQ(node.table->size(), 0u);

  const auto asked = node.session.counters()[Tally::bulk_requests_out].value();
  EXPECT_TRUE(node.command({.kind = Command::Kind::resync}, now).done);
  EXPECT_EQ(node.session.counters()[Tally::bulk_requests_out].value(), asked + 1);
}

TEST(DataPath, StandsBackWhileABulkUpdateIsUnderWayAndNeverLonger) {
  Node node{{.device = "net_null5"}};
  Instant now = Instant{} + 1h;
  const auto pass = [&](Duration duration) {
    for (const Instant end = now + duration; now < end; now += 50ms) node.turn(now);
  };
  const auto hear = [&](std::uint8_t status) {
    std::array<std::uint8_t, 200> room{};
    wire::PacketWriter writer{wire::Dialect::freebsd_1301, room};
    ASSERT_TRUE(writer.append_bulk_status({.creatorid = 2, .endtime_s = 0, .status = status}));
    node.session.on_packet(wire::Bytes{room}.first(writer.finish()), now);
    node.turn(now);
  };
  const auto stands_back = [&] { return node.demotion.total() == carp::Demotion::factor; };
  pass(1s);
  EXPECT_FALSE(stands_back() || node.demotion.may_preempt()) << "nobody has been asked";
  node.stack.set_link(true);

  // Nobody answers.
  EXPECT_TRUE(node.command({.kind = Command::Kind::link_up}, now).done);
  EXPECT_TRUE(stands_back());
  pass(66s);
  ASSERT_EQ(node.session.bulk().phase(), BulkPhase::failed);
  EXPECT_EQ(node.demotion.total(), 0);
  EXPECT_FALSE(node.demotion.may_preempt());

  // The peer dies in the middle.
  node.command({.kind = Command::Kind::retry}, now);
  hear(wire::BulkStatus::start);
  ASSERT_EQ(node.session.bulk().phase(), BulkPhase::receiving);
  EXPECT_TRUE(stands_back());
  pass(90s);
  ASSERT_EQ(node.session.bulk().phase(), BulkPhase::failed);
  EXPECT_EQ(node.demotion.total(), 0);

  // The link flaps in the middle, again and again, and stays down.
  for (int i = 0; i < 5; ++i) {
    node.stack.set_link(true);
    node.command({.kind = Command::Kind::link_up}, now);
    hear(wire::BulkStatus::start);
    pass(1s);
    EXPECT_TRUE(stands_back());
    node.stack.set_link(false);
    pass(1s);
  }
  pass(90s);
  EXPECT_EQ(node.demotion.total(), 0);
  EXPECT_FALSE(node.demotion.may_preempt());

  // One comes to its end.
  node.stack.set_link(true);
  node.command({.kind = Command::Kind::link_up}, now);
  hear(wire::BulkStatus::start);
  EXPECT_TRUE(stands_back());
  hear(wire::BulkStatus::end);
  EXPECT_EQ(node.demotion.total(), 0);
  EXPECT_TRUE(node.demotion.may_preempt());
  node.stack.set_link(false);
  pass(1s);
  EXPECT_FALSE(node.demotion.may_preempt()) << "what the others change is not heard";
}

TEST(DataPath, OnceSuspendedItAsksForEverythingAndStandsBackMeanwhile) {
  Node node{{.device = "net_null10"}};
  Instant now = Instant{} + 1h;
  const auto pass = [&](Duration duration) {
    for (const Instant end = now + duration; now < end; now += 50ms) node.turn(now);
  };
  const auto hear = [&](std::uint8_t status) {
    std::array<std::uint8_t, 200> room{};
    wire::PacketWriter writer{wire::Dialect::freebsd_1301, room};
    ASSERT_TRUE(writer.append_bulk_status({.creatorid = 2, .endtime_s = 0, .status = status}));
    node.session.on_packet(wire::Bytes{room}.first(writer.finish()), now);
    node.turn(now);
  };
  const auto requests = [&] { return node.session.counters().out(wire::Message::upd_req).value(); };
  node.stack.set_link(true);
  pass(1s);
  node.command({.kind = Command::Kind::link_up}, now);
  hear(wire::BulkStatus::end);
  pass(10s);
  ASSERT_TRUE(node.demotion.may_preempt());
  const std::uint64_t before = requests();
  now += 2s;  // a busy machine
  pass(1s);
  EXPECT_EQ(requests(), before);
  EXPECT_EQ(node.demotion.total(), 0);
  EXPECT_EQ(node.path.absences(), 0u);

  now += 4s;
  node.turn(now);
  EXPECT_EQ(node.path.absences(), 1u);
  EXPECT_GE(node.path.last_absence(), 4s);
  EXPECT_EQ(node.demotion.total(), carp::Demotion::factor) << "what the others said meanwhile may be missing here";
  EXPECT_FALSE(node.demotion.may_preempt());
  pass(1s);
  EXPECT_EQ(requests(), before + 1);
  hear(wire::BulkStatus::start);
  hear(wire::BulkStatus::end);
  EXPECT_EQ(node.demotion.total(), 0);
  EXPECT_TRUE(node.demotion.may_preempt());
}

TEST(DataPath, PreemptsNobodyOnceItsPeerIsSilentThoughTheCarrierStays) {
  Node node{{.device = "net_null9", .destination = wire::ipv4_address(10, 0, 0, 2)}};
  Counters counters;
  Link peer{{.mac = {{2, 0, 0, 0, 0, 9}},
             .address = wire::ipv4_address(10, 0, 0, 2),
             .destination = wire::ipv4_address(10, 0, 0, 1)},
            counters};
  Instant now = Instant{} + 1h;
  const auto pass = [&](Duration duration) {
    for (const Instant end = now + duration; now < end; now += 50ms) node.turn(now);
  };
  const auto sign_of_life = [&] {
    std::array<std::uint8_t, 96> room{};
    const std::size_t bytes = peer.transmit_resolution(room, now);
    ASSERT_GT(bytes, 0u);
    EXPECT_FALSE(node.link.on_frame(wire::Bytes{room}.first(bytes)));
  };
  const auto be_told_all = [&] {
    std::array<std::uint8_t, 200> room{};
    wire::PacketWriter writer{wire::Dialect::freebsd_1301, room};
    ASSERT_TRUE(writer.append_bulk_status({.creatorid = 2, .endtime_s = 0, .status = wire::BulkStatus::end}));
    node.session.on_packet(wire::Bytes{room}.first(writer.finish()), now);
    node.turn(now);
  };
  node.stack.set_link(true);
  pass(1s);
  sign_of_life();
  EXPECT_TRUE(node.command({.kind = Command::Kind::link_up}, now).done);
  be_told_all();
  pass(5s);
  EXPECT_TRUE(node.demotion.may_preempt());
  pass(30s);
  EXPECT_FALSE(node.demotion.may_preempt()) << "silent";
  EXPECT_TRUE(node.session.silent_since());
  sign_of_life();
  pass(1s);
  EXPECT_FALSE(node.session.silent_since());
  EXPECT_FALSE(node.demotion.may_preempt()) << "what it said meanwhile is missing here";
  EXPECT_EQ(node.demotion.total(), 0);
  be_told_all();
  EXPECT_TRUE(node.demotion.may_preempt());
}

TEST(DataPath, KnowsItsOwnFrames) {
  SyntheticFirewall load{{.states = 1000, .fill_per_s = 1'000'000, .new_per_s = 1000, .updates_per_s = 10'000}};
  Node node{{.device = "net_ring4", .load = &load}};  // gives back what was sent
  Instant now = Instant{} + 1h;
  for (int i = 0; i < 50; ++i, now += 1ms) node.turn(now);
  EXPECT_GT(node.session.counters()[wire::Reject::looped].value(), 0u);
  EXPECT_EQ(node.session.counters()[Tally::ipackets].value(), 0u);
  EXPECT_EQ(node.port.oerrors(), 0u);
}

TEST(DataPath, DoesWithoutUpdatesWhileMoreArrivesThanItTakes) {
  Node node{{.device = "net_ring11"}};  // gives back what was sent
  Counters counters;
  Link other{
      {.mac = {{2, 0, 0, 0, 0, 9}}, .address = wire::ipv4_address(10, 0, 0, 9), .destination = wire::pfsync_group_inet},
      counters};
  Instant now = Instant{} + 1h;
  std::uint64_t last = 0;
  const auto send = [&](auto&& fill) {
    const wire::Room room = node.port.room();
    ASSERT_FALSE(room.empty());
    wire::PacketWriter writer{wire::Dialect::freebsd_1301, other.packet_room(room, wire::Dialect::freebsd_1301)};
    fill(writer);
    node.port.commit(other.finish(room, writer.finish(), 0));
  };
  // A new state and an update in turn, in so many frames.
  const auto hear = [&](std::size_t frames) {
    for (int i = 0; i < 3; ++i) node.path.turn(now += 1ms);  // takes what it has said itself
    for (std::size_t i = 0; i < frames; ++i)
      send([&](wire::PacketWriter& writer) {
        wire::State state;
        state.ifname = wire::InterfaceName{"em0"};
        state.af = wire::Family::inet;
        state.proto = wire::ipproto::tcp;
        state.timeout = pftm::tcp_established;
        state.expire_s = 86400;
        if (i % 2 == 0) {
          state.id = {++last, 9};
          for (auto& key : state.key) key.port = {80, static_cast<std::uint16_t>(1024 + last)};
          ASSERT_TRUE(writer.append_state(wire::Message::ins, state));
        } else {
          ASSERT_TRUE(writer.append_update({{1, 9}, state.src, state.dst, state.timeout}));
        }
      });
    ASSERT_TRUE(node.port.flush());
    node.path.turn(now += 1ms);
  };
  const auto updates = [&] { return node.session.counters().in(wire::Message::upd_c).value(); };
  hear(Port::burst_max);
  EXPECT_EQ(node.table->size(), last);
  EXPECT_EQ(updates(), Port::burst_max / 2);

  node.path.set_overloaded(true);
  constexpr std::uint64_t bursts = 20, said = bursts * Port::burst_max / 2;
  const auto left_out = [&] { return node.session.counters()[Tally::updates_left_out].value(); };
  for (std::uint64_t i = 0; i < bursts; ++i) hear(Port::burst_max);
  EXPECT_EQ(node.table->size(), last) << "what begins is kept";
  EXPECT_EQ(updates() + left_out(), Port::burst_max / 2 + said);
  EXPECT_NEAR(static_cast<double>(left_out()), said / 2.0, said / 10.0) << "and half of the updates";
  const std::uint64_t before = left_out();
  hear(8);
  EXPECT_EQ(left_out(), before) << "nothing waits behind them";

  node.path.set_overloaded(false);
  hear(Port::burst_max);
  EXPECT_EQ(node.table->size(), last);
  EXPECT_EQ(left_out(), before);
}

TEST(DataPath, WaitsForAPeerThatIsOutOfBreathButNotForEver) {
  const Folder folder;
  const std::string options = ",socket-abstract=no,socket=" + folder.file("memif.sock");
  SyntheticFirewall load{{.states = 20'000, .fill_per_s = 1'000'000, .new_per_s = 0, .updates_per_s = 1'000'000}};
  Node a{{.device = "net_memif0,role=server" + options, .load = &load}};
  Node b{{.device = "net_memif1,role=client" + options, .creatorid = 2, .address = wire::ipv4_address(10, 0, 0, 2)}};
  for (int i = 0; i < 10'000 && !(a.port.link_up() && b.port.link_up()); ++i) std::this_thread::sleep_for(1ms);
  ASSERT_TRUE(a.port.link_up() && b.port.link_up());
  // b does not read. Well within the patience everything waits, in the queue and in the outbox.
  Instant now = Instant{} + 1h;
  for (int i = 0; i < 1000; ++i, now += 1ms) a.turn(now);
  EXPECT_EQ(a.port.oerrors(), 0u);
  EXPECT_GT(a.path.queued(), 1000u);
  for (int i = 0; i < 3000; ++i, now += 1ms) a.turn(now);
  EXPECT_GT(a.port.oerrors(), 0u);
}

TEST(DataPath, SendsWhatIsQueuedBeforeItEnds) {
  const Folder folder;
  SyntheticFirewall load{{.states = 50, .fill_per_s = 100'000, .new_per_s = 0, .updates_per_s = 0}};
  {
    Node node{{.device = "net_pcap4,tx_pcap=" + folder.file("out.pcap"), .load = &load}};
    const Instant now = Instant{} + 1h;
    node.path.turn(now);
    node.path.turn(now + 5ms);  // opened; the last of them are too few for a packet, and too young
    ASSERT_EQ(node.table->size(), 50u);
    ASSERT_GT(node.path.queued(), 0u);
    node.path.stop();
    node.path.run();
    EXPECT_EQ(node.session.queued(), 0u);
    EXPECT_EQ(node.session.counters().out(wire::Message::ins).value(), 50u);
  }
  EXPECT_GT(std::filesystem::file_size(folder.file("out.pcap")), 50u * 200);
}

}  // namespace
}  // namespace pfsync::engine::dpdk
