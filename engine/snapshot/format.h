#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "statetable/hash.h"

/// How a snapshot lies in its file; README.md tells the same in words. Numbers are little-endian.
namespace pfsync::engine::snapshot {

inline constexpr std::array<std::uint8_t, 8> magic{'p', 'f', 's', 'y', 'n', 'c', 'S', '\n'};
inline constexpr std::uint32_t format_version = 1;
inline constexpr std::uint32_t block_mark = 0x4b434c42;    ///< "BLCK"
inline constexpr std::uint32_t trailer_mark = 0x4c494154;  ///< "TAIL"

/// What stands at the front, beside magic and version.
struct Header {
  std::int64_t written_at_s =
      0;                     ///< wall clock, seconds since 1970: the moment that ages and remaining times count from
  std::uint64_t states = 0;  ///< in the table then; how many the file holds stands in its trailer
  std::uint64_t states_max = 0;  ///< of the table that was written
  std::uint32_t creatorid = 0;   ///< of the node that wrote it

  friend constexpr bool operator==(const Header&, const Header&) noexcept = default;
};

/// What stands at the end.
struct Totals {
  std::uint64_t states = 0;
  std::uint64_t blocks = 0;
  std::uint64_t bytes = 0;  ///< of the file in front of the trailer

  friend constexpr bool operator==(const Totals&, const Totals&) noexcept = default;
};

inline constexpr std::size_t hash_bytes = 16;
inline constexpr std::size_t header_bytes = 8 + 4 + 4 + 3 * 8 + 4 + 4 + hash_bytes;
/// In front of a block's columns: mark, states, bytes of the columns, bytes of them as stored; behind them a hash of
/// all.
inline constexpr std::size_t block_head_bytes = 4 * 4;
inline constexpr std::size_t trailer_bytes = 4 + 4 + 3 * 8 + 2 * hash_bytes;
/// A trailer, too, begins with these.
inline constexpr std::size_t mark_bytes = 4;

using Hash128 = statetable::Hash128;

/// Appends numbers.
class Put {
 public:
  explicit Put(std::vector<std::uint8_t>& out) noexcept : out_{out} {}
  template <class Number>
  Put& number(Number value) {
    for (std::size_t i = 0; i < sizeof value; ++i)
      out_.push_back(static_cast<std::uint8_t>(static_cast<std::uint64_t>(value) >> 8 * i));
    return *this;
  }
  Put& hash(Hash128 hash) { return number(hash.low).number(hash.high); }

 private:
  std::vector<std::uint8_t>& out_;
};

/// Takes numbers from the front. Contract: there are as many bytes.
class Take {
 public:
  explicit Take(std::span<const std::uint8_t> from) noexcept : from_{from} {}
  template <class Number>
  [[nodiscard]] Number number() noexcept {
    std::uint64_t value = 0;
    for (std::size_t i = 0; i < sizeof(Number); ++i) value |= std::uint64_t{from_[i]} << 8 * i;
    from_ = from_.subspan(sizeof(Number));
    return static_cast<Number>(value);
  }
  [[nodiscard]] Hash128 hash() noexcept {
    const auto low = number<std::uint64_t>();
    return {low, number<std::uint64_t>()};
  }

 private:
  std::span<const std::uint8_t> from_;
};

[[nodiscard]] inline bool is_same(Hash128 a, Hash128 b) noexcept { return a.low == b.low && a.high == b.high; }
/// Of header and blocks in their order: `next` is the hash of one more.
[[nodiscard]] inline Hash128 chained(Hash128 before, Hash128 next) noexcept {
  const std::array<std::uint64_t, 4> words{before.low, before.high, next.low, next.high};
  return statetable::content_hash(words.data(), sizeof words);
}

}  // namespace pfsync::engine::snapshot
