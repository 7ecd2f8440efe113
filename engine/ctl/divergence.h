#pragma once

#include <string>

#include "engine/ctl/client.h"

namespace pfsync::engine::ctl {

/// show divergence, for people.
[[nodiscard]] std::string divergence_text(const Json& answer);

/// The states in which both nodes differ, each with a line for either side, and what came of it.
[[nodiscard]] std::string diff_text(const Json& answer);

/// Has the daemon compare its table with the paired engine's, and waits for the end: show divergence with the
/// differences; or a refusal of the daemon, {"ok": false, "error": …}.
[[nodiscard]] std::variant<Json, Unreached> compare_tables(Client& client, bool repair);

/// The same with one peer of show peers, by its address: with the paired engine, or what samples tell of another one,
/// as
/// {"ok", "peer", "sampling"}.
[[nodiscard]] std::variant<Json, Unreached> compare_with(Client& client, const std::string& address, bool repair);

/// Of samples, for people.
[[nodiscard]] std::string samples_text(const Json& answer);

/// Whether the tables are alike as far as that can be, after a comparison: what differed is mended.
[[nodiscard]] bool are_alike(const Json& answer);

/// States anew from the paired engine, where there is one and not too many differ: just what differs. Else the whole
/// bulk update. {"ok", "sentence"} or {"ok": false, "error"}.
[[nodiscard]] std::variant<Json, Unreached> resync(Client& client, const std::string& address, bool full);

}  // namespace pfsync::engine::ctl
