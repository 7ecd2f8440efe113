#include "tests/sim/carp_network.h"

#include <algorithm>
#include <cmath>
#include <variant>

#include "wire/carp.h"
#include "wire/ethernet.h"
#include "wire/icmp.h"
#include "wire/ip.h"

namespace pfsync::sim {

using namespace std::chrono_literals;
using engine::carp::State;

namespace {

constexpr Duration delay = 500us, jitter = 1ms;
constexpr Duration slack = 10ms;  // frames on their way, and a clock that is fast for one side and slow for the other
constexpr auto queue_max = std::size_t{256};

wire::MacAddress mac_of(std::size_t node) { return {{0x52, 0x54, 0, 0, 0, static_cast<std::uint8_t>(node + 1)}}; }

}  // namespace

CarpNetwork::CarpNetwork(const Config& config, std::uint64_t seed)
    : config_{config}, random_{seed}, two_since_(config.nodes * config.nodes), cut_(config.nodes * config.nodes) {
  nodes_.resize(config.nodes);
  for (std::size_t i = 0; i < nodes_.size(); ++i) {
    const double ppm = static_cast<double>(below(2 * config.drift_ppm_max + 1)) - config.drift_ppm_max;
    nodes_[i].rate = 1 + ppm / 1e6;
    nodes_[i].skew = config.equal_skews ? std::uint8_t{50} : static_cast<std::uint8_t>(i * 50);
    start(i);
  }
}

Instant CarpNetwork::local(const Node& node) const {
  return Instant{} + Duration{static_cast<std::int64_t>(static_cast<double>(now_.count()) * node.rate)};
}

Duration CarpNetwork::global(const Node& node, Instant at) const {
  return Duration{static_cast<std::int64_t>(std::ceil(static_cast<double>(at.time_since_epoch().count()) / node.rate)) +
                  1};
}

bool CarpNetwork::hears(std::size_t to, std::size_t from) const {
  const bool no_family = is_filtered(wire::Family::inet) && (!config_.dual_stack || is_filtered(wire::Family::inet6));
  return runs(nodes_[to]) && runs(nodes_[from]) && nodes_[to].link && nodes_[from].link &&
         nodes_[to].group == nodes_[from].group && !cut_[from * nodes_.size() + to] && !no_family;
}

bool CarpNetwork::is_master(std::size_t node) const {
  return runs(nodes_[node]) && nodes_[node].node->hosts()[0].state() == State::master;
}
bool CarpNetwork::is_able(std::size_t node) const {
  return runs(nodes_[node]) && nodes_[node].link && nodes_[node].enabled;
}
int CarpNetwork::rank(std::size_t node) const {
  const engine::carp::Demotion& demotion = *nodes_[node].demotion;
  if (config_.openbsd) return 256 * demotion.count() + nodes_[node].skew;
  return engine::carp::effective_skew(nodes_[node].skew, demotion.total());
}
std::size_t CarpNetwork::masters() const {
  std::size_t count = 0;
  for (std::size_t i = 0; i < nodes_.size(); ++i) count += is_master(i) ? 1 : 0;
  return count;
}

// --- mishaps -----------------------------------------------------------------------------------------

void CarpNetwork::start(std::size_t index) {
  Node& node = nodes_[index];
  node.journal = std::make_unique<engine::carp::Journal>();
  node.demotion = std::make_unique<engine::carp::Demotion>(*node.journal);
  engine::carp::HostConfig host{.vhid = 1,
                                .advbase = 1,
                                .advskew = node.skew,
                                .password = "simulated",
                                .addresses = {{wire::Family::inet, wire::ipv4_address(192, 0, 2, 100)}}};
  host.preempt = config_.preempt;
  host.both_families = config_.both_families;
  host.openbsd = config_.openbsd;
  if (config_.dual_stack) host.addresses.push_back({wire::Family::inet6, wire::parse_address("2001:db8::64")->second});
  node.node = std::make_unique<engine::carp::Node>(
      engine::carp::NodeConfig{.name = "sim",
                               .mac = mac_of(index),
                               .inet = wire::ipv4_address(192, 0, 2, static_cast<std::uint8_t>(index + 1)),
                               .inet6 = wire::link_local_address(mac_of(index)),
                               .hosts = {host},
                               .seed = random_()},
      *node.demotion, *node.journal);
  node.frozen = false;
  node.enabled = true;
  node.queue.clear();
  node.node->set_link(node.link, local(node));
  forget(index);
}

void CarpNetwork::kill(std::size_t node) {
  nodes_[node].node.reset();
  forget(node);
}

void CarpNetwork::freeze(std::size_t node) {
  if (!runs(nodes_[node])) return;
  nodes_[node].frozen = true;
  nodes_[node].frozen_at = now_;
  forget(node);
}

void CarpNetwork::thaw(std::size_t index) {
  Node& node = nodes_[index];
  if (node.node == nullptr || !node.frozen) return;
  node.frozen = false;
  const Instant now = local(node);
  for (const auto& frame : node.queue) node.node->on_frame(frame, now);
  node.queue.clear();
  if (now_ - node.frozen_at > 1s) node.node->on_absence(now);
  node.node->set_link(node.link, now);  // it may have come or gone meanwhile
  forget(index);
  turn(index);
}

void CarpNetwork::set_link(std::size_t index, bool up) {
  Node& node = nodes_[index];
  node.link = up;
  if (runs(node)) node.node->set_link(up, local(node));
  forget(index);
  turn(index);
}

void CarpNetwork::set_enabled(std::size_t index, bool enabled) {
  Node& node = nodes_[index];
  if (!runs(node)) return;
  node.enabled = enabled;
  node.node->set_enabled(enabled, local(node));
  forget(index);
  turn(index);
}

void CarpNetwork::demote(std::size_t index, bool on) {
  Node& node = nodes_[index];
  if (!runs(node)) return;
  node.demotion->hold(engine::carp::Cause::maintenance, on, local(node));
  forget(index);  // of two masters another may be the better one now
  turn(index);
}

void CarpNetwork::set_sync(std::size_t index, engine::carp::Sync sync) {
  Node& node = nodes_[index];
  if (!runs(node)) return;
  node.demotion->follow(sync, local(node));
  forget(index);
  turn(index);
}

void CarpNetwork::order(std::size_t index, State state) {
  Node& node = nodes_[index];
  if (!runs(node)) return;
  static_cast<void>(node.node->order(1, state, local(node)));
  forget(index);
  turn(index);
}

void CarpNetwork::fork_into_halves() {
  for (Node& node : nodes_) node.group = static_cast<unsigned>(below(2));
  forget_all();
}
void CarpNetwork::heal() {
  for (Node& node : nodes_) node.group = 0;
  filtered_.fill(false);
  std::fill(cut_.begin(), cut_.end(), false);
  forget_all();
}
void CarpNetwork::filter(wire::Family family) {
  filtered_[family == wire::Family::inet6 ? 1 : 0] = true;
  forget_all();
}
void CarpNetwork::cut(std::size_t from, std::size_t to) {
  if (from != to) cut_[from * nodes_.size() + to] = true;
  forget_all();
}

void CarpNetwork::mishap() {
  const std::size_t node = below(nodes_.size());
  switch (below(18)) {
    case 0: return fork_into_halves();
    case 1: return heal();
    case 2: return kill(node);
    case 3: return nodes_[node].node == nullptr ? start(node) : void();
    case 4: return freeze(node);
    case 5: return thaw(node);
    case 6: return set_link(node, false);
    case 7: return set_link(node, true);
    case 8: return set_enabled(node, false);
    case 9: return set_enabled(node, true);
    case 10: return demote(node, true);
    case 11: return demote(node, false);
    case 12: return filter(below(2) == 0 ? wire::Family::inet : wire::Family::inet6);
    case 13:
    case 14: return cut(node, below(nodes_.size()));
    case 15: return set_sync(node, engine::carp::Sync::under_way);
    case 16: return set_sync(node, below(2) == 0 ? engine::carp::Sync::complete : engine::carp::Sync::missing);
    default: return order(node, below(2) == 0 ? State::master : State::backup);
  }
}

// --- time --------------------------------------------------------------------------------------------

void CarpNetwork::turn(std::size_t index) {
  Node& node = nodes_[index];
  if (!runs(node)) return;
  const Instant now = local(node);
  if (const auto due = node.node->timeout(); due && *due <= now) node.node->on_timeout(now);
  transmit(index);
}

void CarpNetwork::transmit(std::size_t index) {
  Node& node = nodes_[index];
  std::vector<std::uint8_t> room(1600);
  for (;;) {
    const std::size_t bytes = node.node->transmit(room, local(node));
    if (bytes == 0) return;
    if (!node.link) continue;
    const auto ethernet = wire::read_ethernet(wire::Bytes{room}.first(bytes));
    if (is_filtered(ethernet->ethertype == wire::ethertype::ipv6 ? wire::Family::inet6 : wire::Family::inet)) continue;
    for (std::size_t to = 0; to < nodes_.size(); ++to) {
      if (to == index || nodes_[to].group != node.group || cut_[index * nodes_.size() + to] ||
          below(100) < config_.loss_percent)
        continue;
      in_flight_.push(
          {now_ + delay + Duration{static_cast<std::int64_t>(below(static_cast<std::uint64_t>(jitter.count())))},
           order_++,
           index,
           to,
           {room.begin(), room.begin() + static_cast<std::ptrdiff_t>(bytes)}});
    }
  }
}

/// A master that hears a better one gives way at once, however much else was lost.
void CarpNetwork::hear(const Delivery& delivery) {
  Node& node = nodes_[delivery.to];
  const bool led = is_master(delivery.to);
  const int own_rank = rank(delivery.to);
  node.node->on_frame(delivery.frame, local(node));
  const auto ethernet = wire::read_ethernet(delivery.frame);
  if (!led || !ethernet || ethernet->ethertype == wire::ethertype::arp) return;
  const auto ip = wire::read_ip(ethernet->payload);
  if (ip.reject || ip.packet.protocol != wire::ipproto::carp) return;
  const auto message = wire::read_carp(ip.packet.payload);
  const auto* advert = std::get_if<wire::CarpAdvert>(&message);
  if (advert == nullptr || advert->advbase != 1) return;
  if ((config_.openbsd ? 256 * advert->demote : 0) + advert->advskew >= own_rank) return;
  ++outranked_;
  if (is_master(delivery.to) && broken_.empty())
    broken_ = "node " + std::to_string(delivery.to) + " leads on though it heard a better master";
}

void CarpNetwork::run_for(Duration duration) {
  const Duration end = now_ + duration;
  for (;;) {
    Duration next = end;
    std::size_t due = nodes_.size();
    for (std::size_t i = 0; i < nodes_.size(); ++i) {
      if (!runs(nodes_[i])) continue;
      const auto at = nodes_[i].node->timeout();
      if (!at) continue;
      if (const Duration when = std::max(now_, global(nodes_[i], *at)); when < next) {
        next = when;
        due = i;
      }
    }
    const bool delivers = !in_flight_.empty() && in_flight_.top().at <= next;
    now_ = delivers ? std::max(now_, in_flight_.top().at) : next;
    judge();
    if (delivers) {
      const Delivery delivery = in_flight_.top();
      in_flight_.pop();
      Node& node = nodes_[delivery.to];
      trace_ = (trace_ ^ static_cast<std::uint64_t>(now_.count()) ^ delivery.to) * 0x100000001b3;
      // A link that went down meanwhile took what was on it.
      if (node.node != nullptr && node.link && !node.deaf && node.group == nodes_[delivery.from].group) {
        if (!node.frozen)
          hear(delivery);
        else if (node.queue.size() < queue_max)
          node.queue.push_back(delivery.frame);
      }
      turn(delivery.to);
    } else if (due < nodes_.size()) {
      turn(due);
    } else {
      remember();
      return;
    }
    remember();
  }
}

// --- the monitor -------------------------------------------------------------------------------------

/// Whatever has been going on until this moment, was it within bounds?
void CarpNetwork::judge() {
  if (!broken_.empty()) return;
  const double slowest = 1 - config_.drift_ppm_max / 1e6;
  const auto scaled = [&](Duration duration) {
    return Duration{static_cast<std::int64_t>(static_cast<double>(duration.count()) / slowest)} + slack;
  };
  // The better of two masters advertises within the longest interval, and the worse gives way. Of equal ones IPv6
  // decides once nothing is heard over IPv4 for the master-down time.
  const Duration interval = engine::carp::interval(1, engine::carp::skew_max);
  const bool waits_for_inet = config_.dual_stack && is_filtered(wire::Family::inet);
  const Duration two_max =
      scaled(waits_for_inet ? engine::carp::master_down(1, engine::carp::skew_max) + 2 * interval : interval);
  for (std::size_t i = 0; i < two_since_.size(); ++i)
    if (config_.loss_percent == 0 && two_since_[i] && now_ - *two_since_[i] > two_max)
      broken_ = "nodes " + std::to_string(i / nodes_.size()) + " and " + std::to_string(i % nodes_.size()) +
                " have both been master for " + std::to_string((now_ - *two_since_[i]) / 1ms) + " ms";
  for (std::size_t i = 0; i < nodes_.size(); ++i) {
    const Duration none_max = scaled(engine::carp::master_down(1, nodes_[i].skew));
    if (nodes_[i].without_master_since && now_ - *nodes_[i].without_master_since > none_max)
      broken_ = "node " + std::to_string(i) + " has known no master for " +
                std::to_string((now_ - *nodes_[i].without_master_since) / 1ms) + " ms";
  }
}

void CarpNetwork::remember() {
  const auto keep = [&](std::optional<Duration>& since, bool holds) {
    if (!holds)
      since.reset();
    else if (!since)
      since = now_;
  };
  for (std::size_t a = 0; a < nodes_.size(); ++a) {
    bool somebody = is_master(a);
    for (std::size_t b = 0; b < nodes_.size(); ++b) {
      if (a == b) continue;
      somebody = somebody || (hears(a, b) && is_master(b));
      if (a < b) keep(two_since_[a * nodes_.size() + b], hear_each_other(a, b) && is_master(a) && is_master(b));
    }
    keep(nodes_[a].without_master_since, is_able(a) && !somebody);
  }
}

/// Something has happened to a node: what is known of it begins anew, the others' bounds go on.
void CarpNetwork::forget(std::size_t node) {
  for (std::size_t other = 0; other < nodes_.size(); ++other)
    two_since_[std::min(node, other) * nodes_.size() + std::max(node, other)].reset();
  nodes_[node].without_master_since.reset();
  remember();
}

/// Who hears whom has changed: all bounds begin anew.
void CarpNetwork::forget_all() {
  for (std::size_t node = 0; node < nodes_.size(); ++node) forget(node);
}

}  // namespace pfsync::sim
