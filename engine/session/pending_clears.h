#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

#include "statetable/time.h"
#include "wire/state.h"

namespace pfsync::engine {

/// Clears that are carried out little by little: one walk over all states serves all that wait. Bounded, and so is what
/// one source may have waiting, so that whoever clears at random leaves room for others. Thread-bound.
class PendingClears {
 public:
  using Seconds = statetable::Seconds;
  static constexpr std::size_t places = 32;
  static constexpr std::size_t places_each = 4;

  struct Pending {
    wire::Clear clear{};
    unsigned from = 0;        ///< the peer
    std::uint8_t source = 0;  ///< which of the peer's sources
    Seconds at_s = 0;         ///< when it came: what began later is not meant
    std::size_t left = 0;     ///< slots that the walk has not come by since
  };

  /// `slots`: the whole way round. The same clear once more is the same walk, begun anew. False: no room.
  [[nodiscard]] bool add(const wire::Clear& clear, unsigned from, std::uint8_t source, Seconds at_s,
                         std::size_t slots) noexcept;
  [[nodiscard]] bool empty() const noexcept { return count_ == 0; }
  /// Calls f(pending) for those of the creator, until one says that the state is meant; returns that one or null.
  template <class F>
  [[nodiscard]] const Pending* find(std::uint32_t creatorid, F&& f) const noexcept {
    for (std::size_t i = 0; i < count_; ++i)
      if (creators_[i] == creatorid && f(pending_[i])) return &pending_[i];
    return nullptr;
  }
  /// The walk has come by so many slots.
  void passed(std::size_t slots) noexcept;
  /// The peers have other places: nobody said what waits.
  void said_by(unsigned nobody) noexcept {
    for (Pending& pending : std::span{pending_}.first(count_)) pending.from = nobody;
  }

 private:
  std::array<std::uint32_t, places> creators_{};  ///< of pending_[i]: dense, since each state is compared with all
  std::array<Pending, places> pending_{};
  std::size_t count_ = 0;
};

}  // namespace pfsync::engine
