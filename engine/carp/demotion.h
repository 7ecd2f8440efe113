#pragma once

#include <array>
#include <cstdint>
#include <string_view>

#include "engine/carp/journal.h"
#include "engine/published.h"
#include "statetable/time.h"

namespace pfsync::engine::carp {

/// How far this node stands back, and why: a sum of named parts, never a bare number, so that nothing can leak and
/// "reset" has a meaning. One for all ports of a node. Thread-bound (the data
/// path's) but for what says otherwise.
class Demotion {
 public:
  static constexpr int factor = 240;  ///< of each cause but the operator's; the kernels' default

  explicit Demotion(Journal& journal) noexcept : journal_{&journal} {}

  /// One more, or one less, of whoever suffers from `cause`; it counts once however many there are.
  /// Differs: FreeBSD adds the factor once per VHID, and so reaches 2880 with twelve on a dead port.
  void add(Cause cause, Instant now) noexcept {
    set(cause, holders_[index(cause)]++ == 0 ? factor : parts_[index(cause)], now, true);
  }
  void remove(Cause cause, Instant now) noexcept {
    if (holders_[index(cause)] > 0 && --holders_[index(cause)] == 0) set(cause, 0, now, false);
  }
  /// The same for a cause with one holder: as it is now, however often it is said.
  void hold(Cause cause, bool on, Instant now) noexcept { set(cause, on ? factor : 0, now, on); }
  /// The operator's own part; it may be negative.
  void order(int value, Instant now) noexcept { set(Cause::operators, value, now, value != 0); }

  [[nodiscard]] int total() const noexcept {
    int sum = 0;
    for (const int part : parts_) sum += part;
    return sum;
  }
  [[nodiscard]] int part(Cause cause) const noexcept { return parts_[index(cause)]; }
  /// How many causes there are: OpenBSD's demote count.
  [[nodiscard]] std::uint8_t count() const noexcept {
    std::uint8_t causes = 0;
    for (const int part : parts_) causes = static_cast<std::uint8_t>(causes + (part != 0 ? 1 : 0));
    return causes;
  }
  /// Changes with every change of the sum: who advertises says so at once.
  [[nodiscard]] std::uint64_t generation() const noexcept { return generation_; }
  using Parts = std::array<int, cause_count>;
  /// The parts by Cause. Any thread.
  [[nodiscard]] Parts seen() const noexcept { return published_.read(); }

 private:
  static constexpr std::size_t index(Cause cause) noexcept { return static_cast<std::size_t>(cause); }
  void set(Cause cause, int value, Instant now, bool on) noexcept {
    const int delta = value - parts_[index(cause)];
    if (delta == 0) return;
    parts_[index(cause)] = value;
    ++generation_;
    published_.publish(parts_);
    journal_->push(
        {.kind = Entry::Kind::demoted, .at = now, .cause = cause, .on = on, .delta = delta, .total = total()});
  }

  Journal* journal_;
  Parts parts_{};
  Published<Parts> published_{};
  std::array<unsigned, cause_count> holders_{};
  std::uint64_t generation_ = 0;
};

}  // namespace pfsync::engine::carp
