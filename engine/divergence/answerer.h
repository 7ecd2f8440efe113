#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include "engine/divergence/message.h"
#include "engine/divergence/sums.h"
#include "statetable/table.h"
#include "statetable/time.h"

namespace pfsync::engine::divergence {

using statetable::Instant;

/// What this node says of itself.
struct OwnFacts {
  wire::Family family = wire::Family::inet;
  wire::Address address{};     ///< on the sync network
  std::uint32_t delay_ms = 0;  ///< sync.delay_ms
};

/// Has the session carry these out, as of the peer with that address, and leaves their outcomes there. Empty: they have
/// been; else why not, in one sentence.
using CarryOut = std::function<std::string(const wire::Address& peer, std::span<Repair> repairs)>;

/// Gives a state's interfaces the names that the peer with that address has for them, where this node maps them.
using ToTheirs = std::function<void(const wire::Address& peer, wire::State& state)>;

/// What both sides of a comparison need of the node.
struct Ground {
  CarryOut carry_out;
  ToTheirs to_theirs{};  ///< empty: names pass as they are
};

/// The side of a comparison that is asked. Bytes and a time in, bytes out; reads the table without locks and keeps no
/// more than the sums of one walk. One thread at a time.
class Answerer {
 public:
  /// Between two walks. Each takes a core for a moment.
  static constexpr std::chrono::milliseconds walk_pause{500};
  /// Lists in one comparison: each goes through the identities of all states.
  static constexpr unsigned lists_max = 64;
  static constexpr std::chrono::seconds kept{120};

  Answerer(const OwnFacts& facts, const statetable::TableReader& reader, Ground ground)
      : facts_{facts}, reader_{reader}, ground_{std::move(ground)} {}

  void set_delay(std::uint32_t delay_ms) noexcept { facts_.delay_ms = delay_ms; }
  /// Of a request whose sender is known.
  [[nodiscard]] std::string answer(std::string_view request, Instant now, statetable::Seconds now_s);
  /// Frees what nobody has asked about for a while.
  void tick(Instant now) {
    if (sums_ && now - asked_at_ >= kept) sums_.reset();
  }

 private:
  [[nodiscard]] Answer answer(const Begin& begin, Instant now);
  [[nodiscard]] Answer answer(const Narrow& narrow) const;
  [[nodiscard]] Answer answer(const List& list);
  [[nodiscard]] Answer answer(const Look& look) const;
  [[nodiscard]] Answer answer(const Fetch& fetch, statetable::Seconds now_s) const;
  [[nodiscard]] Answer answer(Mend& mend);

  OwnFacts facts_;
  statetable::TableReader reader_;
  Ground ground_;
  std::optional<BucketSums> sums_;
  unsigned lists_left_ = 0;
  Instant walked_at_{}, asked_at_{};
};

}  // namespace pfsync::engine::divergence
