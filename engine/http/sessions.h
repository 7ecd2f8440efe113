#pragma once

#include <chrono>
#include <cstddef>
#include <functional>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>

#include "engine/http/crypto.h"

namespace pfsync::engine::http {

/// Who has given a password, known again by a secret in a cookie. Of that only a digest is kept here. Bounded: one
/// more ends the one that is unused for longest. From any thread.
class Sessions {
 public:
  using Clock = std::chrono::steady_clock;
  static constexpr std::chrono::hours age_max{12};
  static constexpr std::size_t count_max = 64;

  explicit Sessions(Clock::duration idle_max) : idle_max_{idle_max} {}

  struct Session {
    std::string user;
    std::string csrf;  ///< what a change must bring along, since another site cannot know it
  };
  struct Begun {
    std::string token;  ///< for the cookie: 64 hex digits
    Session session;
  };
  [[nodiscard]] Begun begin(const std::string& user, Clock::time_point now);
  /// `acts`: its user does something, which keeps it alive; looking does not.
  [[nodiscard]] std::optional<Session> find(std::string_view token, Clock::time_point now, bool acts);
  void end(std::string_view token);
  /// Those of users that this is true of.
  void end_if(const std::function<bool(const std::string& user)>& condition);
  [[nodiscard]] std::size_t size() const;

 private:
  struct Entry {
    Session session;
    Clock::time_point begun;
    Clock::time_point used;
  };
  Clock::duration idle_max_;
  mutable std::mutex mutex_;
  std::map<Sha256, Entry> entries_;
};

}  // namespace pfsync::engine::http
