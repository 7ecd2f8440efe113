#include "engine/link.h"

#include <algorithm>

#include "wire/arp.h"
#include "wire/ethernet.h"
#include "wire/ip.h"

namespace pfsync::engine {

using wire::Family;
using wire::Reject;

Link::Link(const LinkConfig& config, Counters& counters)
    : config_{config}, multicast_{wire::is_multicast(config.family, config.destination)}, counters_{&counters} {
  if (multicast_)
    peer_mac_ = wire::multicast_mac(config.family, config.destination);
  else
    peer_mac_ = config.peer_mac;
}

bool Link::may_send(const wire::Address& source) const noexcept {
  if (!config_.sources.empty())
    return std::find(config_.sources.begin(), config_.sources.end(), source) != config_.sources.end();
  return multicast_ || source == config_.destination;
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
  const bool for_us = ip.packet.family == config_.family &&
                      (ip.packet.destination == config_.address ||
                       ip.packet.destination == (config_.family == Family::inet ? wire::pfsync_group_inet
                                                                               : wire::pfsync_group_inet6) ||
                       (multicast_ && ip.packet.destination == config_.destination) ||
                       (more_addresses_ != nullptr && more_addresses_->owns(ip.packet.family, ip.packet.destination)));
  if (ip.packet.protocol != wire::ipproto::pfsync || !for_us) {
    frames_other_.add();
    return std::nullopt;
  }
  if (ip.packet.source == config_.address) return reject(Reject::looped);
  if (!may_send(ip.packet.source)) return reject(Reject::badif);
  if (ip.packet.ttl != wire::link_local_ttl) return reject(Reject::badttl);
  return Arrival{ip.packet.payload, ip.packet.source, 0};
}

void Link::on_arp(wire::Bytes payload) noexcept {
  const auto arp = wire::read_arp(payload);
  if (!arp) {
    (*counters_)[Reject::badip].add();
    return;
  }
  // The peer's own word about its address, question or answer, is taken (RFC 826, "Merge_flag").
  if (!multicast_ && !config_.peer_mac && arp->sender == config_.destination) peer_mac_ = arp->sender_mac;
  if (arp->operation == wire::ArpOperation::request && arp->target == config_.address &&
      arp->sender != config_.address)
    answer_due_ = Answer{arp->sender_mac, arp->sender};
}

std::size_t Link::transmit_arp(wire::Room frame, Instant now) noexcept {
  if (config_.family != Family::inet) return 0;
  wire::Arp arp{.sender_mac = config_.mac, .sender = config_.address};
  wire::MacAddress to = wire::broadcast_mac;
  if (answer_due_) {
    arp.operation = wire::ArpOperation::reply;
    arp.target_mac = to = answer_due_->mac;
    arp.target = answer_due_->address;
  } else if (!peer_mac_ && (!asked_at_ || now >= *asked_at_ + arp_retry)) {
    arp.operation = wire::ArpOperation::request;
    arp.target = config_.destination;
  } else {
    return 0;
  }
  const std::size_t header = wire::write_ethernet_header(to, config_.mac, config_.vlan, wire::ethertype::arp, frame);
  const std::size_t body = header == 0 ? 0 : wire::write_arp(arp, frame.subspan(header));
  if (body == 0) return 0;
  if (answer_due_) {
    answer_due_.reset();
    arp_replies_.add();
  } else {
    asked_at_ = now;
    arp_requests_.add();
  }
  return header + body;
}

wire::Room Link::packet_room(wire::Room frame) const noexcept {
  const std::size_t ip = wire::ip_header_bytes(config_.family);
  const std::size_t headers = ethernet_bytes() + ip;
  if (frame.size() <= headers || config_.mtu <= ip) return {};
  return frame.subspan(headers, std::min(frame.size() - headers, config_.mtu - ip));
}

std::size_t Link::finish(wire::Room frame, std::size_t packet_bytes) const noexcept {
  const std::uint16_t type = config_.family == Family::inet ? wire::ethertype::ipv4 : wire::ethertype::ipv6;
  const std::size_t ethernet = wire::write_ethernet_header(*peer_mac_, config_.mac, config_.vlan, type, frame);
  const std::size_t ip = wire::write_ip_header(
      {config_.family, config_.address, config_.destination, wire::ipproto::pfsync}, packet_bytes, frame.subspan(ethernet));
  return ethernet + ip + packet_bytes;
}

}  // namespace pfsync::engine
