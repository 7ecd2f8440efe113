#include "engine/dpdk/host_stack.h"

#include <utility>

namespace pfsync::engine::dpdk {

void HostStack::pass(Instant now) noexcept {
  constexpr Duration absence =
      std::chrono::seconds{1};  // the longest between two advertisements that are heard in time
  if (now - passed_at_ > absence) node_->on_absence(now);
  passed_at_ = now;
  if (const Seen seen = seen_.load(std::memory_order_relaxed); seen != told_) {
    told_ = seen;
    node_->set_link(seen == Seen::up, now);
    membership_->set_link(seen == Seen::up, now);
  }
  if (const auto due = node_->timeout(); due && *due <= now) node_->on_timeout(now);
}

std::size_t HostStack::transmit(std::size_t frames, Instant now) noexcept {
  std::size_t sent = 0;
  while (node_->has_to_send() && sent < frames) {
    const wire::Room room = port_->room();
    const std::size_t bytes = room.empty() ? 0 : node_->transmit(room, now);
    port_->commit(bytes);
    if (bytes == 0) break;
    ++sent;
  }
  for (auto due = membership_->timeout(); due && *due <= now && sent < frames; due = membership_->timeout()) {
    const wire::Room room = port_->room();
    const std::size_t bytes = room.empty() ? 0 : membership_->transmit(room, now);
    port_->commit(bytes);
    if (bytes == 0) break;
    ++sent;
  }
  return sent;
}

void HostStack::hand_over(Instant now) noexcept {
  const bool took_all = port_->flush();
  // What is dropped below has not left either: only a frame that the device takes shows that it works.
  if (const std::uint64_t before = std::exchange(taken_, port_->taken()); before != taken_)
    node_->on_port_takes();
  else if (!took_all)
    node_->on_port_refuses(now);
  if (took_all) {
    refused_ = false;
    return;
  }
  if (!refused_) {
    refused_ = true;
    refused_since_ = now;
  }
  // Without a link there is nothing to wait for; a full queue is given some time to empty.
  if (now - refused_since_ >= patience || !port_->link_up()) port_->drop();
}

std::size_t HostStack::turn(Instant now) noexcept {
  const auto frames = port_->receive();
  for (const wire::Bytes frame : frames) on_frame(frame, now);
  pass(now);
  const std::size_t sent = transmit(frames_max, now);
  hand_over(now);
  return frames.size() + sent;
}

}  // namespace pfsync::engine::dpdk
