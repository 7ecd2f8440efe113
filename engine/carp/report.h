#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "engine/carp/node.h"
#include "engine/carp/settings.h"

namespace pfsync::engine::carp {

using Json = nlohmann::ordered_json;

/// What the control side looks at; all of it may be read while the data path works.
struct View {
  std::vector<const Node*> nodes;  ///< one a port, that of the link first; number i is NodeConfig::port i
  const Demotion& demotion;
  const Journal& journal;
  const std::vector<Settings>& settings;  ///< those of a port in the order of its node's hosts
};

/// A line for the log, as the kernels word it.
[[nodiscard]] std::string sentence_of(const Entry& entry, const View& view);
/// Whether the line is about something that somebody should look at.
[[nodiscard]] constexpr bool is_warning(const Entry& entry) noexcept { return entry.kind == Entry::Kind::mistake; }

/// What may be the matter with an advertisement whose HMAC is wrong, though the addresses seem right: tries what people
/// get wrong about passwords, and names what would fit.
[[nodiscard]] std::string diagnosis(const Settings& settings, const wire::CarpAdvert& advert);

/// The first thing that somebody should look at, empty when there is none.
[[nodiscard]] std::string trouble(const View& view, Instant now);
/// In the manner of ifconfig and of pfSense's Status > CARP.
[[nodiscard]] Json status_json(const View& view, Instant now);
/// Words of `netstat -s -p carp` and mistake_… by kind → numbers, of all ports together; with sentences, word → text.
[[nodiscard]] Json counters_json(const View& view);
[[nodiscard]] Json sentences_json();

}  // namespace pfsync::engine::carp
