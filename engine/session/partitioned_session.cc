#include "engine/session/partitioned_session.h"

namespace pfsync::engine {

PartitionedSession::PartitionedSession(const SessionConfig& config, statetable::Table& table, unsigned parts,
                                       std::size_t packet_bytes, BulkGate* gate)
    : partition_{parts}, others_{parts - 1, waiting_max, packet_bytes} {
  SessionConfig share = config;
  share.requests_per_s = (config.requests_per_s + parts - 1) / parts;
  for (unsigned number = 0; number < parts; ++number)
    parts_.emplace_back(share, table, gate, SessionPart{parts == 1 ? nullptr : &partition_, number});
}

void PartitionedSession::on_packets(std::span<const Arrival> packets, Instant now) noexcept {
  if (parts() == 1) {
    first().on_packets(packets, now);
    return;
  }
  Part& part = parts_.front();
  for (; !packets.empty(); packets = packets.subspan(std::min(packets.size(), burst_max))) {
    std::size_t given = 0;
    for (const Arrival& packet : packets.first(std::min(packets.size(), burst_max)))
      if (others_.room(1) > 0 && others_.give(packet))
        part.packets[given++] = packet;
      else
        part.session.counters()[Tally::parts_behind].add();
    others_.publish();
    part.session.on_packets({part.packets.data(), given}, now);
  }
}

Session::Restored PartitionedSession::restore(std::span<const KeptState> states, std::uint32_t passed_s,
                                              Instant now) noexcept {
  Session::Restored restored;
  for (Part& part : parts_) restored += part.session.restore(states, passed_s, now);
  // What had to give way to another part's.
  for (Part& part : parts_) static_cast<void>(part.session.serve_others(now));
  return restored;
}

CommandResult PartitionedSession::execute(Session& session, const Command& command, Instant now) noexcept {
  switch (command.kind) {
    case Command::Kind::push: {
      const std::size_t queued = session.queued();
      session.push();
      return {true, queued};
    }
    case Command::Kind::flush: return {true, session.flush(command.ifname, now)};
    case Command::Kind::kill: {
      const bool found = session.erase(command.id, now) == Session::Local::done;
      return {found, found ? 1u : 0u};
    }
    case Command::Kind::repair:
      for (Repair& repair : command.repairs->all) session.repair(repair, command.repairs->peer, now);
      return {true, command.repairs->all.size()};
    case Command::Kind::sample: return {session.sample(command.id, command.peer, now), 0};
    case Command::Kind::forget: return {session.forget(command.node, now), 0};
    default: return {};
  }
}

bool PartitionedSession::begin(const Command& command, Instant now) noexcept {
  if (parts() > 1) {
    if (others_.room(1) == 0) return false;
    others_.give(command);
    others_.publish();
  }
  command_at_ = others_.given();
  parts_.front().result = execute(first(), command, now);
  return true;
}

std::optional<CommandResult> PartitionedSession::ended() const noexcept {
  if (!others_.have_all_taken(command_at_)) return std::nullopt;
  CommandResult sum;
  for (const Part& part : parts_) {
    sum.done = sum.done || part.result.done;
    sum.states += part.result.states;
  }
  return sum;
}

bool PartitionedSession::is_catching_up() noexcept {
  const bool is = first().is_catching_up();
  if (parts() == 1) return is;
  if (was_catching_up_ && !is) caught_up_at_ = others_.given();
  was_catching_up_ = is;
  return is || !others_.have_all_taken(caught_up_at_);
}

std::size_t PartitionedSession::take(unsigned number, Instant now) noexcept {
  Part& part = parts_[number];
  const unsigned taker = number - 1;
  std::size_t count = std::min(others_.waiting(taker), burst_max);
  std::size_t packets = 0;
  const auto apply = [&] {
    if (packets > 0) part.session.on_packets({part.packets.data(), packets}, now);
    packets = 0;
  };
  for (std::size_t i = 0; i < count; ++i) {
    const PacketBroadcast::Item& item = others_.at(taker, i);
    if (!item.is_command) {
      part.packets[packets++] = item.arrival;
      continue;
    }
    apply();
    if (item.command.kind == Command::Kind::change) {
      part.stands_still = true;
      ++part.stops;
      count = i + 1;
    } else {
      part.result = execute(part.session, item.command, now);
    }
  }
  apply();
  if (count > 0) others_.take(taker, count);
  return count;
}

/// The first part's core decides who is spoken with.
void PartitionedSession::follow(Session& session, Instant now) noexcept {
  for (unsigned peer = 0; peer < session.peers(); ++peer)
    if (const bool active = first().is_active(peer); active != session.is_active(peer))
      session.set_active(peer, active, now);
}

std::size_t PartitionedSession::turn(unsigned number, Instant now) noexcept {
  Part& part = parts_[number];
  std::size_t done = 0;
  if (number != 0) {
    if (part.stands_still && gone_on_.load(std::memory_order_acquire) < part.stops) return 0;
    part.stands_still = false;
    if (!part.is_started) part.session.start(now);
    part.is_started = true;
    follow(part.session, now);
    done += take(number, now);
    if (part.stands_still) return done;
  }
  done += part.session.serve_others(now);
  if (now >= part.session.timeout(now)) part.session.on_timeout(now);
  return done;
}

}  // namespace pfsync::engine
