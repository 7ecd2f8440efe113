#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <string_view>

#include "engine/carp/journal.h"
#include "engine/published.h"
#include "statetable/time.h"

namespace pfsync::engine::carp {

/// How far a node's table of states can be relied upon.
enum class Sync : std::uint8_t {
  complete,   ///< a bulk update has come to its end, or none is wanted
  under_way,  ///< a bulk update
  missing,    ///< none has come to its end yet, or the sync link is down
};

/// How far this node stands back, and why: a sum of named parts, never a bare number, so that nothing can leak and
/// "reset" has a meaning. One for all ports of a node. Thread-bound (the data
/// path's) but for what says otherwise.
class Demotion {
 public:
  static constexpr int factor = 240;  ///< of each cause but the operator's; the kernels' default

  explicit Demotion(Journal& journal) noexcept : journal_{&journal} {}

  /// One more, or one less, of whoever suffers from `cause`; it counts once however many there are.
  /// Differs: FreeBSD adds the factor once per VHID, and so reaches 2880 with twelve on a dead port.
  void add(Cause cause, std::uint8_t port, Instant now) noexcept {
    set(holders_[index(cause)]++ == 0 ? factor : parts_[index(cause)],
        {.kind = Entry::Kind::demoted, .at = now, .port = port, .cause = cause, .on = true});
  }
  void remove(Cause cause, std::uint8_t port, Instant now) noexcept {
    if (holders_[index(cause)] > 0 && --holders_[index(cause)] == 0)
      set(0, {.kind = Entry::Kind::demoted, .at = now, .port = port, .cause = cause});
  }
  /// The same for a cause with one holder: as it is now, however often it is said.
  void hold(Cause cause, bool on, Instant now) noexcept {
    set(on ? factor : 0, {.kind = Entry::Kind::demoted, .at = now, .cause = cause, .on = on});
  }
  /// The operator's own part; it may be negative.
  void order(int value, Instant now) noexcept {
    set(value, {.kind = Entry::Kind::demoted, .at = now, .cause = Cause::operators, .on = value != 0});
  }
  /// Where the node's table of states stands, as it is now. While a bulk update is under way the node stands back;
  /// that ends with the bulk update, however it ends. But it takes over from a slower master only while in sync: that
  /// one has the states that are missing here. Differs: the kernels take over after a bulk update that failed, too.
  void follow(Sync sync, Instant now) noexcept {
    if (sync == sync_) return;
    const bool may_preempt = sync == Sync::complete;
    if (may_preempt_.exchange(may_preempt, std::memory_order_relaxed) != may_preempt)
      journal_->push({.kind = Entry::Kind::sync, .at = now, .on = may_preempt});
    sync_ = sync;
    const bool under_way = sync == Sync::under_way;
    set(under_way ? factor : 0, {.kind = Entry::Kind::demoted,
                                 .at = now,
                                 .cause = Cause::bulk_update,
                                 .on = under_way,
                                 .failed = sync == Sync::missing});
  }
  /// Whether a backup takes over from a slower master. Any thread.
  [[nodiscard]] bool may_preempt() const noexcept {
    return may_preempt_.load(std::memory_order_relaxed);  // a flag alone: pairs with nothing
  }

  [[nodiscard]] int total() const noexcept {
    int sum = 0;
    for (const int part : parts_) sum += part;
    return sum;
  }
  [[nodiscard]] int part(Cause cause) const noexcept { return parts_[index(cause)]; }
  /// How many causes there are to stand back: OpenBSD's demote count.
  [[nodiscard]] std::uint8_t count() const noexcept {
    std::uint8_t causes = 0;
    for (const int part : parts_) causes = static_cast<std::uint8_t>(causes + (part > 0 ? 1 : 0));
    return causes;
  }
  /// Changes with every change of the sum: who advertises says so at once. Any thread.
  [[nodiscard]] std::uint64_t generation() const noexcept {
    return generation_.load(std::memory_order_relaxed);  // a number alone: pairs with nothing
  }
  using Parts = std::array<int, cause_count>;
  /// The parts by Cause. Any thread.
  [[nodiscard]] Parts seen() const noexcept { return published_.read(); }
  /// Their sum. Any thread.
  [[nodiscard]] int seen_total() const noexcept {
    int sum = 0;
    for (const int part : seen()) sum += part;
    return sum;
  }

 private:
  static constexpr std::size_t index(Cause cause) noexcept { return static_cast<std::size_t>(cause); }
  void set(int value, Entry entry) noexcept {
    int& part = parts_[index(entry.cause)];
    entry.delta = value - part;
    if (entry.delta == 0) return;
    part = value;
    generation_.store(generation() + 1, std::memory_order_relaxed);
    published_.publish(parts_);
    entry.total = total();
    journal_->push(entry);
  }

  Journal* journal_;
  Parts parts_{};
  Published<Parts> published_{};
  std::array<unsigned, cause_count> holders_{};
  Sync sync_ = Sync::complete;
  std::atomic<bool> may_preempt_{true};
  std::atomic<std::uint64_t> generation_{0};
};

}  // namespace pfsync::engine::carp
