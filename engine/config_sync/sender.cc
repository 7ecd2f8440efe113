#include "engine/config_sync/sender.h"

#include <algorithm>
#include <utility>

namespace pfsync::engine::config_sync {

using xmlrpc::Fault;
using xmlrpc::Value;

namespace {

std::string text_or_none(const Value& map, const char* name) {
  const Value* found = map.find(name);
  const auto* value = found == nullptr ? nullptr : found->get<std::string>();
  return value == nullptr ? "" : one_line(*value);
}

}  // namespace

void Sender::offer(Revision revision, bool applied, Instant now) {
  revision_ = std::move(revision);
  applied_ = applied;
  in_sync_ = split_ = committed_ = pushing_ = false;
  txn_.clear();
  phase_ = Step::none;
  backoff_ = std::chrono::seconds{1};
  next_at_ = now;
}

Sender::Step Sender::step(Instant now) {
  if (phase_ == Step::none && revision_ && now >= next_at_) phase_ = Step::hello;
  return phase_;
}

xmlrpc::Call Sender::call(Step step, const Value& hello) const {
  switch (step) {
    case Step::hello: return {"hasync.hello", {hello}};
    case Step::stage: {
      Value::Struct sections;
      for (const auto& [name, bytes] : revision_->sections) sections.push_back({name, Value{Value::Binary{bytes}}});
      Value::Array path;
      for (const std::string& id : revision_->path) path.emplace_back(id);
      path.emplace_back(node_id_);
      return {"hasync.stage",
              {Value{Value::Struct{{"origin", revision_->origin},
                                   {"epoch", std::to_string(revision_->epoch)},
                                   {"generation", std::to_string(revision_->generation)},
                                   {"path", Value{std::move(path)}},
                                   {"base_digest", peer_digest_},
                                   {"digest", revision_->digest()},
                                   {"sections", Value{std::move(sections)}},
                                   {"removed", Value{Value::Array{}}}}}}};
    }
    case Step::commit:
      return {"hasync.commit",
              {Value{Value::Struct{{"txn", txn_}, {"confirm_within", static_cast<std::int64_t>(confirm_s_)}}}}};
    case Step::confirm: return {"hasync.confirm", {Value{Value::Struct{{"txn", txn_}}}}};
    default: return {"hasync.abort", {Value{Value::Struct{{"txn", txn_}}}}};
  }
}

void Sender::fail(std::string sentence, Instant now) {
  error_ = one_line(std::move(sentence));
  ++failures_;
  in_sync_ = false;
  txn_.clear();
  committed_ = false;
  if (!failing_since_) failing_since_ = now;
  next_at_ = now + backoff_;
  backoff_ = std::min(backoff_ * 2, std::chrono::seconds{retry_max});
  phase_ = applied_ ? Step::none : Step::apply;  // availability first: this node goes ahead alone
}

void Sender::settled(Instant now) {
  in_sync_ = true;
  error_.clear();
  failing_since_.reset();
  if (std::exchange(pushing_, false)) ++pushes_;
  backoff_ = std::chrono::seconds{1};
  peer_digest_ = revision_->digest();
  txn_.clear();
  committed_ = false;
  phase_ = Step::none;
  next_at_ = now + check_every;
}

void Sender::after_stage(Instant now) {
  if (!applied_)
    phase_ = Step::apply;
  else if (txn_.empty())
    settled(now);
  else
    phase_ = committed_ ? Step::confirm : Step::commit;
  if (phase_ == Step::commit) pushing_ = true;
}

void Sender::greeted(const Value& peer, Instant now) {
  split_ = peer_is_secondary_ = false;
  peer_id_ = text_or_none(peer, "node_id");
  peer_digest_ = text_or_none(peer, "digest");
  peer_epoch_ = parse_number(text_or_none(peer, "epoch")).value_or(0);
  const std::string role = text_or_none(peer, "role");
  if (!is_node_id(peer_id_)) return fail("the other node's answer is not that of a pfsyncd", now);
  if (peer_id_ == node_id_) return fail("loop (110): config_sync.peer leads back to this node", now);
  if (const std::string cluster = text_or_none(peer, "cluster_id"); cluster != cluster_)
    return fail("another cluster (102): the other node's config_sync.cluster is \"" + cluster + "\"", now);
  if (role == "primary") {
    split_ = peer_epoch_ > revision_->epoch || (peer_epoch_ == revision_->epoch && peer_id_ > node_id_);
    return fail("split (112): the other node is a primary too, of epoch " + std::to_string(peer_epoch_) +
                    (split_ ? ", which is above ours: this node pushes nothing until" : ": nothing is pushed until") +
                    " one of the two is a secondary",
                now);
  }
  if (role != "secondary")
    return fail("role refused (101): the other node's config_sync.role is \"" + role + "\"", now);
  peer_is_secondary_ = true;
  const bool same = peer_digest_ == revision_->digest() && peer_epoch_ == revision_->epoch &&
                    text_or_none(peer, "generation") == std::to_string(revision_->generation);
  if (!same) {
    phase_ = Step::stage;
    return;
  }
  // It holds the offer, but may wait for our word: an answer was lost, or this process is not the one that pushed.
  txn_ = text_or_none(peer, "unconfirmed");
  committed_ = !txn_.empty();
  pushing_ = pushing_ || committed_;
  after_stage(now);
}

void Sender::done(Step step, const Result& result, Instant now) {
  if (step != phase_) return;  // another revision was offered meanwhile
  if (const auto* lost = std::get_if<Lost>(&result); lost != nullptr && step != Step::abort)
    return fail(lost->sentence, now);
  if (const auto* fault = std::get_if<Fault>(&result); fault != nullptr && step != Step::abort)
    return fail("the other node refused (" + std::to_string(fault->code) + "): " + fault->text, now);
  const Value none;
  const auto* given = std::get_if<Value>(&result);
  const Value& value = given == nullptr ? none : *given;
  switch (step) {
    case Step::hello: return greeted(value, now);
    case Step::stage: {
      warnings_.clear();
      if (const Value* told = value.find("warnings"))
        if (const auto list = told->as_list())
          for (std::size_t i = 0; i < list->size() && i < told_max; ++i)
            warnings_.push_back(one_line((*list)[i]->as_text().value_or("")));
      changes_.clear();
      if (const Value* told = value.find("diff"))
        if (const auto* map = told->as_map())
          for (std::size_t i = 0; i < map->size() && i < told_max; ++i)
            changes_.push_back(
                one_line((*map)[i].name + ": " + (*map)[i].value.as_text().value_or(""), change_bytes_max));
      txn_ = text_or_none(value, "txn");
      const Value* already = value.find("already");
      committed_ = already != nullptr && already->get<bool>() != nullptr && *already->get<bool>();
      if (txn_.empty() && !committed_) return fail("the other node's answer names no transaction", now);
      return after_stage(now);
    }
    case Step::commit:
      if (text_or_none(value, "state") == "applied") return settled(now);
      committed_ = true;
      phase_ = Step::confirm;
      return;
    case Step::confirm: return settled(now);
    default:  // what could not be applied here is not offered any more
      phase_ = Step::none;
      revision_.reset();
      return;
  }
}

void Sender::applied(bool well, Instant now) {
  if (phase_ != Step::apply) return;
  applied_ = well;
  if (!well) {
    phase_ = txn_.empty() ? Step::none : Step::abort;
    if (phase_ == Step::none) revision_.reset();
    return;
  }
  if (error_.empty() || !txn_.empty() || committed_ || !failing_since_) return after_stage(now);
  phase_ = Step::none;  // alone: the next try is due at next_at_
}

void Sender::link_up(Instant now) {
  if (phase_ != Step::none) return;
  backoff_ = std::chrono::seconds{1};
  next_at_ = now;
}

}  // namespace pfsync::engine::config_sync
