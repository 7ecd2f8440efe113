#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <variant>

#include "engine/config.h"
#include "engine/report.h"

namespace pfsync::engine::config_sync {
class Agent;
}

namespace pfsync::engine::dpdk {

/// [config_sync] in the daemon: its agent's threads, and the control thread's share of their work. Without the section
/// it does nothing. Used by the control thread.
class ConfigSync {
 public:
  /// Nothing when the configuration is in force, or why all is as it was.
  using Apply = std::function<std::optional<std::string>(const Config& config)>;

  /// Throws std::runtime_error with a sentence when what the section asks for cannot be had. `file`: of which, with
  /// what was synchronized, `config` was made.
  ConfigSync(const Config& config, std::string file, Apply apply);
  ~ConfigSync();

  /// One turn: what the agent has for this thread.
  void serve();
  void link_up();
  [[nodiscard]] bool is_there() const noexcept { return agent_ != nullptr; }
  /// show config_sync; to be asked only when it is there.
  [[nodiscard]] Json status() const;
  /// Answers {"command": "config", "do": …}.
  [[nodiscard]] Json order(const Json& request);

  /// Reads the file again: what is to come into force now, or a sentence. Nothing: the other node is asked first, and
  /// the agent applies it.
  [[nodiscard]] std::variant<std::optional<Config>, std::string> read_again();
  /// All of what read_again() gave last is in force.
  void follow();

 private:
  std::string file_;
  std::string text_;  ///< as it was read again last
  std::unique_ptr<config_sync::Agent> agent_;
};

}  // namespace pfsync::engine::dpdk
