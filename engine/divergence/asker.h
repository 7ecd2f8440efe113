#pragma once

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <mutex>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <thread>
#include <variant>
#include <vector>

#include "engine/divergence/comparison.h"
#include "engine/divergence/door.h"
#include "engine/divergence/report.h"

namespace pfsync::engine::divergence {

/// Why there is no answer, in one sentence.
struct Unasked {
  std::string sentence;
};
/// One request to the other node, and its answer. Blocks for some seconds at most.
using Ask = std::function<std::variant<std::string, Unasked>(const std::string& request)>;

/// Comparisons of this node's table with the other's, on a thread of its own below the priority of the rest: when the
/// operator orders one, and from time to time. Called on the control thread, which never waits for it.
class Asker {
 public:
  struct Settings {
    OwnFacts facts{};
    std::chrono::seconds every{0};  ///< 0: only when ordered
  };
  struct Totals {
    std::uint64_t comparisons = 0, failures = 0, different = 0, mended = 0, bytes = 0;
  };

  /// The table outlives it, and so does what `ask`, `ground` and `now` call.
  Asker(const Settings& settings, const statetable::Table& table, Ground ground, Ask ask, Now now);
  /// Ends a comparison that runs, within one request's time.
  ~Asker();
  Asker(const Asker&) = delete;
  Asker& operator=(const Asker&) = delete;

  void set(const Settings& settings);
  /// The order's number; nothing: another one waits or runs.
  [[nodiscard]] std::optional<std::uint64_t> order(bool mend);
  /// `running` (the step, or null), `last` (null: there was none), with `order`, `repair`, `time` and what
  /// findings_json() has. The differences cost time: only when they are wanted. `trouble` and `trouble_peer` (null:
  /// none) stand until a comparison that tells it finds nothing left to be mended.
  [[nodiscard]] Json status(bool with_differences) const;
  [[nodiscard]] Totals totals() const;

  struct Line {
    bool warning = false;
    std::string sentence;
  };
  /// For the log, those since the last call.
  [[nodiscard]] std::vector<Line> take_lines();
  /// With whom nothing was left to be mended, since the last call.
  [[nodiscard]] std::optional<wire::Address> take_agreement();

 private:
  struct Order {
    std::uint64_t number = 0;
    bool mend = false;
  };
  struct Last {
    Order order;
    std::int64_t time_s = 0;  ///< since 1970
    Findings findings;
  };
  void run();
  [[nodiscard]] Findings compare(const Order& order, const OwnFacts& facts);
  void note_trouble(const Findings& findings, bool was_to_mend);
  /// Sleeps; false: all ends.
  [[nodiscard]] bool pause(std::chrono::nanoseconds time);

  const statetable::Table& table_;
  const Ground ground_;
  const Ask ask_;
  const Now now_;
  Instant walked_at_{};  ///< its thread's: when the last comparison began
  mutable std::mutex mutex_;
  std::condition_variable wake_;
  Settings settings_;
  bool ended_ = false;
  std::optional<Order> waiting_;
  std::uint64_t orders_ = 0;
  std::string running_;  ///< the step; empty: none runs
  std::optional<Last> last_;
  std::string trouble_, trouble_peer_;
  std::optional<wire::Address> agreement_;
  Totals totals_;
  std::vector<Line> lines_;
  std::thread thread_;
};

}  // namespace pfsync::engine::divergence
