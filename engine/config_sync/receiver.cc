#include "engine/config_sync/receiver.h"

#include <algorithm>
#include <utility>

#include "engine/config_sync/faults.h"
#include "engine/version.h"

namespace pfsync::engine::config_sync {
namespace {

using xmlrpc::Fault;
using xmlrpc::Value;

[[noreturn]] void refuse(int code, std::string sentence) { throw Fault{code, std::move(sentence)}; }

const Value& only(const std::vector<Value>& params) {
  if (params.empty()) refuse(xmlrpc::fault_code::invalid_parameters, "the method takes one parameter, a struct");
  if (params.front().as_map() == nullptr)
    refuse(xmlrpc::fault_code::invalid_parameters, "the parameter is not a struct");
  return params.front();
}

const Value& member(const Value& params, const char* name) {
  const Value* found = params.find(name);
  if (found == nullptr) refuse(xmlrpc::fault_code::invalid_parameters, std::string{name} + " is missing");
  return *found;
}

std::string text(const Value& params, const char* name) {
  const auto* found = member(params, name).get<std::string>();
  if (found == nullptr) refuse(xmlrpc::fault_code::invalid_parameters, std::string{name} + " is not a string");
  return *found;
}

std::uint64_t number(const Value& params, const char* name) {
  const auto parsed = parse_number(text(params, name));
  if (!parsed) refuse(xmlrpc::fault_code::invalid_parameters, std::string{name} + " is not a decimal number");
  return *parsed;
}

std::string node_id(const std::string& text, const char* name) {
  if (!is_node_id(text)) refuse(xmlrpc::fault_code::invalid_parameters, std::string{name} + " is no node_id");
  return text;
}

std::vector<const Value*> list(const Value& params, const char* name) {
  auto found = member(params, name).as_list();
  if (!found) refuse(xmlrpc::fault_code::invalid_parameters, std::string{name} + " is not an array");
  return std::move(*found);
}

Sections sections_of(const Value& value) {
  const auto* map = value.as_map();
  if (map == nullptr) refuse(xmlrpc::fault_code::invalid_parameters, "sections is not a struct");
  Sections sections;
  for (const auto& [name, each] : *map) {
    const auto* bytes = each.get<Value::Binary>();
    if (bytes == nullptr) refuse(xmlrpc::fault_code::invalid_parameters, "section " + name + " is not base64");
    sections.insert_or_assign(name, bytes->bytes);
  }
  return sections;
}

std::string short_id(const std::string& id) { return id.substr(0, 8); }

std::string name_of(const Revision& revision) {
  return "generation " + std::to_string(revision.generation) + " of node " + short_id(revision.origin);
}

}  // namespace

std::string_view word(Role role) {
  return role == Role::primary ? "primary" : role == Role::secondary ? "secondary" : "off";
}

void Audit::add(std::int64_t time_s, bool warning, std::string sentence) {
  records_.push_back({time_s, warning, one_line(std::move(sentence))});
  ++fresh_;
  if (records_.size() > kept) records_.pop_front();
}

std::vector<Record> Audit::take_new() {
  const std::size_t count = std::min(std::exchange(fresh_, 0), records_.size());
  return {records_.end() - static_cast<std::ptrdiff_t>(count), records_.end()};
}

Receiver::Receiver(const Settings& settings, Identity identity, Store& store, Ground ground, Audit& audit)
    : settings_{settings}, identity_{std::move(identity)}, store_{store}, ground_{std::move(ground)}, audit_{audit} {}

Receiver::Answer Receiver::call(const xmlrpc::Call& call, Instant now, std::int64_t time_s) {
  tick(now, time_s);
  try {
    if (call.method == "hasync.hello") return greet(call.params, now);
    if (settings_.role == Role::off) refuse(fault::role_refused, "this node's config_sync.role is \"off\"");
    if (call.method == "hasync.digest") return tell_digest(call.params);
    if (call.method == "hasync.stage") return stage(call.params, now, time_s);
    if (call.method == "hasync.commit") return commit(call.params, now, time_s);
    if (call.method == "hasync.confirm") return confirm(call.params, time_s);
    if (call.method == "hasync.abort") return abort(call.params, time_s);
    if (call.method == "hasync.log") return tell_log(call.params);
    refuse(xmlrpc::fault_code::method_not_found, "there is no method of that name");
  } catch (const Fault& why) {
    if (call.method == "hasync.stage" || call.method == "hasync.commit")
      audit_.add(
          time_s, true,
          "refused the other node's " + call.method.substr(7) + " (" + std::to_string(why.code) + "): " + why.text);
    return why;
  }
}

Value Receiver::hello() const {
  const auto& current = store_.current();
  const Revision revision = current ? current->revision : Revision{};
  const std::uint64_t epoch = settings_.role == Role::primary ? identity_.epoch : revision.epoch;
  return Value{Value::Struct{{"node_id", identity_.node_id},
                             {"cluster_id", settings_.cluster},
                             {"proto", protocol_version},
                             {"software", std::string{"pfsyncd "}.append(version)},
                             {"role", word(settings_.role)},
                             {"epoch", std::to_string(epoch)},
                             {"generation", std::to_string(revision.generation)},
                             {"digest", current ? revision.digest() : ""},
                             {"unconfirmed", pending_ ? pending_->txn : ""}}};
}

Value Receiver::greet(const std::vector<Value>& params, Instant now) {
  const Value& caller = only(params);
  const auto proto = member(caller, "proto").as_integer();
  if (proto != protocol_version)
    refuse(fault::protocol_version, "this node speaks version " + std::to_string(protocol_version) +
                                        " of the protocol: bring both nodes to one version");
  const std::string caller_id = node_id(text(caller, "node_id"), "node_id");
  if (caller_id == identity_.node_id)
    refuse(fault::loop,
           "the caller has this node's own node_id: config_sync.peer leads back here, or a state_dir was copied");
  if (const std::string cluster = text(caller, "cluster_id"); cluster != settings_.cluster)
    refuse(fault::cluster_differs,
           "this node's config_sync.cluster is \"" + settings_.cluster + "\", the caller's \"" + cluster + "\"");
  if (settings_.role == Role::primary && text(caller, "role") == "primary")
    other_primary_ = OtherPrimary{caller_id, number(caller, "epoch"), now + other_primary_for};
  else
    heard_secondary(caller_id);
  Value::Struct told = *hello().as_map();
  Value::Array accepts;
  if (settings_.role == Role::secondary)
    for (const char* name : {"carp", "node", "peer", "sync", "timeouts"}) accepts.emplace_back(name);
  told.push_back({"accepts", Value{std::move(accepts)}});
  told.push_back({"max_bytes", static_cast<std::int64_t>(body_bytes_max)});
  return Value{std::move(told)};
}

/// A caller that hands over its sections hears in words what a push of them would change.
Value Receiver::tell_digest(const std::vector<Value>& params) const {
  const auto& current = store_.current();
  Value::Struct sections;
  if (current)
    for (const auto& [name, digest] : digests_of(current->revision.sections)) sections.push_back({name, digest});
  const Revision revision = current ? current->revision : Revision{};
  Value::Struct diff;
  if (const Value* theirs = params.empty() ? nullptr : params.front().find("sections")) {
    const Sections offered = sections_of(*theirs);
    if (auto problem = check_form(offered)) refuse(problem->code, problem->sentence);
    for (const auto& [name, words] : differences(revision.sections, offered)) diff.push_back({name, words});
  }
  return Value{Value::Struct{{"digest", current ? revision.digest() : ""},
                             {"diff", Value{std::move(diff)}},
                             {"sections", Value{std::move(sections)}},
                             {"applied", Value{Value::Struct{{"origin", revision.origin},
                                                             {"epoch", std::to_string(revision.epoch)},
                                                             {"generation", std::to_string(revision.generation)},
                                                             {"time", current ? current->time_s : 0}}}}}};
}

void Receiver::require_secondary() const {
  if (settings_.role == Role::primary)
    refuse(fault::split, "this node is a primary too, of epoch " + std::to_string(identity_.epoch) +
                             ": give one of the two the role \"secondary\"");
}

void Receiver::judge(const Revision& offered) const {
  if (std::find(offered.path.begin(), offered.path.end(), identity_.node_id) != offered.path.end() ||
      offered.origin == identity_.node_id)
    refuse(fault::loop, "the configuration went through this node already");
  if (!store_.current()) return;
  const Revision& applied = store_.current()->revision;
  const bool is_older =
      offered.epoch < applied.epoch || (offered.epoch == applied.epoch && offered.generation <= applied.generation);
  if (offered.origin == applied.origin && is_older)
    refuse(fault::stale_generation, name_of(offered) + " is not newer than generation " +
                                        std::to_string(applied.generation) +
                                        ", which is in force: was the primary's state_dir restored from a backup? "
                                        "pfsyncctl config push --renew there goes on from here");
  if (offered.origin != applied.origin && offered.epoch <= applied.epoch)
    refuse(fault::split, "epoch " + std::to_string(offered.epoch) + " of node " + short_id(offered.origin) +
                             " is not above epoch " + std::to_string(applied.epoch) + " of node " +
                             short_id(applied.origin) +
                             ", whose configuration is in force: pfsyncctl config push --renew there goes above it");
}

Revision Receiver::revision_of(const Value& params) const {
  Revision offered{.origin = node_id(text(params, "origin"), "origin"),
                   .epoch = number(params, "epoch"),
                   .generation = number(params, "generation")};
  for (const Value* each : list(params, "path")) {
    const auto* id = each->get<std::string>();
    offered.path.push_back(node_id(id == nullptr ? "" : *id, "path"));
    if (offered.path.size() > 16) refuse(fault::loop, "the path is longer than any way between two nodes");
  }
  if (store_.current()) offered.sections = store_.current()->revision.sections;
  for (const Value* each : list(params, "removed"))
    if (const auto* name = each->get<std::string>()) offered.sections.erase(*name);
  for (auto& [name, bytes] : sections_of(member(params, "sections")))
    offered.sections.insert_or_assign(name, std::move(bytes));
  return offered;
}

std::string Receiver::new_txn() {
  const std::string number = std::to_string(++txns_);
  const std::string held = store_.current() ? store_.current()->revision.digest() : "";
  return sha256_hex(identity_.node_id + number + held).substr(0, 16) + "-" + number;
}

Value Receiver::stage(const std::vector<Value>& all, Instant now, std::int64_t time_s) {
  const Value& params = only(all);
  require_secondary();
  const Revision offered = revision_of(params);
  const std::string digest = text(params, "digest");
  if (digest != offered.digest())
    refuse(fault::validation_failed, "the sections have another digest than the push says");
  const auto answer = [&](const std::string& txn, bool already, Value::Array warnings, Value::Struct diff) {
    return Value{Value::Struct{{"txn", txn},
                               {"already", already},
                               {"warnings", Value{std::move(warnings)}},
                               {"diff", Value{std::move(diff)}}}};
  };
  const auto same = [&](const Revision& other) {
    return other.origin == offered.origin && other.epoch == offered.epoch && other.generation == offered.generation &&
           other.digest() == digest;
  };
  if (pending_ && same(pending_->revision)) return answer(pending_->txn, true, {}, {});
  if (pending_) refuse(fault::busy, "a configuration waits to be confirmed: try again");
  if (store_.current() && same(store_.current()->revision)) return answer("", true, {}, {});
  judge(offered);
  if (staged_ && staged_->revision.origin != offered.origin)
    refuse(fault::busy, "another node has staged a configuration: try again");
  if (auto problem = check_form(offered.sections)) refuse(problem->code, problem->sentence);

  Value::Array warnings;
  const Sections before = store_.current() ? store_.current()->revision.sections : Sections{};
  const std::string base = text(params, "base_digest");
  const std::string held = store_.current() ? digest_of(before) : "";
  if (base != held) {
    if (settings_.strict)
      refuse(fault::validation_failed,
             "this node holds another configuration than the primary believes, and config_sync.strict is set: compare "
             "by pfsyncctl config diff");
    warnings.emplace_back("the secondary held another configuration than the primary believed; it is replaced");
  }
  std::vector<std::string> notes;
  if (auto problem = ground_.check(offered.sections, notes)) refuse(problem->code, problem->sentence);
  for (std::string& note : notes) warnings.emplace_back(std::move(note));

  const Stored next{.revision = offered, .source = "push", .time_s = time_s};
  if (const std::string why = store_.stage(next); !why.empty()) refuse(fault::apply_failed, why);
  staged_ = Staged{new_txn(), offered, now + staged_for};
  Value::Struct diff;
  for (const auto& [name, words] : differences(before, offered.sections)) diff.push_back({name, words});
  return answer(staged_->txn, false, std::move(warnings), std::move(diff));
}

Value Receiver::commit(const std::vector<Value>& all, Instant now, std::int64_t time_s) {
  const Value& params = only(all);
  require_secondary();
  const std::string txn = text(params, "txn");
  const auto within = member(params, "confirm_within").as_integer();
  if (!within || *within < 0 || *within > 600)
    refuse(xmlrpc::fault_code::invalid_parameters, "confirm_within is not a number of seconds from 0 to 600");
  if (!staged_ || staged_->txn != txn)
    refuse(xmlrpc::fault_code::invalid_parameters,
           "there is no such transaction: it expired or was replaced; stage again");
  Staged staged = std::move(*staged_);
  staged_.reset();
  if (const std::string why = store_.commit(); !why.empty()) {
    const std::string undone = store_.roll_back();
    refuse(fault::apply_failed, why + (undone.empty() ? "" : "; " + undone));
  }
  if (const auto why = ground_.apply(&staged.revision.sections)) {
    const std::string undone = store_.roll_back();
    refuse(fault::apply_failed, *why + ": rolled back" + (undone.empty() ? "" : "; " + undone));
  }
  audit_.add(time_s, false, "applied " + name_of(staged.revision));
  const std::string digest = staged.revision.digest();
  if (*within == 0) {
    if (const std::string why = store_.confirm(); !why.empty()) audit_.add(time_s, true, why);
    return Value{Value::Struct{{"digest", digest}, {"state", "applied"}}};
  }
  staged.until = now + std::chrono::seconds{*within};
  pending_ = std::move(staged);
  return Value{Value::Struct{{"digest", digest}, {"state", "pending_confirm"}}};
}

Value Receiver::confirm(const std::vector<Value>& all, std::int64_t time_s) {
  const std::string txn = text(only(all), "txn");
  if (!pending_ || pending_->txn != txn)
    refuse(xmlrpc::fault_code::invalid_parameters, "nothing of that name waits to be confirmed: it was rolled back");
  if (const std::string why = store_.confirm(); !why.empty()) refuse(fault::apply_failed, why);
  audit_.add(time_s, false, "confirmed " + name_of(pending_->revision));
  pending_.reset();
  return Value{Value::Struct{{"state", "confirmed"}}};
}

Value Receiver::abort(const std::vector<Value>& all, std::int64_t time_s) {
  const std::string txn = text(only(all), "txn");
  if (pending_ && pending_->txn == txn) {
    roll_back(time_s, "the primary took it back");
    return true;
  }
  if (!staged_ || staged_->txn != txn) return false;
  staged_.reset();
  if (const std::string why = store_.unstage(); !why.empty()) audit_.add(time_s, true, why);
  return true;
}

Value Receiver::tell_log(const std::vector<Value>& all) const {
  const std::uint64_t since = number(only(all), "since");
  Value::Array records;
  for (const Record& record : audit_.records())
    if (static_cast<std::uint64_t>(record.time_s) >= since)
      records.emplace_back(Value::Struct{
          {"time", std::to_string(record.time_s)}, {"warning", record.warning}, {"sentence", record.sentence}});
  return Value{std::move(records)};
}

void Receiver::roll_back(std::int64_t time_s, const std::string& because) {
  const std::string what = name_of(pending_->revision);
  pending_.reset();
  std::string why = store_.roll_back();
  const Sections* former = store_.current() ? &store_.current()->revision.sections : nullptr;
  if (const auto failed = ground_.apply(former)) why += (why.empty() ? "" : "; ") + *failed;
  audit_.add(time_s, true, "rolled back " + what + ": " + because + (why.empty() ? "" : "; but " + why));
}

void Receiver::tick(Instant now, std::int64_t time_s) {
  if (staged_ && now >= staged_->until) {
    audit_.add(time_s, true, "what was staged (" + name_of(staged_->revision) + ") expired: no commit came");
    staged_.reset();
    if (const std::string why = store_.unstage(); !why.empty()) audit_.add(time_s, true, why);
  }
  if (other_primary_ && now >= other_primary_->until) other_primary_.reset();
  if (pending_ && now >= pending_->until) roll_back(time_s, "it was not confirmed in time");
}

}  // namespace pfsync::engine::config_sync
