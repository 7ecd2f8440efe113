#pragma once

#include <array>
#include <bit>
#include <concepts>
#include <cstdint>

namespace pfsync::wire {

template <std::unsigned_integral T>
[[nodiscard]] constexpr T byte_swapped(T value) noexcept {
  static_assert(sizeof(T) <= 8);
  if constexpr (sizeof(T) == 8)
    return __builtin_bswap64(value);
  else if constexpr (sizeof(T) == 4)
    return __builtin_bswap32(value);
  else if constexpr (sizeof(T) == 2)
    return __builtin_bswap16(value);
  else
    return value;
}

/// A big-endian unsigned integer as it lies in a packet: alignment 1, any host order.
/// Conversion is always spelled out, in both directions: an implicit one would let `field = x`
/// mean two different things depending on the byte order of `x`.
template <std::unsigned_integral T>
class Be {
 public:
  constexpr Be() noexcept = default;
  constexpr explicit Be(T host) noexcept : bytes_{std::bit_cast<Bytes>(ordered(host))} {}

  [[nodiscard]] constexpr T host() const noexcept { return ordered(std::bit_cast<T>(bytes_)); }

  friend constexpr bool operator==(const Be&, const Be&) noexcept = default;

 private:
  using Bytes = std::array<std::uint8_t, sizeof(T)>;  // bytes rather than T, so that alignof is 1

  static constexpr T ordered(T value) noexcept {
    if constexpr (std::endian::native == std::endian::little) return byte_swapped(value);
    return value;
  }

  Bytes bytes_{};
};

using Be16 = Be<std::uint16_t>;
using Be32 = Be<std::uint32_t>;
using Be64 = Be<std::uint64_t>;

static_assert(sizeof(Be16) == 2 && alignof(Be16) == 1);
static_assert(sizeof(Be32) == 4 && alignof(Be32) == 1);
static_assert(sizeof(Be64) == 8 && alignof(Be64) == 1);

}  // namespace pfsync::wire
