#pragma once

#include <gtest/gtest.h>

#include <array>
#include <memory>
#include <variant>
#include <vector>

#include "engine/session/session.h"
#include "wire/convert.h"
#include "wire/packet_reader.h"
#include "wire/packet_writer.h"

namespace pfsync::engine {

using namespace std::chrono_literals;
using wire::Message;
using wire::Reject;

inline constexpr std::uint32_t own_creatorid = 0x11111111;
inline constexpr std::uint32_t peer_creatorid = 0x22222222;
inline constexpr Instant t0 = Instant{} + 1000s;

inline wire::State tcp_state(std::uint64_t id, std::uint32_t creatorid = peer_creatorid) {
  wire::State state;
  state.id = {id, creatorid};
  state.ifname = wire::InterfaceName{"all"};
  for (auto& key : state.key) {
    key.addr[0].bytes = {10, 2, 0, 100};
    key.addr[1].bytes = {10, 1, static_cast<std::uint8_t>(id >> 8), static_cast<std::uint8_t>(id)};
    key.port = {80, static_cast<std::uint16_t>(1024 + id)};
  }
  state.src = {
      .seqlo = 1000, .seqhi = 66000, .max_win = 500, .mss = 1460, .state = wire::tcps::established, .wscale = 0x87};
  state.dst = {
      .seqlo = 5000, .seqhi = 70000, .max_win = 500, .mss = 1460, .state = wire::tcps::established, .wscale = 0x87};
  state.expire_s = 86400;
  state.af = wire::Family::inet;
  state.proto = wire::ipproto::tcp;
  state.direction = wire::Direction::out;
  state.timeout = pftm::tcp_established;
  return state;
}

inline wire::State udp_state(std::uint64_t id, std::uint32_t creatorid = peer_creatorid) {
  wire::State state = tcp_state(id, creatorid);
  state.proto = wire::ipproto::udp;
  state.src = {.state = 1};
  state.dst = {};
  state.timeout = pftm::udp_single;
  state.expire_s = 30;
  return state;
}

inline wire::Update update_of(const wire::State& state) { return {state.id, state.src, state.dst, state.timeout}; }

/// One message of a packet that a session sent, as a test wants to look at it.
struct Said {
  Message message;
  wire::StateId id{};
  std::vector<std::uint8_t> record;
};

/// A session over a small table, and a peer's hand to feed it.
class SessionTest : public ::testing::Test {
 protected:
  void make(SessionConfig config = {}, BulkGate* gate = nullptr, std::size_t states_max = 1000) {
    auto made = statetable::Table::create(
        {.states_max = states_max, .shard_bits = 1, .hash_seed = 7, .by_connection = by_connection});
    table = std::move(std::get<std::unique_ptr<statetable::Table>>(made));
    config.creatorid = own_creatorid;
    session = std::make_unique<Session>(config, *table, gate);
    session->start(t0);
  }
  /// As `make`, without the bulk request at start.
  void make_quiet(SessionConfig config = {}) {
    config.request_bulk = false;
    make(config);
  }

  template <class F>
  void receive(Instant now, F&& fill) {
    std::vector<std::uint8_t> room(4000);
    wire::PacketWriter writer{wire::Dialect::freebsd_1301, room};
    fill(writer);
    room.resize(writer.finish());
    session->on_packet(room, now);
  }
  void receive_state(Message message, const wire::State& state, Instant now = t0) {
    receive(now, [&](wire::PacketWriter& writer) { ASSERT_TRUE(writer.append_state(message, state)); });
  }
  void receive_update(const wire::Update& update, Instant now = t0) {
    receive(now, [&](wire::PacketWriter& writer) { ASSERT_TRUE(writer.append_update(update)); });
  }
  void receive_id(Message message, wire::StateId id, Instant now = t0) {
    receive(now, [&](wire::PacketWriter& writer) { ASSERT_TRUE(writer.append_id(message, id)); });
  }

  /// One packet of the session, as messages; empty when it has nothing to say.
  std::vector<Said> said(Instant now, std::size_t room_bytes = 1480) {
    std::vector<std::uint8_t> room(room_bytes, 0xa5);
    const std::size_t bytes = session->transmit(room, now);
    std::vector<Said> messages;
    if (bytes == 0) return messages;
    wire::PacketReader reader{wire::Bytes{room}.first(bytes)};
    wire::Section section;
    while (reader.next(section))
      for (std::size_t i = 0; i < section.count; ++i) {
        if (section.action->message == Message::eof) continue;
        const wire::Bytes record = section.record(i);
        wire::StateId id{};
        if (section.action->message != Message::clr && section.action->message != Message::bus)
          id = wire::read_id(section.action->message, section.action->layout, record);
        messages.push_back({section.action->message, id, {record.begin(), record.end()}});
      }
    EXPECT_FALSE(reader.reject().has_value());
    return messages;
  }

  [[nodiscard]] std::optional<statetable::Snapshot> held(wire::StateId id) const { return table->reader().find(id); }
  [[nodiscard]] std::uint64_t count(Tally tally) const { return session->counters()[tally].value(); }
  [[nodiscard]] std::uint64_t count(Reject reject) const { return session->counters()[reject].value(); }

  bool by_connection = false;  ///< of the table that `make` makes
  std::unique_ptr<statetable::Table> table;
  std::unique_ptr<Session> session;
};

}  // namespace pfsync::engine
