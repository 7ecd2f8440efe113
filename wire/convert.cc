#include "wire/convert.h"

#include <algorithm>
#include <array>
#include <cstring>

#include "wire/freebsd.h"
#include "wire/messages.h"

namespace pfsync::wire {
namespace {

Peer to_peer(const PeerRecord& record) noexcept {
  return Peer{.scrub = {.pfss_ts_mod = record.scrub.pfss_ts_mod.host(),
                        .pfss_flags = record.scrub.pfss_flags.host(),
                        .pfss_ttl = record.scrub.pfss_ttl,
                        .scrub_flag = record.scrub.scrub_flag},
              .seqlo = record.seqlo.host(),
              .seqhi = record.seqhi.host(),
              .seqdiff = record.seqdiff.host(),
              .max_win = record.max_win.host(),
              .mss = record.mss.host(),
              .state = record.state,
              .wscale = record.wscale};
}

PeerRecord to_record(const Peer& peer) noexcept {
  return PeerRecord{.scrub = {Be16{peer.scrub.pfss_flags}, peer.scrub.pfss_ttl, peer.scrub.scrub_flag,
                              Be32{peer.scrub.pfss_ts_mod}},
                    .seqlo = Be32{peer.seqlo},
                    .seqhi = Be32{peer.seqhi},
                    .seqdiff = Be32{peer.seqdiff},
                    .max_win = Be16{peer.max_win},
                    .mss = Be16{peer.mss},
                    .state = peer.state,
                    .wscale = peer.wscale,
                    .pad = {}};
}

/// Drops what lies behind the NUL (OpenBSD leaves garbage there in CLR) and ends an unterminated name.
InterfaceName to_name(const std::array<char, 16>& chars) noexcept {
  return InterfaceName{std::string_view{chars.data(), chars.size()}};
}

Family freebsd_family(std::uint8_t af) noexcept {
  if (af == freebsd::af_inet) return Family::inet;
  if (af == freebsd::af_inet6) return Family::inet6;
  return Family::none;
}

std::uint8_t freebsd_af(Family family) noexcept {
  switch (family) {
    case Family::inet: return freebsd::af_inet;
    case Family::inet6: return freebsd::af_inet6;
    case Family::none: break;
  }
  return 0;
}

/// Only the first 4 bytes of an IPv4 address mean anything; a peer's rubbish behind them must neither
/// reach another kernel (which compares all 16) nor make two equal keys differ here.
Address to_address(const std::array<std::uint8_t, 16>& bytes, Family family) noexcept {
  Address address{bytes};
  if (family == Family::inet) std::fill(address.bytes.begin() + 4, address.bytes.end(), std::uint8_t{0});
  return address;
}

Key to_key(const freebsd::KeyRecord& record, Family family) noexcept {
  return Key{.addr = {to_address(record.addr[0], family), to_address(record.addr[1], family)},
             .port = {record.port[0].host(), record.port[1].host()}};
}

freebsd::KeyRecord to_record(const Key& key) noexcept {
  return freebsd::KeyRecord{.addr = {key.addr[0].bytes, key.addr[1].bytes},
                            .port = {Be16{key.port[0]}, Be16{key.port[1]}}};
}

State to_state(const freebsd::StateHead& head, Family family) noexcept {
  State state;
  state.id = {head.id.host(), head.creatorid.host()};
  state.ifname = to_name(head.ifname);
  state.key = {to_key(head.key[0], family), to_key(head.key[1], family)};
  state.src = to_peer(head.src);
  state.dst = to_peer(head.dst);
  state.rt_addr = to_address(head.rt_addr, family);
  state.rule = head.rule.host();
  state.anchor = head.anchor.host();
  state.nat_rule = head.nat_rule.host();
  state.creation_s = head.creation.host();
  state.expire_s = head.expire.host();
  state.packets = {head.packets[0].host(), head.packets[1].host()};
  state.bytes = {head.bytes[0].host(), head.bytes[1].host()};
  state.af = family;
  return state;
}

freebsd::StateHead to_head(const State& state) noexcept {
  return freebsd::StateHead{.id = Be64{state.id.id},
                            .ifname = state.ifname.chars,
                            .key = {to_record(state.key[0]), to_record(state.key[1])},
                            .src = to_record(state.src),
                            .dst = to_record(state.dst),
                            .rt_addr = state.rt_addr.bytes,
                            .rule = Be32{state.rule},
                            .anchor = Be32{state.anchor},
                            .nat_rule = Be32{state.nat_rule},
                            .creation = Be32{state.creation_s},
                            .expire = Be32{state.expire_s},
                            .packets = {Be64{state.packets[0]}, Be64{state.packets[1]}},
                            .bytes = {Be64{state.bytes[0]}, Be64{state.bytes[1]}},
                            .creatorid = Be32{state.id.creatorid}};
}

}  // namespace

State read_state(Layout layout, Bytes record) noexcept {
  if (layout != Layout::state_1301) return {};
  const auto wire = load<freebsd::State1301>(record, 0);
  State state = to_state(wire.head, freebsd_family(wire.af));
  state.proto = wire.proto;
  state.direction = Direction{wire.direction};
  state.log = wire.log;
  state.state_flags = wire.state_flags;
  state.timeout = wire.timeout;
  state.sync_flags = wire.sync_flags;
  return state;
}

void write_state(Layout layout, const State& state, Room record) noexcept {
  if (layout != Layout::state_1301) return;
  store(record, 0,
        freebsd::State1301{.head = to_head(state),
                           .af = freebsd_af(state.af),
                           .proto = state.proto,
                           .direction = static_cast<std::uint8_t>(state.direction),
                           .spare = {},
                           .log = state.log,
                           .state_flags = static_cast<std::uint8_t>(state.state_flags),
                           .timeout = state.timeout,
                           .sync_flags = state.sync_flags,
                           .updates = 0});
}

Update read_update(Layout layout, Bytes record) noexcept {
  if (layout == Layout::state_1301) {
    const auto wire = load<freebsd::State1301>(record, 0);
    return {.id = {wire.head.id.host(), wire.head.creatorid.host()},
            .src = to_peer(wire.head.src),
            .dst = to_peer(wire.head.dst),
            .timeout = wire.timeout};
  }
  const auto wire = load<UpdCRecord>(record, 0);
  return {.id = {wire.id.host(), wire.creatorid.host()},
          .src = to_peer(wire.src),
          .dst = to_peer(wire.dst),
          .timeout = wire.timeout};
}

void write_update(const Update& update, Room record) noexcept {
  store(record, 0,
        UpdCRecord{.id = Be64{update.id.id},
                   .src = to_record(update.src),
                   .dst = to_record(update.dst),
                   .creatorid = Be32{update.id.creatorid},
                   .expire = Be32{0},
                   .timeout = update.timeout,
                   .pad = {}});
}

StateId read_id(Message message, Layout layout, Bytes record) noexcept {
  std::size_t creatorid_offset = offsetof(IdRecord, creatorid);
  if (layout == Layout::state_1301) creatorid_offset = offsetof(freebsd::StateHead, creatorid);
  else if (message == Message::upd_c) creatorid_offset = offsetof(UpdCRecord, creatorid);
  return {load<Be64>(record, 0).host(), load<Be32>(record, creatorid_offset).host()};
}

void write_id(StateId id, Room record) noexcept { store(record, 0, IdRecord{Be64{id.id}, Be32{id.creatorid}}); }

Clear read_clear(Bytes record) noexcept {
  const auto wire = load<ClrRecord>(record, 0);
  return {.ifname = to_name(wire.ifname), .creatorid = wire.creatorid.host()};
}

void write_clear(const Clear& clear, Room record) noexcept {
  store(record, 0, ClrRecord{clear.ifname.chars, Be32{clear.creatorid}});
}

BulkStatus read_bulk_status(Bytes record) noexcept {
  const auto wire = load<BusRecord>(record, 0);
  return {.creatorid = wire.creatorid.host(), .endtime_s = wire.endtime.host(), .status = wire.status};
}

void write_bulk_status(const BulkStatus& status, Room record) noexcept {
  store(record, 0, BusRecord{Be32{status.creatorid}, Be32{status.endtime_s}, status.status, {}});
}

// The sockaddr inside TDB: byte 0 length, byte 1 family, then for IPv4 the address at 4, for IPv6 at 8.
// Source: FreeBSD sys/netinet/in.h, struct sockaddr_in; sys/netinet6/in6.h, struct sockaddr_in6.
Tdb read_tdb(Layout layout, Bytes record) noexcept {
  if (layout != Layout::tdb_freebsd) return {};
  const auto wire = load<freebsd::TdbRecord>(record, 0);
  Tdb tdb{.spi = wire.spi.host(),
          .af = freebsd_family(wire.dst[1]),
          .dst = {},
          .rpl = wire.rpl.host(),
          .cur_bytes = wire.cur_bytes.host(),
          .sproto = wire.sproto,
          .updates = wire.updates};
  if (tdb.af == Family::inet) std::copy_n(wire.dst.begin() + 4, 4, tdb.dst.bytes.begin());
  if (tdb.af == Family::inet6) std::copy_n(wire.dst.begin() + 8, 16, tdb.dst.bytes.begin());
  return tdb;
}

void write_tdb(Layout layout, const Tdb& tdb, Room record) noexcept {
  if (layout != Layout::tdb_freebsd) return;
  freebsd::TdbRecord wire{.spi = Be32{tdb.spi},
                          .dst = {},
                          .rpl = Be32{static_cast<std::uint32_t>(tdb.rpl)},
                          .cur_bytes = Be64{tdb.cur_bytes},
                          .sproto = tdb.sproto,
                          .updates = tdb.updates,
                          .pad = {}};
  wire.dst[1] = freebsd_af(tdb.af);
  if (tdb.af == Family::inet) {
    wire.dst[0] = 16;
    std::copy_n(tdb.dst.bytes.begin(), 4, wire.dst.begin() + 4);
  } else if (tdb.af == Family::inet6) {
    wire.dst[0] = 28;
    std::copy_n(tdb.dst.bytes.begin(), 16, wire.dst.begin() + 8);
  }
  store(record, 0, wire);
}

}  // namespace pfsync::wire
