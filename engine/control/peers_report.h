#pragma once

#include <string>
#include <string_view>

#include "engine/control/report.h"

namespace pfsync::engine {

/// Where the dialect that is written comes from: "fixed", "learned", "default".
[[nodiscard]] std::string_view origin_word(const PeerDialect& dialect);

/// How long something took: `count`, `sum_us`, `p50_us`, `p99_us`, and `below_us`, a class's bound → how many. Null
/// where nothing did.
[[nodiscard]] Json latency_json(const Latency& latency);

/// The bulk update that was asked of a peer. Its size is not known: pfsync does not announce it.
[[nodiscard]] Json asked_json(const BulkRequester& bulk, Instant now);
/// The one that a peer is given, or was given last; `eta_s` is null unless it runs and its rate is known.
[[nodiscard]] Json serving_json(const BulkSender& sender, Instant now);

/// The one peer's, or the group's.
[[nodiscard]] std::string peer_address(const DaemonView& daemon, unsigned peer);
/// Of each destination who it is, what it is spoken with, what waits for it, both bulk updates, its interfaces, and the
/// nodes heard there.
[[nodiscard]] Json peers_json(const DaemonView& daemon);
/// Of each destination both bulk updates.
[[nodiscard]] Json bulk_json(const DaemonView& daemon);

}  // namespace pfsync::engine
