#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>

namespace pfsync::engine::http {

/// What `show` gave: numbers that the data path counts without a lock and the control thread read.
// NOLINTNEXTLINE(bugprone-exception-escape): that of nlohmann-json checks itself by assertions that throw nothing
struct Measured {
  nlohmann::ordered_json status;
  nlohmann::ordered_json counters;       ///< with sentences
  nlohmann::ordered_json carp;           ///< a refusal where this node has no virtual address
  nlohmann::ordered_json config_sync{};  ///< a refusal where it synchronizes no configuration
};

enum class MetricsForm : std::uint8_t {
  prometheus,   ///< text/plain; version=0.0.4
  openmetrics,  ///< application/openmetrics-text; version=1.0.0
};

/// pfsync_…, carp_…: counters under the words of netstat, and gauges of what charts of pf firewalls show.
[[nodiscard]] std::string metrics_text(const Measured& measured, MetricsForm form);

}  // namespace pfsync::engine::http
