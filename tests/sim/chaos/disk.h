#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <system_error>
#include <vector>

#include "engine/config_sync/files.h"

namespace pfsync::sim::chaos {

/// The node loses its power in the midst of a step on its disk.
struct PowerLoss {};

/// What a node has when it has lost its memory: its snapshot and the folder of its configurations. Every step on it may
/// be the last one.
class Disk final : public engine::config_sync::Files {
 public:
  bool is_full = false;
  bool lies = false;  ///< says that it has written what a loss of power then tears
  std::uint64_t slow = 1;

  /// The steps to the one in the midst of which the power goes; 0: it does not.
  void die_in(std::uint64_t steps) { left_ = steps; }
  /// One step. Throws PowerLoss when it is the last.
  void step() {
    if (left_ > 0 && --left_ == 0) throw PowerLoss{};
  }
  /// The snapshot takes its place: the rename, then the folder. `now_s` of the run.
  void replace_snapshot(std::vector<std::uint8_t> bytes, std::uint64_t number, std::int64_t now_s);
  /// The power is gone: what the disk lied about is torn. `random`: where.
  void lose_power(std::int64_t now_s, std::uint64_t random);
  /// Another disk.
  void renew();
  [[nodiscard]] const std::optional<std::vector<std::uint8_t>>& snapshot() const { return snapshot_; }
  [[nodiscard]] std::uint64_t snapshot_number() const { return snapshot_number_; }
  void remove_snapshot() { snapshot_.reset(); }

  // The folder
  std::optional<std::string> read(const std::string& name) override;
  void write(const std::string& name, const std::string& bytes) override;
  void rename(const std::string& from, const std::string& to) override;
  void link(const std::string& from, const std::string& to) override;
  void remove(const std::string& name) override;
  void sync_directory() override { step(); }
  std::vector<std::string> list() override;

 private:
  /// Throws std::system_error when the disk is full.
  void need_room() const {
    if (is_full) throw std::system_error{ENOSPC, std::generic_category()};
  }

  std::optional<std::vector<std::uint8_t>> snapshot_;
  std::uint64_t snapshot_number_ = 0;
  std::int64_t written_at_s_ = 0;
  std::map<std::string, std::string> files_;
  std::uint64_t left_ = 0;
};

}  // namespace pfsync::sim::chaos
