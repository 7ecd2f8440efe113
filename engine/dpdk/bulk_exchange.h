#pragma once

#include <atomic>
#include <cstddef>

#include "engine/dpdk/frame_exchange.h"
#include "engine/dpdk/port.h"
#include "engine/link/link.h"
#include "engine/session/bulk_gate.h"
#include "engine/session/bulk_sender.h"

namespace pfsync::engine::dpdk {

/// Frames of one peer's bulk update on their way from the control thread, which fills them from lock-free reads,
/// to the data path, which sends them between its own. Ends before the port whose buffers it holds.
class BulkExchange {
 public:
  static constexpr unsigned buffers_all = 2048;  ///< of the exchanges with all peers
  static constexpr unsigned buffers_max = 255;   ///< a ring of 256 holds one less

  /// One of so many. Throws std::runtime_error with one sentence.
  explicit BulkExchange(std::size_t peers = 1)
      : frames_{FrameExchange::buffers_each(buffers_all, peers, buffers_max)} {}

  // Data path.
  /// Keeps the control thread supplied with empty buffers.
  void supply(Port& port) noexcept { frames_.supply(port); }
  /// Sends up to `frames` filled ones to a peer, headers written, and reports each to the gate. Returns how many.
  std::size_t send(Port& port, const Link& link, unsigned peer, BulkGate& gate, std::size_t frames) noexcept;

  /// Drops what is filled: the peer is not ours to speak with any more.
  void discard(Port& port, BulkGate& gate) noexcept;

  /// Ends it: the peer is gone. The control thread does nothing with it any more.
  void retire() noexcept { frames_.retire(); }

  // Control thread.
  /// Whether frames were dropped since the last call: a bulk update that still runs has a gap.
  [[nodiscard]] bool take_discarded() noexcept { return discarded_.exchange(false, std::memory_order_relaxed); }
  /// Fills frames while there are empty buffers and the sender's pacing allows. Returns how many.
  std::size_t fill(BulkSender& sender, const Link& link, statetable::Instant now) noexcept;

 private:
  FrameExchange frames_;
  std::atomic<bool> discarded_{false};  ///< a word alone: pairs with nothing
};

}  // namespace pfsync::engine::dpdk
