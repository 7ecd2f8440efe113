#include "engine/session.h"

#include <algorithm>

#include "engine/merge.h"
#include "engine/validity.h"

namespace pfsync::engine {

using statetable::ColdState;
using statetable::Hash;
using statetable::HotState;
using statetable::no_slot;
using statetable::ShardWriter;
using wire::Message;
using wire::Reject;

namespace {

constexpr Duration sweep_every = std::chrono::milliseconds{100};
constexpr std::size_t sweeps_per_round = 10;  ///< the whole table is looked at once a second
/// A state heard of through pfsync this recently is alive on another node: our change of it leaves at
/// once, so that traffic that crosses both nodes stays in step. Source: pfsync_update_state().
constexpr Seconds pushed_within_s = 2;

Seconds saturated(std::int64_t seconds) noexcept {
  return static_cast<Seconds>(std::clamp<std::int64_t>(seconds, std::numeric_limits<Seconds>::min() + 1,
                                                       std::numeric_limits<Seconds>::max()));
}

HotState hot_part(const wire::State& state, Seconds now_s) noexcept {
  return {.id = state.id,
          .src = state.src,
          .dst = state.dst,
          .created_s = saturated(std::int64_t{now_s} - state.creation_s),
          .expire_at_s = now_s,
          .heard_s = statetable::never_heard,
          .state_flags = state.state_flags,
          .timeout = state.timeout,
          .proto = state.proto,
          .af = state.af,
          .direction = state.direction,
          .in_use = true,
          .log = state.log,
          .sync_flags = state.sync_flags};
}

std::vector<ShardWriter> claim_all(statetable::Table& table) {
  std::vector<ShardWriter> writers;
  for (std::size_t i = 0; i < table.shard_count(); ++i) writers.push_back(table.claim(i).value());
  return writers;
}

/// What the outbox reads a state's content from: the writers' own view.
class Source final : public StateSource {
 public:
  Source(std::span<const ShardWriter> writers, std::size_t slots_per_shard, Seconds now_s) noexcept
      : writers_{writers}, slots_per_shard_{slots_per_shard}, now_s_{now_s} {}
  [[nodiscard]] wire::State full_state(Slot slot) const noexcept override {
    return writers_[slot / slots_per_shard_].state(slot, now_s_);
  }
  [[nodiscard]] wire::Update update(Slot slot) const noexcept override {
    const HotState hot = writers_[slot / slots_per_shard_].hot(slot);
    return {hot.id, hot.src, hot.dst, hot.timeout};
  }

