#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <string>
#include <vector>

#include "engine/counters.h"
#include "tests/sim/chaos/machine.h"

namespace pfsync::sim::chaos {

/// Holds the engine's own accounts of a node against the bounds that it gives itself: its table, its send queues, its
/// rates, and what it counts. What is looked at are public functions of the engine; a frame on its way or in the inbox
/// of a device is the network's, and not judged. Not seen from outside are how many first packets wait for an ack and
/// how many clears are carried out little by little.
class Accounts {
 public:
  Accounts(std::deque<Machine>& machines, std::function<bool(unsigned)> runs, Marks& marks);

  /// What went wrong; empty: nothing.
  [[nodiscard]] std::string look(unsigned node);
  /// Of all nodes, once a second.
  [[nodiscard]] std::string look_at_rates();
  /// The node lost its memory, and its counts begin at 0.
  void forget(unsigned node) { seen_[node] = {}; }

 private:
  /// What is compared from one look to the next.
  struct Seen {
    bool is_set = false;
    std::uint64_t full_states = 0, requests = 0, acks = 0, arp_replies = 0;
    std::vector<std::uint64_t> bulk_states;
    std::uint64_t table_full = 0, gone = 0, dropped = 0;
  };

  [[nodiscard]] std::string look_at_table(Machine& machine, const engine::Counters& sums);
  [[nodiscard]] std::string look_at_queues(Machine& machine);
  [[nodiscard]] std::string look_at_drops(Machine& machine, const engine::Counters& sums);

  std::deque<Machine>& machines_;
  std::function<bool(unsigned)> runs_;
  Marks& marks_;
  std::vector<Seen> seen_;  ///< of each node
};

}  // namespace pfsync::sim::chaos
