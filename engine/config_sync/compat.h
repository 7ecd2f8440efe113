#pragma once

#include <chrono>
#include <cstddef>
#include <map>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "engine/config_sync/settings.h"
#include "engine/xmlrpc/value.h"
#include "statetable/time.h"

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

/// The alarms of callers, each until a day after the last call that gave it. Bounded: a further one takes the place of
/// the oldest.
class CallAlarms {
 public:
  static constexpr std::size_t kept = 16;
  static constexpr std::chrono::hours stand_for{24};
  void add(std::string sentence, statetable::Instant now);
  /// Those that stand, the oldest first.
  [[nodiscard]] std::vector<std::string> standing(statetable::Instant now) const;

 private:
  struct Alarm {
    std::string sentence;
    statetable::Instant last{};
  };
  std::vector<Alarm> alarms_;  ///< in the order of their last calls
};

/// Of an authenticated caller. Pure.
[[nodiscard]] CompatAnswer answer_compat(const xmlrpc::Call& call, const Settings& settings);

/// The body for whoever is not authenticated, whatever he sent: both products show its text to their operator.
[[nodiscard]] std::string compat_refusal(const std::string& sentence);

}  // namespace pfsync::engine::config_sync
