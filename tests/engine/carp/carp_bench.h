#pragma once

#include <gtest/gtest.h>

#include <chrono>
#include <initializer_list>
#include <optional>
#include <string>
#include <vector>

#include "engine/carp/node.h"
#include "wire/carp.h"
#include "wire/carp_digest.h"
#include "wire/ethernet.h"
#include "wire/icmp.h"
#include "wire/ip.h"

/// A node on a bench: frames go in and come out, the clock is turned by hand.
namespace pfsync::engine::carp::test {

using namespace std::chrono_literals;
using Frame = std::vector<std::uint8_t>;

inline wire::CarpAddress address(std::string_view text) {
  const auto parsed = wire::parse_address(text);
  return parsed ? wire::CarpAddress{parsed->first, parsed->second} : wire::CarpAddress{};
}

inline constexpr wire::MacAddress own_mac{{0x52, 0x54, 0, 0, 0, 1}}, peer_mac{{0x52, 0x54, 0, 0, 0, 2}};

inline HostConfig host_config(std::uint8_t vhid, std::uint8_t advskew, std::initializer_list<const char*> addresses) {
  HostConfig config{.vhid = vhid, .advskew = advskew, .password = "mekmitasdigoat", .addresses = {}};
  for (const char* text : addresses) config.addresses.push_back(address(text));
  return config;
}

inline NodeConfig node_config(std::vector<HostConfig> hosts) {
  return {.name = "dev0",
          .mac = own_mac,
          .inet = address("192.168.1.1").address,
          .inet6 = wire::link_local_address(own_mac),
          .hosts = std::move(hosts),
          .seed = 7};
}

/// A frame as another node would send it.
inline Frame framed(const wire::MacAddress& to, const wire::MacAddress& from, const wire::IpHeaderFields& ip,
                    wire::Bytes payload, std::uint8_t ttl = 255) {
  Frame frame(14 + wire::ip_header_bytes(ip.family) + payload.size());
  const auto type = ip.family == wire::Family::inet ? wire::ethertype::ipv4 : wire::ethertype::ipv6;
  EXPECT_EQ(wire::write_ethernet_header(to, from, std::nullopt, type, frame), 14u);
  const std::size_t header = wire::write_ip_header(ip, payload.size(), wire::Room{frame}.subspan(14));
  std::copy(payload.begin(), payload.end(), frame.begin() + static_cast<std::ptrdiff_t>(14 + header));
  if (ip.family == wire::Family::inet) {
    frame[14 + 8] = ttl;
    wire::store(wire::Room{frame}, 14 + 10, wire::Be16{0});
    wire::store(wire::Room{frame}, 14 + 10, wire::Be16{wire::internet_checksum(wire::Bytes{frame}.subspan(14, 20))});
  } else {
    frame[14 + 7] = ttl;
  }
  return frame;
}

inline Frame arp_frame(const wire::MacAddress& to, const wire::Arp& arp) {
  Frame frame(42);
  EXPECT_EQ(wire::write_ethernet_header(to, arp.sender_mac, std::nullopt, wire::ethertype::arp, frame), 14u);
  EXPECT_EQ(wire::write_arp(arp, wire::Room{frame}.subspan(14)), 28u);
  return frame;
}

/// The other node of a VHID, as far as its advertisements go.
struct Other {
  HostConfig config;
  wire::CarpAddress source = address("192.168.1.2");
  std::uint64_t counter = 1000;

  [[nodiscard]] Frame advert(std::uint8_t advbase, std::uint8_t advskew, std::uint8_t demote = 0,
                             std::uint8_t ttl = 255) {
    const wire::CarpDigest digest{wire::carp_key(config.password), config.vhid, config.addresses};
    ++counter;
    return frame_of({.vhid = config.vhid,
                     .advbase = advbase,
                     .advskew = advskew,
                     .demote = demote,
                     .counter = counter,
                     .md = digest.md(counter)},
                    ttl);
  }
  [[nodiscard]] Frame frame_of(const wire::CarpAdvert& advert, std::uint8_t ttl = 255) const {
    std::array<std::uint8_t, sizeof(wire::CarpRecord)> payload{};
    EXPECT_EQ(wire::write_carp(advert, payload), payload.size());
    const bool inet = source.family == wire::Family::inet;
    const wire::Address group = inet ? wire::carp_group_inet : wire::carp_group_inet6;
    return framed(wire::multicast_mac(source.family, group), wire::carp_mac(config.vhid),
                  {source.family, source.address, group, wire::ipproto::carp}, payload, ttl);
  }
};

struct Bench {
  Journal journal{};
  Demotion demotion{journal};
  Node node;
  Instant now = Instant{} + 1h;

  explicit Bench(const NodeConfig& config) : node{config, demotion, journal} { node.set_link(true, now); }

  void hear(const Frame& frame) { node.on_frame(frame, now); }
  /// Lets time pass as the data path does; frames sent meanwhile are returned.
  std::vector<Frame> pass(Duration duration) {
    std::vector<Frame> sent = take();
    for (const Instant end = now + duration;;) {
      const auto due = node.timeout();
      if (!due || *due > end) {
        now = end;
        break;
      }
      now = std::max(now, *due);
      node.on_timeout(now);
      for (Frame& frame : take()) sent.push_back(std::move(frame));
    }
    return sent;
  }
  std::vector<Frame> take() {
    std::vector<Frame> frames;
    for (;;) {
      Frame room(1600);
      const std::size_t bytes = node.transmit(room, now);
      if (bytes == 0) return frames;
      room.resize(bytes);
      frames.push_back(std::move(room));
    }
  }
  [[nodiscard]] State state(std::size_t host = 0) const { return node.hosts()[host].state(); }
  [[nodiscard]] const HostStatus& status(std::size_t host = 0) const { return node.hosts()[host].status(); }
  [[nodiscard]] std::uint64_t count(wire::CarpReject why) const { return node.counters()[why].value(); }
  [[nodiscard]] std::uint64_t count(Tally what) const { return node.counters()[what].value(); }
  [[nodiscard]] std::uint64_t mistakes(Mistake mistake, std::size_t host = 0) const {
    return status(host).mistakes[static_cast<std::size_t>(mistake)].count;
  }
};

/// The advertisements among frames.
inline std::vector<wire::CarpAdvert> adverts_in(const std::vector<Frame>& frames) {
  std::vector<wire::CarpAdvert> result;
  for (const Frame& frame : frames) {
    const auto ethernet = wire::read_ethernet(frame);
    if (!ethernet || ethernet->ethertype == wire::ethertype::arp) continue;
    const auto ip = wire::read_ip(ethernet->payload);
    if (ip.reject || ip.packet.protocol != wire::ipproto::carp) continue;
    const auto advert = wire::read_carp(ip.packet.payload);
    if (const auto* it = std::get_if<wire::CarpAdvert>(&advert)) result.push_back(*it);
  }
  return result;
}

inline std::vector<wire::Arp> arps_in(const std::vector<Frame>& frames) {
  std::vector<wire::Arp> result;
  for (const Frame& frame : frames)
    if (const auto ethernet = wire::read_ethernet(frame); ethernet && ethernet->ethertype == wire::ethertype::arp)
      if (const auto arp = wire::read_arp(ethernet->payload)) result.push_back(*arp);
  return result;
}

}  // namespace pfsync::engine::carp::test
