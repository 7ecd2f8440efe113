#pragma once

#include <array>
#include <cstdint>
#include <string_view>
#include <type_traits>

#include "wire/state.h"

/// Reproducible random values.
namespace pfsync::wire::test {

/// Source: S. Vigna, "An experimental exploration of Marsaglia's xorshift generators, scrambled" (splitmix64).
class Random {
 public:
  explicit Random(std::uint64_t seed) noexcept : state_{seed} {}
  std::uint64_t next() noexcept {
    std::uint64_t z = state_ += 0x9e3779b97f4a7c15;
    z = (z ^ (z >> 30u)) * 0xbf58476d1ce4e5b9;
    z = (z ^ (z >> 27u)) * 0x94d049bb133111eb;
    return z ^ (z >> 31u);
  }
  /// Below `end`, which is not zero.
  std::uint64_t below(std::uint64_t end) noexcept { return next() % end; }
  bool one_in(std::uint64_t n) noexcept { return below(n) == 0; }
  template <class T>
  void fill(T& value) noexcept {
    value = static_cast<T>(next());
  }
  template <class T, std::size_t N>
  void fill(std::array<T, N>& values) noexcept {
    for (T& value : values) fill(value);
  }

 private:
  std::uint64_t state_;
};

[[nodiscard]] inline Address random_address(Random& random, Family family) noexcept {
  Address address;
  for (std::size_t i = 0; i < (family == Family::inet ? 4u : 16u); ++i) random.fill(address.bytes[i]);
  return address;
}

template <std::size_t N>
[[nodiscard]] Name<N> random_name(Random& random) noexcept {
  Name<N> name;
  const std::size_t size = random.below(N);
  for (std::size_t i = 0; i < size; ++i) name.chars[i] = static_cast<char>(1 + random.below(255));
  return name;
}

[[nodiscard]] inline Peer random_peer(Random& random) noexcept {
  Peer peer;
  random.fill(peer.scrub.pfss_ts_mod);
  random.fill(peer.scrub.pfss_flags);
  random.fill(peer.scrub.pfss_ttl);
  random.fill(peer.scrub.scrub_flag);
  random.fill(peer.seqlo);
  random.fill(peer.seqhi);
  random.fill(peer.seqdiff);
  random.fill(peer.max_win);
  random.fill(peer.mss);
  random.fill(peer.state);
  random.fill(peer.wscale);
  return peer;
}

/// Any state that can be read from a packet of one dialect or another. Each field that only some dialects
/// have is left at its default about every second time, so that losses come alone and together.
[[nodiscard]] inline State random_state(Random& random) noexcept {
  const auto some = [&](auto& field) {
    if (random.one_in(2)) random.fill(field);
  };
  const auto other = [](Family family) { return family == Family::inet ? Family::inet6 : Family::inet; };
  State state;
  random.fill(state.id.id);
  random.fill(state.id.creatorid);
  state.ifname = random_name<16>(random);
  state.af = random.one_in(2) ? Family::inet : Family::inet6;
  constexpr std::array<std::uint8_t, 5> protocols{ipproto::tcp, ipproto::udp, ipproto::icmp, ipproto::icmpv6,
                                                  ipproto::sctp};
  state.proto = random.one_in(4) ? static_cast<std::uint8_t>(random.next()) : protocols[random.below(protocols.size())];
  if (random.one_in(8)) state.stack_af = other(state.af);
  if (random.one_in(8)) random.fill(state.stack_proto);
  if (state.stack_proto == state.usual_stack_proto()) state.stack_proto = 0;
  if (random.one_in(8)) state.rt_af = other(state.af);
  const std::array families{state.af, state.stack_family()};
  for (std::size_t side = 0; side < 2; ++side)
    for (std::size_t end = 0; end < 2; ++end) {
      state.key[side].addr[end] = random_address(random, families[side]);
      random.fill(state.key[side].port[end]);
    }
  state.src = random_peer(random);
  state.dst = random_peer(random);
  if (random.one_in(2)) state.rt_addr = random_address(random, state.rt_family());
  random.fill(state.rule);
  random.fill(state.anchor);
  random.fill(state.nat_rule);
  random.fill(state.creation_s);
  random.fill(state.expire_s);
  random.fill(state.packets);
  random.fill(state.bytes);
  state.direction = static_cast<Direction>(random.below(256));
  random.fill(state.log);
  state.timeout = static_cast<std::uint8_t>(random.below(26));
  some(state.state_flags);
  some(state.sync_flags);
  if (random.one_in(2)) state.rt = static_cast<std::uint8_t>(random.below(5));
  some(state.min_ttl);
  some(state.set_tos);
  some(state.set_prio);
  some(state.max_mss);
  if (random.one_in(2)) state.rtableid.fill(static_cast<std::int32_t>(random.below(4)) - 1);
  if (random.one_in(8)) random.fill(state.rtableid[stack_side]);
  if (random.one_in(2)) state.rt_ifname = random_name<16>(random);
  some(state.qid);
  some(state.pqid);
  some(state.dnpipe);
  some(state.dnrpipe);
  some(state.rdomain);
  if (random.one_in(2)) state.orig_ifname = random_name<16>(random);
  if (state.orig_ifname == state.ifname) state.orig_ifname = {};
  if (random.one_in(2)) state.tag = random_name<64>(random);
  return state;
}

}  // namespace pfsync::wire::test
