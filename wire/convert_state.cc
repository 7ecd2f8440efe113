// Full states of the four dialects ↔ State.
#include <cstddef>

#include "wire/convert.h"
#include "wire/convert_parts.h"
#include "wire/limits.h"

namespace pfsync::wire {
namespace {

// --- what all four have, under the same names ----------------------------------------------------------

/// Four numbers that lie in a row on both sides are swapped as one lane: rule, anchor, nat_rule, creation.
template <class Head>
constexpr void check_rows() noexcept {
  static_assert(offsetof(State, anchor) == offsetof(State, rule) + 4 && offsetof(State, nat_rule) == offsetof(State, rule) + 8 &&
                offsetof(State, creation_s) == offsetof(State, rule) + 12);
  static_assert(offsetof(Head, anchor) == offsetof(Head, rule) + 4 && offsetof(Head, nat_rule) == offsetof(Head, rule) + 8 &&
                offsetof(Head, creation) == offsetof(Head, rule) + 12);
  static_assert(sizeof(Head::packets) == 16 && sizeof(Head::bytes) == 16);
}

/// Head: freebsd::StateHead or openbsd::StateRecord.
template <class Head>
[[gnu::always_inline]] inline void read_head(State& state, const Head& head, Bytes bytes, Family wire_family, Family stack_family) noexcept {
  state.id = {head.id.host(), head.creatorid.host()};
  state.ifname = read_name<16>(bytes.data() + offsetof(Head, ifname));
  state.key = {to_key(head.key[wire_side], wire_family), to_key(head.key[stack_side], stack_family)};
  read_peer(&head.src, state.src);
  read_peer(&head.dst, state.dst);
  check_rows<Head>();
  swap_row<std::uint32_t, 16>(&head.rule, &state.rule);
  state.expire_s = head.expire.host();
  swap_row<std::uint64_t, 16>(&head.packets, &state.packets);
  swap_row<std::uint64_t, 16>(&head.bytes, &state.bytes);
  state.af = wire_family;
  if (stack_family != wire_family) state.stack_af = stack_family;
}

template <class Head>
[[gnu::always_inline]] inline void write_head(Head& head, const State& state) noexcept {
  head.id = Be64{state.id.id};
  head.ifname = state.ifname.chars;
  for (std::size_t side = 0; side < 2; ++side) {
    head.key[side].addr = {state.key[side].addr[0].bytes, state.key[side].addr[1].bytes};
    head.key[side].port = {Be16{state.key[side].port[0]}, Be16{state.key[side].port[1]}};
  }
  write_peer(state.src, &head.src);
  write_peer(state.dst, &head.dst);
  check_rows<Head>();
  swap_row<std::uint32_t, 16>(&state.rule, &head.rule);
  head.expire = Be32{state.expire_s};
  swap_row<std::uint64_t, 16>(&state.packets, &head.packets);
  swap_row<std::uint64_t, 16>(&state.bytes, &head.bytes);
  head.creatorid = Be32{state.id.creatorid};
}

/// What the ruleset says of the state's packets: 1400 and 1500.
template <class Record>
void read_actions(State& state, const Record& record, Bytes bytes) noexcept {
  state.state_flags = record.state_flags.host();
  state.qid = record.qid.host();
  state.pqid = record.pqid.host();
  state.dnpipe = record.dnpipe.host();
  state.dnrpipe = record.dnrpipe.host();
  state.rtableid = {to_signed(record.rtableid), to_signed(record.rtableid)};
  state.min_ttl = record.min_ttl;
  state.set_tos = record.set_tos;
  state.max_mss = record.max_mss.host();
  state.set_prio = record.set_prio;
  state.rt = record.rt;
  state.rt_ifname = read_name<16>(bytes.data() + offsetof(Record, rt_ifname));
}

template <class Record>
void write_actions(Record& record, const State& state, Dialect dialect) noexcept {
  record.state_flags = Be16{said_flags(state.state_flags, dialect)};
  record.qid = Be16{state.qid};
  record.pqid = Be16{state.pqid};
  record.dnpipe = Be16{state.dnpipe};
  record.dnrpipe = Be16{state.dnrpipe};
  record.rtableid = to_be32(said_rtableid(state.rtableid, dialect)[wire_side]);
  record.min_ttl = state.min_ttl;
  record.set_tos = state.set_tos;
  record.max_mss = Be16{state.max_mss};
  record.set_prio = state.set_prio;
  record.rt = said_rt(state, dialect);
  record.rt_ifname = state.rt_ifname.chars;
}

/// All of 1301 and 1400 that lies at the same place in both.
template <class Record>
void read_tail(State& state, const Record& record) noexcept {
  state.rt_addr = to_address(record.head.rt_addr, state.af);
  state.proto = record.proto;
  state.direction = Direction{record.direction};
  state.log = record.log;
  state.timeout = record.timeout;
  state.sync_flags = record.sync_flags;
}

template <class Record>
void write_tail(Record& record, const State& state, Dialect dialect) noexcept {
  if (says_next_hop(state, dialect)) record.head.rt_addr = state.rt_addr.bytes;
  record.af = freebsd_af(state.af);
  record.proto = state.proto;
  record.direction = static_cast<std::uint8_t>(state.direction);
  record.log = state.log;
  record.timeout = state.timeout;
  record.sync_flags = state.sync_flags;
}

// --- one dialect each ----------------------------------------------------------------------------------

void read_1301(State& state, Bytes bytes) noexcept {
  const auto record = load<freebsd::State1301>(bytes, 0);
  const Family family = freebsd_family(record.af);
  read_head(state, record.head, bytes, family, family);
  read_tail(state, record);
  state.state_flags = said_flags(record.state_flags, Dialect::freebsd_1301);
}

void write_1301(const State& state, Room room) noexcept {
  auto& record = make<freebsd::State1301>(room);
  write_head(record.head, state);
  write_tail(record, state, Dialect::freebsd_1301);
  record.state_flags = static_cast<std::uint8_t>(said_flags(state.state_flags, Dialect::freebsd_1301));
}

void read_1400(State& state, Bytes bytes) noexcept {
  const auto record = load<freebsd::State1400>(bytes, 0);
  const Family family = freebsd_family(record.af);
  read_head(state, record.head, bytes, family, family);
  read_tail(state, record);
  read_actions(state, record, bytes);
}

void write_1400(const State& state, Room room) noexcept {
  auto& record = make<freebsd::State1400>(room);
  write_head(record.head, state);
  write_tail(record, state, Dialect::freebsd_1400);
  write_actions(record, state, Dialect::freebsd_1400);
}

void read_1500(State& state, Bytes bytes) noexcept {
  const auto record = load<freebsd::State1500>(bytes, 0);
  const Family wire_family = freebsd_family(record.wire_af);
  Family stack_family = freebsd_family(record.stack_af);
  // The kernel judges wire_af alone.
  if (stack_family == Family::none || wire_family == Family::none) stack_family = wire_family;
  read_head(state, record.head, bytes, wire_family, stack_family);
  read_actions(state, record, bytes);
  const Family rt_family = freebsd_family(record.rt_af);
  if (rt_family != wire_family && wire_family != Family::none) state.rt_af = rt_family;
  state.rt_addr = to_address(record.head.rt_addr, state.rt_family());
  state.proto = record.wire_proto;
  if (record.stack_proto != state.usual_stack_proto()) state.stack_proto = record.stack_proto;
  state.direction = Direction{record.direction};
  state.log = record.log;
  state.timeout = record.timeout;
  state.tag = read_name<64>(bytes.data() + offsetof(freebsd::State1500, tagname));
  const InterfaceName orig_ifname = read_name<16>(bytes.data() + offsetof(freebsd::State1500, orig_ifname));
  if (orig_ifname != state.ifname) state.orig_ifname = orig_ifname;
}

void write_1500(const State& state, Room room) noexcept {
  auto& record = make<freebsd::State1500>(room);
  write_head(record.head, state);
  write_actions(record, state, Dialect::freebsd_1500);
  record.head.rt_addr = state.rt_addr.bytes;
  record.tagname = state.tag.chars;
  // A state without it would be dropped by receivers, unless it is bound to "all".
  record.orig_ifname = state.orig_ifname.empty() ? state.ifname.chars : state.orig_ifname.chars;
  record.wire_af = freebsd_af(state.af);
  record.stack_af = freebsd_af(state.stack_family());
  const bool has_next_hop = record.rt != route::none || state.rt_addr != Address{} || state.rt_af != Family::none;
  if (has_next_hop) record.rt_af = freebsd_af(state.rt_family());
  record.wire_proto = state.proto;
  record.stack_proto = state.stack_proto == 0 ? state.usual_stack_proto() : state.stack_proto;
  record.log = state.log;
  record.timeout = state.timeout;
  record.direction = static_cast<std::uint8_t>(state.direction);
}

void read_openbsd(State& state, Bytes bytes) noexcept {
  const auto record = load<openbsd::StateRecord>(bytes, 0);
  Family wire_family = openbsd_family(record.af);
  Family stack_family = wire_family;
  // Old senders leave both families of the keys zero; one that is not known spoils the state.
  if (record.key[wire_side].af != 0 || record.key[stack_side].af != 0) {
    if (wire_family != Family::none) wire_family = openbsd_family(record.key[wire_side].af);
    stack_family = openbsd_family(record.key[stack_side].af);
    if (stack_family == Family::none || wire_family == Family::none) stack_family = wire_family = Family::none;
  }
  read_head(state, record, bytes, wire_family, stack_family);
  state.rdomain = {record.key[wire_side].rdomain.host(), record.key[stack_side].rdomain.host()};
  state.rt_addr = to_address(record.rt_addr, wire_family);
  state.rtableid = {to_signed(record.rtableid[wire_side]), to_signed(record.rtableid[stack_side])};
  state.max_mss = record.max_mss.host();
  state.proto = record.proto;
  state.direction = Direction{record.direction};
  state.log = record.log;
  // OpenBSD counts from ROUTE-TO = 1; 254 and 255, which nobody uses, share a number here.
  state.rt = record.rt == 0 ? route::none : static_cast<std::uint8_t>(std::min(record.rt + 1, 255));
  state.timeout = record.timeout;
  state.sync_flags = record.sync_flags;
  state.min_ttl = record.min_ttl;
  state.set_tos = record.set_tos;
  state.state_flags = record.state_flags.host();
  state.set_prio = record.set_prio;
}

void write_openbsd(const State& state, Room room) noexcept {
  auto& record = make<openbsd::StateRecord>(room);
  write_head(record, state);
  const std::array families{state.af, state.stack_family()};
  for (std::size_t side = 0; side < 2; ++side) {
    record.key[side].rdomain = Be16{state.rdomain[side]};
    record.key[side].af = openbsd_af(families[side]);
    record.rtableid[side] = to_be32(state.rtableid[side]);
  }
  if (says_next_hop(state, Dialect::openbsd)) record.rt_addr = state.rt_addr.bytes;
  record.max_mss = Be16{state.max_mss};
  record.af = openbsd_af(state.af);
  record.proto = state.proto;
  record.direction = static_cast<std::uint8_t>(state.direction);
  record.log = state.log;
  const std::uint8_t rt = said_rt(state, Dialect::openbsd);
  record.rt = rt == route::none ? rt : static_cast<std::uint8_t>(rt - 1);
  record.timeout = said_timeout(state.timeout, Dialect::openbsd);
  record.sync_flags = said_sync_flags(state.sync_flags, Dialect::openbsd);
  record.min_ttl = state.min_ttl;
  record.set_tos = state.set_tos;
  record.state_flags = Be16{said_flags(state.state_flags, Dialect::openbsd)};
  record.set_prio = state.set_prio;
}

}  // namespace

State read_state(Layout layout, Bytes record) noexcept {
  State state;
  switch (layout) {
    case Layout::state_1301: read_1301(state, record); break;
    case Layout::state_1400: read_1400(state, record); break;
    case Layout::state_1500: read_1500(state, record); break;
    case Layout::state_openbsd: read_openbsd(state, record); break;
    case Layout::none:
    case Layout::common:
    case Layout::tdb_freebsd:
    case Layout::tdb_openbsd: break;
  }
  return state;
}

void write_state(Layout layout, const State& state, Room record) noexcept {
  switch (layout) {
    case Layout::state_1301: write_1301(state, record); break;
    case Layout::state_1400: write_1400(state, record); break;
    case Layout::state_1500: write_1500(state, record); break;
    case Layout::state_openbsd: write_openbsd(state, record); break;
    case Layout::none:
    case Layout::common:
    case Layout::tdb_freebsd:
    case Layout::tdb_openbsd: break;
  }
}

namespace {

/// Where a layout has what an update changes. UPD_C is the same on both systems.
struct UpdateOffsets {
  std::size_t src, dst, creatorid, timeout;
};
template <class Record>
constexpr UpdateOffsets freebsd_offsets{offsetof(freebsd::StateHead, src), offsetof(freebsd::StateHead, dst),
                                        offsetof(freebsd::StateHead, creatorid), offsetof(Record, timeout)};

constexpr UpdateOffsets offsets_of(Layout layout) noexcept {
  switch (layout) {
    case Layout::state_1301: return freebsd_offsets<freebsd::State1301>;
    case Layout::state_1400: return freebsd_offsets<freebsd::State1400>;
    case Layout::state_1500: return freebsd_offsets<freebsd::State1500>;
    case Layout::state_openbsd:
      return {offsetof(openbsd::StateRecord, src), offsetof(openbsd::StateRecord, dst),
              offsetof(openbsd::StateRecord, creatorid), offsetof(openbsd::StateRecord, timeout)};
    case Layout::none:
    case Layout::common:
    case Layout::tdb_freebsd:
    case Layout::tdb_openbsd: break;
  }
  return {offsetof(UpdCRecord, src), offsetof(UpdCRecord, dst), offsetof(UpdCRecord, creatorid),
          offsetof(UpdCRecord, timeout)};
}

}  // namespace

namespace {

/// Into the caller's value: a copy of it would wait for the stores of its fields.
[[gnu::always_inline]] inline void read_update_at(const UpdateOffsets& at, Bytes record, Update& update) noexcept {
  update.id = {load<Be64>(record, 0).host(), load<Be32>(record, at.creatorid).host()};
  read_peer(record.data() + at.src, update.src);
  read_peer(record.data() + at.dst, update.dst);
  update.timeout = record[at.timeout];
}

}  // namespace

Update read_update(Layout layout, Bytes record) noexcept {
  Update update;
  if (layout == Layout::common) {
    read_update_at(offsets_of(Layout::common), record, update);
    update.expire_s = load<Be32>(record, offsetof(UpdCRecord, expire)).host();
  } else {
    read_update_at(offsets_of(layout), record, update);
  }
  return update;
}

StateId read_id(Message message, Layout layout, Bytes record) noexcept {
  const bool is_short = layout == Layout::common && message != Message::upd_c;
  const std::size_t creatorid = is_short ? offsetof(IdRecord, creatorid) : offsets_of(layout).creatorid;
  return {load<Be64>(record, 0).host(), load<Be32>(record, creatorid).host()};
}

}  // namespace pfsync::wire
