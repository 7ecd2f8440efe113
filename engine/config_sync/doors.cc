#include <algorithm>
#include <charconv>

#include "engine/config_sync/faults.h"
#include "engine/config_sync/parts.h"
#include "engine/http/tls.h"
#include "engine/http/users.h"
#include "engine/http/words.h"
#include "engine/xmlrpc/codec.h"

namespace pfsync::engine::config_sync {
namespace {

constexpr const char* xml = "text/xml; charset=utf-8";
constexpr std::size_t method_kept = 100;  ///< bytes of its name in the audit log
constexpr std::size_t mib = std::size_t{1024} * 1024;
constexpr std::size_t compat_head_bytes = std::size_t{16} * 1024;
constexpr unsigned callers = 4;         ///< served at a time, at each door
constexpr unsigned callers_of_one = 3;  ///< of one address: it alone does not keep the others out
/// Of one request of a comparison of tables: the largest that engine/divergence makes.
constexpr std::size_t compare_body_bytes = std::size_t{128} * 1024;
constexpr const char* compare_path = "/divergence";
/// Of whoever has not shown the paired key: enough for pairing.
constexpr std::size_t stranger_body_bytes = std::size_t{16} * 1024;

http::Response response_of(const std::variant<xmlrpc::Value, xmlrpc::Fault>& answer) {
  const auto* value = std::get_if<xmlrpc::Value>(&answer);
  return {.content_type = xml,
          .body = value != nullptr ? xmlrpc::encode_response(*value)
                                   : xmlrpc::encode_fault(std::get<xmlrpc::Fault>(answer))};
}

/// Anything but a POST to the one path there is.
std::optional<http::Response> misdirected(const http::Request& request, std::string_view path) {
  if (request.path != path) return http::refusal(404, "there is nothing of that name here");
  if (request.method != "POST") return http::refusal(405, "only POST is taken here");
  return std::nullopt;
}

/// Whether a body's length is told, and is no more than that.
bool is_at_most(const http::Request& request, std::size_t most) {
  const std::string_view length = request.header("Content-Length");
  std::size_t bytes = 0;
  const auto [end, error] = std::from_chars(length.data(), length.data() + length.size(), bytes);
  return !length.empty() && error == std::errc{} && bytes <= most;
}

}  // namespace

std::string Agent::Parts::open_doors() {
  const auto log = [this](const std::string& sentence) {
    const std::lock_guard front{front_mutex};
    if (told.lines.size() < Audit::kept) told.lines.push_back({time_s(), true, sentence});
  };
  if (settings.listen) {  // without a role, too: for pairing, and for comparing tables
    http::ListenerSettings listener{
        .address = settings.listen->address,
        .port = settings.listen->port,
        .tls = {
            .certificate = certificate, .key = key, .only_1_3 = true, .client = http::TlsSettings::Client::required}};
    listener.limits.workers = callers;
    listener.limits.per_address = callers_of_one;
    listener.limits.body_bytes = body_bytes_max;
    listener.tls.client_ca = settings.ca;
    if (settings.ca.empty())
      listener.tls.accept = [this](const http::PeerCertificate& shown) -> std::string {
        const std::lock_guard front{front_mutex};
        if (told.pairing) return "";
        if (!told.pin) return "this node is not paired yet: run pfsyncctl config pair on both nodes";
        if (*told.pin == shown.key) return "";
        return "its key is not the one that the other node was paired with (wrong pin)";
      };
    auto made = http::Listener::create(
        listener, [this](const http::Request& request) { return serve_sync(request); }, log,
        [this](const http::Request& request) { return judge_sync(request); });
    if (auto* why = std::get_if<std::string>(&made)) return "config_sync.listen: " + *why;
    sync_listener = std::move(std::get<0>(made));
  }
  if (settings.compat) {
    const CompatSettings& compat = *settings.compat;
    http::ListenerSettings listener{.address = compat.listen.address,
                                    .port = compat.listen.port,
                                    .tls = {.certificate = compat.certificate, .key = compat.key}};
    if (compat.certificate.empty()) {
      listener.tls.certificate = compat_files.path("web.pem").string();
      listener.tls.key = compat_files.path("web.key").string();
      if (std::string why = http::make_self_signed(listener.tls.certificate, listener.tls.key, {compat.listen.address});
          !why.empty())
        return why;
    }
    listener.limits.workers = callers;
    listener.limits.per_address = callers_of_one;
    listener.limits.head_bytes = compat_head_bytes;
    listener.limits.body_bytes = compat.body_mib * mib;
    listener.limits.request = std::chrono::seconds{30};
    auto made = http::Listener::create(
        listener, [this](const http::Request& request) { return serve_compat(request); }, log,
        [this](const http::Request& request) { return judge_compat(request); });
    if (auto* why = std::get_if<std::string>(&made)) return "config_sync.compat.listen: " + *why;
    compat_listener = std::move(std::get<0>(made));
  }
  return "";
}

std::vector<Agent::Count> Agent::counts() const {
  std::vector<Count> counts;
  const auto add = [&counts](const http::Listener* listener, const char* door, const char* sentence) {
    if (listener == nullptr) return;
    for (const auto& count : listener->counts())
      counts.push_back({door + std::string{count.word.substr(count.word.find('_'))},
                        std::string{count.sentence} + sentence, count.value});
  };
  add(parts_->sync_listener.get(), "config_sync", ", at the other node's door");
  add(parts_->compat_listener.get(), "compat", ", at the firewall's door");
  return counts;
}

bool Agent::Parts::is_paired_with(const http::Request& request) const {
  const std::lock_guard front{front_mutex};
  return told.pin && *told.pin == request.certificate->key;
}

/// Before the body is read.
std::optional<http::Response> Agent::Parts::judge_sync(const http::Request& request) const {
  const bool is_comparison = request.path == compare_path && daemon.compare;
  if (auto refused = misdirected(request, is_comparison ? compare_path : "/sync")) return refused;
  if (!request.certificate) return http::refusal(403, "a certificate is needed here");
  const bool is_trusted = !settings.ca.empty() || is_paired_with(request);
  if (is_comparison) {
    if (!is_trusted) return http::refusal(403, "this node is not paired with the caller");
    if (!is_at_most(request, compare_body_bytes))
      return http::refusal(413, "a request of a comparison may have " + std::to_string(compare_body_bytes) +
                                    " bytes, with their Content-Length");
    return std::nullopt;
  }
  if (is_trusted) return std::nullopt;
  if (!is_at_most(request, stranger_body_bytes))
    return http::refusal(413, "a node that is not paired may send " + std::to_string(stranger_body_bytes) +
                                  " bytes, with their Content-Length");
  return std::nullopt;
}

http::Response Agent::Parts::serve_sync(const http::Request& request) {
  if (request.path == compare_path)
    return {.content_type = "application/octet-stream", .body = daemon.compare(request.body)};
  const auto decoded =
      xmlrpc::decode_call(request.body, {.bytes = body_bytes_max, .depth = door_depth_max, .values = door_values_max});
  const std::lock_guard lock{mutex};
  take_text();
  std::variant<xmlrpc::Value, xmlrpc::Fault> answer;
  const bool trusted = !settings.ca.empty() || (pin && *pin == request.certificate->key);
  const auto* call = std::get_if<xmlrpc::Call>(&decoded);
  if (call == nullptr)
    answer = std::get<xmlrpc::Fault>(decoded);
  else if (call->method == "hasync.pair" || !trusted)
    answer = pairing.asked(*call, request.certificate->key);
  else
    answer = receiver.call(*call, now(), time_s());
  if (trusted && call != nullptr && call->method == "hasync.commit") {
    const auto* refused = std::get_if<xmlrpc::Fault>(&answer);
    record(request, request.certificate->common_name, "certificate", call->method,
           refused == nullptr ? "" : refused->text);
  }
  publish();
  return response_of(answer);
}

/// In audit.log, beside what users of the page have changed. `why` not; empty: it is in force.
void Agent::Parts::record(const http::Request& request, const std::string& user, const char* proof,
                          const std::string& what, const std::string& why) {
  Json entry{{"address", request.address},      {"user", user},     {"proof", proof}, {"action", "config_sync"},
             {"request", Json{{"call", what}}}, {"ok", why.empty()}};
  if (!why.empty()) entry["error"] = why;
  if (!changes.record(entry))
    note(true, "the audit log cannot be written: give control.state_dir a folder with space in it");
}

/// Empty: the caller is who he says. Else what he is told.
std::string Agent::Parts::login(const http::Request& request) {
  const CompatSettings& compat = *settings.compat;
  if (!compat.sources.empty() &&
      std::find(compat.sources.begin(), compat.sources.end(), request.address) == compat.sources.end())
    return "this node takes no synchronization from " + request.address;
  const std::string source = http::source_of(request.address);
  const auto credentials = http::basic_of(request.header("Authorization"));
  if (!credentials) return "Invalid username or password";
  // One after the other: of two calls at once with the right password neither is a guess, and scrypt's memory is taken
  // once.
  const std::lock_guard turn{login_mutex};
  // The name may be anything that was sent: whoever is not the one user meets a password that nobody has.
  const auto users = http::load_users(users_file);
  const auto* known = std::get_if<http::Users>(&users);
  if (known == nullptr) return std::get<std::string>(users);
  const auto found = known->find(compat.user);
  const std::string both = credentials->user + '\0' + credentials->password;
  const http::Sha256 digest = http::hmac_sha256(login_secret, both);
  // What was right for the user as he is now stays right, whatever others try meanwhile.
  if (known_login && found != known->end() && known_login->hash == found->second && known_login->digest == digest)
    return "";
  const auto begun = http::LoginLimit::Clock::now();
  if (const auto wait = logins.begin(source, begun))
    return "too many wrong passwords: try again in " + std::to_string(wait->count()) + " s";
  static const http::PasswordHash nobody = http::hash_password(sha256_hex("nobody") + std::to_string(time_s()));
  const bool right = http::verifies(found == known->end() ? nobody : found->second, credentials->password);
  if (!right || found == known->end() || credentials->user != compat.user) return "Invalid username or password";
  logins.succeeded(source, begun);
  known_login = KnownLogin{digest, found->second};
  return "";
}

/// Before the body is read, which only the one user may make large. His firewall shows its operator the text of a
/// fault, but of another status than 200 only the number.
std::optional<http::Response> Agent::Parts::judge_compat(const http::Request& request) {
  if (auto refused = misdirected(request, "/xmlrpc.php")) return refused;
  const std::string why = login(request);
  if (why.empty()) return std::nullopt;
  const std::lock_guard lock{mutex};
  ++firewall.refused;
  if (refusals_told.take(http::source_of(request.address), http::Throttle::Clock::now()))
    note(true, "refused " + request.address + " at /xmlrpc.php: " + why);
  return http::Response{.content_type = xml, .body = compat_refusal(why)};
}

/// Of whom judge_compat() has let in.
http::Response Agent::Parts::serve_compat(const http::Request& request) {
  const auto decoded = xmlrpc::decode_call(request.body, {.bytes = settings.compat->body_mib * mib});
  if (const auto* fault = std::get_if<xmlrpc::Fault>(&decoded)) return response_of(*fault);
  const auto& call = std::get<xmlrpc::Call>(decoded);
  const std::lock_guard lock{mutex};
  CompatAnswer answer = answer_compat(call, settings);
  firewall.time_s = time_s();
  firewall.address = request.address;
  firewall.method = one_line(call.method);
  ++firewall.calls;
  if (!answer.ignored.empty() || answer.wanted) firewall.ignored = answer.ignored;
  for (std::string& alarm : answer.alarms) {
    alarm = one_line(std::move(alarm));
    note(true, alarm);
    firewall.alarms.add(std::move(alarm), now());
  }
  if (answer.wanted) {
    xmlrpc::Fault fault;
    const std::string* before = compat_in_force();
    const bool is_change = before == nullptr || *before != *answer.wanted;
    const std::string why = apply_compat(*answer.wanted, request.address, fault);
    if (is_change || !why.empty()) record(request, settings.compat->user, "basic", call.method, why);
    if (!why.empty()) {
      note(true, "refused the virtual addresses of " + request.address + ": " + why);
      answer.response = fault;
    }
  } else if (const auto* fault = std::get_if<xmlrpc::Fault>(&answer.response)) {
    note(true, "refused " + call.method + " of " + request.address + ": " + fault->text);
    record(request, settings.compat->user, "basic", call.method.substr(0, method_kept), fault->text);
  }
  publish();
  return response_of(answer.response);
}

/// Under the lock. Empty: they are in force.
std::string Agent::Parts::apply_compat(const std::string& wanted, const std::string& address, xmlrpc::Fault& fault) {
  const auto refused = [&fault](int code, const std::string& why) {
    fault = {code, why};
    return why;
  };
  const auto& current = compat_store.current();
  const std::string* before = compat_in_force();
  if (before != nullptr && *before == wanted) return "";
  take_text();
  const auto [shared, transform] = shared_in_force();
  const auto both = combine(toml, file, shared, transform, &wanted);
  if (const auto* problem = std::get_if<Problem>(&both)) return refused(fault::validation_failed, problem->sentence);
  const std::string source = "firewall " + address;
  const Stored next{.revision = {.origin = sha256_hex(source).substr(0, 32),
                                 .generation = current ? current->revision.generation + 1 : 1,
                                 .sections = {{"carp", wanted}}},
                    .source = source,
                    .time_s = time_s()};
  std::string why = compat_store.stage(next);
  if (why.empty()) why = compat_store.commit();
  std::string undone;
  if (!why.empty()) {
    undone = compat_store.roll_back();
    return refused(fault::apply_failed, why);
  }
  const auto make = [this] {
    const auto [sections, is_transformed] = shared_in_force();
    return combined(sections, is_transformed);
  };
  if (const std::string failed = apply(make, Demand::shared).refusal; !failed.empty()) {
    undone = compat_store.roll_back();
    return refused(fault::apply_failed, failed + ": rolled back" + undone);
  }
  if (const std::string kept = compat_store.confirm(); !kept.empty()) note(true, kept);
  note(false, "applied the virtual addresses of " + address);
  return "";
}

}  // namespace pfsync::engine::config_sync
