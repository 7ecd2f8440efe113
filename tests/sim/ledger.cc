#include "tests/sim/ledger.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cinttypes>
#include <cstdio>
#include <cstdlib>
#include <numeric>
#include <stdexcept>

#include "engine/session/removed_states.h"
#include "tests/sim/messages.h"
#include "wire/convert.h"

namespace pfsync::sim {

using engine::RecentClears;
using engine::RemovedStates;
using wire::Message;
using wire::StateId;

namespace {

[[nodiscard]] bool precedes(std::uint32_t a, std::uint32_t b) { return static_cast<std::int32_t>(a - b) < 0; }

/// Whether a TCP end of a connection went from one value to an earlier one.
[[nodiscard]] bool goes_back(const wire::Peer& from, const wire::Peer& to) {
  if (from.state != to.state) return to.state < from.state;
  if (from.seqlo != to.seqlo) return precedes(to.seqlo, from.seqlo);
  return precedes(to.seqhi, from.seqhi);
}
[[nodiscard]] bool is_as_new(const wire::Peer& a, const wire::Peer& b) { return !goes_back(a, b) && !goes_back(b, a); }

void keep_newer(std::optional<wire::Peer>& kept, const wire::Peer& peer) {
  if (!kept || !goes_back(*kept, peer)) kept = peer;
}

}  // namespace

Ledger::Ledger(Simulation& sim, std::vector<std::vector<std::size_t>> peers)
    : sim_{sim}, peers_{std::move(peers)}, nodes_(peers_.size()), lives_(peers_.size()) {
  sim_.before_delivery([this](std::size_t node, wire::Bytes packet) { before(node, packet); });
  sim_.on_delivery([this](std::size_t node, wire::Bytes packet) { after(node, packet); });
  sim_.on_loss(
      [this](std::size_t sender, std::size_t receiver, wire::Bytes packet) { lost(sender, receiver, packet); });
  if (const char* traced = std::getenv("SIM_TRACE")) {
    traced_.emplace();
    if (std::sscanf(traced, "%" SCNu64 "/%" SCNu32, &traced_->id, &traced_->creatorid) != 2)
      throw std::invalid_argument{"SIM_TRACE is not ID/CREATORID in decimal, as the failures name a state"};
  }
}

// --- while it runs -------------------------------------------------------------------------------------

/// With SIM_TRACE=ID/CREATORID all that is said of that state is printed: seconds, what became of it, the nodes.
void Ledger::trace(std::string_view what, std::size_t sender, std::size_t receiver, wire::Bytes packet) const {
  if (!traced_) return;
  const auto line = [&](Message message) {
    std::printf("%.6f %.*s %zu %zu %.*s", std::chrono::duration<double>(sim_.now().time_since_epoch()).count(),
                static_cast<int>(what.size()), what.data(), sender, receiver,
                static_cast<int>(wire::word(message).size()), wire::word(message).data());
  };
  for_each_message(packet, [&](Message message, wire::Layout layout, wire::Bytes record) {
    if (message == Message::clr && wire::read_clear(record).creatorid == traced_->creatorid) {
      line(message);
      std::printf("\n");
    }
    if (!names_a_state(message) || wire::read_id(message, layout, record) != *traced_) return;
    line(message);
    if (tells_content(message)) {
      const wire::Update update = wire::read_update(layout, record);
      for (const wire::Peer& peer : {update.src, update.dst})
        std::printf("  %u:%u-%u", unsigned{peer.state}, peer.seqlo, peer.seqhi);
    }
    std::printf("\n");
  });
}

void Ledger::before(std::size_t node, wire::Bytes packet) {
  trace("takes", node, node, packet);
  before_.clear();
  held_back_before_ = held_back(node);
  const auto reader = sim_.table(node).reader();
  for_each_message(packet, [&](Message message, wire::Layout layout, wire::Bytes record) {
    if (message == Message::clr) {
      const std::uint32_t creatorid = wire::read_clear(record).creatorid;
      for (const auto& [id, state] : states_of(node))
        if (id.creatorid == creatorid) before_.emplace(id, state);
    }
    if (!names_a_state(message)) return;
    if (const auto held = reader.find(wire::read_id(message, layout, record))) before_.emplace(held->hot.id, held->hot);
  });
}

void Ledger::after(std::size_t node, wire::Bytes packet) {
  const auto reader = sim_.table(node).reader();
  for (const auto& [id, before] : before_) {
    const auto held = reader.find(id);
    if (!held) continue;
    ++compared_;
    ASSERT_FALSE(goes_back(before.src, held->hot.src)) << "src of " << name(id, node);
    ASSERT_FALSE(goes_back(before.dst, held->hot.dst)) << "dst of " << name(id, node);
  }
  for_each_message(packet, [&](Message message, wire::Layout layout, wire::Bytes record) {
    if (message == Message::clr) hear_clear(node, wire::read_clear(record).creatorid);
    if (!is_end(message)) return;
    const StateId id = wire::read_id(message, layout, record);
    nodes_[node].records[id].ended_at = sim_.now();
    nodes_[node].records[id].ended_unknown |= lives_[node] > 0 && !before_.contains(id);
    ends_.emplace(id, sim_.now());
  });
  for_each_message(packet, [&](Message message, wire::Layout layout, wire::Bytes record) {
    if (tells_content(message) && !::testing::Test::HasFatalFailure())
      hear_content(node, message, wire::read_update(layout, record));
  });
}

void Ledger::hear_clear(std::size_t node, std::uint32_t creatorid) {
  Node& at = nodes_[node];
  bool held_any = false;
  at.cleared.insert(creatorid);
  for (const auto& [id, state] : before_) {
    if (id.creatorid != creatorid) continue;
    held_any = true;
    if (cleared_.contains(id))
      at.records[id].ended_at = sim_.now();
    else
      at.records[id].crossed = true;  // a late copy of the clear took what began after it
  }
  if (!held_any) at.cleared_in_vain.insert(creatorid);
  for (const auto& [id, clear] : cleared_) {
    if (id.creatorid != creatorid || before_.contains(id)) continue;
    Record& record = at.records[id];
    // Young, and never heard of here: what comes of it may as well have begun after the clear.
    // A slow link makes its age seem less at every node on the way.
    const std::int64_t late_s = is_slow() ? 10 : 3;
    if (std::int64_t{clear.created_s} + RecentClears::uncertain_s + late_s >= statetable::to_seconds(clear.at))
      record.crossed = true;
    else
      record.ended_at = sim_.now();
  }
}

void Ledger::hear_content(std::size_t node, Message message, const wire::Update& update) {
  Record& record = nodes_[node].records[update.id];
  record.heard = true;
  const bool was_held = before_.contains(update.id);
  const auto held = sim_.table(node).reader().find(update.id);
  const bool owns = update.id.creatorid == node + 1;
  // What it ended itself it knows, unless it has come up since.
  if (const auto end = ends_.find(update.id);
      owns && !was_held && !record.told_by_other && end != ends_.end() && end->second > nodes_[node].up_at)
    record.ended_at = end->second - std::chrono::seconds{2};  // which others heard of later
  if (held && record.ended_at && !record.crossed) {
    ASSERT_GE(sim_.now(), *record.ended_at + std::chrono::seconds{RemovedStates::remembered_s})
        << "a late message brought back " << name(update.id, node);
    record.ended_at.reset();
    record.told_by_other = true;
  }
  if (message == Message::ins && was_held) {
    record.insert_ignored |= held && (goes_back(update.src, held->hot.src) || goes_back(update.dst, held->hot.dst));
    return;
  }
  if (message == Message::upd_c && !was_held) {  // it has to ask
    record.request_held_back |= held_back(node) > held_back_before_;
    return;
  }
  if (held) {
    ASSERT_FALSE(goes_back(update.src, held->hot.src)) << "not taken: src of " << name(update.id, node);
    ASSERT_FALSE(goes_back(update.dst, held->hot.dst)) << "not taken: dst of " << name(update.id, node);
  } else {
    // A clear that was seconds under way seems to be later than states that began after it.
    const Node& at = nodes_[node];
    record.crossed |= is_slow() && at.cleared.contains(update.id.creatorid);
    // Who forgot its end by a reboot knows of it again by a later clear.
    if (at.cleared.contains(update.id.creatorid) && ends_.contains(update.id)) return;
    ASSERT_TRUE(record.ended_at || record.crossed || owns || cleared_.contains(update.id))
        << "not taken: " << name(update.id, node);
  }
}

void Ledger::lost(std::size_t sender, std::size_t receiver, wire::Bytes packet) {
  trace("lost", sender, receiver, packet);
  for_each_message(packet, [&](Message message, wire::Layout layout, wire::Bytes record) {
    if (message == Message::clr) nodes_[receiver].clears_lost.insert(wire::read_clear(record).creatorid);
    if (!names_a_state(message)) return;
    has_lost_anything_ = true;
    const StateId id = wire::read_id(message, layout, record);
    Record& of = nodes_[receiver].records[id];
    if (message == Message::upd_req) {
      if (id == wire::bulk_request_id)
        nodes_[sender].bulk_requests_lost.insert(receiver);
      else if (is_said_by(receiver, sender, id))
        nodes_[sender].records[id].request_lost = true;
    } else if (is_end(message)) {
      of.end_lost = true;
      ends_.emplace(id, sim_.now());
    } else if (tells_content(message)) {
      const wire::Update update = wire::read_update(layout, record);
      keep_newer(of.lost_src, update.src);
      keep_newer(of.lost_dst, update.dst);
      of.full_lost |= message != Message::upd_c;
    }
  });
}

void Ledger::flushes(std::size_t node) {
  for (const auto& [id, state] : states_of(node))
    if (id.creatorid == node + 1) {
      cleared_[id] = {sim_.now(), state.created_s};
      ends_.emplace(id, sim_.now());
      nodes_[node].records[id].ended_at = sim_.now();
    }
  std::erase_if(orphans_, [node](const auto& orphan) { return orphan.first.creatorid == node + 1; });
}

void Ledger::goes_down(std::size_t node) {
  const States its = states_of(node);
  Ids differing;
  for (std::size_t i = 0; i < nodes_.size(); ++i) {
    if (i == node) continue;
    const States others = states_of(i);
    const auto note = [&](const States& a, const States& b) {
      for (const auto& [id, state] : a) {
        if (is(b, id, {state.src, state.dst})) continue;
        differing.insert(id);
        if (is_said_by(node, i, id)) nodes_[i].records[id].by_reboot = true;
      }
    };
    note(its, others);
    note(others, its);
  }
  for (const auto& [id, state] : its)
    if (id.creatorid == node + 1 && !differing.contains(id)) orphans_[id] = {state.src, state.dst};
  for (const StateId id : differing) orphans_.erase(id);
  ++lives_[node];
  nodes_[node] = {};
}

void Ledger::comes_up(std::size_t node) {
  nodes_[node] = {};
  nodes_[node].up_at = sim_.now();
}

// --- at the end ----------------------------------------------------------------------------------------

void Ledger::judge() {
  std::vector<States> tables;
  for (std::size_t i = 0; i < nodes_.size(); ++i) tables.push_back(states_of(i));
  Ids ids;
  for (const States& table : tables)
    for (const auto& [id, state] : table) ids.insert(id);
  for (const StateId id : ids) {
    judge(id, tables);
    if (::testing::Test::HasFatalFailure()) return;
  }
  if (differing() > 0) return;
  for (std::size_t i = 1; i < nodes_.size(); ++i)
    for (const auto& [id, state] : tables[i])
      if (!is(tables[0], id, {state.src, state.dst})) return;  // of a former life
  for (std::size_t i = 1; i < nodes_.size(); ++i)
    EXPECT_TRUE(tables[i].size() != tables[0].size() || sim_.digest(i) == sim_.digest(0))
        << "node " << i << ", " << sim_.replay_hint();
}

void Ledger::judge(StateId id, const std::vector<States>& tables) {
  const std::size_t owner = id.creatorid - 1;
  std::optional<Content> truth;
  if (ends_.contains(id)) {
    truth.reset();
  } else if (!is_of_this_life(id)) {
    const auto orphan = orphans_.find(id);
    if (orphan == orphans_.end()) return;  // nobody knows what it should be
    truth = orphan->second;
  } else if (const auto found = tables[owner].find(id); found != tables[owner].end()) {
    truth = {found->second.src, found->second.dst};
  }
  for (std::size_t node = 0; node < nodes_.size(); ++node) {
    ++judged_;
    if (truth ? is(tables[node], id, *truth) : !tables[node].contains(id)) continue;
    const Cause cause = truth ? cause_of_other(id, node, *truth, tables) : cause_of_ghost(id, node, tables);
    ASSERT_NE(cause, Cause::none) << (truth ? "differs: " : "should have ended: ") << name(id, node)
                                  << contents(id, node, tables);
    ++causes_[static_cast<std::size_t>(cause)];
  }
}

Ledger::Cause Ledger::cause_of_ghost(StateId id, std::size_t node, const std::vector<States>& tables) {
  const Record& record = nodes_[node].records[id];
  const auto above = upstream(node, id.creatorid - 1);
  if (record.end_lost || nodes_[node].clears_lost.contains(id.creatorid)) return Cause::end_lost;
  if (record.crossed || (above && nodes_[*above].records[id].crossed)) return Cause::crossed;
  if (record.told_by_other) return Cause::told_by_other;
  if (record.by_reboot) return Cause::reboot;
  if (above && tables[*above].contains(id)) return Cause::upstream;
  // One on the way missed the end, of what it may have forgotten since.
  for (auto on_way = above; on_way; on_way = upstream(*on_way, id.creatorid - 1))
    if (const auto& at = nodes_[*on_way];
        at.clears_lost.contains(id.creatorid) || (at.records.contains(id) && at.records.at(id).end_lost))
      return Cause::upstream;
  // It has come up since, and a late message, or somebody who missed the end, told it.
  const auto end = ends_.find(id);
  if (end != ends_.end() && end->second <= nodes_[node].up_at) return Cause::told_by_other;
  // The one between did not know it when it heard of its end, and passed nothing on.
  if (above && end != ends_.end() && end->second <= nodes_[*above].up_at) return Cause::reboot;
  if (above && nodes_[*above].records[id].ended_unknown) return Cause::reboot;
  if (above && cleared_.contains(id) && nodes_[*above].cleared_in_vain.contains(id.creatorid)) return Cause::reboot;
  return Cause::none;
}

Ledger::Cause Ledger::cause_of_other(StateId id, std::size_t node, const Content& truth,
                                     const std::vector<States>& tables) {
  Node& at = nodes_[node];
  const Record& record = at.records[id];
  const auto found = tables[node].find(id);
  const bool is_held = found != tables[node].end();
  const auto is_lost = [](const std::optional<wire::Peer>& lost, const wire::Peer& wanted) {
    return lost && is_as_new(*lost, wanted);
  };
  const bool needs_src = !is_held || found->second.src != truth.src,
             needs_dst = !is_held || found->second.dst != truth.dst;
  if ((needs_src && is_lost(record.lost_src, truth.src)) || (needs_dst && is_lost(record.lost_dst, truth.dst)))
    return Cause::content_lost;
  // An older full message was lost, and the next request is held back for a second after the first.
  if (!is_held && record.full_lost) return Cause::content_lost;
  if (record.request_lost || record.request_held_back) return Cause::request_lost;
  if (!is_held && !record.heard &&
      std::ranges::any_of(at.bulk_requests_lost, [&](std::size_t asked) { return is_said_by(asked, node, id); }))
    return Cause::request_lost;
  if (const auto above = upstream(node, id.creatorid - 1); above && !is(tables[*above], id, truth))
    return Cause::upstream;
  if (record.crossed) return Cause::crossed;
  if (record.insert_ignored) return Cause::insert_ignored;
  if (record.by_reboot) return Cause::reboot;
  return Cause::none;
}

std::uint64_t Ledger::differing() const { return std::accumulate(causes_.begin(), causes_.end(), std::uint64_t{0}); }

/// Requests for single states that a node did not make: it had asked a moment ago, or is being told everything.
std::uint64_t Ledger::held_back(std::size_t node) const {
  const engine::Counters& counters = sim_.session(node).counters();
  return counters[engine::Tally::requests_suppressed].value() + counters[engine::Tally::requests_withheld].value();
}

Ledger::States Ledger::states_of(std::size_t node) const {
  States states;
  const auto reader = sim_.table(node).reader();
  statetable::TableReader::Cursor cursor;
  while (const auto entry = reader.next(cursor)) states.emplace(entry->hot.id, entry->hot);
  return states;
}

bool Ledger::is(const States& table, StateId id, const Content& content) {
  const auto found = table.find(id);
  return found != table.end() && found->second.src == content.src && found->second.dst == content.dst;
}

/// The next node on the way to the owner; nullopt when the owner itself is asked about: it hears of its former states
/// from anybody.
std::optional<std::size_t> Ledger::upstream(std::size_t node, std::size_t owner) const {
  if (node == owner) return std::nullopt;
  if (peers_[node].empty()) return owner;
  // The tree is small: from the owner outwards.
  std::vector<std::size_t> reached{owner};
  for (std::size_t i = 0; i < reached.size(); ++i)
    for (const std::size_t next : peers_[reached[i]]) {
      if (next == node) return reached[i];
      if (std::ranges::find(reached, next) == reached.end()) reached.push_back(next);
    }
  return std::nullopt;
}

/// Whether it is from that other that a node hears of a state. Of those of a former life anybody may tell it.
bool Ledger::is_said_by(std::size_t other, std::size_t node, StateId id) const {
  const auto above = upstream(node, id.creatorid - 1);
  return !above || !is_of_this_life(id) ? hears_from(node, other) : *above == other;
}

bool Ledger::hears_from(std::size_t node, std::size_t other) const {
  return peers_[node].empty() || std::ranges::find(peers_[node], other) != peers_[node].end();
}

/// A firewall's ids begin anew with each life.
bool Ledger::is_of_this_life(StateId id) const { return id.id >> 32u == lives_[id.creatorid - 1]; }

std::string Ledger::contents(StateId id, std::size_t node, const std::vector<States>& tables) const {
  std::string text;
  for (const std::size_t at : {node, std::size_t{id.creatorid - 1}}) {
    const auto found = tables[at].find(id);
    text += "; node " + std::to_string(at) + (found == tables[at].end() ? " does not hold it" : " holds");
    if (found == tables[at].end()) continue;
    for (const wire::Peer& peer : {found->second.src, found->second.dst})
      text += " " + std::to_string(peer.state) + ":" + std::to_string(peer.seqlo) + "-" + std::to_string(peer.seqhi);
  }
  return text;
}

std::string Ledger::name(StateId id, std::size_t node) const {
  return std::to_string(id.id) + " of " + std::to_string(id.creatorid) + " at node " + std::to_string(node) + ", " +
         sim_.replay_hint();
}

}  // namespace pfsync::sim
