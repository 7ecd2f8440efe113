#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "engine/config_sync/agent.h"
#include "engine/config_sync/client.h"
#include "engine/config_sync/compat.h"
#include "engine/config_sync/effective.h"
#include "engine/config_sync/files.h"
#include "engine/config_sync/handoff.h"
#include "engine/config_sync/pairing.h"
#include "engine/config_sync/receiver.h"
#include "engine/config_sync/sender.h"
#include "engine/config_sync/store.h"
#include "engine/http/audit.h"
#include "engine/http/listener.h"
#include "engine/http/response_reader.h"
#include "engine/http/throttle.h"
#include "engine/http/users.h"
#include "engine/xmlrpc/codec.h"

/// The inside of the agent: agent.cc (its thread), orders.cc, doors.cc (the listeners' threads), status.cc.
namespace pfsync::engine::config_sync {

using Json = nlohmann::ordered_json;

inline constexpr const char* from_file = "file";  ///< Stored::source

/// Of a call at the other node's door, which lets no more in either.
[[nodiscard]] inline xmlrpc::ResponseResult decode_answer(std::string_view body) {
  return xmlrpc::decode_response(
      body, {.bytes = http::ResponseReader::body_bytes_max, .depth = door_depth_max, .values = door_values_max});
}

struct Agent::Parts {
  Parts(const Config& config, std::string text, std::string name, Daemon given);
  ~Parts();

  // --- under `mutex`, which the control thread never takes: whoever holds it may wait for that thread ---
  std::mutex mutex;
  const Settings settings;
  const std::string file;
  const std::string users_file;  ///< of the firewall that may log in
  std::string toml;
  Daemon daemon;  ///< called on the control thread only, but for `compare`
  DiskFiles shared_files, compat_files;
  Store store{shared_files}, compat_store{compat_files};
  Identity identity;
  Audit audit;
  http::AuditFile changes;  ///< that came through a door
  Receiver receiver;
  Sender sender;
  Pairing pairing;
  std::string certificate, key;
  KeyHash own_key{};
  std::optional<KeyHash> pin;
  std::string extract_error;  ///< why the file's shared part cannot be pushed
  std::string not_applied;    ///< why the file's shared part is not in force here, nor pushed

  /// What the sender was offered and this node has not applied yet.
  struct Offer {
    Stored stored;
    std::string toml;
  };
  std::optional<Offer> offer;
  struct Waiting {
    std::uint64_t number = 0;
    std::uint64_t pushes = 0, failures = 0;  ///< of the sender, when it was ordered
  };
  std::optional<Waiting> waiting;  ///< an order that ends with a push
  std::string last_error;          ///< that was written down
  std::uint64_t last_pushes = 0;
  std::int64_t last_push_s = 0;
  Instant pair_next{};
  bool pair_committed = false;
  static constexpr unsigned pair_unanswered_max = 5;
  unsigned pair_unanswered = 0;

  struct FromFirewall {
    std::int64_t time_s = 0;
    std::string address, method;
    std::vector<std::string> ignored;
    CallAlarms alarms;
    std::uint64_t calls = 0, refused = 0;
  } firewall;
  /// The first of each source, then one a minute of it.
  http::Throttle refusals_told{1.0 / 60, 1, 256};

  // --- under `login_mutex`, held for as long as a password takes, by the threads of the firewall's door ---
  std::mutex login_mutex;
  http::LoginLimit logins;
  const std::array<std::uint8_t, 32> login_secret = http::random_256();
  struct KnownLogin {
    http::Sha256 digest;      ///< of what was sent, keyed by the secret
    http::PasswordHash hash;  ///< that it was compared with
  };
  std::optional<KnownLogin> known_login;

  // --- under `front_mutex`, held for moments, by any thread ---
  mutable std::mutex front_mutex;
  std::condition_variable wake;
  bool ended = false, link_came_up = false;
  struct Reload {
    std::string toml;
    bool is_in_force;  ///< else to be pushed before it is applied
  };
  std::optional<Reload> reload;
  std::deque<std::pair<std::uint64_t, Order>> orders;
  std::uint64_t orders_taken = 0;
  struct Told {  // NOLINT(bugprone-exception-escape): only an assertion of Json's stands in its move
    Json status;
    Kept kept;
    std::string digest;  ///< of what a primary has in force or offers
    std::optional<KeyHash> pin;
    bool pairing = false;
    std::vector<Record> lines;
    std::map<std::uint64_t, Json> results;
  } told;

  Handoff handoff;
  std::unique_ptr<http::Listener> sync_listener, compat_listener;
  std::thread thread;

  // agent.cc
  [[nodiscard]] std::string open();
  void run();
  void take_over();
  void begin_primary();
  [[nodiscard]] std::string remember_file();
  void tell_promotion(const Revision& theirs, const std::string& text);
  void offer_sections(const Sections& sections, const std::string& source, std::string text, std::string file_digest,
                      Instant now);
  void apply_offer(Instant now);
  void exchange(Sender::Step step, std::unique_lock<std::mutex>& lock);
  void look_at_sender();
  void take_text();
  [[nodiscard]] bool has_text();
  [[nodiscard]] bool says_what_is_offered() const;
  /// What is to be in force, of this node's text, what it shares, and a firewall's addresses; or why that cannot be.
  using Make = std::function<std::variant<Config, std::string>()>;
  /// Under `mutex`.
  [[nodiscard]] Applied apply(const Make& make, Demand demand);
  [[nodiscard]] std::variant<Config, std::string> combined(const Sections* shared, bool transform) const;
  [[nodiscard]] std::variant<Config, std::string> wanted_of(const std::string& text,
                                                            const std::optional<Stored>& shared) const;
  [[nodiscard]] Ground ground();
  [[nodiscard]] ClientTls client_tls() const;
  [[nodiscard]] std::pair<const Sections*, bool> shared_in_force() const;
  [[nodiscard]] const std::string* compat_in_force() const;
  void note(bool warning, std::string sentence);

  // orders.cc
  void carry_out(std::uint64_t number, const Order& order, std::unique_lock<std::mutex>& lock);
  void finish(std::uint64_t number, bool ok, const std::string& sentence, Json lines = Json::array());
  void roll_back_to(std::uint64_t number, const Order& order);
  void compare(std::uint64_t number, std::unique_lock<std::mutex>& lock);
  void pair_on(std::unique_lock<std::mutex>& lock);

  // doors.cc
  [[nodiscard]] std::string open_doors();
  [[nodiscard]] bool is_paired_with(const http::Request& request) const;
  [[nodiscard]] std::optional<http::Response> judge_sync(const http::Request& request) const;
  [[nodiscard]] std::optional<http::Response> judge_compat(const http::Request& request);
  [[nodiscard]] http::Response serve_sync(const http::Request& request);
  [[nodiscard]] http::Response serve_compat(const http::Request& request);
  [[nodiscard]] std::string login(const http::Request& request);
  [[nodiscard]] std::string apply_compat(const std::string& wanted, const std::string& address, xmlrpc::Fault& fault);

  void record(const http::Request& request, const std::string& user, const char* proof, const std::string& what,
              const std::string& why);

  // status.cc
  void publish();

  [[nodiscard]] static Instant now() {
    return Instant{
        std::chrono::duration_cast<statetable::Duration>(std::chrono::steady_clock::now().time_since_epoch())};
  }
  [[nodiscard]] static std::int64_t time_s() {
    return std::chrono::duration_cast<std::chrono::seconds>(std::chrono::system_clock::now().time_since_epoch())
        .count();
  }
};

}  // namespace pfsync::engine::config_sync
