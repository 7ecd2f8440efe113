// A script of events on one CARP node: frames as they are, advertisements that are sound or nearly so, time, the
// operator.
#include <algorithm>
#include <array>
#include <cstdint>
#include <vector>

#include "engine/carp/node.h"
#include "engine/carp/order.h"
#include "tests/fuzz/check.h"
#include "tests/fuzz/mutate.h"
#include "wire/icmp.h"

namespace pfsync::fuzz {
namespace {

using namespace engine::carp;
using wire::Family;

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

constexpr wire::MacAddress mac{{0x52, 0x54, 0, 0, 0, 1}};

HostConfig host(std::uint8_t vhid, std::uint8_t options) {
  HostConfig config{.vhid = vhid, .advskew = options, .password = "fuzz", .addresses = {}};
  config.addresses.push_back({Family::inet, wire::ipv4_address(192, 0, 2, static_cast<std::uint8_t>(100 + vhid))});
  if ((options & 1u) != 0)
    config.addresses.push_back(
        {Family::inet6, wire::Address{{0xfe, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, vhid}}});
  config.preempt = (options & 2u) == 0;
  config.openbsd = (options & 4u) != 0;
  config.both_families = (options & 8u) != 0;
  if ((options & 16u) != 0) config.peer_inet = wire::ipv4_address(192, 0, 2, 2);
  return config;
}

class Run {
 public:
  explicit Run(std::uint8_t options)
      : config_{.name = "fuzz",
                .mac = mac,
                .inet = wire::ipv4_address(192, 0, 2, 1),
                .inet6 = wire::link_local_address(mac),
                .hosts = {host(1, options), host(2, static_cast<std::uint8_t>(~options))},
                .seed = 1},
        node_{config_, demotion_, journal_} {}

  void step(Script& script) {
    switch (script.byte() % 8) {
      case 0: node_.on_frame(script.take(script.byte()), now_); break;
      case 1: hear_advert(script); break;
      case 2: pass(std::chrono::milliseconds{20 * script.byte()}); break;
      case 3: node_.set_link(script.byte() % 4 != 0, now_); break;
      case 4: order(script); break;
      case 5: demotion_.follow(static_cast<Sync>(script.byte() % 3), now_); break;
      case 6: transmit(script.byte() % 4); break;
      default: hear_own(script); break;
    }
    check_all();
  }

 private:
  /// An advertisement with a right checksum, and mostly a right HMAC.
  void hear_advert(Script& script) {
    const std::uint8_t shape = script.byte();
    const HostConfig& of = config_.hosts[shape % 2];
    wire::CarpAdvert advert{.vhid = of.vhid,
                            .advbase = script.byte(),
                            .advskew = script.byte(),
                            .demote = 0,
                            .counter = script.byte(),
                            .md = {}};
    advert.demote = static_cast<std::uint8_t>(shape >> 6u);
    if ((shape & 4u) == 0)
      advert.md = wire::CarpDigest{wire::carp_key("fuzz"), of.vhid, of.addresses}.md(advert.counter);
    const Family family = (shape & 8u) == 0 ? Family::inet : Family::inet6;
    const wire::Address source =
        family == Family::inet ? wire::ipv4_address(192, 0, 2, static_cast<std::uint8_t>(shape >> 4u))
                               : wire::link_local_address({{2, 0, 0, 0, 0, static_cast<std::uint8_t>(shape >> 4u)}});
    const wire::Address to = family == Family::inet ? wire::carp_group_inet : wire::carp_group_inet6;
    std::array<std::uint8_t, 128> frame{};
    const std::size_t ethernet =
        wire::write_ethernet_header(wire::multicast_mac(family, to), wire::carp_mac(of.vhid), std::nullopt,
                                    family == Family::inet ? wire::ethertype::ipv4 : wire::ethertype::ipv6, frame);
    const wire::Room rest = wire::Room{frame}.subspan(ethernet);
    const std::size_t header =
        wire::write_ip_header({family, source, to, wire::ipproto::carp}, sizeof(wire::CarpRecord), rest);
    const std::size_t bytes = wire::write_carp(advert, rest.subspan(header));
    node_.on_frame(wire::Bytes{frame}.first(ethernet + header + bytes), now_);
  }

