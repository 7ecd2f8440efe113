#include "tests/wire/plain_walk.h"

#include <algorithm>
#include <stdexcept>
#include <string>

#include "layout_table.h"

namespace pfsync::wire::test {
namespace {

/// Version 5: what FreeBSD 15 knows, and DEL, which only 1301 has.
const PlainAction* plain_action(int version, int number) {
  for (const PlainAction& action : plain_actions) {
    if (action.number != number) continue;
    if (version == 6 ? action.dialect == "openbsd-v6"
                     : action.dialect == (number == 6 ? "freebsd-1301" : "freebsd-1500"))
      return &action;
  }
  return nullptr;
}

Family family(int version, std::uint64_t af) {
  if (af == 2) return Family::inet;
  return af == (version == 6 ? 24u : 28u) ? Family::inet6 : Family::none;
}

template <std::size_t N>
Name<N> name(Bytes bytes) {
  std::string text;
  for (const std::uint8_t byte : bytes) {
    if (byte == 0) break;
    text += static_cast<char>(byte);
  }
  return Name<N>{text};
}

Address address(Bytes bytes, Family family) {
  Address result;
  const std::size_t size = family == Family::inet ? 4 : 16;
  std::copy_n(bytes.begin(), size, result.bytes.begin());
  return result;
}

StateId id(const PlainRecord& record) {
  return {record.number("id"), static_cast<std::uint32_t>(record.number("creatorid"))};
}

Peer peer(const PlainRecord& record, const std::string& side) {
  const auto number = [&](const char* field) { return record.number(side + "." + field); };
  Peer result;
  result.scrub.pfss_flags = static_cast<std::uint16_t>(number("scrub.pfss_flags"));
  result.scrub.pfss_ttl = static_cast<std::uint8_t>(number("scrub.pfss_ttl"));
  result.scrub.scrub_flag = static_cast<std::uint8_t>(number("scrub.scrub_flag"));
  result.scrub.pfss_ts_mod = static_cast<std::uint32_t>(number("scrub.pfss_ts_mod"));
  result.seqlo = static_cast<std::uint32_t>(number("seqlo"));
  result.seqhi = static_cast<std::uint32_t>(number("seqhi"));
  result.seqdiff = static_cast<std::uint32_t>(number("seqdiff"));
  result.max_win = static_cast<std::uint16_t>(number("max_win"));
  result.mss = static_cast<std::uint16_t>(number("mss"));
  result.state = static_cast<std::uint8_t>(number("state"));
  result.wscale = static_cast<std::uint8_t>(number("wscale"));
  return result;
}

std::int32_t negative_or_not(std::uint64_t number) {
  return static_cast<std::int32_t>(static_cast<std::uint32_t>(number));
}

/// Families of the WIRE and the STACK key.
std::array<Family, 2> key_families(const PlainRecord& record, int version) {
  if (record.has("wire_af")) {
    const Family wire = family(version, record.number("wire_af")), stack = family(version, record.number("stack_af"));
    return {wire, stack == Family::none || wire == Family::none ? wire : stack};
  }
  const Family af = family(version, record.number("af"));
  if (!record.has("key[0].af") || (record.number("key[0].af") == 0 && record.number("key[1].af") == 0)) return {af, af};
  const Family wire = family(version, record.number("key[0].af")), stack = family(version, record.number("key[1].af"));
  if (af == Family::none || wire == Family::none || stack == Family::none) return {Family::none, Family::none};
  return {wire, stack};
}

State state(const PlainRecord& record, int version) {
  const auto u8 = [&](const char* field) {
    return record.has(field) ? static_cast<std::uint8_t>(record.number(field)) : std::uint8_t{0};
  };
  const auto u16 = [&](const char* field) {
    return record.has(field) ? static_cast<std::uint16_t>(record.number(field)) : std::uint16_t{0};
  };
  const auto u32 = [&](const char* field) { return static_cast<std::uint32_t>(record.number(field)); };
  State state;
  state.id = id(record);
  state.ifname = name<16>(record.bytes("ifname"));
  const auto families = key_families(record, version);
  state.af = families[0];
  if (families[1] != families[0]) state.stack_af = families[1];
  constexpr std::array<std::array<const char*, 2>, 2> addresses{
      {{"key[0].addr[0]", "key[0].addr[1]"}, {"key[1].addr[0]", "key[1].addr[1]"}}};
  constexpr std::array<std::array<const char*, 2>, 2> ports{
      {{"key[0].port[0]", "key[0].port[1]"}, {"key[1].port[0]", "key[1].port[1]"}}};
  for (std::size_t side = 0; side < 2; ++side)
    for (std::size_t end = 0; end < 2; ++end) {
      state.key[side].addr[end] = address(record.bytes(addresses[side][end]), families[side]);
      state.key[side].port[end] = u16(ports[side][end]);
    }
  state.src = peer(record, "src");
  state.dst = peer(record, "dst");
  state.rule = u32("rule");
  state.anchor = u32("anchor");
  state.nat_rule = u32("nat_rule");
  state.creation_s = u32("creation");
  state.expire_s = u32("expire");
  state.packets = {record.number("packets[0]"), record.number("packets[1]")};
  state.bytes = {record.number("bytes[0]"), record.number("bytes[1]")};
  state.proto = u8(record.has("wire_proto") ? "wire_proto" : "proto");
  state.direction = Direction{u8("direction")};
  state.log = u8("log");
  state.timeout = u8("timeout");
  state.sync_flags = u8("sync_flags");
  state.state_flags = u16("state_flags");
  if (record.name() == "state_1301") state.state_flags = state.state_flags & 0xbf;  // without SETTOS, 0x40
  if (record.has("rt_af") && state.af != Family::none && family(version, record.number("rt_af")) != state.af)
    state.rt_af = family(version, record.number("rt_af"));
  state.rt_addr = address(record.bytes("rt_addr"), state.rt_family());
  state.rt = u8("rt");
  if (version == 6 && state.rt != 0 && state.rt != 255) ++state.rt;  // OpenBSD numbers them without FASTROUTE
  state.min_ttl = u8("min_ttl");
  state.set_tos = u8("set_tos");
  if (record.has("set_prio")) state.set_prio = {record.bytes("set_prio")[0], record.bytes("set_prio")[1]};
  state.max_mss = u16("max_mss");
  state.qid = u16("qid");
  state.pqid = u16("pqid");
  state.dnpipe = u16("dnpipe");
  state.dnrpipe = u16("dnrpipe");
  if (record.has("rtableid")) state.rtableid.fill(negative_or_not(record.number("rtableid")));
  if (record.has("rtableid[0]"))
    state.rtableid = {negative_or_not(record.number("rtableid[0]")), negative_or_not(record.number("rtableid[1]"))};
  if (record.has("rt_ifname")) state.rt_ifname = name<16>(record.bytes("rt_ifname"));
  if (record.has("key[0].rdomain")) state.rdomain = {u16("key[0].rdomain"), u16("key[1].rdomain")};
  if (record.has("orig_ifname") && name<16>(record.bytes("orig_ifname")) != state.ifname)
    state.orig_ifname = name<16>(record.bytes("orig_ifname"));
  if (record.has("tagname")) state.tag = name<64>(record.bytes("tagname"));
  if (record.has("stack_proto")) {
    std::uint8_t usual = state.proto;
    if (families[0] != families[1]) usual = state.proto == 1 ? 58 : state.proto == 58 ? 1 : state.proto;
    if (u8("stack_proto") != usual) state.stack_proto = u8("stack_proto");
  }
  return state;
}

Tdb tdb(const PlainRecord& record, int version) {
  Tdb tdb;
  tdb.spi = static_cast<std::uint32_t>(record.number("spi"));
  const Bytes sockaddr = record.bytes("dst");
  tdb.af = family(version, sockaddr[1]);
  if (tdb.af == Family::inet) tdb.dst = address(sockaddr.subspan(4), tdb.af);
  if (tdb.af == Family::inet6) tdb.dst = address(sockaddr.subspan(8), tdb.af);
  tdb.rpl = record.number("rpl");
  tdb.cur_bytes = record.number("cur_bytes");
  tdb.sproto = static_cast<std::uint8_t>(record.number("sproto"));
  tdb.updates = static_cast<std::uint8_t>(record.number("updates"));
  if (record.has("rdomain")) tdb.rdomain = static_cast<std::uint16_t>(record.number("rdomain"));
  return tdb;
}

ReadMessage message(const PlainAction& action, Bytes bytes, int version) {
  const PlainRecord record{action.record, bytes};
  if (action.name == "INS") return {Message::ins, state(record, version)};
  if (action.name == "UPD") return {Message::upd, state(record, version)};
  if (action.name == "DEL") return {Message::del, state(record, version)};
  if (action.name == "UPD_C")
    return {Message::upd_c, Update{id(record), peer(record, "src"), peer(record, "dst"),
                                   static_cast<std::uint8_t>(record.number("timeout")),
                                   static_cast<std::uint32_t>(record.number("expire"))}};
  if (action.name == "CLR")
    return {Message::clr,
            Clear{name<16>(record.bytes("ifname")), static_cast<std::uint32_t>(record.number("creatorid"))}};
  if (action.name == "BUS")
    return {Message::bus, BulkStatus{static_cast<std::uint32_t>(record.number("creatorid")),
                                     static_cast<std::uint32_t>(record.number("endtime")),
                                     static_cast<std::uint8_t>(record.number("status"))}};
  if (action.name == "TDB") return {Message::tdb, tdb(record, version)};
  if (action.name == "INS_ACK") return {Message::ins_ack, id(record)};
  if (action.name == "UPD_REQ") return {Message::upd_req, id(record)};
  if (action.name == "DEL_C") return {Message::del_c, id(record)};
  throw std::runtime_error{"the plain decoder does not know " + std::string{action.name}};
}

}  // namespace

const PlainStruct& plain_struct(std::string_view name) {
  for (const PlainStruct& candidate : plain_structs)
    if (candidate.name == name) return candidate;
  throw std::runtime_error{"no struct " + std::string{name}};
}

std::span<const PlainAction> plain_action_rows() { return plain_actions; }

PlainRecord::PlainRecord(std::string_view struct_name, Bytes bytes)
    : layout_{&plain_struct(struct_name)}, bytes_{bytes} {}

const PlainField* PlainRecord::find(std::string_view field) const noexcept {
  for (const PlainField& candidate : layout_->fields)
    if (candidate.name == field) return &candidate;
  return nullptr;
}

Bytes PlainRecord::bytes(std::string_view field) const {
  const PlainField* found = find(field);
  if (found == nullptr) throw std::runtime_error{std::string{layout_->name} + " has no " + std::string{field}};
  return bytes_.subspan(found->offset, found->size);
}

std::uint64_t PlainRecord::number(std::string_view field) const {
  std::uint64_t value = 0;
  for (const std::uint8_t byte : bytes(field)) value = value << 8u | byte;
  return value;
}

Walk plain_walk(Bytes payload) {
  Walk result;
  const auto stop = [&](Reject why, int action = 0) {
    result.reject = why;
    result.unknown_action = static_cast<std::uint8_t>(action);
    return result;
  };
  if (payload.size() < 20) return stop(Reject::hdrops);
  const int version = payload[0];
  if (version != 5 && version != 6) return stop(Reject::badver);
  const std::size_t len = PlainRecord{"header", payload}.number("len");
  if (len < 20 || len > payload.size()) return stop(Reject::badlen);
  for (std::size_t at = 20; at + 4 <= len;) {
    const int number = payload[at];
    const std::size_t words = payload[at + 1], count = payload[at + 2] * 256u + payload[at + 3];
    at += 4;
    const PlainAction* action = plain_action(version, number);
    const bool known = action != nullptr && !action->record.empty();
    std::size_t stride = known && action->name != "EOF" ? plain_struct(action->record).size : 0;
    if (version == 5) {
      if (!known) return stop(Reject::badact, number);
      if (action->name == "EOF") {
        result.eof = true;
        if (at != payload.size()) result.reject = Reject::badlen;
        return result;
      }
    } else {
      const bool skip = !known || words * 4 < stride;
      if ((number >= 16 || (known && skip)) && (count == 0 || words == 0)) return stop(Reject::badact, number);
      stride = words * 4;
      if (stride * count > len - at) return stop(Reject::badlen);
      if (skip) {
        at += stride * count;
        ++result.skipped;
        continue;
      }
    }
    if (stride * count > len - at) return stop(Reject::badlen);
    for (std::size_t i = 0; i < count; ++i, at += stride)
      result.messages.push_back(message(*action, payload.subspan(at, stride), version));
  }
  return result;
}

}  // namespace pfsync::wire::test
