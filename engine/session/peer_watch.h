#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include "engine/latency.h"
#include "engine/published.h"
#include "statetable/time.h"
#include "wire/address.h"
#include "wire/state.h"

namespace pfsync::engine {

/// Whether the nodes behind one destination, a peer or a group, hear us and are heard. pfsync says nothing of that: a
/// quiet node may be a standby that has nothing to say. So it is asked, once in a while, for a single state that it
/// must have, which every kernel answers at once; who leaves several questions in a row unanswered does not hear us, or
/// is not heard. Some questions are as long as a packet may be, so that one learns whether such packets arrive. No
/// clock and no allocation; thread-bound to the session, but for what any thread may read. Source: FreeBSD
/// sys/netpfil/pf/if_pfsync.c, pfsync_in_ureq(); OpenBSD likewise.
class PeerWatch {
 public:
  using Instant = statetable::Instant;
  using Duration = statetable::Duration;

  static constexpr std::size_t nodes_max = 16;  ///< a further one displaces the one heard longest ago
  /// Requests for states that are no older tell of inserts that were lost.
  static constexpr std::chrono::seconds young{10};
  /// Only states that have lasted so long are asked for, so that no such request is for a young one. More than `young`
  /// by what two nodes may differ in about a state's age, which they tell each other in whole seconds.
  static constexpr std::chrono::seconds lasting{young + std::chrono::seconds{3}};

  /// Others' and this node's, creatorid 0: none.
  using States = std::array<wire::StateId, 2>;
  static constexpr States nothing{};

  /// Who was not heard for so long, and was asked meanwhile, is heard again when it is: what was said to it until then
  /// it cannot know.
  static constexpr std::chrono::seconds silence{5};

  /// In a group anybody can be heard: nobody is missed before it was for so long, by so many packets. What it left
  /// unanswered before counts from then on, so that a verdict is there within ten seconds.
  static constexpr std::chrono::seconds known_after{8};
  static constexpr std::uint32_t known_packets = 4;

  /// `every`: the time between two questions, and for an answer; zero: none is asked. `is_group`: who its nodes are is
  /// not configured.
  explicit PeerWatch(Duration every, bool is_group = false) noexcept : every_{every}, is_group_{is_group} {}

  /// A source that was heard at this destination.
  struct Node {
    wire::Address address{};
    Instant first_heard_at{};
    Instant heard_at{};        ///< the last time; Instant{}: a free place
    Instant answered_at{};     ///< Instant{}: it never did
    Instant silent_since{};    ///< when it left the first of `unanswered` questions unanswered
    Instant heard_again_at{};  ///< after a silence; Instant{}: there was none
    // How many in a row it left unanswered: of all; of the long ones, when it had answered a short one for the same
    // states; and of those for a state of ours when it answered for one of another's.
    std::uint32_t unanswered = 0;
    std::uint32_t unanswered_long = 0;
    std::uint32_t unanswered_ours = 0;
    std::uint32_t is_behind = 0;  ///< has not answered the question under way: 1
    std::uint32_t packets = 0;    ///< heard, as many as known_packets at most
  };
  struct View {
    std::array<Node, nodes_max> nodes{};
    std::uint32_t unanswered = 0;  ///< in a row, by anybody
    Instant silent_since{};        ///< as in Node
  };

  /// A packet that could be read came from there.
  void heard(const wire::Address& source, Instant now) noexcept;
  /// Whether a full state that comes may be an answer.
  [[nodiscard]] bool is_waiting() const noexcept { return is_awaited_; }
  /// Returns whether it is the first answer to a question.
  bool on_full_state(wire::StateId id, const wire::Address& source, Instant now) noexcept;
  /// The beginning or the end of a bulk update came: the answer to a question for all states. Returns the same.
  bool on_bulk_status(const wire::Address& source, Instant now) noexcept;

