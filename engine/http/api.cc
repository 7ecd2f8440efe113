#include "engine/http/api.h"

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>

#include "engine/http/metrics.h"
#include "engine/http/page/page_files.h"
#include "engine/http/words.h"

namespace pfsync::engine::http {
namespace {

constexpr std::string_view show_path = "/api/show/";
constexpr int depth_max = 8;
constexpr std::size_t path_kept = 100;
constexpr std::uint64_t states_max = 100;  ///< of one answer; its cursor leads on

/// What every answer carries: the page is all there is, from here, alone in its window.
constexpr std::array<std::pair<const char*, const char*>, 6> always{{
    {"Content-Security-Policy", "default-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"},
    {"X-Content-Type-Options", "nosniff"},
    {"X-Frame-Options", "DENY"},
    {"Referrer-Policy", "no-referrer"},
    {"Cross-Origin-Opener-Policy", "same-origin"},
    {"Cross-Origin-Resource-Policy", "same-origin"},
}};

bool has(const Response& response, std::string_view name) {
  return std::any_of(response.headers.begin(), response.headers.end(),
                     [&](const auto& header) { return header.first == name; });
}

Response json_response(const Json& json, int status = 200) {
  Response response{.status = status};
  response.body = json.dump(-1, ' ', false, Json::error_handler_t::replace) + "\n";
  return response;
}

bool reads(const Request& request) { return request.method == "GET" || request.method == "HEAD"; }

Response wrong_method(const char* allowed) {
  Response response = refusal(405, std::string{"this takes "} + allowed + " only");
  response.headers.emplace_back("Allow", allowed);
  return response;
}

/// What only users may see, also where anyone may look: what costs a walk through the table, and how this is set up.
bool is_for_users(const Json& show) {
  const auto digest = show.find("digest");
  return (digest != show.end() && *digest != false) || show["what"] == "config";
}

/// A thousand states, as pfsyncctl may ask for, take the control thread tens of milliseconds: not for whoever may look.
void bound(Json& show) {
  if (show["what"] != "states") return;
  Json& limit = show["limit"];
  if (limit.is_null() || (limit.is_number_unsigned() && limit > states_max)) limit = states_max;
}

std::string text_at(const Json& json, const char* key) {
  const auto found = json.find(key);
  return found != json.end() && found->is_string() ? found->get<std::string>() : "";
}

}  // namespace

std::variant<Json, Response> body_of(const Request& request) {
  const std::string type = lower(request.header("Content-Type"));
  if (type.substr(0, type.find(';')) != "application/json")
    return refusal(415, "the body must be JSON, with Content-Type: application/json");
  bool too_deep = false;
  const auto bounded = [&](int depth, Json::parse_event_t, const Json&) {
    too_deep |= depth > depth_max;
    return !too_deep;
  };
  Json json = Json::parse(request.body, bounded, false);
  if (too_deep || !json.is_object()) return refusal(400, "the body must be one JSON object");
  return json;
}

Response Api::operator()(const Request& request) {
  Response response = route(request, Clock::now());
  // A password that was wrong in passing; what is tried at the doors of changes is written down there.
  if (response.status == 401 && reads(request) && !request.header("Authorization").empty())
    record(request, {}, {{"action", "look"}, {"path", request.path.substr(0, path_kept)}}, response);
  for (const auto& [name, value] : always) response.headers.emplace_back(name, value);
  if (!has(response, "Cache-Control")) response.headers.emplace_back("Cache-Control", "no-store");
  return response;
}

Response Api::route(const Request& request, Clock::time_point now) {
  if (auto refused = parts_.access.refuse_host(request)) return *refused;
  if (page_file(request.path) != nullptr) return reads(request) ? page(request) : wrong_method("GET, HEAD");
  if (request.path.starts_with(show_path))
    return reads(request) ? show(request, std::string_view{request.path}.substr(show_path.size()), now)
                          : wrong_method("GET, HEAD");
  if (request.path == "/metrics") return reads(request) ? metrics(request, now) : wrong_method("GET, HEAD");
  if (request.path == "/api/session") return reads(request) ? session(request, now) : wrong_method("GET, HEAD");
  const auto post = [&](Response (Api::*what)(const Request&, Clock::time_point)) {
    return request.method == "POST" ? (this->*what)(request, now) : wrong_method("POST");
  };
  if (request.path == "/api/command") return post(&Api::command);
  if (request.path == "/api/login") return post(&Api::login);
  if (request.path == "/api/logout") return post(&Api::logout);
  return refusal(404, "there is nothing of that name here");
}

Response Api::page(const Request& request) const {
  const PageFile& file = *page_file(request.path);
  Response response;
  response.content_type = file.content_type;
  response.headers.emplace_back("Cache-Control", "no-cache");
  response.headers.emplace_back("ETag", file.etag);
  if (request.header("If-None-Match") == file.etag)
    response.status = 304;
  else
    response.body = file.bytes;
  return response;
}

std::variant<Json, Response> Api::ask(Json request) {
  if (auto answer = parts_.mailbox.post(std::move(request), parts_.patience)) return std::move(*answer);
  Response response = refusal(503, "pfsyncd is busy: try again in a second");
  response.headers.emplace_back("Retry-After", "1");
  return response;
}

Response Api::show(const Request& request, std::string_view what, Clock::time_point now) {
  const auto who = parts_.access.identify(request, now);
  if (const auto* refused = std::get_if<Response>(&who)) return *refused;
  const auto& identity = std::get<Identity>(who);
  if (auto refused = parts_.access.refuse_read(identity)) return *refused;
  auto wanted = show_request(what, request.query);
  if (const auto* why = std::get_if<std::string>(&wanted)) return refusal(400, *why);
  Json& show = std::get<Json>(wanted);
  bound(show);
  if (is_for_users(show) && identity.proof == Proof::none) return refusal(401, "only users may see this: log in");
  const auto answer = ask(show);
  if (const auto* refused = std::get_if<Response>(&answer)) return *refused;
  const Json& json = std::get<Json>(answer);
  return json_response(json, json.value("ok", false) ? 200 : 400);
}

void Api::record(const Request& request, const Identity& identity, const Json& what, const Response& answer) {
  const bool done = answer.status < 400, is_known = done || identity.proof != Proof::none;
  if (!is_known) {
    const std::lock_guard lock{refusals_mutex_};
    if (!refusals_.take(Clock::now())) return;
  }
  Json entry{{"address", request.address}, {"user", identity.user}, {"proof", word(identity.proof)}};
  entry.update(masked(what));
  entry["ok"] = done;
  if (!done) entry["status"] = answer.status;
  const Json said = Json::parse(answer.body, nullptr, false);
  if (said.is_object() && !text_at(said, "error").empty()) entry["error"] = said["error"];
  if (!(is_known ? parts_.done : parts_.refused).record(entry))
    parts_.log("http: the audit log cannot be written: give control.state_dir a folder with space in it");
  if (is_known) parts_.log("http: " + entry.dump(-1, ' ', true, Json::error_handler_t::replace));
}

Response Api::command(const Request& request, Clock::time_point now) {
  const auto who = parts_.access.identify(request, now);
  if (const auto* refused = std::get_if<Response>(&who)) return *refused;
  const auto& identity = std::get<Identity>(who);
  const auto run = [&](Json& what) -> Response {
    if (auto refused = Access::refuse_change(request, identity)) return *refused;
    auto body = body_of(request);
    if (const auto* refused = std::get_if<Response>(&body)) return *refused;
    what["request"] = std::get<Json>(body);
    if (what["request"].value("command", Json{}) == "show") return refusal(400, "to look, use GET /api/show/…");
    const auto answer = ask(what["request"]);
    if (const auto* refused = std::get_if<Response>(&answer)) return *refused;
    const Json& json = std::get<Json>(answer);
    return json_response(json, json.value("ok", false) ? 200 : 409);
  };
  Json what{{"action", "command"}};
  Response response = run(what);
  record(request, identity, what, response);
  return response;
}

Response Api::session(const Request& request, Clock::time_point now) {
  const auto who = parts_.access.identify(request, now);
  if (const auto* refused = std::get_if<Response>(&who)) return *refused;
  const auto& identity = std::get<Identity>(who);
  const auto or_null = [](const std::string& text) { return text.empty() ? Json(nullptr) : Json(text); };
  return json_response({{"ok", true},
                        {"user", or_null(identity.user)},
                        {"proof", word(identity.proof)},
                        {"csrf", or_null(identity.csrf)},
                        {"read", !parts_.access.refuse_read(identity).has_value()},
                        {"version", parts_.version},
                        {"node", parts_.node}});
}

Response Api::login(const Request& request, Clock::time_point now) {
  if (auto refused = Access::refuse_site(request)) return *refused;
  auto body = body_of(request);
  if (const auto* refused = std::get_if<Response>(&body)) return *refused;
  const Json& given = std::get<Json>(body);
  const std::string user = text_at(given, "user"), password = text_at(given, "password");
  if (user.empty() || password.empty()) return refusal(400, "\"user\" and \"password\" must be texts");
  auto result = parts_.access.login(request, user, password, now);
  const Json what{{"action", "login"}, {"as", user.substr(0, user_name_max)}};
  if (auto* refused = std::get_if<Response>(&result)) {
    // What the limit refused was not tried: it is counted, not written down.
    if (refused->status != 429) record(request, {}, what, *refused);
    return *refused;
  }
  const auto& [token, session] = std::get<Access::Login>(result);
  Response response = json_response({{"ok", true}, {"user", session.user}, {"csrf", session.csrf}});
  response.headers.emplace_back("Set-Cookie", Access::cookie_name(request.local_port) + "=" + token +
                                                  "; Path=/; Secure; HttpOnly; SameSite=Strict");
  record(request, {Proof::session, session.user, ""}, what, response);
  return response;
}

Response Api::logout(const Request& request, Clock::time_point now) {
  const auto who = parts_.access.identify(request, now);
  if (const auto* refused = std::get_if<Response>(&who)) return *refused;
  const auto& identity = std::get<Identity>(who);
  if (auto refused = Access::refuse_change(request, identity)) return *refused;
  parts_.access.logout(request);
  Response response = json_response({{"ok", true}});
  response.headers.emplace_back("Set-Cookie", Access::cookie_name(request.local_port) +
                                                  "=; Path=/; Secure; HttpOnly; SameSite=Strict; Max-Age=0");
  record(request, identity, {{"action", "logout"}}, response);
  return response;
}

Response Api::metrics(const Request& request, Clock::time_point now) {
  const auto who = parts_.access.identify(request, now);
  if (const auto* refused = std::get_if<Response>(&who)) return *refused;
  if (auto refused = parts_.access.refuse_read(std::get<Identity>(who))) return *refused;
  Measured measured;
  for (const auto& [what, into] :
       {std::pair{"status", &measured.status}, std::pair{"counters", &measured.counters},
        std::pair{"carp", &measured.carp}, std::pair{"config_sync", &measured.config_sync}}) {
    auto answer = ask({{"command", "show"}, {"what", what}, {"sentences", true}});
    if (const auto* refused = std::get_if<Response>(&answer)) return *refused;
    *into = std::move(std::get<Json>(answer));
  }
  const bool open = request.header("Accept").find("application/openmetrics-text") != std::string_view::npos;
  Response response;
  response.content_type =
      open ? "application/openmetrics-text; version=1.0.0; charset=utf-8" : "text/plain; version=0.0.4; charset=utf-8";
  response.body = metrics_text(measured, open ? MetricsForm::openmetrics : MetricsForm::prometheus);
  return response;
}

}  // namespace pfsync::engine::http
