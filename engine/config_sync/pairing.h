#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>

#include "engine/config_sync/client.h"
#include "engine/xmlrpc/value.h"
#include "statetable/time.h"

namespace pfsync::engine::config_sync {

using statetable::Instant;

/// How two nodes learn each other's key with two operators between them. Each shows its certificate to the other; the
/// node that asks first binds itself to a random number by its hash, hears the other's, and then tells its own. Both
/// consoles show a code made of both keys and both numbers: whoever sits between has other keys, must choose his
/// numbers before he knows those of the others, and so shows two codes that are equal once in 10^9. One exchange a
/// window; a window is opened by the operator of each node. Pure: random numbers and time come in.
class Pairing {
 public:
  static constexpr std::chrono::minutes window{2};
  using Random = KeyHash;

  enum class State : std::uint8_t { closed, open, shown, paired, failed };

  /// `own`: our key. `random`: fresh.
  void open(const KeyHash& own, const Random& random, Instant now);
  void close(std::string because = "");
  void tick(Instant now);

  // The node that asks.
  [[nodiscard]] xmlrpc::Call commit_call() const;
  [[nodiscard]] xmlrpc::Call reveal_call() const;
  /// `peer`: the key that the answer came with. Empty, or why the exchange failed.
  [[nodiscard]] std::string committed(const xmlrpc::Value& answer, const KeyHash& peer);
  [[nodiscard]] std::string revealed(const xmlrpc::Value& answer, const KeyHash& peer);

  // The node that is asked. `peer`: the key that the call came with.
  [[nodiscard]] std::variant<xmlrpc::Value, xmlrpc::Fault> asked(const xmlrpc::Call& call, const KeyHash& peer);

  /// The operator has seen the same code on both consoles. The key to trust from now on; nothing: no code is shown, or
  /// it is another.
  [[nodiscard]] std::optional<KeyHash> confirm(std::string_view code);

  [[nodiscard]] State state() const noexcept { return state_; }
  [[nodiscard]] bool is_open() const noexcept { return state_ == State::open; }
  [[nodiscard]] const std::string& code() const noexcept { return code_; }
  [[nodiscard]] const std::string& why() const noexcept { return why_; }

 private:
  void show(const KeyHash& first_key, const KeyHash& second_key, std::string_view first, std::string_view second);
  std::string fail(std::string why);
  State state_ = State::closed;
  KeyHash own_{}, peer_{};
  Random random_{};
  std::string commitment_;  ///< of the node that asks
  std::string their_random_;
  std::string code_, why_;
  Instant until_{};
};

[[nodiscard]] std::string_view word(Pairing::State state);

}  // namespace pfsync::engine::config_sync
