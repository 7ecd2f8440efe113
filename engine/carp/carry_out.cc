#include <algorithm>

#include "engine/carp/order.h"

namespace pfsync::engine::carp {
namespace {

bool become(const Order& order, std::span<Node* const> nodes, Instant now) noexcept {
  Node* chosen = nullptr;
  for (Node* node : nodes) {
    const bool has = std::any_of(node->hosts().begin(), node->hosts().end(),
                                 [&](const Host& host) { return host.config().vhid == order.vhid; });
    const bool meant = order.interface.view().empty() || order.interface.view() == node->config().name;
    if (!has || !meant) continue;
    if (chosen != nullptr) return false;
    chosen = node;
  }
  return chosen != nullptr && chosen->order(order.vhid, order.state, now);
}

}  // namespace

bool carry_out(const Order& order, std::span<Node* const> nodes, Demotion& demotion, Instant now) noexcept {
  switch (order.kind) {
    case Order::Kind::enable:
    case Order::Kind::disable:
      for (Node* node : nodes) node->set_enabled(order.kind == Order::Kind::enable, now);
      return true;
    case Order::Kind::maintenance: demotion.hold(Cause::maintenance, order.on, now); return true;
    case Order::Kind::demote: demotion.order(order.value, now); return true;
    case Order::Kind::become: return become(order, nodes, now);
  }
  return false;
}

}  // namespace pfsync::engine::carp
