#include "engine/link/link.h"

#include <algorithm>
#include <array>
#include <cstdint>
#include <utility>

#include "wire/arp.h"
#include "wire/ethernet.h"
#include "wire/icmp.h"
#include "wire/ip.h"

namespace pfsync::engine {

using wire::Family;
using wire::Reject;

Link::Link(const LinkConfig& config, Counters& counters)
    : config_{config},
      multicast_{config.peers.empty() && wire::is_multicast(config.family, config.destination)},
      counters_{&counters} {
  if (multicast_) peers_.push_back({config.destination, wire::multicast_mac(config.family, config.destination)});
  if (!multicast_ && config.peers.empty()) peers_.push_back({config.destination, config.peer_mac, !config.peer_mac});
  for (const LinkPeer& peer : config.peers) peers_.push_back({peer.address, peer.mac, !peer.mac, peer.source});
}

void Link::adopt(Link& next, std::span<const std::optional<std::size_t>> before) noexcept {
  for (std::size_t i = 0; i < before.size(); ++i) {
    Peer& peer = next.peers_[i];
    if (!before[i] || peer.mac) continue;
    // Also one that was configured until now: it is used until the peer says where it is.
    const Peer& known = peers_[*before[i]];
    peer.mac = known.mac;
    peer.asked_at = known.asked_at;
    peer.heard_at = known.heard_at;
  }
  std::swap(peers_, next.peers_);
  // The rest of the configuration is the port's, and read by others.
  std::swap(config_.sources, next.config_.sources);
}

/// An address may be listed with several Ethernet addresses: a host may have another card, or two.
Link::Listed Link::listed(const wire::Address& address, const wire::MacAddress& mac) const noexcept {
  Listed listed = Listed::no;
  for (const LinkSource& source : config_.sources) {
    if (source.address != address) continue;
    if (!source.mac || *source.mac == mac) return Listed::yes;
    listed = Listed::elsewhere;
  }
  return listed;
}

bool Link::is_elsewhere(const Peer& peer, const wire::Address& source, const wire::MacAddress& mac) const noexcept {
  if (multicast_ || peer.is_resolved || !peer.mac || *peer.mac == mac || peer.address != source) return false;
  // Who holds a shared address is reached at its virtual Ethernet address, and may send from its own.
  constexpr std::array<std::uint8_t, 4> of_virtual_routers{0x00, 0x00, 0x5e, 0x00};
  if (std::equal(of_virtual_routers.begin(), of_virtual_routers.end(), peer.mac->bytes.begin())) return false;
  return std::ranges::none_of(config_.sources,
                              [&](const LinkSource& one) { return one.address == source && one.mac == mac; });
}

std::optional<unsigned> Link::peer_of(const wire::Address& source, Listed listed) const noexcept {
  if (!config_.sources.empty() && listed == Listed::no) return std::nullopt;
  if (multicast_) return 0;
  for (unsigned i = 0; i < peers_.size(); ++i)
    if (peers_[i].address == source) return i;
  // The one peer may be a shared address, whose holders send under their own.
  return listed != Listed::no && peers_.size() == 1 ? std::optional{0u} : std::nullopt;
}

bool Link::may_speak(unsigned peer) const noexcept {
  const auto& source = peers_[peer].source;
  return !source || (more_addresses_ != nullptr && more_addresses_->owns(config_.family, *source));
}

std::optional<Arrival> Link::on_frame(wire::Bytes frame) noexcept {
  const auto reject = [this](Reject why) {
    (*counters_)[why].add();
    return std::nullopt;
  };
  const auto ethernet = wire::read_ethernet(frame);
  if (!ethernet) return reject(Reject::badip);
  if (ethernet->vlan != config_.vlan) {
    frames_other_.add();
    return std::nullopt;
  }
  if (ethernet->ethertype == wire::ethertype::arp && config_.family == Family::inet) {
    on_arp(ethernet->payload);
    return std::nullopt;
  }
  if (ethernet->ethertype != wire::ethertype::ipv4 && ethernet->ethertype != wire::ethertype::ipv6) {
    frames_other_.add();
    return std::nullopt;
  }
  const wire::IpResult ip = wire::read_ip(ethernet->payload);
  if (ip.reject) return reject(*ip.reject);
  if (ip.packet.protocol == wire::ipproto::icmpv6) on_neighbour(ip.packet);
  const bool for_us =
      ip.packet.family == config_.family &&
      (ip.packet.destination == config_.address ||
       ip.packet.destination == (config_.family == Family::inet ? wire::pfsync_group_inet : wire::pfsync_group_inet6) ||
       (multicast_ && ip.packet.destination == peers_.front().address) ||
       (more_addresses_ != nullptr && more_addresses_->owns(ip.packet.family, ip.packet.destination)));
  if (ip.packet.protocol != wire::ipproto::pfsync || !for_us) {
    frames_other_.add();
    return std::nullopt;
  }
  if (ip.packet.source == config_.address) return reject(Reject::looped);
  const Listed listed = this->listed(ip.packet.source, ethernet->source);
  const auto peer = peer_of(ip.packet.source, listed);
  if (!peer) return reject(Reject::badif);
  if (listed == Listed::elsewhere || is_elsewhere(peers_[*peer], ip.packet.source, ethernet->source))
    return reject(Reject::badmac);
  if (ip.packet.ttl != wire::link_local_ttl) return reject(Reject::badttl);
  if (multicast_ || peers_[*peer].is_resolved)
    note_alive(peers_[*peer], multicast_ ? ip.packet.source : peers_[*peer].address);
  return Arrival{ip.packet.payload, ip.packet.source, *peer};
}

void Link::on_arp(wire::Bytes payload) noexcept {
  const auto arp = wire::read_arp(payload);
  if (!arp) {
    (*counters_)[Reject::badip].add();
    return;
  }
  learn(arp->sender, arp->sender_mac);
  if (arp->operation != wire::ArpOperation::request || arp->target != config_.address || arp->sender == config_.address)
    return;
  if (answers_due_count_ == answers_max || !answers_.take(arp->sender_mac, now_))
    answers_dropped_.add();  // who needs it asks again
  else
    answers_due_[answers_due_count_++] = {arp->sender_mac, arp->sender};
}

void Link::on_neighbour(const wire::IpPacket& packet) noexcept {
  if (config_.family != Family::inet6) return;
  const auto neighbour = wire::read_neighbour(packet);
  if (!neighbour || !neighbour->mac) return;
  learn(neighbour->is_solicitation ? packet.source : neighbour->target, *neighbour->mac);
}

void Link::note_alive(Peer& peer, const wire::Address& who) const noexcept {
  if (peer.alive != who) peer.has_answered = false;
  peer.alive = who;
  peer.alive_at = now_;
  peer.probed_at.reset();
}

void Link::learn(const wire::Address& address, const wire::MacAddress& mac) noexcept {
  if ((mac.bytes[0] & 1u) != 0) return;  // a group is nobody's address
  for (Peer& peer : peers_) {
    if (peer.alive == address && listed(address, mac) != Listed::elsewhere) {
      note_alive(peer, address);
      peer.has_answered = true;
    }
    if (!peer.is_resolved || peer.address != address) continue;
    peer.mac = mac;
    peer.heard_at = now_;
    note_alive(peer, address);
    peer.has_answered = true;
  }
}

std::size_t Link::write_question(const wire::Address& of, wire::Room frame) const noexcept {
  if (config_.family == Family::inet) {
    const std::size_t header =
        wire::write_ethernet_header(wire::broadcast_mac, config_.mac, config_.vlan, wire::ethertype::arp, frame);
    if (header == 0) return 0;
    const wire::Arp arp{
        .operation = wire::ArpOperation::request, .sender_mac = config_.mac, .sender = config_.address, .target = of};
    const std::size_t body = wire::write_arp(arp, frame.subspan(header));
    return body == 0 ? 0 : header + body;
  }
  const wire::Address group = wire::solicited_node(of);
  const std::size_t ethernet = wire::write_ethernet_header(wire::multicast_mac(Family::inet6, group), config_.mac,
                                                           config_.vlan, wire::ethertype::ipv6, frame);
  const std::size_t headers = ethernet + wire::ip_header_bytes(Family::inet6);
  if (ethernet == 0 || frame.size() < headers) return 0;
  const std::size_t body = wire::write_neighbour({.is_solicitation = true, .target = of, .mac = config_.mac},
                                                 config_.address, group, frame.subspan(headers));
  if (body == 0) return 0;
  static_cast<void>(wire::write_ip_header({Family::inet6, config_.address, group, wire::ipproto::icmpv6}, body,
                                          frame.subspan(ethernet)));
  return headers + body;
}

bool Link::wants_probe(const Peer& peer, Instant now) noexcept {
  if (!peer.alive || peer.source) return false;
  if (!peer.has_answered) return !peer.asked_at || now >= *peer.asked_at + reachable;
  return now >= peer.alive_at + probe_after;
}

std::optional<Link::Instant> Link::silent_since(unsigned number, Instant now) const noexcept {
  const Peer& peer = peers_[number];
  // Questions that could not be sent, or were only just sent, say nothing.
  const bool was_asked = peer.has_answered && peer.probed_at && now >= *peer.probed_at + (silent_after - probe_after);
  return was_asked ? std::optional{peer.alive_at} : std::nullopt;
}

std::size_t Link::transmit_resolution(wire::Room frame, Instant now) noexcept {
  now_ = now;
  if (answers_due_count_ > 0) {
    const Answer& answer = answers_due_[answers_due_count_ - 1];
    const wire::Arp arp{.operation = wire::ArpOperation::reply,
                        .sender_mac = config_.mac,
                        .sender = config_.address,
                        .target_mac = answer.mac,
                        .target = answer.address};
    const std::size_t header =
        wire::write_ethernet_header(answer.mac, config_.mac, config_.vlan, wire::ethertype::arp, frame);
    const std::size_t body = header == 0 ? 0 : wire::write_arp(arp, frame.subspan(header));
    if (body == 0) return 0;
    --answers_due_count_;
    arp_replies_.add();
    return header + body;
  }
  const auto wanted = std::find_if(peers_.begin(), peers_.end(), [now](const Peer& peer) {
    const bool is_lost = peer.is_resolved && (!peer.mac || now >= peer.heard_at + reachable);
    return (is_lost || wants_probe(peer, now)) && (!peer.asked_at || now >= *peer.asked_at + resolve_retry);
  });
  if (wanted == peers_.end()) return 0;
  const std::size_t bytes = write_question(wanted->alive.value_or(wanted->address), frame);
  if (bytes == 0) return 0;
  wanted->asked_at = now;
  if (wants_probe(*wanted, now) && !wanted->probed_at) wanted->probed_at = now;
  (config_.family == Family::inet ? arp_requests_ : neighbour_requests_).add();
  return bytes;
}

wire::Room Link::packet_room(wire::Room frame, wire::Dialect dialect) const noexcept {
  const std::size_t headers = ethernet_bytes() + wire::ip_header_bytes(config_.family);
  if (frame.size() <= headers) return {};
  return frame.subspan(headers,
                       std::min(frame.size() - headers, wire::payload_bytes_max(dialect, config_.family, config_.mtu)));
}

std::size_t Link::finish(wire::Room frame, std::size_t packet_bytes, unsigned peer) const noexcept {
  const Peer& to = peers_[peer];
  const std::uint16_t type = config_.family == Family::inet ? wire::ethertype::ipv4 : wire::ethertype::ipv6;
  const std::size_t ethernet = wire::write_ethernet_header(*to.mac, config_.mac, config_.vlan, type, frame);
  const std::size_t ip =
      wire::write_ip_header({config_.family, to.source.value_or(config_.address), to.address, wire::ipproto::pfsync},
                            packet_bytes, frame.subspan(ethernet));
  return ethernet + ip + packet_bytes;
}

}  // namespace pfsync::engine
