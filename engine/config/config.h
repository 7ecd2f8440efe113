#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "engine/carp/settings.h"
#include "engine/config_sync/settings.h"
#include "engine/http/settings.h"
#include "engine/link/link.h"
#include "engine/session/interface_map.h"
#include "engine/session/sync_rules.h"
#include "engine/session/synthetic.h"
#include "engine/session/timeouts.h"
#include "engine/snapshot/settings.h"
#include "wire/address.h"
#include "wire/dialect.h"
#include "wire/state.h"

namespace pfsync::engine {

/// What the operator wrote, checked: plain values, every default filled in. Not a section of the file but
/// a part of the program turns them into its own configuration.
struct Config {
  struct Link {
    std::string device;  ///< as the port takes it: a PCI address, a vdev, an interface
    wire::Family family = wire::Family::inet;
    wire::Address address{};         ///< own
    std::optional<unsigned> prefix;  ///< as in "10.0.0.1/24"; a unicast peer must lie within it
    std::size_t mtu = 1500;          ///< bytes from the IP header on
    std::optional<std::uint16_t> vlan;
    wire::Address destination{};           ///< the group, or the first peer
    std::optional<wire::Dialect> dialect;  ///< of the group; none: learned from what is heard
    std::vector<LinkSource> sources;       ///< who may send to us; empty: the link's own rule
    InterfaceMap interfaces;               ///< of the group

    friend bool operator==(const Link&, const Link&) = default;
  } link;

  /// A [[peer]]: unicast.
  struct Peer {
    wire::Address address{};
    std::optional<wire::MacAddress> mac;
    std::optional<wire::Dialect> dialect;  ///< none: learned from what it sends
    /// A virtual address of [[carp]] that the peer knows us by: we speak with it only while its master. None: the
    /// link's own.
    std::optional<wire::Address> source;
    InterfaceMap interfaces;                         ///< empty: names pass as they are
    std::optional<std::uint64_t> bulk_states_per_s;  ///< none: as [sync] has it

    friend bool operator==(const Peer&, const Peer&) = default;
  };
  std::vector<Peer> peers;  ///< none: multicast; several: a hub, which passes on what one says

  struct Table {
    std::size_t states_max = 1'000'000;
    unsigned shard_bits = 2;        ///< log2 of `shards`
    bool reserve = true;            ///< take all memory at start
    bool refuse_collisions = true;  ///< as pf: one state a connection, interface and direction
    Timeouts timeouts{};

    friend bool operator==(const Table&, const Table&) = default;
  } table;

  struct Sync {
    std::uint32_t creatorid = 0;  ///< never 0 once read: random unless given
    bool has_random_creatorid = true;
    unsigned maxupd = 128;
    unsigned delay_ms = 1000;
    std::uint64_t bulk_states_per_s = 50'000;  ///< 0 = as fast as the link takes them
    std::uint64_t requests_per_s = 10'000;     ///< single states each peer is sent and asked for; 0 = any number
    unsigned probe_every_s = 1;                ///< how often peers are asked for a sign of life; 0 = never
    unsigned sample_per_s = 1;                 ///< states that each peer is asked for, to see whether it has the same
    unsigned compare_every_s = 3600;           ///< tables of a pair of engines; 0: only when ordered
    bool request_bulk = true;
    bool defer = false;                                   ///< with [synthetic] only: pfsyncd itself forwards no packets
    wire::Dialect dialect = wire::Dialect::freebsd_1301;  ///< spoken where none is fixed, until something was heard
    std::vector<SyncRule> rules;                          ///< what of the states is announced

    friend bool operator==(const Sync&, const Sync&) = default;
  } sync;

  struct Control {
    std::string socket = "/run/pfsyncd.sock";
    std::string state_dir = "/var/lib/pfsyncd";  ///< what outlives the process
    bool telemetry = true;                       ///< commands of DPDK's telemetry

    friend bool operator==(const Control&, const Control&) = default;
  } control;

  /// An [[interface]]: a further port, for virtual addresses alone.
  struct Interface {
    std::string device;  ///< as link.device
    wire::Family family = wire::Family::inet;
    wire::Address address{};           ///< this node's own there
    std::optional<unsigned> prefix{};  ///< as link.prefix
    std::optional<std::uint16_t> vlan;

    friend bool operator==(const Interface&, const Interface&) = default;
  };
  std::vector<Interface> interfaces;
  std::vector<carp::Settings> carp;  ///< every [[carp]]

  enum class Poll : std::uint8_t { adaptive, busy };
  struct Cores {
    std::optional<unsigned> control;  ///< none: wherever the system puts the thread
    std::vector<unsigned> data;       ///< of the data-path cores, the receiving one first; none: any
    unsigned data_cores = 1;          ///< how many there are
    Poll poll = Poll::adaptive;

    friend bool operator==(const Cores&, const Cores&) = default;
  } cores;

  enum class LogLevel : std::uint8_t { debug, info, warning, error };
  static constexpr std::array<std::string_view, 4> log_level_words{"debug", "info", "warning", "error"};
  struct Log {
    LogLevel level = LogLevel::info;

    friend bool operator==(const Log&, const Log&) = default;
  } log;

  std::optional<SyntheticConfig> synthetic;  ///< present: this node plays a firewall

  std::optional<snapshot::Settings> snapshot;        ///< present: the table survives a restart
  std::optional<http::Settings> http;                ///< present: HTTPS is served
  std::optional<config_sync::Settings> config_sync;  ///< present: configurations come and go over the network

  std::vector<std::string> warnings;  ///< sentences; nothing that stops the start

  friend bool operator==(const Config&, const Config&) = default;
};

/// A configuration, or one sentence "FILE:LINE: KEY: what is wrong, what to do".
using ConfigResult = std::variant<Config, std::string>;

/// What people call a device: the Linux interface that it stands for, or its name without options.
[[nodiscard]] std::string port_name(std::string_view device);
inline constexpr std::size_t interfaces_max = 16;

[[nodiscard]] ConfigResult load_config(const std::filesystem::path& file);
/// `name` stands for the file in sentences.
[[nodiscard]] ConfigResult parse_config(std::string_view text, const std::string& name);

}  // namespace pfsync::engine
