#include "engine/dpdk/live_change.h"

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <thread>
#include <utility>

#include "engine/config_sync/sections.h"
#include "engine/control/memory.h"

namespace pfsync::engine::dpdk {

DataChange::DataChange(const Difference& difference, Changeable daemon)
    : daemon_{std::move(daemon)}, before_{difference.peers_before} {
  const Config& next = difference.next;
  if (difference.hosts) prepare_hosts(next);
  exchanges_lanes_ = difference.peers && !next.peers.empty();
  if (exchanges_lanes_) prepare_peers(difference);
  if (difference.peers || difference.sources)
    link_ = std::make_unique<Link>(link_config(next, daemon_.mac), daemon_.node.first().counters());
  if (!difference.peers && !difference.timeouts && !difference.pace) return;
  const SessionConfig config = session_config(next, exchanges_lanes_ ? data_lanes_ : daemon_.data_lanes);
  for (unsigned part = 0; part < daemon_.node.parts(); ++part)
    sessions_.push_back(daemon_.node.part(part).prepare(config, before_));
}

void DataChange::prepare_hosts(const Config& next) {
  for (std::size_t number = 0; number < daemon_.stacks.size(); ++number) {
    HostStack& stack = *daemon_.stacks[number];
    const carp::NodeConfig node = carp_config(next, number, *daemon_.devices[number], stack.node().config().mac);
    hosts_.push_back(
        {&stack, stack.node().successor(node), stack.membership().successor(membership_config(next, node))});
  }
}

void DataChange::prepare_peers(const Difference& difference) {
  part_lanes_.resize(daemon_.part_lanes.size());
  for (std::size_t i = 0; i < before_.size(); ++i) {
    const auto& before = before_[i];
    if (before)
      lanes_.emplace_empty();
    else
      lanes_.emplace_back(sender_config(difference.next, i), daemon_.table, before_.size());
    Lane& lane = before ? daemon_.lanes[*before] : lanes_[i];
    data_lanes_.push_back({&lane.bulk, &lane.gate});
    for (std::size_t part = 0; part < part_lanes_.size(); ++part) {
      PartLanes& further = part_lanes_[part];
      if (before) {
        further.lanes.emplace_empty();
        further.pointers.push_back(daemon_.part_lanes[part]->pointers[*before]);
      } else {
        further.pointers.push_back(
            &further.lanes.emplace_back(PartPath::buffers_each(before_.size(), part_lanes_.size())));
      }
    }
  }
}

void DataChange::take_place(Instant now) noexcept {
  for (const Hosts& hosts : hosts_) {
    hosts.stack->node().adopt(*hosts.node, now);
    hosts.stack->membership().adopt(*hosts.membership, now);
  }
  if (link_) daemon_.link.adopt(*link_, before_);
  for (unsigned part = 0; part < sessions_.size(); ++part) daemon_.node.part(part).adopt(*sessions_[part], now);
  if (exchanges_lanes_) exchange_lanes();
}

/// Of a peer that goes the buffers are freed here, where they come from.
void DataChange::exchange_lanes() noexcept {
  const auto stays = [this](std::size_t place) {
    return std::ranges::any_of(before_,
                               [place](const Difference::Before& before) { return before && *before == place; });
  };
  for (std::size_t place = 0; place < daemon_.lanes.size(); ++place) {
    if (stays(place)) continue;
    daemon_.lanes[place].bulk.retire();
    for (PartLanes* further : daemon_.part_lanes) further->lanes[place].retire();
  }
  for (std::size_t i = 0; i < before_.size(); ++i) {
    if (!before_[i]) continue;
    lanes_.take(i, daemon_.lanes, *before_[i]);
    for (std::size_t part = 0; part < part_lanes_.size(); ++part)
      part_lanes_[part].lanes.take(i, daemon_.part_lanes[part]->lanes, *before_[i]);
  }
  std::swap(daemon_.lanes, lanes_);
  std::swap(daemon_.data_lanes, data_lanes_);
  for (std::size_t part = 0; part < part_lanes_.size(); ++part) {
    std::swap(*daemon_.part_lanes[part], part_lanes_[part]);
    daemon_.paths[part]->set_lanes(daemon_.part_lanes[part]->pointers);
  }
  daemon_.data_path.set_lanes(daemon_.data_lanes);
}

std::string obstacle_to(const Difference& difference, Demand demand, unsigned parts) {
  if (demand == Demand::shared && !config_sync::shared_among(difference.restart).empty())
    return "nothing was changed, since a restart is needed for: " + joined(difference.restart, ", ");
  const auto is_new = [](const Difference::Before& before) { return !before.has_value(); };
  const auto added = static_cast<std::uint64_t>(std::ranges::count_if(difference.peers_before, is_new));
  const std::uint64_t needed = added * parts * Outbox::memory_bytes(difference.next.table.states_max);
  if (needed <= available_memory()) return "";
  return fmt::format(
      "peer: the queues of {} more need {} MiB of memory, which are not available: nothing was changed; add memory, or "
      "leave them out",
      added, needed >> 20);
}

bool carry_out(LiveChange& change, CommandSlot& slot, std::chrono::milliseconds patience) {
  return carry_out(Command{.kind = Command::Kind::change, .change = &change}, slot, patience);
}

bool carry_out(const Command& command, CommandSlot& slot, std::chrono::milliseconds patience) {
  if (!slot.post(command)) return false;
  const auto until = std::chrono::steady_clock::now() + patience;
  while (!slot.take()) {
    if (std::chrono::steady_clock::now() >= until && slot.withdraw()) return false;
    std::this_thread::sleep_for(std::chrono::microseconds{100});
  }
  return true;
}

void accept_macs(std::span<HostStack* const> stacks, const std::vector<carp::Settings>& before,
                 const std::vector<carp::Settings>& now) {
  const auto has = [](const std::vector<carp::Settings>& all, const carp::Settings& one) {
    return std::ranges::any_of(
        all, [&](const carp::Settings& other) { return other.port == one.port && other.host.vhid == one.host.vhid; });
  };
  for (const carp::Settings& settings : before)
    if (!has(now, settings)) stacks[settings.port]->port().forget(wire::carp_mac(settings.host.vhid));
  for (const carp::Settings& settings : now)
    if (!has(before, settings) && !stacks[settings.port]->port().accept(wire::carp_mac(settings.host.vhid)))
      spdlog::warn("{} takes no further Ethernet address: packets for vhid {} may not arrive", settings.interface,
                   settings.host.vhid);
}

void log_difference(const Difference& difference, const std::string& file) {
  for (const std::string& warning : difference.next.warnings) spdlog::warn("{}: {}", file, warning);
  for (const std::string& line : difference.changes) spdlog::info("configuration: {}", line);
  for (const std::string& key : difference.restart) spdlog::warn("configuration: {}: needs a restart", key);
}

}  // namespace pfsync::engine::dpdk
