#include "engine/http/access.h"

#include <arpa/inet.h>

#include <algorithm>

#include "engine/http/words.h"

namespace pfsync::engine::http {
namespace {

constexpr std::size_t known_max = 16;
constexpr std::chrono::minutes known_for{5};

bool is_address(const std::string& text) {
  std::array<unsigned char, 16> room{};
  return inet_pton(AF_INET, text.c_str(), room.data()) == 1 || inet_pton(AF_INET6, text.c_str(), room.data()) == 1;
}

/// "*.example" is for one label more (RFC 6125).
bool is_for(const std::string& name, const std::string& host) {
  if (!name.starts_with("*.")) return name == host;
  const std::size_t dot = host.find('.');
  return dot != std::string::npos && dot > 0 && host.substr(dot) == name.substr(1);
}

bool same_file(const struct stat& one, const struct stat& other) {
  return one.st_ino == other.st_ino && one.st_dev == other.st_dev && one.st_size == other.st_size &&
         one.st_mtim.tv_sec == other.st_mtim.tv_sec && one.st_mtim.tv_nsec == other.st_mtim.tv_nsec;
}

Response wait(std::chrono::seconds seconds) {
  Response response = refusal(429, "too many passwords were tried: wait " + std::to_string(seconds.count()) + " s");
  response.headers.emplace_back("Retry-After", std::to_string(seconds.count()));
  return response;
}

Response who_are_you(std::string_view sentence) {
  Response response = refusal(401, sentence);
  // No challenge to browsers: they would open a window of their own. Programs send Basic without being asked.
  return response;
}

std::string text_of(const Sha256& bytes) { return {reinterpret_cast<const char*>(bytes.data()), bytes.size()}; }

}  // namespace

std::string_view word(Proof proof) {
  switch (proof) {
    case Proof::session: return "session";
    case Proof::certificate: return "certificate";
    case Proof::basic: return "basic";
    case Proof::none: break;
  }
  return "none";
}

Access::Access(Rules rules, Log log)
    : rules_{std::move(rules)}, log_{std::move(log)}, sessions_{rules_.session}, nobody_{.cost = rules_.cost} {
  const auto random = random_256();
  nobody_.key = random_256();
  std::copy_n(random.begin(), nobody_.salt.size(), nobody_.salt.begin());
}

/// Read again when the file is another one. Nobody is let in by a file that cannot be understood.
std::shared_ptr<const Users> Access::users() {
  const std::lock_guard lock{users_mutex_};
  struct stat there {};
  if (stat(rules_.users_file.c_str(), &there) != 0) there = {};
  if (same_file(there, seen_)) return users_;
  seen_ = there;
  auto loaded = load_users(rules_.users_file);
  if (const auto* why = std::get_if<std::string>(&loaded)) {
    log_("http: no user is let in: " + *why);
    loaded = Users{};
  }
  const auto before = users_;
  const auto now = std::make_shared<const Users>(std::move(std::get<Users>(loaded)));
  users_ = now;
  sessions_.end_if([&](const std::string& user) {
    const auto old = before->find(user), current = now->find(user);
    return current == now->end() || (old != before->end() && !(old->second == current->second));
  });
  const std::lock_guard known_lock{known_mutex_};
  known_.clear();
  return users_;
}

bool Access::has_users() { return !users()->empty(); }

std::uint64_t Access::logins_refused() const {
  const std::lock_guard lock{limit_mutex_};
  return refused_;
}

std::optional<Response> Access::check(const std::string& address, std::string_view user, std::string_view password,
                                      Clock::time_point now) {
  const std::string source = source_of(address);
  {
    const std::lock_guard lock{limit_mutex_};
    if (const auto seconds = limit_.begin(source, now)) {
      ++refused_;
      return wait(*seconds);
    }
  }
  const auto all = users();
  const auto found = all->find(user);
  bool right = false;
  {
    const std::lock_guard lock{hashing_};
    // Of an unknown user as much is computed, or the time would tell who is known.
    right = verifies(found == all->end() ? nobody_ : found->second, password.substr(0, password_max)) &&
            found != all->end() && password.size() <= password_max;
  }
  const std::lock_guard lock{limit_mutex_};
  if (right) limit_.succeeded(source, now);
  if (right && user != rules_.firewall_user) return std::nullopt;
  ++refused_;
  // Only whoever has the password comes to know.
  if (right)
    return refusal(403,
                   "this user is a firewall's, which may push at /xmlrpc.php and do nothing here: "
                   "make another one by pfsyncctl user add NAME");
  return who_are_you("user or password is wrong");
}

std::variant<Identity, Response> Access::by_basic(const Request& request, Clock::time_point now) {
  const auto credentials = basic_of(request.header("Authorization"));
  if (!credentials) return Identity{};
  const Identity identity{.proof = Proof::basic, .user = credentials->user};
  static_cast<void>(users());  // a changed file ends what is known
  const Sha256 key = hmac_sha256(secret_, credentials->user + '\0' + credentials->password);
  {
    const std::lock_guard lock{known_mutex_};
    const auto found = known_.find(key);
    if (found != known_.end() && now - found->second < known_for) return identity;
  }
  if (auto refused = check(request.address, credentials->user, credentials->password, now)) return *refused;
  const std::lock_guard lock{known_mutex_};
  if (known_.size() >= known_max)
    known_.erase(std::min_element(known_.begin(), known_.end(),
                                  [](const auto& one, const auto& other) { return one.second < other.second; }));
  known_[key] = now;
  return identity;
}

std::variant<Identity, Response> Access::identify(const Request& request, Clock::time_point now) {
  if (const auto token = cookie_of(request.header("Cookie"), cookie_name(request.local_port))) {
    static_cast<void>(users());  // a changed file may end this session
    if (const auto session = sessions_.find(*token, now, request.method == "POST"))
      return Identity{Proof::session, session->user, session->csrf};
  }
  if (request.certificate) {
    const std::string id = text_of(request.certificate->content);
    return Identity{.proof = Proof::certificate,
                    .user = request.certificate->common_name.empty() ? hex(request.certificate->content)
                                                                     : request.certificate->common_name,
                    .csrf = hex(hmac_sha256(secret_, id))};
  }
  if (request.method == "GET" || request.method == "HEAD") return by_basic(request, now);
  return Identity{};
}

std::optional<Response> Access::refuse_read(const Identity& identity) const {
  if (rules_.anyone_reads || identity.proof != Proof::none) return std::nullopt;
  return who_are_you("only users may look here: log in");
}

std::optional<Response> Access::refuse_host(const Request& request) const {
  const auto host = authority_of(request.header("Host"));
  if (host && (is_address(host->host) || host->host == "localhost" ||
               std::any_of(rules_.names.begin(), rules_.names.end(),
                           [&](const std::string& name) { return is_for(name, host->host); })))
    return std::nullopt;
  return refusal(421, "this server is not of that name: use an address, or a name that its certificate is for");
}

std::optional<Response> Access::refuse_site(const Request& request) {
  constexpr std::string_view sentence = "this came from another site's page: nothing was changed";
  constexpr std::string_view scheme = "https://";
  const std::string_view site = request.header("Sec-Fetch-Site"), origin = request.header("Origin");
  if (!site.empty() && site != "same-origin" && site != "none") return refusal(403, sentence);
  if (origin.empty()) return std::nullopt;
  if (!origin.starts_with(scheme)) return refusal(403, sentence);
  const auto from = authority_of(origin.substr(scheme.size())), here = authority_of(request.header("Host"));
  if (!from || !here || *from != *here) return refusal(403, sentence);
  return std::nullopt;
}

std::optional<Response> Access::refuse_change(const Request& request, const Identity& identity) {
  if (auto refused = refuse_site(request)) return refused;
  if (identity.proof != Proof::session && identity.proof != Proof::certificate)
    return who_are_you("only users may change something: log in");
  // A program with a certificate has no cookie that another site could misuse; a browser with one has.
  const bool is_browser = !request.header("Origin").empty() || !request.header("Sec-Fetch-Site").empty();
  if (identity.proof == Proof::certificate && !is_browser) return std::nullopt;
  if (same(request.header("X-CSRF-Token"), identity.csrf)) return std::nullopt;
  return refusal(403, "the header X-CSRF-Token does not fit this session: take it from /api/session");
}

std::variant<Access::Login, Response> Access::login(const Request& request, std::string_view user,
                                                    std::string_view password, Clock::time_point now) {
  if (auto refused = check(request.address, user, password, now)) return *refused;
  logout(request);  // of the session before: its secret is not to be used on
  Sessions::Begun begun = sessions_.begin(std::string{user}, now);
  return Login{std::move(begun.token), std::move(begun.session)};
}

void Access::logout(const Request& request) {
  if (const auto token = cookie_of(request.header("Cookie"), cookie_name(request.local_port))) sessions_.end(*token);
}

}  // namespace pfsync::engine::http
