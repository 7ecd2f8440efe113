// What the daemon's control thread watches of its ports and of itself.
#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include "engine/dpdk/daemon_parts.h"

namespace pfsync::engine::dpdk {

void Daemon::Parts::watch_links(Instant now) {
  constexpr milliseconds every{50};
  if (links_seen_ && now < links_seen_at_ + every) return;
  std::array<bool, 1 + interfaces_max> seen{};
  for (std::size_t number = 0; number < stacks.size(); ++number) seen[number] = is_up(number);
  // Those that are down come first: what this node stands back for is known before it can be elected elsewhere.
  for (const bool up : {false, true})
    for (std::size_t number = 0; number < stacks.size(); ++number)
      if (seen[number] == up) stacks[number]->set_link(up);
  for (std::size_t number = 0; number < stacks.size(); ++number) {
    const bool up = seen[number];
    const bool before = links_up_[number].exchange(up, std::memory_order_relaxed);
    if (!links_seen_ || up != before) spdlog::info("link {} is {}", devices[number].name(), up ? "up" : "down");
    if (up && !before) config_sync->link_up();
    // A link that comes up may have a peer behind it that knows more than we do.
    if (number == 0 && up && !before && !call({.kind = Command::Kind::link_up})) {
      links_up_[0].store(false, std::memory_order_relaxed);  // said again in the next round
      spdlog::warn("the data path is busy: the bulk update is asked for later");
    }
  }
  links_seen_ = true;
  links_seen_at_ = now;
  for (std::size_t number = 0; number < interfaces.size(); ++number)
    if (interfaces[number].is_replaced())
      // A port whose interface was removed is deaf for good, and only root can open another.
      failure_ = fmt::format(
          "{}.device: {} was removed and made again, and is another interface now: pfsyncd ends, to be started again",
          number == 0 ? "link" : "interface", devices[number].interface);
}

void Daemon::Parts::watch_absences() {
  const std::uint64_t absences = data_path.absences();
  if (absences == absences_seen_) return;
  absences_seen_ = absences;
  spdlog::warn("this node stood still for {:.1f} s: what the others said meanwhile may be lost{}",
               std::chrono::duration<double>(data_path.last_absence()).count(),
               config.sync.request_bulk ? ", and is asked for again" : "");
}

void Daemon::Parts::watch_drops(Instant now) {
  constexpr milliseconds every{200}, calm{2000};
  if (now < drops_seen_at_ + every) return;
  drops_seen_at_ = now;
  const std::uint64_t drops = stacks[0]->port().statistics().imissed;
  if (drops > drops_seen_) overloaded_until_ = now + calm;
  drops_seen_ = drops;
  data_path.set_overloaded(now < overloaded_until_);
}

void Daemon::Parts::watch_frames(Instant now) {
  constexpr std::chrono::seconds every{1};
  if (now < frames_seen_at_ + every) return;
  frames_seen_at_ = now;
  for (std::size_t number = 0; number < stacks.size(); ++number) {
    if (devices[number].interface.empty()) continue;
    if (!links_up_[number].load(std::memory_order_relaxed)) {  // drops are what is to be expected then
      standstills_[number] = {};
      continue;
    }
    const std::uint64_t given = stacks[number]->port().statistics().opackets;
    if (const auto counts = sent_and_dropped(devices[number].interface))
      static_cast<void>(standstills_[number].look({.given = given, .sent = counts->sent, .dropped = counts->dropped}));
  }
}

}  // namespace pfsync::engine::dpdk
