#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <vector>

#include "engine/config_sync/files.h"
#include "engine/config_sync/revision.h"

namespace pfsync::engine::config_sync {

/// The revision in force and its predecessors, on a disk: at any moment, whatever ends the process, a start finds one
/// whole revision, the old or the new. Names: config, config.new (staged), config.EPOCH.GENERATION (former ones),
/// pending (a commit that is not confirmed; a start rolls it back), identity. One thread at a time. What fails on the
/// disk is returned as one sentence.
class Store {
 public:
  static constexpr std::size_t kept = 20;  ///< former revisions

  explicit Store(Files& files) : files_{files} {}

  /// What the last process left. Sentences for the operator: what was rolled back or found damaged.
  [[nodiscard]] std::vector<std::string> load();

  [[nodiscard]] const std::optional<Stored>& current() const noexcept { return current_; }
  [[nodiscard]] bool is_pending() const noexcept { return pending_; }

  [[nodiscard]] std::string stage(const Stored& next);
  [[nodiscard]] std::string unstage();
  /// What was staged comes into force, not yet for good.
  [[nodiscard]] std::string commit();
  [[nodiscard]] std::string confirm();
  /// To what was in force before commit().
  [[nodiscard]] std::string roll_back();

  struct Former {
    std::uint64_t epoch;
    std::uint64_t generation;
  };
  /// Newest first; the one in force is not among them, unless rolled back to.
  [[nodiscard]] std::vector<Former> former();
  /// Of that generation; without an epoch of the newest that has it; or nullopt.
  [[nodiscard]] std::optional<Stored> generation(std::uint64_t generation, std::optional<std::uint64_t> epoch = {});

  [[nodiscard]] std::optional<Identity> identity();
  [[nodiscard]] std::string write(const Identity& identity);

 private:
  void prune();
  void restore();
  void find_current(std::vector<std::string>& told);
  Files& files_;
  std::optional<Stored> current_;
  std::optional<Stored> staged_;
  bool pending_ = false;
};

}  // namespace pfsync::engine::config_sync
