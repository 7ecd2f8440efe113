#pragma once

#include <algorithm>
#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <unordered_map>

namespace pfsync::engine::http {

/// Whose doings are counted together: an IPv4 address, or an IPv6 network of 64 bits, since one host has all of it.
/// IPv4 in IPv6 is IPv4. `text`: an address; what is none is a key of its own.
[[nodiscard]] std::string source_of(const std::string& text);

/// A token bucket: so many at once, so many a second in the mean.
class Bucket {
 public:
  using Clock = std::chrono::steady_clock;
  Bucket(double per_s, double burst) : per_s_{per_s}, burst_{burst}, tokens_{burst} {}

  [[nodiscard]] bool take(Clock::time_point now);
  void give_back(Clock::time_point now) { tokens_ = std::min(burst_, level(now) + 1), at_ = now; }
  [[nodiscard]] bool is_full(Clock::time_point now) const { return level(now) >= burst_; }

 private:
  [[nodiscard]] double level(Clock::time_point now) const;
  double per_s_;
  double burst_;
  double tokens_;
  Clock::time_point at_{};
};

/// How much each source may do. Bounded: when all places are taken by sources that lately did something, a new one
/// is judged together with all others that found no place. One thread at a time.
class Throttle {
 public:
  using Clock = Bucket::Clock;
  Throttle(double per_s, double burst, std::size_t places)
      : per_s_{per_s}, burst_{burst}, places_{places}, others_{per_s, burst} {}

  [[nodiscard]] bool take(const std::string& source, Clock::time_point now);
  [[nodiscard]] std::size_t size() const noexcept { return buckets_.size(); }

 private:
  double per_s_;
  double burst_;
  std::size_t places_;
  Bucket others_;
  Clock::time_point swept_{};
  std::unordered_map<std::string, Bucket> buckets_;
};

/// Slows down whoever tries passwords: after the n-th wrong one in a row a source waits 1, 2, 4 … 60 s, and all
/// sources together try `per_s` wrong ones a second. Bounded like Throttle. One thread at a time.
class LoginLimit {
 public:
  using Clock = Bucket::Clock;
  static constexpr std::chrono::seconds wait_max{60};
  static constexpr std::chrono::minutes forget_after{15};  ///< of having been allowed to try again
  explicit LoginLimit(double per_s = 1, double burst = 10, std::size_t places = 1024)
      : all_{per_s, burst}, places_{places} {}

  /// Nothing: try, and say how it went by succeeded(), else it counts as wrong. Or how long to wait first.
  [[nodiscard]] std::optional<std::chrono::seconds> begin(const std::string& source, Clock::time_point now);
  void succeeded(const std::string& source, Clock::time_point now);
  [[nodiscard]] std::size_t size() const noexcept { return entries_.size(); }

 private:
  struct Entry {
    unsigned failures = 0;
    Clock::time_point next{};
  };
  Bucket all_;
  std::size_t places_;
  std::unordered_map<std::string, Entry> entries_;
};

}  // namespace pfsync::engine::http
