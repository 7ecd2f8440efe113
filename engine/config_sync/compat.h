#pragma once

#include <map>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "engine/config_sync/settings.h"
#include "engine/xmlrpc/value.h"

namespace pfsync::engine::config_sync {

/// What a pfSense or OPNsense primary asks of its secondary, and what this node makes of it.
struct CompatAnswer {
  std::variant<xmlrpc::Value, xmlrpc::Fault> response;
  /// All virtual addresses that the caller wants here, as a canonical list of [[carp]] in terms of this node; nothing:
  /// the call is not about them. The response holds once they are in force.
  std::optional<std::string> wanted{};
  std::vector<std::string> ignored{};  ///< sections and entries that were received and have no meaning here
  std::vector<std::string> alarms{};   ///< sentences
};

/// Of an authenticated caller. Pure.
[[nodiscard]] CompatAnswer answer_compat(const xmlrpc::Call& call, const Settings& settings);

/// The body for whoever is not authenticated, whatever he sent: both products show its text to their operator.
[[nodiscard]] std::string compat_refusal(const std::string& sentence);

}  // namespace pfsync::engine::config_sync