  /// A frame that this node sent, changed somewhere.
  void hear_own(Script& script) {
    if (sent_.empty()) return;
    auto frame = sent_[script.byte() % sent_.size()];
    if (const std::uint8_t at = script.byte(); at < frame.size()) frame[at] ^= script.byte();
    node_.on_frame(frame, now_);
  }

  void order(Script& script) {
    const std::uint8_t what = script.byte();
    Node* const nodes[] = {&node_};
    static_cast<void>(carry_out({.kind = static_cast<Order::Kind>(what % 5),
                                 .on = (what & 8u) != 0,
                                 .value = static_cast<int>(script.byte()) - 128,
                                 .vhid = static_cast<std::uint8_t>(what >> 6u),
                                 .state = (what & 16u) != 0 ? State::master : State::backup},
                                nodes, demotion_, now_));
  }

  void pass(Duration duration) {
    const Instant end = now_ + duration;
    for (unsigned turns = 0;; ++turns) {
      check(turns < 2000, "deadlines move on");
      const auto due = node_.timeout();
      if (!due || *due > end) break;
      now_ = std::max(now_, *due);
      node_.on_timeout(now_);
      transmit(SIZE_MAX);
    }
    now_ = end;
    if (const auto due = node_.timeout(); due && *due <= now_)
      check(demotion_.generation() != seen_, "what was due is done");
  }

  void transmit(std::size_t frames_max) {
    std::array<std::uint8_t, 1600> room;
    for (std::size_t frames = 0; frames < frames_max; ++frames) {
      check(frames < 300, "transmission comes to an end");
      const std::size_t bytes = node_.transmit(room, now_);
      if (bytes == 0) return;
      check(bytes <= room.size(), "a frame fits its room");
      const auto ethernet = wire::read_ethernet(wire::Bytes{room}.first(bytes));
      check(ethernet.has_value(), "what is sent has an Ethernet header");
      check(ethernet->source == mac || ethernet->source == wire::carp_mac(1) || ethernet->source == wire::carp_mac(2),
            "a source of ours");
      if (ethernet->ethertype == wire::ethertype::arp) {
        check(wire::read_arp(ethernet->payload).has_value(), "ARP that we send is sound");
      } else {
        const auto ip = wire::read_ip(ethernet->payload);
        check(!ip.reject, "IP that we send is sound");
        if (ip.packet.protocol == wire::ipproto::carp) {
          const auto advert = wire::read_carp(ip.packet.payload);
          check(std::holds_alternative<wire::CarpAdvert>(advert), "advertisements that we send are sound");
          const auto& it = std::get<wire::CarpAdvert>(advert);
          check(it.advskew <= skew_max || is_bow_out({it.advbase, it.advskew}), "the skew is bounded");
        }
      }
      sent_.emplace_back(room.begin(), room.begin() + static_cast<std::ptrdiff_t>(bytes));
      if (sent_.size() > 16) sent_.erase(sent_.begin());
    }
  }

  void check_all() {
    seen_ = demotion_.generation();
    int total = 0;
    for (const int part : demotion_.seen()) total += part;
    check(total == demotion_.total(), "the sum of the parts is the demotion");
    for (std::size_t i = 0; i < node_.hosts().size(); ++i) {
      const HostStatus seen = node_.status(i);
      const State state = node_.hosts()[i].state();
      check(seen.state == state, "what is published is so");
      const auto address = config_.hosts[i].addresses[0];
      check(node_.owns(address.family, address.address) == (state == State::master),
            "the master owns its addresses, and nobody else");
      check(node_.enabled() || state == State::init, "who is disabled stands still");
    }
  }

  NodeConfig config_;
  Journal journal_{};
  Demotion demotion_{journal_};
  Node node_;
  Instant now_ = Instant{} + std::chrono::hours{1};
  std::vector<std::vector<std::uint8_t>> sent_;
  std::uint64_t seen_ = 0;
};

/// Of an event: as many as each takes, but for what depends on what the node has sent.
std::size_t bytes_of_event(const Input& input, std::size_t at) {
  constexpr std::array<std::size_t, 8> bytes_of{2, 5, 2, 2, 3, 2, 2, 4};
  const std::size_t kind = input[at] % bytes_of.size();
  return bytes_of[kind] + (kind == 0 && at + 1 < input.size() ? input[at + 1] : 0u);
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
