#include "engine/divergence/sums.h"

#include <algorithm>
#include <array>
#include <bit>

#include "statetable/digest.h"

namespace pfsync::engine::divergence {
namespace {

constexpr std::size_t at_once = 256;

bool is_unsynced(const statetable::Snapshot& found) noexcept {
  return (found.hot.state_flags & wire::state_flag::nosync) != 0;
}

}  // namespace

unsigned bucket_bits_for(std::size_t states) noexcept {
  return std::clamp(static_cast<unsigned>(std::bit_width(states / 16)), bucket_bits_min, bucket_bits_max);
}

std::optional<Sum> sum_of(const statetable::TableReader& reader, wire::StateId id, bool with_unsynced) {
  const auto found = reader.find(id);
  if (!found || (is_unsynced(*found) && !with_unsynced)) return std::nullopt;
  return statetable::digest_of(*found).low;
}

BucketSums::BucketSums(const statetable::TableReader& reader, std::uint64_t seed, unsigned bits)
    : seed_{seed}, bits_{bits}, sums_(std::size_t{1} << bits) {
  statetable::TableReader::Cursor cursor;
  while (const auto found = reader.next(cursor)) {
    if (is_unsynced(*found)) continue;
    sums_[bucket_of(found->hot.id, seed, bits)] += statetable::digest_of(*found).low;
    ++states_;
  }
}

Sum BucketSums::sum(unsigned level, std::uint32_t bucket) const noexcept {
  const std::size_t below = std::size_t{1} << (bits_ - level);
  Sum sum = 0;
  for (std::size_t i = 0; i < below; ++i) sum += sums_[bucket * below + i];
  return sum;
}

void BucketSums::add_children(unsigned level, std::uint32_t parent, std::vector<Sum>& into) const {
  const unsigned next = next_level(level, bits_);
  const std::uint32_t children = std::uint32_t{1} << (next - level);
  for (std::uint32_t i = 0; i < children; ++i) into.push_back(sum(next, parent * children + i));
}

std::optional<std::vector<Entry>> list_buckets(const statetable::TableReader& reader, std::uint64_t seed, unsigned bits,
                                               std::span<const std::uint32_t> buckets, std::size_t most,
                                               std::size_t& taken) {
  // Which bucket is the how many-th, plus one; 0: not wanted.
  std::vector<std::uint32_t> place(std::size_t{1} << bits);
  for (std::size_t i = 0; i < buckets.size(); ++i) place[buckets[i]] = static_cast<std::uint32_t>(i + 1);
  struct Found {
    std::uint32_t place;
    wire::StateId id;
    auto operator<=>(const Found&) const = default;
  };
  std::vector<Found> all;
  std::array<wire::StateId, at_once> ids;
  statetable::TableReader::Cursor cursor;
  const std::size_t kept_max = 2 * most + at_once;
  while (!reader.at_end(cursor)) {
    std::size_t slots = at_once;
    const std::size_t count = reader.next(cursor, ids, slots);
    for (std::size_t i = 0; i < count; ++i)
      if (const std::uint32_t at = place[bucket_of(ids[i], seed, bits)]; at != 0) all.push_back({at, ids[i]});
    if (all.size() < kept_max) continue;
    // More than fit: those of the last buckets go. Memory is bounded, however the states are spread.
    std::nth_element(all.begin(), all.begin() + static_cast<std::ptrdiff_t>(most), all.end());
    const std::uint32_t cut = all[most].place;
    std::erase_if(all, [cut](const Found& found) { return found.place >= cut; });
    if (cut == 1) return std::nullopt;
    for (std::size_t i = cut - 1; i < buckets.size(); ++i) place[buckets[i]] = 0;
    buckets = buckets.first(cut - 1);
  }
  std::sort(all.begin(), all.end());
  all.erase(std::unique(all.begin(), all.end()), all.end());
  taken = buckets.size();
  if (all.size() > most) {
    taken = all[most].place - 1;
    if (taken == 0) return std::nullopt;
    std::erase_if(all, [&](const Found& found) { return found.place > taken; });
  }
  std::vector<Entry> entries;
  entries.reserve(all.size());
  for (const Found& found : all)
    if (const auto sum = sum_of(reader, found.id, false)) entries.push_back({found.id, *sum});
  return entries;
}

}  // namespace pfsync::engine::divergence
