#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>

#include "engine/counters.h"
#include "statetable/time.h"

namespace pfsync::engine {

/// How long something took, in classes that double: class i holds what took less than 2^i µs, the last one the rest.
/// One thread adds, any may read.
class Latency {
 public:
  static constexpr std::size_t classes = 24;  ///< the last but one ends at 4 s

  void add(statetable::Duration took) noexcept {
    const auto us = std::chrono::duration_cast<std::chrono::microseconds>(took).count();
    const auto width =
        static_cast<std::size_t>(std::bit_width(static_cast<std::uint64_t>(std::max<std::int64_t>(us, 0))));
    counts_[std::min(width, classes - 1)].add();
    sum_us_.add(static_cast<std::uint64_t>(std::max<std::int64_t>(us, 0)));
  }
  /// Adds what another counted.
  void add(const Latency& other) noexcept {
    for (std::size_t i = 0; i < classes; ++i) counts_[i].add(other.count(i));
    sum_us_.add(other.sum_us());
  }
  [[nodiscard]] std::uint64_t count(std::size_t of_class) const noexcept { return counts_[of_class].value(); }
  [[nodiscard]] std::uint64_t count() const noexcept {
    std::uint64_t sum = 0;
    for (const Counter& counter : counts_) sum += counter.value();
    return sum;
  }
  [[nodiscard]] std::uint64_t sum_us() const noexcept { return sum_us_.value(); }
  /// Upper bound of a class, µs.
  [[nodiscard]] static constexpr std::uint64_t bound_us(std::size_t of_class) noexcept {
    return std::uint64_t{1} << of_class;
  }
  /// The bound, in µs, that so many percent stay below; 0 when there is nothing yet.
  [[nodiscard]] std::uint64_t percentile_us(unsigned percent) const noexcept {
    const std::uint64_t all = count(), wanted = (all * percent + 99) / 100;
    if (all == 0) return 0;
    std::uint64_t seen = 0;
    for (std::size_t i = 0; i < classes; ++i)
      if ((seen += count(i)) >= wanted) return bound_us(i);
    return bound_us(classes - 1);
  }

 private:
  std::array<Counter, classes> counts_{};
  Counter sum_us_;
};

}  // namespace pfsync::engine
