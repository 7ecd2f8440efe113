#pragma once

#include <functional>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "engine/config/config.h"
#include "engine/config_sync/handoff.h"
#include "engine/control/report.h"
#include "engine/divergence/asker.h"
#include "engine/divergence/door.h"
#include "engine/dpdk/clock.h"
#include "engine/session/interface_map.h"

namespace pfsync::engine::dpdk {

/// Comparing tables with the other node of a pair, in the daemon: the side that is asked, on the threads of
/// configuration sync's door; the side that asks, on one of its own; and this thread's share, which carries repairs
/// out. Used by the control thread but for answer().
class Divergence {
 public:
  /// `carry_out`: on this thread. The table outlives it.
  Divergence(const Config& config, const statetable::Table& table, CycleClock clock, divergence::CarryOut carry_out);
  /// From now on this node may ask. `cannot`: why it never will; empty: it can.
  void begin(divergence::Ask ask, std::string cannot);
  /// Nobody asks, and nobody who answers waits for this thread any more.
  void stop();

  /// On the threads of the door.
  [[nodiscard]] std::string answer(const std::string& request) { return door_.answer(request); }

  /// Often: carries out what other threads wait for, and logs.
  void serve();
  /// With whom a comparison found nothing left to be mended, since the last call.
  [[nodiscard]] std::optional<wire::Address> take_agreement() {
    return asker_ ? asker_->take_agreement() : std::nullopt;
  }
  /// The configuration is another one.
  void follow(const Config& config);
  /// Answers {"command": "compare", "repair": false}.
  [[nodiscard]] Json order(bool repair);
  /// show divergence, without "ok".
  [[nodiscard]] Json status(bool with_differences) const;
  [[nodiscard]] std::vector<NamedCount> counts() const;

 private:
  /// Each peer's map of interface names, for the threads that write states for it.
  class Names {
   public:
    void set(const Config& config);
    void to_theirs(const wire::Address& peer, wire::State& state);

   private:
    struct Row {
      std::optional<wire::Address> peer;  ///< none: the group, whoever is in it
      InterfaceTranslator translator;
    };
    std::mutex mutex_;
    std::vector<std::unique_ptr<Row>> rows_;
  };
  [[nodiscard]] divergence::Ground ground();
  [[nodiscard]] static divergence::Asker::Settings settings_of(const Config& config);

  const statetable::Table& table_;
  divergence::CarryOut carry_out_;
  divergence::Now now_;
  config_sync::Handoff hands_;
  Names names_;
  divergence::Door door_;
  divergence::Asker::Settings settings_;
  std::string cannot_ = "this node is not paired with another: its configuration has no [config_sync]";
  std::optional<divergence::Asker> asker_;
};

}  // namespace pfsync::engine::dpdk
