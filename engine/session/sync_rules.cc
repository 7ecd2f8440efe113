#include "engine/session/sync_rules.h"

#include <algorithm>

namespace pfsync::engine {
namespace {

/// Index 1 of a key is the near side: what goes out goes to the far one.
bool goes_to(const std::pair<std::uint16_t, std::uint16_t>& range, const wire::Key& key,
             wire::Direction direction) noexcept {
  const auto is_in = [&](std::uint16_t port) { return port >= range.first && port <= range.second; };
  return (direction != wire::Direction::in && is_in(key.port[0])) ||
         (direction != wire::Direction::out && is_in(key.port[1]));
}

}  // namespace

bool matches(const SyncRule& rule, const wire::State& state) noexcept {
  if (rule.proto && *rule.proto != state.proto) return false;
  if (rule.direction && *rule.direction != state.direction) return false;
  if (!rule.interface.empty() && rule.interface != state.ifname &&
      (state.ifname.view() != "all" || rule.interface != state.orig_ifname))
    return false;
  if (!rule.port) return true;
  return has_ports(state.proto) && std::ranges::any_of(state.key, [&](const wire::Key& key) {
           return goes_to(*rule.port, key, state.direction);
         });
}

bool has_delay(std::span<const SyncRule> rules) noexcept {
  return std::ranges::any_of(rules, [](const SyncRule& rule) { return rule.action == SyncRule::Action::delay; });
}

const SyncRule* deciding_rule(std::span<const SyncRule> rules, const wire::State& state) noexcept {
  const auto found = std::ranges::find_if(rules, [&](const SyncRule& rule) { return matches(rule, state); });
  return found == rules.end() ? nullptr : &*found;
}

}  // namespace pfsync::engine
