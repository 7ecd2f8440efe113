#pragma once

#include <algorithm>
#include <cstdint>
#include <limits>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "engine/session/session.h"
#include "tests/fuzz/check.h"
#include "wire/convert.h"
#include "wire/packet_reader.h"

namespace pfsync::fuzz {

using engine::Instant;
using engine::Seconds;
using engine::Session;
using engine::SessionConfig;
using engine::Tally;
using statetable::HotState;
using wire::Message;
using wire::Reject;
using wire::StateId;

/// The receive semantics and the local interface once more, the plain way: one map, one message at a
/// time, nothing shared with the session but the wire's readers. What the session holds and counts must
/// be what stands here. Small tables only: it takes for granted that one sweep looks at every slot.
class SessionModel {
 public:
  struct Held {
    HotState hot;
    statetable::ColdState cold;
    bool synchronised;  ///< the peers are told of it
    bool dirty;         ///< changed here since it was last announced
    bool announced;     ///< the peers may know it from us or from each other
  };

  SessionModel(const SessionConfig& config, const statetable::Table& table)
      : config_{config}, table_{&table}, shard_size_(table.shard_count()) {}

  std::map<StateId, Held> held;
  std::map<StateId, unsigned> deletes_owed;   ///< DEL_C that must still go out
  std::map<StateId, unsigned> deletes_spare;  ///< DEL_C that may: a bulk frame could have told the state
  std::map<StateId, unsigned> updates_asked;  ///< UPD_REQ from the wire that may still be answered
  std::uint64_t taken = 0;
  std::vector<std::pair<wire::Tdb, Seconds>> tdbs;  ///< with when they were heard
  std::map<StateId, unsigned> removals_of;          ///< how often an id was removed: it may live again
  std::uint64_t asked = 0;                          ///< UPD_C of unknown states
  std::uint64_t acks = 0, badval = 0, badstate = 0, stale = 0, inserts = 0, updates = 0, removals = 0, expired = 0,
                exists = 0, full = 0, late = 0;

  void start(Instant now) { sweep_due_ = now + std::chrono::milliseconds{100}; }

  void on_packet(wire::Bytes packet, Instant now) {
    wire::PacketReader reader{packet};
    wire::Section section;
    while (reader.next(section))
      for (std::size_t i = 0; i < section.count && section.action->message != Message::eof; ++i)
        on_message(*section.action, section.record(i), now);
  }

  Session::Local insert(wire::State state, Instant now) {
    if (!in_range(state)) return Session::Local::invalid;
    if (state.id.creatorid == 0) state.id.creatorid = config_.creatorid;
    if (held.contains(state.id)) return Session::Local::exists;
    if (is_full(state.id)) {
      ++full;
      return Session::Local::full;
    }
    const bool synchronised =
        state.proto != wire::ipproto::pfsync && (state.state_flags & wire::state_flag::nosync) == 0;
    // pf marks what it never synchronises.
    if (!synchronised) state.state_flags |= wire::state_flag::nosync;
    removed_at_s_.erase(state.id);
    enter(state, statetable::never_heard, ends_at(state.timeout, now), synchronised, now);
    return Session::Local::done;
  }

  Session::Local update(const wire::Update& update, Instant now) {
    if (!in_range(update)) return Session::Local::invalid;
    const auto found = held.find(update.id);
    if (found == held.end()) return Session::Local::unknown;
    HotState& hot = found->second.hot;
    hot.src = update.src;
    hot.dst = update.dst;
    hot.timeout = update.timeout;
    hot.expire_at_s = ends_at(update.timeout, now);
    hot.heard_s = hot.heard_s < 0 ? hot.heard_s : -1 - hot.heard_s;  // below 0: the last word was ours
    found->second.dirty = found->second.synchronised;
    ++updates;
    return Session::Local::done;
  }

  Session::Local erase(StateId id, Instant now) {
    const auto found = held.find(id);
    if (found == held.end()) return Session::Local::unknown;
    ++removals;
    remove(found, true);
    removed_at_s_[id] = statetable::to_seconds(now);
    return Session::Local::done;
  }

  /// `by_deletes`: the peer does not know the clear of one interface.
  std::size_t clear(const wire::Clear& clear, Instant now, bool by_deletes = false) {
    std::size_t removed = 0;
    const Seconds now_s = statetable::to_seconds(now);
    cleared_at_s_[{clear.creatorid, std::string{clear.ifname.view()}}] = now_s;
    for (auto at = held.begin(); at != held.end();) {
      const auto next = std::next(at);
      const bool named = clear.ifname.view().empty() || at->second.cold.ifname == clear.ifname;
      if (at->first.creatorid == clear.creatorid && named) {
        // Of another's, its age may not tell whether it began before.
        if (clear.creatorid != config_.creatorid && std::int64_t{at->second.hot.created_s} + 6 >= now_s)
          removed_at_s_[at->first] = now_s;
        remove(at, by_deletes && !clear.ifname.view().empty());
        ++removed;
      }
      at = next;
    }
    removals += removed;
    return removed;
  }

