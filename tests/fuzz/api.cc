// What a browser or a program asks of the page's API, from behind the door for heads: paths, queries, cookies, Basic,
// CSRF tokens, bodies. Every answer is one that a browser can be given; and only who has shown who he is, with a token
// that no other site knows, from this site, changes anything or gets a session.
#include <algorithm>
#include <atomic>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <thread>
#include <variant>
#include <vector>

#include "engine/http/api.h"
#include "engine/http/head.h"
#include "engine/http/words.h"
#include "tests/engine/node.h"
#include "tests/engine/temporary_directory.h"
#include "tests/fuzz/check.h"
#include "tests/fuzz/mutate.h"

namespace pfsync::fuzz {
namespace {

using namespace engine::http;

constexpr ScryptCost cheap{.log2_n = 4, .r = 8, .p = 1};
constexpr std::string_view password = "correct horse";
constexpr std::string_view host = "fw.example:8443";
constexpr std::uint16_t port = 8443;

/// The control thread, for requests that wait.
class ControlThread {
 public:
  explicit ControlThread(Mailbox& mailbox) : mailbox_{mailbox} {}
  ~ControlThread() {
    ended_ = true;
    ask(true);
    thread_.join();
  }
  /// While it is asked, it serves.
  void ask(bool on) {
    asked_ = on;
    asked_.notify_one();
  }
  std::vector<Json> served;  ///< between ask(true) and the answer

 private:
  void run() {
    while (!ended_) {
      asked_.wait(false);
      mailbox_.serve(
          [this](const Json& request) {
            served.push_back(request);
            return engine::handle_request(request, node_.view(), node_.commands());
          },
          8, std::chrono::milliseconds{100});
      std::this_thread::yield();
    }
  }
  Mailbox& mailbox_;
  engine::test::Node node_{64};
  std::atomic<bool> asked_ = false, ended_ = false;
  std::thread thread_{[this] { run(); }};
};

class Target {
 public:
  Target() {
    check(save_users(directory_.file("users"), {{"ada", hash_password(password, cheap)}}).empty(),
          "users can be saved");
    begin();
  }

  void run(std::string_view input) {
    const Request request = request_of(input);
    control_.served.clear();
    control_.ask(true);
    const Response response = api_(request);
    control_.ask(false);
    check_response(request, response);
    check_served(request);
    if (access_.sessions() != 1) begin();
  }

 private:
  /// One session, of ada's, whose secrets an input names as $TOKEN and $CSRF.
  void begin() {
    Request request;
    request.headers = {{"Host", std::string{host}}};
    do {  // the limit of passwords counts by the clock
      auto result = access_.login(request, "ada", password, Access::Clock::now() + hours_++ * std::chrono::hours{1});
      if (auto* login = std::get_if<Access::Login>(&result)) login_ = std::move(*login);
    } while (access_.sessions() == 0);
  }

  [[nodiscard]] std::string filled(std::string_view text) const {
    std::string all{text};
    for (const auto& [name, value] : {std::pair{"$TOKEN", login_.token}, {"$CSRF", login_.session.csrf}})
      for (std::size_t at = all.find(name); at != std::string::npos; at = all.find(name, at + value.size()))
        all.replace(at, std::string_view{name}.size(), value);
    return all;
  }

  /// A line METHOD PATH, header lines, an empty one, the body. What the door would not let in is left out.
  [[nodiscard]] Request request_of(std::string_view input) const {
    const auto line = [&input] {
      const std::string_view text = input.substr(0, input.find('\n'));
      input.remove_prefix(std::min(text.size() + 1, input.size()));
      return text;
    };
    Request request;
    request.local_port = port;
    const std::string_view first = line();
    request.method = first.starts_with("POST ") ? "POST" : first.starts_with("HEAD ") ? "HEAD" : "GET";
    const std::string_view target = first.substr(std::min(first.find(' ') + 1, first.size()));
    const std::size_t mark = target.find('?');
    request.path = "/" + std::string{target.substr(0, mark)};
    std::string_view query = mark == std::string_view::npos ? "" : target.substr(mark + 1);
    while (!query.empty()) {
      const std::string_view pair = query.substr(0, query.find('&'));
      query.remove_prefix(std::min(pair.size() + 1, query.size()));
      const std::size_t equals = pair.find('=');
      request.query.emplace_back(pair.substr(0, equals),
                                 equals == std::string_view::npos ? "" : pair.substr(equals + 1));
    }
    request.address = "192.0.2." + std::to_string(input.size() % 250);
    for (std::string text = filled(line()); !text.empty(); text = filled(line())) {
      const std::size_t colon = text.find(": ");
      if (!is_header_line(text) || colon == std::string::npos || request.headers.size() >= header_lines_max) continue;
      if (text.starts_with("Certificate"))
        request.certificate = PeerCertificate{.common_name = text.substr(colon + 2)};
      else
        request.headers.emplace_back(text.substr(0, colon), text.substr(colon + 2));
    }
    if (request.method == "POST") request.body = filled(input);
    return request;
  }

