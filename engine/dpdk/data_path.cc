#include "engine/dpdk/data_path.h"

#include <rte_pause.h>
#include <time.h>

#include <algorithm>

namespace pfsync::engine::dpdk {

DataPath::DataPath(const Parts& parts) noexcept : parts_{parts} {
  std::transform(parts.stacks.begin(), parts.stacks.end(), nodes_.begin(),
                 [](HostStack* stack) { return &stack->node(); });
}

std::size_t DataPath::receive(Instant now) noexcept {
  const auto frames = parts_.port.receive();
  std::size_t packets = 0;
  for (const wire::Bytes frame : frames)
    if (const auto packet = parts_.link.on_frame(frame))
      packets_[packets++] = *packet;
    else
      link_stack().on_frame(frame, now);
  if (packets > 0) parts_.session.on_packets({packets_.data(), packets}, now);
  return frames.size();
}

std::size_t DataPath::transmit(Instant now) noexcept {
  // Advertisements before all else: one that is late by three seconds is a failover.
  std::size_t frames = link_stack().transmit(frames_max / 2, now);
  if (const wire::Room room = parts_.port.room(); !room.empty()) {
    const std::size_t bytes = parts_.link.transmit_resolution(room, now);
    parts_.port.commit(bytes);
    frames += bytes > 0;
  }
  first_ = (first_ + 1) % parts_.session.peers();
  frames += transmit_live(frames_max - frames, now);
  // Live traffic goes first; but a bulk frame a turn leaves in any case, since deletes wait behind it.
  return frames + transmit_bulks(std::max<std::size_t>(frames_max - frames, 1));
}

std::size_t DataPath::transmit_live(std::size_t frames_allowed, Instant now) noexcept {
  Port& port = parts_.port;
  const unsigned peers = parts_.session.peers();
  std::size_t frames = 0;
  // A frame for each in turn, so that a peer with much to be told does not keep the others waiting.
  for (unsigned silent = 0, i = first_; silent < peers && frames < frames_allowed; i = (i + 1) % peers) {
    ++silent;
    if (!parts_.link.can_send(i)) continue;
    const wire::Room room = port.room();
    if (room.empty()) break;
    const std::size_t packet =
        parts_.session.transmit(i, parts_.link.packet_room(room, parts_.session.dialect(i).in_use()), now);
    port.commit(packet == 0 ? 0 : parts_.link.finish(room, packet, i));
    if (packet == 0) continue;
    silent = 0;
    ++frames;
  }
  return frames;
}

std::size_t DataPath::transmit_bulks(std::size_t frames_allowed) noexcept {
  const unsigned peers = parts_.session.peers();
  const std::size_t share = std::max<std::size_t>(frames_allowed / peers, 1);
  std::size_t frames = 0;
  for (unsigned k = 0; k < peers; ++k) {
    const unsigned i = (first_ + k) % peers;
    if (!parts_.link.can_send(i)) continue;
    const std::size_t sent = parts_.lanes[i].bulk->send(parts_.port, parts_.link, i, *parts_.lanes[i].gate, share);
    if (sent > 0) parts_.lanes[i].bulk->supply(parts_.port);
    frames += sent;
  }
  bulk_frames_.add(frames);
  return frames;
}

CommandResult DataPath::execute(const Command& command, Instant now) noexcept {
  Session& session = parts_.session;
  switch (command.kind) {
    case Command::Kind::link_up:
      if (!started_)
        session.start(now);
      else if (session.config().request_bulk)
        session.request_bulk(now);
      started_ = true;
      return {true, 0};
    case Command::Kind::resync: session.request_bulk(now); return {true, 0};
    case Command::Kind::retry: session.retry_bulk(now); return {true, 0};
    case Command::Kind::push: {
      const std::size_t queued = session.queued();
      session.push();
      return {true, queued};
    }
    case Command::Kind::flush: return {true, session.flush(command.ifname, now)};
    case Command::Kind::carp:
      return {carp::carry_out(command.carp, {nodes_.data(), parts_.stacks.size()}, parts_.demotion, now), 0};
    case Command::Kind::change: command.change->take_place(now); return {true, 0};
    case Command::Kind::kill: {
      const bool found = session.erase(command.id, now) == Session::Local::done;
      return {found, found ? 1u : 0u};
    }
  }
  return {};
}

void DataPath::turn_shared_peers(Instant now) noexcept {
  for (unsigned i = 0; i < parts_.session.peers(); ++i) {
    const bool active = parts_.link.may_speak(i);
    if (active != parts_.session.is_active(i)) parts_.session.set_active(i, active, now);
    if (!active) parts_.lanes[i].bulk->discard(parts_.port, *parts_.lanes[i].gate);
  }
}

carp::Sync DataPath::sync() const noexcept {
  const Session& session = parts_.session;
  if (session.is_catching_up()) return carp::Sync::under_way;
  const bool wants_bulk = session.config().request_bulk && !session.config().passive;
  const bool is_complete = parts_.stacks.front()->link_up() && (!wants_bulk || session.is_caught_up());
  return is_complete ? carp::Sync::complete : carp::Sync::missing;
}

bool DataPath::turn(Instant now) noexcept {
  std::size_t done = receive(now);
  done += commands_.serve([&](const Command& command) { return execute(command, now); }) ? 1 : 0;
  // A level, not two edges: what is read anew every turn cannot be left behind.
  parts_.demotion.follow(sync(), now);
  link_stack().pass(now);
  for (HostStack* stack : parts_.stacks.subspan(1)) done += stack->turn(now);
  turn_shared_peers(now);
  if (now >= parts_.session.timeout(now)) parts_.session.on_timeout(now);
  // A load below the most that a turn can do is no reason to stay awake: it accrues meanwhile.
  if (parts_.synthetic != nullptr)
    done += parts_.synthetic->run(parts_.session, now) == SyntheticFirewall::operations_max ? 1 : 0;
  done += transmit(now);
  link_stack().hand_over(now);
  queued_.set(parts_.session.queued());
  return done > 0;
}

void DataPath::idle(Instant now) noexcept {
  constexpr unsigned spins = 128;
  constexpr Duration shortest = std::chrono::microseconds{20}, longest = std::chrono::microseconds{500};
  ++idle_turns_;
  if (parts_.busy || idle_turns_ < spins) {
    rte_pause();
    return;
  }
  const Duration grown = shortest * std::min(1u + (idle_turns_ - spins) / 16, 25u);
  const Duration rest = std::min({grown, longest, parts_.session.timeout(now) - now});
  if (rest <= Duration::zero()) return;
  const timespec wait{.tv_sec = 0, .tv_nsec = static_cast<long>(rest.count())};
  nanosleep(&wait, nullptr);
}

void DataPath::run() noexcept {
  for (const Lane& lane : parts_.lanes) lane.bulk->supply(parts_.port);
  while (!stop_.load(std::memory_order_relaxed)) {
    const Instant now = parts_.clock.now();
    if (turn(now))
      idle_turns_ = 0;
    else
      idle(now);
  }
  drain();
}

void DataPath::drain() noexcept {
  const Instant until = parts_.clock.now() + farewell;
  for (HostStack* stack : parts_.stacks) stack->leave(parts_.clock.now());
  for (Instant now = parts_.clock.now(); now < until; now = parts_.clock.now()) {
    parts_.session.push();
    std::size_t sent = transmit(now);
    link_stack().hand_over(now);
    for (HostStack* stack : parts_.stacks.subspan(1)) sent += stack->turn(now);
    if (sent == 0 && parts_.session.queued() == 0) return;
  }
}

}  // namespace pfsync::engine::dpdk
