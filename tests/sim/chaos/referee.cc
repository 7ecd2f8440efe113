#include "tests/sim/chaos/referee.h"

#include <algorithm>
#include <cinttypes>
#include <cstdio>
#include <cstdlib>
#include <stdexcept>

#include "engine/removed_states.h"
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
/// Past its timeout and the grace for what others announced: a sweep of the table, whole seconds at each node that it
/// passed, and what was under way.
constexpr Duration ghost_slack = 10s;

}  // namespace

Referee::Referee(const Scenario& scenario, std::deque<Machine>& machines, std::function<bool(unsigned)> runs,
                 Marks& marks)
    : scenario_{scenario},
      machines_{machines},
      runs_{std::move(runs)},
      marks_{marks},
      ends_heard_(machines.size()),
      written_(machines.size()),
      answers_(machines.size()),
      answers_life_(machines.size()) {
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
  std::set<StateId> told;
  const auto reader = machines_[node].table().reader();
  for_each_message(packet, [&](Message message, wire::Layout layout, wire::Bytes record) {
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

void Referee::after(unsigned node, wire::Bytes packet, Duration now) {
  const auto reader = machines_[node].table().reader();
  for (const auto& [id, was] : before_) {
    const auto held = reader.find(id);
    if (!held) continue;
    marks_.meet("judge: a window was compared");
    const bool tcp = was.proto == wire::ipproto::tcp;
    const bool is_compared = !not_compared_.contains(id);
    if (is_compared && (goes_back(was.src, held->hot.src, tcp, true) || goes_back(was.dst, held->hot.dst, tcp, false)))
      find("a window went back: " + name(id) + " at node " + std::to_string(node));
    // News of what has ended, from whoever had heard more of it than others: they cannot be told from a use, and each
    // is heard but once.
    if (was.src == held->hot.src && was.dst == held->hot.dst) continue;
    if (const auto found = truth_.find(id); found != truth_.end() && !found->second.is_held) found->second.since = now;
  }
  Ends& ends = ends_heard_[node];
  for_each_message(packet, [&](Message message, wire::Layout layout, wire::Bytes record) {
    if (!tells_content(message)) return;
    const StateId id = wire::read_id(message, layout, record);
    const auto end = ends.find(id);
    if (end == ends.end() || before_.contains(id) || !reader.find(id) || is_excused(id)) return;
    if (now - end->second < remembered)
      find("a late message brought back what ended: " + name(id) + " at node " + std::to_string(node) + ", " +
           std::to_string((now - end->second) / 1ms) + " ms after its end was heard");
    ends.erase(end);
  });
  for_each_message(packet, [&](Message message, wire::Layout layout, wire::Bytes record) {
    if (is_end(message)) ends[wire::read_id(message, layout, record)] = now;
  });
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
  if (!ethernet || ethernet->ethertype != wire::ethertype::ipv4) return;
  const wire::IpResult ip = wire::read_ip(ethernet->payload);
  if (ip.reject || ip.packet.protocol != wire::ipproto::pfsync) return;
  for_each_message(ip.packet.payload, [&](Message message, wire::Layout layout, wire::Bytes record) {
    if (message == Message::clr) lied_creators_.insert(wire::read_clear(record).creatorid);
    if (!tells_content(message) && !is_end(message)) return;
    const StateId id = wire::read_id(message, layout, record);
    lied_.insert(id);
    truth_[id].since = now;
    if (truth_[id].is_held) marks_.meet("liar: a state that exists was lied about");
  });
}

void Referee::went_down(unsigned node, Duration now) {
  ends_heard_[node].clear();
  if (machines_[node].is_engine()) return;
  for (auto& [id, truth] : truth_)
    if (id.creatorid == machines_[node].creatorid() && truth.is_held) truth = {false, truth.has_ended, now};
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
    look_at_bounds(node);
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
    }
    for (auto& [id, truth] : truth_)
      if (id.creatorid == owner.creatorid() && truth.is_held && !reader.find(id)) truth = {false, true, now};
  }
}

void Referee::look_at_ghosts(unsigned node, Duration now) {
  static const engine::Timeouts timeouts = short_timeouts();
  static const Duration grace = engine::SessionConfig{}.foreign_grace;
  const auto reader = machines_[node].table().reader();
  statetable::TableReader::Cursor cursor;
  while (const auto entry = reader.next(cursor)) {
    const StateId id = entry->hot.id;
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

void Referee::look_at_bounds(unsigned node) {
  Machine& machine = machines_[node];
  const std::string who = " at node " + std::to_string(node);
  if (machine.table().size() > machine.table().config().states_max) find("the table holds more than it may" + who);
  const std::size_t peers = machine.session().peers();
  const std::size_t each = machine.table().slot_count() + 3 * machine.session().config().ids_queued_max +
                           machine.session().config().tdbs_max + 2 * engine::RecentClears::places;
  for (unsigned core = 0; core < machine.node().parts(); ++core)
    if (machine.node().part(core).queued() > peers * each) find("more is queued than may be" + who);
  if (machine.frames_waiting() > Machine::frames_ahead) find("more bulk frames wait than may" + who);
}

void Referee::look_at_rates() {
  for (unsigned node = 0; node < machines_.size(); ++node) {
    Machine& machine = machines_[node];
    if (!machine.is_on()) continue;
    engine::Counters sums;
    machine.node().add_counters(sums);
    const std::uint64_t sent = sums.out(Message::upd).value();
    const bool is_same_life = std::exchange(answers_life_[node], machine.lives()) == machine.lives();
    const std::uint64_t before = std::exchange(answers_[node], sent);
    // Answers to requests and to stale updates, with the tenth of a second that may leave at once.
    const std::uint64_t most = machine.session().peers() * 2 * (Machine::requests_per_s + Machine::requests_per_s / 10);
    if (is_same_life && runs_(node) && sent - before > most + most / 10)
      find("too many answers: " + std::to_string(sent - before) + " in a second, of " + std::to_string(most) +
           ", by node " + std::to_string(node));
  }
}

void Referee::judge_peace() {
  if (!broken_.empty()) return;
  std::map<StateId, statetable::HotState> first;
  const auto reader = machines_[0].table().reader();
  statetable::TableReader::Cursor cursor;
  while (const auto entry = reader.next(cursor))
    if (!is_excused(entry->hot.id)) first.emplace(entry->hot.id, entry->hot);
  for (unsigned node = 1; node < machines_.size(); ++node) {
    std::size_t count = 0;
    const auto others = machines_[node].table().reader();
    statetable::TableReader::Cursor at;
    while (const auto entry = others.next(at)) {
      const StateId id = entry->hot.id;
      if (is_excused(id)) continue;
      ++count;
      const auto found = first.find(id);
      if (found == first.end()) return find("tables differ in peace: " + name(id) + contents(id));
      if (found->second.src != entry->hot.src || found->second.dst != entry->hot.dst)
        return find("tables differ in peace: " + name(id) + contents(id));
    }
    if (count == first.size()) continue;
    for (const auto& [id, state] : first)
      if (!others.find(id)) return find("tables differ in peace: " + name(id) + contents(id));
  }
  if (!lied_.empty() || !lied_creators_.empty()) return;
  for (unsigned node = 1; node < machines_.size(); ++node)
    if (machines_[node].table().digest() != machines_[0].table().digest())
      return find("digests differ in peace: of nodes 0 and " + std::to_string(node));
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
