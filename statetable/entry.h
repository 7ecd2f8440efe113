#pragma once

#include <array>
#include <cstdint>
#include <limits>

#include "statetable/names.h"
#include "statetable/time.h"
#include "wire/state.h"

namespace pfsync::statetable {

/// Number of an entry, over all shards; entries never move. Valid from insert to erase.
using Slot = std::uint32_t;
inline constexpr Slot no_slot = std::numeric_limits<Slot>::max();

/// "Not heard through pfsync": the last word on this state was said here.
inline constexpr Seconds never_heard = std::numeric_limits<Seconds>::min();
/// Below 0: the last word was said here. What pfsync told before that is in it all the same.
[[nodiscard]] constexpr bool is_said_here(Seconds heard_s) noexcept { return heard_s < 0; }
/// The value for a word said here after that one. Contract: clocks do not stand before 0.
[[nodiscard]] constexpr Seconds said_here(Seconds heard_s) noexcept { return heard_s < 0 ? heard_s : ~heard_s; }
/// Whether pfsync told of it less than that many seconds ago, whoever had the last word.
[[nodiscard]] constexpr bool is_heard_within(Seconds heard_s, Seconds now_s, Seconds seconds) noexcept {
  return heard_s != never_heard && std::int64_t{now_s} - (heard_s < 0 ? ~heard_s : heard_s) < seconds;
}

/// What look-ups, updates and expiry touch, as a value; layout.h tells how it lies in memory.
struct HotState {
  wire::StateId id{};
  wire::Peer src{};
  wire::Peer dst{};
  Seconds created_s = 0;
  Seconds expire_at_s = 0;
  Seconds heard_s = never_heard;  ///< when pfsync last told us of it; is_said_here() tells whose the last word was
  std::uint16_t state_flags = 0;
  std::uint8_t timeout = 0;
  std::uint8_t proto = 0;
  wire::Family af = wire::Family::none;
  wire::Direction direction = wire::Direction::inout;
  bool in_use = false;
  std::uint8_t from = 0;  ///< a number that who enters states may give them; at most 254
  std::uint8_t log = 0;
  std::uint8_t sync_flags = 0;
};

/// What only inserts and full exports touch. Names that few states have, or that many share, are numbers.
struct ColdState {
  wire::InterfaceName ifname{};  // in full: CLR compares it
  std::array<wire::Key, 2> key{};
  wire::Address rt_addr{};
  std::array<std::uint64_t, 2> packets{};
  std::array<std::uint64_t, 2> bytes{};
  std::uint32_t rule = wire::no_rule;
  std::uint32_t anchor = wire::no_rule;
  std::uint32_t nat_rule = wire::no_rule;
  std::array<std::int32_t, 2> rtableid{-1, -1};
  std::array<std::uint16_t, 2> rdomain{};
  std::uint16_t qid = 0;
  std::uint16_t pqid = 0;
  std::uint16_t dnpipe = 0;
  std::uint16_t dnrpipe = 0;
  std::uint16_t max_mss = 0;
  NameId rt_ifname = NameId::none;
  NameId orig_ifname = NameId::none;
  NameId tag = NameId::none;
  std::array<std::uint8_t, 2> set_prio{};
  std::uint8_t min_ttl = 0;
  std::uint8_t set_tos = 0;
  std::uint8_t rt = 0;
  std::uint8_t stack_proto = 0;
  wire::Family stack_af = wire::Family::none;
  wire::Family rt_af = wire::Family::none;

  friend constexpr bool operator==(const ColdState&, const ColdState&) noexcept = default;
};
static_assert(sizeof(ColdState) == 184);

[[nodiscard]] inline ColdState cold_part(const wire::State& state) noexcept {
  return {.ifname = state.ifname,
          .key = state.key,
          .rt_addr = state.rt_addr,
          .packets = state.packets,
          .bytes = state.bytes,
          .rule = state.rule,
          .anchor = state.anchor,
          .nat_rule = state.nat_rule,
          .rtableid = state.rtableid,
          .rdomain = state.rdomain,
          .qid = state.qid,
          .pqid = state.pqid,
          .dnpipe = state.dnpipe,
          .dnrpipe = state.dnrpipe,
          .max_mss = state.max_mss,
          .rt_ifname = intern(state.rt_ifname),
          .orig_ifname = intern(state.orig_ifname),
          .tag = intern(state.tag),
          .set_prio = state.set_prio,
          .min_ttl = state.min_ttl,
          .set_tos = state.set_tos,
          .rt = state.rt,
          .stack_proto = state.stack_proto,
          .stack_af = state.stack_af,
          .rt_af = state.rt_af};
}

/// False when a name of the state found no room among names_max others.
[[nodiscard]] inline bool keeps_names(const ColdState& cold, const wire::State& state) noexcept {
  return (cold.rt_ifname == NameId::none) == state.rt_ifname.empty() &&
         (cold.orig_ifname == NameId::none) == state.orig_ifname.empty() &&
         (cold.tag == NameId::none) == state.tag.empty();
}

[[nodiscard]] constexpr std::uint32_t age_s(Seconds created_s, Seconds now_s) noexcept {
  return now_s > created_s ? static_cast<std::uint32_t>(now_s) - static_cast<std::uint32_t>(created_s) : 0;
}
[[nodiscard]] constexpr std::uint32_t left_s(Seconds expire_at_s, Seconds now_s) noexcept {
  return expire_at_s > now_s ? static_cast<std::uint32_t>(expire_at_s) - static_cast<std::uint32_t>(now_s) : 0;
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
  state.creation_s = age_s(hot.created_s, now_s);
  state.expire_s = left_s(hot.expire_at_s, now_s);
  state.packets = cold.packets;
  state.bytes = cold.bytes;
  state.af = hot.af;
  state.proto = hot.proto;
  state.direction = hot.direction;
  state.log = hot.log;
  state.state_flags = hot.state_flags;
  state.timeout = hot.timeout;
  state.sync_flags = hot.sync_flags;
  state.rt = cold.rt;
  state.min_ttl = cold.min_ttl;
  state.set_tos = cold.set_tos;
  state.set_prio = cold.set_prio;
  state.max_mss = cold.max_mss;
  state.rtableid = cold.rtableid;
  state.rt_ifname = interface_of(cold.rt_ifname);
  state.qid = cold.qid;
  state.pqid = cold.pqid;
  state.dnpipe = cold.dnpipe;
  state.dnrpipe = cold.dnrpipe;
  state.stack_af = cold.stack_af;
  state.stack_proto = cold.stack_proto;
  state.rt_af = cold.rt_af;
  state.rdomain = cold.rdomain;
  state.orig_ifname = interface_of(cold.orig_ifname);
  state.tag = name_of(cold.tag);
  return state;
}

}  // namespace pfsync::statetable
