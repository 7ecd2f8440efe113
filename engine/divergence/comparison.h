#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "engine/divergence/answerer.h"
#include "engine/divergence/message.h"
#include "engine/divergence/sums.h"
#include "engine/divergence/versions.h"
#include "statetable/table.h"
#include "statetable/time.h"

namespace pfsync::engine::divergence {

/// A state in which both nodes differ, as it was when that was certain.
struct Difference {
  wire::StateId id{};
  Kind kind = Kind::unclear;
  std::optional<wire::State> here, there;
};

/// What a comparison has found so far, and what became of it.
struct Findings {
  wire::Family family = wire::Family::none;  ///< of the other node's address on the sync network; none: not known yet
  wire::Address peer{};
  std::uint64_t states_here = 0, states_there = 0;
  std::uint64_t suspects = 0;  ///< differed at the first look
  std::uint64_t settled = 0;   ///< of these: did not at the second
  std::uint64_t in_flux = 0;   ///< of these: still change, so that nothing can be said
  std::array<std::uint64_t, kinds> of_kind{};
  std::uint64_t mended_here = 0, mended_there = 0;    ///< states entered or changed
  std::uint64_t removed_here = 0, removed_there = 0;  ///< the other node was certain of their end
  std::uint64_t refused = 0;  ///< repairs that a node could not carry out: its counters tell why
  std::uint64_t unclear = 0;  ///< different still, since neither version is the newer
  std::uint64_t bytes_sent = 0, bytes_received = 0, requests = 0;  ///< without TLS and HTTP around them
  statetable::Duration taken{};
  std::vector<Difference> differences;  ///< the first so many
  std::string failure;                  ///< why it came to no end; empty: it did, or goes on
  bool is_too_much = false;             ///< the failure: so many differ that a bulk update is the better way

  [[nodiscard]] std::uint64_t different() const noexcept {
    std::uint64_t sum = 0;
    for (const std::uint64_t count : of_kind) sum += count;
    return sum;
  }
  /// Of those, what is so still, after a comparison that was to mend them or not.
  [[nodiscard]] std::uint64_t left(bool was_to_mend) const noexcept {
    return was_to_mend ? refused + unclear : different();
  }
};

/// The side of a comparison that asks, as a course of steps: requests out, answers in, and pauses between. First the
/// buckets whose sums differ, level by level, then the states in them; those that differ are looked at again once every
/// change of before must have arrived. Only what still differs is fetched in full, judged, and on demand mended on both
/// sides. Reads the own table without locks; no clock, no socket. One thread.
class Comparison {
 public:
  static constexpr std::size_t shown_max = 500;
  static constexpr std::size_t buckets_differ_max = 32'768;
  static constexpr std::size_t suspects_max = 200'000;
  static constexpr std::size_t different_max = 20'000;
  /// Beyond what both nodes let a change wait: on its way through packets, queues and cores.
  static constexpr std::chrono::seconds on_the_way{1};

  struct Config {
    OwnFacts facts{};
    std::uint64_t seed = 0;  ///< random: a peer of a peer that knew it could fill one bucket
    bool mend = false;
  };
  /// The table outlives it. `ground.carry_out` may take a while.
  Comparison(const Config& config, const statetable::Table& table, Ground ground, Instant now);

  /// The next request; nothing: it is not due() yet, or all is done.
  [[nodiscard]] std::optional<std::string> request(Instant now, statetable::Seconds now_s);
  [[nodiscard]] Instant due() const noexcept { return due_; }
  /// Of the request that was given last.
  void answered(std::string_view answer, Instant now, statetable::Seconds now_s);
  /// It has none.
  void lost(std::string sentence, Instant now) { end(std::move(sentence), now); }

  [[nodiscard]] bool is_done() const noexcept { return step_ == Step::done; }
  [[nodiscard]] const Findings& findings() const noexcept { return findings_; }
  /// In words: "begin", "narrow", …
  [[nodiscard]] std::string_view step() const noexcept;

 private:
  enum class Step : std::uint8_t { begin, narrow, list, settle, look, fetch, mend, done };
  struct Suspect {
    wire::StateId id{};
    std::optional<Sum> here, there;  ///< at the first look
  };

  [[nodiscard]] bool take(const Begun& begun, Instant now);
  [[nodiscard]] bool take(const Narrowed& narrowed, Instant now);
  [[nodiscard]] bool take(const Listed& listed, Instant now);
  [[nodiscard]] bool take(const Looked& looked, Instant now);
  [[nodiscard]] bool take(const Fetched& fetched, Instant now);
  [[nodiscard]] bool take(const Mended& mended, Instant now);
  [[nodiscard]] Request next_request() const;
  void enter(Step step, Instant now);
  void judge(const Suspect& suspect, const std::optional<wire::State>& there);
  void count(Kind kind, const Suspect& suspect, const std::optional<wire::State>& here,
             const std::optional<wire::State>& there);
  void plan(Kind kind, const wire::State* here, const wire::State* there, const Versions& versions);
  void mend_here(Instant now);
  void end(std::string failure, Instant now);
  void too_much(Instant now);
  template <class T>
  [[nodiscard]] std::vector<T> part(const std::vector<T>& all, std::size_t most) const;

  Config config_;
  statetable::TableReader reader_;
  Ground ground_;
  unsigned bucket_bits_;
  Findings findings_;
  Step step_ = Step::begin;
  Instant began_, due_;
  statetable::Seconds now_s_ = 0;
  std::optional<BucketSums> sums_;
  wire::Address peer_{};
  std::uint32_t peer_delay_ms_ = 0;
  unsigned level_ = level_bits;
  std::size_t at_ = 0;  ///< how far the list of this step has been asked about
  std::vector<std::uint32_t> buckets_, children_;
  std::vector<Suspect> suspects_;
  std::vector<wire::StateId> ids_;  ///< of those looked at or fetched
  std::vector<Suspect> lasting_;
  std::vector<Repair> for_here_, for_there_;
  bool is_second_round_ = false;  ///< what one side knows to have ended, for the other
};

}  // namespace pfsync::engine::divergence
