// An engine in the place of one of the two kernels of a capture. It hears what the other kernel sent, when it was sent;
// what its own kernel's firewall did (states opened, changed, ended) happens to it through the local interface at the
// times at which its kernel told of it. What it then answers must be what the kernel answered, or the difference is
// explained.
#include <gtest/gtest.h>

#include <map>
#include <set>
#include <vector>

#include "engine/session/bulk_sender.h"
#include "engine/session/session.h"
#include "tests/engine/replay/files.h"
#include "wire/convert.h"
#include "wire/ip.h"
#include "wire/packet_reader.h"

namespace pfsync::engine::replay {
namespace {

using namespace std::chrono_literals;
using wire::BulkStatus;
using wire::Message;
using wire::StateId;

constexpr std::uint32_t fw1_creatorid = 0x97bc0c81, fw2_creatorid = 0x9325c295;
const wire::Address fw1 = wire::ipv4_address(10, 3, 0, 1), fw2 = wire::ipv4_address(10, 3, 0, 2);

/// What one side said that answers the other: requests, acks, bulk updates.
struct Answers {
  std::set<StateId> requested, acknowledged;
  std::vector<std::set<StateId>> bulks;  ///< the states between each START and its END
  std::size_t bulk_requests = 0, ends = 0;
  std::vector<std::uint32_t> ages;  ///< seconds since the request, as each START and END says
  std::set<StateId> updated;        ///< full updates outside a bulk

  void hear(wire::Bytes packet, bool& in_bulk) {
    wire::PacketReader reader{packet};
    wire::Section section;
    while (reader.next(section))
      for (std::size_t i = 0; i < section.count; ++i) {
        const wire::Bytes record = section.record(i);
        const Message message = section.action->message;
        if (message == Message::bus) {
          in_bulk = wire::read_bulk_status(record).status == BulkStatus::start;
          ages.push_back(wire::read_bulk_status(record).endtime_s);
          if (in_bulk)
            bulks.emplace_back();
          else
            ++ends;
        } else if (message == Message::upd_req || message == Message::ins_ack || message == Message::upd) {
          const StateId id = wire::read_id(message, section.action->layout, record);
          if (message == Message::ins_ack) acknowledged.insert(id);
          if (message == Message::upd) (in_bulk ? bulks.back() : updated).insert(id);
          if (message == Message::upd_req && id == wire::bulk_request_id) ++bulk_requests;
          if (message == Message::upd_req && id != wire::bulk_request_id) requested.insert(id);
        }
      }
  }
};

/// The engine under the name and with the life of one kernel, and both their answers.
class PlayedNode {
 public:
  struct Options {
    std::string capture;
    wire::Address plays;
    std::uint32_t creatorid;
    Duration starts{0};  ///< into the capture; before that the node is not there
    bool request_bulk = true;
  };

