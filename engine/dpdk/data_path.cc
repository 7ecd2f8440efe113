#include "engine/dpdk/data_path.h"

#include <algorithm>
#include <utility>

namespace pfsync::engine::dpdk {

DataPath::DataPath(const Parts& parts) noexcept : parts_{parts} {
  std::transform(parts.stacks.begin(), parts.stacks.end(), nodes_.begin(),
                 [](HostStack* stack) { return &stack->node(); });
}

std::size_t DataPath::receive(Instant now) noexcept {
  if (parts_.session.has_room()) {
    behind_since_ = Instant::max();
  } else {
    behind_since_ = std::min(behind_since_, now);
    if (now < behind_since_ + patience) return 0;
  }
  const auto frames = parts_.port.receive();
  const bool is_too_much = behind_since_ != Instant::max() ||
                           (frames.size() == Port::burst_max && overloaded_.load(std::memory_order_relaxed));
  std::size_t packets = 0;
  for (const wire::Bytes frame : frames)
    if (const auto packet = parts_.link.on_frame(frame)) {
      if (is_too_much && parts_.session.leaves_out(packet->packet)) continue;
      packets_[packets++] = *packet;
    } else {
      link_stack().on_frame(frame, now);
    }
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
  first_ = (first_ + 1) % session().peers();
  // Half for the others, so that neither keeps the other waiting.
  if (!parts_.others.empty()) frames += transmit_parts((frames_max - frames) / 2);
  frames += transmit_live(frames_max - frames, now);
  // Live traffic goes first; but a bulk frame a turn leaves in any case, since deletes wait behind it.
  return frames + transmit_bulks(std::max<std::size_t>(frames_max - frames, 1), now);
}

std::size_t DataPath::transmit_live(std::size_t frames_allowed, Instant now) noexcept {
  Port& port = parts_.port;
  const unsigned peers = session().peers();
  std::size_t frames = 0;
  // A frame for each in turn, so that a peer with much to be told does not keep the others waiting.
  for (unsigned silent = 0, i = first_; silent < peers && frames < frames_allowed; i = (i + 1) % peers) {
    ++silent;
    if (!parts_.link.can_send(i)) continue;
    if (session().has_clear(i) && have_others_spoken(i)) continue;
    const wire::Room room = port.room();
    if (room.empty()) break;
    const std::size_t packet = session().transmit(i, parts_.link.packet_room(room, session().dialect(i).in_use()), now);
    port.commit(packet == 0 ? 0 : parts_.link.finish(room, packet, i));
    if (packet == 0) continue;
    silent = 0;
    ++frames;
  }
  return frames;
}

bool DataPath::have_others_spoken(unsigned peer) const noexcept {
  return std::ranges::any_of(parts_.others, [peer](PartPath* other) { return !other->lane(peer).is_empty(); });
}

std::size_t DataPath::transmit_parts(std::size_t frames_allowed) noexcept {
  const unsigned peers = session().peers();
  const std::size_t lanes = peers * parts_.others.size();
  const std::size_t share = std::max<std::size_t>(frames_allowed / lanes, 1);
  std::size_t frames = 0;
  for (std::size_t k = 0; k < lanes && frames < frames_allowed; ++k, ++first_lane_) {
    const auto peer = static_cast<unsigned>(first_lane_ % peers);
    if (!parts_.link.can_send(peer)) continue;
    FrameExchange& lane = parts_.others[first_lane_ / peers % parts_.others.size()]->lane(peer);
    const std::size_t sent = lane.send(parts_.port, parts_.link, peer, share);
    if (sent > 0) lane.supply(parts_.port);
    frames += sent;
  }
  return frames;
}

std::size_t DataPath::transmit_bulks(std::size_t frames_allowed, Instant now) noexcept {
  const unsigned peers = session().peers();
  const std::size_t share = std::max<std::size_t>(frames_allowed / peers, 1);
  std::size_t frames = 0;
  for (unsigned k = 0; k < peers; ++k) {
    const unsigned i = (first_ + k) % peers;
    if (!parts_.link.can_send(i)) continue;
    const std::size_t sent = parts_.lanes[i].bulk->send(parts_.port, parts_.link, i, *parts_.lanes[i].gate, share);
    if (sent > 0) {
      parts_.lanes[i].bulk->supply(parts_.port);
      session().note_sent(i, now);
    }
    frames += sent;
  }
  bulk_frames_.add(frames);
  return frames;
}

std::optional<CommandResult> DataPath::execute(const Command& command, Instant now) noexcept {
  switch (command.kind) {
    case Command::Kind::link_up:
      if (!started_)
        session().start(now);
      else if (session().config().request_bulk)
        session().request_bulk(now);
      started_ = true;
      return CommandResult{true, 0};
    case Command::Kind::resync:
      if (command.only_peer) return CommandResult{session().request_bulk(*command.only_peer, now), 0};
      session().request_bulk(now);
      return CommandResult{true, 0};
    case Command::Kind::retry: session().retry_bulk(command.peer, now); return CommandResult{true, 0};
    case Command::Kind::carp:
      return CommandResult{carp::carry_out(command.carp, {nodes_.data(), parts_.stacks.size()}, parts_.demotion, now),
                           0};
    case Command::Kind::change: {
      if (!has_begun_ && !(has_begun_ = parts_.session.begin(command, now))) return std::nullopt;
      if (!parts_.session.ended()) return std::nullopt;
      // The other parts stand still.
      command.change->take_place(now);
      parts_.session.go_on();
      has_begun_ = false;
      return CommandResult{true, 0};
    }
    case Command::Kind::push:
    case Command::Kind::flush:
    case Command::Kind::kill:
    case Command::Kind::repair:
    case Command::Kind::sample:
    case Command::Kind::forget: {
      has_begun_ = has_begun_ || parts_.session.begin(command, now);
      auto result = has_begun_ ? parts_.session.ended() : std::nullopt;
      if (result) has_begun_ = false;
      return result;
    }
  }
  return CommandResult{};
}

void DataPath::turn_shared_peers(Instant now) noexcept {
  for (unsigned i = 0; i < session().peers(); ++i) {
    const bool active = parts_.link.may_speak(i);
    session().set_silent(i, parts_.link.silent_since(i, now), now);
    if (active != session().is_active(i)) session().set_active(i, active, now);
    if (active) continue;
    parts_.lanes[i].bulk->discard(parts_.port, *parts_.lanes[i].gate);
    for (PartPath* other : parts_.others)
      if (other->lane(i).discard() > 0) other->lane(i).supply(parts_.port);
  }
}

carp::Sync DataPath::sync() noexcept {
  if (parts_.session.is_catching_up()) return carp::Sync::under_way;
  const bool wants_bulk = session().config().request_bulk && !session().config().passive;
  const bool is_complete =
      link_stack().link_up() && !session().is_cut_off() && (!wants_bulk || session().is_caught_up());
  return is_complete ? carp::Sync::complete : carp::Sync::missing;
}

void DataPath::note_absence(Instant now) noexcept {
  const Duration absent = now - std::exchange(turned_at_, now);
  if (!started_ || absent < absence) return;
  last_absence_.store(absent, std::memory_order_relaxed);
  absences_.add();
  if (const SessionConfig& config = session().config(); !config.request_bulk || config.passive) return;
  session().request_bulk(now);
  // Before what waits in the device's queue is read: a master among it is the better one.
  parts_.demotion.follow(sync(), now);
}

bool DataPath::turn(Instant now) noexcept {
  note_absence(now);
  std::size_t done = receive(now);
  done += commands_.serve([&](const Command& command) { return execute(command, now); }) ? 1 : 0;
  // A level, not two edges: what is read anew every turn cannot be left behind.
  parts_.demotion.follow(sync(), now);
  link_stack().pass(now);
  for (HostStack* stack : parts_.stacks.subspan(1)) done += stack->turn(now);
  turn_shared_peers(now);
  done += parts_.session.turn(0, now);
  // A load below the most that a turn can do is no reason to stay awake: it accrues meanwhile.
  if (parts_.synthetic != nullptr)
    done += parts_.synthetic->run(session(), now) == SyntheticFirewall::operations_max ? 1 : 0;
  done += transmit(now);
  link_stack().hand_over(now);
  queued_.set(session().queued());
  return done > 0;
}

void DataPath::set_lanes(std::span<const Lane> lanes) noexcept {
  parts_.lanes = lanes;
  for (const Lane& lane : lanes) lane.bulk->supply(parts_.port);
  for (PartPath* other : parts_.others)
    for (unsigned peer = 0; peer < lanes.size(); ++peer) other->lane(peer).supply(parts_.port);
}

bool DataPath::have_others_ended() const noexcept {
  return std::ranges::all_of(parts_.others, [](PartPath* other) { return other->has_ended(); });
}

void DataPath::run() noexcept {
  for (const Lane& lane : parts_.lanes) lane.bulk->supply(parts_.port);
  for (PartPath* other : parts_.others)
    for (unsigned peer = 0; peer < session().peers(); ++peer) other->lane(peer).supply(parts_.port);
  Idle idle{parts_.busy};
  while (!stop_.load(std::memory_order_relaxed)) {
    const Instant now = parts_.clock.now();
    turns_.add();
    if (turn(now))
      idle.worked();
    else
      idle.rest(now, session().timeout(now));
  }
  drain();
}

void DataPath::drain() noexcept {
  const Instant until = parts_.clock.now() + farewell;
  for (HostStack* stack : parts_.stacks) stack->leave(parts_.clock.now());
  for (Instant now = parts_.clock.now(); now < until; now = parts_.clock.now()) {
    const bool have_others_ended = this->have_others_ended();
    session().push();
    std::size_t sent = transmit(now);
    link_stack().hand_over(now);
    for (HostStack* stack : parts_.stacks.subspan(1)) sent += stack->turn(now);
    if (sent == 0 && session().queued() == 0 && have_others_ended) return;
  }
}

}  // namespace pfsync::engine::dpdk
