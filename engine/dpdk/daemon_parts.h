#pragma once

#include <algorithm>
#include <array>
#include <atomic>
#include <deque>
#include <filesystem>
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <vector>

#include "engine/carp/log_bound.h"
#include "engine/carp/report.h"
#include "engine/config/reload.h"
#include "engine/control/commands.h"
#include "engine/control/control.h"
#include "engine/divergence/sampler.h"
#include "engine/dpdk/clock.h"
#include "engine/dpdk/config_sync.h"
#include "engine/dpdk/daemon.h"
#include "engine/dpdk/data_path.h"
#include "engine/dpdk/device.h"
#include "engine/dpdk/divergence.h"
#include "engine/dpdk/eal.h"
#include "engine/dpdk/health_log.h"
#include "engine/dpdk/host_stack.h"
#include "engine/dpdk/live_change.h"
#include "engine/dpdk/part_path.h"
#include "engine/dpdk/parts.h"
#include "engine/dpdk/port.h"
#include "engine/dpdk/service.h"
#include "engine/dpdk/session_log.h"
#include "engine/dpdk/standstill.h"
#include "engine/dpdk/telemetry.h"
#include "engine/dpdk/web.h"
#include "engine/link/link.h"
#include "engine/session/partitioned_session.h"
#include "engine/snapshot/keeper.h"

/// What a daemon is made of, in the order in which it is made. For daemon.cc, which makes and runs it, and
/// daemon_change.cc, which gives it another configuration.
namespace pfsync::engine::dpdk {

using std::chrono::milliseconds;

inline constexpr milliseconds command_patience{2000};

[[nodiscard]] inline std::vector<const BulkSender*> senders_of(const Placed<Lane>& lanes) {
  std::vector<const BulkSender*> all;
  for (const Lane& lane : lanes) all.push_back(&lane.sender);
  return all;
}

/// What a part of the node plays and sends through; the first part sends by itself.
struct PartParts {
  PartParts(const Config& config, unsigned number) {
    if (config.synthetic)
      if (const SyntheticConfig share = part_of(*config.synthetic, number, config.cores.data_cores); share.states > 0)
        synthetic.emplace(share);
    const std::size_t peers = std::max<std::size_t>(config.peers.size(), 1);
    for (std::size_t peer = 0; number > 0 && peer < peers; ++peer)
      frames.pointers.push_back(&frames.lanes.emplace_back(PartPath::buffers_each(peers, config.cores.data_cores - 1)));
  }
  [[nodiscard]] SyntheticFirewall* firewall() { return synthetic ? &*synthetic : nullptr; }
  std::optional<SyntheticFirewall> synthetic;
  PartLanes frames;
};

/// A port of its own for virtual addresses.
struct PortParts {
  PortParts(const Config& config, std::size_t number, const Device& device, carp::Demotion& demotion,
            carp::Journal& journal)
      : port{device.port, interface_mtu, "interface"},
        node{carp_config(config, number, device, port.mac()), demotion, journal},
        membership{membership_config(config, node.config())},
        stack{port, node, membership} {}
  Port port;
  carp::Node node;
  Membership membership;
  HostStack stack;
};

struct Daemon::Parts {
  std::string file;                                                        ///< that the configuration comes from
  Config config;                                                           ///< what is at work
  std::vector<Device> devices;                                             ///< the link's first
  std::vector<InterfaceWatch> interfaces{devices.begin(), devices.end()};  ///< behind them
  std::unique_ptr<statetable::Table> table;
  Eal eal;
  CycleClock clock;
  Port port;
  Placed<Lane> lanes;
  std::vector<DataPath::Lane> data_lanes;
  PartitionedSession node;
  Session& session;  ///< its first part
  Link link;
  std::deque<PartParts> parts;  ///< one for each data-path core
  carp::Journal carp_journal;
  carp::Demotion demotion{carp_journal};
  std::deque<PortParts> ports;  ///< those of each [[interface]]
  carp::Node carp_node;         ///< without a [[carp]] it only answers echo and neighbour solicitation for link.address
  Membership membership;
  HostStack stack;
  std::vector<HostStack*> stacks;  ///< of the link and of `ports`
  std::optional<carp::View> carp_view;
  std::deque<PartPath> part_paths;
  std::vector<PartPath*> other_paths;
  DataPath data_path;
  snapshot::Keeper snapshots;
  DaemonView view;
  std::vector<divergence::Sampler> samplers;  ///< one for each of the session's peers
  SessionLog session_log{config, node, *table, lanes};
  HealthLog health_log;
  Commands commands;
  std::unique_ptr<ControlServer> control;
  std::optional<Web> web;
  std::optional<Telemetry> telemetry;
  Divergence divergence;
  std::optional<ConfigSync> config_sync;
  Service service;
  bool is_restricted = false;  ///< to the system calls that a running daemon needs