  void on_timeout(Instant now) {
    if (now < sweep_due_) return;
    sweep_due_ = now + std::chrono::milliseconds{100};
    if (!config_.expire) return;
    const Seconds now_s = statetable::to_seconds(now);
    for (auto at = held.begin(); at != held.end();) {
      const auto next = std::next(at);
      const HotState& hot = at->second.hot;
      const bool ours = hot.heard_s < 0;
      const std::int64_t grace_s = ours ? 0 : config_.foreign_grace / std::chrono::seconds{1};
      if (hot.expire_at_s + grace_s <= now_s) {
        ++expired;
        // Foreign ones, and those nobody was told of, may be heard of again.
        if (ours && at->second.synchronised && !config_.passive) removed_at_s_[at->first] = now_s;
        remove(at, ours);
      }
      at = next;
    }
  }

  /// Whether the table holds exactly this, seen through its reader.
  void compare(const statetable::Table& table) const {
    const statetable::TableReader reader = table.reader();
    statetable::TableReader::Cursor cursor;
    std::size_t seen = 0;
    while (const auto snapshot = reader.next(cursor)) {
      const auto found = held.find(snapshot->hot.id);
      check(found != held.end(), "the table holds no state that it should not");
      const HotState &is = snapshot->hot, &should = found->second.hot;
      check(statetable::to_state(is, snapshot->cold, 0) == statetable::to_state(should, found->second.cold, 0),
            "a state holds what the messages said");
      check(is.expire_at_s == should.expire_at_s && is.created_s == should.created_s && is.heard_s == should.heard_s,
            "a state's times follow from the messages");
      ++seen;
    }
    check(seen == held.size() && table.size() == seen, "the table holds every state that it should");
    for (const auto& [id, state] : held) check(reader.find(id).has_value(), "a state that is held is found by its id");
  }

  void compare(const engine::Counters& counters) const {
    check(counters[Reject::badval].value() == badval, "badval counts the messages out of range");
    check(counters[Reject::badstate].value() == badstate, "badstate counts the messages without their state");
    check(counters[Reject::stale].value() == stale, "stale counts the updates with a stale side");
    check(counters[Tally::inserts].value() == inserts && counters[Tally::updates].value() == updates &&
              counters[Tally::removals].value() == removals && counters[Tally::expired].value() == expired &&
              counters[Tally::insert_exists].value() == exists && counters[Tally::table_full].value() == full &&
              counters[Tally::removed_before].value() == late,
          "the tallies count what happened to the table");
    check(counters[Tally::tdbs].value() == taken, "tdbs counts the IPsec counters taken");
  }

 private:
  /// pf's own ranges: PFTM_MAX of FreeBSD 14 on, TCPS_* and the two syn-proxy levels.
  static bool in_range(const wire::Update& update) {
    return update.timeout < 25 && update.src.state <= 12 && update.dst.state <= 12;
  }
  static bool in_range(const wire::State& state) {
    return in_range(wire::Update{state.id, state.src, state.dst, state.timeout}) &&
           static_cast<unsigned>(state.direction) <= 2 && state.af != wire::Family::none;
  }

  static Seconds clamped(std::int64_t seconds) {
    constexpr std::int64_t low = std::numeric_limits<Seconds>::min() + 1, high = std::numeric_limits<Seconds>::max();
    return static_cast<Seconds>(seconds < low ? low : seconds > high ? high : seconds);
  }
  [[nodiscard]] std::size_t shard_of(StateId id) const { return table_->shard_of(table_->hash(id)); }
  [[nodiscard]] bool is_full(StateId id) const {
    return held.size() >= table_->config().states_max ||
           shard_size_[shard_of(id)] == table_->slot_count() / table_->shard_count();
  }
  /// pf_state_expires(): between adaptive.start and adaptive.end states, timeouts shrink in proportion.
  [[nodiscard]] Seconds ends_at(std::uint8_t timeout, Instant now) const {
    const auto& values = config_.timeouts.value;
    std::uint64_t seconds = values[timeout];
    const std::uint64_t from = values[16], to = values[17], states = held.size();
    if (from != 0 && from < to && states > from) seconds = states < to ? seconds * (to - states) / (to - from) : 0;
    return clamped(statetable::to_seconds(now) + static_cast<std::int64_t>(seconds));
  }

