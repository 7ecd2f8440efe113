#include "tests/sim/chaos/referee.h"

#include <algorithm>
#include <cinttypes>
#include <cstdio>
#include <cstdlib>
#include <stdexcept>

#include "engine/session/removed_states.h"
#include "tests/sim/messages.h"
#include "wire/convert.h"
#include "wire/ethernet.h"
#include "wire/ip.h"

namespace pfsync::sim::chaos {

using namespace std::chrono_literals;
using wire::Message;
using wire::StateId;

namespace {

/// Half the circle apart neither does (RFC 1982, section 3.2): so is a number whose highest bit was garbled.
[[nodiscard]] bool precedes(std::uint32_t a, std::uint32_t b) { return a - b > 0x80000000u; }

/// Whether an end of a connection went from one value to an earlier one. Only the syn proxy hands a connection over
/// from a higher level.
[[nodiscard]] bool goes_back(const wire::Peer& from, const wire::Peer& to, bool tcp, bool is_src) {
  if (from.state != to.state) {
    const bool is_proxy = tcp && is_src && from.state >= wire::tcps::proxy_src;
    return to.state < from.state && !is_proxy;
  }
  if (!tcp) return false;
  if (from.seqlo != to.seqlo) return precedes(to.seqlo, from.seqlo);
  return precedes(to.seqhi, from.seqhi);
}

/// A node that heard of an end takes no late message for so long, at least: it counts whole seconds.
constexpr Duration remembered = std::chrono::seconds{engine::RemovedStates::remembered_s} - 1500ms;
/// Messages of one change come closer together.
constexpr Duration apart = 5s;
/// Past its timeout and the grace for what others announced: a sweep of the table, whole seconds at each node that it
/// passed, and what was under way.
constexpr Duration ghost_slack = 10s;

}  // namespace

Referee::Referee(const Scenario& scenario, std::deque<Machine>& machines, std::function<bool(unsigned)> runs,
                 Marks& marks)
    : scenario_{scenario},
      machines_{machines},
      runs_{runs},
      marks_{marks},
      ends_heard_(machines.size()),
      written_(machines.size()),
      accounts_{machines, std::move(runs), marks} {
  if (const char* traced = std::getenv("CHAOS_TRACE")) {
    traced_.emplace();
    if (std::sscanf(traced, "%" SCNu64 "/%" SCNu32, &traced_->id, &traced_->creatorid) != 2)
      throw std::invalid_argument{"CHAOS_TRACE is not ID/CREATORID in decimal, as the failures name a state"};
  }
}

void Referee::trace(unsigned node, wire::Bytes packet, Duration now) const {
  const auto line = [&](Message message) {
    std::printf("%.3f node %u hears %.*s", std::chrono::duration<double>(now - 1h).count(), node,
                static_cast<int>(wire::word(message).size()), wire::word(message).data());
  };
  for_each_message(packet, [&](Message message, wire::Layout layout, wire::Bytes record) {
    if (message == Message::clr || message == Message::bus) {
      line(message);
      std::printf("\n");
    }
    if (!names_a_state(message) || wire::read_id(message, layout, record) != *traced_) return;
    line(message);
    if (message == Message::ins || message == Message::upd)
      std::printf(" %u s old", wire::read_state(layout, record).creation_s);
    if (tells_content(message)) {
      const wire::Update update = wire::read_update(layout, record);
      for (const wire::Peer& peer : {update.src, update.dst})
        std::printf(" %u:%u-%u", unsigned{peer.state}, peer.seqlo, peer.seqhi);
    }
    std::printf("\n");
  });
}

void Referee::before(unsigned node, wire::Bytes packet, Duration now) {
  if (traced_) trace(node, packet, now);
  before_.clear();
  not_compared_.clear();
  cleared_.clear();
  made_room_ = made_room_of(node);
  std::set<StateId> told;
  const auto reader = machines_[node].table().reader();
  for_each_message(packet, [&](Message message, wire::Layout layout, wire::Bytes record) {
    if (message == Message::clr) note_clear(node, wire::read_clear(record));
    if (!names_a_state(message)) return;
    if (tells_content(message)) {
      const wire::Update update = wire::read_update(layout, record);
      const bool is_again = !told.insert(update.id).second;
      if (update.src.state >= wire::tcps::proxy_src || (is_again && is_excused(update.id)))
        not_compared_.insert(update.id);
    }
    if (const auto held = reader.find(wire::read_id(message, layout, record))) before_.emplace(held->hot.id, held->hot);
  });
}

std::uint64_t Referee::made_room_of(unsigned node) {
  engine::Counters sums;
  machines_[node].node().add_counters(sums);
  return sums[engine::Tally::made_room].value();
}

void Referee::after(unsigned node, wire::Bytes packet, Duration now) {
  const auto reader = machines_[node].table().reader();
  for (const auto& [id, was] : before_) {
    const auto held = reader.find(id);
    if (!held) continue;
    marks_.meet("judge: a window was compared");
    const bool tcp = was.proto == wire::ipproto::tcp;
    // What was given up for want of room may be entered anew by the same packet, whatever it was before.
    const bool is_compared = !not_compared_.contains(id) && made_room_of(node) == made_room_;
    if (is_compared && (goes_back(was.src, held->hot.src, tcp, true) || goes_back(was.dst, held->hot.dst, tcp, false)))
      find("a window went back: " + name(id) + " at node " + std::to_string(node));
    // News of what has ended, from whoever had heard more of it than others: they cannot be told from a use, and each
    // is heard but once.
    const auto found = truth_.find(id);
    if (found == truth_.end() || found->second.is_held) continue;
    Truth& truth = found->second;
    const bool is_news = was.src != held->hot.src || was.dst != held->hot.dst;
    // Nodes that were lied to may hold what in part is stale to each other and in part equal: what one tells of it is
    // then a use to the other. For each node once, so that it does not go on for ever.
    const bool is_use = is_excused(id) && now - truth.since > apart && truth.uses < machines_.size();
    if (is_use && !is_news) ++truth.uses;
    if (is_news || is_use) truth.since = now;
  }
  for_each_message(packet, [&](Message message, wire::Layout layout, wire::Bytes record) {
    if (tells_content(message)) judge_late(node, wire::read_id(message, layout, record), now);
  });
  Ends& ends = ends_heard_[node];
  for_each_message(packet, [&](Message message, wire::Layout layout, wire::Bytes record) {
    if (is_end(message)) ends[wire::read_id(message, layout, record)] = {.at = now};
  });
  for (const StateId id : cleared_) {
    if (reader.find(id)) continue;
    marks_.meet("judge: a clear ended a state");
    ends[id] = cleared(id, node, now);
  }
  find(accounts_.look(node));
}

/// Which states a clear ended is told by their ages. A frame that stood in the queue of a frozen node has made a state
/// younger by that time for all who heard of it there: a state that began within it may come back, and ends by its
/// timeout then. Its owner knows its own.
Referee::End Referee::cleared(StateId id, unsigned node, Duration now) const {
  constexpr Duration young = 15s;  // longer than any node is frozen
  const auto truth = truth_.find(id);
  const Duration began_at = truth == truth_.end() ? Duration::max() : truth->second.began_at;
  const bool is_owner = machines_[node].creatorid() == id.creatorid;
  return {.at = now, .by_clear = true, .is_young = !is_owner && began_at > now - young};
}

/// Of those that the creator itself has ended: a late clear also removes what began since, which may come back. What a
/// clear removes in one piece is gone after the packet; what is removed little by little is not remembered here.
void Referee::note_clear(unsigned node, const wire::Clear& clear) {
  const auto reader = machines_[node].table().reader();
  statetable::TableReader::Cursor cursor;
  while (const auto entry = reader.next(cursor))
    if (entry->hot.id.creatorid == clear.creatorid && has_ended(entry->hot.id)) cleared_.insert(entry->hot.id);
}

/// Content of a state was told: it must not have come back if the node had heard of its end.
void Referee::judge_late(unsigned node, StateId id, Duration now) {
  Ends& ends = ends_heard_[node];
  const auto found = ends.find(id);
  if (found == ends.end() || before_.contains(id) || is_excused(id)) return;
  End& end = found->second;
  const bool is_held = machines_[node].table().reader().find(id).has_value();
  if (end.by_clear) marks_.meet("judge: a state that a clear ended was told again");
  if (!is_held) return;
  // Of clears the engine keeps the last ones, and counts those that it forgets.
  const bool is_forgotten =
      end.by_clear && machines_[node].session().counters()[engine::Tally::clears_forgotten].value() > 0;
  if (now - end.at < remembered && !is_forgotten && !end.is_young)
    find("a late message brought back what ended: " + name(id) + " at node " + std::to_string(node) + ", " +
         std::to_string((now - end.at) / 1ms) + " ms after its end was heard" + (end.by_clear ? " by a clear" : ""));
  if (end.by_clear)
    end.back_at = end.back_at.value_or(now);
  else
    ends.erase(found);
}

void Referee::flushes(unsigned node, Duration now) {
  const auto reader = machines_[node].table().reader();
  statetable::TableReader::Cursor cursor;
  while (const auto entry = reader.next(cursor))
    if (entry->hot.id.creatorid == machines_[node].creatorid()) {
      marks_.meet("judge: a clear ended a state");
      ends_heard_[node][entry->hot.id] = cleared(entry->hot.id, node, now);
      Truth& truth = truth_[entry->hot.id];
      truth = {false, true, now, truth.uses, truth.began_at};
    }
}

void Referee::snapshot_begun(unsigned node, std::uint64_t snapshot) {
  auto& written = written_[node];
  written.erase(written.begin(), written.lower_bound(machines_[node].disk().snapshot_number()));
  Contents& contents = written[snapshot];
  const auto reader = machines_[node].table().reader();
  statetable::TableReader::Cursor cursor;
  while (const auto entry = reader.next(cursor)) contents.emplace(entry->hot.id, entry->hot);
}

/// Nothing is older than the snapshot's age explains.
void Referee::restored(unsigned node, std::uint64_t snapshot) {
  const auto found = written_[node].find(snapshot);
  if (found == written_[node].end())
    return find("a snapshot was restored that nobody wrote: node " + std::to_string(node));
  const auto reader = machines_[node].table().reader();
  for (const auto& [id, was] : found->second) {
    const auto held = reader.find(id);
    if (!held) continue;
    marks_.meet("judge: a restored window was compared");
    const bool tcp = was.proto == wire::ipproto::tcp;
    if (goes_back(was.src, held->hot.src, tcp, true) || goes_back(was.dst, held->hot.dst, tcp, false))
      find("a window went back over a restart: " + name(id) + " at node " + std::to_string(node));
  }
}

void Referee::excuse(wire::Bytes frame, Duration now) {
  const auto ethernet = wire::read_ethernet(frame);
  if (!ethernet) return;
  const wire::IpResult ip = wire::read_ip(ethernet->payload);
  if (ip.reject || ip.packet.protocol != wire::ipproto::pfsync) return;
  for_each_message(ip.packet.payload, [&](Message message, wire::Layout layout, wire::Bytes record) {
    if (message == Message::clr) lied_creators_.insert(wire::read_clear(record).creatorid);
    if (!tells_content(message) && !is_end(message)) return;
    const StateId id = wire::read_id(message, layout, record);
    lied_.insert(id);
    // A state of another creator's that has the same connection gives way to it, or it to that one (Lie::others).
    for (std::uint32_t creator = 1; creator <= machines_.size() && message != Message::upd_c && !is_end(message);
         ++creator)
      lied_.insert({id.id, creator});
    truth_[id].since = now;
    if (truth_[id].is_held) marks_.meet("liar: a state that exists was lied about");
  });
}

void Referee::went_down(unsigned node, Duration now) {
  ends_heard_[node].clear();
  accounts_.forget(node);
  if (machines_[node].is_engine()) return;
  for (auto& [id, truth] : truth_)
    if (id.creatorid == machines_[node].creatorid() && truth.is_held)
      truth = {false, truth.has_ended, now, truth.uses, truth.began_at};
}

void Referee::renew(unsigned node, Duration now) {
  const auto reader = machines_[node].table().reader();
  statetable::TableReader::Cursor cursor;
  while (const auto entry = reader.next(cursor)) {
    Truth& truth = truth_[entry->hot.id];
    truth.since = now;
  }
}

void Referee::renew_all(Duration now) {
  for (auto& [id, truth] : truth_)
    if (!truth.is_held) truth.since = now;
}

// --- looks ---------------------------------------------------------------------------------------------

void Referee::look(Duration now) {
  look_at_owners(now);
  for (unsigned node = 0; node < machines_.size(); ++node) {
    if (!runs_(node)) continue;
    look_at_ghosts(node, now);
    look_at_cleared(node, now);
    find(accounts_.look(node));
  }
}

void Referee::look_at_owners(Duration now) {
  for (unsigned node = 0; node < Scenario::firewalls; ++node) {
    if (!runs_(node)) continue;
    Machine& owner = machines_[node];
    const auto reader = owner.table().reader();
    statetable::TableReader::Cursor cursor;
    while (const auto entry = reader.next(cursor)) {
      if (entry->hot.id.creatorid != owner.creatorid()) continue;
      Truth& truth = truth_[entry->hot.id];
      if (!truth.has_ended) truth.is_held = true;
      truth.began_at = std::min(truth.began_at, now);
    }
    for (auto& [id, truth] : truth_)
      if (id.creatorid == owner.creatorid() && truth.is_held && !reader.find(id))
        truth = {false, true, now, truth.uses, truth.began_at};
  }
}

void Referee::look_at_ghosts(unsigned node, Duration now) {
  static const engine::Timeouts timeouts = short_timeouts();
  static const Duration grace = engine::SessionConfig{}.foreign_grace;
  const auto reader = machines_[node].table().reader();
  statetable::TableReader::Cursor cursor;
  while (const auto entry = reader.next(cursor)) {
    const StateId id = entry->hot.id;
    const unsigned owner = id.creatorid - 1;
    if (owner < machines_.size() && !scenario_.are_joined(owner, node) && !is_excused(id))
      find("a state is held by who cannot have heard of it: " + name(id) + " at node " + std::to_string(node));
    const auto [found, is_new] = truth_.try_emplace(id, Truth{.since = now});
    const Truth& truth = found->second;
    if (truth.is_held) continue;
    marks_.meet("judge: a state that ended was held");
    const Duration lasts = std::chrono::seconds{timeouts.value[entry->hot.timeout]};
    if (now - truth.since > lasts + grace + ghost_slack)
      find("a state outlasts its timeout: " + name(id) + " at node " + std::to_string(node) + ", " +
           std::to_string((now - truth.since) / 1s) + " s after it ended, of " + std::to_string(lasts / 1s) + " s");
  }
}

/// A state that a clear ended and that is held again, while its owner holds it no more, has its timeout from then on
/// and no longer, whatever is told of it.
void Referee::look_at_cleared(unsigned node, Duration now) {
  static const engine::Timeouts timeouts = short_timeouts();
  static const Duration grace = engine::SessionConfig{}.foreign_grace;
  const auto reader = machines_[node].table().reader();
  for (auto& [id, end] : ends_heard_[node]) {
    if (!end.by_clear || is_excused(id)) continue;
    const auto held = reader.find(id);
    const auto truth = truth_.find(id);
    if (!held || (truth != truth_.end() && truth->second.is_held)) {
      end.back_at.reset();
      continue;
    }
    marks_.meet("judge: a state that a clear ended was held again");
    end.back_at = end.back_at.value_or(now);
    const Duration lasts = std::chrono::seconds{timeouts.value[held->hot.timeout]};
    if (now - *end.back_at > lasts + grace + ghost_slack)
      find("a state that a clear ended outlasts its timeout: " + name(id) + " at node " + std::to_string(node) + ", " +
           std::to_string((now - *end.back_at) / 1s) + " s after it came back, of " + std::to_string(lasts / 1s) +
           " s");
  }
}

void Referee::judge_peace() {
  if (!broken_.empty()) return;
  for (unsigned node = 1; node < machines_.size() && broken_.empty(); ++node) {
    unsigned first = 0;
    while (!scenario_.are_joined(first, node)) ++first;
    if (first < node) judge_equal(first, node);
  }
}

void Referee::judge_equal(unsigned first, unsigned node) {
  std::map<StateId, statetable::HotState> expected;
  const auto reader = machines_[first].table().reader();
  statetable::TableReader::Cursor cursor;
  while (const auto entry = reader.next(cursor))
    if (!is_excused(entry->hot.id)) expected.emplace(entry->hot.id, entry->hot);
  std::size_t count = 0;
  const auto others = machines_[node].table().reader();
  statetable::TableReader::Cursor at;
  while (const auto entry = others.next(at)) {
    const StateId id = entry->hot.id;
    if (is_excused(id)) continue;
    ++count;
    const auto found = expected.find(id);
    if (found == expected.end() || found->second.src != entry->hot.src || found->second.dst != entry->hot.dst)
      return find("tables differ in peace: " + name(id) + contents(id));
  }
  if (count != expected.size())
    for (const auto& [id, state] : expected)
      if (!others.find(id)) return find("tables differ in peace: " + name(id) + contents(id));
  if (lied_.empty() && lied_creators_.empty() && machines_[node].table().digest() != machines_[first].table().digest())
    find("digests differ in peace: of nodes " + std::to_string(first) + " and " + std::to_string(node));
}

std::string Referee::name(StateId id) const {
  return std::string{"state "}.append(std::to_string(id.id)) + " of creator " + std::to_string(id.creatorid);
}

std::string Referee::contents(StateId id) {
  std::string text;
  for (Machine& machine : machines_) {
    text.append("; node ").append(std::to_string(machine.number()));
    const auto held = machine.table().reader().find(id);
    text += held ? " holds" : " does not hold it";
    if (!held) continue;
    for (const wire::Peer& peer : {held->hot.src, held->hot.dst})
      text.append(" ").append(std::to_string(peer.state) + ":" + std::to_string(peer.seqlo) + "-" +
                              std::to_string(peer.seqhi));
  }
  return text;
}

}  // namespace pfsync::sim::chaos
