#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <variant>

#include "engine/carp/node.h"

namespace pfsync::engine::carp {

/// What an operator may ask of CARP; carried out on the data path.
struct Order {
  enum class Kind : std::uint8_t {
    enable,  ///< all virtual hosts, until the process ends
    disable,
    maintenance,  ///< `on`: this node stands back, and goes on doing so after a restart
    demote,       ///< by `value`, which replaces what was ordered before
    become,       ///< `vhid` becomes `state`
  };
  Kind kind = Kind::enable;
  bool on = false;
  int value = 0;
  std::uint8_t vhid = 0;
  State state = State::backup;
};

/// On the data path; false when there is no such VHID, or it is in INIT.
inline bool carry_out(const Order& order, Node& node, Demotion& demotion, Instant now) noexcept {
  switch (order.kind) {
    case Order::Kind::enable: node.set_enabled(true, now); return true;
    case Order::Kind::disable: node.set_enabled(false, now); return true;
    case Order::Kind::maintenance: demotion.hold(Cause::maintenance, order.on, now); return true;
    case Order::Kind::demote: demotion.order(order.value, now); return true;
    case Order::Kind::become: return node.order(order.vhid, order.state, now);
  }
  return false;
}

/// {"command": "carp", "do": "enable" | "disable" | "maintenance", "on": true | "demote", "value": 100 | "become",
/// "vhid": 1, "state": "master"}: an order, or one sentence about what is wrong with it.
[[nodiscard]] std::variant<Order, std::string> order_of(const nlohmann::ordered_json& request);
/// What was done, for the operator.
[[nodiscard]] std::string sentence_of(const Order& order);

}  // namespace pfsync::engine::carp