 private:
  std::span<const ShardWriter> writers_;
  std::size_t slots_per_shard_;
  Seconds now_s_;
};

}  // namespace

Session::Session(const SessionConfig& config, statetable::Table& table, BulkGate* gate)
    : config_{config},
      table_{&table},
      writers_{claim_all(table)},
      slots_per_shard_{table.slot_count() / table.shard_count()},
      dialect_{config.dialect, config.learn_dialect},
      outbox_{{config.delay, config.maxupd, config.ids_queued_max}, table.slot_count(), counters_, gate},
      removed_(std::max<std::size_t>(config.removed_max / removed_ways, 1)) {}

void Session::start(Instant now) noexcept {
  sweep_due_ = now + sweep_every;
  if (config_.request_bulk) request_bulk(now);
}

void Session::request_bulk(Instant now) noexcept {
  if (config_.passive) return;
  bulk_.ask(now);
  on_timeout(now);
}

// --- receiving ---------------------------------------------------------------------------------------

void Session::on_packets(std::span<const wire::Bytes> packets, Instant now) noexcept {
  for (const wire::Bytes packet : packets) read({packet}, now);
  apply_batch(now);
}

void Session::on_packets(std::span<const Arrival> packets, Instant now) noexcept {
  for (const Arrival& arrival : packets) read(arrival, now);
  apply_batch(now);
}

void Session::read(const Arrival& arrival, Instant now) noexcept {
  counters_[Tally::ipackets].add();
  wire::PacketReader reader{arrival.packet};
  wire::Section section;
  std::optional<wire::Dialect> told;
  while (reader.next(section)) {
    told = std::max(told, wire::told_dialect(reader.header().version, *section.action));
    gather(section, now);
  }
  if (const auto reject = reader.reject()) counters_[*reject].add();
  if (reader.skipped() > 0) counters_[Tally::sections_skipped].add(reader.skipped());
  if (reader.reject() == Reject::hdrops || reader.reject() == Reject::badver) return;
  const std::uint64_t changes = dialect_.changes();
  if (!dialect_.heard(arrival.source, reader.header().version, told, now)) counters_[Tally::not_understood].add();
  counters_[Tally::dialect_changes].add(dialect_.changes() - changes);
}

void Session::gather(const wire::Section& section, Instant now) noexcept {
  const Message message = section.action->message;
  if (message == Message::eof) {
    counters_.in(message).add();
    return;
  }
  counters_.in(message).add(section.count);
  // Only the first BUS of a section is looked at. Source: pfsync_in_bus().
  const std::size_t count = message == Message::bus ? std::min<std::size_t>(section.count, 1) : section.count;
  const bool names_a_state = message != Message::clr && message != Message::bus && message != Message::tdb;
  for (std::size_t i = 0; i < count; ++i) {
    if (batch_count_ == batch_.size()) apply_batch(now);
    Pending& pending = batch_[batch_count_++];
    pending.message = message;
    pending.layout = section.action->layout;
    pending.record = section.record(i);
    if (names_a_state) {
      pending.id = wire::read_id(message, pending.layout, pending.record);
      pending.hash = table_->hash(pending.id);
      writer_of(pending.hash).prefetch_index(pending.hash);
    }
  }
}

void Session::apply_batch(Instant now) noexcept {
  // A round of hints, then the messages in their order: an update may follow its own insert.
  for (std::size_t i = 0; i < batch_count_; ++i) {
    const Pending& pending = batch_[i];
    if (pending.message != Message::clr && pending.message != Message::bus && pending.message != Message::tdb)
      writer_of(pending.hash).prefetch_entry(pending.hash);
  }
  for (std::size_t i = 0; i < batch_count_; ++i) apply(batch_[i], now);
  batch_count_ = 0;
}

void Session::apply(const Pending& pending, Instant now) noexcept {
  switch (pending.message) {
    case Message::ins: on_insert(pending, now); break;
    case Message::upd:
    case Message::upd_c: on_update(pending, now); break;
    case Message::upd_req: on_request(pending, now); break;
    case Message::del:
    case Message::del_c: on_delete(pending, now); break;
    case Message::clr: on_clear(wire::read_clear(pending.record)); break;
    case Message::bus: bulk_.on_status(wire::read_bulk_status(pending.record), now); break;
    case Message::tdb: on_tdb(pending); break;
    case Message::ins_ack:  // no packets are held here, so there is none to release
    case Message::eof: break;
  }
}

bool Session::import(const wire::State& state, Hash hash, Instant now) noexcept {
  const Seconds now_s = statetable::to_seconds(now);
  HotState hot = hot_part(state, now_s);
  hot.state_flags = static_cast<std::uint16_t>(hot.state_flags & ~(wire::state_flag::ack | wire::state_flag::nosync));
  hot.heard_s = now_s;
  // The message's remaining time, but never more than our own timeout grants from now.
  hot.expire_at_s = std::min(saturated(std::int64_t{now_s} + state.expire_s), expires_at(state.timeout, now_s));
  const ColdState cold = statetable::cold_part(state);
  if (!statetable::keeps_names(cold, state)) counters_[Tally::names_full].add();
  const auto result = writer_of(hash).insert(hot, cold, hash);
  switch (result.inserted) {
    case ShardWriter::Inserted::yes: counters_[Tally::inserts].add(); return true;
    case ShardWriter::Inserted::exists: counters_[Tally::insert_exists].add(); return true;
    case ShardWriter::Inserted::full: counters_[Tally::table_full].add(); return false;
  }
  return false;
}

void Session::on_insert(const Pending& pending, Instant now) noexcept {
  const wire::State state = wire::read_state(pending.layout, pending.record);
  if (!is_valid(state)) {
    counters_[Reject::badval].add();
    return;
  }
  if (state.id.creatorid == 0) {  // reserved: (0, 0) is the bulk request
    counters_[Reject::badstate].add();
    return;
  }
  if (was_removed(state.id, pending.hash, now)) return;
  const bool held = import(state, pending.hash, now);
  // The sender holds a packet until we have the state: answer at once.
  if (held && (state.state_flags & wire::state_flag::ack) != 0 && !config_.passive)
    outbox_.acknowledge(state.id, now);
}

void Session::on_update(const Pending& pending, Instant now) noexcept {
  const wire::Update update = wire::read_update(pending.layout, pending.record);
  if (!is_valid(update)) {
    counters_[Reject::badval].add();
    return;
  }
  if (pending.message == Message::upd) bulk_.on_full_state(now);
  ShardWriter& writer = writer_of(pending.hash);
  const Slot slot = writer.find(pending.id, pending.hash);
  if (slot == no_slot) {
    if (was_removed(pending.id, pending.hash, now)) return;
    if (pending.message == Message::upd_c) {
      ask_for(pending.id, pending.hash, now);
      return;
    }
    const wire::State state = wire::read_state(pending.layout, pending.record);
    if (!is_valid(state))
      counters_[Reject::badval].add();
    else if (state.id.creatorid == 0 || !import(state, pending.hash, now))
      counters_[Reject::badstate].add();
    return;
  }
  HotState hot = writer.hot(slot);
  const MergeResult merged = merge(hot, update);
  const Seconds now_s = statetable::to_seconds(now);
  if (!merged.all_stale()) {
    hot.timeout = update.timeout;
    hot.expire_at_s = expires_at(update.timeout, now_s);
    counters_[Tally::updates].add();
  }
  hot.heard_s = now_s;
  writer.update(slot, hot);
  if (merged.any_stale()) {
    counters_[Reject::stale].add();
    if (is_announced(hot)) {  // tell the sender what we know better
      outbox_.updated(slot, false, now);
      outbox_.push();
    }
  }
}

void Session::ask_for(wire::StateId id, Hash hash, Instant now) noexcept {
  // creatorid 0 is nobody's: no node can answer, and the pair (0, 0) would ask for a bulk update.
  if (config_.passive || id.creatorid == 0) {
    counters_[Reject::badstate].add();
    return;
  }
  // One request per pair and second: a peer that cannot deliver would otherwise be asked for each update.
  Asked& asked = asked_[hash.value() % asked_.size()];
  if (asked.id == id && now < asked.at + std::chrono::seconds{1}) {
    counters_[Tally::requests_suppressed].add();
    return;
  }
  asked = {id, now};
  outbox_.request(id, now);
}

Session::Removed* Session::find_removed(wire::StateId id, Hash hash) noexcept {
  for (Removed& removed : removed_[hash.value() % removed_.size()])
    if (removed.id == id.id && removed.creatorid == id.creatorid) return &removed;
  return nullptr;
}

void Session::remember_removed(wire::StateId id, Hash hash, Instant now) noexcept {
  Removed* place = find_removed(id, hash);
  if (place == nullptr) {
    RemovedSet& set = removed_[hash.value() % removed_.size()];
    place = std::min_element(set.begin(), set.end(), [](const Removed& a, const Removed& b) { return a.at_s < b.at_s; });
  }
  *place = {id.id, id.creatorid, statetable::to_seconds(now)};
}

bool Session::was_removed(wire::StateId id, Hash hash, Instant now) noexcept {
  const Removed* removed = find_removed(id, hash);
  if (removed == nullptr || std::int64_t{statetable::to_seconds(now)} - removed->at_s > removed_for_s) return false;
  counters_[Tally::removed_before].add();
  return true;
}

void Session::on_request(const Pending& pending, Instant now) noexcept {
  if (config_.passive) return;
  if (pending.id == wire::bulk_request_id) {
    counters_[Tally::bulk_requests_in].add();
    bulk_asked_.store(true, std::memory_order_release);
    return;
  }
  ShardWriter& writer = writer_of(pending.hash);
  const Slot slot = writer.find(pending.id, pending.hash);
  if (slot == no_slot)
    counters_[Reject::badstate].add();
  else if (is_announced(writer.hot(slot)))
    outbox_.update_requested(slot, now);
}

void Session::on_delete(const Pending& pending, Instant now) noexcept {
  ShardWriter& writer = writer_of(pending.hash);
  const Slot slot = writer.find(pending.id, pending.hash);
  if (slot == no_slot) {
    counters_[Reject::badstate].add();
    return;
  }
  writer.erase(slot);
  outbox_.erased(slot, pending.id, false, now);
  remember_removed(pending.id, pending.hash, now);
  counters_[Tally::removals].add();
}

void Session::on_clear(const wire::Clear& clear) noexcept {
  for (ShardWriter& writer : writers_)
    writer.for_each_of(clear.creatorid, [&](Slot slot) {
      if (!clear.ifname.view().empty() && writer.cold(slot).ifname != clear.ifname) return;
      writer.erase(slot);
      outbox_.erased(slot, {}, false, Instant{});
      counters_[Tally::removals].add();
    });
}

void Session::on_tdb(const Pending& pending) noexcept {
  constexpr std::uint32_t spi_reserved_max = 255;  // RFC 4303, 2.1
  const wire::Tdb tdb = wire::read_tdb(pending.layout, pending.record);
  if (tdb.spi <= spi_reserved_max || tdb.af == wire::Family::none)
    counters_[Reject::badstate].add();
  else
    counters_[Tally::tdb_ignored].add();
}

// --- the local data path -----------------------------------------------------------------------------

Session::Local Session::insert(const wire::State& state, Instant now) noexcept {
  if (!is_valid(state)) return Local::invalid;
  const Seconds now_s = statetable::to_seconds(now);
  HotState hot = hot_part(state, now_s);
  if (hot.id.creatorid == 0) hot.id.creatorid = config_.creatorid;
  // pf never synchronises its own protocol. From here on the flag alone decides, on every way out.
  if (hot.proto == wire::ipproto::pfsync) hot.state_flags |= wire::state_flag::nosync;
  hot.expire_at_s = expires_at(hot.timeout, now_s);
  const Hash hash = table_->hash(hot.id);
  const ColdState cold = statetable::cold_part(state);
  if (!statetable::keeps_names(cold, state)) counters_[Tally::names_full].add();
  const auto result = writer_of(hash).insert(hot, cold, hash);
  if (result.inserted == ShardWriter::Inserted::exists) return Local::exists;
  if (result.inserted == ShardWriter::Inserted::full) {
    counters_[Tally::table_full].add();
    return Local::full;
  }
  counters_[Tally::inserts].add();
  if (Removed* removed = find_removed(hot.id, hash)) *removed = {};  // used again: what comes is not late
  if (is_announced(hot)) outbox_.inserted(result.slot, now);
  return Local::done;
}

Session::Local Session::update(const wire::Update& update, Instant now) noexcept {
  if (!is_valid(update)) return Local::invalid;
  const Hash hash = table_->hash(update.id);
  ShardWriter& writer = writer_of(hash);
  const Slot slot = writer.find(update.id, hash);
  if (slot == no_slot) return Local::unknown;
  const Seconds now_s = statetable::to_seconds(now);
  HotState hot = writer.hot(slot);
  const bool alive_elsewhere =
      hot.heard_s != statetable::never_heard && std::int64_t{now_s} - hot.heard_s < pushed_within_s;
  hot.src = update.src;
  hot.dst = update.dst;
  hot.timeout = update.timeout;
  hot.expire_at_s = expires_at(update.timeout, now_s);
  hot.heard_s = statetable::never_heard;  // the connection is ours now: we announce its end
  writer.update(slot, hot);
  counters_[Tally::updates].add();
  if (is_announced(hot)) {
    outbox_.updated(slot, hot.proto == wire::ipproto::tcp, now);
    if (alive_elsewhere) outbox_.push();
  }
  return Local::done;
}

Session::Local Session::erase(wire::StateId id, Instant now) noexcept {
  const Hash hash = table_->hash(id);
  ShardWriter& writer = writer_of(hash);
  const Slot slot = writer.find(id, hash);
  if (slot == no_slot) return Local::unknown;
  const bool announce = is_announced(writer.hot(slot));
  writer.erase(slot);
  outbox_.erased(slot, id, announce, now);
  remember_removed(id, hash, now);
  counters_[Tally::removals].add();
  return Local::done;
}

std::size_t Session::flush(wire::InterfaceName ifname, Instant now) noexcept {
  const std::uint64_t before = counters_[Tally::removals].value();
  const wire::Clear clear{ifname, config_.creatorid};
  on_clear(clear);
  if (!config_.passive) outbox_.clear(clear, now);
  return static_cast<std::size_t>(counters_[Tally::removals].value() - before);
}

// --- time and output ---------------------------------------------------------------------------------

Seconds Session::expires_at(std::uint8_t timeout, Seconds now_s) const noexcept {
  return saturated(std::int64_t{now_s} + config_.timeouts.seconds(timeout, table_->size()));
}

void Session::expire(Instant now) noexcept {
  const Seconds now_s = statetable::to_seconds(now);
  const auto grace_s = static_cast<Seconds>(std::chrono::ceil<std::chrono::seconds>(config_.foreign_grace).count());
  for (ShardWriter& writer : writers_) {
    const std::size_t budget = writer.slots_touched() / sweeps_per_round + 64;
    writer.sweep(now_s, std::min(budget, writer.slots_touched()), [&](Slot slot) {
      HotState hot = writer.hot(slot);
      const bool ours = hot.heard_s == statetable::never_heard;
      if (!ours && std::int64_t{now_s} - hot.expire_at_s < grace_s) return;
      const bool announce = ours && is_announced(hot);
      writer.erase(slot);
      outbox_.erased(slot, hot.id, announce, now);
      // What ended here unannounced may live on elsewhere, and be heard of again.
      if (announce) remember_removed(hot.id, table_->hash(hot.id), now);
      counters_[Tally::expired].add();
    });
  }
}

void Session::on_timeout(Instant now) noexcept {
  bulk_.on_timeout(now);
  if (bulk_.take_request()) {
    counters_[Tally::bulk_requests_out].add();
    outbox_.request(wire::bulk_request_id, now);
  }
  if (now >= sweep_due_) {
    if (config_.expire) expire(now);
    sweep_due_ = now + sweep_every;
  }
}

Instant Session::timeout(Instant now) const noexcept {
  Instant due = config_.expire ? sweep_due_ : Instant::max();
  if (const auto bulk_due = bulk_.timeout()) due = std::min(due, *bulk_due);
  return std::min(due, outbox_.timeout(now));
}

std::size_t Session::transmit(wire::Room room, Instant now) noexcept {
  if (outbox_.queued() == 0) return 0;
  return outbox_.transmit(room, now, dialect_.in_use(), Source{writers_, slots_per_shard_, statetable::to_seconds(now)});
}

}  // namespace pfsync::engine
