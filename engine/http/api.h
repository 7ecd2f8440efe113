#pragma once

#include <chrono>
#include <cstddef>
#include <functional>
#include <mutex>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>

#include "engine/http/access.h"
#include "engine/http/audit.h"
#include "engine/http/mailbox.h"
#include "engine/http/message.h"
#include "engine/http/throttle.h"

namespace pfsync::engine::http {

/// What is served on [http]: the page, the control socket's requests as /api/…, and /metrics. Called by a listener's
/// threads, several at once; all it refers to outlives it.
class Api {
 public:
  using Clock = std::chrono::steady_clock;
  struct Parts {
    Access& access;
    Mailbox& mailbox;
    AuditFile& done;     ///< logins, and what was ordered
    AuditFile& refused;  ///< in a file of its own: whoever is refused often must not push out the rest
    std::string version;
    std::string node;                          ///< what people call this machine
    std::chrono::milliseconds patience{5000};  ///< of a request with the control thread
    std::function<void(const std::string& sentence)> log;
  };
  explicit Api(Parts parts) : parts_{std::move(parts)} {}

  [[nodiscard]] Response operator()(const Request& request);

 private:
  [[nodiscard]] Response route(const Request& request, Clock::time_point now);
  [[nodiscard]] Response page(const Request& request) const;
  [[nodiscard]] Response session(const Request& request, Clock::time_point now);
  [[nodiscard]] Response login(const Request& request, Clock::time_point now);
  [[nodiscard]] Response logout(const Request& request, Clock::time_point now);
  [[nodiscard]] Response show(const Request& request, std::string_view what, Clock::time_point now);
  [[nodiscard]] Response command(const Request& request, Clock::time_point now);
  [[nodiscard]] Response metrics(const Request& request, Clock::time_point now);
  /// The control thread's answer, or 503.
  [[nodiscard]] std::variant<Json, Response> ask(Json request);
  void record(const Request& request, const Identity& identity, const Json& what, const Response& answer);

  Parts parts_;
  std::mutex refusals_mutex_;
  Bucket refusals_{1, 100};  ///< lines about refusals a second: a disk is not for everybody to fill
};

/// The JSON object of a POST, which says that it is one, or the answer to give instead. Bounded in depth.
[[nodiscard]] std::variant<Json, Response> body_of(const Request& request);

}  // namespace pfsync::engine::http
