#pragma once

#include <array>
#include <cstdint>
#include <limits>

#include "statetable/time.h"
#include "wire/state.h"

namespace pfsync::statetable {

/// Number of an entry, over all shards; entries never move. Valid from insert to erase.
using Slot = std::uint32_t;
inline constexpr Slot no_slot = std::numeric_limits<Slot>::max();

/// "Not heard through pfsync": the last word on this state was said here.
inline constexpr Seconds never_heard = std::numeric_limits<Seconds>::min();

/// What look-ups, updates and expiry touch: with its sequence word it fills two cache lines.
struct HotState {
  wire::StateId id{};              // 12 bytes and 4 of padding, used for nothing
  wire::Peer src{};
  wire::Peer dst{};
  Seconds created_s = 0;
  Seconds expire_at_s = 0;
  Seconds heard_s = never_heard;   ///< when pfsync last told us of it
  std::uint16_t state_flags = 0;
  std::uint8_t timeout = 0;
  std::uint8_t proto = 0;
  wire::Family af = wire::Family::none;
  wire::Direction direction = wire::Direction::inout;
  bool in_use = false;
  std::uint8_t log = 0;
  std::uint8_t sync_flags = 0;
};

/// What only inserts and full exports touch.
struct ColdState {
  wire::InterfaceName ifname{};
  std::array<wire::Key, 2> key{};
  wire::Address rt_addr{};
  std::uint32_t rule = wire::no_rule;
  std::uint32_t anchor = wire::no_rule;
  std::uint32_t nat_rule = wire::no_rule;
  std::array<std::uint64_t, 2> packets{};
  std::array<std::uint64_t, 2> bytes{};
};

[[nodiscard]] inline ColdState cold_part(const wire::State& state) noexcept {
  return {.ifname = state.ifname,
          .key = state.key,
          .rt_addr = state.rt_addr,
          .rule = state.rule,
          .anchor = state.anchor,
          .nat_rule = state.nat_rule,
          .packets = state.packets,
          .bytes = state.bytes};
}

/// Back to the relative times of a message. Units: `now_s` on the clock that made the entry.
[[nodiscard]] inline wire::State to_state(const HotState& hot, const ColdState& cold, Seconds now_s) noexcept {
  wire::State state;
  state.id = hot.id;
  state.ifname = cold.ifname;
  state.key = cold.key;
  state.src = hot.src;
  state.dst = hot.dst;
  state.rt_addr = cold.rt_addr;
  state.rule = cold.rule;
  state.anchor = cold.anchor;
  state.nat_rule = cold.nat_rule;
  state.creation_s = now_s > hot.created_s ? static_cast<std::uint32_t>(now_s) - static_cast<std::uint32_t>(hot.created_s) : 0;
  state.expire_s = hot.expire_at_s > now_s ? static_cast<std::uint32_t>(hot.expire_at_s) - static_cast<std::uint32_t>(now_s) : 0;
  state.packets = cold.packets;
  state.bytes = cold.bytes;
  state.af = hot.af;
  state.proto = hot.proto;
  state.direction = hot.direction;
  state.log = hot.log;
  state.state_flags = hot.state_flags;
  state.timeout = hot.timeout;
  state.sync_flags = hot.sync_flags;
  return state;
}

}  // namespace pfsync::statetable
