#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <span>
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
  wire::InterfaceName interface {};  ///< become: on that port; empty: on the one that has the VHID
  State state = State::backup;
};

/// On the data path; false when there is no such VHID, when it is in INIT, or on several ports and none was named.
bool carry_out(const Order& order, std::span<Node* const> nodes, Demotion& demotion, Instant now) noexcept;

/// {"command": "carp", "do": "enable" | "disable" | "maintenance", "on": true | "demote", "value": 100 | "become",
/// "vhid": 1, "state": "master"}, with an "interface" if need be: an order, or one sentence about what is wrong with
/// it.
[[nodiscard]] std::variant<Order, std::string> order_of(const nlohmann::ordered_json& request);
/// What was done, for the operator.
[[nodiscard]] std::string sentence_of(const Order& order);

}  // namespace pfsync::engine::carp
