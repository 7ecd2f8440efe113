#pragma once

#include <array>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <vector>

#include "engine/carp/node.h"
#include "engine/link/link.h"
#include "engine/session/bulk_retry.h"
#include "engine/session/bulk_sender.h"
#include "engine/session/partitioned_session.h"
#include "engine/session/synthetic.h"
#include "engine/snapshot/walk.h"
#include "statetable/table.h"
#include "tests/engine/snapshot/snapshot_memory.h"
#include "tests/sim/chaos/disk.h"
#include "tests/sim/chaos/marks.h"
#include "tests/sim/chaos/network.h"
#include "tests/sim/chaos/scenario.h"

namespace pfsync::sim::chaos {

using statetable::Instant;

/// How long each node holds what is not used. Short, so that a run sees the end of it.
[[nodiscard]] engine::Timeouts short_timeouts();

/// One node: a firewall with its load, or an engine with virtual address, snapshots and disk. It is put together and
/// turned as the daemon does with the same parts (engine/dpdk/data_path.cc, daemon.cc), without its threads.
class Machine {
 public:
  static constexpr std::size_t inbox_max = 256;    ///< frames that its device holds
  static constexpr std::size_t frames_ahead = 32;  ///< of a bulk update that wait
  static constexpr std::uint64_t requests_per_s = 500;
  static constexpr std::uint8_t vhid = 1;

  [[nodiscard]] static wire::MacAddress mac_of(unsigned number);
  [[nodiscard]] static wire::Address address_of(unsigned number, wire::Family family);
  [[nodiscard]] static wire::Address shared_address(wire::Family family);

  /// Told around each packet that the session takes, when a snapshot begins, and when one was restored.
  struct Ears {
    std::function<void(wire::Bytes packet)> before, after;
    std::function<void(std::uint64_t snapshot)> begun, restored;
  };
  Machine(const Scenario& scenario, unsigned number, Marks& marks);

  void hear_with(Ears ears) { ears_ = std::move(ears); }
  void send_by(std::function<void(wire::Bytes)> send) { send_ = std::move(send); }

  void power_on(Instant now, std::int64_t wall_s);
  /// Its memory is lost.
  void power_off();
  /// Says farewell and writes its last snapshot, before power_off(). May throw PowerLoss.
  void say_farewell(Instant now, std::int64_t wall_s);
  void receive(Frame frame);
  /// What its data path and its control thread do in a turn. May throw PowerLoss.
  void turn(Instant now, std::int64_t wall_s);

  /// sync.maxupd becomes another.
  void adopt(unsigned maxupd, Instant now);
  /// Its operator says which dialect a firewall speaks; it is learned no longer.
  void name_dialect(unsigned firewall, wire::Dialect dialect, Instant now);
  /// Whether it speaks with that firewall, or may have to, in a header version that the other does not take, and calls
  /// it silent if it does.
  [[nodiscard]] bool is_not_understood_by(const Machine& firewall);
  /// As Fault::sabotage says. Ending no state takes the next power_on().
  void sabotage(std::int64_t how) { sabotage_ = how; }
  /// Its interface has a carrier. It sees that in its next turn.
  void set_link(bool up) { link_up_ = up; }
  void set_dialect(wire::Dialect dialect) { dialect_ = dialect; }
  void stop_load() { loads_ = false; }
  /// A packet of each of its connections that `is_alive` says is one.
  void touch_all(const std::function<bool(wire::StateId)>& is_alive, Instant now);

  [[nodiscard]] bool is_on() const { return life_ != nullptr; }
  [[nodiscard]] bool is_engine() const { return number_ >= Scenario::firewalls; }
  [[nodiscard]] unsigned number() const { return number_; }
  [[nodiscard]] unsigned lives() const { return lives_; }
  [[nodiscard]] std::uint32_t creatorid() const { return number_ + 1; }
  [[nodiscard]] wire::Dialect dialect() const { return dialect_; }
  [[nodiscard]] Disk& disk() { return disk_; }
  [[nodiscard]] Instant local(Duration now) const {
    return Instant{} + Duration{static_cast<Duration::rep>(static_cast<double>(now.count()) * rate_)};
  }
  /// Whether a snapshot was restored whose moment was not the one that the clock told.
  [[nodiscard]] bool take_clock_lied() { return std::exchange(clock_lied_, false); }
  void note_clock_jump() { clock_jumped_ = true; }

