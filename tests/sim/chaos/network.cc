#include "tests/sim/chaos/network.h"

#include <algorithm>

#include "wire/ethernet.h"

namespace pfsync::sim::chaos {
namespace {

constexpr Duration delay = std::chrono::microseconds{200};
constexpr std::size_t ethernet_bytes = 14;

}  // namespace

Network::Network(std::size_t ports, std::uint64_t seed, Marks& marks)
    : ports_{ports}, random_{seed}, marks_{marks}, learned_(ports), last_(ports * ports) {
  heal();
}

void Network::send(std::size_t from, wire::Bytes frame, Duration now) {
  ++frames_;
  const auto ethernet = wire::read_ethernet(frame);
  if (!ethernet) return;
  const bool to_all = (ethernet->destination.bytes[0] & 1u) != 0;
  for (std::size_t side = 0; side < ports_; ++side)
    if (side == from || !path(from, side).cut) learned_[side][ethernet->source] = from;
  const auto known = learned_[from].find(ethernet->destination);
  const std::size_t listener = ports_ - 1;
  for (std::size_t to = 0; to < ports_; ++to) {
    if (to == from) continue;
    if (!to_all && to != listener && known != learned_[from].end() && known->second != to) continue;
    send_to(from, to, frame, now);
  }
}

void Network::send_to(std::size_t from, std::size_t to, wire::Bytes frame, Duration now) {
  const Path& path = this->path(from, to);
  if (path.cut) {
    marks_.meet("net: frame into a cut path");
    return;
  }
  if (path.frame_max > 0 && frame.size() > path.frame_max) {
    marks_.meet("net: frame longer than the MTU");
    return;
  }
  if (path.burst > Duration::zero() && now / path.burst % 2 == 0) {
    marks_.meet("net: frame lost in a burst");
    return;
  }
  const unsigned copies = chance(path.duplicate_percent) ? 2 : 1;
  if (copies > 1) marks_.meet("net: frame doubled");
  for (unsigned copy = 0; copy < copies; ++copy) {
    if (chance(path.loss_percent)) {
      marks_.meet("net: frame lost");
      continue;
    }
    if (chance(path.corrupt_percent)) {
      marks_.meet("net: frame with a wrong check sequence");
      continue;
    }
    Frame arrives{frame.begin(), frame.end()};
    if (chance(path.garble_percent)) {
      arrives = garble(frame);
      if (garbled_) garbled_(frame, arrives);
      marks_.meet("net: frame garbled");
    }
    Duration at = now + delay;
    if (path.jitter > Duration::zero())
      at += Duration{static_cast<Duration::rep>(below(static_cast<std::uint64_t>(path.jitter.count())))};
    under_way_.push({at, order_++, from, to, std::move(arrives)});
  }
}

/// Some bits, mostly behind the header: a switch that spoils addresses as well loses the frame.
Frame Network::garble(wire::Bytes frame) {
  Frame changed{frame.begin(), frame.end()};
  for (std::uint64_t bits = 1 + below(3); bits > 0 && changed.size() > ethernet_bytes; --bits) {
    const std::size_t at = ethernet_bytes + below(changed.size() - ethernet_bytes);
    changed[at] = static_cast<std::uint8_t>(changed[at] ^ (1u << below(8)));
  }
  return changed;
}

Network::Delivery Network::take() {
  Delivery delivery = under_way_.top();
  under_way_.pop();
  auto& [at, order] = last_[delivery.from * ports_ + delivery.to];
  if (delivery.order < order) marks_.meet("net: frame overtaken");
  at = delivery.at;
  order = std::max(order, delivery.order);
  return delivery;
}

}  // namespace pfsync::sim::chaos
