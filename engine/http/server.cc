#include "engine/http/server.h"

#include <fmt/format.h>
#include <unistd.h>

#include <array>

#include "engine/http/api.h"

namespace pfsync::engine::http {
namespace {

constexpr std::size_t waiting_max = 8;  ///< requests for the control thread at a time

std::string machine_name() {
  std::array<char, 256> name{};
  return gethostname(name.data(), name.size() - 1) == 0 ? std::string{name.data()} : std::string{};
}

std::string url_of(const std::string& address, std::uint16_t port) {
  const std::string host = address.find(':') == std::string::npos ? address : "[" + address + "]";
  return "https://" + host + ":" + std::to_string(port) + "/";
}

}  // namespace

struct Server::Parts {
  Log log;
  Mailbox mailbox{waiting_max};
  AuditFile done;
  AuditFile refused;
  Access access;
  Api api;
  std::unique_ptr<Listener> listener;

  Parts(const Settings& settings, const std::filesystem::path& state_dir, const std::filesystem::path& users_file,
        std::vector<std::string> names, const std::string& version, Log say, const std::string& firewall_user)
      : log{std::move(say)},
        done{state_dir / "audit.log"},
        refused{state_dir / "audit-refused.log"},
        access{{.users_file = users_file,
                .anyone_reads = settings.anyone_reads,
                .session = std::chrono::minutes{settings.session_minutes},
                .names = std::move(names),
                .firewall_user = firewall_user},
               [this](const std::string& sentence) { log(Level::warning, sentence); }},
        api{{.access = access,
             .mailbox = mailbox,
             .done = done,
             .refused = refused,
             .version = version,
             .node = machine_name(),
             .log = [this](const std::string& sentence) { log(Level::info, sentence); }}} {}
  ~Parts() {
    mailbox.close();
    listener.reset();
  }
};

std::variant<std::unique_ptr<Server>, std::string> Server::create(const Settings& settings,
                                                                  const std::filesystem::path& state_dir,
                                                                  const std::string& version, Log log,
                                                                  const std::string& firewall_user) {
  const std::filesystem::path folder = state_dir / "http";
  ListenerSettings listening{.address = settings.address, .port = settings.port, .tls = {}};
  listening.tls.certificate = settings.certificate;
  listening.tls.key = settings.key;
  if (settings.certificate.empty()) {
    listening.tls.certificate = folder / "certificate.pem";
    listening.tls.key = folder / "key.pem";
    if (std::string why = make_self_signed(listening.tls.certificate, listening.tls.key, {settings.address});
        !why.empty())
      return why;
  }
  if (!settings.client_ca.empty()) {
    listening.tls.client = TlsSettings::Client::optional;
    listening.tls.client_ca = settings.client_ca;
  }
  const std::filesystem::path users_file =
      settings.users_file.empty() ? state_dir / "users" : std::filesystem::path{settings.users_file};
  auto parts = std::make_unique<Parts>(settings, state_dir, users_file, names_of(listening.tls.certificate), version,
                                       std::move(log), firewall_user);
  auto listener = Listener::create(
      listening, [api = &parts->api](const Request& request) { return (*api)(request); },
      [all = parts.get()](const std::string& sentence) { all->log(Level::info, sentence); });
  if (const auto* why = std::get_if<std::string>(&listener)) return "http: " + *why;
  parts->listener = std::move(std::get<std::unique_ptr<Listener>>(listener));
  parts->log(Level::info, "http: the page is at " + url_of(settings.address, parts->listener->port()) +
                              ", certificate SHA-256 " + fingerprint_of(listening.tls.certificate));
  const bool is_usual = settings.users_file.empty() && state_dir == "/var/lib/pfsyncd";
  const std::string where = is_usual ? "" : " --file " + users_file.string();
  if (!parts->access.has_users() && settings.client_ca.empty())
    parts->log(
        Level::warning,
        fmt::format(
            "http: there is no user yet, so the page changes nothing: pfsyncctl user add NAME{} asks for a password",
            where));
  return std::unique_ptr<Server>(new Server{std::move(parts)});
}

Server::Server(std::unique_ptr<Parts> parts) : parts_{std::move(parts)} {}
Server::~Server() = default;

Mailbox& Server::mailbox() { return parts_->mailbox; }
std::uint16_t Server::port() const { return parts_->listener->port(); }

std::vector<Listener::Count> Server::counts() const {
  auto counts = parts_->listener->counts();
  counts.push_back(
      {"http_busy", "requests refused because too many waited for the control thread", parts_->mailbox.refused()});
  counts.push_back({"http_late", "requests whose answer came too late", parts_->mailbox.late()});
  counts.push_back(
      {"http_logins_refused", "passwords that were wrong, or tried too often", parts_->access.logins_refused()});
  return counts;
}

}  // namespace pfsync::engine::http
