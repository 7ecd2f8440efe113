#include "statetable/layout.h"

#include <algorithm>

namespace pfsync::statetable {
namespace {

constexpr std::size_t keys_at = 4, rest_at = 7;  // words of ColdEntry

[[nodiscard]] bool is_short(const wire::Address& address) noexcept {
  std::array<std::uint64_t, 2> halves;
  std::memcpy(halves.data(), address.bytes.data(), sizeof halves);
  return (halves[0] >> 32u | halves[1]) == 0;  // little-endian: the first four bytes are the low ones
}
[[nodiscard]] bool is_short(const wire::Key& key) noexcept { return is_short(key.addr[0]) && is_short(key.addr[1]); }

[[nodiscard]] std::uint32_t first_four(const wire::Address& address) noexcept {
  std::uint32_t four = 0;
  std::memcpy(&four, address.bytes.data(), sizeof four);
  return four;
}
void widen(std::uint32_t four, wire::Address& into) noexcept {
  const std::array<std::uint64_t, 2> halves{four, 0};
  std::memcpy(into.bytes.data(), halves.data(), sizeof halves);
}

[[nodiscard]] bool needs_extension(const ColdState& cold) noexcept {
  static constexpr Extension usual{};
  return !is_short(cold.key[0]) || !is_short(cold.key[1]) || cold.rt_addr != usual.rt_addr ||
         cold.rtableid != usual.rtableid || cold.rdomain != usual.rdomain ||
         (cold.qid | cold.pqid | cold.dnpipe | cold.dnrpipe) != 0 || cold.rt_ifname != NameId::none ||
         cold.set_prio != usual.set_prio || (cold.rt | cold.stack_proto) != 0 || cold.stack_af != wire::Family::none ||
         cold.rt_af != wire::Family::none;
}

[[nodiscard]] Extension extension_of(const ColdState& cold) noexcept {
  return {.key = cold.key,
          .rt_addr = cold.rt_addr,
          .rtableid = cold.rtableid,
          .rdomain = cold.rdomain,
          .qid = cold.qid,
          .pqid = cold.pqid,
          .dnpipe = cold.dnpipe,
          .dnrpipe = cold.dnrpipe,
          .rt_ifname = cold.rt_ifname,
          .set_prio = cold.set_prio,
          .rt = cold.rt,
          .stack_proto = cold.stack_proto,
          .stack_af = cold.stack_af,
          .rt_af = cold.rt_af};
}

/// ColdState and wire::State have these fields under the same names.
template <class To>
void unpack_fields(const HotEntry& hot, const ColdEntry& cold, const ExtensionEntry* extension, To& to) noexcept {
  const auto& words = cold.words;
  to.packets = {words[0], words[1]};
  to.bytes = {words[2], words[3]};
  to.anchor = high_of(hot.created_anchor);
  to.nat_rule = low_of(hot.nat_rule_rule);
  to.rule = high_of(hot.nat_rule_rule);
  to.max_mss = static_cast<std::uint16_t>(words[rest_at] >> 32u);
  to.min_ttl = static_cast<std::uint8_t>(words[rest_at] >> 48u);
  to.set_tos = static_cast<std::uint8_t>(words[rest_at] >> 56u);
  to.ifname = interface_of(hot, cold);
  if (extension == nullptr) {
    widen(low_of(words[keys_at]), to.key[0].addr[0]);
    widen(high_of(words[keys_at]), to.key[0].addr[1]);
    widen(low_of(words[keys_at + 1]), to.key[1].addr[0]);
    widen(high_of(words[keys_at + 1]), to.key[1].addr[1]);
    const Word ports = words[keys_at + 2];
    to.key[0].port = {static_cast<std::uint16_t>(ports), static_cast<std::uint16_t>(ports >> 16u)};
    to.key[1].port = {static_cast<std::uint16_t>(ports >> 32u), static_cast<std::uint16_t>(ports >> 48u)};
    return;
  }
  Extension rest;
  std::memcpy(static_cast<void*>(&rest), extension->words.data(), sizeof rest);
  to.key = rest.key;
  to.rt_addr = rest.rt_addr;
  to.rtableid = rest.rtableid;
  to.rdomain = rest.rdomain;
  to.qid = rest.qid;
  to.pqid = rest.pqid;
  to.dnpipe = rest.dnpipe;
  to.dnrpipe = rest.dnrpipe;
  to.set_prio = rest.set_prio;
  to.rt = rest.rt;
  to.stack_proto = rest.stack_proto;
  to.stack_af = rest.stack_af;
  to.rt_af = rest.rt_af;
}

[[nodiscard]] NameId route_interface(const ExtensionEntry* extension) noexcept {
  if (extension == nullptr) return NameId::none;
  NameId id{};
  std::memcpy(&id, reinterpret_cast<const std::byte*>(extension->words.data()) + offsetof(Extension, rt_ifname),
              sizeof id);
  return id;
}
[[nodiscard]] NameId origin_of(const ColdEntry& cold) noexcept {
  return NameId{static_cast<std::uint16_t>(cold.words[rest_at])};
}
[[nodiscard]] NameId tag_of(const ColdEntry& cold) noexcept {
  return NameId{static_cast<std::uint16_t>(cold.words[rest_at] >> 16u)};
}

}  // namespace

void pack(const HotState& hot, const ColdState& cold, Packed& into) noexcept {
  HotEntry& entry = into.hot;
  entry.id = hot.id.id;
  entry.creatorid = hot.id.creatorid;
  entry.src = words_of(hot.src);
  entry.times = pair_of(static_cast<std::uint32_t>(hot.expire_at_s), static_cast<std::uint32_t>(hot.heard_s));
  entry.meta = HotEntry::meta_of(hot);
  entry.dst = words_of(hot.dst);
  entry.created_anchor = pair_of(static_cast<std::uint32_t>(hot.created_s), cold.anchor);
  entry.nat_rule_rule = pair_of(cold.nat_rule, cold.rule);
  const NameId ifname = intern(cold.ifname);
  entry.names = static_cast<Word>(ifname) | Word{hot.sync_flags} << 16u;
  entry.connection = 0;
  auto& words = into.cold.words;
  words[0] = cold.packets[0];
  words[1] = cold.packets[1];
  words[2] = cold.bytes[0];
  words[3] = cold.bytes[1];
  words[rest_at] = static_cast<Word>(cold.orig_ifname) | static_cast<Word>(cold.tag) << 16u |
                   Word{cold.max_mss} << 32u | Word{cold.min_ttl} << 48u | Word{cold.set_tos} << 56u;
  // With more names about than can be kept, CLR still needs the interface's: it takes the place of short keys.
  into.extended = needs_extension(cold) || (ifname == NameId::none && !cold.ifname.empty());
  if (!into.extended) {
    words[keys_at] = pair_of(first_four(cold.key[0].addr[0]), first_four(cold.key[0].addr[1]));
    words[keys_at + 1] = pair_of(first_four(cold.key[1].addr[0]), first_four(cold.key[1].addr[1]));
    words[keys_at + 2] = Word{cold.key[0].port[0]} | Word{cold.key[0].port[1]} << 16u |
                         Word{cold.key[1].port[0]} << 32u | Word{cold.key[1].port[1]} << 48u;
    return;
  }
  std::memcpy(&words[keys_at], cold.ifname.chars.data(), cold.ifname.chars.size());
  words[keys_at + 2] = 0;
  const Extension rest = extension_of(cold);
  into.extension.words[15] = into.extension.words[14] = 0;
  std::memcpy(into.extension.words.data(), &rest, sizeof rest);
}

wire::InterfaceName interface_of(const HotEntry& hot, const ColdEntry& cold) noexcept {
  wire::InterfaceName name;
  if (hot.extension() == no_extension) return interface_of(hot.interface());
  std::memcpy(name.chars.data(), &cold.words[keys_at], name.chars.size());
  return name;
}

HotState unpack_hot(const HotEntry& hot) noexcept {
  return {.id = {hot.id, hot.creatorid},
          .src = peer_of(hot.src),
          .dst = peer_of(hot.dst),
          .created_s = static_cast<Seconds>(low_of(hot.created_anchor)),
          .expire_at_s = hot.expire_at_s(),
          .heard_s = hot.heard_s(),
          .state_flags = hot.state_flags(),
          .timeout = hot.timeout(),
          .proto = hot.proto(),
          .af = hot.af(),
          .direction = hot.direction(),
          .in_use = hot.in_use(),
          .from = hot.in_use() ? hot.from() : std::uint8_t{0},
          .log = hot.log(),
          .sync_flags = static_cast<std::uint8_t>(hot.names >> 16u)};
}

ColdState unpack_cold(const HotEntry& hot, const ColdEntry& cold, const ExtensionEntry* extension) noexcept {
  ColdState to;
  unpack_fields(hot, cold, extension, to);
  to.rt_ifname = route_interface(extension);
  to.orig_ifname = origin_of(cold);
  to.tag = tag_of(cold);
  return to;
}

void unpack_state(const HotEntry& hot, const ColdEntry& cold, const ExtensionEntry* extension, Seconds now_s,
                  wire::State& to) noexcept {
  to = wire::State{};
  to.id = {hot.id, hot.creatorid};
  // In place: a value between is taken apart and put together again, each a wait for narrow stores.
  std::memcpy(static_cast<void*>(&to.src), hot.src.data(), sizeof to.src);
  std::memcpy(static_cast<void*>(&to.dst), hot.dst.data(), sizeof to.dst);
  const auto created_s = static_cast<Seconds>(low_of(hot.created_anchor));
  to.creation_s = age_s(created_s, now_s);
  to.expire_s = left_s(hot.expire_at_s(), now_s);
  to.state_flags = hot.state_flags();
  to.timeout = hot.timeout();
  to.proto = hot.proto();
  to.af = hot.af();
  to.direction = hot.direction();
  to.log = hot.log();
  to.sync_flags = static_cast<std::uint8_t>(hot.names >> 16u);
  unpack_fields(hot, cold, extension, to);
  if (extension != nullptr) to.rt_ifname = interface_of(route_interface(extension));
  if (const NameId origin = origin_of(cold); origin != NameId::none) to.orig_ifname = interface_of(origin);
  if (const NameId tag = tag_of(cold); tag != NameId::none) to.tag = name_of(tag);
}

}  // namespace pfsync::statetable
