#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <optional>
#include <string>

#include "engine/config_sync/receiver.h"
#include "engine/config_sync/sender.h"
#include "engine/config_sync/store.h"
#include "statetable/time.h"
#include "tests/sim/chaos/disk.h"
#include "tests/sim/chaos/marks.h"

namespace pfsync::sim::chaos {

using statetable::Duration;
using statetable::Instant;

/// One node's half of configuration sync, as the agent puts it together (engine/config_sync/agent.cc): what lives in
/// memory over what lies on its disk.
class ConfigHalf {
 public:
  /// Brings sync.maxupd into force.
  using Apply = std::function<void(unsigned maxupd)>;

  ConfigHalf(bool is_primary, Disk& disk, Apply apply, Marks& marks);

  /// `maxupd`: what the operator's file says. May throw PowerLoss, as all that touches the disk.
  void power_on(unsigned maxupd, Instant now, std::int64_t time_s);
  void power_off() { life_.reset(); }
  [[nodiscard]] bool is_on() const { return life_.has_value(); }
  /// The operator's file says another, and is read again.
  void edit(unsigned maxupd, Instant now, std::int64_t time_s);
  /// The primary has lost its disk, and the secondary holds what is newer: the operator orders a push above that.
  void renew(Instant now, std::int64_t time_s);
  /// This half's own step between the other's stage and commit.
  void apply_offer(Instant now);
  void tick(Instant now, std::int64_t time_s);

  [[nodiscard]] engine::config_sync::Sender& sender() { return *life_->sender; }
  [[nodiscard]] engine::config_sync::Receiver& receiver() { return *life_->receiver; }
  [[nodiscard]] const engine::config_sync::Store& store() const { return life_->store; }
  [[nodiscard]] engine::config_sync::Store& store() { return life_->store; }
  [[nodiscard]] const engine::config_sync::Audit& audit() const { return life_->audit; }
  /// What is in force here; 0: what the file of a secondary says by itself.
  [[nodiscard]] unsigned in_force() const { return in_force_; }

 private:
  struct Life {
    explicit Life(Disk& disk) : store{disk} {}
    engine::config_sync::Store store;
    engine::config_sync::Audit audit;
    engine::config_sync::Identity identity;
    std::optional<engine::config_sync::Receiver> receiver;
    std::optional<engine::config_sync::Sender> sender;
    std::optional<engine::config_sync::Stored> offer;
  };
  void offer(unsigned maxupd, Instant now, std::int64_t time_s);
  void bring_into_force(const engine::config_sync::Sections* sections);

  bool is_primary_;
  Disk& disk_;
  Apply apply_;
  Marks& marks_;
  unsigned in_force_ = 0;
  std::optional<Life> life_;
};

/// The calls between a primary and its secondary, each over a connection that the network may break at any time.
class ConfigCalls {
 public:
  static constexpr std::chrono::seconds patience{5};

  /// Whether what the first of two sends reaches the second now. `to_secondary`: of the two which.
  using Reaches = std::function<bool(bool to_secondary)>;
  ConfigCalls(ConfigHalf& primary, ConfigHalf& secondary, Reaches reaches, Marks& marks)
      : primary_{primary}, secondary_{secondary}, reaches_{std::move(reaches)}, marks_{marks} {}

  /// The primary's thread: its next step. May throw PowerLoss of the primary.
  void turn_primary(Duration now, Instant local);
  /// What has reached the secondary. May throw PowerLoss of the secondary.
  void turn_secondary(Duration now, Instant local, std::int64_t time_s);
  /// One of both lost its memory: nobody waits for the answer, or nobody gives it.
  void forget(bool is_primary);

 private:
  struct Call {
    engine::config_sync::Sender::Step step;
    std::string body;
    Duration asked_at;
    bool has_arrived = false;
    std::optional<std::string> answer{};
    Duration answered_at{};
  };
  ConfigHalf& primary_;
  ConfigHalf& secondary_;
  Reaches reaches_;
  Marks& marks_;
  std::optional<Call> call_;
};

}  // namespace pfsync::sim::chaos
