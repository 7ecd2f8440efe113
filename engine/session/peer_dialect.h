#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "engine/counters.h"
#include "engine/published.h"
#include "statetable/time.h"
#include "wire/address.h"
#include "wire/dialect.h"

namespace pfsync::engine {

/// Which dialect one destination, a peer or a group, is written in: fixed, or learned from what is heard.
///
/// A sender tells its dialect by the full states of its own that it sends; packets without any tell the
/// header version only. Each source address is remembered for itself, and what is written is the newest
/// dialect that all who were heard lately take. What a node takes is the newest that it told: what it sends now may be
/// older only because somebody else in its group, this node even, takes no more. Nodes of both header versions have
/// none in common: the version in use then stays, and those who do not take it are counted.
///
/// Anybody can send a packet in a node's name, or invent nodes. So another header version of a known node is believed
/// once nothing else was heard of it for some seconds, and so is an older dialect than the one that it is written in;
/// who is established, that is heard for longer than some packets take, gives its place to nobody, and where there are
/// such, they alone decide.
/// Learning is for the session's thread; what is in use may be read from any.
class PeerDialect {
 public:
  using Instant = statetable::Instant;
  using Duration = statetable::Duration;
  /// A further one displaces the one heard longest ago of those that are not established, if there is one.
  static constexpr std::size_t sources_max = 16;
  /// A source heard before this is gone. Long, since a quiet node says nothing but still listens.
  static constexpr std::chrono::hours lately{1};
  /// The same for one that is not established.
  static constexpr std::chrono::minutes lately_heard_once{5};
  /// Between its first packet and its last: heard for so long a source is established.
  static constexpr std::chrono::seconds established{10};
  /// A source of another header version, or of an older dialect than it is written in, is another system once it has
  /// said so for so long, and nothing else. Longer than a node that is asked for signs of life is quiet; shorter than
  /// kernels wait before they ask for everything again.
  static constexpr std::chrono::seconds believed{3};

  /// `first`: spoken until something was heard; for good unless `learn`.
  PeerDialect(wire::Dialect first, bool learn) noexcept : first_{first}, learn_{learn}, in_use_{first} {}

  /// The place of a source, below sources_max; sources_max: it has none.
  [[nodiscard]] std::size_t place_of(const wire::Address& source) noexcept;
  /// How many have one.
  [[nodiscard]] std::size_t known() const noexcept { return known_; }

  /// A packet came, with this header version and, if it has full states, the newest dialect of them: a
  /// FreeBSD whose message version is changed may send both in one packet. `place`: of its source.
  /// Returns whether its sender takes the full states that are written.
  bool heard(const wire::Address& source, std::size_t place, std::uint8_t header_version,
             std::optional<wire::Dialect> told, Instant now) noexcept;

  /// Nothing that this source said counts any more. False: it was not heard.
  bool forget(const wire::Address& source, Instant now) noexcept;

  /// A source, as it is shown.
  struct Heard {
    wire::Address address{};
    Instant at{};
    std::uint8_t header_version = 0;
    std::optional<wire::Dialect> told{};  ///< by its own full states: the newest
    bool takes = true;                    ///< what is written
    bool counts = true;                   ///< whether that is asked for; see PeerDialect
  };
  /// As at construction, for one that has heard already. While it is learned, that decides; no other thread reads.
  void set(wire::Dialect first, bool learn) noexcept;

  // Any thread:
  /// The sources heard lately, as they were a second ago at most.
  [[nodiscard]] std::vector<Heard> heard_lately() const;
  [[nodiscard]] wire::Dialect in_use() const noexcept { return in_use_.load(std::memory_order_relaxed); }
  [[nodiscard]] bool is_fixed() const noexcept { return !learn_; }
  /// Something that was heard has decided.
  [[nodiscard]] bool is_learned() const noexcept { return learned_.load(std::memory_order_relaxed); }
  [[nodiscard]] std::uint64_t changes() const noexcept { return changes_.value(); }
  /// Sources heard lately that count, and do not take what is written.
  [[nodiscard]] std::uint64_t apart() const noexcept { return apart_.value(); }

 private:
  struct Source {
    wire::Address address{};
    Instant first_heard{};
    Instant heard{};
    std::uint8_t header_version = 0;      ///< 0: a free place
    std::optional<wire::Dialect> told{};  ///< the newest
    // Of another system that it may have become.
    std::uint8_t other_version = 0;  ///< 0: nothing was heard of that; header_version: it tells an older dialect
    std::optional<wire::Dialect> other_told{};
    Instant other_since{};
    [[nodiscard]] bool is_established() const noexcept { return heard - first_heard >= established; }
  };
  /// Null: all places belong to established ones.
  [[nodiscard]] Source* place_for(const wire::Address& address, Instant now) noexcept;
  /// Returns whether that changes what is known of the source.
  bool note(Source& source, std::uint8_t header_version, std::optional<wire::Dialect> told, Instant now) noexcept;
  [[nodiscard]] wire::Dialect spoken_by(const Source& source) const noexcept;
  [[nodiscard]] bool takes(const Source& source, wire::Dialect dialect) const noexcept;
  [[nodiscard]] wire::Dialect choose() const noexcept;
  /// Whether what it takes is asked for: what was heard for a moment does not decide for those who stay.
  [[nodiscard]] static bool counts(const Source& source, const std::array<Source, sources_max>& all) noexcept;
  void decide() noexcept;
  void forget(Instant now) noexcept;

  wire::Dialect first_;
  bool learn_;
  /// Reads of them are rare; a second's lag is the price of a packet's store.
  void publish(Instant now) noexcept;

  std::array<Source, sources_max> sources_{};
  Published<std::array<Source, sources_max>> published_;
  std::size_t known_ = 0;
  std::size_t last_ = 0;  ///< the place of the last packet's source
  Instant publish_due_{};
  Instant forget_due_ = Instant::max();
  std::atomic<wire::Dialect> in_use_;
  std::atomic<bool> learned_{false};
  Counter changes_, apart_;
};

}  // namespace pfsync::engine
