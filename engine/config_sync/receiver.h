#pragma once

#include <chrono>
#include <cstdint>
#include <deque>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "engine/config_sync/revision.h"
#include "engine/config_sync/sentence.h"
#include "engine/config_sync/settings.h"
#include "engine/config_sync/store.h"
#include "engine/xmlrpc/value.h"
#include "statetable/time.h"

namespace pfsync::engine::config_sync {

using statetable::Instant;

inline constexpr int protocol_version = 1;
inline constexpr std::size_t body_bytes_max = std::size_t{4} * 1024 * 1024;  ///< of a request on /sync
inline constexpr std::size_t door_values_max = 10'000;  ///< in a request on /sync, and in its answer
inline constexpr std::size_t door_depth_max = 16;

/// What happened, for the operator and for the other node.
struct Record {
  std::int64_t time_s = 0;  ///< since 1970
  bool warning = false;
  std::string sentence;
};

/// The last records. Bounded; each sentence is one line (sentence.h), whoever has put words into it.
class Audit {
 public:
  static constexpr std::size_t kept = 200;
  void add(std::int64_t time_s, bool warning, std::string sentence);
  [[nodiscard]] const std::deque<Record>& records() const noexcept { return records_; }
  /// Those since the last call, for the log.
  [[nodiscard]] std::vector<Record> take_new();

 private:
  std::deque<Record> records_;
  std::size_t fresh_ = 0;
};

/// What the side that takes needs of the daemon. Both build the whole configuration that sections would give here.
struct Ground {
  /// Nothing when it is sound. `notes`: what was transformed.
  std::function<std::optional<Problem>(const Sections& sections, std::vector<std::string>& notes)> check;
  /// Brings it into force as a whole, or leaves all as it was and says why. nullptr: what the file alone says.
  std::function<std::optional<std::string>(const Sections* sections)> apply;
};

/// The side of node-to-node synchronization that is asked: hello, digest, stage, commit, confirm, abort, log. Pure but
/// for its store and its ground; all times come in. One thread at a time.
class Receiver {
 public:
  static constexpr std::chrono::seconds staged_for{60};
  /// Another primary says hello once a minute at least (Sender::retry_max): after more than two of them it is gone.
  static constexpr std::chrono::seconds other_primary_for{150};

  Receiver(const Settings& settings, Identity identity, Store& store, Ground ground, Audit& audit);

  using Answer = std::variant<xmlrpc::Value, xmlrpc::Fault>;
  /// Of an authenticated peer. `time_s`: since 1970.
  [[nodiscard]] Answer call(const xmlrpc::Call& call, Instant now, std::int64_t time_s);

  /// Lets what is staged and who was heard expire, and rolls back what was not confirmed.
  void tick(Instant now, std::int64_t time_s);

  [[nodiscard]] bool is_staged() const noexcept { return staged_.has_value(); }
  [[nodiscard]] bool is_pending() const noexcept { return pending_.has_value(); }
  /// Epoch of another primary that spoke to us as one lately; nothing: none did.
  [[nodiscard]] std::optional<std::uint64_t> other_primary() const noexcept {
    return other_primary_ ? std::optional{other_primary_->epoch} : std::nullopt;
  }
  /// That node has answered as a secondary.
  void heard_secondary(std::string_view node_id) {
    if (other_primary_ && other_primary_->node_id == node_id) other_primary_.reset();
  }
  [[nodiscard]] xmlrpc::Value hello() const;
  void set_identity(const Identity& identity) { identity_ = identity; }
  void set_settings(const Settings& settings) { settings_ = settings; }

 private:
  struct Staged {
    std::string txn;
    Revision revision;
    Instant until{};
  };
  struct OtherPrimary {
    std::string node_id;
    std::uint64_t epoch = 0;
    Instant until{};
  };
  [[nodiscard]] xmlrpc::Value greet(const std::vector<xmlrpc::Value>& params, Instant now);
  [[nodiscard]] xmlrpc::Value tell_digest(const std::vector<xmlrpc::Value>& params) const;
  [[nodiscard]] xmlrpc::Value stage(const std::vector<xmlrpc::Value>& params, Instant now, std::int64_t time_s);
  [[nodiscard]] xmlrpc::Value commit(const std::vector<xmlrpc::Value>& params, Instant now, std::int64_t time_s);
  [[nodiscard]] xmlrpc::Value confirm(const std::vector<xmlrpc::Value>& params, std::int64_t time_s);
  [[nodiscard]] xmlrpc::Value abort(const std::vector<xmlrpc::Value>& params, std::int64_t time_s);
  [[nodiscard]] xmlrpc::Value tell_log(const std::vector<xmlrpc::Value>& params) const;
  void require_secondary() const;
  void judge(const Revision& offered) const;
  [[nodiscard]] Revision revision_of(const xmlrpc::Value& params) const;
  [[nodiscard]] std::string new_txn();
  void roll_back(std::int64_t time_s, const std::string& because);

  Settings settings_;
  Identity identity_;
  Store& store_;
  Ground ground_;
  Audit& audit_;
  std::optional<Staged> staged_;
  std::optional<Staged> pending_;  ///< committed, not confirmed
  std::optional<OtherPrimary> other_primary_;
  std::uint64_t txns_ = 0;
};

[[nodiscard]] std::string_view word(Role role);

}  // namespace pfsync::engine::config_sync
