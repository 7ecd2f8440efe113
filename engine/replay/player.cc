#include "engine/replay/player.h"

#include <algorithm>
#include <tuple>
#include <utility>

#include "wire/ip.h"

namespace pfsync::engine::replay {
namespace {

/// A passive node's host id is never sent; it only must not be 0, and be nobody else's.
constexpr std::uint32_t own_creatorid = 0xffffffff;
/// A gap between two frames is run through in at most this many steps, however long a capture says it was.
constexpr std::int64_t steps_per_gap_max = 10'000;

auto connection_key(const wire::State& state) {
  return std::tie(state.ifname, state.key[wire::wire_side], state.af, state.proto, state.direction);
}

}  // namespace

std::variant<std::unique_ptr<Player>, std::string> Player::create(const Capture& capture, const PlayerConfig& config) {
  // One shard: states spread unevenly over several, and the table is to hold all of them.
  auto table = statetable::Table::create({.states_max = std::max<std::size_t>(config.states_max, 1), .shard_bits = 0});
  if (auto* why = std::get_if<std::string>(&table)) return std::move(*why);
  return std::unique_ptr<Player>{
      new Player{capture, config, std::get<std::unique_ptr<statetable::Table>>(std::move(table))}};
}

Player::Player(const Capture& capture, const PlayerConfig& config, std::unique_ptr<statetable::Table> table)
    : capture_{&capture},
      table_{std::move(table)},
      session_{{.creatorid = own_creatorid, .request_bulk = false, .passive = true, .expire = config.expire}, *table_} {
  burst_.reserve(burst_max);
  session_.start(now_);
}

std::size_t Player::burst() const noexcept {
  const auto& packets = capture_->packets();
  std::size_t count = 0;
  while (count < burst_max && next_ + count < packets.size() &&
         to_seconds(packets[next_ + count].at) == to_seconds(packets[next_].at))
    ++count;
  return count;
}

void Player::play(std::size_t count) {
  if (count == 0) return;
  burst_.clear();
  for (std::size_t i = next_; i < next_ + count; ++i)
    if (const auto packet = admit(capture_->bytes(capture_->packets()[i]))) burst_.push_back(*packet);
  advance(capture_->packets()[next_ + count - 1].at);
  session_.on_packets(burst_, now_);
  next_ += count;
}

void Player::finish() { advance(statetable::Instant{capture_->span()}); }

/// Gives the session each of its deadlines on time, up to `to`. In a gap so long that there would be too
/// many of them they are merged: a state is then removed a little later than on a live node.
void Player::advance(statetable::Instant to) {
  const auto step_min = (to - now_) / steps_per_gap_max;
  while (session_.timeout(now_) <= to) {
    const auto due = std::max(session_.timeout(now_), now_ + step_min);
    if (due > to) break;
    now_ = due;
    session_.on_timeout(now_);
    if (session_.timeout(now_) <= now_ && step_min.count() == 0)
      break;  // it wants to be asked again at once: next time
  }
  now_ = to;
}

std::optional<wire::Bytes> Player::admit(wire::Bytes ip_packet) noexcept {
  const auto ip = wire::read_ip(ip_packet);
  if (ip.reject) {
    session_.counters()[*ip.reject].add();
    return std::nullopt;
  }
  if (ip.packet.ttl != wire::link_local_ttl) {
    session_.counters()[wire::Reject::badttl].add();
    return std::nullopt;
  }
  return ip.packet.payload;
}

std::uint64_t Player::messages() const noexcept {
  std::uint64_t sum = 0;
  for (const Counter& counter : session_.counters().received) sum += counter.value();
  return sum;
}

std::vector<wire::State> Player::states() const {
  std::vector<wire::State> states;
  states.reserve(table_->size());
  const auto reader = table_->reader();
  statetable::TableReader::Cursor cursor;
  while (const auto entry = reader.next(cursor)) states.push_back(to_state(entry->hot, entry->cold, to_seconds(now_)));
  std::sort(states.begin(), states.end(), [](const auto& a, const auto& b) { return a.id < b.id; });
  return states;
}

std::size_t collisions(const std::vector<wire::State>& states) {
  std::vector<const wire::State*> order;
  order.reserve(states.size());
  for (const wire::State& state : states) order.push_back(&state);
  std::sort(order.begin(), order.end(),
            [](const auto* a, const auto* b) { return connection_key(*a) < connection_key(*b); });
  std::size_t count = 0;
  for (std::size_t i = 0; i < order.size();) {
    std::size_t same = 1;
    while (i + same < order.size() && connection_key(*order[i]) == connection_key(*order[i + same])) ++same;
    if (same > 1) count += same;
    i += same;
  }
  return count;
}

}  // namespace pfsync::engine::replay
