// The plain SHA1 functions instead of EVP_MAC: an EVP context cannot be copied without allocating, and the
// data path verifies every advertisement. OpenSSL 3 calls them deprecated and keeps them.
#define OPENSSL_SUPPRESS_DEPRECATED
#include "wire/carp_digest.h"

#include <openssl/crypto.h>
#include <openssl/sha.h>

#include <algorithm>
#include <cstring>

namespace pfsync::wire {
namespace {

constexpr std::uint8_t inner_pad = 0x36, outer_pad = 0x5c;  // RFC 2104 section 2

template <class State>
SHA_CTX context_of(const State& state) noexcept {
  SHA_CTX context;
  std::memcpy(&context, state.data(), sizeof context);
  return context;
}

template <class State>
void keep(const SHA_CTX& context, State& state) noexcept {
  static_assert(sizeof(SHA_CTX) <= std::tuple_size_v<State>);
  std::memcpy(state.data(), &context, sizeof context);
}

void absorb(SHA_CTX& context, Bytes bytes) noexcept { SHA1_Update(&context, bytes.data(), bytes.size()); }

SHA_CTX begun(const CarpKey& key, std::uint8_t pad) noexcept {
  std::array<std::uint8_t, SHA_CBLOCK> block;
  block.fill(pad);
  for (std::size_t i = 0; i < key.size(); ++i) block[i] ^= key[i];
  SHA_CTX context;
  SHA1_Init(&context);
  absorb(context, block);
  return context;
}

std::size_t bytes_of(Family family) noexcept { return family == Family::inet ? 4 : 16; }

/// What is hashed for an address: without the scope that kernels keep inside link-local ones.
CarpAddress as_hashed(CarpAddress given) noexcept {
  auto& b = given.address.bytes;
  if (given.family == Family::inet6 && b[0] == 0xfe && (b[1] & 0xc0u) == 0x80) b[2] = b[3] = 0;
  if (given.family == Family::inet) std::fill(b.begin() + 4, b.end(), std::uint8_t{0});
  return given;
}

/// All zeros and all ones are the sentinels of the kernels' loop.
bool is_hashed(const CarpAddress& given) noexcept {
  if (given.family == Family::none) return false;
  const Bytes bytes = Bytes{given.address.bytes}.first(bytes_of(given.family));
  const auto all = [&](std::uint8_t value) {
    return std::all_of(bytes.begin(), bytes.end(), [=](auto b) { return b == value; });
  };
  return !all(0) && !all(0xff);
}

}  // namespace

CarpKey carp_key(std::string_view password) noexcept {
  CarpKey key{};
  // A C string: what follows a NUL never reaches the kernel.
  password = password.substr(0, password.find('\0'));
  std::copy_n(password.begin(), std::min(password.size(), carp_password_max), key.begin());
  return key;
}

std::string as_pfsense_hands_over(std::string_view password) {
  std::string result;
  for (const char c : password) {
    if (c == ' ') continue;
    if (c == '\'' || c == '"' || c == '\\' || c == '\0') result += '\\';
    result += c == '\0' ? '0' : c;
  }
  return result;
}

std::vector<CarpAddress> carp_address_list(std::span<const CarpAddress> addresses) {
  std::vector<CarpAddress> hashed;
  for (const CarpAddress& address : addresses)
    if (const CarpAddress as = as_hashed(address); is_hashed(as)) hashed.push_back(as);
  std::sort(hashed.begin(), hashed.end());  // Family::inet < Family::inet6
  hashed.erase(std::unique(hashed.begin(), hashed.end()), hashed.end());
  return hashed;
}

CarpDigest CarpDigest::of_list(const CarpKey& key, std::uint8_t vhid, std::span<const CarpAddress> list) noexcept {
  CarpDigest digest;
  SHA_CTX inner = begun(key, inner_pad);
  absorb(inner, std::array<std::uint8_t, 3>{carp_version, carp_type_advertisement, vhid});
  for (const CarpAddress& address : list) absorb(inner, Bytes{address.address.bytes}.first(bytes_of(address.family)));
  keep(inner, digest.inner_);
  keep(begun(key, outer_pad), digest.outer_);
  return digest;
}

CarpMd CarpDigest::md(std::uint64_t counter) const noexcept {
  std::array<std::uint8_t, 8> bytes;
  store(Room{bytes}, 0, Be64{counter});
  CarpMd md;
  SHA_CTX context = context_of(inner_);
  absorb(context, bytes);
  SHA1_Final(md.data(), &context);
  context = context_of(outer_);
  absorb(context, md);
  SHA1_Final(md.data(), &context);
  return md;
}

bool CarpDigest::verifies(const CarpAdvert& advert) const noexcept {
  const CarpMd expected = md(advert.counter);
  return CRYPTO_memcmp(expected.data(), advert.md.data(), expected.size()) == 0;
}

}  // namespace pfsync::wire
