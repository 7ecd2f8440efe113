#include "engine/dpdk/bulk_exchange.h"

#include <limits>

namespace pfsync::engine::dpdk {

std::size_t BulkExchange::send(Port& port, const Link& link, unsigned peer, BulkGate& gate,
                               std::size_t frames) noexcept {
  const std::size_t sent = frames_.send(port, link, peer, frames);
  for (std::size_t i = 0; i < sent; ++i) gate.frame_handed_over();
  return sent;
}

void BulkExchange::discard(Port& port, BulkGate& gate) noexcept {
  const std::size_t dropped = frames_.discard();
  if (dropped == 0) return;
  for (std::size_t i = 0; i < dropped; ++i) gate.frame_handed_over();
  discarded_.store(true, std::memory_order_relaxed);
  supply(port);
}

std::size_t BulkExchange::fill(BulkSender& sender, const Link& link, statetable::Instant now) noexcept {
  return frames_.fill(std::numeric_limits<std::size_t>::max(), [&](wire::Room room) -> std::size_t {
    return sender.running() ? sender.transmit(link.packet_room(room, sender.dialect()), now) : 0;
  });
}

}  // namespace pfsync::engine::dpdk
