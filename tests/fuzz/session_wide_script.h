#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

#include "engine/session/kept_state.h"
#include "engine/session/session.h"
#include "tests/fuzz/session_script.h"

namespace pfsync::fuzz {

using namespace std::chrono_literals;
using wire::StateId;

inline wire::InterfaceName name(std::string_view name) { return wire::InterfaceName{name}; }

/// The script's states, with more than session_model.h knows: connections that meet, translation, routes, tags.
inline wire::State wide_state(SessionScript& script) {
  wire::State state = script.state();
  const std::uint8_t keys = script.byte(), more = script.byte();
  const auto host = [](unsigned number) { return wire::Address{{10, 0, 0, static_cast<std::uint8_t>(number)}}; };
  state.key[0] = {{host(keys % 4u), host(keys / 4u % 2u)}, {static_cast<std::uint16_t>(keys / 8u % 4u), 443}};
  state.key[1] = state.key[0];
  if ((keys & 0x20) != 0) state.key[1].port[0] = 60000;
  if ((keys & 0x40) != 0) state.key[1].addr[0] = host(9);
  if ((keys & 0x80) != 0) state.stack_af = state.af == wire::Family::inet ? wire::Family::inet6 : wire::Family::inet;
  if ((more & 1) != 0) state.rt = wire::route::route_to, state.rt_addr = host(7), state.rt_ifname = name("em2");
  if ((more & 2) != 0) state.orig_ifname = name("em1");
  if ((more & 4) != 0) state.tag = wire::TagName{"lan"};
  if ((more & 8) != 0) state.rtableid = {1, 2};
  if ((more & 16) != 0) state.state_flags |= wire::state_flag::settos, state.set_tos = 8;
  if ((more & 32) != 0) state.proto = wire::ipproto::sctp;
  if ((more & 64) != 0) state.ifname = name("em1");
  return state;
}

inline engine::PeerConfig peer_of(SessionScript& script) {
  const std::uint8_t choice = script.byte();
  engine::PeerConfig peer;
  peer.dialect = wire::dialect_table[choice % 4u].dialect;
  peer.learn_dialect = (choice & 4) != 0;
  peer.is_shared = (choice & 0x18) == 0x18;
  if ((choice & 0x20) != 0) static_cast<void>(peer.interfaces.add(name("em0"), name("igb0")));
  if ((choice & 0x40) != 0) static_cast<void>(peer.interfaces.add(name("em1"), name("em0")));
  return peer;
}

inline engine::SyncRule rule_of(std::uint8_t choice) {
  engine::SyncRule rule;
  rule.action = std::array{engine::SyncRule::Action::delay, engine::SyncRule::Action::skip,
                           engine::SyncRule::Action::delay, engine::SyncRule::Action::sync}[choice % 4u];
  if (rule.action == engine::SyncRule::Action::delay) rule.age_s = std::array{1, 10, 60, 3600}[choice / 4u % 4u];
  if ((choice & 16) != 0) rule.proto = wire::ipproto::tcp;
  if ((choice & 32) != 0) rule.port = {1, 443};
  if ((choice & 64) != 0) rule.direction = wire::Direction::in;
  if ((choice & 128) != 0) rule.interface = name("em0");
  return rule;
}

/// What the first bytes of the script choose.
struct Setting {
  explicit Setting(SessionScript& script) {
    const std::uint8_t how = script.byte();
    for (unsigned peers = 1 + how % 3u; peers > 0; --peers) session.peers.push_back(peer_of(script));
    parts = (how & 4) != 0 ? 2 : 1;
    session.creatorid = own_creatorid;
    session.request_bulk = (how & 8) != 0;
    session.expire = (how & 0x30) != 0x30;
    session.passive = (how & 0xc0) == 0xc0;
    const std::uint8_t sizes = script.byte();
    // One sweep looks at 64 places at least: at all that there are.
    table = {.states_max = std::array<std::size_t, 4>{6, 24, 40, 64}[sizes % 4u],
             .shard_bits = parts > 1 || (sizes & 4) != 0 ? 2u : 0u,
             .hash_seed = 1,
             .by_connection = (sizes & 8) != 0};
    session.ids_queued_max = (sizes & 16) != 0 ? 4 : 64;
    session.maxupd = (sizes & 32) != 0 ? 2 : 128;
    session.removed_max = (sizes & 64) != 0 ? 8 : 256;
    session.tdbs_max = 8;
    const std::uint8_t paces = script.byte();
    session.requests_per_s = std::array<std::uint64_t, 4>{0, 1, 10, 10'000}[paces % 4u];
    bulk_per_s = std::array<std::uint64_t, 4>{0, 20, 1000, 50'000}[paces / 4u % 4u];
    session.probe_every = std::array<engine::Duration, 4>{0s, 1s, 5s, 60s}[paces / 16u % 4u];
    room = std::array<std::size_t, 4>{wire::PacketWriter::smallest_room, 700, 1480, 9000}[paces / 64u % 4u];
    const std::uint8_t times = script.byte();
    session.delay = std::array<engine::Duration, 4>{1s, 10ms, 100ms, 10s}[times % 4u];
    if ((times & 4) != 0) session.defer = 20ms;
    session.deferred_max = (times & 8) != 0 ? 2 : 16;
    if ((times & 16) != 0) session.timeouts.value[16] = 4, session.timeouts.value[17] = 12;  // adaptive.start and .end
    if ((times & 32) != 0) session.foreign_grace = 60s;
    for (unsigned rules = times / 64u; rules > 0; --rules) session.sync_rules.push_back(rule_of(script.byte()));
    const std::uint8_t former = script.byte();
    passed_s = std::array<std::uint32_t, 4>{0, 3, 100, 100'000}[former / 64u];
    for (unsigned states = former % 8u; states > 0; --states) {
      const wire::State state = wide_state(script);
      kept.push_back({state, (script.byte() & 1) != 0});
    }
  }
  engine::SessionConfig session;
  statetable::TableConfig table;
  unsigned parts = 1;
  std::uint64_t bulk_per_s = 0;
  std::size_t room = 0;
  std::vector<engine::KeptState> kept;
  std::uint32_t passed_s = 0;
};

/// What happens next, wholly drawn before it does, so that a script can be cut into its events.
struct Event {
  enum class Kind : std::uint8_t {
    packet,
    packets,
    many_states,
    answer,
    insert,
    update,
    erase,
    command,
    time,
    turn,
    transmit,
    bulk,
    hand_over,
    active,
    ask,
    change,
    settle
  };
  static constexpr std::array kinds{Kind::packet,   Kind::packet, Kind::packet, Kind::packets,   Kind::many_states,
                                    Kind::answer,   Kind::insert, Kind::insert, Kind::update,    Kind::erase,
                                    Kind::command,  Kind::time,   Kind::time,   Kind::turn,      Kind::transmit,
                                    Kind::transmit, Kind::bulk,   Kind::bulk,   Kind::hand_over, Kind::active,
                                    Kind::ask,      Kind::change, Kind::settle};
  struct Origin {
    std::uint8_t peer = 0, source = 0;
  };

  explicit Event(SessionScript& script) : kind{script.one_of(kinds)}, choice{script.byte()} {
    switch (kind) {
      case Kind::packet: add_packet(script); break;
      case Kind::packets:
        for (unsigned left = 1 + choice % 4u; left > 0; --left) add_packet(script);
        break;
      case Kind::many_states:
        origin(script);
        state = wide_state(script);
        count = script.byte();
        break;
      case Kind::answer:
        origin(script);
        state = wide_state(script);
        break;
      case Kind::insert: state = wide_state(script); break;
      case Kind::update: update = script.update(); break;
      case Kind::erase: id = script.id(); break;
      case Kind::command:
        state = wide_state(script);
        id = script.id();
        break;
      case Kind::change:
        for (unsigned peers = 1 + choice % 3u; peers > 0; --peers) {
          before.push_back(script.byte());
          peers_next.push_back(peer_of(script));
        }
        break;
      default: break;
    }
  }

  Kind kind;
  std::uint8_t choice;
  std::uint8_t count = 0;
  std::vector<Origin> origins;
  std::vector<Packet> packets;
  wire::State state;
  wire::Update update;
  StateId id;
  std::vector<std::uint8_t> before;
  std::vector<engine::PeerConfig> peers_next;

 private:
  void origin(SessionScript& script) {
    const std::uint8_t peer = script.byte();
    origins.push_back({peer, script.byte()});
  }
  void add_packet(SessionScript& script) {
    origin(script);
    packets.push_back(script.packet());
  }
};

}  // namespace pfsync::fuzz
