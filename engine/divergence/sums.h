#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "engine/divergence/message.h"
#include "statetable/hash.h"
#include "statetable/table.h"

namespace pfsync::engine::divergence {

/// The 2^bits buckets that states are put into for a comparison, by their identity alone: the same on every node,
/// whatever its shards and cores are.
[[nodiscard]] inline std::uint32_t bucket_of(wire::StateId id, std::uint64_t seed, unsigned bits) noexcept {
  return static_cast<std::uint32_t>(statetable::hash_of(id, seed).value() >> (64 - bits));
}
/// Buckets of some sixteen states each.
[[nodiscard]] unsigned bucket_bits_for(std::size_t states) noexcept;
/// Of the level below one of so many bits.
[[nodiscard]] constexpr unsigned next_level(unsigned bits, unsigned bucket_bits) noexcept {
  return bits + level_bits < bucket_bits ? bits + level_bits : bucket_bits;
}

/// What of a state both nodes must agree on, as one number; nullopt: the state is not here. Of those that are never
/// announced (pf's no-sync, a sync.rule) `with_unsynced` decides.
[[nodiscard]] std::optional<Sum> sum_of(const statetable::TableReader& reader, wire::StateId id, bool with_unsynced);

/// The sums of a table's buckets, as they were during one walk: a state that changed meanwhile is in it once, as it was
/// or as it became. 8 bytes a bucket, 8 MiB at most. Units of time: some 150 ns a state.
class BucketSums {
 public:
  BucketSums(const statetable::TableReader& reader, std::uint64_t seed, unsigned bits);

  [[nodiscard]] std::uint64_t seed() const noexcept { return seed_; }
  [[nodiscard]] unsigned bits() const noexcept { return bits_; }
  /// How many states were seen.
  [[nodiscard]] std::uint64_t states() const noexcept { return states_; }
  /// Of one bucket of a level. Contract: level <= bits(), bucket < 2^level.
  [[nodiscard]] Sum sum(unsigned level, std::uint32_t bucket) const noexcept;
  /// Of all children of a bucket, behind what is in `into`.
  void add_children(unsigned level, std::uint32_t parent, std::vector<Sum>& into) const;

 private:
  std::uint64_t seed_;
  unsigned bits_;
  std::uint64_t states_ = 0;
  std::vector<Sum> sums_;
};

/// The states of some buckets, in the order of the buckets as they were given, those of one bucket by id. nullopt: of
/// the first bucket alone there are more than `most`. `taken`: how many of the buckets are in it, as many as fit.
/// Contract: no bucket twice.
[[nodiscard]] std::optional<std::vector<Entry>> list_buckets(const statetable::TableReader& reader, std::uint64_t seed,
                                                             unsigned bits, std::span<const std::uint32_t> buckets,
                                                             std::size_t most, std::size_t& taken);

}  // namespace pfsync::engine::divergence
