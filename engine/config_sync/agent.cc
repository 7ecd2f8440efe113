#include "engine/config_sync/agent.h"

#include <pthread.h>

#include <csignal>
#include <filesystem>

#include "engine/config_sync/faults.h"
#include "engine/config_sync/keys.h"
#include "engine/config_sync/parts.h"
#include "engine/http/crypto.h"
#include "engine/http/words.h"
#include "engine/xmlrpc/codec.h"

namespace pfsync::engine::config_sync {
namespace {

using std::chrono::milliseconds;

constexpr milliseconds apply_patience{5000};  ///< for the control thread to begin
constexpr milliseconds look_every{250};       ///< at what expires

}  // namespace

Agent::Parts::Parts(const Config& config, std::string text, std::string name, Daemon given)
    : settings{*config.config_sync},
      file{std::move(name)},
      users_file{config.http && !config.http->users_file.empty() ? config.http->users_file
                                                                 : config.control.state_dir + "/users"},
      toml{std::move(text)},
      daemon{std::move(given)},
      shared_files{store_folder(config)},
      compat_files{compat_folder(config)},
      changes{std::filesystem::path{config.control.state_dir} / "audit.log"},
      receiver{settings, {}, store, ground(), audit},
      sender{"", settings.cluster, settings.confirm_s} {}

Agent::Parts::~Parts() {
  {
    const std::lock_guard lock{front_mutex};
    ended = true;
  }
  wake.notify_all();
  handoff.close();
  sync_listener.reset();
  compat_listener.reset();
  if (thread.joinable()) thread.join();
}

std::string Agent::Parts::open() {
  for (std::string& sentence : store.load()) note(true, std::move(sentence));
  for (std::string& sentence : compat_store.load()) note(true, std::move(sentence));
  if (const auto known = store.identity()) {
    identity = *known;
  } else {
    identity.node_id = http::hex(http::random_256()).substr(0, 32);
    if (std::string why = store.write(identity); !why.empty()) return why;
  }
  certificate = settings.certificate.empty() ? shared_files.path("node.pem").string() : settings.certificate;
  key = settings.key.empty() ? shared_files.path("node.key").string() : settings.key;
  if (settings.certificate.empty())
    if (std::string why =
            make_own_key(shared_files, "node.pem", "node.key", "pfsyncd " + identity.node_id.substr(0, 8));
        !why.empty())
      return why;
  const auto own = key_of(certificate);
  if (!own) return "config_sync.certificate " + certificate + " cannot be read: give a PEM file that pfsyncd may read";
  own_key = *own;
  pin = read_pin(shared_files);
  sender = Sender{identity.node_id, settings.cluster, settings.confirm_s};
  if (settings.role == Role::primary) begin_primary();
  if (settings.role != Role::primary) {
    if (std::string why = remember_file(); !why.empty()) return why;
  }
  receiver.set_identity(identity);
  if (std::string why = open_doors(); !why.empty()) return why;
  publish();
  return "";
}

void Agent::Parts::note(bool warning, std::string sentence) { audit.add(time_s(), warning, std::move(sentence)); }

/// What the file's own shared part is while it has no say: should this node become primary, it has none before it is
/// changed. Or why that cannot be written down.
std::string Agent::Parts::remember_file() {
  const auto own = extract(toml, file);
  std::string digest = std::holds_alternative<Sections>(own) ? file_digest_of(std::get<Sections>(own)) : "";
  if (!identity.was_primary && digest == identity.file_digest) return "";
  identity.was_primary = false;
  identity.file_digest = std::move(digest);
  receiver.set_identity(identity);
  return store.write(identity);
}

/// A node that becomes primary begins an epoch, so that what it says counts above all that was said before.
void Agent::Parts::begin_primary() {
  const std::uint64_t applied_epoch = store.current() ? store.current()->revision.epoch : 0;
  const bool promoted = !identity.was_primary;
  if (promoted) {
    identity.epoch = std::max(identity.epoch, applied_epoch) + 1;
    identity.was_primary = true;
    note(false, "this node is primary, of epoch " + std::to_string(identity.epoch));
    if (std::string why = store.write(identity); !why.empty()) note(true, std::move(why));
  }
  auto sections = extract(toml, file);
  if (auto* why = std::get_if<std::string>(&sections)) {
    extract_error = *why;
    note(true, "nothing can be pushed: " + extract_error);
    return;
  }
  const auto& own = std::get<Sections>(sections);
  const auto& current = store.current();
  Sections wanted = own;
  std::string source = from_file, overruled;
  if (current && is_rolled_back(*current, toml, file)) {
    wanted = current->revision.sections;
    wanted["node"] = own.at("node");
    source = current->source;
    overruled = current->file_digest;
  } else if (current && is_promoted(*current, identity, toml, file)) {
    auto taken = promote(toml, file, current->revision.sections);
    if (auto* made = std::get_if<Promoted>(&taken)) {
      tell_promotion(current->revision, made->text);
      wanted = std::move(made->sections);
      source = "promotion";
      overruled = file_digest_of(own);
    } else {
      note(true, "what the former primary pushed does not fit this file, which is in force alone: " +
                     std::get<Problem>(taken).sentence);
    }
  }
  const bool is_ours =
      current && current->revision.origin == identity.node_id && current->revision.epoch == identity.epoch;
  if (is_ours && current->revision.sections == wanted) {
    sender.offer(current->revision, true, now());
    return;
  }
  offer_sections(wanted, source, toml, overruled, now());
  // The daemon has started with it.
  std::string why = store.stage(offer->stored);
  if (why.empty()) why = store.commit();
  if (why.empty()) why = store.confirm();
  if (!why.empty()) note(true, std::move(why));
  sender.offer(offer->stored.revision, true, now());
  offer.reset();
}

/// The operator needs the text that is in force, to go on from it in the file.
void Agent::Parts::tell_promotion(const Revision& theirs, const std::string& text) {
  std::string where = shared_files.path("shared.toml").string();
  try {
    shared_files.write("shared.toml", text);
  } catch (const std::exception& error) {
    note(true, std::string{"the shared part cannot be written down: "} + error.what());
  }
  note(true, "this node was made primary: generation " + std::to_string(theirs.generation) + " of node " +
                 theirs.origin.substr(0, 8) + " stays in force until the shared part of " + file +
                 " is changed: its text is in " + where + ", to be put there");
}

void Agent::Parts::offer_sections(const Sections& sections, const std::string& source, std::string text,
                                  std::string file_digest, Instant at) {
  const std::uint64_t last = store.current() ? store.current()->revision.generation : 0;
  identity.generation = std::max(identity.generation, last) + 1;
  if (std::string why = store.write(identity); !why.empty()) note(true, std::move(why));
  receiver.set_identity(identity);
  Stored stored{.revision = {.origin = identity.node_id,
                             .epoch = identity.epoch,
                             .generation = identity.generation,
                             .sections = sections},
                .source = source,
                .time_s = time_s(),
                .file_digest = std::move(file_digest)};
  sender.offer(stored.revision, false, at);
  offer = Offer{std::move(stored), std::move(text)};
}

/// This node's own half of a change, between the other's stage and commit.
void Agent::Parts::apply_offer(Instant at) {
  if (!offer) return sender.applied(true, at);
  std::string why = store.stage(offer->stored);
  if (why.empty()) why = store.commit();
  if (!why.empty()) note(true, std::exchange(why, ""));  // the file holds it too: this node goes on
  // A file comes into force as far as it can, as every reload does; what an operator orders by name, as a whole.
  const bool is_file = offer->stored.source == from_file;
  const Applied applied =
      apply([this] { return wanted_of(offer->toml, offer->stored); }, is_file ? Demand::possible : Demand::shared);
  std::string held = applied.refusal;
  // The other node is not given now what this one has only after a restart: both would speak for other addresses.
  if (held.empty() && !shared_among(applied.restart).empty())
    held = "a restart of this node is needed for: " + joined(applied.restart, ", ") +
           "; the other node is given the change then";
  if (held.empty())
    why = store.confirm();
  else if (store.is_pending())
    why = store.roll_back();
  if (applied.refusal.empty()) toml = offer->toml;
  if (held.empty() || is_file) not_applied = held;
  if (!why.empty()) note(true, std::move(why));
  if (!held.empty()) note(true, "the new configuration is not in force, here and there: " + held);
  if (!held.empty() && waiting) finish(std::exchange(waiting, std::nullopt)->number, false, held);
  offer.reset();
  sender.applied(held.empty(), at);
}

/// Under `mutex`: a text that came into force. Whoever combines needs it, and the agent's thread, whose task it is, may
/// be waiting for the other node.
void Agent::Parts::take_text() {
  {
    const std::lock_guard front{front_mutex};
    if (!reload || !reload->is_in_force) return;
    toml = std::exchange(reload, std::nullopt)->toml;
  }
  if (offer && says_what_is_offered()) {
    offer->toml = toml;
  } else if (offer) {
    // The file was changed back while the other node was asked: it is offered next.
    const std::lock_guard front{front_mutex};
    if (!reload) reload = Reload{toml, false};
  }
  if (settings.role != Role::primary)
    if (std::string why = remember_file(); !why.empty()) note(true, std::move(why));
  // Whatever was refused of another text: this one is in force, and its shared part is what is offered.
  not_applied.clear();
  extract_error.clear();
}

bool Agent::Parts::says_what_is_offered() const {
  if (offer->stored.source != from_file) return true;
  const auto own = extract(toml, file);
  const auto* sections = std::get_if<Sections>(&own);
  return sections != nullptr && digest_of(*sections) == offer->stored.revision.digest();
}

bool Agent::Parts::has_text() {
  const std::lock_guard front{front_mutex};
  return reload && reload->is_in_force;
}

std::variant<Config, std::string> Agent::Parts::wanted_of(const std::string& text,
                                                          const std::optional<Stored>& shared) const {
  return in_force(text, file, {identity, shared, compat_store.current()}, settings.role);
}

std::variant<Config, std::string> Agent::Parts::combined(const Sections* shared, bool transform) const {
  auto both = combine(toml, file, shared, transform, compat_in_force());
  if (auto* problem = std::get_if<Problem>(&both)) return std::move(problem->sentence);
  return std::move(std::get<Effective>(both).config);
}

/// Made when it is applied and not before: while the other node is asked, the file may be read again and a firewall
/// may push, and neither must be undone.
Applied Agent::Parts::apply(const Make& make, Demand demand) {
  constexpr int tries = 4;
  Applied applied;
  bool overtaken = true;
  for (int i = 0; overtaken && i < tries; ++i) {
    take_text();
    auto wanted = make();
    if (auto* why = std::get_if<std::string>(&wanted)) return {.refusal = std::move(*why)};
    overtaken = false;
    applied.refusal = "the daemon was busy for too long: try again";
    const auto work = [&]() noexcept {
      try {
        overtaken = has_text();
        if (overtaken) return;
        applied = daemon.apply(std::get<Config>(wanted), demand);
        // For a reload that comes before publish(). Whoever holds `mutex` waits here.
        const std::lock_guard front{front_mutex};
        if (applied.refusal.empty()) told.kept = {identity, store.current(), compat_store.current()};
      } catch (const std::exception& error) {
        applied.refusal = error.what();
      }
    };
    static_cast<void>(handoff.run(work, apply_patience));
  }
  return applied;
}

Ground Agent::Parts::ground() {
  return {.check = [this](const Sections& sections, std::vector<std::string>& notes) -> std::optional<Problem> {
            if (auto problem = check_peers(toml, file, sections)) return problem;
            auto both = combine(toml, file, &sections, true, compat_in_force());
            if (auto* problem = std::get_if<Problem>(&both)) return std::move(*problem);
            notes = std::move(std::get<Effective>(both).notes);
            return std::nullopt;
          },
          .apply = [this](const Sections* sections) -> std::optional<std::string> {
            std::string refusal = apply([&] { return combined(sections, true); }, Demand::shared).refusal;
            return refusal.empty() ? std::nullopt : std::optional{std::move(refusal)};
          }};
}

std::pair<const Sections*, bool> Agent::Parts::shared_in_force() const {
  const auto& current = store.current();
  if (!current) return {nullptr, false};
  if (settings.role == Role::secondary) return {&current->revision.sections, true};
  const bool counts = settings.role == Role::primary && is_rolled_back(*current, toml, file);
  return {counts ? &current->revision.sections : nullptr, false};
}

const std::string* Agent::Parts::compat_in_force() const {
  if (!settings.compat || !compat_store.current()) return nullptr;
  const auto found = compat_store.current()->revision.sections.find("carp");
  return found == compat_store.current()->revision.sections.end() ? nullptr : &found->second;
}

ClientTls Agent::Parts::client_tls() const {
  return {
      .certificate = certificate,
      .key = key,
      .ca = settings.ca,
      .accept = [this, pinned = pin](const KeyHash& shown) -> std::string {
        if (!settings.ca.empty()) return "";
        if (!pinned) return "this node is not paired yet: run pfsyncctl config pair on both nodes";
        if (*pinned == shown) return "";
        return "the other node's key is not the one that it was paired with (wrong pin): if it was set up anew, run "
               "pfsyncctl config pair on both nodes";
      }};
}

void Agent::Parts::exchange(Sender::Step step, std::unique_lock<std::mutex>& lock) {
  const xmlrpc::Call call = sender.call(step, receiver.hello());
  const std::string body = xmlrpc::encode_call(call.method, call.params);
  if (body.size() > body_bytes_max)
    return sender.done(step, Sender::Lost{"the configuration is too large to be pushed (122)"}, now());
  const ClientTls tls = client_tls();
  lock.unlock();
  const auto posted = post(*settings.peer, tls, "/sync", body, call_patience);
  Sender::Result result;
  if (const auto* why = std::get_if<std::string>(&posted)) {
    result = Sender::Lost{*why};
  } else if (const auto& answer = std::get<Posted>(posted); answer.status != 200) {
    result = Sender::Lost{"the other node answered with HTTP status " + std::to_string(answer.status)};
  } else {
    auto response = decode_answer(answer.body);
    if (auto* value = std::get_if<xmlrpc::Value>(&response)) result = std::move(*value);
    if (auto* fault = std::get_if<xmlrpc::Fault>(&response)) result = std::move(*fault);
    if (const auto* broken = std::get_if<xmlrpc::Broken>(&response))
      result = Sender::Lost{"the other node's answer cannot be read: " + broken->sentence};
  }
  lock.lock();
  sender.done(step, result, now());
  if (step == Sender::Step::hello && sender.peer_is_secondary()) receiver.heard_secondary(sender.peer_id());
}

void Agent::Parts::look_at_sender() {
  if (sender.pushes() != last_pushes && sender.is_in_sync()) {
    last_pushes = sender.pushes();
    last_push_s = time_s();
    note(false, "pushed generation " + std::to_string(sender.offered()->generation) + " to node " +
                    sender.peer_id().substr(0, 8));
    for (const std::string& change : sender.changes()) note(false, "changed on the other node: " + change);
    for (const std::string& warning : sender.warnings()) note(false, "the other node says: " + warning);
  }
  if (sender.error() != last_error) {
    last_error = sender.error();
    if (!last_error.empty()) note(true, "not pushed: " + last_error);
  }
  if (!sender.offered() && settings.role == Role::primary && store.current() && extract_error.empty())
    sender.offer(store.current()->revision, true, now());  // after a configuration that could not be applied
  if (!waiting) return;
  if (sender.is_in_sync())
    finish(std::exchange(waiting, std::nullopt)->number, true,
           "both nodes hold generation " + std::to_string(sender.offered()->generation));
  else if (sender.failures() != waiting->failures)
    finish(std::exchange(waiting, std::nullopt)->number, false, sender.error());
}

/// Takes what other threads left in front.
void Agent::Parts::take_over() {
  take_text();
  std::optional<Reload> again;
  bool up = false;
  {
    const std::lock_guard front{front_mutex};
    if (reload && !reload->is_in_force) again = std::exchange(reload, std::nullopt);
    up = std::exchange(link_came_up, false);
  }
  if (up) sender.link_up(now());
  if (!again) return;
  auto sections = extract(again->toml, file);
  if (auto* why = std::get_if<std::string>(&sections)) {
    // The other node cannot be told; this one goes ahead.
    extract_error = *why;
    note(true, "not pushed: " + extract_error);
    const std::string refusal =
        apply([&] { return wanted_of(again->toml, store.current()); }, Demand::possible).refusal;
    if (!refusal.empty()) note(true, "the new configuration is not in force: " + refusal);
    if (refusal.empty()) toml = std::move(again->toml);
    return;
  }
  extract_error.clear();
  offer_sections(std::get<Sections>(sections), from_file, std::move(again->toml), "", now());
  publish();  // what a reload is compared with from now on, while the other node is asked
}

void Agent::Parts::run() {
  for (;;) {
    std::deque<std::pair<std::uint64_t, Order>> ordered;
    {
      std::unique_lock front{front_mutex};
      wake.wait_for(front, look_every, [this] { return ended || link_came_up || reload || !orders.empty(); });
      if (ended) return;
      ordered.swap(orders);
    }
    std::unique_lock lock{mutex};
    take_over();
    for (const auto& [number, order] : ordered) carry_out(number, order, lock);
    receiver.tick(now(), time_s());
    pairing.tick(now());
    pair_on(lock);
    // A bounded number of steps, so that orders are not kept waiting.
    for (int steps = 0; steps < 8 && settings.role == Role::primary; ++steps) {
      const Sender::Step step = sender.step(now());
      if (step == Sender::Step::none) break;
      if (step == Sender::Step::apply) {
        apply_offer(now());
        publish();  // the other node's answer to what follows may take seconds
      } else {
        exchange(step, lock);
      }
      look_at_sender();
    }
    look_at_sender();
    publish();
  }
}

// --- for the control thread --------------------------------------------------------------------------

Agent::Agent(std::unique_ptr<Parts> parts) : parts_{std::move(parts)} {}
Agent::~Agent() = default;

std::variant<std::unique_ptr<Agent>, std::string> Agent::create(const Config& config, std::string toml,
                                                                std::string file, Daemon daemon) {
  auto parts = std::make_unique<Parts>(config, std::move(toml), std::move(file), std::move(daemon));
  if (std::string why = parts->open(); !why.empty()) return why;
  // Signals are the control thread's.
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  parts->thread = std::thread{[inside = parts.get()] {
    pthread_setname_np(pthread_self(), "pfsyncd-sync");
    inside->run();
  }};
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  return std::unique_ptr<Agent>{new Agent{std::move(parts)}};
}

void Agent::serve() {
  parts_->handoff.serve();
  std::vector<Record> lines;
  {
    const std::lock_guard front{parts_->front_mutex};
    lines.swap(parts_->told.lines);
  }
  for (const Record& line : lines) parts_->daemon.log(line.warning, "config sync: " + line.sentence);
}

void Agent::link_up() {
  {
    const std::lock_guard front{parts_->front_mutex};
    parts_->link_came_up = true;
  }
  parts_->wake.notify_all();
}

std::variant<Wanted, std::string> Agent::reload(const Config& config, const std::string& toml) {
  Kept kept;
  std::string digest;
  {
    const std::lock_guard front{parts_->front_mutex};
    kept = parts_->told.kept;
    digest = parts_->told.digest;
  }
  auto combined = in_force(toml, parts_->file, kept, parts_->settings.role);
  if (auto* why = std::get_if<std::string>(&combined)) return std::move(*why);
  auto& wanted = std::get<Config>(combined);
  const bool is_primary =
      config.config_sync && config.config_sync->role == Role::primary && parts_->settings.role == Role::primary;
  if (!is_primary || (kept.shared && is_rolled_back(*kept.shared, toml, parts_->file)))
    return Wanted{std::move(wanted)};
  const auto sections = extract(toml, parts_->file);
  const auto* shared = std::get_if<Sections>(&sections);
  if (shared != nullptr && digest_of(*shared) == digest) return Wanted{std::move(wanted)};
  {
    const std::lock_guard front{parts_->front_mutex};
    parts_->reload = Parts::Reload{toml, false};
  }
  parts_->wake.notify_all();
  return Wanted{std::move(wanted), false};
}

void Agent::follow(std::string toml, const std::vector<std::string>& restart) {
  if (is_decisive(restart) && parts_->settings.role != Role::primary) return;
  {
    const std::lock_guard front{parts_->front_mutex};
    parts_->reload = Parts::Reload{std::move(toml), true};
  }
  parts_->wake.notify_all();
}

std::variant<std::uint64_t, std::string> Agent::order(const Order& order) {
  constexpr std::size_t orders_max = 8;
  std::uint64_t number = 0;
  {
    const std::lock_guard front{parts_->front_mutex};
    if (parts_->orders.size() >= orders_max) return "too many orders wait: try again";
    number = ++parts_->orders_taken;
    parts_->orders.emplace_back(number, order);
  }
  parts_->wake.notify_all();
  return number;
}

std::string Agent::cannot_ask() const {
  return parts_->settings.peer ? "" : "config_sync.peer is not given here: ask on the node that has it";
}

std::variant<std::string, Agent::Unasked> Agent::compare(const std::string& request, milliseconds patience) {
  if (std::string why = cannot_ask(); !why.empty()) return Unasked{std::move(why)};
  ClientTls tls;
  {
    const std::lock_guard lock{parts_->mutex};
    tls = parts_->client_tls();
  }
  auto posted = post(*parts_->settings.peer, tls, "/divergence", request, patience, "application/octet-stream");
  if (auto* why = std::get_if<std::string>(&posted)) return Unasked{std::move(*why)};
  auto& answer = std::get<Posted>(posted);
  if (answer.status == 200) return std::move(answer.body);
  if (answer.status == 404) return Unasked{"the other node cannot compare tables: give both the same pfsyncd"};
  return Unasked{"the other node answered with HTTP status " + std::to_string(answer.status)};
}

Json Agent::status() const {
  const std::lock_guard front{parts_->front_mutex};
  Json status = parts_->told.status;
  Json& results = status["orders"] = Json::object();
  for (const auto& [number, result] : parts_->told.results) results[std::to_string(number)] = result;
  return status;
}

}  // namespace pfsync::engine::config_sync
