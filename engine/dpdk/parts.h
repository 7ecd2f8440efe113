#pragma once

#include <memory>
#include <span>
#include <stdexcept>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "engine/carp/node.h"
#include "engine/config/config.h"
#include "engine/dpdk/bulk_exchange.h"
#include "engine/dpdk/data_path.h"
#include "engine/dpdk/device.h"
#include "engine/dpdk/eal.h"
#include "engine/link/link.h"
#include "engine/link/membership.h"
#include "engine/placed.h"
#include "engine/session/bulk_retry.h"
#include "engine/session/bulk_sender.h"
#include "engine/session/partitioned_session.h"
#include "engine/session/session.h"

namespace pfsync::engine::dpdk {

/// What each part of the daemon takes, from what the operator wrote. Throws std::runtime_error with one sentence
/// where that cannot be had.

/// Of an [[interface]]: no frame of virtual addresses is longer than an echo.
inline constexpr std::size_t interface_mtu = 1500;

template <class T>
T or_throw(std::variant<T, std::string> result) {
  if (auto* sentence = std::get_if<std::string>(&result)) throw std::runtime_error{*sentence};
  return std::move(std::get<T>(result));
}

/// What serves one peer's bulk updates, and when the own request to it is repeated.
struct Lane {
  /// One of so many.
  Lane(const BulkSenderConfig& config, const statetable::Table& table, std::size_t peers)
      : bulk{peers}, sender{config, table, &gate} {}
  BulkExchange bulk;
  BulkGate gate;
  BulkSender sender;
  BulkRetry retry;
};
/// Of a peer, or of the group when there is none.
[[nodiscard]] BulkSenderConfig sender_config(const Config& config, std::size_t peer);
[[nodiscard]] Placed<Lane> make_lanes(const Config& config, const statetable::Table& table);

/// Before anything is taken: a process that runs out of pages when it touches them is killed without a word.
void require_memory(const Config& config);
/// On the core that will write it, the first of several: reserved memory comes from the NUMA node of the thread that
/// takes it.
[[nodiscard]] std::unique_ptr<statetable::Table> make_table(const Config& config);

/// The synthetic firewall's ids go on from where no run before this one was.
[[nodiscard]] Config with_fresh_ids(Config config);
/// The device of [link], then those of each [[interface]].
[[nodiscard]] std::vector<Device> find_devices(const Config& config);
[[nodiscard]] EalConfig eal_config(const Config& config, const std::vector<Device>& devices);
[[nodiscard]] SessionConfig session_config(const Config& config, std::span<const DataPath::Lane> lanes);
[[nodiscard]] LinkConfig link_config(const Config& config, const wire::MacAddress& mac);
/// Of the port with that number: 0 is the link's.
[[nodiscard]] carp::NodeConfig carp_config(const Config& config, std::size_t port, const Device& device,
                                           const wire::MacAddress& mac);
/// The groups that a port wants: pfsync's, CARP's, and those of neighbour discovery for its IPv6 addresses.
[[nodiscard]] MembershipConfig membership_config(const Config& config, const carp::NodeConfig& node);

}  // namespace pfsync::engine::dpdk