  Parts(const Config& given, std::string from, const std::optional<Identity>& user);
  /// What of `divergence` waits for this thread, or asks the other node, ends before configuration sync does.
  ~Parts() { divergence.stop(); }
  Parts(const Parts&) = delete;
  Parts& operator=(const Parts&) = delete;
  void run(bool (*ended)(), bool (*reload_wanted)());
  Outcome apply(const Config& wanted, Demand demand);
  Outcome reload();
  void make_config_sync();
  static void begin_core(const char* name, const Parts& of);

 private:
  /// Hands a command to the data path and waits for its result; nullopt when that takes too long.
  std::optional<CommandResult> call(const Command& command);
  /// Has the data path take what a comparison found, as of the peer with that address. Why not; empty: it has.
  std::string repair(const wire::Address& from, std::span<Repair> repairs);
  [[nodiscard]] Changeable changeable();
  Outcome outcome(const Command& command, const char* sentence);
  Outcome forget(const wire::Address& address);
  void make_commands();
  [[nodiscard]] bool is_up(std::size_t number) const {
    return stacks[number]->port().link_up() &&
           (devices[number].interface.empty() || has_carrier(devices[number].interface));
  }
  [[nodiscard]] std::deque<PortParts> make_ports();
  [[nodiscard]] std::deque<PartParts> make_parts();
  [[nodiscard]] std::deque<PartPath> make_part_paths();
  [[nodiscard]] std::vector<const SyntheticFirewall*> firewalls();
  [[nodiscard]] std::vector<HostStack*> all_stacks();
  [[nodiscard]] std::vector<NamedCount> counts() const;
  void watch_links(Instant now);
  /// Whether frames leave the devices that take them.
  void watch_frames(Instant now);
  void watch_drops(Instant now);
  void watch_absences();
  void tell_service(Instant now);
  /// Asks peers for states at random, and counts what came of those before.
  void sample_peers(Instant now);
  void retry_bulk(Instant now);
  [[nodiscard]] snapshot::Keeper::Parts snapshot_parts();
  void make_snapshots();
  void make_carp();
  void show_carp();
  void enter_maintenance();
  void watch_carp(Instant now);
  [[nodiscard]] std::filesystem::path maintenance_file() const {
    return std::filesystem::path{config.control.state_dir} / "carp-maintenance";
  }
  Outcome order_carp(const carp::Order& order);
  /// Fills bulk frames. Returns how long the control socket may be waited for.
  milliseconds serve_bulk();

  std::mt19937_64 random_{std::random_device{}()};
  Instant links_seen_at_{};
  bool links_seen_ = false;
  Instant frames_seen_at_{};
  Instant drops_seen_at_{}, overloaded_until_{};
  std::uint64_t drops_seen_ = 0;
  std::array<Standstill, 1 + interfaces_max> standstills_{};
  std::uint64_t absences_seen_ = 0;
  std::string failure_;  ///< why this process cannot go on; empty: it can
  std::array<std::atomic<bool>, 1 + interfaces_max> links_up_{};
  carp::LogBound carp_lines_{1 + interfaces_max};
};

}  // namespace pfsync::engine::dpdk
