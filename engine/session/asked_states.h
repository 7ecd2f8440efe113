#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "statetable/hash.h"
#include "statetable/time.h"
#include "wire/state.h"

namespace pfsync::engine {

/// Which states were asked for within the last second, so that none is asked for more often: a peer that cannot deliver
/// would otherwise be asked with each of its updates. Fixed memory, places in sets of eight. A place is free again
/// after its second; nobody is displaced before. Thread-bound.
class AskedStates {
 public:
  using Hash = statetable::Hash;
  using Instant = statetable::Instant;
  static constexpr std::chrono::seconds once_in{1};
  static constexpr std::size_t ways = 8;
  static constexpr std::size_t places_most = 131'072;  ///< 2 MiB

  /// A place for each state that the table may hold, in whole sets, at most places_most.
  explicit AskedStates(std::size_t states_max);

  enum class Turn : std::uint8_t { now, lately, no_place };
  /// Whether the state may be asked for: not when it was lately, or when so many others of its set were. Contract:
  /// creatorid is not 0.
  [[nodiscard]] Turn turn_of(wire::StateId id, Hash hash, Instant now) const noexcept;
  /// It is asked for. Contract: turn_of said now.
  void remember(wire::StateId id, Hash hash, Instant now) noexcept;

 private:
  struct Place {
    std::uint64_t id = 0;
    std::uint32_t creatorid = 0;  ///< 0: free
    std::uint32_t at_ms = 0;      ///< what is compared lies within weeks
    [[nodiscard]] bool is_of(wire::StateId state) const noexcept {
      return id == state.id && creatorid == state.creatorid;
    }
    [[nodiscard]] bool is_free(std::uint32_t now_ms) const noexcept;
  };
  struct alignas(128) Set : std::array<Place, ways> {};

  [[nodiscard]] std::size_t set_of(Hash hash) const noexcept { return hash.value() % sets_.size(); }

  std::vector<Set> sets_;
};

}  // namespace pfsync::engine
