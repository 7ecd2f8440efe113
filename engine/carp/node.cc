#include "engine/carp/node.h"

#include <algorithm>

#include "wire/icmp.h"

namespace pfsync::engine::carp {

using wire::CarpAddress;
using wire::CarpReject;
using wire::Family;
using wire::MacAddress;

namespace {

constexpr wire::Address none{};

/// Whether a frame that is no sound IP packet would have been of protocol 112.
bool looks_like_carp(wire::Bytes datagram) noexcept {
  if (datagram.size() < 10) return false;
  return (datagram[0] >> 4u == 4 && datagram[9] == wire::ipproto::carp) ||
         (datagram[0] >> 4u == 6 && datagram[6] == wire::ipproto::carp);
}

/// Whether a packet may be answered: a group, a broadcast or ourselves as its source would make us send to many, or for
/// ever. Source: RFC 1122 section 3.2.2, RFC 4443 section 2.4 (e).
bool may_be_answered(const wire::EthernetFrame& ethernet, const wire::IpPacket& packet) noexcept {
  return (ethernet.source.bytes[0] & 1u) == 0 && !wire::is_multicast(packet.family, packet.source) &&
         packet.source != packet.destination && packet.source != wire::ipv4_address(255, 255, 255, 255);
}

/// An advertisement that a congested switch delays by three seconds is a failover: it has the class of network control.
/// Source: FreeBSD sys/netinet/ip_carp.c, `carp_dscp`.
void mark_as_network_control(Family family, wire::Room header) noexcept {
  constexpr std::uint8_t tos = 0xe0;
  if (family == Family::inet6) {
    header[0] = 0x60 | tos >> 4u;
    header[1] = (tos & 0xfu) << 4u;
    return;
  }
  constexpr std::size_t checksum_at = 10;
  header[1] = tos;
  wire::store(header, checksum_at, wire::Be16{0});
  wire::store(header, checksum_at, wire::Be16{wire::internet_checksum(header)});
}

constexpr std::uint16_t ethertype_of(Family family) noexcept {
  return family == Family::inet ? wire::ethertype::ipv4 : wire::ethertype::ipv6;
}

}  // namespace

Node::Node(const NodeConfig& config, Demotion& demotion, Journal& journal)
    : config_{config},
      demotion_{&demotion},
      journal_{&journal},
      demotion_seen_{demotion.generation()},
      published_{new Published<HostStatus>[config.hosts.size()]},
      answers_{new std::array<Answer, answers_max>} {
  index_.fill(-1);
  hosts_.reserve(config.hosts.size());
  for (const HostConfig& host : config.hosts) {
    index_[host.vhid] = static_cast<std::int16_t>(hosts_.size());
    hosts_.emplace_back(host, config.port, demotion, journal, config.seed ^ (std::uint64_t{host.vhid} << 32));
    for (const Family family : {Family::inet, Family::inet6}) {
      const CarpAddress peer{family, hosts_.back().peer(family)};
      if (hosts_.back().has(family) && !hosts_.back().multicast(family) && peer_at(peer) == nullptr)
        peers_.push_back({.address = peer});
    }
  }
  for (std::size_t i = 0; i < hosts_.size(); ++i) published_[i].publish(hosts_[i].status());
}

// --- what comes in -----------------------------------------------------------------------------------

void Node::on_frame(wire::Bytes frame, Instant now) noexcept {
  now_ = now;
  const auto ethernet = wire::read_ethernet(frame);
  if (!ethernet || ethernet->vlan != config_.vlan) return;
  if (ethernet->ethertype == wire::ethertype::arp) return on_arp(*ethernet);
  if (ethernet->ethertype != wire::ethertype::ipv4 && ethernet->ethertype != wire::ethertype::ipv6) return;
  const wire::IpResult ip = wire::read_ip(ethernet->payload);
  if (!ip.reject) return on_ip(*ethernet, ip.packet, now);
  if (looks_like_carp(ethernet->payload)) counters_[CarpReject::hdrops].add();
}

void Node::on_ip(const wire::EthernetFrame& ethernet, const wire::IpPacket& packet, Instant now) noexcept {
  switch (packet.protocol) {
    case wire::ipproto::carp:
      counters_[packet.family == Family::inet ? Tally::ipackets : Tally::ipackets6].add();
      if (const auto why = on_carp(ethernet, packet, now)) counters_[*why].add();
      return settle(now);
    case wire::ipproto::icmp: return on_echo(ethernet, packet);
    case wire::ipproto::icmpv6: on_neighbour(ethernet, packet); return on_echo(ethernet, packet);
    default: return;
  }
}

std::optional<CarpReject> Node::on_carp(const wire::EthernetFrame& ethernet, const wire::IpPacket& packet,
                                        Instant now) noexcept {
  if (!enabled()) return CarpReject::disabled;
  const bool inet = packet.family == Family::inet;
  if (packet.destination != (inet ? wire::carp_group_inet : wire::carp_group_inet6) &&
      packet.destination != own(packet.family))
    return CarpReject::badif;
  const Source source{packet.family, packet.source};
  const auto result = wire::read_carp(packet.payload);
  if (const auto* why = std::get_if<CarpReject>(&result)) {
    // VRRP's virtual routers for IPv6 have Ethernet addresses of their own (RFC 5798, section 7.3), but FreeBSD's use
    // that of CARP all the same.
    if (*why == CarpReject::vrrp && (inet || ethernet.source == wire::carp_mac(packet.payload[1])))
      if (Host* host = find(packet.payload[1])) host->on_vrrp(source, now);
    return *why;
  }
  const wire::CarpAdvert& advert = *std::get_if<wire::CarpAdvert>(&result);
  Host* host = find(advert.vhid);
  if (host == nullptr || !host->has(packet.family)) return CarpReject::badvhid;
  if (host->multicast(packet.family) && packet.ttl != wire::link_local_ttl) return CarpReject::badttl;
  const std::uint32_t moves = host->status().moves;
  const auto why = host->on_advert(advert, source, own(packet.family), now);
  // Who takes over from a master that says farewell has preempted nobody.
  if (host->status().moves != moves && host->last_move().event == Event::preempts &&
      !is_bow_out({advert.advbase, advert.advskew, advert.demote}))
    counters_[Tally::preempt].add();
  if (!why) learn({packet.family, packet.source}, ethernet.source);
  return why;
}

bool Node::answers_for(const CarpAddress& address, std::uint8_t& vhid, MacAddress& mac) const noexcept {
  for (const Host& host : hosts_)
    if (host.state() == State::master && host.has(address)) {
      vhid = host.config().vhid;
      mac = wire::carp_mac(vhid);
      return true;
    }
  vhid = 0;
  mac = config_.mac;
  return address.address != none && address.address == own(address.family);
}

/// The port is promiscuous: what goes to somebody else's Ethernet address is not for us.
bool Node::is_for(const wire::EthernetFrame& ethernet, const MacAddress& mac) const noexcept {
  return (ethernet.destination.bytes[0] & 1u) != 0 || ethernet.destination == mac ||
         ethernet.destination == config_.mac;
}

bool Node::owns(Family family, const wire::Address& address) const noexcept {
  return std::any_of(hosts_.begin(), hosts_.end(), [&](const Host& host) {
    return host.state() == State::master && host.has({family, address});
  });
}

Node::Answer* Node::new_answer(AnswerRate& rate, const MacAddress& asker) noexcept {
  const std::size_t places = &rate == &echoes_ ? answers_max / 2 : answers_max;
  if (answers_count_ >= places || !rate.take(asker, now_)) {
    counters_[Tally::answers_dropped].add();
    return nullptr;
  }
  to_send_ = true;
  return &(*answers_)[(answers_begin_ + answers_count_++) % answers_max];
}

void Node::on_arp(const wire::EthernetFrame& ethernet) noexcept {
  const auto arp = wire::read_arp(ethernet.payload);
  if (!arp) return;
  if (arp->sender != none) learn({Family::inet, arp->sender}, arp->sender_mac);
  watch_claim({Family::inet, arp->sender}, arp->sender_mac);
  // Who asks for an address that he says is his own announces it.
  if (arp->operation != wire::ArpOperation::request || arp->sender == arp->target) return;
  std::uint8_t vhid = 0;
  MacAddress mac;
  if (!answers_for({Family::inet, arp->target}, vhid, mac) || (vhid == 0 && !config_.answers_arp)) return;
  if (!is_for(ethernet, mac)) return;
  Answer* answer = new_answer(resolutions_, ethernet.source);
  if (answer == nullptr) return;
  const std::size_t header =
      wire::write_ethernet_header(arp->sender_mac, mac, config_.vlan, wire::ethertype::arp, answer->frame);
  answer->bytes = header + wire::write_arp({.operation = wire::ArpOperation::reply,
                                            .sender_mac = mac,
                                            .sender = arp->target,
                                            .target_mac = arp->sender_mac,
                                            .target = arp->sender},
                                           wire::Room{answer->frame}.subspan(header));
  answer->vhid = vhid;
  answer->tally = Tally::arp_replies;
}

void Node::on_neighbour(const wire::EthernetFrame& ethernet, const wire::IpPacket& packet) noexcept {
  const auto neighbour = wire::read_neighbour(packet);
  if (!neighbour) return;
  if (!neighbour->is_solicitation) {
    if (!neighbour->mac) return;
    learn({Family::inet6, neighbour->target}, *neighbour->mac);
    return watch_claim({Family::inet6, neighbour->target}, *neighbour->mac);
  }
  if (neighbour->mac) learn({Family::inet6, packet.source}, *neighbour->mac);
  if (!may_be_answered(ethernet, packet)) return;
  const bool probes = packet.source == none;  // a host that asks whether the address is free: all shall hear the answer
  std::uint8_t vhid = 0;
  MacAddress mac;
  if (!answers_for({Family::inet6, neighbour->target}, vhid, mac)) return;
  if (probes && vhid == 0) return;  // this node does no duplicate address detection for its own address
  if (!is_for(ethernet, mac)) return;
  Answer* answer = new_answer(resolutions_, ethernet.source);
  if (answer == nullptr) return;
  const wire::Address to = probes ? wire::all_nodes_inet6 : packet.source;
  const wire::Neighbour reply{.solicited = !probes, .override = true, .target = neighbour->target, .mac = mac};
  const MacAddress to_mac = probes ? wire::multicast_mac(Family::inet6, to) : neighbour->mac.value_or(ethernet.source);
  const std::size_t bytes =
      wire::write_neighbour(reply, neighbour->target, to, payload_room(Family::inet6, answer->frame));
  const wire::Room payload =
      write_headers(to_mac, mac, {Family::inet6, neighbour->target, to, wire::ipproto::icmpv6}, bytes, answer->frame);
  answer->bytes = static_cast<std::size_t>(payload.data() - answer->frame.data()) + bytes;
  answer->vhid = vhid;
  answer->tally = Tally::neighbour_replies;
}

void Node::on_echo(const wire::EthernetFrame& ethernet, const wire::IpPacket& packet) noexcept {
  const std::uint8_t request =
      packet.family == Family::inet ? wire::icmp_type::echo_request : wire::icmpv6_type::echo_request;
  if (packet.payload.empty() || packet.payload[0] != request) return;
  if (packet.source == none || !may_be_answered(ethernet, packet)) return;
  std::uint8_t vhid = 0;
  MacAddress mac;
  if (!answers_for({packet.family, packet.destination}, vhid, mac)) return;
  if ((ethernet.destination.bytes[0] & 1u) != 0 || !is_for(ethernet, mac)) return;
  Answer* answer = new_answer(echoes_, ethernet.source);
  if (answer == nullptr) return;
  const std::size_t bytes = wire::write_echo_reply(packet, payload_room(packet.family, answer->frame));
  if (bytes == 0) {
    counters_[Tally::answers_dropped].add();
    --answers_count_;
    return;
  }
  const wire::Room payload = write_headers(
      ethernet.source, mac, {packet.family, packet.destination, packet.source, packet.protocol}, bytes, answer->frame);
  answer->bytes = static_cast<std::size_t>(payload.data() - answer->frame.data()) + bytes;
  answer->vhid = vhid;
  answer->tally = Tally::echo_replies;
}

Node::Peer* Node::peer_at(const CarpAddress& address) noexcept {
  const auto peer = std::find_if(peers_.begin(), peers_.end(), [&](const Peer& p) { return p.address == address; });
  return peer == peers_.end() ? nullptr : &*peer;
}

void Node::learn(const CarpAddress& address, const MacAddress& mac) noexcept {
  // A group's is nobody's address, and a virtual host's is the peer's only while it leads that one: what it sends to
  // the group comes from there.
  if (peers_.empty() || (mac.bytes[0] & 1u) != 0 || mac == wire::carp_mac(mac.bytes[5])) return;
  Peer* peer = peer_at(address);
  if (peer == nullptr) return;
  const bool was_lost = !peer->mac && peer->asked_at;
  peer->mac = mac;
  if (!was_lost) return;
  // As a kernel does with what waits for an answer to ARP: the next interval is late for an election.
  for (Host& host : hosts_)
    if (host.has(address.family) && host.peer(address.family) == address.address) host.advertise_again(now_);
  to_send_ = true;
}

void Node::watch_claim(const CarpAddress& address, const MacAddress& mac) noexcept {
  const std::uint8_t vhid = mac.bytes[5];
  if (mac != wire::carp_mac(vhid) || address.address == none) return;
  if (Host* host = find(vhid)) host->on_claim(address);
}

// --- time and orders ---------------------------------------------------------------------------------

void Node::settle(Instant now) noexcept {
  if (demotion_seen_ != demotion_->generation()) {
    demotion_seen_ = demotion_->generation();
    for (Host& host : hosts_) host.on_demotion(now);
  }
  publish();
}

void Node::publish() noexcept {
  for (std::size_t i = 0; i < hosts_.size(); ++i) {
    if (!hosts_[i].take_changed()) continue;
    published_[i].publish(hosts_[i].status());
    to_send_ = true;
  }
}

void Node::on_timeout(Instant now) noexcept {
  for (Host& host : hosts_) {
    const std::uint64_t unsent = host.status().adverts_unsent;
    host.on_timeout(now, refused_since_);
    counters_[Tally::onomem].add(host.status().adverts_unsent - unsent);
  }
  to_send_ = to_send_ || !hosts_.empty();
  settle(now);
}

std::optional<Instant> Node::timeout() const noexcept {
  if (demotion_seen_ != demotion_->generation()) return Instant{};  // another port's trouble: now
  std::optional<Instant> first;
  for (const Host& host : hosts_)
    if (const auto at = host.timeout(); at && (!first || *at < *first)) first = at;
  return first;
}

void Node::on_absence(Instant now) noexcept {
  for (Host& host : hosts_) host.on_absence(now);
  settle(now);
}

void Node::set_link(bool up, Instant now) noexcept {
  up_ = up;
  if (!hosts_.empty() && down_counted_ == up) {
    down_counted_ = !up;
    if (up)
      demotion_->remove(Cause::interface_down, config_.port, now);
    else
      demotion_->add(Cause::interface_down, config_.port, now);
  }
  for (Host& host : hosts_) {
    if (!up)
      host.on_event(Event::link_lost, now);
    else if (enabled())
      host.on_event(Event::ready, now);
  }
  settle(now);
}

void Node::set_enabled(bool enabled, Event why, Instant now) noexcept {
  enabled_.store(enabled, std::memory_order_relaxed);
  for (Host& host : hosts_) {
    if (!enabled)
      host.on_event(why, now);
    else if (up_)
      host.on_event(Event::ready, now);
  }
  settle(now);
}

bool Node::order(std::uint8_t vhid, State state, Instant now) noexcept {
  Host* host = find(vhid);
  if (host == nullptr || host->state() == State::init || state == State::init) return false;
  host->on_event(state == State::master ? Event::ordered_up : Event::ordered_down, now);
  settle(now);
  return true;
}

std::unique_ptr<Node> Node::successor(const NodeConfig& config) const {
  auto next = std::make_unique<Node>(config, *demotion_, *journal_);
  next->farewells_.resize(2 * Host::bow_out_copies * hosts_.size());
  return next;
}

void Node::say_farewell(Host& host, Instant now) noexcept {
  host.on_event(Event::removed, now);
  for (const Family family : {Family::inet, Family::inet6})
    while (host.advert_due(family)) {
      Farewell& farewell = farewells_[farewells_end_];
      farewell.bytes = write_advert(host, family, farewell.frame);
      if (farewell.bytes > 0) ++farewells_end_;
    }
}

void Node::adopt(Node& next, Instant now) noexcept {
  std::swap(farewells_, next.farewells_);
  farewells_begin_ = farewells_end_ = 0;
  for (Host& host : hosts_) {
    if (Host* heir = next.find(host.config().vhid))
      heir->succeed(host, now);
    else
      say_farewell(host, now);
  }
  for (Peer& peer : next.peers_)
    if (const Peer* known = peer_at(peer.address)) peer = *known;
  const bool had_hosts = !hosts_.empty();
  std::swap(config_, next.config_);
  std::swap(hosts_, next.hosts_);
  std::swap(index_, next.index_);
  std::swap(peers_, next.peers_);
  std::swap(published_, next.published_);
  for (std::size_t i = 0; i < hosts_.size(); ++i) {
    if (up_ && enabled()) hosts_[i].on_event(Event::ready, now);
    published_[i].publish(hosts_[i].status());
  }
  if (hosts_.empty() && down_counted_) demotion_->remove(Cause::interface_down, config_.port, now);
  if (!hosts_.empty() && !had_hosts && !up_) demotion_->add(Cause::interface_down, config_.port, now);
  down_counted_ = !hosts_.empty() && (had_hosts ? down_counted_ : !up_);
  to_send_ = true;
  settle(now);
}

// --- what goes out -----------------------------------------------------------------------------------

wire::Room Node::payload_room(Family family, wire::Room frame) const noexcept {
  const std::size_t headers = (config_.vlan ? 18u : 14u) + wire::ip_header_bytes(family);
  return frame.size() <= headers ? wire::Room{} : frame.subspan(headers);
}

wire::Room Node::write_headers(const MacAddress& to, const MacAddress& from, const wire::IpHeaderFields& ip,
                               std::size_t payload, wire::Room frame) const noexcept {
  const std::size_t ethernet = wire::write_ethernet_header(to, from, config_.vlan, ethertype_of(ip.family), frame);
  const std::size_t header = wire::write_ip_header(ip, payload, frame.subspan(ethernet));
  return frame.subspan(ethernet + header);
}

std::size_t Node::write_advert(Host& host, Family family, wire::Room frame) noexcept {
  const wire::CarpAdvert advert = host.take_advert(family);
  MacAddress to, from;
  if (host.multicast(family)) {
    to = wire::multicast_mac(family, host.peer(family));
    from = wire::carp_mac(host.config().vhid);
  } else {
    Peer* peer = peer_at({family, host.peer(family)});
    if (peer == nullptr || !peer->mac) {
      if (peer != nullptr) peer->wanted = true;
      counters_[Tally::unresolved].add();
      return 0;
    }
    to = *peer->mac;
    from = config_.mac;  // as FreeBSD: switches then learn the virtual one from gratuitous ARP
  }
  const wire::Room payload = write_headers(to, from, {family, own(family), host.peer(family), wire::ipproto::carp},
                                           sizeof(wire::CarpRecord), frame);
  const std::size_t bytes = wire::write_carp(advert, payload);
  const std::size_t header = wire::ip_header_bytes(family);
  mark_as_network_control(family, wire::Room{payload.data() - header, header});
  counters_[family == Family::inet ? Tally::opackets : Tally::opackets6].add();
  return static_cast<std::size_t>(payload.data() - frame.data()) + bytes;
}

/// Differs: FreeBSD's gratuitous ARP comes from the port's own Ethernet address; from the virtual one switches learn it
/// too.
std::size_t Node::write_announcement(const Host& host, const CarpAddress& address, wire::Room frame) const noexcept {
  const MacAddress mac = wire::carp_mac(host.config().vhid);
  if (address.family == Family::inet) {
    const std::size_t header =
        wire::write_ethernet_header(wire::broadcast_mac, mac, config_.vlan, wire::ethertype::arp, frame);
    const bool reply = host.announces_as_reply();
    return header + wire::write_arp({.operation = reply ? wire::ArpOperation::reply : wire::ArpOperation::request,
                                     .sender_mac = mac,
                                     .sender = address.address,
                                     .target_mac = reply ? wire::broadcast_mac : MacAddress{},
                                     .target = address.address},
                                    frame.subspan(header));
  }
  const wire::Address& to = wire::all_nodes_inet6;
  const wire::Address& from = config_.inet6 != none ? config_.inet6 : address.address;
  const wire::Neighbour neighbour{.override = true, .target = address.address, .mac = mac};
  const std::size_t bytes = wire::write_neighbour(neighbour, from, to, payload_room(Family::inet6, frame));
  const wire::Room payload = write_headers(wire::multicast_mac(Family::inet6, to), mac,
                                           {Family::inet6, from, to, wire::ipproto::icmpv6}, bytes, frame);
  return static_cast<std::size_t>(payload.data() - frame.data()) + bytes;
}

/// Asked for its own address, a node announces it.
std::size_t Node::write_question(const CarpAddress& address, wire::Room frame) const noexcept {
  if (address.family == Family::inet) {
    const std::size_t header =
        wire::write_ethernet_header(wire::broadcast_mac, config_.mac, config_.vlan, wire::ethertype::arp, frame);
    return header + wire::write_arp({.sender_mac = config_.mac, .sender = config_.inet, .target = address.address},
                                    frame.subspan(header));
  }
  const wire::Address group = wire::solicited_node(address.address);
  const wire::Neighbour question{.is_solicitation = true, .target = address.address, .mac = config_.mac};
  const std::size_t bytes = wire::write_neighbour(question, config_.inet6, group, payload_room(Family::inet6, frame));
  const wire::Room payload = write_headers(wire::multicast_mac(Family::inet6, group), config_.mac,
                                           {Family::inet6, config_.inet6, group, wire::ipproto::icmpv6}, bytes, frame);
  return static_cast<std::size_t>(payload.data() - frame.data()) + bytes;
}

std::size_t Node::transmit(wire::Room frame, Instant now) noexcept {
  constexpr std::size_t frame_max = 18 + 40 + 36;  // of all but echo replies
  if (!to_send_ || frame.size() < frame_max) return 0;
  // Advertisements first: an election must not wait for answers.
  for (Host& host : hosts_)
    for (const Family family : {Family::inet, Family::inet6})
      while (host.advert_due(family))
        if (const std::size_t bytes = write_advert(host, family, frame); bytes > 0) return bytes;
  if (farewells_begin_ < farewells_end_) {
    const Farewell& farewell = farewells_[farewells_begin_++];
    std::copy_n(farewell.frame.begin(), farewell.bytes, frame.begin());
    return farewell.bytes;
  }
  for (Host& host : hosts_)
    if (const CarpAddress* address = host.announcement()) {
      const std::size_t bytes = write_announcement(host, *address, frame);
      host.announced();
      counters_[Tally::announcements].add();
      return bytes;
    }
  for (Peer& peer : peers_) {
    if (!peer.wanted || (peer.asked_at && now < *peer.asked_at + ask_again)) continue;
    peer.wanted = false;
    peer.asked_at = now;
    return write_question(peer.address, frame);
  }
  bool wants_trial = false;
  for (Host& host : hosts_) wants_trial = host.take_trial() || wants_trial;
  if (wants_trial) {
    counters_[Tally::trials].add();
    const Family family = config_.inet != none ? Family::inet : Family::inet6;
    return write_question({family, own(family)}, frame);
  }
  while (answers_count_ > 0) {
    const Answer& answer = (*answers_)[answers_begin_];
    answers_begin_ = (answers_begin_ + 1) % answers_max;
    --answers_count_;
    const Host* host = answer.vhid == 0 ? nullptr : find(answer.vhid);
    const bool is_over = answer.vhid != 0 && (host == nullptr || host->state() != State::master);
    if (is_over || answer.bytes > frame.size()) {
      counters_[Tally::answers_dropped].add();
      continue;
    }
    counters_[answer.tally].add();
    std::copy_n(answer.frame.begin(), answer.bytes, frame.begin());
    return answer.bytes;
  }
  publish();  // what was sent is counted there
  to_send_ = false;
  return 0;
}

}  // namespace pfsync::engine::carp
