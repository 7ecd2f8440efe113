#pragma once

#include <span>

#include "engine/control/health.h"
#include "engine/control/report.h"

namespace pfsync::engine {

/// What the parts of a session tell of one of its peers; `serving` is for who serves bulk updates to say.
[[nodiscard]] PeerFacts peer_facts(std::span<const Session* const> parts, unsigned peer, wire::Family family);
/// Everything that the verdict rests on.
[[nodiscard]] HealthFacts health_facts(const DaemonView& daemon);

}  // namespace pfsync::engine
