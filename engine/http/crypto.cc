#include "engine/http/crypto.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/rand.h>

#include <stdexcept>

namespace pfsync::engine::http {
namespace {

const unsigned char* bytes_of(std::string_view text) { return reinterpret_cast<const unsigned char*>(text.data()); }

}  // namespace

std::array<std::uint8_t, 32> random_256() {
  std::array<std::uint8_t, 32> bytes{};
  if (RAND_bytes(bytes.data(), static_cast<int>(bytes.size())) != 1)
    throw std::runtime_error{"the system gives no random numbers"};
  return bytes;
}

Sha256 sha256(std::string_view bytes) {
  Sha256 digest{};
  if (EVP_Digest(bytes.data(), bytes.size(), digest.data(), nullptr, EVP_sha256(), nullptr) != 1)
    throw std::runtime_error{"OpenSSL gives no SHA-256"};
  return digest;
}

Sha256 hmac_sha256(std::span<const std::uint8_t> key, std::string_view bytes) {
  Sha256 digest{};
  if (HMAC(EVP_sha256(), key.data(), static_cast<int>(key.size()), bytes_of(bytes), bytes.size(), digest.data(),
           nullptr) == nullptr)
    throw std::runtime_error{"OpenSSL gives no HMAC"};
  return digest;
}

bool same(std::string_view one, std::string_view other) {
  return one.size() == other.size() && CRYPTO_memcmp(one.data(), other.data(), one.size()) == 0;
}

std::optional<std::array<std::uint8_t, 32>> scrypt(std::string_view password, std::span<const std::uint8_t> salt,
                                                   const ScryptCost& cost) {
  std::array<std::uint8_t, 32> key{};
  const std::uint64_t n = std::uint64_t{1} << cost.log2_n;
  constexpr std::uint64_t overhead = std::uint64_t{1} << 20u;
  if (EVP_PBE_scrypt(password.data(), password.size(), salt.data(), salt.size(), n, cost.r, cost.p,
                     128 * n * cost.r + overhead, key.data(), key.size()) != 1)
    return std::nullopt;
  return key;
}

}  // namespace pfsync::engine::http