  /// Whether it is time for another question; closes the one before.
  [[nodiscard]] bool is_due(Instant now) noexcept;
  /// Who left so many questions unanswered is certain to be away.
  static constexpr std::uint32_t doubtful_max = 8;
  /// Whose turn it is: who left something unanswered, until that is certain, before the others; nullopt: nobody was
  /// heard.
  [[nodiscard]] std::optional<wire::Address> whom_to_ask() noexcept;
  /// The next question, to be sent: states of others' and of this node's; creatorid 0: there is none of that kind. With
  /// neither it asks for all states, which is little where none are held, and what any node answers. Every other
  /// question is long, and had better be for the states of the short one before it: only when it answered that does
  /// the silence after the long one mean something. Then the next ones follow twice as fast, until that is certain.
  /// `judged`: the only node whose silence counts, since it must have one of them; nullopt: each.
  void ask(wire::StateId theirs, wire::StateId ours, Instant now,
           const std::optional<wire::Address>& judged = std::nullopt) noexcept;
  /// Of the last question.
  [[nodiscard]] const std::optional<wire::Address>& judged() const noexcept { return question_.judged; }
  /// What the short question before was for, when the next one is long; nullopt: the next one is short.
  [[nodiscard]] std::optional<States> asked_shortly() const noexcept {
    return is_next_long() ? std::optional{question_.states} : std::nullopt;
  }
  /// When it is time; Instant::max(): never.
  [[nodiscard]] Instant due() const noexcept { return every_ == Duration::zero() ? Instant::max() : next_at_; }
  /// There was nothing to ask for, or nobody to ask: so many times the usual later.
  void put_off(Instant now, unsigned times = 1) noexcept { next_at_ = now + times * every_; }
  /// What came before says nothing any more: another node speaks with the destination.
  void rest() noexcept;
  /// That node is missed no longer, until it is heard again. False: it was not heard.
  bool forget(const wire::Address& source) noexcept;

  struct Question {
    States states{};
    bool is_long = false;
    std::optional<wire::Address> judged{};
    [[nodiscard]] bool is_for_all() const noexcept { return states == nothing; }
  };
  /// The question that has to be sent; nullopt: none, or it was taken before.
  [[nodiscard]] std::optional<Question> take(Instant now) noexcept;
  [[nodiscard]] bool has_question() const noexcept { return is_to_send_; }
  /// Whether the last one was for all states.
  [[nodiscard]] bool asked_for_all() const noexcept { return asked_at_ != Instant{} && question_.is_for_all(); }

  // Any thread:
  [[nodiscard]] std::vector<Node> nodes() const;
  [[nodiscard]] View view() const noexcept { return published_.read(); }
  [[nodiscard]] const Latency& round_trip() const noexcept { return round_trip_; }

 private:
  [[nodiscard]] bool is_known(const Node& node) const noexcept;
  [[nodiscard]] bool is_next_long() const noexcept { return !question_.is_long; }
  /// Whether somebody seems to be reached by short questions only.
  [[nodiscard]] bool is_length_in_doubt() const noexcept;
  void close() noexcept;
  /// What any thread may see: nobody is missed who is not known.
  void publish() noexcept;
  /// `kind`: bits, as of has_answered_. Returns whether it is the first.
  bool note_answer(std::uint8_t kind, const wire::Address& source, Instant now) noexcept;

  Duration every_;
  bool is_group_;
  View view_{};
  Published<View> published_;
  Question question_{};
  Instant asked_at_{};
  Instant next_at_{};
  Instant publish_at_{};
  std::size_t turn_ = 0;                                        ///< where whom_to_ask() begins
  std::array<std::uint8_t, nodes_max> has_answered_{};          ///< bits: for another's state, for ours
  std::array<std::uint8_t, nodes_max> has_answered_shortly_{};  ///< the same of the short question for the same states
  bool is_asked_ = false;                                       ///< it was sent, and its time is not over
  bool is_awaited_ = false;                                     ///< and somebody has not answered it wholly
  bool is_to_send_ = false;
  bool is_answered_ = false;  ///< by anybody
  Latency round_trip_;
};

}  // namespace pfsync::engine
