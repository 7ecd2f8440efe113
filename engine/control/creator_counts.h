#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include "statetable/table.h"
#include "statetable/time.h"

namespace pfsync::engine {

/// How many states each node has created. Counted by a walk through the table in bounded steps, as often as somebody
/// asks, and begun again at most once in `refresh`; until a walk has ended, the numbers of the one before are told.
class CreatorCounts {
 public:
  static constexpr std::chrono::seconds refresh{3};
  static constexpr std::size_t slots_per_step = std::size_t{1} << 17u;  ///< looked at in one step
  static constexpr std::size_t creators_max = 64;  ///< the states of those beyond are counted together

  struct Row {
    std::uint32_t creatorid = 0;
    std::size_t states = 0;
  };
  struct Counts {
    std::vector<Row> rows{};  ///< the most states first
    std::size_t others = 0;
    statetable::Instant counted_at{};  ///< when the walk ended
  };

  /// Goes on by one step.
  void step(const statetable::Table& table, statetable::Instant now);
  /// Of the last walk that ended; nullopt: none has.
  [[nodiscard]] const std::optional<Counts>& counts() const noexcept { return counts_; }

 private:
  void count(std::uint32_t creatorid);

  std::optional<Counts> counts_{};
  Counts next_{};
  std::size_t last_ = 0;  ///< the row that was counted last: states of a node lie together
  bool walking_ = false;
  statetable::TableReader::Cursor cursor_{};
};

}  // namespace pfsync::engine
