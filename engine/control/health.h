#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "engine/session/bulk_requester.h"
#include "statetable/time.h"
#include "wire/dialect.h"

namespace pfsync::engine {

/// Whether an operator has to act, and how soon.
enum class Verdict : std::uint8_t {
  healthy,   ///< nobody has to act
  degraded,  ///< the sync works, but not all of it
  failed,    ///< something is not synchronized
};
inline constexpr std::string_view verdict_words[] = {"healthy", "degraded", "failed"};
[[nodiscard]] constexpr std::string_view word(Verdict verdict) noexcept {
  return verdict_words[static_cast<std::size_t>(verdict)];
}

/// What may be wrong, those first that others follow from.
enum class Trouble : std::uint8_t {
  link,         ///< the link is down
  mute,         ///< a peer is not heard
  deaf,         ///< a peer does not hear this node
  bulk,         ///< nobody sent all states
  alone,        ///< nobody was ever heard in a group
  mtu,          ///< long packets do not arrive
  dialect,      ///< a peer does not take what is written to it
  unreadable,   ///< a peer's packets cannot be read
  refused,      ///< a peer does not keep what it is given
  table,        ///< states were refused here
  silent,       ///< a peer's host does not answer
  names,        ///< interface names without a row in the peer's map
  loss_in,      ///< what a peer says is lost on its way
  loss_out,     ///< what is said to a peer is lost on its way
  divergence,   ///< a peer has other states than this node
  drops,        ///< frames are dropped on this machine
  carp,         ///< the virtual addresses
  config_sync,  ///< the other node's configuration
  snapshot,     ///< the table's copy on disk
};
inline constexpr std::string_view trouble_words[] = {
    "link",   "mute",  "deaf",    "bulk",     "alone",      "mtu",   "dialect", "unreadable",  "refused", "table",
    "silent", "names", "loss_in", "loss_out", "divergence", "drops", "carp",    "config_sync", "snapshot"};
[[nodiscard]] constexpr std::string_view word(Trouble trouble) noexcept {
  return trouble_words[static_cast<std::size_t>(trouble)];
}

/// One thing that is wrong: `sentence` says what, where, and what to do.
struct Reason {
  Verdict level = Verdict::degraded;
  Trouble trouble = Trouble::link;
  std::string peer{};  ///< whom it is about; empty: this node
  std::string sentence{};
};

/// How much of what one side announces does not reach the other: new states that had to be asked for, of all. They
/// share packets, and it is packets that are lost, so the bounds are those of so many packets (Wilson, 95 %).
struct LossEstimate {
  std::uint64_t missed = 0;  ///< states whose insert was lost, as far as a later message of them came
  std::uint64_t told = 0;    ///< states whose insert arrived, or left
  double window_s = 0;       ///< within this time
  double percent = 0, low = 0, high = 0;
};

struct PeerHealth {
  std::string address{};
  LossEstimate loss_in{}, loss_out{};
  double unknown_per_s = 0, stale_per_s = 0;  ///< updates heard from it, within the last ten seconds
};

struct Health {
  Verdict verdict = Verdict::healthy;
  std::string reason{};           ///< the worst of them, or what is going on while all is well
  std::vector<Reason> reasons{};  ///< worst first
  std::vector<PeerHealth> peers{};

