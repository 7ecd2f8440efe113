#include "engine/dpdk/part_path.h"

#include "engine/dpdk/data_path.h"
#include "engine/dpdk/idle.h"

namespace pfsync::engine::dpdk {

std::size_t PartPath::transmit(Instant now) noexcept {
  const unsigned peers = session().peers();
  first_ = (first_ + 1) % peers;
  std::size_t frames = 0;
  for (unsigned k = 0; k < peers && frames < frames_max; ++k) {
    const unsigned peer = (first_ + k) % peers;
    frames += parts_.lanes[peer]->fill(frames_max - frames, [&](wire::Room room) {
      return session().transmit(peer, parts_.link.packet_room(room, session().dialect(peer).in_use()), now);
    });
  }
  return frames;
}

bool PartPath::turn(Instant now) noexcept {
  std::size_t done = parts_.session.turn(parts_.number, now);
  if (parts_.session.stands_still(parts_.number)) return done > 0;
  // A load below the most that a turn can do is no reason to stay awake: it accrues meanwhile.
  if (parts_.synthetic != nullptr)
    done += parts_.synthetic->run(session(), now) == SyntheticFirewall::operations_max ? 1 : 0;
  done += transmit(now);
  queued_.set(session().queued());
  return done > 0;
}

void PartPath::run() noexcept {
  Idle idle{parts_.busy};
  while (!stop_.load(std::memory_order_relaxed)) {
    const Instant now = parts_.clock.now();
    turns_.add();
    if (turn(now))
      idle.worked();
    else
      idle.rest(now, parts_.session.stands_still(parts_.number) ? Instant::max() : session().timeout(now));
  }
  drain();
  ended_.store(true, std::memory_order_release);
}

void PartPath::drain() noexcept {
  const Instant until = parts_.clock.now() + DataPath::farewell;
  for (Instant now = parts_.clock.now(); now < until; now = parts_.clock.now()) {
    const std::size_t taken = parts_.session.turn(parts_.number, now);
    if (parts_.session.stands_still(parts_.number)) return;
    session().push();
    const std::size_t sent = transmit(now);
    if (taken == 0 && sent == 0 && session().queued() == 0) return;
  }
}

}  // namespace pfsync::engine::dpdk
