#pragma once

// The only file that includes xxHash.
#define XXH_INLINE_ALL
#include <xxhash.h>

#include <array>
#include <cstdint>

#include "wire/state.h"

namespace pfsync::statetable {

/// Where a state belongs. Ids are sequential and peers may be hostile, so the hash is seeded with a
/// secret; it is never the id itself.
class Hash {
 public:
  constexpr Hash() noexcept = default;
  constexpr explicit Hash(std::uint64_t value) noexcept : value_{value} {}

  /// Bits 56–63 choose the shard, 40–55 are the tag, 0–39 choose the bucket.
  [[nodiscard]] constexpr std::uint32_t shard(unsigned shard_bits) const noexcept {
    return shard_bits == 0 ? 0 : static_cast<std::uint32_t>(value_ >> (64 - shard_bits));
  }
  /// Never 0: an empty place in a bucket has tag 0.
  [[nodiscard]] constexpr std::uint16_t tag() const noexcept {
    const auto tag = static_cast<std::uint16_t>(value_ >> 40);
    return tag == 0 ? std::uint16_t{1} : tag;
  }
  [[nodiscard]] constexpr std::uint64_t bucket(std::uint64_t mask) const noexcept { return value_ & mask; }
  [[nodiscard]] constexpr std::uint64_t value() const noexcept { return value_; }

 private:
  std::uint64_t value_ = 0;
};

[[nodiscard]] inline Hash hash_of(wire::StateId id, std::uint64_t seed) noexcept {
  // 16 bytes, not 12: XXH3 reads the last 8, and those of 12 would lie across both numbers, so that they
  // would have to leave the core first.
  const std::array<std::uint64_t, 2> key{id.id, id.creatorid};
  return Hash{XXH3_64bits_withSeed(key.data(), sizeof key, seed)};
}

struct Hash128 {
  std::uint64_t low = 0;
  std::uint64_t high = 0;
};

/// Unseeded, so that two nodes get the same value for the same bytes.
[[nodiscard]] inline Hash128 content_hash(const void* bytes, std::size_t size) noexcept {
  const XXH128_hash_t hash = XXH3_128bits(bytes, size);
  return {hash.low64, hash.high64};
}

}  // namespace pfsync::statetable
