#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "statetable/fetch.h"
#include "statetable/hash.h"
#include "statetable/time.h"
#include "wire/state.h"

namespace pfsync::engine {

/// Which states were removed lately: places in sets of a few, where the oldest makes room. Ids are never
/// used again, but a peer's frame that was on its way when the state ended would bring it back to life.
class RemovedStates {
 public:
  using Hash = statetable::Hash;
  using Seconds = statetable::Seconds;
  static constexpr Seconds remembered_s = 10;  ///< longer than a change waits for its packet, and a packet on its way

  explicit RemovedStates(std::size_t states_max);
  /// `was_here`: of one that was not, anybody can tell any number: those displace only each other.
  void remember(wire::StateId id, Hash hash, Seconds now_s, bool was_here = true) noexcept;
  void forget(wire::StateId id, Hash hash, Seconds now_s) noexcept;
  /// For the three others, some time later.
  void prefetch(Hash hash) const noexcept {
    const auto* set = reinterpret_cast<const char*>(&set_of(hash));
    statetable::fetch(set);
    statetable::fetch(set + 64);
  }
  [[nodiscard]] bool has(wire::StateId id, Hash hash, Seconds now_s) const noexcept;

 private:
  struct Place {
    std::uint64_t id = 0;
    std::uint32_t creatorid = 0;
    std::uint32_t at = 0;  ///< the second, and in the last bit whether it was here
    [[nodiscard]] Seconds at_s() const noexcept { return static_cast<Seconds>(at >> 1u); }
    [[nodiscard]] bool was_here() const noexcept { return (at & 1u) != 0; }
    [[nodiscard]] bool counts(Seconds now_s) const noexcept { return std::int64_t{now_s} - at_s() <= remembered_s; }
    [[nodiscard]] bool is_of(wire::StateId state) const noexcept {
      return id == state.id && creatorid == state.creatorid;
    }
  };
  static constexpr std::size_t ways = 8;
  struct alignas(128) Set : std::array<Place, ways> {};

  [[nodiscard]] Set& set_of(Hash hash) noexcept { return sets_[hash.value() % sets_.size()]; }
  [[nodiscard]] const Set& set_of(Hash hash) const noexcept { return sets_[hash.value() % sets_.size()]; }

  /// Nothing that is remembered still counts: no look at memory is needed.
  [[nodiscard]] bool is_over(Seconds now_s) const noexcept { return std::int64_t{now_s} - newest_s_ > remembered_s; }

  std::vector<Set> sets_;
  std::int64_t newest_s_ = -2 * remembered_s;
};

/// Whose states were cleared lately, for those of them that are not remembered one by one: a state that began before
/// the clear ended with it, however many there were. Bounded: of too many clears the oldest is forgotten.
class RecentClears {
 public:
  using Seconds = statetable::Seconds;
  static constexpr std::size_t places = 32;
  /// A state's age comes in whole seconds, and each node that it passes may be one off: one that seems to have begun no
  /// longer than this before the clear may be new.
  static constexpr Seconds uncertain_s = 3;
  /// Such states are remembered one by one (RemovedStates), and some more for messages that are long under way.
  [[nodiscard]] static constexpr bool may_seem_new(Seconds created_s, Seconds now_s) noexcept {
    return std::int64_t{created_s} + 2 * uncertain_s >= now_s;
  }

  /// `is_own`: of this node's own states. Whatever of them began later is held here. Returns false when that made a
  /// clear be forgotten that still counted.
  bool remember(const wire::Clear& clear, bool is_own, Seconds now_s) noexcept;
  /// Whether a state that is not held here ended with a clear.
  [[nodiscard]] bool has_ended(const wire::State& state, Seconds now_s) const noexcept;
  /// The same when no more than its id is known: only an own one's end is certain then.
  [[nodiscard]] bool has_ended(wire::StateId id, Seconds now_s) const noexcept;

 private:
  struct Place {
    wire::Clear clear{};
    bool is_own = false;
    std::int64_t at_s = -2 * RemovedStates::remembered_s;
  };
  [[nodiscard]] static bool counts(const Place& place, Seconds now_s) noexcept {
    return now_s - place.at_s <= RemovedStates::remembered_s;
  }

  std::array<Place, places> places_{};
  std::int64_t newest_s_ = -2 * RemovedStates::remembered_s;
};

}  // namespace pfsync::engine