  static void check_response(const Request& request, const Response& response) {
    check(response.status >= 200 && response.status < 600, "an answer has a status");
    bool is_guarded = false;
    for (const auto& [name, value] : response.headers) {
      check(is_header_line(name + ": " + value), "a header is one line");
      is_guarded |= name == "Content-Security-Policy";
      if (name == "Set-Cookie")
        check(request.method == "POST" && response.status == 200 &&
                  (request.path == "/api/login" || request.path == "/api/logout"),
              "cookies come with logins and their end");
    }
    check(is_guarded, "every answer says what the page may load");
    check(response.body.find(password) == std::string::npos || request.body.find(password) != std::string::npos ||
              request.path.find(password) != std::string::npos,
          "no answer tells a password");
    if (response.content_type != "application/json" || response.body.empty()) return;
    const Json json = Json::parse(response.body, nullptr, false);
    check(json.is_object() && json.contains("ok") && json["ok"].is_boolean(), "an answer says whether it went well");
    if (response.status < 400) return;
    check(json["ok"] == false && json["error"].is_string() && is_one_line(json["error"].get_ref<const std::string&>()),
          "a refusal has one sentence");
    check(!json["error"].get_ref<const std::string&>().starts_with("the request could not be carried out"),
          "no request makes the handler throw");
  }

  void check_served(const Request& request) const {
    const bool changes = std::any_of(control_.served.begin(), control_.served.end(),
                                     [](const Json& each) { return each.value("command", Json{}) != "show"; });
    if (!changes) return;
    check(request.method == "POST" && request.path == "/api/command", "one path changes something");
    const std::string_view origin = request.header("Origin"), site = request.header("Sec-Fetch-Site");
    check(origin.empty() || lower(origin) == "https://" + lower(request.header("Host")), "and no other site's page");
    check(site.empty() || site == "same-origin" || site == "none", "whatever the browser calls it");
    const auto cookie = cookie_of(request.header("Cookie"), Access::cookie_name(port));
    const bool by_session =
        cookie == std::string_view{login_.token} && request.header("X-CSRF-Token") == login_.session.csrf;
    check(by_session || request.certificate.has_value(), "only who has shown who he is");
  }

  engine::test::TemporaryDirectory directory_;
  Mailbox mailbox_{8};
  AuditFile done_{directory_.file("audit.log"), 65'536, 1}, refused_{directory_.file("audit-refused.log"), 65'536, 1};
  Access access_{{.users_file = directory_.file("users"), .names = {"fw.example", "*.wild.example"}, .cost = cheap},
                 [](const std::string& sentence) { check(is_one_line(sentence), "the log has lines"); }};
  Api api_{{.access = access_,
            .mailbox = mailbox_,
            .done = done_,
            .refused = refused_,
            .version = "0",
            .node = "fuzz",
            .log = [](const std::string& sentence) { check(is_one_line(sentence), "the log has lines"); }}};
  ControlThread control_{mailbox_};
  Access::Login login_;
  int hours_ = 0;
};

}  // namespace
}  // namespace pfsync::fuzz

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static pfsync::fuzz::Target target;
  target.run({reinterpret_cast<const char*>(data), size});
  return 0;
}

extern "C" std::size_t LLVMFuzzerCustomMutator(std::uint8_t* data, std::size_t size, std::size_t max_size,
                                               unsigned seed) {
  using namespace pfsync;
  return fuzz::mutated(data, size, max_size, seed, [](fuzz::Input& input, fuzz::Random& random) {
    fuzz::mutate_text(input, random, "\n ,:&?",
                      {"POST api/command\n",
                       "POST api/login\n",
                       "POST api/logout\n",
                       "GET api/session\n",
                       "GET metrics\n",
                       "GET api/show/status\n",
                       "GET api/show/states?limit=10&cursor=0.2\n",
                       "GET \n",
                       "Host: fw.example:8443\n",
                       "Content-Type: application/json\n",
                       "Cookie: __Host-pfsyncd-8443=$TOKEN\n",
                       "X-CSRF-Token: $CSRF\n",
                       "Origin: https://fw.example:8443\n",
                       "Origin: https://evil.example\n",
                       "Sec-Fetch-Site: cross-site\n",
                       "Authorization: Basic YWRhOmNvcnJlY3QgaG9yc2U=\n",
                       "Certificate: ada\n",
                       "Accept: application/openmetrics-text\n",
                       "\n",
                       "{\"command\":\"push\"}",
                       "{\"command\":\"kill\",\"filter\":\"all\"}",
                       "{\"command\":\"show\"}",
                       "{\"user\":\"ada\",\"password\":\"correct horse\"}",
                       "\"user\":\"ada\"",
                       "null",
                       "{",
                       "[[[[[[[[["});
  });
}
