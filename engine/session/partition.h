#pragma once

#include <algorithm>
#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "engine/ring.h"
#include "statetable/connection.h"
#include "wire/state.h"

namespace pfsync::engine {

/// What the parts of one node have in common: sessions that share a table, each the only writer of its shards and on a
/// core of its own. All parts are given the same packets in the same order (engine/session/partitioned_session.h), so
/// that each has numbered the clears alike. No lock: words that one part writes and others read, and two that all
/// change.
class Partition {
 public:
  static constexpr unsigned parts_max = 8;
  static constexpr std::size_t peers_max = 64;

  /// Contract: 1 to parts_max parts.
  explicit Partition(unsigned parts) : shared_(parts), boxes_(std::size_t{parts} * parts) {
    for (auto& box : boxes_) box = std::make_unique<Box>();
  }
  [[nodiscard]] unsigned parts() const noexcept { return static_cast<unsigned>(shared_.size()); }
  /// The shards of part i are those from first_shard(i) to first_shard(i + 1).
  [[nodiscard]] std::size_t first_shard(unsigned part, std::size_t shards) const noexcept {
    return part * shards / parts();
  }

  [[nodiscard]] unsigned owner_of(std::size_t shard, std::size_t shards) const noexcept {
    unsigned part = 0;
    while (part + 1 < parts() && shard >= first_shard(part + 1, shards)) ++part;
    return part;
  }

  // --- how many states there are, exactly, whoever enters them -----------------------------------------
  [[nodiscard]] std::size_t states() const noexcept { return states_.load(std::memory_order_relaxed); }
  [[nodiscard]] bool take_place(std::size_t states_max) noexcept {
    std::size_t states = states_.load(std::memory_order_relaxed);
    while (states < states_max)
      if (states_.compare_exchange_weak(states, states + 1, std::memory_order_relaxed)) return true;
    return false;
  }
  void give_place_back() noexcept { states_.fetch_sub(1, std::memory_order_relaxed); }

  // --- one state a connection --------------------------------------------------------------------------
  /// Before a part looks whether others have the connection of a state that it is about to enter: false when another
  /// part is entering one just now. Of two parts each tells first and looks afterwards, so that one sees the other.
  [[nodiscard]] bool begin_insert(unsigned part, const statetable::Beside& beside) noexcept {
    shared_[part].wire.store(beside.wire.value() | 1, std::memory_order_seq_cst);
    shared_[part].stack.store(beside.stack.value() | 1, std::memory_order_seq_cst);
    for (unsigned other = 0; other < parts(); ++other) {
      if (other == part) continue;
      for (const auto* side : {&shared_[other].wire, &shared_[other].stack}) {
        const std::uint64_t entering = side->load(std::memory_order_seq_cst);
        if (entering == (beside.wire.value() | 1) || entering == (beside.stack.value() | 1)) return false;
      }
    }
    return true;
  }
  /// It stands in the table now, or it was refused.
  void end_insert(unsigned part) noexcept {
    shared_[part].wire.store(0, std::memory_order_release);
    shared_[part].stack.store(0, std::memory_order_release);
  }
  /// Asks another part to remove a state that gives way to one of ours; false when it has too much to do.
  [[nodiscard]] bool ask_to_remove(unsigned from, unsigned owner, wire::StateId id) noexcept {
    return box(from, owner).push(id);
  }
  /// Calls f(id) for each state that others want removed. Returns how many there were.
  template <class F>
  std::size_t serve(unsigned owner, F&& f) noexcept {
    std::size_t served = 0;
    for (unsigned from = 0; from < parts(); ++from) {
      if (from == owner) continue;
      for (; const auto id = box(from, owner).pop(); ++served) f(*id);
    }
    return served;
  }

  // --- clears ------------------------------------------------------------------------------------------
  // A peer that is told to clear removes what it has of a creator, whichever part told it. So one clear leaves, after
  // all that was said before by any part and before all that is said after: the first part tells it once all have
  // cleared, and who has cleared says nothing until it has left.

  /// A part has carried out its clear of that number (from 1), and removed so many states.
  void cleared(unsigned part, std::uint64_t number, std::size_t removed) noexcept {
    shared_[part].removed.store(shared_[part].removed.load(std::memory_order_relaxed) + removed,
                                std::memory_order_relaxed);
    shared_[part].cleared.store(number, std::memory_order_release);
  }
  [[nodiscard]] bool have_all_cleared(std::uint64_t number) const noexcept {
    return std::all_of(shared_.begin(), shared_.end(),
                       [number](const OfPart& part) { return part.cleared.load(std::memory_order_acquire) >= number; });
  }
  /// What all parts ever removed by clears.
  [[nodiscard]] std::uint64_t removed_by_clears() const noexcept {
    std::uint64_t sum = 0;
    for (const OfPart& part : shared_) sum += part.removed.load(std::memory_order_relaxed);
    return sum;
  }
  /// First part: a peer has been told of all clears up to that number.
  void told(std::size_t peer, std::uint64_t number) noexcept { told_[peer].store(number, std::memory_order_release); }
  [[nodiscard]] std::uint64_t told(std::size_t peer) const noexcept {
    return told_[peer].load(std::memory_order_acquire);
  }

 private:
  using Box = Ring<wire::StateId, 1024>;
  struct alignas(64) OfPart {
    std::atomic<std::uint64_t> wire{0}, stack{0};  ///< hashes of the connection that is being entered; 0: none is
    std::atomic<std::uint64_t> cleared{0}, removed{0};
  };
  [[nodiscard]] Box& box(unsigned from, unsigned to) noexcept { return *boxes_[std::size_t{from} * parts() + to]; }

  std::vector<OfPart> shared_;
  std::vector<std::unique_ptr<Box>> boxes_;
  alignas(64) std::atomic<std::size_t> states_{0};
  alignas(64) std::array<std::atomic<std::uint64_t>, peers_max> told_{};
};

}  // namespace pfsync::engine
