#include "engine/session/partitioned_session.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <map>
#include <random>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "tests/engine/session/session_fixture.h"

namespace pfsync::engine {
namespace {

using Packet = std::vector<std::uint8_t>;

/// What was said, without the packet around it: each message to its peer, in any order.
using Words = std::multiset<std::string>;

/// Two peers, so that what one says is passed on to the other, whose parts are turned one after the other.
class Engine {
 public:
  explicit Engine(unsigned parts, std::size_t states_max = 10'000)
      : table_{std::move(std::get<0>(statetable::Table::create(
            {.states_max = states_max, .shard_bits = 3, .hash_seed = 7, .by_connection = true})))},
        node_{config(), *table_, parts, 4000} {
    node_.first().start(t0);
  }
  PartitionedSession& node() { return node_; }
  statetable::Table& table() { return *table_; }

  void receive(std::span<const Packet> packets, unsigned peer, Instant now) {
    std::vector<Arrival> arrivals;
    arrivals.reserve(packets.size());
    for (const Packet& packet : packets) arrivals.push_back({.packet = packet, .peer = peer});
    node_.on_packets(arrivals, now);
    settle(now);
  }
  /// Until no part has anything to do.
  void settle(Instant now) {
    for (bool busy = true; busy;) {
      busy = false;
      for (unsigned i = 0; i < node_.parts(); ++i) busy = node_.turn(i, now) > 0 || busy;
    }
  }
  CommandResult command(const Command& command, Instant now) {
    EXPECT_TRUE(node_.begin(command, now));
    settle(now);
    return node_.ended().value_or(CommandResult{});
  }
  /// One packet of one part; empty when it has none.
  Packet packet_of(unsigned part, unsigned peer, Instant now) {
    Packet room(1480);
    room.resize(node_.part(part).transmit(peer, room, now));
    return room;
  }
  /// All that all parts have to say now.
  Words words(Instant now) {
    Words words;
    for (unsigned i = 0; i < node_.parts(); ++i) node_.part(i).push();
    for (unsigned round = 0; round < 3; ++round) {
      settle(now);
      for (unsigned i = 0; i < node_.parts(); ++i)
        for (unsigned peer = 0; peer < 2; ++peer)
          for (Packet packet; !(packet = packet_of(i, peer, now)).empty();) add_words(words, packet, peer);
    }
    return words;
  }
  std::uint64_t count(auto key) const {
    Counters sums;
    node_.add_counters(sums);
    return sums[key].value();
  }
  Counters& sums(Counters& into) {
    node_.add_counters(into);
    return into;
  }

 private:
  static SessionConfig config() {
    SessionConfig config{.creatorid = own_creatorid, .request_bulk = false};
    config.peers.resize(2);
    return config;
  }
  static void add_words(Words& words, const Packet& packet, unsigned peer) {
    wire::PacketReader reader{packet};
    wire::Section section;
    while (reader.next(section))
      for (std::size_t i = 0; i < section.count && section.action->message != Message::eof; ++i) {
        const wire::Bytes record = section.record(i);
        std::string word{static_cast<char>('0' + peer),
                         static_cast<char>('a' + static_cast<int>(section.action->message))};
        word.append(record.begin(), record.end());
        words.insert(word);
      }
    EXPECT_FALSE(reader.reject().has_value());
  }

  std::unique_ptr<statetable::Table> table_;
  PartitionedSession node_;
};

template <class F>
Packet packet_with(F&& fill) {
  Packet room(4000);
  wire::PacketWriter writer{wire::Dialect::freebsd_1301, room};
  fill(writer);
  room.resize(writer.finish());
  return room;
}

/// A connection of its own for each creator.
wire::State random_state(std::mt19937_64& random, std::uint64_t ids) {
  const auto creator = static_cast<std::uint32_t>(peer_creatorid + random() % 3);
  wire::State state = tcp_state(1 + random() % ids, creator);
  for (auto& key : state.key) key.addr[0].bytes[2] = static_cast<std::uint8_t>(creator);
  state.src.seqlo += static_cast<std::uint32_t>(random() % 50'000);
  state.src.seqhi = state.src.seqlo + 65'000;
  return state;
}

/// Any message about one of so many states of three creators.
Packet random_packet(std::mt19937_64& random, std::uint64_t ids) {
  return packet_with([&](wire::PacketWriter& writer) {
    for (std::uint64_t messages = 1 + random() % 8; messages > 0; --messages) {
      const wire::State state = random_state(random, ids);
      switch (random() % 12) {
        case 0:
        case 1:
        case 2:
        case 3: static_cast<void>(writer.append_state(Message::ins, state)); break;
        case 4: static_cast<void>(writer.append_state(Message::upd, state)); break;
        case 5:
        case 6:
        case 7:
        case 8: static_cast<void>(writer.append_update(update_of(state))); break;
        case 9: static_cast<void>(writer.append_id(Message::upd_req, state.id)); break;
        default: static_cast<void>(writer.append_id(Message::del_c, state.id)); break;
      }
    }
  });
}

/// A state of another id that has the connection of one that may be there.
Packet collision(std::mt19937_64& random, std::uint64_t ids) {
  wire::State state = random_state(random, ids);
  state.id.id += 1000 * (1 + random() % 5);
  if (random() % 2 == 0) state.id.creatorid = peer_creatorid + 7;
  return packet_with([&](wire::PacketWriter& writer) { static_cast<void>(writer.append_state(Message::ins, state)); });
}

Packet clear_of(std::uint32_t creatorid) {
  return packet_with([&](wire::PacketWriter& writer) { static_cast<void>(writer.append_clear({{}, creatorid})); });
}

TEST(PartitionedSession, ManyPartsHoldAndSayWhatOneDoes) {
  constexpr std::uint64_t ids = 150;
  Engine one{1};
  Engine two{2}, three{3}, eight{8};
  std::mt19937_64 random{4711};
  Instant now = t0;
  for (int burst = 0; burst < 1500; ++burst) {
    now += 1300ms;
    std::vector<Packet> packets;
    if (random() % 8 == 0)
      packets.push_back(collision(random, ids));
    else if (random() % 60 == 0)
      packets.push_back(clear_of(static_cast<std::uint32_t>(peer_creatorid + random() % 3)));
    else
      for (std::uint64_t n = 1 + random() % 6; n > 0; --n) packets.push_back(random_packet(random, ids));
    const auto peer = static_cast<unsigned>(random() % 2);
    one.receive(packets, peer, now);
    const Words expected = one.words(now);
    for (Engine* many : {&two, &three, &eight}) {
      many->receive(packets, peer, now);
      ASSERT_EQ(many->words(now), expected) << many->node().parts() << " parts, burst " << burst;
      ASSERT_EQ(many->table().size(), one.table().size()) << many->node().parts() << " parts, burst " << burst;
    }
  }
  EXPECT_GT(one.table().size(), 50u);
  Counters expected;
  one.sums(expected);
  for (const Tally tally : {Tally::collisions, Tally::displaced, Tally::removed_before, Tally::requests_suppressed,
                            Tally::inserts, Tally::updates, Tally::removals})
    EXPECT_GT(expected[tally].value(), 0u) << tally_table[static_cast<std::size_t>(tally)].word;
  for (Engine* many : {&two, &three, &eight}) {
    EXPECT_EQ(many->table().digest(), one.table().digest());
    Counters sums;
    many->sums(sums);
    for (const TallyInfo& row : tally_table)
      if (row.tally != Tally::opackets) {
        EXPECT_EQ(sums[row.tally].value(), expected[row.tally].value()) << row.word;
      }
    for (std::size_t i = 0; i < wire::reject_count; ++i)
      EXPECT_EQ(sums.rejects[i].value(), expected.rejects[i].value()) << wire::reject_table[i].word;
    for (std::size_t i = 0; i < wire::message_count; ++i) {
      EXPECT_EQ(sums.received[i].value(), expected.received[i].value()) << i;
      EXPECT_EQ(sums.sent[i].value(), expected.sent[i].value()) << i;
    }
  }
}

TEST(PartitionedSession, TheTableIsFullWhenAllPartsTogetherHoldItsStates) {
  Engine engine{4, 500};
  for (std::uint64_t n = 0; n < 700; ++n) {
    const Packet packet = packet_with(
        [&](wire::PacketWriter& writer) { static_cast<void>(writer.append_state(Message::ins, tcp_state(n + 1))); });
    engine.receive({&packet, 1}, 0, t0 + 1s);
    ASSERT_EQ(engine.table().size(), std::min<std::uint64_t>(n + 1, 500));
  }
  EXPECT_EQ(engine.count(Tally::table_full), 200u);
}

TEST(PartitionedSession, EachPartAsksAmidABulkUpdateToo) {
  Engine engine{4};
  const auto receive = [&](Instant now, auto&& fill) {
    const Packet packet = packet_with(fill);
    engine.receive({&packet, 1}, 0, now);
  };
  const auto status = [&](std::uint8_t what, Instant now) {
    receive(now, [&](wire::PacketWriter& writer) {
      static_cast<void>(writer.append_bulk_status({peer_creatorid, 0, what}));
    });
  };
  const auto updates = [&](Instant now) {
    receive(now, [&](wire::PacketWriter& writer) {
      for (std::uint64_t id = 1; id <= 40; ++id) static_cast<void>(writer.append_update(update_of(tcp_state(id))));
    });
  };
  engine.node().first().request_bulk(t0);
  EXPECT_EQ(engine.words(t0).size(), 2u);  // of each peer
  status(wire::BulkStatus::start, t0);
  updates(t0);
  EXPECT_EQ(engine.words(t0 + 1s).size(), 40u);
}

/// A part that is late has not cleared yet when another has new states to tell of.
TEST(PartitionedSession, AClearIsToldAfterAllThatWasBeforeItAndBeforeAllThatIsAfter) {
  Engine engine{2};
  PartitionedSession& node = engine.node();
  const auto say = [&](std::uint64_t first, std::uint64_t count) {
    return packet_with([&](wire::PacketWriter& writer) {
      for (std::uint64_t n = 0; n < count; ++n)
        static_cast<void>(writer.append_state(Message::ins, tcp_state(first + n)));
    });
  };
  const Instant now = t0 + 1s;
  const std::vector<Packet> before{say(1, 8)};
  engine.receive(before, 0, now);
  ASSERT_GT(node.part(0).queued(), 0u);
  ASSERT_GT(node.part(1).queued(), 0u);

  const std::vector<Packet> packets{clear_of(peer_creatorid), say(101, 8)};
  const std::vector<Arrival> arrivals{{.packet = packets[0]}, {.packet = packets[1]}};
  node.on_packets(arrivals, now);
  node.turn(0, now);
  for (unsigned part : {0u, 1u}) node.part(part).push();
  EXPECT_TRUE(engine.packet_of(0, 1, now).empty()) << "the other part holds what is to be cleared, and may tell it";
  EXPECT_FALSE(engine.packet_of(1, 1, now).empty()) << "it knows nothing of the clear yet";

  node.turn(1, now);
  node.part(1).push();
  EXPECT_TRUE(engine.packet_of(1, 1, now).empty()) << "the clear has not left";
  node.turn(0, now);
  node.part(0).push();
  const Packet told = engine.packet_of(0, 1, now);
  wire::PacketReader reader{told};
  wire::Section section;
  ASSERT_TRUE(reader.next(section));
  EXPECT_EQ(section.action->message, Message::clr);
  EXPECT_TRUE(engine.packet_of(1, 1, now).empty()) << "whether it left is known with the next turn";
  node.turn(0, now);
  node.part(1).push();
  EXPECT_FALSE(engine.packet_of(1, 1, now).empty());
  EXPECT_EQ(engine.table().size(), 8u);
  Counters sums;
  EXPECT_EQ(engine.sums(sums).out(Message::clr).value(), 1u);
}

TEST(PartitionedSession, CommandsReachEveryPartAndAreSummed) {
  Engine engine{3};
  std::vector<wire::StateId> own;
  for (std::uint64_t n = 1; own.size() < 60; ++n)
    for (unsigned part = 0; part < 3; ++part) {
      wire::State state = tcp_state(n, own_creatorid);
      Session& session = engine.node().part(part);
      const bool owns = session.owns(state.id);
      ASSERT_EQ(session.insert(state, t0) == Session::Local::elsewhere, !owns);
      if (owns) own.push_back(state.id);
    }
  ASSERT_EQ(engine.table().size(), 60u);
  EXPECT_EQ(engine.command({.kind = Command::Kind::push}, t0).states, 120u) << "60 for each of two peers";
  EXPECT_EQ(engine.command({.kind = Command::Kind::kill, .id = own[7]}, t0).states, 1u);
  EXPECT_FALSE(engine.command({.kind = Command::Kind::kill, .id = own[7]}, t0).done);
  EXPECT_EQ(engine.command({.kind = Command::Kind::flush}, t0).states, 59u);
  EXPECT_EQ(engine.table().size(), 0u);
  Words words = engine.words(t0);
  EXPECT_EQ(std::ranges::count_if(
                words, [](const std::string& word) { return word[1] == 'a' + static_cast<char>(Message::clr); }),
            2)
      << "one for each peer";
}

TEST(PartitionedSession, ABulkUpdateIsCompleteWhenEveryPartHasIt) {
  auto made = statetable::Table::create({.states_max = 1000, .shard_bits = 3, .hash_seed = 7});
  statetable::Table& table = *std::get<0>(made);
  PartitionedSession node{{.creatorid = own_creatorid}, table, 2};
  node.first().start(t0);
  node.turn(1, t0);
  EXPECT_TRUE(node.is_catching_up());
  EXPECT_FALSE(node.part(1).is_catching_up()) << "one part asks";
  const Packet bulk = packet_with([](wire::PacketWriter& writer) {
    static_cast<void>(writer.append_bulk_status({.creatorid = peer_creatorid, .status = wire::BulkStatus::start}));
    for (std::uint64_t n = 1; n <= 6; ++n) static_cast<void>(writer.append_state(Message::upd, tcp_state(n)));
  });
  const Packet end = packet_with([](wire::PacketWriter& writer) {
    static_cast<void>(
        writer.append_bulk_status({.creatorid = peer_creatorid, .endtime_s = 1, .status = wire::BulkStatus::end}));
  });
  const std::vector<Arrival> arrivals{{.packet = bulk}, {.packet = end}};
  node.on_packets(arrivals, t0 + 1s);
  EXPECT_EQ(node.first().bulk().phase(), BulkPhase::done);
  EXPECT_EQ(node.first().bulk().states(), 6u);
  EXPECT_TRUE(node.is_catching_up()) << "the other part has its states still to enter";
  node.turn(1, t0 + 1s);
  EXPECT_FALSE(node.is_catching_up());
  EXPECT_EQ(table.size(), 6u);
}

/// Its id is no state's, and hashes to some part or other.
TEST(PartitionedSession, TheFirstPartIsAskedForABulkUpdate) {
  for (std::uint64_t seed = 1; seed <= 8; ++seed) {
    auto made = statetable::Table::create({.states_max = 100, .shard_bits = 2, .hash_seed = seed});
    PartitionedSession node{{.creatorid = own_creatorid, .request_bulk = false}, *std::get<0>(made), 4};
    const Packet packet = packet_with([](wire::PacketWriter& writer) {
      static_cast<void>(writer.append_id(Message::upd_req, wire::bulk_request_id));
    });
    const Arrival arrival{.packet = packet};
    node.on_packets({&arrival, 1}, t0);
    for (unsigned part = 1; part < 4; ++part) {
      node.turn(part, t0);
      EXPECT_FALSE(node.part(part).take_bulk_request());
    }
    EXPECT_TRUE(node.first().take_bulk_request()) << seed;
    Counters sums;
    node.add_counters(sums);
    EXPECT_EQ(sums[Tally::bulk_requests_in].value(), 1u);
    EXPECT_EQ(sums[Reject::badstate].value(), 0u);
  }
}

TEST(PartitionedSession, WhatFindsNoRoomIsDroppedForAllAndCounted) {
  Engine engine{2};
  const Packet too_long(5000);
  engine.receive({&too_long, 1}, 0, t0);
  EXPECT_EQ(engine.count(Tally::parts_behind), 1u);
  EXPECT_EQ(engine.count(Tally::ipackets), 0u);
  const Packet packet = packet_with([](wire::PacketWriter& writer) {
    static_cast<void>(writer.append_id(Message::del_c, {1, peer_creatorid}));
  });
  const Arrival arrival{.packet = packet};
  for (std::size_t n = 0; n < PartitionedSession::waiting_max; ++n) engine.node().on_packets({&arrival, 1}, t0);
  EXPECT_FALSE(engine.node().has_room());
  engine.node().on_packets({&arrival, 1}, t0);
  EXPECT_EQ(engine.count(Tally::parts_behind), 2u);
  EXPECT_EQ(engine.count(Tally::ipackets), PartitionedSession::waiting_max);
  EXPECT_FALSE(engine.node().begin({.kind = Command::Kind::push}, t0));
  engine.settle(t0);
  EXPECT_TRUE(engine.node().has_room());
}

/// The other parts on threads of their own, this one the first: once all have taken everything, the table is that of
/// one part alone.
TEST(PartitionedSessionThreads, PartsOnTheirOwnCoresEndWithTheTableOfOne) {
  constexpr std::uint64_t ids = 2000;
  Engine one{1};
  Engine two{2};
  std::atomic<bool> done{false};
  std::thread other{[&] {
    Packet room(1480);
    const Instant now = t0 + 1s;
    while (!done.load(std::memory_order_acquire) || two.node().has_to_take(1)) {
      if (two.node().turn(1, now) == 0) std::this_thread::yield();
      two.node().part(1).push();
      for (unsigned peer = 0; peer < 2; ++peer) static_cast<void>(two.node().part(1).transmit(peer, room, now));
    }
  }};
  std::mt19937_64 random{8};
  Packet room(1480);
  const Instant now = t0 + 1s;
  for (int burst = 0; burst < 1000; ++burst) {
    std::vector<Packet> packets;
    for (int n = 0; n < 4; ++n) packets.push_back(random_packet(random, ids));
    if (burst % 200 == 199) packets.push_back(clear_of(peer_creatorid));
    std::vector<Arrival> arrivals;
    for (const Packet& packet : packets)
      arrivals.push_back({.packet = packet, .peer = static_cast<unsigned>(burst % 2)});
    one.node().on_packets(arrivals, now);
    while (!two.node().has_room()) std::this_thread::yield();
    two.node().on_packets(arrivals, now);
    two.node().turn(0, now);
    two.node().part(0).push();
    for (unsigned peer = 0; peer < 2; ++peer) static_cast<void>(two.node().part(0).transmit(peer, room, now));
  }
  while (!two.node().begin({.kind = Command::Kind::push}, now)) std::this_thread::yield();
  while (!two.node().ended()) std::this_thread::yield();
  done.store(true, std::memory_order_release);
  other.join();
  EXPECT_GT(one.table().size(), 100u);
  EXPECT_EQ(two.table().digest(), one.table().digest());
  EXPECT_EQ(two.count(Tally::parts_behind), 0u);
}

/// Both parts enter states of the same connections at the same time.
TEST(PartitionedSessionThreads, AConnectionHasOneStateWhoeverEntersIt) {
  Engine engine{2};
  constexpr std::uint64_t connections = 40;
  const auto enter_many = [&](unsigned part) {
    std::mt19937_64 random{part};
    Session& session = engine.node().part(part);
    std::vector<wire::StateId> mine;
    for (int n = 0; n < 4000; ++n) {
      wire::State state = tcp_state(1 + random() % connections, own_creatorid + part);
      state.id.id = static_cast<std::uint64_t>(n) + 1;
      if (session.owns(state.id) && session.insert(state, t0) == Session::Local::done) mine.push_back(state.id);
      if (mine.size() > connections / 4) {
        static_cast<void>(session.erase(mine.front(), t0));
        mine.erase(mine.begin());
      }
      static_cast<void>(session.serve_others(t0));
    }
  };
  std::thread other{[&] { enter_many(1); }};
  enter_many(0);
  other.join();
  EXPECT_GT(engine.count(Tally::collisions), 0u);
  std::set<std::uint16_t> seen;
  statetable::TableReader::Cursor cursor;
  while (const auto held = engine.table().reader().next(cursor))
    EXPECT_TRUE(seen.insert(held->cold.key[0].port[1]).second) << "two states of port " << held->cold.key[0].port[1];
  EXPECT_GT(seen.size(), 2u);
}

}  // namespace
}  // namespace pfsync::engine
