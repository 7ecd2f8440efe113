#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "engine/config_sync/receiver.h"
#include "engine/config_sync/revision.h"
#include "engine/xmlrpc/value.h"
#include "statetable/time.h"

namespace pfsync::engine::config_sync {

/// The side of node-to-node synchronization that pushes: what to do next, and what an answer means. The order is: the
/// other node stages, this one applies, the other commits, and is asked to confirm over a connection of its own. When
/// the other cannot stage, this node goes ahead alone and tries again after 1, 2, 4 … 60 s, and at once when the link
/// comes up. Pure. One thread at a time.
class Sender {
 public:
  static constexpr std::chrono::seconds retry_max{60};
  static constexpr std::chrono::seconds alarm_after{30};
  static constexpr std::chrono::seconds check_every{10};  ///< that the other still has what it was given
  static constexpr std::size_t told_max = 100;            ///< of the other node's warnings, and of its changes
  static constexpr std::size_t change_bytes_max = 10'000;

  enum class Step : std::uint8_t { none, hello, stage, apply, commit, confirm, abort };
  struct Lost {
    std::string sentence;  ///< no answer, and why
  };
  using Result = std::variant<xmlrpc::Value, xmlrpc::Fault, Lost>;

  Sender(std::string node_id, std::string cluster, unsigned confirm_s)
      : node_id_{std::move(node_id)}, cluster_{std::move(cluster)}, confirm_s_{confirm_s} {}

  /// The revision to push from now on. `applied`: it is in force here.
  void offer(Revision revision, bool applied, Instant now);

  /// What is to be done now; none: nothing before deadline().
  [[nodiscard]] Step step(Instant now);
  [[nodiscard]] Instant deadline() const noexcept { return next_at_; }
  /// The call that a step is, but for apply; hello takes the receiver's own words.
  [[nodiscard]] xmlrpc::Call call(Step step, const xmlrpc::Value& hello) const;
  void done(Step step, const Result& result, Instant now);
  /// Of Step::apply. Not applied: the offer is dropped.
  void applied(bool well, Instant now);
  void link_up(Instant now);
  /// Try at once.
  void push(Instant now) { link_up(now); }

  [[nodiscard]] const std::optional<Revision>& offered() const noexcept { return revision_; }
  [[nodiscard]] bool is_applied() const noexcept { return applied_; }
  [[nodiscard]] bool is_in_sync() const noexcept { return in_sync_; }
  [[nodiscard]] bool is_split() const noexcept { return split_; }
  [[nodiscard]] bool has_alarm(Instant now) const {
    return split_ || (failing_since_ && now - *failing_since_ >= alarm_after);
  }
  [[nodiscard]] const std::string& error() const noexcept { return error_; }
  [[nodiscard]] const std::vector<std::string>& warnings() const noexcept { return warnings_; }
  /// Of the last stage: section, and in words what it changes there.
  [[nodiscard]] const std::vector<std::string>& changes() const noexcept { return changes_; }
  [[nodiscard]] const std::string& peer_digest() const noexcept { return peer_digest_; }
  [[nodiscard]] const std::string& peer_id() const noexcept { return peer_id_; }
  [[nodiscard]] std::uint64_t peer_epoch() const noexcept { return peer_epoch_; }
  /// Whether the other node's last answer to hello names it as secondary.
  [[nodiscard]] bool peer_is_secondary() const noexcept { return peer_is_secondary_; }
  /// Brought to their end: taken there and confirmed, or found so.
  [[nodiscard]] std::uint64_t pushes() const noexcept { return pushes_; }
  [[nodiscard]] std::uint64_t failures() const noexcept { return failures_; }

 private:
  void fail(std::string sentence, Instant now);
  void settled(Instant now);
  void after_stage(Instant now);
  void greeted(const xmlrpc::Value& peer, Instant now);

  std::string node_id_, cluster_;
  unsigned confirm_s_;
  std::optional<Revision> revision_;
  bool applied_ = false, in_sync_ = false, split_ = false;
  Step phase_ = Step::none;
  std::string txn_;
  bool committed_ = false;  ///< the transaction waits for its confirmation only
  bool pushing_ = false;    ///< a commit was sent whose end is not known yet
  bool peer_is_secondary_ = false;
  std::string error_;
  std::vector<std::string> warnings_, changes_;
  std::string peer_digest_, peer_id_;
  std::uint64_t peer_epoch_ = 0;
  std::uint64_t pushes_ = 0, failures_ = 0;
  std::chrono::seconds backoff_{1};
  Instant next_at_{};
  std::optional<Instant> failing_since_;
};

}  // namespace pfsync::engine::config_sync
