#pragma once

#include <array>
#include <bit>
#include <cstdint>

#include "statetable/entry.h"
#include "statetable/hash.h"
#include "statetable/names.h"
#include "wire/state.h"

namespace pfsync::statetable {

/// What pf tells connections apart by on one side of its translation: the key, and where and which way it went.
/// Source: sys/netpfil/pf/pf.c, pf_state_key_attach(), which lets no two states share all of it.
struct Connection {
  wire::Key key{};
  NameId interface = NameId::none;
  wire::Family af = wire::Family::none;
  std::uint8_t proto = 0;
  wire::Direction direction{};

  friend constexpr bool operator==(const Connection&, const Connection&) noexcept = default;
};

/// The two sides of a state: as seen on the wire and by the stack. They differ under NAT, rdr and af-to.
struct Sides {
  Connection wire;
  Connection stack;
  [[nodiscard]] bool are_one() const noexcept { return wire == stack; }
};

[[nodiscard]] inline Sides sides_of(const HotState& hot, const ColdState& cold, NameId interface) noexcept {
  return {{cold.key[0], interface, hot.af, hot.proto, hot.direction},
          {cold.key[1], interface, cold.stack_af == wire::Family::none ? hot.af : cold.stack_af,
           cold.stack_proto == 0 ? hot.proto : cold.stack_proto, hot.direction}};
}

[[nodiscard]] inline Sides sides_of(const wire::State& state, NameId interface) noexcept {
  return {{state.key[0], interface, state.af, state.proto, state.direction},
          {state.key[1], interface, state.stack_family(), state.stack_proto == 0 ? state.proto : state.stack_proto,
           state.direction}};
}

/// Where the index by connection has it. Interface and direction are in the hash too: without them states of one key on
/// many interfaces would make a long chain.
[[nodiscard]] inline Hash hash_of(const Connection& connection, std::uint64_t seed) noexcept {
  const auto words = [](const wire::Address& address) {
    return std::bit_cast<std::array<std::uint64_t, 2>>(address.bytes);
  };
  const auto from = words(connection.key.addr[0]), to = words(connection.key.addr[1]);
  const std::uint64_t rest = std::uint64_t{connection.key.port[0]} | std::uint64_t{connection.key.port[1]} << 16u |
                             std::uint64_t{static_cast<std::uint16_t>(connection.interface)} << 32u |
                             std::uint64_t{connection.proto} << 48u |
                             std::uint64_t{static_cast<std::uint8_t>(connection.direction)} << 56u;
  if (((from[0] | to[0]) >> 32u | from[1] | to[1]) == 0) {  // IPv4
    const std::array<std::uint64_t, 2> key{from[0] << 32u | to[0], rest};
    return Hash{XXH3_64bits_withSeed(key.data(), sizeof key, ~seed)};
  }
  const std::array<std::uint64_t, 5> key{from[0], from[1], to[0], to[1], rest};
  return Hash{XXH3_64bits_withSeed(key.data(), sizeof key, ~seed)};
}

/// What a search for states of one connection needs, worked out once for all shards and stages.
struct Beside {
  Sides sides;
  Hash wire;
  Hash stack;
  bool are_one = true;  ///< both sides are the same
};
[[nodiscard]] inline Beside beside_of(const Sides& sides, std::uint64_t seed) noexcept {
  Beside beside{sides, hash_of(sides.wire, seed), {}, sides.are_one()};
  beside.stack = beside.are_one ? beside.wire : hash_of(sides.stack, seed);
  return beside;
}

}  // namespace pfsync::statetable