  void enter(const wire::State& state, Seconds heard_s, Seconds expire_at_s, bool synchronised, Instant now) {
    HotState hot{.id = state.id, .src = state.src, .dst = state.dst};
    hot.created_s = clamped(std::int64_t{statetable::to_seconds(now)} - state.creation_s);
    hot.expire_at_s = expire_at_s;
    hot.heard_s = heard_s;
    hot.state_flags = state.state_flags;
    hot.timeout = state.timeout;
    hot.proto = state.proto;
    hot.af = state.af;
    hot.direction = state.direction;
    hot.log = state.log;
    hot.sync_flags = state.sync_flags;
    const bool ours = heard_s == statetable::never_heard;
    held[state.id] = {hot, statetable::cold_part(state), synchronised, ours && synchronised, !ours};
    ++shard_size_[shard_of(state.id)];
    ++inserts;
  }

  void remove(std::map<StateId, Held>::iterator at, bool announce) {
    const Held& state = at->second;
    // One whose INS never left is not announced.
    if (announce && state.synchronised && !config_.passive)
      ++(state.announced ? deletes_owed : deletes_spare)[at->first];
    ++removals_of[at->first];
    updates_asked.erase(at->first);
    --shard_size_[shard_of(at->first)];
    held.erase(at);
  }

  enum class Imported { yes, exists, no };
  Imported import(wire::State state, Instant now) {
    if (held.contains(state.id)) {
      ++exists;
      return Imported::exists;
    }
    if (is_full(state.id)) {
      ++full;
      return Imported::no;
    }
    constexpr unsigned not_taken_over = wire::state_flag::ack | wire::state_flag::nosync;
    state.state_flags = static_cast<std::uint16_t>(state.state_flags & ~not_taken_over);
    const Seconds now_s = statetable::to_seconds(now);
    const Seconds theirs = clamped(std::int64_t{now_s} + state.expire_s), ours = ends_at(state.timeout, now);
    enter(state, now_s, state.expire_s != 0 && theirs < ours ? theirs : ours, true, now);
    return Imported::yes;
  }

  void on_message(const wire::Action& action, wire::Bytes record, Instant now) {
    switch (action.message) {
      case Message::ins: return on_insert(wire::read_state(action.layout, record), now);
      case Message::upd: return on_full_update(wire::read_state(action.layout, record), now);
      case Message::upd_c: return on_update(wire::read_update(action.layout, record), now);
      case Message::upd_req: return on_request(wire::read_id(action.message, action.layout, record));
      case Message::del:
      case Message::del_c: return on_delete(wire::read_id(action.message, action.layout, record), now);
      case Message::clr: clear(wire::read_clear(record), now); return;
      case Message::tdb: {
        const wire::Tdb tdb = wire::read_tdb(action.layout, record);
        if (tdb.spi <= 255 || tdb.af == wire::Family::none || !hear(tdb, now)) ++badstate;
        return;
      }
      case Message::ins_ack:
      case Message::bus:
      case Message::eof: return;
    }
  }

  /// Counters of an SA only grow, unless nothing was taken for a minute; eight are kept, the one unheard longest makes
  /// room.
  bool hear(const wire::Tdb& tdb, Instant now) {
    const Seconds now_s = statetable::to_seconds(now);
    const auto is_this = [&](const auto& one) {
      const wire::Tdb& other = one.first;
      return other.spi == tdb.spi && other.sproto == tdb.sproto && other.rdomain == tdb.rdomain && other.af == tdb.af &&
             other.dst == tdb.dst;
    };
    auto at = std::find_if(tdbs.begin(), tdbs.end(), is_this);
    if (at != tdbs.end() && (tdb.rpl < at->first.rpl || tdb.cur_bytes < at->first.cur_bytes) &&
        now_s - at->second <= 60)
      return false;
    if (at == tdbs.end() && tdbs.size() < 8) at = tdbs.insert(at, {tdb, now_s});
    if (at == tdbs.end())
      at = std::min_element(tdbs.begin(), tdbs.end(), [](const auto& a, const auto& b) { return a.second < b.second; });
    *at = {tdb, now_s};
    ++taken;
    return true;
  }

  void on_insert(const wire::State& state, Instant now) {
    if (!in_range(state)) {
      ++badval;
    } else if (state.id.creatorid == 0) {
      ++badstate;
    } else if (is_late(state.id, now) || (!held.contains(state.id) && has_been_cleared(state, now))) {
      return;
    } else if (import(state, now) != Imported::no && (state.state_flags & wire::state_flag::ack) && !config_.passive) {
      ++acks;
    }
  }

  void on_full_update(const wire::State& state, Instant now) {
    const wire::Update update{state.id, state.src, state.dst, state.timeout};
    if (held.contains(state.id) || !in_range(update)) return on_update(update, now, &state);
    if (is_late(state.id, now)) return;
    if (!in_range(state))
      ++badval;
    else if (has_been_cleared(state, now))
      return;
    else if (state.id.creatorid == 0 || import(state, now) == Imported::no)
      ++badstate;
    else
      acks += (state.state_flags & wire::state_flag::ack) != 0 && !config_.passive;
  }

