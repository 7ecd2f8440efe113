#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "tests/sim/simulation.h"
#include "wire/state.h"

namespace pfsync::sim {

/// What each node of a simulated network was told, state by state, and what of that was lost on its way. It judges two
/// things apart from the engine's own rules: that a message which came is taken, and that at the end a node differs
/// from a state's owner only where the very message that it would have needed was lost. All connections are TCP, so
/// that of two contents of a state one is the newer. The creator of node n's states is n + 1.
class Ledger {
 public:
  /// `peers`: of each node, as in NodeConfig; all empty: one group.
  Ledger(Simulation& sim, std::vector<std::vector<std::size_t>> peers);

  /// The node goes down. Its memory counts no more, nor do those of its states that not all had alike.
  void goes_down(std::size_t node);
  /// It starts again.
  void comes_up(std::size_t node);
  /// The node is about to clear its own states, which tells everybody.
  void flushes(std::size_t node);

  /// Judges all tables once nothing is under way any more. Fails the test where a difference has no cause.
  void judge();

  /// Why a node may differ from a state's owner.
  enum class Cause : std::uint8_t {
    content_lost,    ///< the final content, on its way to it
    end_lost,        ///< the delete or the clear
    request_lost,    ///< its request for a state that it did not know, or for everything; or it had just asked
    upstream,        ///< the node through which it hears of the state differs itself
    reboot,          ///< the node through which it hears forgot what it had not passed on
    insert_ignored,  ///< it holds an older content, and an insert of a state that is held changes nothing, as in pf
    crossed,         ///< a clear and a state's first message crossed on their way
    told_by_other,   ///< an ended state, by a node that had not heard of its end, later than ends are remembered
    none,
  };
  static constexpr std::array<std::string_view, 8> cause_words{"its content was lost",
                                                               "its end was lost",
                                                               "a request was lost or held back",
                                                               "the node between differs",
                                                               "a node rebooted",
                                                               "an insert changes none",
                                                               "a clear crossed it",
                                                               "a node told it that missed its end"};
  [[nodiscard]] const std::array<std::uint64_t, 8>& causes() const { return causes_; }
  [[nodiscard]] std::uint64_t differing() const;
  /// Pairs of a state and a node that were judged at the end.
  [[nodiscard]] std::uint64_t judged() const { return judged_; }
  /// States before and after a packet that named them.
  [[nodiscard]] std::uint64_t compared() const { return compared_; }
  [[nodiscard]] bool has_lost_anything() const { return has_lost_anything_; }

 private:
  struct OfId {
    std::size_t operator()(wire::StateId id) const { return id.id * 0x9e3779b97f4a7c15u ^ id.creatorid; }
  };
  struct Content {
    wire::Peer src, dst;
    friend bool operator==(const Content&, const Content&) = default;
  };
  using Ids = std::unordered_set<wire::StateId, OfId>;
  using States = std::unordered_map<wire::StateId, statetable::HotState, OfId>;
  /// Of one state at one node since that came up.
  struct Record {
    std::optional<wire::Peer> lost_src, lost_dst;  ///< the newest that was lost
    std::optional<Instant> ended_at;               ///< when it heard of the end
    bool heard = false, full_lost = false, end_lost = false, request_lost = false, request_held_back = false,
         by_reboot = false, insert_ignored = false, crossed = false, ended_unknown = false, told_by_other = false;
  };
  struct Node {
    Instant up_at{};
    std::unordered_map<wire::StateId, Record, OfId> records;
    std::set<std::size_t> bulk_requests_lost;  ///< whom they would have reached
    std::set<std::uint32_t> cleared;           ///< creators whose clear it heard
    std::set<std::uint32_t> clears_lost;       ///< by creator
    std::set<std::uint32_t> cleared_in_vain;   ///< creators whose clear came when it held nothing of theirs
  };
  struct Cleared {
    Instant at;
    statetable::Seconds created_s;
  };

  void trace(std::string_view what, std::size_t sender, std::size_t receiver, wire::Bytes packet) const;
  void before(std::size_t node, wire::Bytes packet);
  void after(std::size_t node, wire::Bytes packet);
  void lost(std::size_t sender, std::size_t receiver, wire::Bytes packet);
  void hear_clear(std::size_t node, std::uint32_t creatorid);
  void hear_content(std::size_t node, wire::Message message, const wire::Update& update);
  void judge(wire::StateId id, const std::vector<States>& tables);
  [[nodiscard]] Cause cause_of_ghost(wire::StateId id, std::size_t node, const std::vector<States>& tables);
  [[nodiscard]] Cause cause_of_other(wire::StateId id, std::size_t node, const Content& truth,
                                     const std::vector<States>& tables);
  /// Packets may be under way for longer than a second.
  [[nodiscard]] bool is_slow() const { return sim_.link().jitter >= std::chrono::seconds{1}; }
  [[nodiscard]] std::uint64_t held_back(std::size_t node) const;
  [[nodiscard]] States states_of(std::size_t node) const;
  [[nodiscard]] static bool is(const States& table, wire::StateId id, const Content& content);
  [[nodiscard]] std::optional<std::size_t> upstream(std::size_t node, std::size_t owner) const;
  [[nodiscard]] bool is_said_by(std::size_t other, std::size_t node, wire::StateId id) const;
  [[nodiscard]] bool hears_from(std::size_t node, std::size_t other) const;
  [[nodiscard]] bool is_of_this_life(wire::StateId id) const;
  [[nodiscard]] std::string contents(wire::StateId id, std::size_t node, const std::vector<States>& tables) const;
  [[nodiscard]] std::string name(wire::StateId id, std::size_t node) const;

  Simulation& sim_;
  std::vector<std::vector<std::size_t>> peers_;
  std::optional<wire::StateId> traced_;
  std::vector<Node> nodes_;
  std::vector<std::uint64_t> lives_;  ///< how often each has come up again
  std::unordered_map<wire::StateId, Cleared, OfId> cleared_;
  std::unordered_map<wire::StateId, Instant, OfId> ends_;  ///< when each one's end was first heard, or lost
  /// States whose owner has rebooted: what all had then. Others of former lives are nobody's.
  std::unordered_map<wire::StateId, Content, OfId> orphans_;
  States before_;
  std::uint64_t held_back_before_ = 0;
  std::array<std::uint64_t, 8> causes_{};
  std::uint64_t judged_ = 0, compared_ = 0;
  bool has_lost_anything_ = false;
};

}  // namespace pfsync::sim
