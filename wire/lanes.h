#pragma once

#include <array>
#include <bit>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "wire/messages.h"
#include "wire/state.h"

/// A peer's 32 bytes ↔ Peer, 16 at a time: fields that one byte shuffle puts in their place and order. Three
/// times as fast as swapping each field, and copies of the result need not wait for narrow stores.
namespace pfsync::wire {

static_assert(std::endian::native == std::endian::little, "the shuffles below are for little-endian machines");

using Lane [[gnu::vector_size(16)]] = std::uint8_t;

[[nodiscard]] inline Lane load_lane(const void* from) noexcept {
  Lane lane;
  std::memcpy(&lane, from, sizeof lane);
  return lane;
}
inline void store_lane(void* to, Lane lane) noexcept { std::memcpy(to, &lane, sizeof lane); }

[[nodiscard]] inline bool is_zero(Lane lane) noexcept {
  const auto words = std::bit_cast<std::array<std::uint64_t, 2>>(lane);
  return (words[0] | words[1]) == 0;
}

static_assert(sizeof(Peer) == 32 && offsetof(Peer, scrub) == 0 && offsetof(Scrub, pfss_ts_mod) == 0 &&
              offsetof(Scrub, pfss_flags) == 4 && offsetof(Scrub, pfss_ttl) == 6 && offsetof(Scrub, scrub_flag) == 7 &&
              offsetof(Peer, seqlo) == 8 && offsetof(Peer, seqhi) == 12 && offsetof(Peer, seqdiff) == 16 &&
              offsetof(Peer, max_win) == 20 && offsetof(Peer, mss) == 22 && offsetof(Peer, state) == 24 &&
              offsetof(Peer, wscale) == 25);

/// Flags, TTL, flag and modulator change places; every number changes its byte order.
[[nodiscard]] inline Lane first_lane_from_wire(Lane wire) noexcept {
  return __builtin_shufflevector(wire, wire, 7, 6, 5, 4, 1, 0, 2, 3, 11, 10, 9, 8, 15, 14, 13, 12);
}
[[nodiscard]] inline Lane first_lane_to_wire(Lane host) noexcept {
  return __builtin_shufflevector(host, host, 5, 4, 6, 7, 3, 2, 1, 0, 11, 10, 9, 8, 15, 14, 13, 12);
}
/// The same both ways; the record's pad and Peer's padding become zero.
[[nodiscard]] inline Lane second_lane(Lane lane) noexcept {
  return __builtin_shufflevector(lane, Lane{}, 3, 2, 1, 0, 5, 4, 7, 6, 8, 9, 16, 17, 18, 19, 20, 21);
}

/// `wire`: the bytes of a PeerRecord.
inline void read_peer(const void* wire, Peer& peer) noexcept {
  auto* to = reinterpret_cast<std::byte*>(&peer);
  const auto* from = static_cast<const std::byte*>(wire);
  store_lane(to, first_lane_from_wire(load_lane(from)));
  store_lane(to + 16, second_lane(load_lane(from + 16)));
}
inline void write_peer(const Peer& peer, void* wire) noexcept {
  const auto* from = reinterpret_cast<const std::byte*>(&peer);
  auto* to = static_cast<std::byte*>(wire);
  store_lane(to, first_lane_to_wire(load_lane(from)));
  store_lane(to + 16, second_lane(load_lane(from + 16)));
}
static_assert(sizeof(PeerRecord) == 32);

/// Numbers in a row, to or from big-endian: `bytes` in all, a multiple of 16.
template <std::unsigned_integral T, std::size_t bytes>
inline void swap_row(const void* from, void* to) noexcept {
  static_assert(bytes % 16 == 0 && (sizeof(T) == 4 || sizeof(T) == 8));
  for (std::size_t at = 0; at < bytes; at += 16) {
    const Lane lane = load_lane(static_cast<const std::byte*>(from) + at);
    if constexpr (sizeof(T) == 4)
      store_lane(static_cast<std::byte*>(to) + at,
                 __builtin_shufflevector(lane, lane, 3, 2, 1, 0, 7, 6, 5, 4, 11, 10, 9, 8, 15, 14, 13, 12));
    else
      store_lane(static_cast<std::byte*>(to) + at,
                 __builtin_shufflevector(lane, lane, 7, 6, 5, 4, 3, 2, 1, 0, 15, 14, 13, 12, 11, 10, 9, 8));
  }
}

}  // namespace pfsync::wire
