#include "engine/http/sessions.h"

#include <algorithm>

#include "engine/http/words.h"

namespace pfsync::engine::http {

Sessions::Begun Sessions::begin(const std::string& user, Clock::time_point now) {
  Begun begun{.token = hex(random_256()), .session = {.user = user, .csrf = hex(random_256())}};
  const std::lock_guard lock{mutex_};
  std::erase_if(entries_, [&](const auto& entry) {
    return now - entry.second.used > idle_max_ || now - entry.second.begun > age_max;
  });
  if (entries_.size() >= count_max)
    entries_.erase(std::min_element(entries_.begin(), entries_.end(), [](const auto& one, const auto& other) {
      return one.second.used < other.second.used;
    }));
  entries_[sha256(begun.token)] = {begun.session, now, now};
  return begun;
}

std::optional<Sessions::Session> Sessions::find(std::string_view token, Clock::time_point now, bool acts) {
  const std::lock_guard lock{mutex_};
  // By a digest, so that the time of the search tells nothing of the token.
  const auto found = entries_.find(sha256(token));
  if (found == entries_.end()) return std::nullopt;
  Entry& entry = found->second;
  if (now - entry.used > idle_max_ || now - entry.begun > age_max) {
    entries_.erase(found);
    return std::nullopt;
  }
  if (acts) entry.used = now;
  return entry.session;
}

void Sessions::end(std::string_view token) {
  const std::lock_guard lock{mutex_};
  entries_.erase(sha256(token));
}

void Sessions::end_if(const std::function<bool(const std::string&)>& condition) {
  const std::lock_guard lock{mutex_};
  std::erase_if(entries_, [&](const auto& entry) { return condition(entry.second.session.user); });
}

std::size_t Sessions::size() const {
  const std::lock_guard lock{mutex_};
  return entries_.size();
}

}  // namespace pfsync::engine::http
