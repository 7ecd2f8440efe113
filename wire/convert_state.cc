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
  static_assert(offsetof(State, anchor) == offsetof(State, rule) + 4 &&
                offsetof(State, nat_rule) == offsetof(State, rule) + 8 &&
                offsetof(State, creation_s) == offsetof(State, rule) + 12);
  static_assert(offsetof(Head, anchor) == offsetof(Head, rule) + 4 &&
                offsetof(Head, nat_rule) == offsetof(Head, rule) + 8 &&
                offsetof(Head, creation) == offsetof(Head, rule) + 12);
  static_assert(sizeof(Head::packets) == 16 && sizeof(Head::bytes) == 16);
}

/// Head: freebsd::StateHead or openbsd::StateRecord.
template <class Head>
[[gnu::always_inline]] inline void read_head(State& state, const Head& head, Bytes bytes, Family wire_family,
                                             Family stack_family) noexcept {
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

/// Every byte of a record is stored once, in as few and as wide pieces as its fields allow, and none is read again:
/// a load waits for narrower stores of its bytes. `to`: the front of a Head.
template <class Head>
[[gnu::always_inline]] inline void write_head(std::uint8_t* to, const State& state) noexcept {
  put(to + offsetof(Head, id), Be64{state.id.id});
  put(to + offsetof(Head, ifname), load_lane(&state.ifname));
  for (std::size_t side = 0; side < 2; ++side) {
    using Record = typename decltype(Head::key)::value_type;
    std::uint8_t* key = to + offsetof(Head, key) + side * sizeof(Record);
    put(key, load_lane(&state.key[side].addr[0]));
    put(key + 16, load_lane(&state.key[side].addr[1]));
    put(key + offsetof(Record, port), swapped_pair(state.key[side].port));
  }
  write_peer(state.src, to + offsetof(Head, src));
  write_peer(state.dst, to + offsetof(Head, dst));
  check_rows<Head>();
  swap_row<std::uint32_t, 16>(&state.rule, to + offsetof(Head, rule));
  put(to + offsetof(Head, expire), Be32{state.expire_s});
  swap_row<std::uint64_t, 16>(&state.packets, to + offsetof(Head, packets));
  swap_row<std::uint64_t, 16>(&state.bytes, to + offsetof(Head, bytes));
  put(to + offsetof(Head, creatorid), Be32{state.id.creatorid});
}

/// The next hop, or none for a receiver that would take it for one of another family.
[[gnu::always_inline]] inline void write_next_hop(std::uint8_t* to, const State& state, Dialect dialect) noexcept {
  put(to, says_next_hop(state, dialect) ? load_lane(&state.rt_addr) : Lane{});
}

/// The 16 bytes of a State from `af` to `max_mss`, which records hold in other orders, by their place among them.
namespace small {
inline constexpr int none = 16;  // a zero byte
template <std::size_t offset>
inline constexpr int place = static_cast<int>(offset - offsetof(State, af));
inline constexpr int af = 0, proto = place<offsetof(State, proto)>, direction = place<offsetof(State, direction)>,
                     log = place<offsetof(State, log)>, flags_low = place<offsetof(State, state_flags)>,
                     flags_high = flags_low + 1, timeout = place<offsetof(State, timeout)>,
                     sync_flags = place<offsetof(State, sync_flags)>, rt = place<offsetof(State, rt)>,
                     min_ttl = place<offsetof(State, min_ttl)>, set_tos = place<offsetof(State, set_tos)>,
                     prio_0 = place<offsetof(State, set_prio)>, prio_1 = prio_0 + 1, unused = prio_1 + 1,
                     mss_low = place<offsetof(State, max_mss)>, mss_high = mss_low + 1;
static_assert(mss_high == 15 && unused + 1 == mss_low);

/// As the dialect says them; each byte keeps its place.
template <Dialect dialect>
[[gnu::always_inline]] inline Lane said(const State& state) noexcept {
  constexpr std::uint16_t flags = said_flags(0xffff, dialect);
  constexpr auto all = std::uint8_t{0xff};
  constexpr Lane keep{all, all, all, all, flags & 0xffu, flags >> 8u, all, said_sync_flags(all, dialect),
                      all, all, all, all, all,           0,           all, all};
  Lane lane = load_lane(&state.af) & keep;
  lane[af] = dialect == Dialect::openbsd ? openbsd_af(state.af) : freebsd_af(state.af);
  if constexpr (dialect != Dialect::freebsd_1301) lane[rt] = said_rt(state, dialect);
  return lane;
}

/// `places` in the order of the record; what is missing of 16 is zero.
template <int... places>
[[gnu::always_inline]] inline Lane ordered(Lane lane) noexcept {
  constexpr std::array<int, 16> at = [] {
    std::array<int, 16> all;
    all.fill(none);
    std::size_t i = 0;
    ((all[i++] = places), ...);
    return all;
  }();
  return __builtin_shufflevector(lane, Lane{}, at[0], at[1], at[2], at[3], at[4], at[5], at[6], at[7], at[8], at[9],
                                 at[10], at[11], at[12], at[13], at[14], at[15]);
}
}  // namespace small

/// ALTQ queues and dummynet pipes lie in a row on both sides.
[[gnu::always_inline]] inline void write_queues_and_pipes(std::uint8_t* to, const State& state) noexcept {
  static_assert(offsetof(State, pqid) == offsetof(State, qid) + 2 &&
                offsetof(State, dnpipe) == offsetof(State, qid) + 4 &&
                offsetof(State, dnrpipe) == offsetof(State, qid) + 6);
  std::uint64_t four = 0;
  std::memcpy(&four, &state.qid, sizeof four);
  put(to, (four & 0x00ff00ff00ff00ffu) << 8u | (four >> 8u & 0x00ff00ff00ff00ffu));
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

// --- one dialect each ----------------------------------------------------------------------------------

void read_1301(State& state, Bytes bytes) noexcept {
  const auto record = load<freebsd::State1301>(bytes, 0);
  const Family family = freebsd_family(record.af);
  read_head(state, record.head, bytes, family, family);
  read_tail(state, record);
  state.state_flags = said_flags(record.state_flags, Dialect::freebsd_1301);
}

void write_1301(const State& state, std::uint8_t* to) noexcept {
  constexpr auto dialect = Dialect::freebsd_1301;
  using Record = freebsd::State1301;
  using namespace small;
  write_head<freebsd::StateHead>(to, state);
  write_next_hop(to + offsetof(freebsd::StateHead, rt_addr), state, dialect);
  const Lane lane = said<dialect>(state);
  put_first<10>(to + offsetof(Record, af),
                ordered<af, proto, direction, none, none, log, flags_low, timeout, sync_flags, none>(lane));
}

void read_1400(State& state, Bytes bytes) noexcept {
  const auto record = load<freebsd::State1400>(bytes, 0);
  const Family family = freebsd_family(record.af);
  read_head(state, record.head, bytes, family, family);
  read_tail(state, record);
  read_actions(state, record, bytes);
}

void write_1400(const State& state, std::uint8_t* to) noexcept {
  constexpr auto dialect = Dialect::freebsd_1400;
  using Record = freebsd::State1400;
  using namespace small;
  write_head<freebsd::StateHead>(to, state);
  write_next_hop(to + offsetof(freebsd::StateHead, rt_addr), state, dialect);
  const Lane lane = said<dialect>(state);
  put_first<10>(to + offsetof(Record, af),
                ordered<af, proto, direction, flags_high, flags_low, log, none, timeout, sync_flags, none>(lane));
  write_queues_and_pipes(to + offsetof(Record, qid), state);
  put(to + offsetof(Record, rtableid), to_be32(said_rtableid(state.rtableid, dialect)[wire_side]));
  // One byte too far, into the name that is stored next.
  put_first<8>(to + offsetof(Record, min_ttl), ordered<min_ttl, set_tos, mss_high, mss_low, prio_0, prio_1, rt>(lane));
  put(to + offsetof(Record, rt_ifname), load_lane(&state.rt_ifname));
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

void write_1500(const State& state, std::uint8_t* to) noexcept {
  constexpr auto dialect = Dialect::freebsd_1500;
  using Record = freebsd::State1500;
  using namespace small;
  write_head<freebsd::StateHead>(to, state);
  put(to + offsetof(freebsd::StateHead, rt_addr), load_lane(&state.rt_addr));
  for (std::size_t at = 0; at < sizeof(TagName); at += sizeof(Lane))
    put(to + offsetof(Record, tagname) + at, load_lane(state.tag.chars.data() + at));
  put(to + offsetof(Record, rt_ifname), load_lane(&state.rt_ifname));
  // A state without it would be dropped by receivers, unless it is bound to "all".
  put(to + offsetof(Record, orig_ifname), load_lane(state.orig_ifname.empty() ? &state.ifname : &state.orig_ifname));
  put(to + offsetof(Record, rtableid), to_be32(said_rtableid(state.rtableid, dialect)[wire_side]));
  write_queues_and_pipes(to + offsetof(Record, qid), state);
  const Lane lane = said<dialect>(state);
  put_first<2>(to + offsetof(Record, state_flags), ordered<flags_high, flags_low>(lane));
  put_first<2>(to + offsetof(Record, max_mss), ordered<mss_high, mss_low>(lane));
  const bool has_next_hop =
      lane[rt] != route::none || !is_zero(load_lane(&state.rt_addr)) || state.rt_af != Family::none;
  Lane last = ordered<af, none, none, proto, none, log, timeout, direction, rt, min_ttl, set_tos, prio_0, prio_1>(lane);
  const auto insert = [&last](std::size_t offset, std::uint8_t byte) {
    last[offset - offsetof(Record, wire_af)] = byte;
  };
  insert(offsetof(Record, stack_af), freebsd_af(state.stack_family()));
  insert(offsetof(Record, rt_af), has_next_hop ? freebsd_af(state.rt_family()) : std::uint8_t{0});
  insert(offsetof(Record, stack_proto), state.stack_proto == 0 ? state.usual_stack_proto() : state.stack_proto);
  put(to + offsetof(Record, wire_af), last);
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

void write_openbsd(const State& state, std::uint8_t* to) noexcept {
  constexpr auto dialect = Dialect::openbsd;
  using Record = openbsd::StateRecord;
  using namespace small;
  write_head<Record>(to, state);
  const std::array families{state.af, state.stack_family()};
  for (std::size_t side = 0; side < 2; ++side) {
    std::uint8_t* key = to + offsetof(Record, key) + side * sizeof(openbsd::KeyRecord);
    put(key + offsetof(openbsd::KeyRecord, rdomain), Be16{state.rdomain[side]});
    put(key + offsetof(openbsd::KeyRecord, af), std::array{openbsd_af(families[side]), std::uint8_t{0}});
  }
  write_next_hop(to + offsetof(Record, rt_addr), state, dialect);
  put(to + offsetof(Record, rtableid),
      std::array{to_be32(state.rtableid[wire_side]), to_be32(state.rtableid[stack_side])});
  Lane lane = said<dialect>(state);
  if (lane[rt] != route::none) lane[rt] = static_cast<std::uint8_t>(lane[rt] - 1);
  lane[timeout] = said_timeout(state.timeout, dialect);
  put(to + offsetof(Record, max_mss), ordered<mss_high, mss_low, af, proto, direction, log, rt, timeout, sync_flags,
                                              none, min_ttl, set_tos, flags_high, flags_low, prio_0, prio_1>(lane));
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

namespace {

template <class Record>
[[gnu::always_inline]] inline void write_each(void (*write)(const State&, std::uint8_t*), std::span<const State> states,
                                              Room records) noexcept {
  std::uint8_t* to = records.data();
  for (const State& state : states) {
    write(state, to);
    to += sizeof(Record);
  }
}

}  // namespace

void write_states(Layout layout, std::span<const State> states, Room records) noexcept {
  switch (layout) {
    case Layout::state_1301: write_each<freebsd::State1301>(write_1301, states, records); break;
    case Layout::state_1400: write_each<freebsd::State1400>(write_1400, states, records); break;
    case Layout::state_1500: write_each<freebsd::State1500>(write_1500, states, records); break;
    case Layout::state_openbsd: write_each<openbsd::StateRecord>(write_openbsd, states, records); break;
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
