#include "engine/session/synthetic.h"

#include <algorithm>

#include "engine/session/timeouts.h"
#include "statetable/fetch.h"

namespace pfsync::engine {

using wire::Direction;
using wire::Family;
namespace tcps = wire::tcps;

namespace {

wire::Address ipv4(std::uint8_t a, std::uint8_t b, std::uint64_t host) noexcept {
  wire::Address address;
  address.bytes = {a, b, static_cast<std::uint8_t>(host >> 8), static_cast<std::uint8_t>(host)};
  return address;
}

/// Documentation prefix 2001:db8::/32 (RFC 3849).
wire::Address ipv6(std::uint8_t net, std::uint64_t host) noexcept {
  wire::Address address;
  address.bytes = {0x20, 0x01, 0x0d, 0xb8, 0, net};
  for (std::size_t i = 0; i < 4; ++i) address.bytes[15 - i] = static_cast<std::uint8_t>(host >> (8 * i));
  return address;
}

constexpr std::uint32_t window = 64256;

void acknowledge(wire::Peer& peer) noexcept { peer.seqhi = peer.seqlo + window; }
[[nodiscard]] bool is_used_up(const wire::Peer& peer) noexcept {
  return static_cast<std::int32_t>(peer.seqhi - peer.seqlo) < 0;
}

std::uint8_t tcp_timeout(std::uint8_t level) noexcept {
  if (level < tcps::established) return pftm::tcp_opening;
  if (level == tcps::established) return pftm::tcp_established;
  return level < tcps::fin_wait_2 ? pftm::tcp_closing : pftm::tcp_closed;
}

}  // namespace

SyntheticConfig part_of(const SyntheticConfig& whole, unsigned part, unsigned parts) noexcept {
  const auto share = [&](std::uint64_t of) { return of * (part + 1) / parts - of * part / parts; };
  SyntheticConfig config = whole;
  config.states = share(whole.states);
  config.fill_per_s = std::max<std::uint64_t>(share(whole.fill_per_s), 1);
  config.new_per_s = share(whole.new_per_s);
  config.updates_per_s = share(whole.updates_per_s);
  config.seed = whole.seed + part;
  return config;
}

SyntheticFirewall::SyntheticFirewall(const SyntheticConfig& config)
    : config_{config}, random_{config.seed}, next_id_{config.first_id} {
  connections_.reserve(config.states);
}

std::uint64_t SyntheticFirewall::Allowance::due(Instant now, std::uint64_t per_s) const noexcept {
  const auto elapsed_us = std::chrono::duration_cast<std::chrono::microseconds>(now - since).count();
  const auto earned = static_cast<std::uint64_t>(elapsed_us) * per_s / 1'000'000u;
  return earned > done ? earned - done : 0;
}

std::size_t SyntheticFirewall::run(Session& session, Instant now) noexcept {
  if (!running()) {
    started_ = false;  // time that passes while stopped earns no work
    return 0;
  }
  if (!started_) {
    filling_ = churn_ = transfers_ = {now, 0};
    started_ = true;
  }
  if (session.queued() > queued_max) {
    waited_.add();
    return 0;
  }
  std::size_t operations = 0;
  if (!filled_) {
    for (auto due = filling_.due(now, config_.fill_per_s); due > 0 && operations < operations_max;) {
      const std::size_t count = std::min<std::size_t>({due, burst, config_.states - connections_.size()});
      const std::size_t opened = open(session, count, now);
      filling_.done += opened;
      operations += opened;
      if (opened < count || opened == 0) break;
      due -= opened;
    }
    filled_ = connections_.size() >= config_.states;
  }
  for (auto due = transfers_.due(now, config_.updates_per_s); due > 0 && operations < operations_max;) {
    const std::size_t count = std::min<std::size_t>(due, burst);
    transfer(session, count, now);
    transfers_.done += count;
    operations += count;
    due -= count;
  }
  for (auto due = churn_.due(now, config_.new_per_s); due > 0 && operations < operations_max; --due) {
    ++churn_.done;
    if (!filled_) continue;
    ++operations;
    if (connections_.size() >= config_.states) close(session, below(connections_.size()), now);
    if (open(session, 1, now) == 1) static_cast<void>(session.defer(connections_.back().id, now));
  }
  // The packets that would have waited: there are none to be sent, only to be counted.
  std::array<Deferrals::Released, burst> released;
  while (session.take_released(released, now) == released.size()) {
  }
  return operations;
}

wire::State SyntheticFirewall::new_state(std::uint32_t creatorid) noexcept {
  const std::uint64_t number = next_id_++;
  wire::State state;
  state.id = {number, creatorid};
  state.ifname = wire::InterfaceName{"all"};
  state.direction = chance(50) ? Direction::out : Direction::in;
  state.af = chance(config_.ipv6_percent) ? Family::inet6 : Family::inet;
  const std::uint64_t kind = below(100);
  const bool tcp = kind < config_.tcp_percent;
  const bool udp = !tcp && kind < config_.tcp_percent + config_.udp_percent;
  const bool six = state.af == Family::inet6;
  state.proto = tcp ? wire::ipproto::tcp : udp ? wire::ipproto::udp : six ? wire::ipproto::icmpv6 : wire::ipproto::icmp;

  // Index 1 is the source of an outbound state, index 0 of an inbound one.
  const std::size_t source = state.direction == Direction::out ? 1 : 0;
  wire::Key key;
  key.addr[source] = six ? ipv6(1, number) : ipv4(10, 1, number);
  key.addr[1 - source] = six ? ipv6(2, below(65536)) : ipv4(198, 18, below(65536));  // RFC 2544
  key.port[source] = static_cast<std::uint16_t>(1024 + below(64512));
  key.port[1 - source] = tcp ? std::uint16_t{443} : udp ? std::uint16_t{53} : key.port[source];
  state.key = {key, key};
  if (!six && state.direction == Direction::out && chance(config_.nat_percent)) {
    state.key[wire::wire_side].addr[1] = ipv4(203, 0, 0x7105);  // 203.0.113.5, RFC 5737
    state.key[wire::wire_side].port[1] = static_cast<std::uint16_t>(1024 + below(64512));
    if (!tcp && !udp) state.key[wire::wire_side].port[0] = state.key[wire::wire_side].port[1];
  }
  if (tcp) {
    state.src = {.seqlo = static_cast<std::uint32_t>(random_()),
                 .max_win = 1,
                 .mss = 1460,
                 .state = tcps::syn_sent,
                 .wscale = 0x87};
    state.src.seqhi = state.src.seqlo + 1;
    state.dst = {.max_win = 1, .state = tcps::closed};
    state.timeout = pftm::tcp_first_packet;
  } else if (udp) {
    state.src.state = 1;  // SINGLE
    state.timeout = pftm::udp_first_packet;
  } else {
    state.timeout = pftm::icmp_first_packet;
  }
  return state;
}

std::size_t SyntheticFirewall::open(Session& session, std::size_t count, Instant now) noexcept {
  const std::span states = std::span{opening_}.first(count);
  const std::span results = std::span{results_}.first(count);
  for (wire::State& state : states) {
    // The core that opens a connection is the one that its state belongs to.
    while (!session.owns({next_id_, 0})) ++next_id_;
    state = new_state(session.config().creatorid);
  }
  session.insert(states, results, now);
  std::size_t opened = 0;
  for (std::size_t i = 0; i < count; ++i) {
    if (results[i] != Session::Local::done) {
      waited_.add();
      continue;
    }
    const wire::State& state = states[i];
    connections_.push_back({state.id, state.src, state.dst, state.proto, state.timeout});
    ++opened;
  }
  opened_.add(opened);
  return opened;
}

void SyntheticFirewall::transfer(Session& session, std::size_t count, Instant now) noexcept {
  if (connections_.empty()) return;
  for (std::size_t i = 0; i < count; ++i) {
    chosen_[i] = below(connections_.size());
    const auto* connection = reinterpret_cast<const char*>(&connections_[chosen_[i]]);
    statetable::fetch(connection);
    statetable::fetch(connection + 64);
  }
  for (std::size_t i = 0; i < count; ++i) {
    Connection& connection = connections_[chosen_[i]];
    advance(connection);
    updating_[i] = {connection.id, connection.src, connection.dst, connection.timeout};
  }
  const std::span results = std::span{results_}.first(count);
  session.update(std::span{updating_}.first(count), results, now);
  std::uint64_t updated = 0;
  for (std::size_t i = 0; i < count; ++i) {
    if (results[i] != Session::Local::unknown)
      ++updated;
    else if (chosen_[i] < connections_.size() && connections_[chosen_[i]].id == updating_[i].id)
      forget(chosen_[i]);  // it expired meanwhile
  }
  updated_.add(updated);
}

void SyntheticFirewall::advance(Connection& connection) noexcept {
  if (connection.proto == wire::ipproto::tcp) {
    if (connection.src.state < tcps::established) {
      connection.src.state = connection.dst.state = tcps::established;
      connection.dst.seqlo = static_cast<std::uint32_t>(random_());
      connection.dst.max_win = connection.src.max_win = 502;
      connection.dst.wscale = 0x87;
      acknowledge(connection.src);
      acknowledge(connection.dst);
    } else {
      // Data moves the lower edge of the sender's window, the other end's acknowledgement the upper one.
      connection.src.seqlo += static_cast<std::uint32_t>(below(1460) + 1);
      if (chance(50)) acknowledge(connection.src);
      if (chance(50)) connection.dst.seqlo += static_cast<std::uint32_t>(below(32768));
      if (is_used_up(connection.src)) acknowledge(connection.src);
      if (is_used_up(connection.dst) || chance(50)) acknowledge(connection.dst);
    }
    connection.timeout = tcp_timeout(connection.src.state);
  } else if (connection.proto == wire::ipproto::udp) {
    connection.src.state = connection.dst.state = 2;  // MULTIPLE
    connection.timeout = pftm::udp_multiple;
  }
}

void SyntheticFirewall::close(Session& session, std::size_t which, Instant now) noexcept {
  if (session.erase(connections_[which].id, now) == Session::Local::done) closed_.add();
  forget(which);
}

void SyntheticFirewall::forget(std::size_t which) noexcept {
  connections_[which] = connections_.back();
  connections_.pop_back();
}

}  // namespace pfsync::engine
