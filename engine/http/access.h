#pragma once

#include <sys/stat.h>

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "engine/http/message.h"
#include "engine/http/sessions.h"
#include "engine/http/throttle.h"
#include "engine/http/users.h"

namespace pfsync::engine::http {

/// How somebody showed who they are.
enum class Proof : std::uint8_t { none, session, certificate, basic };
[[nodiscard]] std::string_view word(Proof proof);

struct Identity {
  Proof proof = Proof::none;
  std::string user{};  ///< empty without a proof
  std::string csrf{};  ///< to be brought along by changes; empty without a proof, and with Basic, which changes nothing
};

/// Who may do what. From any thread.
class Access {
 public:
  using Clock = std::chrono::steady_clock;
  using Log = std::function<void(const std::string& sentence)>;
  struct Rules {
    std::filesystem::path users_file;
    bool anyone_reads = true;
    std::chrono::minutes session{60};
    std::vector<std::string> names;  ///< host names that this server answers to; addresses and localhost always
    std::string firewall_user{};     ///< may push at a firewall's door, and nothing here; empty: there is none
    ScryptCost cost{};               ///< of the time that an unknown user's password is given
  };
  Access(Rules rules, Log log);

  /// Who asks. With a wrong Basic password, or too many of them: the answer to give instead.
  [[nodiscard]] std::variant<Identity, Response> identify(const Request& request, Clock::time_point now);

  /// Empty: may. Otherwise the answer to give.
  [[nodiscard]] static std::optional<Response> refuse_change(const Request& request, const Identity& identity);
  [[nodiscard]] std::optional<Response> refuse_read(const Identity& identity) const;
  /// A name that leads here but is not ours: some page's, made to look as if this were its own site (DNS rebinding).
  [[nodiscard]] std::optional<Response> refuse_host(const Request& request) const;
  /// A request that a browser sends on behalf of another site.
  [[nodiscard]] static std::optional<Response> refuse_site(const Request& request);

  struct Login {
    std::string token;
    Sessions::Session session;
  };
  [[nodiscard]] std::variant<Login, Response> login(const Request& request, std::string_view user,
                                                    std::string_view password, Clock::time_point now);
  void logout(const Request& request);

  [[nodiscard]] static std::string cookie_name(std::uint16_t port) { return "__Host-pfsyncd-" + std::to_string(port); }
  [[nodiscard]] bool has_users();
  [[nodiscard]] std::size_t sessions() const { return sessions_.size(); }
  [[nodiscard]] std::uint64_t logins_refused() const;

 private:
  [[nodiscard]] std::shared_ptr<const Users> users();
  /// Nothing: it is the password of one who may be here. Takes its turn: one at a time, and as often as the limits say.
  [[nodiscard]] std::optional<Response> check(const std::string& address, std::string_view user,
                                              std::string_view password, Clock::time_point now);
  [[nodiscard]] std::variant<Identity, Response> by_basic(const Request& request, Clock::time_point now);

  Rules rules_;
  Log log_;
  Sessions sessions_;
  std::array<std::uint8_t, 32> secret_ = random_256();  ///< of this process
  PasswordHash nobody_;                                 ///< what an unknown user's password is compared with

  mutable std::mutex limit_mutex_;
  LoginLimit limit_;
  std::uint64_t refused_ = 0;

  std::mutex hashing_;  ///< one password at a time: the memory that scrypt takes is bounded

  std::mutex users_mutex_;
  std::shared_ptr<const Users> users_ = std::make_shared<Users>();
  struct stat seen_ {};

  /// Basic passwords that were right a moment ago: a program that asks every few seconds need not wait for scrypt.
  std::mutex known_mutex_;
  std::map<Sha256, Clock::time_point> known_;
};

}  // namespace pfsync::engine::http
