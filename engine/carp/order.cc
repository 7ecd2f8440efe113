#include "engine/carp/order.h"

#include <nlohmann/json.hpp>

namespace pfsync::engine::carp {
namespace {

constexpr std::int64_t demotion_max = 240;

std::optional<std::int64_t> number(const nlohmann::ordered_json& request, const char* key, std::int64_t low,
                                   std::int64_t high) {
  const auto found = request.find(key);
  if (found == request.end() || !found->is_number_integer()) return std::nullopt;
  if (found->is_number_unsigned() && found->get<std::uint64_t>() > static_cast<std::uint64_t>(INT64_MAX))
    return std::nullopt;
  const auto value = found->get<std::int64_t>();
  return value < low || value > high ? std::nullopt : std::optional{value};
}

std::string text(const nlohmann::ordered_json& request, const char* key) {
  const auto found = request.find(key);
  return found != request.end() && found->is_string() ? found->get<std::string>() : "";
}

}  // namespace

std::variant<Order, std::string> order_of(const nlohmann::ordered_json& request) {
  const std::string what = text(request, "do");
  if (what == "enable") return Order{.kind = Order::Kind::enable};
  if (what == "disable") return Order{.kind = Order::Kind::disable};
  if (what == "maintenance") {
    const auto on = request.find("on");
    if (on == request.end() || !on->is_boolean()) return "\"on\" must be true or false";
    return Order{.kind = Order::Kind::maintenance, .on = on->get<bool>()};
  }
  if (what == "demote") {
    const auto value = number(request, "value", -demotion_max, demotion_max);
    if (!value) return "\"value\" must be an integer from -240 to 240";
    return Order{.kind = Order::Kind::demote, .value = static_cast<int>(*value)};
  }
  if (what == "become") {
    const auto vhid = number(request, "vhid", 1, 255);
    const std::string state = text(request, "state");
    if (!vhid) return "\"vhid\" must be an integer from 1 to 255";
    if (state != "master" && state != "backup") return "\"state\" must be \"master\" or \"backup\"";
    const std::string interface = text(request, "interface");
    const wire::InterfaceName name{interface};
    if (name.view() != interface || (request.contains("interface") && interface.empty()))
      return "\"interface\" must be a port's name of 1 to 15 characters, as show carp gives it";
    return Order{.kind = Order::Kind::become,
                 .vhid = static_cast<std::uint8_t>(*vhid),
                 .interface = name,
                 .state = state == "master" ? State::master : State::backup};
  }
  return "there is no such order: give \"do\" as enable, disable, maintenance, demote or become";
}

std::string sentence_of(const Order& order) {
  switch (order.kind) {
    case Order::Kind::enable: return "CARP is enabled";
    case Order::Kind::disable: return "CARP is disabled until it is enabled again or pfsyncd is restarted";
    case Order::Kind::maintenance:
      return order.on ? "this node is in maintenance mode, also after a restart"
                      : "this node has left maintenance mode";
    case Order::Kind::demote: return "the operator's part of the demotion is now " + std::to_string(order.value);
    case Order::Kind::become: return "vhid " + std::to_string(order.vhid) + " is now " + std::string{word(order.state)};
  }
  return "";
}

}  // namespace pfsync::engine::carp