  void on_update(const wire::Update& update, Instant now, const wire::State* whole = nullptr) {
    if (!in_range(update)) {
      ++badval;
      return;
    }
    const auto found = held.find(update.id);
    if (found == held.end()) {
      if (is_late(update.id, now) || has_been_flushed(update.id, now)) return;
      // creatorid 0 is no node's: nobody can send such a state, and (0, 0) would ask for everything.
      if (config_.passive || update.id.creatorid == 0)
        ++badstate;
      else
        ++asked;
      return;
    }
    HotState& hot = found->second.hot;
    const HotState before = hot;
    const bool tcp = hot.proto == wire::ipproto::tcp;
    const auto is_behind = [tcp](const wire::Peer& ours, const wire::Peer& theirs) {
      if (ours.state != theirs.state) return ours.state > theirs.state;
      const std::uint32_t ahead = ours.seqlo == theirs.seqlo ? ours.seqhi - theirs.seqhi : ours.seqlo - theirs.seqlo;
      return tcp && ahead != 0 && ahead < 0x80000000u;
    };
    const bool proxy_done = tcp && hot.src.state >= 11 && update.src.state < 11;
    const bool src_stale = is_behind(hot.src, update.src) && !proxy_done;
    const bool dst_stale = is_behind(hot.dst, update.dst);
    if (!src_stale) hot.src = update.src;
    if (!dst_stale) hot.dst = update.dst;
    if (src_stale || dst_stale) {
      ++stale;
      if (found->second.synchronised && !config_.passive) found->second.dirty = true;
    } else if (found->second.announced) {
      found->second.dirty = false;  // the peer has said it
    }
    hot.heard_s = statetable::to_seconds(now);
    if (src_stale && dst_stale) return;
    hot.timeout = update.timeout;
    hot.expire_at_s = ends_at(update.timeout, now);
    ++updates;
    if (whole == nullptr || hot.src != before.src || hot.dst != before.dst || hot.timeout != before.timeout) return;
    // Nothing new is no traffic: the state lives as long as the sender says, if that is longer by more than rounding.
    const Seconds theirs = clamped(std::int64_t{statetable::to_seconds(now)} + whole->expire_s - 2);
    hot.expire_at_s =
        whole->expire_s > 2 ? std::max(before.expire_at_s, std::min(theirs, hot.expire_at_s)) : before.expire_at_s;
    if (before.heard_s < 0) hot.heard_s = before.heard_s;
  }

  void on_request(StateId id) {
    if (config_.passive || id == wire::bulk_request_id) return;
    const auto found = held.find(id);
    if (found == held.end())
      ++badstate;
    else if (found->second.synchronised)
      ++updates_asked[id];
  }

  void on_delete(StateId id, Instant now) {
    removed_at_s_[id] = statetable::to_seconds(now);
    const auto found = held.find(id);
    if (found == held.end()) {
      ++badstate;
      return;
    }
    ++removals;
    remove(found, false);
  }

  /// For ten seconds what was removed is not brought back by the wire.
  bool is_late(StateId id, Instant now) {
    const auto at_s = removed_at_s_.find(id);
    if (at_s == removed_at_s_.end() || std::int64_t{statetable::to_seconds(now)} - at_s->second > 10) return false;
    ++late;
    return true;
  }

  /// Of an own state that is not here, its id tells that a flush ended it.
  bool has_been_flushed(StateId id, Instant now) {
    const auto at_s = cleared_at_s_.find({id.creatorid, ""});
    if (id.creatorid != config_.creatorid || at_s == cleared_at_s_.end()) return false;
    if (std::int64_t{statetable::to_seconds(now)} - at_s->second > 10) return false;
    ++late;
    return true;
  }

  /// For ten seconds a clear is held against what is not here: own states, and others' that began three seconds before.
  bool has_been_cleared(const wire::State& state, Instant now) {
    const std::int64_t now_s = statetable::to_seconds(now);
    for (const std::string& ifname : {std::string{}, std::string{state.ifname.view()}}) {
      const auto at_s = cleared_at_s_.find({state.id.creatorid, ifname});
      if (at_s == cleared_at_s_.end() || now_s - at_s->second > 10) continue;
      const bool began_before = now_s - std::int64_t{state.creation_s} + 3 < at_s->second;
      if (state.id.creatorid != config_.creatorid && !began_before) continue;
      ++late;
      return true;
    }
    return false;
  }

  SessionConfig config_;
  const statetable::Table* table_;
  std::vector<std::size_t> shard_size_;
  std::map<StateId, Seconds> removed_at_s_;
  std::map<std::pair<std::uint32_t, std::string>, Seconds> cleared_at_s_;  ///< by creator and interface
  Instant sweep_due_{};
};

}  // namespace pfsync::fuzz
