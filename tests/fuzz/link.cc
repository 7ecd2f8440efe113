// A script of events on a port without a kernel: frames into the link and into group membership, time, what they send.
// Both stay within their bounds, and what they send is sound.
#include "engine/link/link.h"

#include <algorithm>
#include <array>
#include <cstdint>
#include <vector>

#include "engine/link/membership.h"
#include "tests/fuzz/check.h"
#include "tests/fuzz/mend.h"
#include "tests/fuzz/mutate.h"
#include "wire/arp.h"

namespace pfsync::fuzz {
namespace {

using namespace engine;
using wire::Family;

constexpr wire::MacAddress mac{{0x52, 0x54, 0, 0, 0, 1}};

class Script {
 public:
  explicit Script(wire::Bytes bytes) : bytes_{bytes} {}
  [[nodiscard]] bool more() const { return !bytes_.empty(); }
  std::uint8_t byte() {
    if (bytes_.empty()) return 0;
    const std::uint8_t value = bytes_[0];
    bytes_ = bytes_.subspan(1);
    return value;
  }
  wire::Bytes take(std::size_t count) {
    const wire::Bytes taken = bytes_.first(std::min(count, bytes_.size()));
    bytes_ = bytes_.subspan(taken.size());
    return taken;
  }

 private:
  wire::Bytes bytes_;
};

LinkConfig link_of(std::uint8_t options) {
  LinkConfig config{.mac = mac, .address = wire::ipv4_address(10, 0, 0, 1)};
  if ((options & 1u) != 0) {
    config.family = Family::inet6;
    config.address = wire::link_local_address(mac);
    config.destination = wire::pfsync_group_inet6;
  }
  const auto host = [&](std::uint8_t number) {
    return config.family == Family::inet ? wire::ipv4_address(10, 0, 0, number)
                                         : wire::link_local_address({{2, 0, 0, 0, 0, number}});
  };
  if ((options & 2u) != 0) config.peers = {{.address = host(2)}, {.address = host(3)}};
  if ((options & 4u) != 0) config.vlan = 100;
  if ((options & 8u) != 0) config.sources = {{.address = host(2), .mac = wire::MacAddress{{2, 0, 0, 0, 0, 2}}}};
  return config;
}

MembershipConfig membership_of(std::uint8_t options) {
  MembershipConfig config{.mac = mac, .inet = wire::ipv4_address(10, 0, 0, 1), .inet6 = wire::link_local_address(mac)};
  config.groups = {{Family::inet, wire::pfsync_group_inet},
                   {Family::inet, wire::ipv4_address(224, 0, 0, 18)},
                   {Family::inet6, wire::pfsync_group_inet6}};
  if ((options & 4u) != 0) config.vlan = 100;
  config.seed = options;
  return config;
}

class Run {
 public:
  explicit Run(std::uint8_t options)
      : config_{link_of(options)}, link_{config_, counters_}, membership_{membership_of(options)} {
    membership_.set_link(true, now_);
  }

  void step(Script& script) {
    const std::uint8_t kind = script.byte();
    switch (kind % 6) {
      case 0:
      case 1: {
        const wire::Bytes bytes = script.take(script.byte());
        return hear({bytes.begin(), bytes.end()}, (kind & 0x80u) != 0);
      }
      case 2: {  // what was sent comes back, changed somewhere
        if (sent_.empty()) return;
        Input frame = sent_[script.byte() % sent_.size()];
        if (const std::uint8_t at = script.byte(); at < frame.size()) frame[at] = script.byte();
        return hear(frame, (kind & 0x80u) != 0);
      }
      case 3: now_ += std::chrono::milliseconds{20} * script.byte(); return transmit();
      case 4: return transmit();
      default:
        if ((kind & 0x80u) != 0) return membership_.leave(now_);
        return membership_.set_link((kind & 0x40u) == 0, now_);
    }
  }

 private:
  void hear(Input frame, bool mended) {
    if (mended) mend(frame);
    const Input exact{frame.begin(), frame.end()};
    if (const auto arrival = link_.on_frame(exact)) {
      check(arrival->packet.data() >= exact.data() &&
                arrival->packet.data() + arrival->packet.size() <= exact.data() + exact.size(),
            "a packet lies in its frame");
      check(arrival->peer < std::max<std::size_t>(config_.peers.size(), 1), "a packet is of one of the peers");
      check(arrival->source != config_.address, "own packets that come back are not taken");
    }
    membership_.on_frame(exact, now_);
  }

