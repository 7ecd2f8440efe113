#pragma once

#include <sys/prctl.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "tests/fuzz/script.h"
#include "wire/packet_writer.h"
#include "wire/state.h"

namespace pfsync::fuzz {

using Packet = std::vector<std::uint8_t>;

inline constexpr std::uint32_t own_creatorid = 0x11111111;

/// A script for a session: few ids and few values of each field, so that messages meet, those at the edges among them.
class SessionScript : public Script {
 public:
  using Script::Script;

  static constexpr std::size_t ids = 64;
  static constexpr wire::StateId id(std::size_t choice) {
    constexpr std::array creators{0x22222222u, own_creatorid, 0x33333333u, 0u};
    return {choice % 16u, creators[choice / 16u % creators.size()]};
  }
  wire::StateId id() { return id(byte()); }
  wire::Peer peer() {
    constexpr std::array sequences{0u,          1u,          0x40000000u, 0x7fffffffu,
                                   0x80000000u, 0x80000001u, 0xc0000000u, 0xffffffffu};
    const std::uint8_t choice = byte();
    return {.seqlo = sequences[choice / 16u % 8], .seqhi = choice, .state = static_cast<std::uint8_t>(choice % 16u)};
  }
  wire::Update update() {
    const wire::StateId named = id();
    const wire::Peer src = peer(), dst = peer();
    return {named, src, dst, static_cast<std::uint8_t>(byte() % 27)};
  }
  wire::State state() {
    constexpr std::array<std::uint32_t, 8> seconds{0, 1, 5, 30, 120, 86400, 0x7fffffff, 0xffffffff};
    constexpr std::array<std::uint8_t, 4> protocols{wire::ipproto::tcp, wire::ipproto::udp, wire::ipproto::pfsync, 1};
    const wire::Update hot = update();
    wire::State state;
    state.id = hot.id;
    state.src = hot.src;
    state.dst = hot.dst;
    state.timeout = hot.timeout;
    const std::uint8_t choice = byte();
    state.proto = protocols[choice % 4];
    state.ifname = wire::InterfaceName{choice & 4 ? "em0" : "all"};
    state.state_flags = static_cast<std::uint16_t>((choice & 8 ? wire::state_flag::ack : 0) |
                                                   (choice & 16 ? wire::state_flag::nosync : 0));
    state.af = choice & 32 ? wire::Family::inet6 : wire::Family::inet;
    state.direction = wire::Direction{static_cast<std::uint8_t>(choice / 64u)};
    const std::uint8_t times = byte();
    state.expire_s = seconds[times % 8];
    state.creation_s = seconds[times / 8u % 8];
    state.key[0].port = {choice, times};
    return state;
  }

  /// Some messages in one packet, of which a byte may be wrong or the end missing. No byte to spare.
  Packet packet() {
    std::array<std::uint8_t, 2000> room;
    wire::PacketWriter writer{wire::dialect_table[byte() % wire::dialect_table.size()].dialect, room};
    const std::uint8_t shape = byte();
    for (unsigned messages = 1 + shape % 8u; messages > 0; --messages) append_message(writer);
    // Enough of the shortest message for a burst to exceed the session's batch.
    for (unsigned more = shape & 0x20 ? byte() % 64u : 0; more > 0; --more)
      if (!writer.append_id(wire::Message::upd_req, {more % 16u, own_creatorid})) break;
    Packet packet{room.begin(), room.begin() + static_cast<std::ptrdiff_t>(writer.finish())};
    if (shape & 0x40) packet[byte() % packet.size()] ^= byte();
    if (shape & 0x80) packet.resize(packet.size() - byte() % packet.size());
    return Packet{packet.begin(), packet.end()};
  }

 private:
  void append_message(wire::PacketWriter& writer) {
    using wire::Message;
    bool fits = true;
    switch (const std::uint8_t kind = byte(); kind % 11) {
      case 0:
      case 1: fits = writer.append_state(Message::ins, state()); break;
      case 2: fits = writer.append_state(Message::upd, state()); break;
      case 3:
      case 4:
      case 5: fits = writer.append_update(update()); break;
      case 6: fits = writer.append_id(Message::del_c, id()); break;
      case 7: fits = writer.append_id(Message::upd_req, kind < 128 ? id() : wire::bulk_request_id); break;
      case 8: fits = writer.append_clear({wire::InterfaceName{kind < 128 ? "" : "em0"}, id().creatorid}); break;
      case 9: fits = writer.append_bulk_status({0x22222222, byte(), static_cast<std::uint8_t>(kind / 64)}); break;
      default:
        fits = kind < 128 ? writer.append_id(Message::ins_ack, id())
                          : writer.append_tdb({.spi = 200u + kind,
                                               .af = wire::Family::inet,
                                               .rpl = byte(),
                                               .cur_bytes = kind / 16u,
                                               .sproto = 50});
    }
    static_cast<void>(fits);  // a full packet takes no more, and goes as it is
  }
};

/// What a target with a session does: plays the script that the bytes are.
template <class Run>
void play(const std::uint8_t* data, std::size_t size) {
  // Every run maps a table anew: clearing 2 MiB for a few states would be most of its time.
  static const int small_pages = prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0);
  static_cast<void>(small_pages);
  SessionScript script{data, size};
  const auto run = std::make_unique<Run>(script);  // a session is large for a stack
  run->play();
}

}  // namespace pfsync::fuzz
