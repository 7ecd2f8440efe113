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
/// dialect that all who were heard lately take. Nodes of both header versions have none in common: the
/// version in use then stays, and those who do not take it are counted.
/// Learning is for the session's thread; what is in use may be read from any.
class PeerDialect {
 public:
  using Instant = statetable::Instant;
  static constexpr std::size_t sources_max = 16;  ///< a further one displaces the one heard longest ago
  /// A source heard before this is gone. Long, since a quiet node says nothing but still listens.
  static constexpr std::chrono::hours lately{1};

  /// `first`: spoken until something was heard; for good unless `learn`.
  PeerDialect(wire::Dialect first, bool learn) noexcept : first_{first}, learn_{learn}, in_use_{first} {}

  /// A packet came, with this header version and, if it has full states, the newest dialect of them: a
  /// FreeBSD whose message version is changed may send both in one packet.
  /// Returns whether its sender takes the full states that are written.
  bool heard(const wire::Address& source, std::uint8_t header_version, std::optional<wire::Dialect> told,
             Instant now) noexcept;

  /// Nothing that this source said counts any more. False: it was not heard.
  bool forget(const wire::Address& source, Instant now) noexcept;

  /// A source, as it is shown.
  struct Heard {
    wire::Address address{};
    Instant at{};
    std::uint8_t header_version = 0;
    std::optional<wire::Dialect> told{};  ///< by its own full states
    bool takes = true;                    ///< what is written
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
  /// Sources heard lately that do not take what is written.
  [[nodiscard]] std::uint64_t apart() const noexcept { return apart_.value(); }

 private:
  struct Source {
    wire::Address address{};
    Instant heard{};
    std::uint8_t header_version = 0;  ///< 0: a free place
    std::optional<wire::Dialect> told{};
  };
  [[nodiscard]] Source& place_of(const wire::Address& address, Instant now) noexcept;
  [[nodiscard]] wire::Dialect spoken_by(const Source& source) const noexcept;
  [[nodiscard]] bool takes(const Source& source, wire::Dialect dialect) const noexcept;
  [[nodiscard]] wire::Dialect choose() const noexcept;
  void decide() noexcept;
  void forget(Instant now) noexcept;

  wire::Dialect first_;
  bool learn_;
  /// Reads of them are rare; a second's lag is the price of a packet's store.
  void publish(Instant now) noexcept;

  std::array<Source, sources_max> sources_{};
  Published<std::array<Source, sources_max>> published_;
  Instant publish_due_{};
  Instant forget_due_ = Instant::max();
  std::atomic<wire::Dialect> in_use_;
  std::atomic<bool> learned_{false};
  Counter changes_, apart_;
};

}  // namespace pfsync::engine
