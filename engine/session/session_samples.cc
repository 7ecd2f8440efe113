// The part of a session that asks peers for single states to see whether they have what we have.
#include "engine/session/session.h"

namespace pfsync::engine {

using statetable::Hash;
using statetable::HotEntry;
using statetable::no_slot;
using statetable::ShardWriter;

namespace {

/// What both must agree on. Scrub's memory is not sent by all.
bool is_same(const wire::Peer& a, const wire::Peer& b) noexcept {
  return a.seqlo == b.seqlo && a.seqhi == b.seqhi && a.seqdiff == b.seqdiff && a.max_win == b.max_win &&
         a.mss == b.mss && a.state == b.state && a.wscale == b.wscale;
}

}  // namespace

bool Session::sample(wire::StateId id, unsigned number, Instant now) noexcept {
  const Hash hash = table_->hash(id);
  if (config_.passive || number >= peers_.size() || !is_mine(hash)) return false;
  Peer& peer = peers_[number];
  const ShardWriter& writer = writer_of(hash);
  const Slot slot = writer.find(id, hash);
  if (slot == no_slot || !is_announced(writer.entry(slot).state_flags())) return false;
  if (!is_active(number) || peer.outbox.is_behind(now) || !samples_.add(id, number, now + sample_patience()))
    return false;
  request(peer, id, now);
  return true;
}

/// An answer stands for what the peer has now. Of a connection that either saw used a moment ago nothing can be said: a
/// change waits for its packet on both.
void Session::judge_sample(const Pending& pending, const HotEntry& held, const wire::Update& update,
                           Instant now) noexcept {
  if (!samples_.take(pending.id, pending.peer)) return;
  SampleVerdict verdict = SampleVerdict::same;
  if (!is_same(statetable::peer_of(held.src), update.src) || !is_same(statetable::peer_of(held.dst), update.dst)) {
    const Seconds now_s = statetable::to_seconds(now);
    const auto settled_s = std::chrono::ceil<std::chrono::seconds>(config_.delay + Samples::patience).count();
    const auto idle_s = [&](std::uint8_t timeout, std::int64_t left_s) {
      return std::int64_t{config_.timeouts.seconds(timeout, states_)} - left_s;
    };
    const std::int64_t here = idle_s(held.timeout(), std::int64_t{held.expire_at_s()} - now_s);
    const std::int64_t there = idle_s(update.timeout, wire::read_state(pending.layout, pending.record).expire_s);
    verdict = std::min(here, there) < settled_s ? SampleVerdict::in_flux : SampleVerdict::different;
  }
  peers_[pending.peer].samples[static_cast<std::size_t>(verdict)].add();
}

void Session::time_samples(Instant now) noexcept {
  samples_.on_timeout(now, [&](Samples::Sample& sample) {
    Peer& peer = peers_[sample.peer];
    const Hash hash = table_->hash(sample.id);
    const bool is_here = writer_of(hash).find(sample.id, hash) != no_slot;
    if (is_here && !sample.is_asked_again) {  // one of the two packets may have been lost
      sample.is_asked_again = true;
      sample.due = now + sample_patience();
      request(peer, sample.id, now);
      return true;
    }
    const SampleVerdict verdict = is_here ? SampleVerdict::missing : SampleVerdict::ended;
    peer.samples[static_cast<std::size_t>(verdict)].add();
    return false;
  });
}

}  // namespace pfsync::engine