  [[nodiscard]] bool is_healthy() const noexcept { return verdict == Verdict::healthy; }
};

// --- what it is judged by ------------------------------------------------------------------------------

/// Numbers that only grow, at a time.
struct PeerCounts {
  std::uint64_t packets_received = 0, packets_refused = 0, packets_full = 0;
  std::uint64_t inserts_received = 0, insert_packets_received = 0, missed = 0, unknown = 0, stale = 0;
  std::uint64_t inserts_sent = 0, insert_packets_sent = 0, asked = 0, missed_by_peer = 0, asked_again = 0;
  std::uint64_t probes_received = 0;  ///< long ones
  std::uint64_t names_unmapped = 0;
};

/// A source heard at a destination; see PeerWatch::Node.
struct NodeFacts {
  std::string address{};
  statetable::Instant heard_at{}, silent_since{}, answered_at{}, heard_again_at{};
  std::uint32_t unanswered = 0, unanswered_long = 0, unanswered_ours = 0;
};

/// One destination, a peer or a group.
struct PeerFacts {
  std::string address{};
  bool is_group = false;
  bool active = true;
  std::optional<statetable::Instant> heard_at{}, silent_since{};
  PeerCounts counts{};
  std::vector<NodeFacts> nodes{};
  std::uint32_t unanswered = 0;  ///< questions in a row, by anybody
  statetable::Instant unanswered_since{};
  BulkPhase phase = BulkPhase::none;  ///< of the bulk update asked of it
  unsigned tries = 0;
  statetable::Duration bulk_taking{};
  bool is_served = false;          ///< it is given a bulk update
  std::uint64_t bulks_served = 0;  ///< bulk updates that it was given, of which one may begin and end between two looks
  wire::Dialect dialect = wire::Dialect::freebsd_1301;
  bool dialect_is_fixed = false;
  std::vector<std::string> apart{};           ///< who does not take it: "10.0.0.1 (1500)"
  std::vector<std::string> unmapped_names{};  ///< without a row in its map
  std::vector<std::string> refused_names{};   ///< of states that it asks for again and again
  /// Samples tell that it has surely too many states otherwise or not: a share of all, and its bounds of 95 %.
  struct Differing {
    double share = 0, low = 0, high = 1;
    std::uint64_t judged = 0;
  };
  std::optional<Differing> differing{};
};

struct HealthFacts {
  statetable::Instant now{};
  bool link_up = true;
  std::string device{}, own_address{};
  std::size_t mtu = 1500;
  /// Devices that take frames and let none go, most often since one is longer than the other end of a virtual link
  /// takes; nobody hears what is said on the link while its own is among them.
  std::vector<std::string> standing_still{};
  bool link_stands_still = false;
  std::uint64_t states_refused = 0;
  std::uint64_t names_refused = 0;  ///< states of which a name found no number, see statetable::names_max
  std::uint64_t frames_received = 0, frames_dropped = 0;  ///< by the port and on their way to its cores
  std::string drops{};                                    ///< the words of what was dropped
  std::string carp{};                                     ///< a sentence; empty: all is well
  std::string config_sync{};                              ///< likewise
  std::string snapshot{};                                 ///< likewise
  std::string divergence{}, divergence_peer{};            ///< likewise, of a comparison; with whom
  std::vector<PeerFacts> peers{};
};

/// Judges the sync by what the data path counts and who answers. Looks at it from time to time, remembers five minutes,
/// and lets what is over stand for a while, so that no verdict flaps. No clock: time comes with the facts.
/// Thread-bound.
class HealthMonitor {
 public:
  using Instant = statetable::Instant;
  /// Looked at within less than this, nothing is remembered.
  static constexpr std::chrono::milliseconds sample_every{900};
  static constexpr std::chrono::seconds remembered{300};
  /// What is over stays a reason for so long.
  static constexpr std::chrono::seconds hold{10};
  /// Whoever was silent, and is heard again, has so long to answer; and having answered for so long is no longer
  /// missed.
  static constexpr std::chrono::seconds heard_again{3};
  /// In a row; with a question a second this takes six seconds, and a hundredth of frames lost makes it happen once in
  /// years.
  static constexpr unsigned unanswered_max = 5;
  /// Of the long ones, which are every other one.
  static constexpr unsigned unanswered_long_max = 4;
  static constexpr unsigned unanswered_ours_max = 4;

  [[nodiscard]] const Health& judge(const HealthFacts& facts);
  /// The verdict of the last judgement.
  [[nodiscard]] const Health& last() const noexcept { return health_; }

 private:
  struct Sample {
    Instant at{};
    PeerCounts counts;
  };
  struct History {
    std::deque<Sample> samples;
    // What was missed before says nothing of losses: a bulk update was under way.
    Instant in_from{}, out_from{};
    std::uint64_t bulks_served = 0;
  };
  /// The growth of counts within a time; `window_s` is the time that there is.
  struct Growth {
    PeerCounts counts;
    double window_s = 0;
  };
  [[nodiscard]] static Growth growth(const History& history, Instant now, std::chrono::seconds window, Instant from);
  void remember(const HealthFacts& facts);
  void judge_node(const HealthFacts& facts);
  void judge_peer(const HealthFacts& facts, const PeerFacts& peer);
  void judge_answers(const HealthFacts& facts, const PeerFacts& peer, const History& history);
  /// Whether a peer sent full packets all the time, and none of late.
  [[nodiscard]] static bool has_lost_full_packets(const History& history, Instant now);
  void judge_bulk(const HealthFacts& facts, const PeerFacts& peer);
  void judge_samples(const PeerFacts& peer);
  void judge_content(const HealthFacts& facts, const PeerFacts& peer, const History& history);
  void judge_losses(const HealthFacts& facts, const PeerFacts& peer, const History& history);
  void add(Verdict level, Trouble trouble, const std::string& peer, std::string sentence);
  [[nodiscard]] bool has(Trouble trouble, const std::string& peer) const;
  /// That it asks for what it was given has another reason than losses.
  [[nodiscard]] bool is_loss_explained(const PeerFacts& peer) const;
  [[nodiscard]] static bool is_heard_well(const HealthFacts& facts, const std::string& address, Instant since);
  void keep_recent(const HealthFacts& facts);
  void conclude(const HealthFacts& facts);

  std::map<std::string, History> histories_;
  struct Dropped {
    Instant at{};
    std::uint64_t frames = 0, dropped = 0;
  };
  std::deque<Dropped> dropped_;
  bool link_was_up_ = false;
  Instant heard_again_from_{};  ///< the link's device stood still until a moment before
  std::uint64_t states_refused_ = 0;
  Instant states_refused_at_{};
  struct Held {
    Reason reason;
    Instant seen_at{};  ///< the last time that it was so
  };
  std::map<std::pair<Trouble, std::string>, Held> held_;
  Health health_;
};

/// The loss that so many inserts in so many packets tell of; see LossEstimate.
[[nodiscard]] LossEstimate estimate_loss(std::uint64_t told, std::uint64_t packets, std::uint64_t missed,
                                         double window_s) noexcept;

}  // namespace pfsync::engine
