#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <unordered_map>
#include <vector>

#include "tests/sim/chaos/accounts.h"
#include "tests/sim/chaos/machine.h"
#include "wire/state.h"

namespace pfsync::sim::chaos {

/// Judges tables and queues while a run goes on, apart from the engine's own rules:
/// no window or level goes back; what ended is not brought back within the time that an end is remembered, and nowhere
/// outlasts its timeout; by the engine's own accounts (accounts.h) tables, queues and answers stay within their bounds;
/// and in peace all tables are equal. What somebody lied about is excused from the comparison of tables and from the
/// memory of ends, by name.
class Referee {
 public:
  Referee(const Scenario& scenario, std::deque<Machine>& machines, std::function<bool(unsigned)> runs, Marks& marks);

  /// Around each packet that a node takes.
  void before(unsigned node, wire::Bytes packet, Duration now);
  void after(unsigned node, wire::Bytes packet, Duration now);
  /// A node begins to write down its states, as number `snapshot`; and takes up those of one.
  void snapshot_begun(unsigned node, std::uint64_t snapshot);
  void restored(unsigned node, std::uint64_t snapshot);
  /// A frame that says what is not so, in whatever order of bits.
  void excuse(wire::Bytes frame, Duration now);
  /// A node lost its memory.
  void went_down(unsigned node, Duration now);
  /// Its clock told a wrong time to the snapshot that it has read: what is in it lasts as long as a new one.
  void renew(unsigned node, Duration now);
  /// A node stood still: what waited for it counts from now.
  void renew_all(Duration now);
  /// At all tables; often.
  void look(Duration now);
  /// Once a second: how much each has sent.
  void look_at_rates() { find(accounts_.look_at_rates()); }
  /// A firewall forgets its own states.
  void flushes(unsigned node, Duration now);
  /// Everything has had its time.
  void judge_peace();

  [[nodiscard]] bool has_ended(wire::StateId id) const {
    const auto found = truth_.find(id);
    return found != truth_.end() && found->second.has_ended;
  }
  /// The first thing that went wrong; empty: nothing.
  [[nodiscard]] const std::string& broken() const { return broken_; }
  void find(const std::string& what) {
    if (broken_.empty()) broken_ = what;
  }

 private:
  struct OfId {
    std::size_t operator()(wire::StateId id) const { return id.id * 0x9e3779b97f4a7c15u ^ id.creatorid; }
  };
  /// What is known of a state from its owner.
  struct Truth {
    bool is_held = false;                 ///< by its owner
    bool has_ended = false;               ///< its owner has removed it
    Duration since{};                     ///< the owner does not hold it, or somebody lied about it
    std::size_t uses = 0;                 ///< after its end, of a state that somebody lied about
    Duration began_at = Duration::max();  ///< when its owner was first seen to hold it; max: never
  };
  struct End {
    Duration at{};
    bool by_clear = false;
    bool is_young = false;              ///< of a clear, whose receivers tell what it ended by its age
    std::optional<Duration> back_at{};  ///< by a clear alone: it is held again since then, and by its owner never was
  };
  using Ends = std::unordered_map<wire::StateId, End, OfId>;

  [[nodiscard]] bool is_excused(wire::StateId id) const {
    return lied_.contains(id) || lied_creators_.contains(id.creatorid);
  }
  /// With CHAOS_TRACE=ID/CREATORID all that a node is told of that state is printed.
  void trace(unsigned node, wire::Bytes packet, Duration now) const;
  void look_at_owners(Duration now);
  void look_at_ghosts(unsigned node, Duration now);
  void look_at_cleared(unsigned node, Duration now);
  /// States of whose end by a clear the node may be told by this packet.
  void note_clear(unsigned node, const wire::Clear& clear);
  /// Of a state that a clear ended.
  [[nodiscard]] End cleared(wire::StateId id, unsigned node, Duration now) const;
  [[nodiscard]] std::uint64_t made_room_of(unsigned node);
  void judge_late(unsigned node, wire::StateId id, Duration now);
  [[nodiscard]] std::string name(wire::StateId id) const;
  [[nodiscard]] std::string contents(wire::StateId id);
  void judge_equal(unsigned first, unsigned node);

  const Scenario& scenario_;
  std::deque<Machine>& machines_;
  std::function<bool(unsigned)> runs_;
  Marks& marks_;
  std::unordered_map<wire::StateId, Truth, OfId> truth_;
  std::unordered_map<wire::StateId, statetable::HotState, OfId> before_;
  /// By the packet: the syn proxy hands a connection over from a higher level, and of several lies about one connection
  /// each may be a step forward, modulo 2^32, and all together one back.
  std::set<wire::StateId> not_compared_;
  std::vector<Ends> ends_heard_;     ///< of each node
  std::uint64_t made_room_ = 0;      ///< by the node before the packet
  std::set<wire::StateId> cleared_;  ///< by the packet, if they are not there after it
  using Contents = std::unordered_map<wire::StateId, statetable::HotState, OfId>;
  std::vector<std::map<std::uint64_t, Contents>> written_;  ///< by node and snapshot, as of its beginning
  std::set<wire::StateId> lied_;
  std::set<std::uint32_t> lied_creators_;
  Accounts accounts_;
  std::optional<wire::StateId> traced_;
  std::string broken_;
};

}  // namespace pfsync::sim::chaos
