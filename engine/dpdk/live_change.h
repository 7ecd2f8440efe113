#pragma once

#include <chrono>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "engine/config/reload.h"
#include "engine/dpdk/data_path.h"
#include "engine/dpdk/parts.h"
#include "engine/session/command_slot.h"

namespace pfsync::engine::dpdk {

/// The frames that a further data-path core writes, one lane for each peer.
struct PartLanes {
  Placed<FrameExchange> lanes;
  std::vector<FrameExchange*> pointers;  ///< to them, as the cores take it
};

/// What of a running daemon a reload may touch. All of it outlives the change.
struct Changeable {
  PartitionedSession& node;
  const statetable::Table& table;
  Link& link;
  wire::MacAddress mac;  ///< of the link's port
  std::vector<HostStack*> stacks;
  std::vector<const Device*> devices;  ///< of each stack
  DataPath& data_path;
  std::vector<PartPath*> paths;  ///< of the further cores
  Placed<Lane>& lanes;
  std::vector<DataPath::Lane>& data_lanes;
  std::vector<PartLanes*> part_lanes;  ///< of the further cores
};

/// A difference on its way to the data path: made on the control thread, carried out by the first core while all others
/// stand still, destroyed on the control thread with all that was there before.
class DataChange final : public LiveChange {
 public:
  /// Takes all memory there is to take. Throws std::exception.
  DataChange(const Difference& difference, Changeable daemon);

  /// Whether the data path has anything to do with it.
  [[nodiscard]] bool is_any() const noexcept { return !sessions_.empty() || link_ || !hosts_.empty(); }
  void take_place(Instant now) noexcept override;

 private:
  struct Hosts {
    HostStack* stack;
    std::unique_ptr<carp::Node> node;
    std::unique_ptr<Membership> membership;
  };
  void prepare_hosts(const Config& next);
  void prepare_peers(const Difference& difference);
  void exchange_lanes() noexcept;

  Changeable daemon_;
  std::vector<Difference::Before> before_;
  std::vector<Hosts> hosts_;
  std::unique_ptr<Link> link_;
  std::vector<Session::ChangePointer> sessions_;  ///< of each part
  bool exchanges_lanes_ = false;
  Placed<Lane> lanes_;
  std::vector<DataPath::Lane> data_lanes_;
  std::vector<PartLanes> part_lanes_;
};

/// Why the difference cannot be carried out, in one sentence; empty when nothing is known against it.
[[nodiscard]] std::string obstacle_to(const Difference& difference, Demand demand, unsigned parts);
/// Hands the change to the data path and waits for it. False when that has not begun with it in time: it never will.
[[nodiscard]] bool carry_out(LiveChange& change, CommandSlot& slot, std::chrono::milliseconds patience);
/// The same of any command. What it points to is used until then.
[[nodiscard]] bool carry_out(const Command& command, CommandSlot& slot, std::chrono::milliseconds patience);
/// The ports take frames for the virtual hosts of `now`, and for those `before` no more.
void accept_macs(std::span<HostStack* const> stacks, const std::vector<carp::Settings>& before,
                 const std::vector<carp::Settings>& now);
/// Tells the log what changed; `file`: where it came from.
void log_difference(const Difference& difference, const std::string& file);

}  // namespace pfsync::engine::dpdk
