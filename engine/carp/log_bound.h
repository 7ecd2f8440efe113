#pragma once

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

#include "engine/carp/journal.h"

namespace pfsync::engine::carp {

/// Which entries of the journal become lines of the log. Recorded advertisements can be replayed, and make a host
/// change sides as fast as they come: each host has so many moves a second, and takes no other's. Mistakes are held to
/// one a minute of each kind and host where they are seen (Watch). What else there is shares a bound. Thread-bound:
/// whoever writes the log.
class LogBound {
 public:
  static constexpr unsigned moves_of_a_host = 5, others_max = 20;  ///< a second

  /// `ports`: how many there may be, Entry::port is below it.
  explicit LogBound(std::size_t ports) : moves_(ports) {}

  /// A second after the last time: lines are admitted anew. Returns how many were left out.
  [[nodiscard]] std::uint64_t begin_second(Instant now) noexcept {
    if (now - since_ < std::chrono::seconds{1}) return 0;
    since_ = now;
    for (auto& of_port : moves_) of_port.fill(0);
    others_ = 0;
    return std::exchange(left_out_, 0);
  }
  [[nodiscard]] bool admits(const Entry& entry) noexcept {
    const bool is_move = entry.kind == Entry::Kind::moved;
    const bool admitted =
        entry.kind == Entry::Kind::mistake ||
        (is_move ? is_below(moves_[entry.port][entry.vhid], moves_of_a_host) : is_below(others_, others_max));
    if (!admitted) ++left_out_;
    return admitted;
  }

 private:
  static bool is_below(std::uint8_t& count, unsigned max) noexcept { return count < max && ++count > 0; }

  std::vector<std::array<std::uint8_t, 256>> moves_;  ///< by port and VHID
  std::uint8_t others_ = 0;
  std::uint64_t left_out_ = 0;
  Instant since_{};
};

}  // namespace pfsync::engine::carp
