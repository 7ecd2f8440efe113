#include "engine/dpdk/frame_exchange.h"

#include <rte_errno.h>

#include <atomic>
#include <stdexcept>
#include <string>

namespace pfsync::engine::dpdk {

void FrameExchange::RingFreer::operator()(rte_ring* ring) const noexcept {
  while (rte_mbuf* buffer = next(ring)) rte_pktmbuf_free(buffer);
  rte_ring_free(ring);
}

FrameExchange::Ring FrameExchange::make(unsigned buffers) {
  static std::atomic<unsigned> made{0};  // DPDK finds rings by name: each needs one of its own
  const std::string name = "frames_" + std::to_string(made.fetch_add(1));
  rte_ring* ring = rte_ring_create(name.c_str(), buffers + 1, SOCKET_ID_ANY, RING_F_SP_ENQ | RING_F_SC_DEQ);
  if (ring == nullptr) throw std::runtime_error{"no memory for the ring " + name + ": " + rte_strerror(rte_errno)};
  return Ring{ring};
}

FrameExchange::FrameExchange(unsigned buffers) : empty_{make(buffers)}, filled_{make(buffers)} {}

FrameExchange::~FrameExchange() {
  if (open_ != nullptr) rte_pktmbuf_free(open_);
}

void FrameExchange::supply(Port& port) noexcept {
  while (rte_ring_free_count(empty_.get()) > 0) {
    rte_mbuf* const buffer = port.take();
    if (buffer == nullptr) return;
    rte_ring_sp_enqueue(empty_.get(), buffer);
  }
}

std::size_t FrameExchange::send(Port& port, const Link& link, unsigned peer, std::size_t frames) noexcept {
  std::size_t sent = 0;
  for (; sent < frames && port.can_send(); ++sent) {
    rte_mbuf* const buffer = next(filled_.get());
    if (buffer == nullptr) break;
    const std::size_t packet = buffer->data_len;
    port.send(buffer, link.finish(whole_room(buffer), packet, peer));
  }
  return sent;
}

void FrameExchange::retire() noexcept {
  for (rte_ring* ring : {empty_.get(), filled_.get()})
    while (rte_mbuf* buffer = next(ring)) rte_pktmbuf_free(buffer);
  if (open_ != nullptr) rte_pktmbuf_free(open_);
  open_ = nullptr;
}

std::size_t FrameExchange::discard() noexcept {
  std::size_t dropped = 0;
  for (rte_mbuf* buffer = next(filled_.get()); buffer != nullptr; buffer = next(filled_.get()), ++dropped)
    rte_pktmbuf_free(buffer);
  return dropped;
}

}  // namespace pfsync::engine::dpdk
