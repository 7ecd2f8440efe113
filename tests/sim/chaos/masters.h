#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "tests/sim/chaos/machine.h"
#include "tests/sim/chaos/network.h"

namespace pfsync::sim::chaos {

/// Watches who leads: of two masters that hear each other one gives way within its bound, and nobody that could lead is
/// without a master for longer than its own.
class Masters {
 public:
  /// `runs`: whether a node is on and does not stand still.
  Masters(std::deque<Machine>& machines, const Network& network, std::function<bool(unsigned)> runs, Marks& marks);

  /// Something has happened to a node: its bounds begin anew.
  void disturb(unsigned node);
  void disturb_all();
  /// What went wrong; empty: nothing.
  [[nodiscard]] std::string look(Duration now);
  /// How many lead.
  [[nodiscard]] unsigned count() const;

 private:
  [[nodiscard]] bool hears(unsigned to, unsigned from) const;
  [[nodiscard]] Duration lateness(unsigned node, Duration now);
  [[nodiscard]] std::optional<Duration>& two_since(unsigned a, unsigned b) { return two_since_[a * nodes_ + b]; }

  std::deque<Machine>& machines_;
  const Network& network_;
  std::function<bool(unsigned)> runs_;
  Marks& marks_;
  unsigned nodes_;
  std::vector<std::optional<Duration>> two_since_, none_since_;
  /// Of each node: how much later what is under way to it may come, and until when that counts, since a path that is
  /// healed delivers what it had.
  struct Late {
    Duration by{}, until{};
  };
  std::vector<Late> late_;
  std::vector<std::uint64_t> demotions_;  ///< generations
};

}  // namespace pfsync::sim::chaos
