// The part of a session that takes other peers, timeouts and paces while it runs.
#include <algorithm>
#include <array>

#include "engine/session/session.h"

namespace pfsync::engine {

struct Session::Change {
  SessionConfig config;
  std::vector<std::optional<std::size_t>> before;
  Placed<Peer> peers;  ///< the new ones, and empty places for the others
};

void Session::ChangeDeleter::operator()(Change* change) const noexcept { delete change; }

Session::ChangePointer Session::prepare(const SessionConfig& config,
                                        const std::vector<std::optional<std::size_t>>& before) {
  ChangePointer change{new Change{config, before, {}}};
  for (std::size_t i = 0; i < before.size(); ++i) {
    if (before[i]) {
      change->peers.emplace_empty();
    } else {
      change->peers.emplace_back(config.peers[i], config, table_->slot_count(), tdbs_.places(), counters_);
      reserve(change->peers[i].outbox);
    }
  }
  return change;
}

void Session::renumber_clears(const std::vector<std::optional<std::size_t>>& before) noexcept {
  std::array<std::uint64_t, peers_max> told{};
  for (std::size_t i = 0; i < before.size(); ++i) told[i] = before[i] ? partition_->told(*before[i]) : clears_;
  for (std::size_t i = 0; i < before.size(); ++i) partition_->told(i, told[i]);
  for (std::size_t left = untold_clears_.size(); left > 0; --left) {
    UntoldClear clear = untold_clears_.front();
    untold_clears_.pop();
    const auto place = std::ranges::find(before, std::optional<std::size_t>{clear.from});
    // Whoever is gone is nobody to leave out; it was no clear of ours either.
    if (clear.from != nobody)
      clear.from = place == before.end() ? unsigned{peers_max} : static_cast<unsigned>(place - before.begin());
    static_cast<void>(untold_clears_.push(clear));
  }
}

void Session::adopt(Change& change, Instant now) noexcept {
  config_.maxupd = change.config.maxupd;
  config_.delay = change.config.delay;
  config_.request_bulk = change.config.request_bulk;
  config_.timeouts = change.config.timeouts;
  std::swap(config_.peers, change.config.peers);
  const auto has_number = [this](std::uint8_t number) {
    return std::ranges::any_of(peers_, [number](const Peer& peer) { return peer.number == number; });
  };
  for (std::size_t i = 0; i < change.before.size(); ++i) {
    if (change.before[i]) continue;
    while (next_number_ == 0xff || has_number(next_number_)) ++next_number_;
    change.peers[i].number = next_number_++;
  }
  if (partition_ != nullptr && is_first()) renumber_clears(change.before);
  for (std::size_t i = 0; i < peers_.size(); ++i)
    if (std::ranges::find(change.before, std::optional{i}) == change.before.end())
      for (const PlaceShares::Number number : peers_[i].numbers) shares_.give_back(number);
  for (std::size_t i = 0; i < change.before.size(); ++i)
    if (change.before[i]) change.peers.take(i, peers_, *change.before[i]);
  std::swap(peers_, change.peers);
  samples_.clear();
  pending_clears_.said_by(nobody);

  for (std::size_t i = 0; i < peers_.size(); ++i) {
    Peer& peer = peers_[i];
    const PeerConfig& wanted = config_.peers[i];
    peer.outbox.set_pace(config_.delay, config_.maxupd);
    if (change.before[i]) {
      peer.dialect.set(wanted.dialect, wanted.learn_dialect);
      peer.interfaces.set(wanted.interfaces);
      peer.is_shared = wanted.is_shared;  // the link knows whose turn it is
      continue;
    }
    if (!peer.active.load(std::memory_order_relaxed) || config_.passive) continue;
    tell_tdbs(peer, now);
    if (config_.request_bulk && is_first()) {
      peer.bulk.ask(now);
      peer.is_taken_over = true;
    }
  }
  on_timeout(now);
}

}  // namespace pfsync::engine
