#include "engine/dpdk/bulk_exchange.h"

#include <rte_errno.h>

#include <atomic>
#include <stdexcept>
#include <string>

namespace pfsync::engine::dpdk {
namespace {

/// The packet's bytes stand in the buffer's data length until the data path has put the headers before it.
void set_packet_bytes(rte_mbuf* buffer, std::size_t bytes) noexcept {
  buffer->data_len = static_cast<std::uint16_t>(bytes);
}

/// The whole buffer as room, whatever its data length says.
wire::Room whole_room(rte_mbuf* buffer) noexcept {
  set_packet_bytes(buffer, 0);
  return Port::room_of(buffer);
}

rte_mbuf* next(rte_ring* ring) noexcept {
  void* item = nullptr;
  return rte_ring_sc_dequeue(ring, &item) == 0 ? static_cast<rte_mbuf*>(item) : nullptr;
}

}  // namespace

void BulkExchange::RingFreer::operator()(rte_ring* ring) const noexcept {
  while (rte_mbuf* buffer = next(ring)) rte_pktmbuf_free(buffer);
  rte_ring_free(ring);
}

BulkExchange::Ring BulkExchange::make() {
  static std::atomic<unsigned> made{0};  // DPDK finds rings by name: each needs one of its own
  const std::string name = "bulk_" + std::to_string(made.fetch_add(1));
  rte_ring* ring = rte_ring_create(name.c_str(), buffers + 1, SOCKET_ID_ANY, RING_F_SP_ENQ | RING_F_SC_DEQ);
  if (ring == nullptr) throw std::runtime_error{"no memory for the ring " + name + ": " + rte_strerror(rte_errno)};
  return Ring{ring};
}

BulkExchange::BulkExchange() : empty_{make()}, filled_{make()} {}

BulkExchange::~BulkExchange() {
  if (open_ != nullptr) rte_pktmbuf_free(open_);
}

void BulkExchange::supply(Port& port) noexcept {
  while (rte_ring_free_count(empty_.get()) > 0) {
    rte_mbuf* const buffer = port.take();
    if (buffer == nullptr) return;
    rte_ring_sp_enqueue(empty_.get(), buffer);
  }
}

std::size_t BulkExchange::send(Port& port, const Link& link, unsigned peer, BulkGate& gate,
                               std::size_t frames) noexcept {
  std::size_t sent = 0;
  for (; sent < frames && port.can_send(); ++sent) {
    rte_mbuf* const buffer = next(filled_.get());
    if (buffer == nullptr) break;
    const std::size_t packet = buffer->data_len;
    port.send(buffer, link.finish(whole_room(buffer), packet, peer));
    gate.frame_handed_over();
  }
  return sent;
}

void BulkExchange::discard(Port& port, BulkGate& gate) noexcept {
  rte_mbuf* buffer = next(filled_.get());
  if (buffer == nullptr) return;
  for (; buffer != nullptr; buffer = next(filled_.get())) {
    rte_pktmbuf_free(buffer);
    gate.frame_handed_over();
  }
  discarded_.store(true, std::memory_order_relaxed);
  supply(port);
}

std::size_t BulkExchange::fill(BulkSender& sender, const Link& link, statetable::Instant now) noexcept {
  for (std::size_t filled = 0;; ++filled) {
    // Room for the filled frame is sure: as many buffers go round as a ring holds, but look before.
    if (!sender.running() || rte_ring_full(filled_.get())) return filled;
    if (open_ == nullptr) open_ = next(empty_.get());
    if (open_ == nullptr) return filled;
    const std::size_t packet = sender.transmit(link.packet_room(whole_room(open_), sender.dialect()), now);
    if (packet == 0) return filled;
    set_packet_bytes(open_, packet);
    rte_ring_sp_enqueue(filled_.get(), open_);
    open_ = nullptr;
  }
}

}  // namespace pfsync::engine::dpdk
