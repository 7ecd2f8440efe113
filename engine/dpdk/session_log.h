#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <vector>

#include "engine/config/config.h"
#include "engine/dpdk/parts.h"
#include "engine/session/partitioned_session.h"

namespace pfsync::engine::dpdk {

/// Tells the log what changes in a session: bulk updates, dialects, who speaks with a peer, a full table.
/// Thread-bound: the control thread looks from time to time.
class SessionLog {
 public:
  /// All must outlive this.
  SessionLog(const Config& config, const PartitionedSession& node, const statetable::Table& table,
             const Placed<Lane>& lanes);
  void look(Instant now);
  /// The peers are others now. `before`: for each, which it was; none: it is new.
  void follow(const std::vector<std::optional<std::size_t>>& before);

 private:
  /// What the network can change as fast as it sends is told once in this time, as it is then.
  static constexpr std::chrono::minutes calm{1};

  /// What was told last.
  struct Told {
    BulkPhase phase = BulkPhase::none;
    bool serves = false;
    bool active = true;
    bool apart = false;
    wire::Dialect dialect = wire::Dialect::freebsd_1301;
    Instant dialect_at{-calm};
  };
  [[nodiscard]] Told fresh(unsigned peer) const;
  void look_at_bulk(unsigned peer, Told& told) const;
  void look_at_dialect(unsigned peer, Told& told, Instant now) const;
  [[nodiscard]] std::string text_of(unsigned peer) const;

  const Config* config_;
  const PartitionedSession* node_;
  const Session* session_;  ///< its first part
  const statetable::Table* table_;
  const Placed<Lane>* lanes_;
  std::vector<Told> told_;
  bool full_ = false;
};

}  // namespace pfsync::engine::dpdk
