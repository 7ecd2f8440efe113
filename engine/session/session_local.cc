// The part of a session that a firewall's own data path calls.
#include <algorithm>
#include <array>

#include "engine/session/hot_part.h"
#include "engine/session/session.h"
#include "engine/session/validity.h"

namespace pfsync::engine {

using statetable::ColdState;
using statetable::Hash;
using statetable::HotState;
using statetable::no_slot;
using statetable::Search;
using statetable::ShardWriter;

namespace {

/// A state heard of through pfsync this recently is alive on another node: our change of it leaves at
/// once, so that traffic that crosses both nodes stays in step. Source: pfsync_update_state().
constexpr Seconds pushed_within_s = 2;

}  // namespace

Session::Local Session::insert(const wire::State& state, Instant now) noexcept {
  return insert(state, Search{.hash = table_->hash(own(state.id))}, begin_beside(state), now);
}

void Session::insert(std::span<const wire::State> states, std::span<Local> results, Instant now) noexcept {
  struct Place {
    Search search;
    statetable::Beside beside;
  };
  std::array<Place, 2 * group> places;
  const auto place = [&](std::size_t i) -> Place& { return places[i % places.size()]; };
  for (std::size_t at = 0; at < states.size() + group; at += group) {
    for (std::size_t i = at; i < std::min(at + group, states.size()); ++i) {
      const Hash hash = table_->hash(own(states[i].id));
      if (!is_mine(hash)) {
        place(i) = {{.hash = hash}, {}};
        continue;
      }
      place(i) = {writer_of(hash).begin(hash), begin_beside(states[i])};
      removed_.prefetch(hash);
    }
    if (at >= group)
      for (std::size_t i = at - group; i < std::min(at, states.size()); ++i)
        results[i] = insert(states[i], place(i).search, place(i).beside, now);
  }
}

Session::Local Session::insert(const wire::State& state, const Search& search, const statetable::Beside& beside,
                               Instant now) noexcept {
  if (!is_mine(search.hash)) return Local::elsewhere;
  if (!is_valid(state)) return Local::invalid;
  const Seconds now_s = statetable::to_seconds(now);
  HotState hot = hot_part(state, now_s);
  hot.id = own(hot.id);
  // pf never synchronises its own protocol. From here on the flag alone decides, on every way out.
  if (hot.proto == wire::ipproto::pfsync) hot.state_flags |= wire::state_flag::nosync;
  hot.expire_at_s = expires_at(hot.timeout, now_s);
  const HoldBack held_back = consult_rules(hot, state, nobody, now_s);
  const Hash hash = search.hash;
  const ColdState cold = statetable::cold_part(state);
  if (!statetable::keeps_names(cold, state)) counters_[Tally::names_full].add();
  if (writer_of(hash).find(hot.id, search) != no_slot) return Local::exists;
  Slot slot = no_slot;
  if (const Local entered = enter(hot, cold, hash, beside, nobody, slot, now); entered != Local::done) return entered;
  if (held_back.is_any()) hold_back(held_back, slot, nobody);
  removed_.forget(hot.id, hash, now_s);  // used again: what comes is not late
  if (is_announced(hot.state_flags)) for_all_but(nobody, [&](Outbox& outbox) { outbox.inserted(slot, now); });
  return Local::done;
}

Session::Local Session::update(const wire::Update& update, const Search& search, Instant now) noexcept {
  if (!is_mine(search.hash)) return Local::elsewhere;
  if (!is_valid(update)) return Local::invalid;
  ShardWriter& writer = writer_of(search.hash);
  const Slot slot = writer.find(update.id, search);
  if (slot == no_slot) return Local::unknown;
  const Seconds now_s = statetable::to_seconds(now);
  const statetable::HotEntry& held = writer.entry(slot);
  const bool alive_elsewhere = statetable::is_heard_within(held.heard_s(), now_s, pushed_within_s);
  const bool announced = is_announced(held.state_flags()), tcp = held.proto() == wire::ipproto::tcp;
  writer.renew(slot,
               {.src = &update.src,
                .dst = &update.dst,
                .timeout = update.timeout,
                .expire_at_s = expires_at(update.timeout, now_s),
                .heard_s = statetable::said_here(held.heard_s())});  // the connection is ours now: we announce its end
  counters_[Tally::updates].add();
  release(update.id, search.hash, Deferrals::Why::updated, now);
  if (announced)
    for_all_but(nobody, [&](Outbox& outbox) {
      outbox.updated(slot, tcp, now);
      if (alive_elsewhere) outbox.push();
    });
  return Local::done;
}

Session::Local Session::update(const wire::Update& update, Instant now) noexcept {
  return this->update(update, Search{.hash = table_->hash(update.id)}, now);
}

void Session::update(std::span<const wire::Update> updates, std::span<Local> results, Instant now) noexcept {
  // As in gather: the index's line is fetched, the entry that it names is, both are used; a group apart.
  std::array<Search, 4 * group> searches;
  const auto search = [&](std::size_t i) -> Search& { return searches[i % searches.size()]; };
  for (std::size_t at = 0; at < updates.size() + 2 * group; at += group) {
    for (std::size_t i = at; i < std::min(at + group, updates.size()); ++i) {
      const Hash hash = table_->hash(updates[i].id);
      search(i) = is_mine(hash) ? writer_of(hash).begin(hash) : Search{.hash = hash};
    }
    if (at >= group)
      for (std::size_t i = at - group; i < std::min(at, updates.size()); ++i) {
        if (!is_mine(search(i).hash)) continue;
        ShardWriter& writer = writer_of(search(i).hash);
        writer.guess(search(i));
        if (const Slot slot = writer.guessed(search(i)); slot != no_slot)
          for (const Peer& peer : peers_) peer.outbox.prefetch(slot);
      }
    if (at >= 2 * group)
      for (std::size_t i = at - 2 * group; i < std::min(at - group, updates.size()); ++i)
        results[i] = update(updates[i], search(i), now);
  }
}

bool Session::defer(wire::StateId id, Instant now) noexcept {
  const bool is_heard =
      std::ranges::any_of(peers_, [](const Peer& peer) { return peer.active.load(std::memory_order_relaxed); });
  if (!deferrals_.on() || !is_heard) return false;
  id = own(id);
  const Hash hash = table_->hash(id);
  if (!is_mine(hash)) return false;
  ShardWriter& writer = writer_of(hash);
  const Slot slot = writer.find(id, hash);
  if (slot == no_slot || !is_announced(writer.entry(slot).state_flags())) return false;
  HotState hot = writer.hot(slot);
  hot.state_flags |= wire::state_flag::ack;  // the peer answers at once
  writer.update(slot, hot);
  deferrals_.hold(id, hash, now);
  counters_[Tally::deferred].add();
  push();
  return true;
}

std::size_t Session::take_released(std::span<Deferrals::Released> released, Instant now) noexcept {
  deferrals_.on_timeout(now);
  const std::size_t count = deferrals_.take(released);
  for (const Deferrals::Released& packet : released.first(count)) {
    if (packet.why == Deferrals::Why::timed_out) counters_[Tally::defer_timeouts].add();
    if (packet.why == Deferrals::Why::displaced) counters_[Tally::defer_displaced].add();
    const Hash hash = table_->hash(packet.id);
    ShardWriter& writer = writer_of(hash);
    const Slot slot = writer.find(packet.id, hash);
    if (slot == no_slot) continue;
    HotState hot = writer.hot(slot);
    hot.state_flags = static_cast<std::uint16_t>(hot.state_flags & ~wire::state_flag::ack);
    writer.update(slot, hot);
  }
  return count;
}

Session::Local Session::erase(wire::StateId id, Instant now) noexcept {
  const Hash hash = table_->hash(id);
  if (!is_mine(hash)) return Local::elsewhere;
  ShardWriter& writer = writer_of(hash);
  const Slot slot = writer.find(id, hash);
  if (slot == no_slot) return Local::unknown;
  remove(writer, slot, id, is_announced(writer.entry(slot).state_flags()), nobody, now);
  removed_.remember(id, hash, statetable::to_seconds(now));
  counters_[Tally::removals].add();
  return Local::done;
}

std::size_t Session::flush(wire::InterfaceName ifname, Instant now) noexcept {
  return on_clear({ifname, config_.creatorid}, nobody, 0, now);
}

}  // namespace pfsync::engine