  void transmit() {
    std::array<std::uint8_t, 1600> room;
    for (std::size_t frames = 0;; ++frames) {
      const std::size_t bytes = link_.transmit_resolution(room, now_);
      if (bytes == 0) break;
      check(frames < 32, "questions and answers of a turn are bounded");
      sent(wire::Bytes{room}.first(bytes));
    }
    for (std::size_t frames = 0;; ++frames) {
      const std::size_t bytes = membership_.transmit(room, now_);
      if (bytes == 0) break;
      check(frames < 100, "reports come to an end");
      check(bytes <= Membership::frame_bytes_max, "a report fits its room");
      sent(wire::Bytes{room}.first(bytes));
    }
    if (const auto due = membership_.timeout()) check(*due > now_, "what was due is done");
    for (unsigned peer = 0; peer < std::max<std::size_t>(config_.peers.size(), 1); ++peer)
      if (link_.can_send(peer)) send(room, peer);
  }

  /// A packet of a session leaves.
  void send(wire::Room room, unsigned peer) {
    constexpr std::size_t packet = 24;
    check(link_.packet_room(room, wire::Dialect::freebsd_1301).size() >= packet, "a frame has room for a packet");
    const std::size_t bytes = link_.finish(room, packet, peer);
    const auto frame = wire::read_ethernet(wire::Bytes{room}.first(bytes));
    check(frame.has_value() && frame->source == mac && frame->vlan == config_.vlan, "a frame has the own address");
    const auto ip = wire::read_ip(frame->payload);
    check(!ip.reject && ip.packet.payload.size() == packet && ip.packet.protocol == wire::ipproto::pfsync,
          "headers in front of a packet are sound");
    const bool to_group = wire::is_multicast(config_.family, ip.packet.destination);
    check(to_group == ((frame->destination.bytes[0] & 1u) != 0), "a group's address for a group, a host's for a host");
  }

  void sent(wire::Bytes bytes) {
    const auto frame = wire::read_ethernet(bytes);
    check(frame.has_value() && frame->source == mac, "what is sent has the own address");
    if (frame->ethertype == wire::ethertype::arp) {
      const auto arp = wire::read_arp(frame->payload);
      check(arp.has_value() && arp->sender_mac == mac, "ARP that we send is sound");
    } else {
      const auto ip = wire::read_ip(frame->payload);
      check(!ip.reject, "IP that we send is sound");
      const bool is_known = ip.packet.protocol == wire::ipproto::igmp || ip.packet.protocol == wire::ipproto::icmpv6 ||
                            (ip.packet.family == Family::inet6 && ip.packet.protocol == hop_by_hop);
      check(is_known, "only IGMP, MLD and neighbour discovery are sent unasked");
    }
    sent_.emplace_back(bytes.begin(), bytes.end());
    if (sent_.size() > 16) sent_.erase(sent_.begin());
  }

  LinkConfig config_;
  Counters counters_{};
  Link link_;
  Membership membership_;
  Link::Instant now_ = Link::Instant{} + std::chrono::hours{1};
  std::vector<Input> sent_;
};

/// Of an event, with the frame that some bring.
std::size_t bytes_of_event(const Input& input, std::size_t at) {
  constexpr std::array<std::size_t, 6> bytes_of{2, 2, 4, 2, 1, 1};
  const std::size_t kind = input[at] % bytes_of.size();
  return bytes_of[kind] + (kind < 2 && at + 1 < input.size() ? input[at + 1] : 0u);
}

}  // namespace
}  // namespace pfsync::fuzz

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  pfsync::fuzz::Script script{{data, size}};
  pfsync::fuzz::Run run{script.byte()};
  for (unsigned steps = 0; script.more() && steps < 400; ++steps) run.step(script);
  return 0;
}

extern "C" std::size_t LLVMFuzzerCustomMutator(std::uint8_t* data, std::size_t size, std::size_t max_size,
                                               unsigned seed) {
  using namespace pfsync;
  return fuzz::mutated_pieces(data, size, max_size, seed,
                              [](const fuzz::Input& input) { return fuzz::events_of(input, fuzz::bytes_of_event); });
}
