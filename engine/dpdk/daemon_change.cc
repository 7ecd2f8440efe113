// Another configuration for the running daemon.
#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include "engine/dpdk/daemon_parts.h"
#include "engine/dpdk/log_level.h"
#include "wire/text.h"

namespace pfsync::engine::dpdk {

Changeable Daemon::Parts::changeable() {
  Changeable all{.node = node,
                 .table = *table,
                 .link = link,
                 .mac = port.mac(),
                 .stacks = stacks,
                 .devices = {},
                 .data_path = data_path,
                 .paths = other_paths,
                 .lanes = lanes,
                 .data_lanes = data_lanes,
                 .part_lanes = {}};
  for (const Device& device : devices) all.devices.push_back(&device);
  for (std::size_t number = 1; number < parts.size(); ++number) all.part_lanes.push_back(&parts[number].frames);
  return all;
}

Outcome Daemon::Parts::apply(const Config& wanted, Demand demand) {
  const Difference found = difference(config, wanted);
  if (const std::string why = obstacle_to(found, demand, node.parts()); !why.empty())
    return {false, why, 0, {}, found.restart};
  try {
    DataChange change{found, changeable()};
    if (change.is_any() && !carry_out(change, data_path.commands(), command_patience))
      return {false, "the data path has not answered within two seconds: nothing was changed; try again", 0};
  } catch (const std::exception& error) {
    return {false, std::string{"nothing was changed: "} + error.what(), 0};
  }
  // From here on all is as it is wanted; what follows cannot fail.
  const std::vector<carp::Settings> carp_before = std::exchange(config, found.next).carp;
  for (std::size_t peer = 0; peer < lanes.size(); ++peer) {
    const BulkSenderConfig of_peer = sender_config(config, peer);
    lanes[peer].sender.set(of_peer.states_per_s, of_peer.interfaces);
  }
  view.senders = senders_of(lanes);
  session_log.follow(found.peers_before);
  snapshots.set(config.snapshot);
  divergence.follow(config);
  if (found.peers) samplers.clear();
  show_carp();
  accept_macs(stacks, carp_before, config.carp);
  if (carp_before.empty() && !config.carp.empty()) enter_maintenance();
  set_log_level(config.log.level);
  log_difference(found, file);
  return {true, sentence_of(found), 0, found.changes, found.restart};
}

/// The first virtual address of a node that had none: it may have been in maintenance mode before.
void Daemon::Parts::enter_maintenance() {
  std::error_code error;
  if (std::filesystem::exists(maintenance_file(), error))
    static_cast<void>(
        call({.kind = Command::Kind::carp, .carp = {.kind = carp::Order::Kind::maintenance, .on = true}}));
}

Outcome Daemon::Parts::forget(const wire::Address& address) {
  const auto result = call({.kind = Command::Kind::forget, .node = address});
  const std::string text = wire::to_string(address, config.link.family);
  if (!result) return {false, "the data path has not answered within two seconds: try again", 0};
  if (!result->done) return {false, text + " was not heard here: pfsyncctl show peers lists who was", 0};
  return {true, text + " is missed no longer, until it is heard again", 0};
}

Outcome Daemon::Parts::reload() {
  service.reloading();
  const auto read = config_sync->read_again();
  const auto* why = std::get_if<std::string>(&read);
  Outcome outcome;
  if (why != nullptr) {
    outcome = {false, *why + "; nothing was changed", 0};
  } else if (const auto& wanted = std::get<config_sync::Wanted>(read); wanted.now) {
    outcome = apply(wanted.config, Demand::possible);
    outcome.warnings = wanted.config.warnings;
    if (outcome.done) config_sync->follow(outcome.restart);
  } else {
    const std::string asked = "the other node is asked first: pfsyncctl show config_sync tells how it goes";
    outcome = {true, asked, 0, {asked}, difference(config, wanted.config).restart, wanted.config.warnings};
  }
  if (!outcome.done) spdlog::error("configuration: {}", outcome.sentence);
  if (outcome.done && outcome.changes.empty() && outcome.restart.empty())
    spdlog::info("configuration: {}", outcome.sentence);
  service.reloaded(outcome.done);
  return outcome;
}

}  // namespace pfsync::engine::dpdk
