#include "tests/sim/chaos/liar.h"

#include <algorithm>

#include "engine/timeouts.h"
#include "wire/arp.h"
#include "wire/carp.h"
#include "wire/convert.h"
#include "wire/ethernet.h"
#include "wire/ip.h"
#include "wire/packet_reader.h"
#include "wire/packet_writer.h"

namespace pfsync::sim::chaos {

using wire::Message;

namespace {

constexpr wire::MacAddress own_mac{{2, 0, 0, 0, 0, 0xee}};
constexpr std::size_t packet_bytes_max = 1400, known_max = 64;
constexpr std::uint64_t invented_max = 400;
constexpr std::size_t ip_at = sizeof(wire::EthernetHeader), payload_at = ip_at + sizeof(wire::Ipv4Header);

}  // namespace

Liar::Liar(std::vector<Victim> nodes, bool group, std::uint64_t seed)
    : nodes_{std::move(nodes)}, group_{group}, random_{seed} {}

void Liar::hear(wire::Bytes frame) {
  const auto ethernet = wire::read_ethernet(frame);
  if (!ethernet || ethernet->ethertype != wire::ethertype::ipv4 || ethernet->source == own_mac) return;
  const wire::IpResult ip = wire::read_ip(ethernet->payload);
  if (ip.reject) return;
  if (ip.packet.protocol == wire::ipproto::carp) advert_.assign(frame.begin(), frame.end());
  if (ip.packet.protocol != wire::ipproto::pfsync) return;
  wire::PacketReader reader{ip.packet.payload};
  wire::Section section;
  while (reader.next(section)) {
    const Message message = section.action->message;
    if (message != Message::ins && message != Message::upd && message != Message::upd_c) continue;
    if (const auto told = wire::told_dialect(reader.header().version, *section.action))
      dialects_[{ip.packet.source, ip.packet.destination}] = *told;
    for (std::size_t i = 0; i < section.count; ++i) {
      known_.push_back(wire::read_update(section.action->layout, section.record(i)));
      if (known_.size() > known_max) known_.pop_front();
    }
  }
}

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

std::size_t Liar::write_packet(Lie lie, wire::Dialect dialect, wire::Room room) {
  wire::PacketWriter writer{dialect, room};
  const auto changed = [&](wire::Update update) {
    for (wire::Peer* peer : {&update.src, &update.dst}) {
      if (below(2) == 0) peer->state = static_cast<std::uint8_t>(below(16));
      if (below(2) == 0) peer->seqlo = static_cast<std::uint32_t>(random_());
      if (below(2) == 0) peer->seqhi = static_cast<std::uint32_t>(random_());
      if (below(4) == 0) peer->wscale = static_cast<std::uint8_t>(random_());
    }
    if (below(4) == 0) update.timeout = static_cast<std::uint8_t>(below(32));
    return update;
  };
  bool fits = true;
  for (std::uint64_t i = 1 + below(4); i > 0 && fits; --i) {
    const bool is_of_known = lie == Lie::windows || lie == Lie::deletes || lie == Lie::clears;
    if (is_of_known && known_.empty()) break;
    const wire::Update known = known_.empty() ? wire::Update{} : known_[below(known_.size())];
    switch (lie) {
      case Lie::windows: fits = writer.append_update(changed(known)); break;
      case Lie::inserts:
        if (invented_ >= invented_max) invented_ = 0;
        fits = writer.append_state(below(2) == 0 ? Message::ins : Message::upd, invented());
        break;
      case Lie::requests:
        while (writer.append_id(Message::upd_req, known_.empty() || below(2) == 0 ? wire::StateId{random_(), 1}
                                                                                  : known_[below(known_.size())].id)) {
        }
        return writer.finish();
      case Lie::bulk_requests: fits = writer.append_id(Message::upd_req, wire::bulk_request_id); break;
      case Lie::statuses:
        fits =
            writer.append_bulk_status({.creatorid = known.id.creatorid,
                                       .endtime_s = static_cast<std::uint32_t>(below(2) == 0 ? below(10) : random_()),
                                       .status = static_cast<std::uint8_t>(below(4))});
        break;
      case Lie::deletes: fits = writer.append_id(Message::del_c, known.id); break;
      case Lie::clears: fits = writer.append_clear({.ifname = {}, .creatorid = known.id.creatorid}); break;
      case Lie::tdbs: {
        wire::Tdb tdb;
        tdb.spi = static_cast<std::uint32_t>(random_());
        tdb.af = wire::Family::inet;
        tdb.sproto = wire::ipproto::esp;
        tdb.rpl = below(1u << 30u);
        tdb.cur_bytes = below(1u << 30u);
        fits = writer.append_tdb(tdb);
        break;
      }
      case Lie::noise:
      case Lie::carp:
      case Lie::arp: break;
    }
  }
  return writer.empty() ? 0 : writer.finish();
}

Liar::Way Liar::draw_way() {
  const Victim as = nodes_[below(nodes_.size())];
  if (group_) return {as, {wire::multicast_mac(wire::Family::inet, wire::pfsync_group_inet), wire::pfsync_group_inet}};
  return {as, nodes_[below(nodes_.size())]};
}

Frame Liar::framed(wire::Bytes packet, const Way& way) {
  Frame frame(payload_at + packet.size());
  static_cast<void>(wire::write_ethernet_header(way.to.mac, own_mac, std::nullopt, wire::ethertype::ipv4, frame));
  static_cast<void>(wire::write_ip_header({wire::Family::inet, way.as.address, way.to.address, wire::ipproto::pfsync},
                                          packet.size(), wire::Room{frame}.subspan(ip_at)));
  std::copy(packet.begin(), packet.end(), frame.begin() + payload_at);
  return frame;
}

std::optional<Frame> Liar::speak(Lie lie) {
  std::array<std::uint8_t, packet_bytes_max> room{};
  if (lie == Lie::arp) {
    const Victim& as = nodes_[below(nodes_.size())];
    Frame frame(64);
    const std::size_t header =
        wire::write_ethernet_header(wire::broadcast_mac, own_mac, std::nullopt, wire::ethertype::arp, frame);
    const std::size_t body = wire::write_arp({.operation = wire::ArpOperation::request,
                                              .sender_mac = own_mac,
                                              .sender = as.address,
                                              .target = nodes_[below(nodes_.size())].address},
                                             wire::Room{frame}.subspan(header));
    frame.resize(header + body);
    return frame;
  }
  if (lie == Lie::carp) {
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
  const Way way = draw_way();
  const auto known = dialects_.find({way.as.address, way.to.address});
  if (lie == Lie::noise) {
    const std::size_t bytes = below(packet_bytes_max);
    for (std::size_t i = 0; i < bytes; ++i) room[i] = static_cast<std::uint8_t>(random_());
    if (bytes > 4 && below(2) == 0 && known != dialects_.end()) room[0] = wire::info(known->second).header_version;
    return framed(wire::Bytes{room}.first(bytes), way);
  }
  if (known == dialects_.end()) return std::nullopt;
  const std::size_t bytes = write_packet(lie, known->second, room);
  if (bytes == 0) return std::nullopt;
  return framed(wire::Bytes{room}.first(bytes), way);
}

}  // namespace pfsync::sim::chaos
