#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <limits>
#include <map>
#include <optional>
#include <set>
#include <tuple>
#include <vector>

#include "engine/session/partitioned_session.h"
#include "engine/session/validity.h"
#include "statetable/digest.h"
#include "tests/fuzz/check.h"
#include "wire/convert.h"
#include "wire/fields.h"
#include "wire/packet_reader.h"

namespace pfsync::fuzz {

using engine::Counters;
using engine::Instant;
using engine::PartitionedSession;
using engine::Seconds;
using engine::Session;
using engine::Tally;
using statetable::Snapshot;
using wire::Message;
using wire::StateId;

/// What must hold of a node and its table after every event, whatever came before: no model tells what is held, only
/// what may be.
class SessionProperties {
 public:
  SessionProperties(const PartitionedSession& node, const statetable::Table& table)
      : node_{&node}, table_{&table}, reader_{table.reader()}, timeouts_{node.first().config().timeouts.value} {}

  /// States granted by the timeouts before may live on.
  void timeouts_changed() {
    for (std::size_t i = 0; i < timeouts_.size(); ++i)
      timeouts_[i] = std::max(timeouts_[i], node_->first().config().timeouts.value[i]);
  }
  /// Others count for their own.
  void peers_changed() { peers_counted_.clear(); }

  [[nodiscard]] std::optional<Snapshot> find(StateId id) const { return reader_.find(id); }
  /// How often at most a state of this id was removed: 0 is certain.
  [[nodiscard]] unsigned removals_of(StateId id) const {
    const auto found = removals_of_.find(id);
    return found == removals_of_.end() ? 0 : found->second;
  }

  void check_all(Instant now) {
    check_table(statetable::to_seconds(now));
    check_counters();
    check_queues();
  }

  /// After time has passed and every part has had its turn: what is over has gone.
  void check_expired(Instant now) const {
    const engine::SessionConfig& config = node_->first().config();
    const Seconds now_s = statetable::to_seconds(now);
    const auto grace_s = config.foreign_grace / std::chrono::seconds{1};
    for_each_state([&](const Snapshot& state) {
      const bool ours = statetable::is_said_here(state.hot.heard_s);
      check(std::int64_t{state.hot.expire_at_s} + (ours ? 0 : grace_s) > now_s,
            "a state whose time has run out is removed");
    });
  }

  /// While no part has anything left to do for another.
  void check_settled() const {
    statetable::Digest sum;
    std::set<std::pair<statetable::Connection, bool>, Before> connections;
    for_each_state([&](const Snapshot& state) {
      const statetable::Digest one = statetable::digest_of(state);
      sum = {sum.low + one.low, sum.high + one.high, sum.states + one.states};
      const statetable::NameId name = statetable::known(state.cold.ifname);
      if (!table_->config().by_connection || (name == statetable::NameId::none && !state.cold.ifname.empty())) return;
      const statetable::Sides sides = statetable::sides_of(state.hot, state.cold, name);
      const bool is_alone =
          connections.emplace(sides.wire, false).second && connections.emplace(sides.stack, true).second;
      check(is_alone || count(Tally::names_full) > 0, "one state has a connection on an interface in a direction");
    });
    check(table_->digest() == sum, "the digest is that of what is held");
  }

  /// What a full state says is what is held, in the dialect's and the peer's words.
  void check_full_state(const wire::Action& action, wire::Bytes record, const engine::InterfaceMap& interfaces,
                        wire::Dialect dialect, Seconds now_s) const {
    const auto held = checked(wire::read_id(action.message, action.layout, record));
    wire::State state = statetable::to_state(held->hot, held->cold, now_s);
    check(wire::is_expressible(state, dialect), "no state is said in words that make another of it");
    state.expire_s = std::max(state.expire_s, 1u);
    if (const auto* row = interfaces.of_ours(state.ifname)) state.ifname = row->theirs;
    if (const auto* row = interfaces.of_ours(state.orig_ifname)) state.orig_ifname = row->theirs;
    if (const auto* row = interfaces.of_ours(state.rt_ifname)) state.rt_ifname = row->theirs;
    std::vector<std::uint8_t> expected(record.size());
    wire::write_state(action.layout, state, expected);
    check(std::equal(expected.begin(), expected.end(), record.begin()), "a full state tells the state as it is now");
  }
  void check_update(wire::Dialect dialect, wire::Bytes record) const {
    const StateId id = wire::read_id(Message::upd_c, wire::Layout::common, record);
    const auto held = checked(id);
    std::vector<std::uint8_t> expected(record.size());
    wire::write_update(dialect, {id, held->hot.src, held->hot.dst, held->hot.timeout}, expected);
    check(std::equal(expected.begin(), expected.end(), record.begin()), "an update tells the state as it is now");
  }

  [[nodiscard]] std::uint64_t count(Tally tally) const {
    std::uint64_t sum = 0;
    for (unsigned part = 0; part < node_->parts(); ++part) sum += node_->part(part).counters()[tally].value();
    return sum;
  }
  [[nodiscard]] std::size_t states() const { return held_.size(); }
  template <class F>
  void for_each_state(F&& f) const {
    statetable::TableReader::Cursor cursor;
    while (const auto state = reader_.next(cursor)) f(*state);
  }

 private:
  struct Held {
    std::uint8_t from;
  };
  struct Before {
    static auto tie(const std::pair<statetable::Connection, bool>& one) {
      const statetable::Connection& c = one.first;
      return std::tuple{c.key, c.interface, c.af, c.proto, c.direction, one.second};
    }
    bool operator()(const auto& a, const auto& b) const { return tie(a) < tie(b); }
  };

