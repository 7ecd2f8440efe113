#include "tests/sim/chaos/accounts.h"

#include <algorithm>
#include <utility>

namespace pfsync::sim::chaos {

using engine::Counters;
using engine::Tally;
using wire::Message;

namespace {

/// Clears that wait for a packet, in each of a peer's queues (engine/session/outbox.cc).
constexpr std::size_t clears_max = 16;
/// A rate is looked at each second, give or take a turn of a node whose clock runs a little fast.
constexpr std::uint64_t with_slack(std::uint64_t most) { return most + most / 10 + 1; }

std::uint64_t gone_of(const Counters& sums) {
  return sums[Tally::removals].value() + sums[Tally::expired].value() + sums[Tally::displaced].value() +
         sums[Tally::made_room].value();
}

std::uint64_t dropped_of(const Counters& sums) {
  return sums[Tally::requests_dropped].value() + sums[Tally::acks_dropped].value() +
         sums[Tally::deletes_dropped].value();
}

std::string with(std::uint64_t count, std::uint64_t most, unsigned node) {
  return ": " + std::to_string(count) + " of " + std::to_string(most) + ", node " + std::to_string(node);
}

}  // namespace

Accounts::Accounts(std::deque<Machine>& machines, std::function<bool(unsigned)> runs, Marks& marks)
    : machines_{machines}, runs_{std::move(runs)}, marks_{marks}, seen_(machines.size()) {}

std::string Accounts::look(unsigned node) {
  Machine& machine = machines_[node];
  Counters sums;
  machine.node().add_counters(sums);
  for (std::string why : {look_at_table(machine, sums), look_at_queues(machine), look_at_drops(machine, sums)})
    if (!why.empty()) return why;
  return "";
}

/// The table holds what came and has not gone, no more than it may, in no more memory than it says; and it refuses
/// nobody while it has room.
std::string Accounts::look_at_table(Machine& machine, const Counters& sums) {
  const unsigned node = machine.number();
  const statetable::Table& table = machine.table();
  const std::size_t most = table.config().states_max;
  if (table.size() > most) return "the table holds more than it may" + with(table.size(), most, node);
  const std::size_t bytes_max = statetable::Table::memory_bytes(table.config());
  if (table.bytes_in_use() > bytes_max)
    return "the table takes more memory than it says" + with(table.bytes_in_use(), bytes_max, node);
  const std::uint64_t came = sums[Tally::inserts].value(), gone = gone_of(sums);
  if (came != gone + table.size())
    return "states are not accounted for: " + std::to_string(came) + " came, " + std::to_string(gone) + " went, " +
           std::to_string(table.size()) + " are here, node " + std::to_string(node);
  if (came > 0) marks_.meet("judge: what came and went was counted up");
  Seen& seen = seen_[node];
  const std::uint64_t full = sums[Tally::table_full].value();
  const std::uint64_t refused = full - std::exchange(seen.table_full, full),
                      left = gone - std::exchange(seen.gone, gone);
  if (refused > 0) marks_.meet("judge: a full table was seen");
  // Several cores know of each other's states a moment late.
  if (refused > 0 && machine.node().parts() == 1 && table.size() + left < most)
    return "a state was refused while there was room" + with(table.size() + left, most, node);
  return "";
}

/// A state stands in at most one queue of a peer's, and those of bare ids are bounded.
std::string Accounts::look_at_queues(Machine& machine) {
  const unsigned node = machine.number();
  for (unsigned core = 0; core < machine.node().parts(); ++core) {
    const engine::Session& part = machine.node().part(core);
    const std::size_t ids = 3 * part.config().ids_queued_max + part.tdbs().places() + clears_max;
    std::size_t active = 0;
    for (unsigned peer = 0; peer < part.peers(); ++peer) {
      active += part.is_active(peer) ? 1 : 0;
      // As of the last turn, when more states may have been here.
      const std::size_t most = machine.table().config().states_max + ids;
      if (part.queued_for(peer) > most)
        return "more is queued for a peer than may be" + with(part.queued_for(peer), most, node);
      if (!part.is_active(peer) && part.queued_for(peer) > 0) marks_.meet("judge: changes held for a peer of another");
    }
    const std::size_t most = active * (machine.table().size() + ids);
    if (part.queued() > most) return "more is queued than may be" + with(part.queued(), most, node);
    if (part.delayed() > machine.table().size())
      return "more states are delayed than there are" + with(part.delayed(), machine.table().size(), node);
  }
  return "";
}

/// What does not fit into a queue of ids is counted, and nothing is while its queue must have had room: all that was
/// ever put into one of them is no more than it takes.
std::string Accounts::look_at_drops(Machine& machine, const Counters& sums) {
  const engine::SessionConfig& config = machine.session().config();
  const std::uint64_t dropped = dropped_of(sums);
  if (std::exchange(seen_[machine.number()].dropped, dropped) < dropped) marks_.meet("judge: a queue of ids was full");
  const std::uint64_t ends = gone_of(sums);
  if (sums[Tally::deletes_dropped].value() > 0 && ends <= config.ids_queued_max)
    return "deletes were dropped while there was room" + with(ends, config.ids_queued_max, machine.number());
  if (sums[Tally::defer_displaced].value() > 0 && sums[Tally::deferred].value() <= config.deferred_max)
    return "a first packet did not wait while there was room" +
           with(sums[Tally::deferred].value(), config.deferred_max, machine.number());
  return "";
}

std::string Accounts::look_at_rates() {
  for (unsigned node = 0; node < machines_.size(); ++node) {
    Machine& machine = machines_[node];
    Seen& seen = seen_[node];
    if (!machine.is_on()) continue;
    Counters sums;
    machine.node().add_counters(sums);
    const bool is_judged = std::exchange(seen.is_set, true) && runs_(node);
    const std::uint64_t peers = machine.session().peers();
    constexpr std::uint64_t each = Machine::requests_per_s + Machine::requests_per_s / 10;
    // Each peer can have so many single states as answers to requests and as many to stale updates, is asked for so
    // many, and ten times as many inserts of its are acknowledged.
    struct Rate {
      const char* what;
      std::uint64_t Seen::*before;
      std::uint64_t now, most;
    };
    for (const Rate& rate :
         {Rate{"too many answers", &Seen::full_states, sums.out(Message::upd).value(), peers * 2 * each},
          Rate{"too many requests", &Seen::requests, sums.out(Message::upd_req).value(), peers * (each + 2)},
          Rate{"too many acknowledgements", &Seen::acks, sums.out(Message::ins_ack).value(), peers * 10 * each},
          Rate{"too many answers to ARP", &Seen::arp_replies, machine.link().arp_replies(),
               engine::Link::answers_per_s + 32}}) {
      const std::uint64_t in_a_second = rate.now - std::exchange(seen.*rate.before, rate.now);
      if (is_judged && in_a_second > with_slack(rate.most)) return rate.what + with(in_a_second, rate.most, node);
      if (is_judged && rate.before == &Seen::full_states && in_a_second >= Machine::requests_per_s)
        marks_.meet("judge: as many answers as are allowed");
    }
    seen.bulk_states.resize(machine.session().peers());
    for (unsigned peer = 0; peer < machine.session().peers(); ++peer) {
      const engine::BulkSender& sender = machine.bulk_sender(peer);
      const std::uint64_t before = std::exchange(seen.bulk_states[peer], sender.states_sent());
      // A new bulk update counts from 0.
      const std::uint64_t sent = sender.states_sent() >= before ? sender.states_sent() - before : sender.states_sent();
      if (is_judged && sent > with_slack(sender.states_per_s()))
        return "a bulk update is faster than its pace" + with(sent, sender.states_per_s(), node);
    }
  }
  return "";
}

}  // namespace pfsync::sim::chaos
