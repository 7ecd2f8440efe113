#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <deque>
#include <optional>
#include <random>
#include <string>
#include <vector>

#include "engine/session/peer_watch.h"
#include "engine/session/samples.h"
#include "engine/token_bucket.h"
#include "statetable/table.h"
#include "statetable/time.h"

/// How far a peer that knows no digest, a pf kernel, has what this node has: single states at random, asked for by
/// UPD_REQ.
namespace pfsync::engine::divergence {

using statetable::Instant;

/// A share and where it lies with 95 % confidence, from what was seen of a sample. Source: E. B. Wilson, "Probable
/// inference, the law of succession, and statistical inference", JASA 22 (1927).
struct Estimate {
  double share = 0, low = 0, high = 1;
};
[[nodiscard]] Estimate wilson(std::uint64_t hits, std::uint64_t of) noexcept;

/// A state of the table, each of those that can be judged as likely as any other; nullopt when none was found within
/// some looks. Not those that are about to begin or to end, nor those that are never announced.
[[nodiscard]] std::optional<wire::StateId> random_state(const statetable::TableReader& reader,
                                                        statetable::Seconds now_s, std::mt19937_64& random);

/// Of one peer: when to ask, and what the answers of the last while say. No I/O, no clock. One thread.
class Sampler {
 public:
  using Counts = std::array<std::uint64_t, sample_verdicts>;  ///< by SampleVerdict, since the start
  static constexpr std::size_t window = 1000;                 ///< judged samples that the estimate is of
  /// So many without any answer: the peer does not answer requests at all, and is asked a tenth as often.
  static constexpr unsigned silent_after = 20;
  static constexpr double alarming_share = 0.01;

  /// Whether one state may be asked for now. `per_s`: 0: never.
  [[nodiscard]] bool is_due(unsigned per_s, Instant now);
  void asked() noexcept { ++asked_; }
  /// What has been counted by now. What was counted before the first call came in an order that is not known, and is no
  /// part of the estimate.
  void follow(const Counts& counts, bool answers_otherwise, Instant now);

  [[nodiscard]] std::uint64_t number_asked() const noexcept { return asked_; }
  [[nodiscard]] const Counts& counts() const noexcept { return counts_; }
  [[nodiscard]] std::size_t judged() const noexcept { return judged_.size(); }
  [[nodiscard]] bool is_answering() const noexcept { return unanswered_ < silent_after; }
  /// Of all states, those that the peer has otherwise or not; nullopt: nothing was judged, or it does not answer.
  [[nodiscard]] std::optional<Estimate> estimate() const;
  /// Now that peer and node are known to agree: what was judged before says nothing any more.
  void forget() noexcept;
  /// What estimate() has while more than alarming_share of the states surely differ.
  [[nodiscard]] std::optional<Estimate> alarm() const { return is_alarming_ ? estimate() : std::nullopt; }
  /// True once when more than alarming_share of the states surely differ, false once when surely no more do.
  [[nodiscard]] std::optional<bool> take_change();

 private:
  bool is_following_ = false;
  std::optional<Instant> away_at_;  ///< when it last left other questions unanswered
  bool is_alarming_ = false;
  std::optional<Instant> last_;
  std::uint64_t asked_ = 0;
  Counts counts_{};
  std::deque<bool> judged_;  ///< whether it was different or missing
  std::size_t bad_ = 0;      ///< of these
  unsigned unanswered_ = 0;  ///< in a row
};

}  // namespace pfsync::engine::divergence
