#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace pfsync::engine::http {

using Sha256 = std::array<std::uint8_t, 32>;

/// From the system's generator. Throws std::runtime_error when there is none, which is no state to go on in.
[[nodiscard]] std::array<std::uint8_t, 32> random_256();
[[nodiscard]] Sha256 sha256(std::string_view bytes);
[[nodiscard]] Sha256 hmac_sha256(std::span<const std::uint8_t> key, std::string_view bytes);
/// Takes as long for any two texts of these lengths.
[[nodiscard]] bool same(std::string_view one, std::string_view other);

/// What scrypt costs: 128 · 2^log2_n · r bytes, for p rounds.
struct ScryptCost {
  unsigned log2_n = 14;
  unsigned r = 8;
  unsigned p = 5;
  /// 16 MiB and some 0.2 s, of the equal choices of the OWASP list the one that takes least memory.
  friend bool operator==(const ScryptCost&, const ScryptCost&) = default;
};
/// Of a password and a salt; nullopt when the memory is not there or the cost is none that OpenSSL takes.
[[nodiscard]] std::optional<std::array<std::uint8_t, 32>> scrypt(std::string_view password,
                                                                 std::span<const std::uint8_t> salt,
                                                                 const ScryptCost& cost);

}  // namespace pfsync::engine::http
