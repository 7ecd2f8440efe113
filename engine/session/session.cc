#include "engine/session/session.h"

#include <algorithm>

#include "engine/session/hot_part.h"
#include "engine/session/merge.h"
#include "engine/session/two_families.h"
#include "engine/session/validity.h"

namespace pfsync::engine {

using statetable::ColdState;
using statetable::Hash;
using statetable::HotEntry;
using statetable::HotState;
using statetable::no_slot;
using statetable::Renewal;
using statetable::ShardWriter;
using wire::Message;
using wire::Reject;

namespace {

std::size_t first_shard_of(const SessionPart& part, const statetable::Table& table) noexcept {
  return part.partition == nullptr ? 0 : part.partition->first_shard(part.number, table.shard_count());
}

std::vector<ShardWriter> claim(const SessionPart& part, statetable::Table& table) {
  std::vector<ShardWriter> writers;
  const SessionPart next{part.partition, part.number + 1};
  const std::size_t end = part.partition == nullptr ? table.shard_count() : first_shard_of(next, table);
  for (std::size_t i = first_shard_of(part, table); i < end; ++i) writers.push_back(table.claim(i).value());
  return writers;
}

/// With the usual MTU of 1500, over IPv6, in the dialect that leaves 64 bytes free, and less than a compressed update
/// beside.
constexpr std::size_t full_packet_bytes = 1500 - 40 - 64 - sizeof(wire::UpdCRecord);

/// When a state ends of which a full state said nothing new: that answers a request or belongs to a bulk update, and is
/// no traffic. If it were, whoever asks a peer for its states again and again would keep them alive for ever. The
/// sender may know of traffic that was not heard of here. Both count in whole seconds, so that of two who tell each
/// other the same neither may gain by rounding.
Seconds still_ends_at(const HotEntry& held, wire::Layout layout, wire::Bytes record, Seconds most_s,
                      Seconds now_s) noexcept {
  constexpr std::int64_t rounding_s = 2;
  const std::int64_t left_s = wire::read_state(layout, record).expire_s - rounding_s;
  if (left_s <= 0) return held.expire_at_s();
  return std::max(held.expire_at_s(), std::min(saturated(now_s + left_s), most_s));
}

/// With this write_probe() makes a question as long as a packet may be; no kernel says it.
bool is_filler(const wire::Section& section) noexcept {
  return section.action->message == Message::ins_ack && section.count > 0 &&
         wire::read_id(Message::ins_ack, section.action->layout, section.record(0)).id == 0;
}

/// Whether an update says anything new.
bool is_changed(const HotEntry& before, const Renewal& renewal) noexcept {
  return (renewal.src != nullptr && !statetable::is_same(before.src, *renewal.src)) ||
         (renewal.dst != nullptr && !statetable::is_same(before.dst, *renewal.dst)) ||
         renewal.timeout != before.timeout();
}

}  // namespace

Session::Peer::Peer(const PeerConfig& config, const SessionConfig& session, std::size_t slots, std::size_t tdb_places,
                    Counters& counters)
    : dialect{config.dialect, config.learn_dialect},
      outbox{{session.delay, session.maxupd, session.ids_queued_max, tdb_places, session.requests_per_s},
             slots,
             counters,
             config.gate},
      active{!config.is_shared},
      is_shared{config.is_shared},
      requests{session.requests_per_s, std::max<std::uint64_t>(session.requests_per_s / 10, 1)},
      acks{10 * session.requests_per_s, std::max<std::uint64_t>(session.requests_per_s, 1)},
      answers{session.requests_per_s, std::max<std::uint64_t>(session.requests_per_s / 10, 1)},
      interfaces{config.interfaces},
      watch{session.passive ? Duration::zero() : session.probe_every, config.is_group} {
  numbers.fill(PlaceShares::others);
  if (config.is_shared) outbox.stand_by(true, {});
}

Session::Session(const SessionConfig& config, statetable::Table& table, BulkGate* gate, SessionPart part)
    : config_{config},
      table_{&table},
      partition_{part.partition},
      part_{part.number},
      first_shard_{first_shard_of(part, table)},
      writers_{claim(part, table)},
      slots_per_shard_{table.slot_count() / table.shard_count()},
      asked_{table.config().states_max},
      removed_{config.removed_max},
      tdbs_{config.tdbs_max},
      deferrals_{config.defer, config.deferred_max},
      states_{table.size()} {
  if (config.peers.empty())
    peers_.emplace_back(PeerConfig{config.dialect, config.learn_dialect, gate}, config, table.slot_count(),
                        tdbs_.places(), counters_);
  for (const PeerConfig& peer : config.peers)
    peers_.emplace_back(peer, config, table.slot_count(), tdbs_.places(), counters_);
  for (Peer& peer : peers_) peer.number = next_number_++;
  lasted_from_.fill(statetable::no_slot);
  if (has_delay(config.sync_rules)) delayed_.emplace(table.slot_count());
  for (Peer& peer : peers_) reserve(peer.outbox);
  if (delayed_) reserve(*delayed_);
}

// --- receiving ---------------------------------------------------------------------------------------

void Session::on_packets(std::span<const wire::Bytes> packets, Instant now) noexcept {
  if (partition_ != nullptr) states_ = partition_->states();
  for (const wire::Bytes packet : packets) read({packet}, now);
  apply_rest(now);
}

void Session::on_packets(std::span<const Arrival> packets, Instant now) noexcept {
  if (partition_ != nullptr) states_ = partition_->states();
  for (const Arrival& arrival : packets) read(arrival, now);
  apply_rest(now);
}

void Session::read(const Arrival& arrival, Instant now) noexcept {
  if (is_first()) counters_[Tally::ipackets].add();
  wire::PacketReader reader{arrival.packet};
  wire::Section section;
  std::optional<wire::Dialect> told;
  Peer& peer = peers_[arrival.peer];
  const std::size_t place = peer.dialect.place_of(arrival.source);
  bool is_long_probe = false;
  while (reader.next(section)) {
    is_long_probe = is_long_probe || (is_first() && is_filler(section));
    told = std::max(told, wire::told_dialect(reader.header().version, *section.action));
    gather(section, arrival.peer, static_cast<std::uint8_t>(place), now);
  }
  if (is_first()) {
    peer.tallies[PeerTally::packets_received].add();
    if (reader.reject()) peer.tallies[PeerTally::packets_refused].add();
    if (is_long_probe) peer.tallies[PeerTally::probes_received].add();
    if (arrival.packet.size() >= full_packet_bytes) peer.tallies[PeerTally::packets_full].add();
    if (const auto reject = reader.reject()) counters_[*reject].add();
    if (reader.skipped() > 0) counters_[Tally::sections_skipped].add(reader.skipped());
  }
  if (reader.reject()) return;  // whoever sends nonsense does not decide what is written
  peer.heard_at.store(now, std::memory_order_relaxed);
  if (is_first()) {
    peer.watch.heard(arrival.source, now);
    if (peer.watch.is_waiting()) look_for_answers(arrival, now);
  }
  PeerDialect& dialect = peer.dialect;
  const std::uint64_t changes = dialect.changes();
  const bool understands = dialect.heard(arrival.source, place, reader.header().version, told, now);
  if (place == PeerDialect::sources_max) number_source(peer, arrival.source);
  if (!is_first()) return;
  if (!understands) counters_[Tally::not_understood].add();
  counters_[Tally::dialect_changes].add(dialect.changes() - changes);
}

/// Full states that were asked for as signs of life, and bulk updates.
void Session::look_for_answers(const Arrival& arrival, Instant now) noexcept {
  Peer& peer = peers_[arrival.peer];
  wire::PacketReader reader{arrival.packet};
  wire::Section section;
  while (reader.next(section)) {
    if (section.action->message == Message::bus && peer.watch.on_bulk_status(arrival.source, now))
      peer.tallies[PeerTally::probes_answered].add();
    if (section.action->message != Message::upd) continue;
    for (std::size_t i = 0; i < section.count; ++i)
      if (peer.watch.on_full_state(wire::read_id(Message::upd, section.action->layout, section.record(i)),
                                   arrival.source, now))
        peer.tallies[PeerTally::probes_answered].add();
  }
}

/// Of messages that another part applies, the first one still has to know.
void Session::pass_over(Message message, wire::Layout layout, wire::Bytes record, unsigned peer, Instant now) noexcept {
  if (is_first() && message == Message::upd && is_valid(wire::read_update(layout, record)))
    peers_[peer].bulk.on_full_state(now);
}

void Session::gather(const wire::Section& section, unsigned peer, std::uint8_t source, Instant now) noexcept {
  const Message message = section.action->message;
  if (message == Message::eof) {
    if (is_first()) counters_.in(message).add();
    return;
  }
  if (is_first()) {
    counters_.in(message).add(section.count);
    if (message == Message::ins) {
      peers_[peer].tallies[PeerTally::inserts_received].add(section.count);
      peers_[peer].tallies[PeerTally::insert_packets_received].add();
    }
  } else if (message == Message::bus || message == Message::tdb) {
    return;
  }
  // Only the first BUS of a section is looked at. Source: pfsync_in_bus().
  const std::size_t count = message == Message::bus ? std::min<std::size_t>(section.count, 1) : section.count;
  for (std::size_t i = 0; i < count; ++i) {
    Pending& pending = under_way_[entered_ % under_way_max];
    pending.message = message;
    pending.layout = section.action->layout;
    pending.record = section.record(i);
    pending.peer = peer;
    pending.source = source;
    pending.is_read = false;
    if (pending.names_a_state()) {
      pending.id = wire::read_id(message, pending.layout, pending.record);
      if (pending.id == wire::bulk_request_id && message == Message::upd_req) [[unlikely]] {
        if (is_first()) on_bulk_request(peer);
        continue;
      }
      const Hash hash = table_->hash(pending.id);
      if (partition_ != nullptr && !is_mine(hash)) {
        pass_over(message, pending.layout, pending.record, peer, now);
        continue;
      }
      pending.search = writer_of(hash).begin(hash);
    }
    if (++entered_ % group != 0) continue;
    guess_until(entered_ - group);
    if (entered_ >= 2 * group) apply_until(entered_ - 2 * group, now);
  }
}

void Session::guess_until(std::size_t end) noexcept {
  for (; guessed_ < end; ++guessed_) {
    Pending& pending = under_way_[guessed_ % under_way_max];
    if (!pending.names_a_state()) continue;
    writer_of(pending.search.hash).guess(pending.search);
    // A full update of a state that is not here brings it: a bulk update consists of these.
    pending.is_read =
        pending.message == Message::ins || (pending.message == Message::upd && pending.search.entry == nullptr);
    if (!pending.is_read) continue;
    read_insert(pending);
    removed_.prefetch(pending.search.hash);
  }
}

void Session::read_insert(const Pending& pending) noexcept {
  Insert& insert = inserts_[static_cast<std::size_t>(&pending - under_way_.data())];
  insert.state = wire::read_state(pending.layout, pending.record);
  if (InterfaceTranslator& interfaces = peers_[pending.peer].interfaces; !interfaces.is_idle()) [[unlikely]]
    interfaces.to_ours(insert.state);
  insert.beside = begin_beside(insert.state);
}

/// In the order of arrival: an update may follow its own insert, so that what was guessed is only a hint.
void Session::apply_until(std::size_t end, Instant now) noexcept {
  for (std::size_t i = applied_; i < end; ++i) {
    const Pending& pending = under_way_[i % under_way_max];
    if (pending.message == Message::del || pending.message == Message::del_c)
      writer_of(pending.search.hash).prefetch_erase(pending.search);
  }
  for (; applied_ < end; ++applied_) apply(under_way_[applied_ % under_way_max], now);
}

void Session::apply_rest(Instant now) noexcept {
  guess_until(entered_);
  apply_until(entered_, now);
  entered_ = guessed_ = applied_ = 0;
}

void Session::apply(const Pending& pending, Instant now) noexcept {
  switch (pending.message) {
    case Message::ins: on_insert(pending, now); break;
    case Message::upd:
    case Message::upd_c: on_update(pending, now); break;
    case Message::upd_req: on_request(pending, now); break;
    case Message::del:
    case Message::del_c: on_delete(pending, now); break;
    case Message::clr: {
      wire::Clear clear = wire::read_clear(pending.record);
      peers_[pending.peer].interfaces.to_ours(clear);
      on_clear(clear, pending.peer, pending.source, now);
      break;
    }
    case Message::bus: peers_[pending.peer].bulk.on_status(wire::read_bulk_status(pending.record), now); break;
    case Message::tdb: on_tdb(pending, now); break;
    case Message::ins_ack: release(pending.id, pending.search.hash, Deferrals::Why::acknowledged, now); break;
    case Message::eof: break;
  }
}

bool Session::take_place() noexcept {
  // The shards have room for more, since states spread unevenly.
  const std::size_t most = table_->config().states_max;
  if (partition_ != nullptr ? partition_->take_place(most) : states_ < most) {
    ++states_;
    return true;
  }
  return false;
}

void Session::give_place_back() noexcept {
  --states_;
  if (partition_ != nullptr) partition_->give_place_back();
}

Session::Local Session::enter(const HotState& hot, const ColdState& cold, Hash hash, const statetable::Beside& begun,
                              unsigned from, Slot& slot, Instant now) noexcept {
  if (!take_place() && !(give_room_to(hot.from, now) && take_place())) {
    counters_[Tally::table_full].add();
    return Local::full;
  }
  statetable::Beside beside = begun;
  if (table_->config().by_connection && beside.sides.wire.interface == statetable::NameId::none &&
      !cold.ifname.empty()) {
    // Its first state. Where the name finds no room, others of its connection are not found beside it.
    const statetable::NameId interface = statetable::intern(cold.ifname);
    if (interface == statetable::NameId::none) counters_[Tally::names_full].add();
    beside = table_->beside(statetable::sides_of(hot, cold, interface));
  }
  const bool asks_others = partition_ != nullptr && table_->config().by_connection;
  if (asks_others && !makes_place_elsewhere(hot, beside, from)) {
    partition_->end_insert(part_);
    counters_[Tally::collisions].add();
    give_place_back();
    return Local::collides;
  }
  const bool has_place = makes_place(hot, beside, from, now);
  slot = has_place ? writer_of(hash).add(hot, cold, hash, &beside) : no_slot;
  if (asks_others) partition_->end_insert(part_);
  if (slot == no_slot) {
    give_place_back();
    if (!has_place) return Local::collides;
    counters_[Tally::table_full].add();
    return Local::full;
  }
  shares_.entered(hot.from);
  counters_[Tally::inserts].add();
  return Local::done;
}

bool Session::gives_way(const HotState& held, const HotState& hot, unsigned from) const noexcept {
  // It may have ended while this node was away; the newcomer is there now.
  if (is_only_restored(held) && !is_only_restored(hot)) return true;
  // Source: FreeBSD sys/netpfil/pf/pf.c, pf_state_key_attach().
  const bool is_over = held.proto == wire::ipproto::tcp && held.src.state >= wire::tcps::fin_wait_2 &&
                       held.dst.state >= wire::tcps::fin_wait_2;
  // Differs:  its creator has one state a connection, so that the older one has ended there and its DEL was lost.
  // Ages come in whole seconds. Of two that a creator tells of within one, the second is the one that it has now: what
  // it removed before is known by its id.
  const std::int64_t born_s = std::int64_t{hot.created_s} + (from == nobody ? 0 : 2);
  return is_over || (held.id.creatorid == hot.id.creatorid && held.created_s < born_s);
}

bool Session::makes_place_elsewhere(const HotState& hot, const statetable::Beside& beside, unsigned from) noexcept {
  if (!partition_->begin_insert(part_, beside)) return false;
  const statetable::TableReader reader = table_->reader();
  for (std::size_t shard = 0; shard < table_->shard_count(); ++shard) {
    if (shard - first_shard_ < writers_.size()) continue;
    const auto held = reader.find_beside(shard, beside);
    if (!held) continue;
    if (!gives_way(held->hot, hot, from)) return false;
    // It stays for a moment: its owner removes it.
    if (!partition_->ask_to_remove(part_, partition_->owner_of(shard, table_->shard_count()), held->hot.id))
      return false;
  }
  return true;
}

std::size_t Session::serve_others(Instant now) noexcept {
  if (partition_ == nullptr) return 0;
  if (is_first()) tell_clears(now);
  return partition_->serve(part_, [&](wire::StateId id) {
    const Hash hash = table_->hash(id);
    ShardWriter& writer = writer_of(hash);
    if (const Slot slot = writer.find(id, hash); slot != no_slot) displace(writer, slot, now);
  });
}

void Session::displace(ShardWriter& writer, Slot slot, Instant now) noexcept {
  const HotEntry& held = writer.entry(slot);
  const wire::StateId id{held.id, held.creatorid};
  const bool announce = statetable::is_said_here(held.heard_s()) && is_announced(held.state_flags());
  remove(writer, slot, id, announce, nobody, now);
  removed_.remember(id, table_->hash(id), statetable::to_seconds(now));
  counters_[Tally::displaced].add();
}

bool Session::makes_place(const HotState& hot, const statetable::Beside& beside, unsigned from, Instant now) noexcept {
  if (!table_->config().by_connection) return true;
  for (ShardWriter& writer : writers_)
    for (Slot slot; (slot = writer.find_beside(beside)) != no_slot;) {
      if (!gives_way(writer.hot(slot), hot, from)) {
        counters_[Tally::collisions].add();
        return false;
      }
      displace(writer, slot, now);
    }
  return true;
}

statetable::Beside Session::begin_beside(const wire::State& state) const noexcept {
  if (!table_->config().by_connection) return {};
  // A name gets its number with the state that is taken: what is refused must not use them up.
  const statetable::Beside beside = table_->beside(statetable::sides_of(state, statetable::known(state.ifname)));
  if (partition_ == nullptr)
    for (const ShardWriter& writer : writers_) writer.prefetch(beside);
  else
    table_->reader().prefetch(beside);
  return beside;
}

bool Session::import(const wire::State& state, const statetable::Beside& beside, const Pending& pending,
                     Instant now) noexcept {
  const Seconds now_s = statetable::to_seconds(now);
  HotState hot = hot_part(state, now_s);
  hot.state_flags = static_cast<std::uint16_t>(hot.state_flags & ~(wire::state_flag::ack | wire::state_flag::nosync));
  hot.heard_s = now_s;
  hot.from = peers_[pending.peer].numbers[pending.source];
  // The message's remaining time, but never more than our own timeout grants from now. With no time left it is as if it
  // was used now, as in pf. Source: FreeBSD and OpenBSD, pf_state_import().
  const Seconds most_s = expires_at(state.timeout, now_s);
  hot.expire_at_s = state.expire_s == 0 ? most_s : std::min(saturated(std::int64_t{now_s} + state.expire_s), most_s);
  const HoldBack held_back = consult_rules(hot, state, pending.peer, now_s);
  const ColdState cold = statetable::cold_part(state);
  if (!statetable::keeps_names(cold, state)) counters_[Tally::names_full].add();
  Slot slot = no_slot;
  if (enter(hot, cold, pending.search.hash, beside, pending.peer, slot, now) != Local::done) return false;
  if (held_back.is_any()) hold_back(held_back, slot, pending.peer);
  if (is_announced(hot.state_flags))
    for_all_but(pending.peer, [&](Outbox& outbox) {
      // A full update tells of what is not new: a hub that has just come up hears so of what its peers hold.
      outbox.inserted(slot, now, pending.message == Message::upd);
      // Somebody holds a packet until we know it.
      if ((state.state_flags & wire::state_flag::ack) != 0) outbox.push();
    });
  return true;
}

void Session::on_insert(const Pending& pending, Instant now) noexcept {
  const auto& [state, beside] = inserts_[static_cast<std::size_t>(&pending - under_way_.data())];
  if (!is_valid(state)) {
    counters_[Reject::badval].add();
    return;
  }
  if (state.id.creatorid == 0) {  // reserved: (0, 0) is the bulk request
    counters_[Reject::badstate].add();
    return;
  }
  if (was_removed(pending, now)) return;
  const bool exists = writer_of(pending.search.hash).find(pending.id, pending.search) != no_slot;
  if (exists)
    counters_[Tally::insert_exists].add();
  else if (was_cleared(state, now))
    return;
  const bool held = exists || import(state, beside, pending, now);
  if (held) acknowledge(state, pending, now);
}

/// The sender may hold a packet until we have the state: it is answered at once.
void Session::acknowledge(const wire::State& state, const Pending& pending, Instant now) noexcept {
  if ((state.state_flags & wire::state_flag::ack) == 0 || config_.passive) return;
  Peer& peer = peers_[pending.peer];
  if (peer.acks.take(pending.source, peer.dialect.known(), now))
    peer.outbox.acknowledge(state.id, now);
  else
    counters_[Tally::acks_withheld].add();
}

void Session::on_update(const Pending& pending, Instant now) noexcept {
  const wire::Update update = wire::read_update(pending.layout, pending.record);
  if (!is_valid(update)) {
    counters_[Reject::badval].add();
    return;
  }
  if (pending.message == Message::upd) peers_[pending.peer].bulk.on_full_state(now);
  ShardWriter& writer = writer_of(pending.search.hash);
  const Slot slot = writer.find(pending.id, pending.search);
  if (slot == no_slot) {
    if (was_removed(pending, now)) return;
    if (pending.message == Message::upd_c) {
      if (was_cleared(pending.id, now)) return;
      peers_[pending.peer].tallies[PeerTally::unknown].add();
      ask_for(pending, now);
      return;
    }
    if (!pending.is_read) read_insert(pending);
    const auto& [state, beside] = inserts_[static_cast<std::size_t>(&pending - under_way_.data())];
    if (!is_valid(state))
      counters_[Reject::badval].add();
    else if (was_cleared(state, now))
      return;
    else if (state.id.creatorid == 0 || !import(state, beside, pending, now))
      counters_[Reject::badstate].add();
    else
      taken_by_update(state, pending, now);
    return;
  }
  if (pending.message == Message::upd && !samples_.is_empty()) [[unlikely]]
    judge_sample(pending, writer.entry(slot), update, now);
  merge_into(writer, slot, update, pending, now);
}

bool Session::merge_update(Slot slot, const wire::Update& update, const Pending& pending, Instant now) noexcept {
  return merge_into(writer_of(pending.search.hash), slot, update, pending, now);
}

inline bool Session::merge_into(ShardWriter& writer, Slot slot, const wire::Update& update, const Pending& pending,
                                Instant now) noexcept {
  release(pending.id, pending.search.hash, Deferrals::Why::updated, now);
  const HotEntry& held = writer.entry(slot);
  const MergeResult merged = judge(held, update);
  const Seconds now_s = statetable::to_seconds(now);
  const bool announced = is_announced(held.state_flags()), tcp = held.proto() == wire::ipproto::tcp;
  Renewal renewal{.timeout = held.timeout(), .expire_at_s = held.expire_at_s(), .heard_s = now_s};
  bool pass_on = false;
  if (!merged.all_stale()) {
    if (!merged.src_stale) renewal.src = &update.src;
    if (!merged.dst_stale) renewal.dst = &update.dst;
    renewal.timeout = update.timeout;
    renewal.expire_at_s = expires_at(update.timeout, now_s);
    counters_[Tally::updates].add();
    if (pending.message == Message::upd && !pending.record.empty() && !is_changed(held, renewal)) [[unlikely]] {
      renewal.expire_at_s = still_ends_at(held, pending.layout, pending.record, renewal.expire_at_s, now_s);
      // Nor is it the peer that has the connection now.
      if (statetable::is_said_here(held.heard_s())) renewal.heard_s = held.heard_s();
    }
    // Only traffic refreshes; a full state that says nothing new answers somebody's request.
    pass_on = announced && peers_.size() > 1 &&
              (is_changed(held, renewal) || (pending.message == Message::upd_c && is_refresh_due(held, now_s)));
  }
  writer.renew(slot, renewal);
  if (pass_on) for_all_but(pending.peer, [&](Outbox& outbox) { outbox.updated(slot, tcp, now); });
  if (merged.any_stale()) {
    counters_[Reject::stale].add();
    peers_[pending.peer].tallies[PeerTally::stale].add();
    if (announced) peers_[pending.peer].outbox.found_stale(slot, now);
  } else {
    peers_[pending.peer].outbox.said_by_peer(slot);
  }
  return !merged.all_stale();
}

void Session::taken_by_update(const wire::State& state, const Pending& pending, Instant now) noexcept {
  acknowledge(state, pending, now);
  const bool was_asked_for = asked_.turn_of(pending.id, pending.search.hash, now) == AskedStates::Turn::lately;
  if (was_asked_for && state.creation_s <= PeerWatch::young.count())
    peers_[pending.peer].tallies[PeerTally::missed].add();
}

bool Session::is_refresh_due(const HotEntry& before, Seconds now_s) const noexcept {
  const std::int64_t period = std::max<std::int64_t>(config_.timeouts.seconds(before.timeout(), states_) / 16, 1);
  return statetable::is_said_here(before.heard_s()) || now_s / period != before.heard_s() / period;
}

bool Session::was_removed(const Pending& pending, Instant now) noexcept {
  if (!removed_.has(pending.id, pending.search.hash, statetable::to_seconds(now))) return false;
  counters_[Tally::removed_before].add();
  return true;
}

void Session::remove(ShardWriter& writer, Slot slot, wire::StateId id, bool announce, unsigned from, Instant now,
                     bool only_old) noexcept {
  const bool is_sayable_to_all = !announce || std::ranges::all_of(peers_, [](const Peer& peer) {
    return can_say_two_families(peer.dialect.in_use());
  }) || !has_two_families(writer, slot);
  if (!deferrals_.empty()) {
    const wire::StateId ended{writer.entry(slot).id, writer.entry(slot).creatorid};
    release(ended, table_->hash(ended), Deferrals::Why::gone, now);
  }
  shares_.left(writer.entry(slot).from());
  writer.erase(slot);
  give_place_back();
  if (delayed_ && delayed_->forget(slot)) counters_[Tally::sync_short].add();
  for (unsigned i = 0; i < peers_.size(); ++i) {
    Peer& peer = peers_[i];
    const bool tell = announce && i != from && (!only_old || !clears_by_interface(peer.dialect.in_use()));
    const bool can_have = is_sayable_to_all || can_say_two_families(peer.dialect.in_use());
    if (tell && !can_have) counters_.lost.updates.add();
    peer.outbox.erased(slot, id, tell && can_have, now);
  }
}

void Session::on_delete(const Pending& pending, Instant now) noexcept {
  ShardWriter& writer = writer_of(pending.search.hash);
  const Slot slot = writer.find(pending.id, pending.search);
  // Of an unknown one too: another peer's bulk update may bring it only after its end was heard.
  removed_.remember(pending.id, pending.search.hash, statetable::to_seconds(now), slot != no_slot);
  if (slot == no_slot) {
    counters_[Reject::badstate].add();
    return;
  }
  remove(writer, slot, pending.id, is_announced(writer.entry(slot).state_flags()), pending.peer, now);
  counters_[Tally::removals].add();
}

// --- time ---------------------------------------------------------------------------------

Seconds Session::expires_at(std::uint8_t timeout, Seconds now_s) const noexcept {
  return saturated(std::int64_t{now_s} + config_.timeouts.seconds(timeout, states_));
}

}  // namespace pfsync::engine
