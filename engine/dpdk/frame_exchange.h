#pragma once

#include <rte_mbuf.h>
#include <rte_ring.h>

#include <algorithm>
#include <bit>
#include <cstddef>
#include <memory>

#include "engine/dpdk/port.h"
#include "engine/link/link.h"

namespace pfsync::engine::dpdk {

/// Frames for one peer on their way from another thread, which fills them, to the core of the port, which sends them
/// between its own. Buffers go round: the port's core supplies empty ones, so that only it allocates. Ends before the
/// port whose buffers it holds. Two single-producer single-consumer rings; neither side waits.
class FrameExchange {
 public:
  /// How many buffers each of so many lanes has, at least 7 and at most `most`, when all of them together are to have
  /// no more than `all`: a port has so many that it can spare.
  [[nodiscard]] static constexpr unsigned buffers_each(unsigned all, std::size_t lanes, unsigned most) noexcept {
    return std::clamp(std::bit_floor(all / static_cast<unsigned>(lanes)), 8u, most + 1) - 1;
  }
  /// `buffers`: one less than a power of 2. Throws std::runtime_error with one sentence.
  explicit FrameExchange(unsigned buffers);
  ~FrameExchange();
  FrameExchange(const FrameExchange&) = delete;
  FrameExchange& operator=(const FrameExchange&) = delete;

  // The port's core.
  /// Keeps the other thread supplied with empty buffers.
  void supply(Port& port) noexcept;
  /// Sends up to `frames` filled ones to a peer, headers written. Returns how many.
  std::size_t send(Port& port, const Link& link, unsigned peer, std::size_t frames) noexcept;
  /// Drops what is filled. Returns how many.
  std::size_t discard() noexcept;
  /// Frees all buffers, those of the other thread too, which does nothing meanwhile nor afterwards.
  void retire() noexcept;
  [[nodiscard]] bool is_empty() const noexcept { return rte_ring_empty(filled_.get()) != 0; }

  // The other thread.
  /// Calls write(room) for each frame, which returns the bytes of a packet written into it, until that returns 0 or
  /// there is no empty buffer, at most `frames` times. Returns how many frames were filled.
  template <class Write>
  std::size_t fill(std::size_t frames, Write&& write) noexcept {
    for (std::size_t filled = 0;; ++filled) {
      // Room for the filled frame is sure: as many buffers go round as a ring holds, but look before.
      if (filled == frames || rte_ring_full(filled_.get()) != 0) return filled;
      if (open_ == nullptr) open_ = next(empty_.get());
      if (open_ == nullptr) return filled;
      const std::size_t packet = write(whole_room(open_));
      if (packet == 0) return filled;
      // The packet's bytes stand in the buffer's data length until the port's core has put the headers before it.
      open_->data_len = static_cast<std::uint16_t>(packet);
      rte_ring_sp_enqueue(filled_.get(), open_);
      open_ = nullptr;
    }
  }

 private:
  struct RingFreer {
    void operator()(rte_ring* ring) const noexcept;
  };
  using Ring = std::unique_ptr<rte_ring, RingFreer>;
  [[nodiscard]] static Ring make(unsigned buffers);
  [[nodiscard]] static rte_mbuf* next(rte_ring* ring) noexcept {
    void* item = nullptr;
    return rte_ring_sc_dequeue(ring, &item) == 0 ? static_cast<rte_mbuf*>(item) : nullptr;
  }
  /// The whole buffer as room, whatever its data length says.
  [[nodiscard]] static wire::Room whole_room(rte_mbuf* buffer) noexcept {
    buffer->data_len = 0;
    return Port::room_of(buffer);
  }

  Ring empty_, filled_;
  rte_mbuf* open_ = nullptr;  ///< the other thread's: taken from `empty_`, nothing to write into it yet
};

}  // namespace pfsync::engine::dpdk
