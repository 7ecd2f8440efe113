#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <type_traits>

#include "wire/freebsd.h"
#include "wire/lanes.h"
#include "wire/messages.h"
#include "wire/openbsd.h"
#include "wire/state.h"

/// Pieces of records ↔ pieces of values. Private to convert.cc and convert_state.cc.
namespace pfsync::wire {

/// Drops what lies behind the NUL (OpenBSD leaves garbage there in CLR) and ends an unterminated name.
/// From the packet itself: in a copy of the record these loads would lie across two of its stores, and wait.
template <std::size_t N>
[[nodiscard]] Name<N> read_name(const std::uint8_t* chars) noexcept {
  static_assert(N % 8 == 0);
  constexpr std::uint64_t ones = 0x0101010101010101, tops = 0x8080808080808080;
  Name<N> name;
  if (chars[0] == 0) return name;  // tags and route interfaces mostly are
  std::uint64_t keep = ~std::uint64_t{0};
  for (std::size_t at = 0; at < N; at += 8) {
    std::uint64_t word = 0;
    std::memcpy(&word, chars + at, 8);
    if (at + 8 == N) word &= ~std::uint64_t{0} >> 8u;
    // The lowest top bit left is that of the first NUL. Source: A. Mycroft, comp.arch, 1987.
    const std::uint64_t nuls = (word - ones) & ~word & tops;
    word &= keep & (((nuls & -nuls) >> 7u) - 1);
    std::memcpy(name.chars.data() + at, &word, 8);
    if (nuls != 0) keep = 0;
  }
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
  // As one lane: a branch's narrow stores would hold up whoever copies the address next.
  constexpr Lane first_four{0xff, 0xff, 0xff, 0xff};
  constexpr Lane all = ~Lane{};
  Address address;
  store_lane(&address, load_lane(&bytes) & (family == Family::inet ? first_four : all));
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

template <class T>
[[gnu::always_inline]] inline void put(std::uint8_t* to, const T& value) noexcept {
  static_assert(std::is_trivially_copyable_v<T>);
  std::memcpy(to, &value, sizeof value);
}

/// The first bytes of a lane.
template <std::size_t bytes>
[[gnu::always_inline]] inline void put_first(std::uint8_t* to, Lane lane) noexcept {
  static_assert(bytes <= sizeof lane);
  using Words [[gnu::vector_size(16)]] = std::uint64_t;
  // Taken from the register: memcpy of a lane goes by way of the stack.
  const auto words = reinterpret_cast<Words>(lane);
  const std::uint64_t first = words[0], second = words[1];
  std::memcpy(to, &first, std::min<std::size_t>(bytes, 8));
  // cppcheck-suppress invalidFunctionArg ; not compiled for 8 bytes or less
  if constexpr (bytes > 8) std::memcpy(to + 8, &second, bytes - 8);
}

/// Two ports at once.
[[nodiscard]] inline std::uint32_t swapped_pair(const std::array<std::uint16_t, 2>& numbers) noexcept {
  return std::rotl(byte_swapped(std::bit_cast<std::uint32_t>(numbers)), 16);
}

}  // namespace pfsync::wire
