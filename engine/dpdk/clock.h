#pragma once

#include <rte_cycles.h>

#include "statetable/time.h"

namespace pfsync::engine::dpdk {

/// The engine's clock on a machine: the CPU's cycle counter, which costs no system call. Zero is the
/// clock's construction. Copies agree with each other, on every core.
class CycleClock {
 public:
  CycleClock() noexcept : zero_{rte_get_timer_cycles()}, hz_{rte_get_timer_hz()} {}

  [[nodiscard]] statetable::Instant now() const noexcept {
    constexpr std::uint64_t second = 1'000'000'000;
    const std::uint64_t cycles = rte_get_timer_cycles() - zero_;
    // In two parts: cycles times a thousand million would overflow after some seconds.
    const std::uint64_t ns = cycles / hz_ * second + cycles % hz_ * second / hz_;
    return statetable::Instant{statetable::Duration{static_cast<std::int64_t>(ns)}};
  }

 private:
  std::uint64_t zero_;
  std::uint64_t hz_;
};

}  // namespace pfsync::engine::dpdk
