#include "tests/sim/chaos/config_pair.h"

#include <algorithm>
#include <charconv>

#include "engine/xmlrpc/codec.h"

namespace pfsync::sim::chaos {

namespace config = engine::config_sync;
namespace xmlrpc = engine::xmlrpc;

namespace {

constexpr Duration way = std::chrono::milliseconds{1};
constexpr unsigned confirm_s = 10;
const std::string cluster = "sim";

config::Sections sections_of(unsigned maxupd) {
  return {{"carp", "[]"},
          {"node", "{}"},
          {"peer", "[]"},
          {"sync", "{\"maxupd\":" + std::to_string(maxupd) + "}"},
          {"timeouts", "{}"}};
}

unsigned maxupd_of(const config::Sections& sections) {
  const std::string& text = sections.at("sync");
  unsigned value = 0;
  const std::size_t at = text.find(':') + 1;
  std::from_chars(text.data() + at, text.data() + text.size(), value);
  return value;
}

}  // namespace

ConfigHalf::ConfigHalf(bool is_primary, Disk& disk, Apply apply, Marks& marks)
    : is_primary_{is_primary}, disk_{disk}, apply_{std::move(apply)}, marks_{marks} {}

void ConfigHalf::bring_into_force(const config::Sections* sections) {
  in_force_ = sections == nullptr ? 0 : maxupd_of(*sections);
  if (in_force_ > 0) apply_(in_force_);
}

void ConfigHalf::power_on(unsigned maxupd, Instant now, std::int64_t time_s) {
  life_.emplace(disk_);
  Life& life = *life_;
  for (const std::string& sentence : life.store.load())
    if (sentence.find("rolled back") != std::string::npos) marks_.meet("config: rolled back at a start");
  if (const auto known = life.store.identity()) {
    life.identity = *known;
  } else {
    life.identity.node_id = std::string(32, is_primary_ ? 'a' : 'b');
    if (!life.store.write(life.identity).empty()) marks_.meet("config: the disk refused");
  }
  const config::Settings settings{.role = is_primary_ ? config::Role::primary : config::Role::secondary,
                                  .cluster = cluster,
                                  .confirm_s = confirm_s};
  const config::Ground ground{.check = [](const config::Sections&, std::vector<std::string>&) { return std::nullopt; },
                              .apply = [this](const config::Sections* sections) -> std::optional<std::string> {
                                bring_into_force(sections);
                                return std::nullopt;
                              }};
  if (is_primary_ && !life.identity.was_primary) {
    const auto& current = life.store.current();
    life.identity.epoch = std::max(life.identity.epoch, current ? current->revision.epoch : 0) + 1;
    life.identity.was_primary = true;
    if (!life.store.write(life.identity).empty()) marks_.meet("config: the disk refused");
  }
  life.receiver.emplace(settings, life.identity, life.store, ground, life.audit);
  if (!is_primary_) {
    bring_into_force(life.store.current() ? &life.store.current()->revision.sections : nullptr);
    return;
  }
  life.sender.emplace(life.identity.node_id, cluster, confirm_s);
  in_force_ = maxupd;
  apply_(maxupd);
  const auto& current = life.store.current();
  const bool is_ours =
      current && current->revision.origin == life.identity.node_id && current->revision.epoch == life.identity.epoch;
  if (is_ours && current->revision.sections == sections_of(maxupd)) {
    life.sender->offer(current->revision, true, now);
    return;
  }
  offer(maxupd, now, time_s);
  std::string why = life.store.stage(*life.offer);
  if (why.empty()) why = life.store.commit();
  if (why.empty()) why = life.store.confirm();
  if (!why.empty()) marks_.meet("config: the disk refused");
  life.sender->offer(life.offer->revision, true, now);
  life.offer.reset();
}

void ConfigHalf::offer(unsigned maxupd, Instant now, std::int64_t time_s) {
  Life& life = *life_;
  const std::uint64_t last = life.store.current() ? life.store.current()->revision.generation : 0;
  life.identity.generation = std::max(life.identity.generation, last) + 1;
  if (!life.store.write(life.identity).empty()) marks_.meet("config: the disk refused");
  life.receiver->set_identity(life.identity);
  life.offer = config::Stored{.revision = {.origin = life.identity.node_id,
                                           .epoch = life.identity.epoch,
                                           .generation = life.identity.generation,
                                           .sections = sections_of(maxupd)},
                              .source = "file",
                              .time_s = time_s};
  life.sender->offer(life.offer->revision, false, now);
}

void ConfigHalf::edit(unsigned maxupd, Instant now, std::int64_t time_s) { offer(maxupd, now, time_s); }

void ConfigHalf::renew(Instant now, std::int64_t time_s) {
  Life& life = *life_;
  if (life.sender->error().find("push --renew") == std::string::npos) return;
  marks_.meet("config: renewed by the operator");
  life.identity.epoch = std::max(life.identity.epoch, life.sender->peer_epoch()) + 1;
  offer(life.offer ? maxupd_of(life.offer->revision.sections) : in_force_, now, time_s);
}

void ConfigHalf::apply_offer(Instant now) {
  Life& life = *life_;
  if (life.offer) {
    std::string why = life.store.stage(*life.offer);
    if (why.empty()) why = life.store.commit();
    bring_into_force(&life.offer->revision.sections);
    if (why.empty()) why = life.store.confirm();
    if (!why.empty()) marks_.meet("config: the disk refused");
    life.offer.reset();
  }
  life.sender->applied(true, now);
}

void ConfigHalf::tick(Instant now, std::int64_t time_s) {
  const bool staged = life_->receiver->is_staged(), pending = life_->receiver->is_pending();
  life_->receiver->tick(now, time_s);
  if (staged && !life_->receiver->is_staged()) marks_.meet("config: staged, expired");
  if (pending && !life_->receiver->is_pending()) marks_.meet("config: rolled back, not confirmed");
}

// --- between them ----------------------------------------------------------------------------------------

void ConfigCalls::turn_primary(Duration now, Instant local) {
  using config::Sender;
  Sender& sender = primary_.sender();
  if (call_ && call_->answer && now >= call_->answered_at + way) {
    const Call call = *std::exchange(call_, std::nullopt);
    if (!reaches_(false)) {
      marks_.meet("config: answer lost");
      sender.done(call.step, Sender::Lost{"the connection broke"}, local);
      return;
    }
    auto response = xmlrpc::decode_response(*call.answer);
    const std::uint64_t pushes = sender.pushes();
    if (auto* value = std::get_if<xmlrpc::Value>(&response)) {
      sender.done(call.step, std::move(*value), local);
    } else if (auto* fault = std::get_if<xmlrpc::Fault>(&response)) {
      marks_.meet("config: the other node refused");
      sender.done(call.step, std::move(*fault), local);
    } else {
      sender.done(call.step, Sender::Lost{"unreadable"}, local);
    }
    if (sender.pushes() != pushes)
      marks_.meet(call.step == Sender::Step::hello ? "config: found confirmed already"
                                                   : "config: pushed and confirmed");
    return;
  }
  if (call_ && now >= call_->asked_at + patience) {
    const Call call = *std::exchange(call_, std::nullopt);
    marks_.meet(call.has_arrived ? "config: answer lost" : "config: request lost");
    sender.done(call.step, Sender::Lost{"no answer"}, local);
    return;
  }
  if (call_) return;
  const Sender::Step step = sender.step(local);
  if (step == Sender::Step::none) return;
  if (step == Sender::Step::apply) return primary_.apply_offer(local);
  const xmlrpc::Call call = sender.call(step, primary_.receiver().hello());
  call_ = Call{step, xmlrpc::encode_call(call.method, call.params), now};
}

void ConfigCalls::turn_secondary(Duration now, Instant local, std::int64_t time_s) {
  if (!call_ || call_->has_arrived || now < call_->asked_at + way || now >= call_->asked_at + patience) return;
  if (!reaches_(true)) return;  // TCP tries again
  call_->has_arrived = true;
  const auto decoded = xmlrpc::decode_call(call_->body);
  const auto* call = std::get_if<xmlrpc::Call>(&decoded);
  if (call == nullptr) return;
  const auto answer = secondary_.receiver().call(*call, local, time_s);
  if (const auto* fault = std::get_if<xmlrpc::Fault>(&answer))
    call_->answer = xmlrpc::encode_fault(*fault);
  else
    call_->answer = xmlrpc::encode_response(std::get<xmlrpc::Value>(answer));
  call_->answered_at = now;
}

void ConfigCalls::forget(bool is_primary) {
  if (!call_) return;
  if (is_primary)
    call_.reset();
  else
    call_->has_arrived = true;  // and no answer comes
}

}  // namespace pfsync::sim::chaos