  // Of what is on:
  [[nodiscard]] statetable::Table& table() { return *life_->table; }
  [[nodiscard]] engine::PartitionedSession& node() { return *life_->node; }
  [[nodiscard]] engine::Session& session() { return life_->node->first(); }
  [[nodiscard]] engine::carp::Node& carp() { return *life_->carp; }
  [[nodiscard]] engine::carp::Demotion& demotion() { return life_->demotion; }
  [[nodiscard]] engine::Link& link() { return *life_->link; }
  [[nodiscard]] bool is_master() {
    return is_on() && is_engine() && life_->carp->hosts()[0].state() == engine::carp::State::master;
  }
  [[nodiscard]] const engine::BulkSender& bulk_sender(unsigned peer) const { return *life_->lanes[peer].sender; }
  [[nodiscard]] bool serves_bulk() const;
  [[nodiscard]] std::uint64_t bulks_served() const;
  [[nodiscard]] bool has_queued();
  [[nodiscard]] std::optional<wire::State> held(wire::StateId id, Instant now);

 private:
  /// What waits for a peer.
  struct Lane {
    std::unique_ptr<engine::BulkGate> gate = std::make_unique<engine::BulkGate>();
    std::unique_ptr<engine::BulkSender> sender;
    std::deque<std::vector<std::uint8_t>> packets;
    bool has_gap = false;
    engine::BulkRetry retry;
    engine::BulkPhase phase = engine::BulkPhase::none;
    bool is_silent = false;
    bool was_active = true;
  };
  /// A snapshot under way.
  struct Writing {
    Writing(const engine::snapshot::Header& header, const statetable::Table& table, Instant now)
        : writer{header, sink}, walk{table, statetable::to_seconds(now), writer} {}
    engine::snapshot::MemorySink sink;
    engine::snapshot::Writer writer;
    engine::snapshot::TableWalk walk;
    std::uint64_t number = 0;
    bool has_begun = false;
    bool is_finished = false;
    Instant due{};
  };
  struct Life {
    std::unique_ptr<statetable::Table> table;
    std::vector<Lane> lanes;
    std::unique_ptr<engine::PartitionedSession> node;
    std::unique_ptr<engine::Link> link;
    engine::carp::Journal journal;
    engine::carp::Demotion demotion{journal};
    std::unique_ptr<engine::carp::Node> carp;
    std::unique_ptr<engine::SyntheticFirewall> load;
    std::unique_ptr<Writing> writing;
    Instant snapshot_due{};
    Instant turned_at{}, passed_at{};
    bool was_in_sync = true;
    bool has_link = false;
    bool has_started = false;
  };

  [[nodiscard]] engine::SessionConfig session_config(std::vector<Lane>& lanes) const;
  [[nodiscard]] engine::LinkConfig link_config() const;
  /// The numbers of its peers; none: the one peer is the group, or the shared address.
  [[nodiscard]] std::vector<unsigned> peers() const;
  void restore(Instant now, std::int64_t wall_s);
  void receive_all(Instant now);
  [[nodiscard]] bool takes(wire::Bytes packet) const;
  [[nodiscard]] engine::carp::Sync sync();
  void turn_link(Instant now);
  void turn_carp(Instant now);
  void turn_peers(Instant now);
  void transmit(Instant now);
  void serve_bulk(Instant now);
  void watch(Instant now);
  void write_snapshot(Instant now, std::int64_t wall_s);
  void count_life();
  void adopt_config(Instant now);

  const Scenario& scenario_;
  unsigned number_;
  Marks& marks_;
  Ears ears_;
  std::function<void(wire::Bytes)> send_;
  std::mt19937_64 random_;
  double rate_;  ///< of its clock
  wire::Dialect dialect_;
  unsigned maxupd_ = 128;
  std::array<std::optional<wire::Dialect>, Scenario::firewalls> named_{};  ///< dialects, by its operator
  unsigned lives_ = 0;
  bool loads_ = true;
  bool link_up_ = true;
  std::uint64_t snapshots_ = 0;  ///< begun
  std::optional<std::int64_t> sabotage_{};
  bool clock_jumped_ = false, clock_lied_ = false;
  Disk disk_;
  std::deque<Frame> inbox_;
  std::unique_ptr<Life> life_;
};

}  // namespace pfsync::sim::chaos