  explicit PlayedNode(const Options& options)
      : options_{options},
        capture_{load(capture_path("freebsd12-pair/" + options.capture))},
        table_{std::move(std::get<std::unique_ptr<statetable::Table>>(
            statetable::Table::create({.states_max = 10'000, .by_connection = true})))},
        session_{[&] {
                   SessionConfig config;
                   config.creatorid = options.creatorid;
                   config.request_bulk = options.request_bulk;
                   return config;
                 }(),
                 *table_, &gate_},
        bulk_{{.creatorid = options.creatorid, .states_per_s = 0}, *table_, &gate_} {}

  /// States that the kernel held when the capture begins: those that it tells of in its bulk updates.
  void hold_what_it_tells_in_bulks() {
    bool in_bulk = false;
    for (const Capture::Packet& packet : capture_.packets()) {
      const auto ip = wire::read_ip(capture_.bytes(packet)).packet;
      if (ip.source != options_.plays) continue;
      each(ip.payload, [&](const wire::Section& section, wire::Bytes record) {
        if (section.action->message == Message::bus)
          in_bulk = wire::read_bulk_status(record).status == BulkStatus::start;
        if (section.action->message != Message::upd) return;
        const wire::State state = wire::read_state(section.action->layout, record);
        // One that is told of only later began later.
        if (in_bulk && packet.at - Duration{std::chrono::seconds{state.creation_s}} < begin()) enter(state, begin());
      });
    }
  }

  void run() {
    gather_births();
    bool started = false;
    for (const Capture::Packet& packet : capture_.packets()) {
      if (packet.at - capture_.packets().front().at < options_.starts) continue;
      if (!started) session_.start(packet.at - 1ms);
      started = true;
      for (; !births_.empty() && births_.begin()->first <= packet.at; births_.erase(births_.begin())) {
        pass_until(births_.begin()->first);
        session_.insert(births_.begin()->second, births_.begin()->first);
      }
      pass_until(packet.at);
      const auto ip = wire::read_ip(capture_.bytes(packet)).packet;
      if (ip.source == options_.plays) {
        kernel.hear(ip.payload, kernel_in_bulk_);
        live(ip.payload, packet.at);
      } else {
        session_.on_packet(ip.payload, packet.at);
      }
      speak(packet.at);
      note_changes(ip.payload);
    }
    pass_until(capture_.packets().back().at + 2s);
  }

  [[nodiscard]] const Session& session() const { return session_; }
  [[nodiscard]] const statetable::Table& table() const { return *table_; }
  Answers kernel, engine;
  std::set<StateId> began, ended;  ///< since a bulk update was asked for

 private:
  template <class F>
  static void each(wire::Bytes packet, F&& f) {
    wire::PacketReader reader{packet};
    wire::Section section;
    while (reader.next(section))
      for (std::size_t i = 0; i < section.count; ++i) f(section, section.record(i));
  }
  [[nodiscard]] Instant begin() const { return capture_.packets().front().at; }

  void enter(const wire::State& state, Instant now) {
    // Its own by the local interface, the other's as it heard of them, from a packet.
    if (state.id.creatorid == options_.creatorid) {
      session_.insert(state, now);
      return;
    }
    std::vector<std::uint8_t> room(1480);
    wire::PacketWriter writer{wire::Dialect::freebsd_1301, room};
    ASSERT_TRUE(writer.append_state(Message::ins, state));
    session_.on_packet(wire::Bytes{room}.first(writer.finish()), now);
  }

  /// A state is there when it begins, and told of up to a second later.
  void gather_births() {
    for (const Capture::Packet& packet : capture_.packets()) {
      const auto ip = wire::read_ip(capture_.bytes(packet)).packet;
      if (ip.source != options_.plays || packet.at - begin() < options_.starts) continue;
      each(ip.payload, [&](const wire::Section& section, wire::Bytes record) {
        if (section.action->message != Message::ins) return;
        const wire::State state = wire::read_state(section.action->layout, record);
        const Duration told_after = state.creation_s > 0 ? 1s : 0s;
        births_.emplace(std::max(packet.at - told_after, begin() + options_.starts), state);
      });
    }
  }

  /// What its firewall did with them: UPD_C and DEL_C tell of that, the others answer somebody.
  void live(wire::Bytes packet, Instant now) {
    each(packet, [&](const wire::Section& section, wire::Bytes record) {
      const Message message = section.action->message;
      if (message == Message::upd_c) session_.update(wire::read_update(section.action->layout, record), now);
      if (message == Message::del_c) session_.erase(wire::read_id(message, section.action->layout, record), now);
    });
  }

  void note_changes(wire::Bytes packet) {
    each(packet, [&](const wire::Section& section, wire::Bytes record) {
      const Message message = section.action->message;
      asked_ = asked_ || (message == Message::upd_req &&
                          wire::read_id(message, section.action->layout, record) == wire::bulk_request_id);
      if (!asked_ || (message != Message::ins && message != Message::del_c)) return;
      (message == Message::ins ? began : ended).insert(wire::read_id(message, section.action->layout, record));
    });
  }

  void pass_until(Instant until) {
    for (Instant due = session_.timeout(now_); due <= until; due = session_.timeout(now_)) {
      now_ = std::max(now_, due);
      session_.on_timeout(now_);
      speak(now_);
      if (session_.timeout(now_) <= now_) now_ += 1ms;
      if (now_ > until) break;
    }
    now_ = std::max(now_, until);
  }

  void speak(Instant now) {
    std::vector<std::uint8_t> room(1480);
    while (const std::size_t bytes = session_.transmit(room, now))
      engine.hear(wire::Bytes{room}.first(bytes), live_in_bulk_);
    if (session_.take_bulk_request()) bulk_.start(now);
    while (const std::size_t bytes = bulk_.transmit(room, now)) {
      engine.hear(wire::Bytes{room}.first(bytes), engine_in_bulk_);
      gate_.frame_handed_over();
    }
  }

  std::multimap<Instant, wire::State> births_;
  Options options_;
  Capture capture_;
  std::unique_ptr<statetable::Table> table_;
  BulkGate gate_;
  Session session_;
  BulkSender bulk_;
  bool kernel_in_bulk_ = false, engine_in_bulk_ = false, live_in_bulk_ = false;
  bool asked_ = false;
  Instant now_{};
};

std::set<StateId> without(std::set<StateId> of, const std::set<StateId>& others) {
  std::erase_if(of, [&](const StateId& id) { return others.contains(id); });
  return of;
}

/// Serves what was asked for: the same states, but for those that came or went while the kernel went through its table,
/// for which it took up to a tenth of a second. Without a pace the engine is done before the next frame.
void expect_same_bulks(const PlayedNode& node) {
  ASSERT_EQ(node.engine.bulks.size(), node.kernel.bulks.size());
  EXPECT_EQ(node.engine.ends, node.kernel.ends);
  // Served at once, both say that no second has passed since the request. A kernel counts them by a clock of whole
  // seconds, and so one too many when that ticked in between.
  ASSERT_EQ(node.engine.ages.size(), node.kernel.ages.size());
  for (std::size_t i = 0; i < node.kernel.ages.size(); ++i) {
    EXPECT_EQ(node.engine.ages[i], 0u);
    EXPECT_LE(node.kernel.ages[i], 1u);
  }
  for (std::size_t i = 0; i < node.kernel.bulks.size(); ++i) {
    EXPECT_GT(node.engine.bulks[i].size(), 40u);
    for (const StateId& id : without(node.kernel.bulks[i], node.engine.bulks[i]))
      EXPECT_TRUE(node.began.contains(id)) << std::hex << id.id << " is missing in bulk update " << i;
    for (const StateId& id : without(node.engine.bulks[i], node.kernel.bulks[i]))
      EXPECT_TRUE(node.ended.contains(id)) << std::hex << id.id << " is too much in bulk update " << i;
  }
}

/// fw2 comes up without a state and asks. The kernel asks again after ten seconds: the END that it got carried an age
/// of a second at a tenth of one, and so seemed to answer somebody's earlier request. The engine knows that both ends
/// count whole seconds, and is content.
TEST(PlayedNode, ABackupThatRebootsGetsItsBulkUpdate) {
  PlayedNode fw2_again{
      {.capture = "05-bulk-after-reboot.pcap", .plays = fw2, .creatorid = fw2_creatorid, .starts = 20s}};
  fw2_again.run();
  EXPECT_EQ(fw2_again.kernel.bulk_requests, 2u);
  EXPECT_EQ(fw2_again.engine.bulk_requests, 1u);
  EXPECT_EQ(fw2_again.session().bulk().phase(), BulkPhase::done);
  EXPECT_TRUE(fw2_again.engine.requested.empty() && fw2_again.kernel.requested.empty());
  EXPECT_GT(fw2_again.table().size(), 800u);
}

TEST(PlayedNode, AMasterServesABackupThatRebooted) {
  PlayedNode node{
      {.capture = "05-bulk-after-reboot.pcap", .plays = fw1, .creatorid = fw1_creatorid, .request_bulk = false}};
  node.hold_what_it_tells_in_bulks();
  node.run();
  EXPECT_EQ(node.kernel.bulks.size(), 2u);
  expect_same_bulks(node);
  EXPECT_TRUE(node.engine.requested.empty() && node.kernel.requested.empty());
}

/// pfsync is configured anew on both while traffic passes: each asks the other. Nothing was held for an ack here.
TEST(PlayedNode, TwoThatAskEachOther) {
  for (const auto& [plays, creatorid] : {std::pair{fw1, fw1_creatorid}, std::pair{fw2, fw2_creatorid}}) {
    PlayedNode node{{.capture = "07-unicast-defer.pcap", .plays = plays, .creatorid = creatorid}};
    node.hold_what_it_tells_in_bulks();
    node.run();
    EXPECT_EQ(node.kernel.bulk_requests, 1u);
    EXPECT_EQ(node.engine.bulk_requests, 1u);
    expect_same_bulks(node);
    EXPECT_EQ(node.engine.requested, node.kernel.requested);
    EXPECT_EQ(node.engine.acknowledged, node.kernel.acknowledged);
    EXPECT_EQ(node.engine.updated, node.kernel.updated);
  }
}

/// fw1 is frozen and comes back. One connection has passed through both, so that each has a state of its own for it:
/// the other's is refused, asked for at its next update, and refused again.
TEST(PlayedNode, AMasterThatWasFrozen) {
  PlayedNode node{{.capture = "08-failover-sync.pcap", .plays = fw1, .creatorid = fw1_creatorid}};
  node.hold_what_it_tells_in_bulks();
  node.run();
  expect_same_bulks(node);
  EXPECT_EQ(node.kernel.requested.size(), 2u);
  EXPECT_EQ(node.engine.requested, node.kernel.requested);
  EXPECT_EQ(node.engine.updated, node.kernel.updated);
}

/// The states of that connection, ended at both ends, give way at fw2 when fw1 tells of its own again. pf keeps such a
/// state until its next purge and so can answer the request that stands behind in the same packet, with CLOSED:CLOSED
/// and no time left; in the engine it is gone. The second gives way one packet later, and is told of before.
TEST(PlayedNode, ABackupWhoseMasterWasFrozen) {
  PlayedNode node{{.capture = "08-failover-sync.pcap", .plays = fw2, .creatorid = fw2_creatorid}};
  node.hold_what_it_tells_in_bulks();
  node.run();
  expect_same_bulks(node);
  EXPECT_EQ(node.kernel.requested.size(), 2u);
  EXPECT_EQ(node.engine.requested, node.kernel.requested);
  EXPECT_TRUE(without(node.engine.updated, node.kernel.updated).empty());
  const auto gave_way = without(node.kernel.updated, node.engine.updated);
  EXPECT_EQ(gave_way.size(), 1u);
  EXPECT_EQ(node.session().counters()[Tally::displaced].value(), 2u);
}

}  // namespace
}  // namespace pfsync::engine::replay
