#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <limits>

namespace pfsync::engine {

/// Who brought how many of the states that are held, by numbers that the states keep. While the table is full, who has
/// most gives room to who has far less, so that each can have as much as any other however much that one wants, and all
/// that the others leave. Thread-bound.
class PlaceShares {
 public:
  using Number = std::uint8_t;
  static constexpr Number here = 0;      ///< made by this node: for nobody's sake given up
  static constexpr Number restored = 1;  ///< of a former life
  static constexpr Number others = 2;    ///< of all sources without a number
  static constexpr std::size_t numbers =
      std::numeric_limits<Number>::max();  ///< the last is no state's: HotEntry::meta
  /// Of two that have about as much neither gives room to the other: they would go on for ever.
  static constexpr std::size_t margin = 32;

  /// A number that nobody has and no state; `others` when there is none left. It goes with a source's place in its
  /// peer's dialect, and so do its states when the place is given to another: who invents sources has no more numbers
  /// by that.
  [[nodiscard]] Number take() noexcept {
    for (std::size_t i = others + 1u; i < shares_.size(); ++i)
      if (!shares_[i].is_taken && shares_[i].states == 0) {
        shares_[i].is_taken = true;
        return static_cast<Number>(i);
      }
    return others;
  }
  /// Nobody has it any more; its states may stay.
  void give_back(Number number) noexcept { shares_[number].is_taken = false; }

  void entered(Number number) noexcept { ++shares_[number].states; }
  void left(Number number) noexcept { --shares_[number].states; }
  [[nodiscard]] std::size_t states(Number number) const noexcept { return shares_[number].states; }

  /// Whose state has to make room for one of `number`; `number` itself: nobody's has.
  [[nodiscard]] Number who_gives_room_to(Number number) const noexcept {
    const auto most = std::max_element(shares_.begin() + restored, shares_.end(),
                                       [](const Share& a, const Share& b) { return a.states < b.states; });
    return most->states > shares_[number].states + margin ? static_cast<Number>(most - shares_.begin()) : number;
  }

 private:
  struct Share {
    std::size_t states = 0;
    bool is_taken = false;
  };
  std::array<Share, numbers> shares_{};
};

}  // namespace pfsync::engine
