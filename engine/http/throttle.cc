#include "engine/http/throttle.h"

#include <arpa/inet.h>

#include <algorithm>
#include <cstring>

namespace pfsync::engine::http {

std::string source_of(const std::string& text) {
  in6_addr inet6{};
  if (inet_pton(AF_INET6, text.substr(0, text.find('%')).c_str(), &inet6) != 1) return text;
  if (IN6_IS_ADDR_V4MAPPED(&inet6)) {
    in_addr inet{};
    std::memcpy(&inet, inet6.s6_addr + 12, sizeof inet);
    std::array<char, INET_ADDRSTRLEN> room{};
    return inet_ntop(AF_INET, &inet, room.data(), room.size());
  }
  std::memset(inet6.s6_addr + 8, 0, 8);
  std::array<char, INET6_ADDRSTRLEN> room{};
  return std::string{inet_ntop(AF_INET6, &inet6, room.data(), room.size())} + "/64";
}

double Bucket::level(Clock::time_point now) const {
  return std::min(burst_, tokens_ + std::chrono::duration<double>(now - at_).count() * per_s_);
}

bool Bucket::take(Clock::time_point now) {
  tokens_ = level(now);
  at_ = now;
  if (tokens_ < 1) return false;
  tokens_ -= 1;
  return true;
}

bool Throttle::take(const std::string& source, Clock::time_point now) {
  const auto found = buckets_.find(source);
  if (found != buckets_.end()) return found->second.take(now);
  // A full bucket tells no more than none. Looked for once a second at most: the walk is not for everybody to order.
  if (buckets_.size() >= places_ && now - swept_ >= std::chrono::seconds{1}) {
    swept_ = now;
    std::erase_if(buckets_, [&](const auto& entry) { return entry.second.is_full(now); });
  }
  if (buckets_.size() >= places_) return others_.take(now);
  return buckets_.emplace(source, Bucket{per_s_, burst_}).first->second.take(now);
}

std::optional<std::chrono::seconds> LoginLimit::begin(const std::string& source, Clock::time_point now) {
  auto found = entries_.find(source);
  if (found != entries_.end() && now < found->second.next)
    return std::chrono::ceil<std::chrono::seconds>(found->second.next - now);
  if (!all_.take(now)) return std::chrono::seconds{1};
  if (found == entries_.end()) {
    // The one that may try again soonest has the least to lose.
    if (entries_.size() >= places_)
      entries_.erase(std::min_element(entries_.begin(), entries_.end(), [](const auto& one, const auto& other) {
        return one.second.next < other.second.next;
      }));
    found = entries_.emplace(source, Entry{}).first;
  }
  Entry& entry = found->second;
  if (now - entry.next >= forget_after) entry.failures = 0;
  // Counted before the answer is known: guesses at the same time are guesses.
  const auto wait = std::min(std::chrono::seconds{1u << std::min(entry.failures, 6u)}, wait_max);
  ++entry.failures;
  entry.next = now + wait;
  return std::nullopt;
}

void LoginLimit::succeeded(const std::string& source, Clock::time_point now) {
  entries_.erase(source);
  all_.give_back(now);
}

}  // namespace pfsync::engine::http
