#pragma once

#include <algorithm>
#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "statetable/time.h"
#include "wire/state.h"

namespace pfsync::engine {

/// What came of one state that a peer was asked for, to see whether it has what we have.
enum class SampleVerdict : std::uint8_t {
  same,
  different,
  missing,  ///< no answer, twice: the peer has no such state, or both were lost
  in_flux,  ///< different, but one of the two saw a packet a moment ago
  ended,    ///< gone here before an answer came
};
inline constexpr std::size_t sample_verdicts = 5;
[[nodiscard]] constexpr std::string_view word(SampleVerdict verdict) noexcept {
  constexpr std::array<std::string_view, sample_verdicts> words{"same", "different", "missing", "in_flux", "ended"};
  return words[static_cast<std::size_t>(verdict)];
}

/// The states that peers have been asked for and have not answered yet. A few places, fixed memory. Thread-bound: the
/// session's.
class Samples {
 public:
  using Instant = statetable::Instant;
  static constexpr std::size_t places = 16;
  /// Beyond what a change may wait at the peer: longer than an answer to a request takes.
  static constexpr std::chrono::seconds patience{3};

  struct Sample {
    wire::StateId id{};
    unsigned peer = 0;
    bool is_asked_again = false;
    Instant due{};
  };

  [[nodiscard]] bool is_empty() const noexcept { return count_ == 0; }
  /// False: no place is free, or that peer has been asked for it already.
  [[nodiscard]] bool add(wire::StateId id, unsigned peer, Instant due) noexcept {
    if (count_ == places || find(id, peer) != nullptr) return false;
    all_[count_++] = {id, peer, false, due};
    return true;
  }
  /// Whether the peer was asked for it; then it is no more.
  [[nodiscard]] bool take(wire::StateId id, unsigned peer) noexcept {
    Sample* const found = find(id, peer);
    if (found == nullptr) return false;
    *found = all_[--count_];
    return true;
  }
  /// Calls overdue(sample) for each whose time is over; it stays when that returns true.
  template <class F>
  void on_timeout(Instant now, F&& overdue) noexcept {
    for (std::size_t i = 0; i < count_;) {
      if (now < all_[i].due || overdue(all_[i]))
        ++i;
      else
        all_[i] = all_[--count_];
    }
  }
  /// The peers are others now.
  void clear() noexcept { count_ = 0; }

 private:
  [[nodiscard]] Sample* find(wire::StateId id, unsigned peer) noexcept {
    const auto end = all_.begin() + static_cast<std::ptrdiff_t>(count_);
    const auto found =
        std::find_if(all_.begin(), end, [&](const Sample& one) { return one.id == id && one.peer == peer; });
    return found == end ? nullptr : &*found;
  }

  std::array<Sample, places> all_{};
  std::size_t count_ = 0;
};

}  // namespace pfsync::engine
