#pragma once

#include <gtest/gtest.h>

#include <utility>
#include <vector>

#include "tests/engine/session/session_fixture.h"
#include "wire/convert.h"
#include "wire/packet_reader.h"
#include "wire/packet_writer.h"

namespace pfsync::engine {

using wire::Dialect;

/// A session with several peers.
class Hub : public SessionTest {
 protected:
  void make_hub(std::vector<PeerConfig> peers = std::vector<PeerConfig>(3), bool request_bulk = false) {
    SessionConfig config;
    config.peers = std::move(peers);
    config.request_bulk = request_bulk;
    config.expire = false;
    make(config);
  }
  template <class F>
  void from(unsigned peer, Instant now, F&& fill, Dialect dialect = Dialect::freebsd_1301) {
    std::vector<std::uint8_t> room(1480);
    wire::PacketWriter writer{dialect, room};
    fill(writer);
    room.resize(writer.finish());
    session->on_packet(Arrival{room, wire::ipv4_address(10, 0, 0, static_cast<std::uint8_t>(peer + 2)), peer}, now);
  }
  void state_from(unsigned peer, const wire::State& state, Instant now, Message message = Message::ins) {
    from(peer, now, [&](wire::PacketWriter& writer) { ASSERT_TRUE(writer.append_state(message, state)); });
  }
  void update_from(unsigned peer, const wire::Update& update, Instant now) {
    from(peer, now, [&](wire::PacketWriter& writer) { ASSERT_TRUE(writer.append_update(update)); });
  }
  void id_from(unsigned peer, Message message, wire::StateId id, Instant now) {
    from(peer, now, [&](wire::PacketWriter& writer) { ASSERT_TRUE(writer.append_id(message, id)); });
  }
  /// What a peer is told, all that is due.
  std::vector<std::pair<Message, std::uint64_t>> told(unsigned peer, Instant now) {
    std::vector<std::pair<Message, std::uint64_t>> all;
    std::vector<std::uint8_t> room(1480);
    while (const std::size_t bytes = session->transmit(peer, room, now)) {
      wire::PacketReader reader{wire::Bytes{room}.first(bytes)};
      for (wire::Section section; reader.next(section);)
        for (std::size_t i = 0; i < section.count; ++i) {
          const Message message = section.action->message;
          if (message == Message::eof) continue;
          const bool has_id = message != Message::clr && message != Message::bus;
          all.emplace_back(message, has_id ? wire::read_id(message, section.action->layout, section.record(i)).id : 0);
        }
      EXPECT_EQ(reader.header().version, wire::info(session->dialect(peer).in_use()).header_version);
    }
    return all;
  }
  using Told = std::vector<std::pair<Message, std::uint64_t>>;
};

}  // namespace pfsync::engine
