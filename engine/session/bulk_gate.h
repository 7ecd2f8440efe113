#pragma once

#include <atomic>
#include <cstdint>

namespace pfsync::engine {

/// Keeps a delete or a clear from overtaking a bulk frame that still carries a state that it ends, and an update one
/// that carries what the state was before: a peer that does not know the state yet would end with that.
///
/// The control thread fills bulk frames from lock-free reads while the data path erases states and
/// announces that at once, live traffic first. Without this gate a DEL_C or CLR could leave before a frame
/// that was filled earlier, and the peer would import states that nobody holds any more.
///
/// Both sides do a read-modify-write on `started_`, so one of the two comes first in its modification
/// order: either the data path sees that a frame was begun, and its message waits until that frame has
/// been handed over, or the filler sees the change.
class BulkGate {
 public:
  /// Filler: before reading the first entry of a frame.
  void frame_begun() noexcept { started_.fetch_add(1, std::memory_order_acq_rel); }
  /// Data path: the frame (in the order they were begun) was given to the device, or dropped.
  void frame_handed_over() noexcept { handed_over_.fetch_add(1, std::memory_order_release); }

  /// Data path: after a change, what must be handed over before the change may be announced.
  [[nodiscard]] std::uint64_t stamp() noexcept { return started_.fetch_add(0, std::memory_order_acq_rel); }
  [[nodiscard]] std::uint64_t handed_over() const noexcept { return handed_over_.load(std::memory_order_relaxed); }
  [[nodiscard]] bool has_passed(std::uint64_t stamp) const noexcept {
    return handed_over_.load(std::memory_order_acquire) >= stamp;
  }

 private:
  std::atomic<std::uint64_t> started_{0};
  std::atomic<std::uint64_t> handed_over_{0};
};

}  // namespace pfsync::engine
