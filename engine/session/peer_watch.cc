#include "engine/session/peer_watch.h"

#include <algorithm>

namespace pfsync::engine {

namespace {

constexpr std::uint8_t for_theirs = 1, for_ours = 2;

}  // namespace

void PeerWatch::heard(const wire::Address& source, Instant now) noexcept {
  Node* place = &view_.nodes.front();
  for (Node& node : view_.nodes) {
    if (node.heard_at != Instant{} && node.address == source) {
      if (node.unanswered > 0 && now - node.heard_at >= silence) node.heard_again_at = now;
      node.heard_at = now;
      node.packets += node.packets < known_packets;
      if (now >= publish_at_) {
        publish();
        publish_at_ = now + std::chrono::seconds{1};
      }
      return;
    }
    if (node.heard_at < place->heard_at) place = &node;  // a free one was heard before all
  }
  *place = {.address = source, .first_heard_at = now, .heard_at = now, .packets = 1};
  const auto number = static_cast<std::size_t>(place - view_.nodes.data());
  has_answered_[number] = has_answered_shortly_[number] = 0;
  publish();
}

bool PeerWatch::on_full_state(wire::StateId id, const wire::Address& source, Instant now) noexcept {
  if (!is_asked_) return false;
  const std::uint8_t kind = static_cast<std::uint8_t>((id == question_.states[0] ? for_theirs : 0) |
                                                      (id == question_.states[1] ? for_ours : 0));
  return kind != 0 && note_answer(kind, source, now);
}

bool PeerWatch::on_bulk_status(const wire::Address& source, Instant now) noexcept {
  return is_asked_ && question_.is_for_all() && note_answer(for_theirs, source, now);
}

bool PeerWatch::note_answer(std::uint8_t kind, const wire::Address& source, Instant now) noexcept {
  const bool is_first = !is_answered_;
  if (is_first) {
    is_answered_ = true;
    round_trip_.add(now - asked_at_);
    view_.unanswered = 0;
  }
  for (std::size_t i = 0; i < view_.nodes.size(); ++i) {
    Node& node = view_.nodes[i];
    if (node.heard_at == Instant{} || node.address != source) continue;
    has_answered_[i] |= kind;
    node.answered_at = now;
    node.unanswered = 0;
    if (question_.is_long) node.unanswered_long = 0;
    if ((kind & for_ours) != 0) node.unanswered_ours = 0;
  }
  const bool wants_theirs = question_.states[0].creatorid != 0 || question_.is_for_all();
  const std::uint8_t wanted =
      static_cast<std::uint8_t>((wants_theirs ? for_theirs : 0) | (question_.states[1].creatorid != 0 ? for_ours : 0));
  is_awaited_ = false;
  for (std::size_t i = 0; i < view_.nodes.size(); ++i)
    is_awaited_ = is_awaited_ || (view_.nodes[i].is_behind != 0 && has_answered_[i] != wanted);
  publish();
  return is_first;
}

void PeerWatch::close() noexcept {
  if (!is_asked_) return;
  is_asked_ = is_awaited_ = false;
  const auto leave_unanswered = [this](std::uint32_t& count, Instant& since) {
    if (count == 0) since = asked_at_;
    count += count < 1'000'000;
  };
  if (!is_answered_) leave_unanswered(view_.unanswered, view_.silent_since);
  const bool asks_for_both = question_.states[0].creatorid != 0 && question_.states[1].creatorid != 0;
  for (std::size_t i = 0; i < view_.nodes.size(); ++i) {
    Node& node = view_.nodes[i];
    if (node.heard_at == Instant{} || node.is_behind == 0) continue;
    node.is_behind = 0;
    if (has_answered_[i] == 0) {
      if (!question_.judged || *question_.judged == node.address) leave_unanswered(node.unanswered, node.silent_since);
      // What it does not answer at any length tells nothing of lengths: it may not have the state.
      node.unanswered_long += question_.is_long && has_answered_shortly_[i] != 0;
    } else if (asks_for_both && has_answered_[i] == for_theirs) {
      ++node.unanswered_ours;
    }
  }
  publish();
}

bool PeerWatch::is_due(Instant now) noexcept {
  if (every_ == Duration::zero() || now < next_at_) return false;
  close();
  if (is_to_send_) has_answered_ = {};  // by nobody, who was not asked
  is_to_send_ = false;
  return true;
}

std::optional<wire::Address> PeerWatch::whom_to_ask() noexcept {
  const auto next_of = [this](auto&& is_meant) -> std::optional<wire::Address> {
    for (std::size_t i = 0; i < nodes_max; ++i) {
      const Node& node = view_.nodes[(turn_ + i) % nodes_max];
      if (node.heard_at == Instant{} || !is_meant(node)) continue;
      turn_ = (turn_ + i + 1) % nodes_max;
      return node.address;
    }
    return std::nullopt;
  };
  // In a group who was hardly heard has no right to keep the others from their turns, nor whom all know to be away.
  if (auto doubtful = next_of(
          [this](const Node& node) { return node.unanswered > 0 && node.unanswered < doubtful_max && is_known(node); }))
    return doubtful;
  return next_of([](const Node&) { return true; });
}

void PeerWatch::ask(wire::StateId theirs, wire::StateId ours, Instant now,
                    const std::optional<wire::Address>& judged) noexcept {
  next_at_ = now + (is_length_in_doubt() ? every_ / 2 : every_);
  const bool is_same = asked_at_ != Instant{} && question_.states == States{theirs, ours};
  has_answered_shortly_ = is_next_long() && is_same ? has_answered_ : decltype(has_answered_){};
  question_ = {.states = {theirs, ours}, .is_long = is_next_long(), .judged = judged};
  is_to_send_ = true;
}

std::optional<PeerWatch::Question> PeerWatch::take(Instant now) noexcept {
  if (!is_to_send_) return std::nullopt;
  is_to_send_ = false;
  is_asked_ = is_awaited_ = true;
  is_answered_ = false;
  asked_at_ = now;
  has_answered_ = {};
  for (Node& node : view_.nodes) node.is_behind = node.heard_at != Instant{};
  return question_;
}

bool PeerWatch::is_length_in_doubt() const noexcept {
  return std::ranges::any_of(view_.nodes, [this](const Node& node) {
    return is_known(node) && node.unanswered_long > 0 && node.unanswered <= 1;
  });
}

void PeerWatch::publish() noexcept {
  View told = view_;
  for (Node& node : told.nodes)
    if (!is_known(node)) node.unanswered = node.unanswered_long = node.unanswered_ours = 0;
  published_.publish(told);
}

bool PeerWatch::is_known(const Node& node) const noexcept {
  if (node.heard_at == Instant{}) return false;
  return !is_group_ || (node.packets >= known_packets && node.heard_at - node.first_heard_at >= known_after);
}

void PeerWatch::rest() noexcept {
  if (!is_asked_ && !is_to_send_ && view_.unanswered == 0) return;
  is_asked_ = is_awaited_ = is_to_send_ = false;
  view_.unanswered = 0;
  for (Node& node : view_.nodes) node.unanswered = node.unanswered_long = node.unanswered_ours = 0;
  publish();
}

bool PeerWatch::forget(const wire::Address& source) noexcept {
  for (Node& node : view_.nodes) {
    if (node.heard_at == Instant{} || node.address != source) continue;
    node = {};
    // It may have been the only one that was to answer.
    view_.unanswered = 0;
    publish();
    return true;
  }
  return false;
}

std::vector<PeerWatch::Node> PeerWatch::nodes() const {
  const View view = published_.read();
  std::vector<Node> all;
  for (const Node& node : view.nodes)
    if (node.heard_at != Instant{}) all.push_back(node);
  return all;
}

}  // namespace pfsync::engine
