#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstring>

#include "wire/freebsd.h"
#include "wire/messages.h"
#include "wire/openbsd.h"
#include "wire/state.h"

/// Pieces of records ↔ pieces of values. Private to convert.cc and convert_state.cc.
namespace pfsync::wire {

[[nodiscard]] inline Peer to_peer(const PeerRecord& record) noexcept {
  return Peer{.scrub = {.pfss_ts_mod = record.scrub.pfss_ts_mod.host(),
                        .pfss_flags = record.scrub.pfss_flags.host(),
                        .pfss_ttl = record.scrub.pfss_ttl,
                        .scrub_flag = record.scrub.scrub_flag},
              .seqlo = record.seqlo.host(),
              .seqhi = record.seqhi.host(),
              .seqdiff = record.seqdiff.host(),
              .max_win = record.max_win.host(),
              .mss = record.mss.host(),
              .state = record.state,
              .wscale = record.wscale};
}

[[nodiscard]] inline PeerRecord to_record(const Peer& peer) noexcept {
  return PeerRecord{.scrub = {Be16{peer.scrub.pfss_flags}, peer.scrub.pfss_ttl, peer.scrub.scrub_flag,
                              Be32{peer.scrub.pfss_ts_mod}},
                    .seqlo = Be32{peer.seqlo},
                    .seqhi = Be32{peer.seqhi},
                    .seqdiff = Be32{peer.seqdiff},
                    .max_win = Be16{peer.max_win},
                    .mss = Be16{peer.mss},
                    .state = peer.state,
                    .wscale = peer.wscale,
                    .pad = {}};
}

/// Drops what lies behind the NUL (OpenBSD leaves garbage there in CLR) and ends an unterminated name.
template <std::size_t N>
[[nodiscard]] Name<N> to_name(const std::array<char, N>& chars) noexcept {
  Name<N> name;
  const void* end = std::memchr(chars.data(), 0, N - 1);
  const std::size_t size = end == nullptr ? N - 1 : static_cast<std::size_t>(static_cast<const char*>(end) - chars.data());
  std::memcpy(name.chars.data(), chars.data(), size);
  return name;
}

[[nodiscard]] inline Family freebsd_family(std::uint8_t af) noexcept {
  if (af == freebsd::af_inet) return Family::inet;
  return af == freebsd::af_inet6 ? Family::inet6 : Family::none;
}

[[nodiscard]] inline std::uint8_t freebsd_af(Family family) noexcept {
  if (family == Family::inet) return freebsd::af_inet;
  return family == Family::inet6 ? freebsd::af_inet6 : 0;
}

[[nodiscard]] inline Family openbsd_family(std::uint8_t af) noexcept {
  if (af == openbsd::af_inet) return Family::inet;
  return af == openbsd::af_inet6 ? Family::inet6 : Family::none;
}

[[nodiscard]] inline std::uint8_t openbsd_af(Family family) noexcept {
  if (family == Family::inet) return openbsd::af_inet;
  return family == Family::inet6 ? openbsd::af_inet6 : 0;
}

/// Only the first 4 bytes of an IPv4 address mean anything; a peer's rubbish behind them must neither
/// reach another kernel (which compares all 16) nor make two equal keys differ here.
[[nodiscard]] inline Address to_address(const std::array<std::uint8_t, 16>& bytes, Family family) noexcept {
  Address address{bytes};
  if (family == Family::inet) std::fill(address.bytes.begin() + 4, address.bytes.end(), std::uint8_t{0});
  return address;
}

/// From freebsd::KeyRecord or openbsd::KeyRecord.
template <class KeyRecord>
[[nodiscard]] Key to_key(const KeyRecord& record, Family family) noexcept {
  return Key{.addr = {to_address(record.addr[0], family), to_address(record.addr[1], family)},
             .port = {record.port[0].host(), record.port[1].host()}};
}

/// -1 and other negative numbers travel as two's complement.
[[nodiscard]] inline std::int32_t to_signed(Be32 field) noexcept { return static_cast<std::int32_t>(field.host()); }
[[nodiscard]] inline Be32 to_be32(std::int32_t value) noexcept { return Be32{static_cast<std::uint32_t>(value)}; }

}  // namespace pfsync::wire
