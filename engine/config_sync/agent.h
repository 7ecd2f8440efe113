#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "engine/config/config.h"
#include "engine/config/reload.h"

namespace pfsync::engine::config_sync {

/// What an operator orders: {"command": "config", "do": …}. Carried out on the agent's thread; its end is told by
/// show config_sync, under the order's number.
struct Order {
  enum class Kind : std::uint8_t { push, diff, rollback, pair, confirm_pair, abort_pair } kind = Kind::push;
  bool renew = false;                    ///< push: above whatever the other node holds
  std::uint64_t generation = 0;          ///< rollback: to that one
  std::optional<std::uint64_t> epoch{};  ///< rollback: the generation's; without it the newest that has the generation
  std::string code{};                    ///< confirm_pair: what both consoles show
};
/// Or one sentence about what is wrong with the request.
[[nodiscard]] std::variant<Order, std::string> order_of(const nlohmann::ordered_json& request);

/// What became of a configuration that was to come into force.
struct Applied {
  std::string refusal{};  ///< why all is as it was; empty: what can change while the daemon runs has changed
  std::vector<std::string> restart{};  ///< the keys that wait for a restart
};

/// The file, read again, and what stands beside it.
struct Wanted {
  Config config;
  bool now = true;  ///< false: the agent applies it, once the other node has staged it or cannot
};

/// What the agent needs of the daemon.
struct Daemon {
  /// Brings a configuration into force as far as it is demanded, or leaves all as it was. Called on the control thread.
  std::function<Applied(const Config& config, Demand demand)> apply;
  /// Called on the control thread.
  std::function<void(bool warning, const std::string& sentence)> log;
  /// What the other node asks at /divergence (engine/divergence), and the answer. Called on the door's threads, by
  /// several at once; empty: nobody asks.
  std::function<std::string(const std::string& request)> compare{};
};

/// Configuration synchronization at work: both doors (/sync for the other node, /xmlrpc.php for a firewall) on the
/// listeners' threads, the client on a thread of its own. Made and called on the control thread, which waits for none
/// of them; they wait for serve() where the daemon must change.
class Agent {
 public:
  /// `toml`: the text of `file`, from which, with what the store holds, `config` was made. Or one sentence.
  [[nodiscard]] static std::variant<std::unique_ptr<Agent>, std::string> create(const Config& config, std::string toml,
                                                                                std::string file, Daemon daemon);
  ~Agent();
  Agent(const Agent&) = delete;
  Agent& operator=(const Agent&) = delete;

  /// Often: does what the other threads have handed over, and logs.
  void serve();
  /// The link came up: the other node may be there again.
  void link_up();

  /// The file was read again and is `config` by itself. What is to come into force, or one sentence.
  [[nodiscard]] std::variant<Wanted, std::string> reload(const Config& config, const std::string& toml);
  /// What reload() gave is in force, but for the keys that need a restart. This text is the local part of what is
  /// applied from now on; on whoever receives configurations not while such a key decides what they mean (is_decisive).
  void follow(std::string toml, const std::vector<std::string>& restart);

  struct Unasked {
    std::string sentence;
  };
  /// Asks the other node at /divergence. From any thread but the control thread; blocks for `patience` at most. The
  /// answer, or why there is none.
  [[nodiscard]] std::variant<std::string, Unasked> compare(const std::string& request,
                                                           std::chrono::milliseconds patience);
  /// Why this node cannot ask the other; empty: it can.
  [[nodiscard]] std::string cannot_ask() const;

  /// The order's number, or why it is not taken.
  [[nodiscard]] std::variant<std::uint64_t, std::string> order(const Order& order);
  /// show config_sync, without "ok".
  [[nodiscard]] nlohmann::ordered_json status() const;
  struct Count {
    std::string word, sentence;
    std::uint64_t value = 0;
  };
  /// What each door that is open has counted, as the listener of the page does. From any thread.
  [[nodiscard]] std::vector<Count> counts() const;

 private:
  struct Parts;
  explicit Agent(std::unique_ptr<Parts> parts);
  std::unique_ptr<Parts> parts_;
};

}  // namespace pfsync::engine::config_sync
