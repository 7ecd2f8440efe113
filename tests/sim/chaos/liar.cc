#include "tests/sim/chaos/liar.h"

#include <algorithm>

#include "engine/session/timeouts.h"
#include "tests/sim/messages.h"
#include "wire/arp.h"
#include "wire/carp.h"
#include "wire/convert.h"
#include "wire/ethernet.h"
#include "wire/icmp.h"
#include "wire/ip.h"

namespace pfsync::sim::chaos {

using wire::Message;

namespace {

constexpr wire::MacAddress own_mac{{2, 0, 0, 0, 0, 0xee}};
constexpr std::size_t packet_bytes_max = 1400, known_max = 64;
constexpr std::uint64_t invented_max = 400;
constexpr std::size_t ip_at = sizeof(wire::EthernetHeader);
/// What strangers and those of another dialect say. No clears: with them nothing of a creator could be compared.
constexpr std::array sayings{Lie::windows, Lie::inserts, Lie::requests, Lie::bulk_requests, Lie::statuses,
                             Lie::deletes, Lie::tdbs,    Lie::states,   Lie::others};

}  // namespace

Liar::Liar(std::vector<Victim> nodes, wire::Family family, bool group, std::uint64_t seed)
    : nodes_{std::move(nodes)}, family_{family}, group_{group}, random_{seed} {}

void Liar::hear(wire::Bytes frame) {
  const auto ethernet = wire::read_ethernet(frame);
  if (!ethernet || ethernet->source == own_mac) return;
  if (ethernet->ethertype != wire::ethertype::ipv4 && ethernet->ethertype != wire::ethertype::ipv6) return;
  const wire::IpResult ip = wire::read_ip(ethernet->payload);
  if (ip.reject) return;
  if (ip.packet.protocol == wire::ipproto::carp) advert_.assign(frame.begin(), frame.end());
  if (ip.packet.protocol != wire::ipproto::pfsync) return;
  const auto keep = [](auto& list, const auto& item) {
    list.push_back(item);
    if (list.size() > known_max) list.pop_front();
  };
  wire::PacketReader reader{ip.packet.payload};
  wire::Section section;
  while (reader.next(section)) {
    const Message message = section.action->message;
    if (message == Message::upd_req) {
      for (std::size_t i = 0; i < section.count; ++i)
        if (wire::read_id(message, section.action->layout, section.record(i)) == wire::bulk_request_id)
          asked_ = Way{{ethernet->destination, ip.packet.destination}, {ethernet->source, ip.packet.source}};
      continue;
    }
    if (!tells_content(message)) continue;
    if (const auto told = wire::told_dialect(reader.header().version, *section.action))
      dialects_[{ip.packet.source, ip.packet.destination}] = *told;
    for (std::size_t i = 0; i < section.count; ++i) {
      keep(known_, wire::read_update(section.action->layout, section.record(i)));
      if (message != Message::upd_c) keep(full_, wire::read_state(section.action->layout, section.record(i)));
    }
  }
}

// --- what is said --------------------------------------------------------------------------------------

wire::State Liar::invented() {
  wire::State state;
  state.id = {0xbad0000000000000u + ++invented_, 0xbad};
  state.ifname = wire::InterfaceName{"all"};
  state.af = wire::Family::inet;
  state.proto = wire::ipproto::tcp;
  state.direction = wire::Direction::out;
  wire::Key key;
  const auto host = static_cast<std::uint16_t>(invented_);
  key.addr = {wire::ipv4_address(198, 51, 100, 1),
              wire::ipv4_address(10, 66, static_cast<std::uint8_t>(host >> 8), static_cast<std::uint8_t>(host))};
  key.port = {443, static_cast<std::uint16_t>(1024 + below(60'000))};
  state.key = {key, key};
  state.src = {.seqlo = static_cast<std::uint32_t>(random_()), .max_win = 1, .state = wire::tcps::established};
  state.dst = state.src;
  state.timeout = engine::pftm::tcp_established;
  state.expire_s = static_cast<std::uint32_t>(below(1u << 31u));
  state.creation_s = static_cast<std::uint32_t>(below(1u << 20u));
  return state;
}

wire::Update Liar::changed(wire::Update update) {
  for (wire::Peer* peer : {&update.src, &update.dst}) {
    if (below(2) == 0) peer->state = static_cast<std::uint8_t>(below(16));
    if (below(2) == 0) peer->seqlo = static_cast<std::uint32_t>(random_());
    if (below(2) == 0) peer->seqhi = static_cast<std::uint32_t>(random_());
    if (below(4) == 0) peer->wscale = static_cast<std::uint8_t>(random_());
  }
  if (below(4) == 0) update.timeout = static_cast<std::uint8_t>(below(32));
  return update;
}

wire::State Liar::retold(wire::State state) {
  constexpr std::uint32_t step = 20'000;
  if (below(3) == 0) return state;
  for (wire::Peer* peer : {&state.src, &state.dst}) {
    const auto shift = static_cast<std::uint32_t>(below(2 * step)) - step;
    peer->seqlo += shift;
    peer->seqhi += shift;
  }
  return state;
}

bool Liar::append(Lie lie, wire::PacketWriter& writer) {
  const wire::Update known = known_.empty() ? wire::Update{} : known_[below(known_.size())];
  const Message full = below(2) == 0 ? Message::ins : Message::upd;
  switch (lie) {
    case Lie::windows: return !known_.empty() && writer.append_update(changed(known));
    case Lie::inserts:
      if (invented_ >= invented_max) invented_ = 0;
      return writer.append_state(full, invented());
    case Lie::bulk_requests: return writer.append_id(Message::upd_req, wire::bulk_request_id);
    case Lie::statuses:
      return writer.append_bulk_status({.creatorid = known.id.creatorid,
                                        .endtime_s = static_cast<std::uint32_t>(below(2) == 0 ? below(10) : random_()),
                                        .status = static_cast<std::uint8_t>(below(4))});
    case Lie::deletes: return !known_.empty() && writer.append_id(Message::del_c, known.id);
    case Lie::clears: return !known_.empty() && writer.append_clear({.ifname = {}, .creatorid = known.id.creatorid});
    case Lie::clears_one: {
      if (full_.empty()) return false;
      const wire::State& state = full_[below(full_.size())];
      return writer.append_clear({.ifname = state.ifname, .creatorid = state.id.creatorid});
    }
    case Lie::tdbs: {
      wire::Tdb tdb;
      tdb.spi = static_cast<std::uint32_t>(random_());
      tdb.af = wire::Family::inet;
      tdb.sproto = wire::ipproto::esp;
      tdb.rpl = below(1u << 30u);
      tdb.cur_bytes = below(1u << 30u);
      return writer.append_tdb(tdb);
    }
    case Lie::states: return !full_.empty() && writer.append_state(full, retold(full_[below(full_.size())]));
    case Lie::others: {
      if (full_.empty()) return false;
      wire::State state = retold(full_[below(full_.size())]);
      state.id.creatorid = static_cast<std::uint32_t>(1 + below(nodes_.size()));
      return writer.append_state(full, state);
    }
    default: return false;
  }
}

std::size_t Liar::write_packet(Lie lie, wire::Dialect dialect, wire::Room room) {
  wire::PacketWriter writer{dialect, room};
  if (lie == Lie::strangers || lie == Lie::versions) lie = sayings[below(sayings.size())];
  if (lie == Lie::requests || lie == Lie::storm) {
    const auto wanted = [&] {
      const bool is_invented = known_.empty() || (lie == Lie::requests && below(2) == 0);
      return is_invented ? wire::StateId{random_(), 1} : known_[below(known_.size())].id;
    };
    while (writer.append_id(Message::upd_req, wanted())) {
    }
    return writer.finish();
  }
  for (std::uint64_t i = 1 + below(4); i > 0 && append(lie, writer); --i) {
  }
  return writer.empty() ? 0 : writer.finish();
}

// --- how it is said ------------------------------------------------------------------------------------

Liar::Way Liar::to_group(const Victim& as) const {
  const wire::Address group = family_ == wire::Family::inet ? wire::pfsync_group_inet : wire::pfsync_group_inet6;
  return {as, {wire::multicast_mac(family_, group), group}};
}

Liar::Way Liar::draw_way(Lie lie) {
  Victim as = nodes_[below(nodes_.size())];
  if (lie == Lie::strangers) {
    constexpr std::uint64_t first = 150, strangers = 40;
    std::uint8_t& host = as.address.bytes[family_ == wire::Family::inet ? 3 : 15];
    host = static_cast<std::uint8_t>(first + below(strangers));
  }
  if (group_) return to_group(as);
  return {as, nodes_[below(nodes_.size())]};
}

/// What is spoken there, as far as it was heard; of strangers, what anybody speaks.
std::optional<wire::Dialect> Liar::dialect_of(const Way& way, Lie lie) {
  if (dialects_.empty()) return std::nullopt;
  auto found = dialects_.find({way.as.address, way.to.address});
  if (lie == Lie::strangers) found = std::next(dialects_.begin(), static_cast<std::ptrdiff_t>(below(dialects_.size())));
  if (found == dialects_.end()) return std::nullopt;
  if (lie != Lie::versions) return found->second;
  const std::size_t step = 1 + below(wire::dialect_count - 1);
  return static_cast<wire::Dialect>((static_cast<std::size_t>(found->second) + step) % wire::dialect_count);
}

Frame Liar::framed(wire::Bytes payload, const Way& way, std::uint8_t protocol) const {
  const std::size_t payload_at = ip_at + wire::ip_header_bytes(family_);
  Frame frame(payload_at + payload.size());
  const auto type = family_ == wire::Family::inet ? wire::ethertype::ipv4 : wire::ethertype::ipv6;
  static_cast<void>(wire::write_ethernet_header(way.to.mac, own_mac, std::nullopt, type, frame));
  static_cast<void>(wire::write_ip_header({family_, way.as.address, way.to.address, protocol}, payload.size(),
                                          wire::Room{frame}.subspan(ip_at)));
  std::copy(payload.begin(), payload.end(), frame.begin() + static_cast<std::ptrdiff_t>(payload_at));
  return frame;
}

Frame Liar::claim_address() {
  const Victim& as = nodes_[below(nodes_.size())];
  const Victim& to = nodes_[below(nodes_.size())];
  if (family_ == wire::Family::inet6) {
    const wire::Neighbour claim{.override = true, .target = as.address, .mac = own_mac};
    std::array<std::uint8_t, 64> body{};
    const std::size_t bytes = wire::write_neighbour(claim, as.address, to.address, body);
    return framed(wire::Bytes{body}.first(bytes), {as, to}, wire::ipproto::icmpv6);
  }
  Frame frame(64);
  const std::size_t header =
      wire::write_ethernet_header(wire::broadcast_mac, own_mac, std::nullopt, wire::ethertype::arp, frame);
  const std::size_t body = wire::write_arp(
      {.operation = wire::ArpOperation::request, .sender_mac = own_mac, .sender = as.address, .target = to.address},
      wire::Room{frame}.subspan(header));
  frame.resize(header + body);
  return frame;
}

std::optional<Frame> Liar::advertise() {
  const std::size_t payload_at = ip_at + wire::ip_header_bytes(family_);
  if (advert_.size() < payload_at + sizeof(wire::CarpRecord)) return std::nullopt;
  Frame frame = advert_;
  const auto read = wire::read_carp(wire::Bytes{frame}.subspan(payload_at));
  const auto* heard = std::get_if<wire::CarpAdvert>(&read);
  if (heard == nullptr) return std::nullopt;
  wire::CarpAdvert advert = *heard;
  advert.advskew = static_cast<std::uint8_t>(below(256));
  if (below(2) == 0) advert.advbase = static_cast<std::uint8_t>(below(256));
  if (below(4) == 0) ++advert.counter;
  static_cast<void>(wire::write_carp(advert, wire::Room{frame}.subspan(payload_at)));
  std::copy(own_mac.bytes.begin(), own_mac.bytes.end(), frame.begin() + 6);
  return frame;
}

/// START to who has just asked for all, END with the next lie.
std::optional<Frame> Liar::end_early() {
  const bool is_end = ending_.has_value();
  if (!is_end && !asked_) return std::nullopt;
  Way way = *std::exchange(is_end ? ending_ : asked_, std::nullopt);
  if (group_ && !is_end) way = to_group(nodes_[below(nodes_.size())]);
  if (!is_end) ending_ = way;
  const auto dialect = dialect_of(way, Lie::ends);
  if (!dialect) return std::nullopt;
  std::array<std::uint8_t, packet_bytes_max> room{};
  wire::PacketWriter writer{*dialect, room};
  // An age of zero is that of a request of this second.
  if (!writer.append_bulk_status({static_cast<std::uint32_t>(1 + below(nodes_.size())), 0,
                                  is_end ? wire::BulkStatus::end : wire::BulkStatus::start}))
    return std::nullopt;
  return framed(wire::Bytes{room}.first(writer.finish()), way, wire::ipproto::pfsync);
}

std::optional<Frame> Liar::speak(Lie lie) {
  if (lie == Lie::neighbours) return claim_address();
  if (lie == Lie::carp) return advertise();
  if (lie == Lie::ends) return end_early();
  const Way way = draw_way(lie);
  const auto dialect = dialect_of(way, lie);
  std::array<std::uint8_t, packet_bytes_max> room{};
  if (lie == Lie::noise) {
    const std::size_t bytes = below(packet_bytes_max);
    for (std::size_t i = 0; i < bytes; ++i) room[i] = static_cast<std::uint8_t>(random_());
    if (bytes > 4 && below(2) == 0 && dialect) room[0] = wire::info(*dialect).header_version;
    return framed(wire::Bytes{room}.first(bytes), way, wire::ipproto::pfsync);
  }
  if (!dialect) return std::nullopt;
  const std::size_t bytes = write_packet(lie, *dialect, room);
  if (bytes == 0) return std::nullopt;
  return framed(wire::Bytes{room}.first(bytes), way, wire::ipproto::pfsync);
}

}  // namespace pfsync::sim::chaos
