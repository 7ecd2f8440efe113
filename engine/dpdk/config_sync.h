#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "engine/config/config.h"
#include "engine/config_sync/agent.h"
#include "engine/control/report.h"

namespace pfsync::engine::dpdk {

/// [config_sync] in the daemon: its agent's threads, and the control thread's share of their work. Without the section
/// it does nothing. Used by the control thread.
class ConfigSync {
 public:
  using Apply = std::function<config_sync::Applied(const Config& config, Demand demand)>;

  /// Throws std::runtime_error with a sentence when what the section asks for cannot be had. `file`: of which, with
  /// what was synchronized, `config` was made.
  /// `compare`: answers what the other node asks about the tables, on other threads.
  ConfigSync(const Config& config, std::string file, Apply apply,
             std::function<std::string(const std::string& request)> compare);
  ~ConfigSync();

  /// One turn: what the agent has for this thread.
  void serve();
  void link_up();
  [[nodiscard]] bool is_there() const noexcept { return agent_ != nullptr; }
  /// show config_sync; to be asked only when it is there.
  [[nodiscard]] Json status() const;
  [[nodiscard]] std::vector<NamedCount> counts() const;
  /// To be asked only when it is there.
  [[nodiscard]] config_sync::Agent& agent() noexcept { return *agent_; }
  /// Answers {"command": "config", "do": …}.
  [[nodiscard]] Json order(const Json& request);

  /// Reads the file again: what is to come into force, or a sentence.
  [[nodiscard]] std::variant<config_sync::Wanted, std::string> read_again();
  /// What read_again() gave last is in force, but for the keys that need a restart.
  void follow(const std::vector<std::string>& restart);

 private:
  std::string file_;
  std::string text_;  ///< as it was read again last
  std::unique_ptr<config_sync::Agent> agent_;
};

}  // namespace pfsync::engine::dpdk