  [[nodiscard]] std::optional<Snapshot> checked(StateId id) const {
    const auto held = reader_.find(id);
    check(held.has_value(), "only states that are held are told of");
    check((held->hot.state_flags & wire::state_flag::nosync) == 0, "a no-sync state is not told of");
    return held;
  }

  void check_table(Seconds now_s) {
    std::map<StateId, Held> held;
    const auto interval_s = std::int64_t{now_s};
    for_each_state([&](const Snapshot& state) {
      const statetable::HotState& hot = state.hot;
      check(held.emplace(hot.id, Held{hot.from}).second, "no state is held twice");
      check(hot.id.creatorid != 0, "no state is nobody's");
      check(engine::is_valid(statetable::to_state(hot, state.cold, now_s)), "what is held is valid");
      check(hot.expire_at_s <= interval_s + timeouts_[hot.timeout], "nobody grants a state more than its timeout");
      check(hot.heard_s == statetable::never_heard || (hot.heard_s < 0 ? ~hot.heard_s : hot.heard_s) <= now_s,
            "nothing was heard in the future");
      const auto found = reader_.find(hot.id);
      check(found && found->hot.id == hot.id, "a state that is held is found by its id");
    });
    check(held.size() == table_->size(), "the table counts the states that it holds");
    check(held.size() <= table_->config().states_max, "the table holds states_max at most");
    const std::uint64_t gone = count(Tally::removals) + count(Tally::expired) + count(Tally::displaced);
    const std::uint64_t made_room = count(Tally::made_room);
    check(count(Tally::inserts) == held.size() + gone + made_room,
          "every state that came is held, or went and is counted");
    note_changes(held, gone, made_room);
    held_ = std::move(held);
    gone_ = gone;
    made_room_ = made_room;
  }

  void note_changes(const std::map<StateId, Held>& held, std::uint64_t gone, std::uint64_t made_room) {
    std::size_t vanished = 0, own_vanished = 0;
    for (const auto& [id, state] : held_) {
      if (held.contains(id)) continue;
      ++vanished;
      own_vanished += state.from == engine::PlaceShares::here;
      ++removals_of_[id];
    }
    check(own_vanished <= gone - gone_, "no state made here is given up for another's sake");
    // Some came and went, or went and came, since the last look: which ones is not known.
    if (gone + made_room - gone_ - made_room_ == vanished) return;
    for (const auto& [id, state] : held_) ++removals_of_[id];
    for (const auto& [id, state] : held) ++removals_of_[id];
  }

  void check_counters() {
    std::vector<std::uint64_t> counted;
    for (unsigned part = 0; part < node_->parts(); ++part) append(counted, node_->part(part).counters());
    check_none_lower(counted_, counted);
    std::vector<std::uint64_t> peers;
    for (unsigned part = 0; part < node_->parts(); ++part)
      for (unsigned peer = 0; peer < node_->first().peers(); ++peer) {
        const engine::PeerCounters& tallies = node_->part(part).tallies(peer);
        for (const engine::Counter& counter : tallies.tallies) peers.push_back(counter.value());
        check(tallies[engine::PeerTally::probes_answered].value() <= tallies[engine::PeerTally::probes_sent].value(),
              "a question is answered once");
        check(
            tallies[engine::PeerTally::packets_refused].value() <= tallies[engine::PeerTally::packets_received].value(),
            "what is refused was received");
      }
    if (peers_counted_.size() == peers.size()) check_none_lower(peers_counted_, peers);
    counted_ = std::move(counted);
    peers_counted_ = std::move(peers);
  }
  static void check_none_lower(const std::vector<std::uint64_t>& before, const std::vector<std::uint64_t>& now) {
    for (std::size_t i = 0; i < before.size(); ++i) check(before[i] <= now[i], "no counter goes down");
  }
  static void append(std::vector<std::uint64_t>& all, const Counters& counters) {
    const auto add = [&all](const auto& some) {
      for (const engine::Counter& counter : some) all.push_back(counter.value());
    };
    add(counters.tallies);
    add(counters.rejects);
    add(counters.received);
    add(counters.sent);
    add(counters.lost.fields);
    all.push_back(counters.lost.states.value());
    all.push_back(counters.lost.updates.value());
  }

  void check_queues() const {
    const engine::SessionConfig& config = node_->first().config();
    constexpr std::size_t clears_max = 16;
    for (unsigned part = 0; part < node_->parts(); ++part) {
      const Session& session = node_->part(part);
      // A state stands in one queue of a peer at most; queues of ids are bounded.
      const std::size_t each = held_.size() + 3 * config.ids_queued_max + clears_max + session.tdbs().places();
      check(session.queued() <= session.peers() * each, "queues stay within their bounds");
      check(session.delayed() <= held_.size(), "only states that are held wait for their age");
      for (unsigned peer = 0; peer < session.peers(); ++peer) {
        const engine::PeerDialect& dialect = session.dialect(peer);
        check(dialect.known() <= engine::PeerDialect::sources_max && dialect.apart() <= dialect.known(),
              "sources stay within their places");
      }
    }
  }

  const PartitionedSession* node_;
  const statetable::Table* table_;
  statetable::TableReader reader_;
  std::array<std::uint32_t, engine::pftm_max> timeouts_;  ///< the longest so far
  std::map<StateId, Held> held_;
  std::map<StateId, unsigned> removals_of_;
  std::uint64_t gone_ = 0, made_room_ = 0;
  std::vector<std::uint64_t> counted_, peers_counted_;
};

}  // namespace pfsync::fuzz
