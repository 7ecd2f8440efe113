#include "engine/dpdk/health_log.h"

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <algorithm>

namespace pfsync::engine::dpdk {
namespace {

bool has(const Health& health, const Reason& wanted) {
  return std::ranges::any_of(health.reasons, [&](const Reason& reason) {
    return reason.trouble == wanted.trouble && reason.peer == wanted.peer && reason.level == wanted.level;
  });
}

}  // namespace

/// A line for each reason that came, and for each that went; none for one whose numbers go on.
void HealthLog::log(const Health& health) const {
  for (const Reason& reason : health.reasons) {
    if (has(told_, reason)) continue;
    if (reason.level == Verdict::failed)
      spdlog::error("health: failed ({}): {}", word(reason.trouble), reason.sentence);
    else
      spdlog::warn("health: degraded ({}): {}", word(reason.trouble), reason.sentence);
  }
  for (const Reason& reason : told_.reasons)
    if (!has(health, reason))
      spdlog::info("health: no longer {} ({}{}{})", word(reason.level), word(reason.trouble),
                   reason.peer.empty() ? "" : " of ", reason.peer);
  if (health.verdict != told_.verdict) spdlog::info("health: {} now: {}", word(health.verdict), health.reason);
}

void HealthLog::look(const DaemonView& daemon, Service& service, Instant now) {
  if (now < look_at_) return;
  look_at_ = now + look_every;
  const Health& health = health_of(daemon);
  log(health);
  told_ = health;
  service.set_status(fmt::format("{}: {}", word(health.verdict), health.reason));
}

}  // namespace pfsync::engine::dpdk
