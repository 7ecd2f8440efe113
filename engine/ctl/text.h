#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>

namespace pfsync::engine::ctl {

using Json = nlohmann::ordered_json;

/// The value as text: a string without its quotes.
[[nodiscard]] inline std::string plain(const Json& value) {
  return value.is_string() ? value.get<std::string>() : value.dump();
}

[[nodiscard]] inline std::uint64_t number(const Json& object, const char* key) {
  return object.at(key).get<std::uint64_t>();
}

/// Text that may be shown on a terminal: control characters but newline and tab become "\x1b" and the like.
/// A daemon of our own sends none; what answers on a socket need not be one.
[[nodiscard]] std::string terminal_safe(std::string_view utf8);

/// "1 day 01:01:01", "00:12:09".
[[nodiscard]] std::string uptime_text(double seconds);
/// A time of day, in seconds since 1970, as "2026-11-29 08:15:00 UTC"; 0: "never".
[[nodiscard]] std::string time_text(const Json& seconds);

/// What `show status` prints, in the manner of `pfctl -si`. Throws Json::exception when the answer lacks a part.
[[nodiscard]] std::string status_text(const Json& status);

/// What `show tdbs` prints: a line for each IPsec SA.
[[nodiscard]] std::string tdbs_text(const Json& answer);
/// What `show counters` prints, in the manner of `netstat -s`. `all`: counters that are zero, too.
[[nodiscard]] std::string counters_text(const Json& counters, bool all);

/// Of the text of a state, as `pfctl -ss -vv` prints it, what `pfctl -ss` does.
[[nodiscard]] std::string_view first_line(std::string_view state_text);

/// "[####......]"; `width`: characters between the brackets.
[[nodiscard]] std::string bar_text(double fraction, std::size_t width);

/// How fast the totals of a status grew since the one before; 0 where that cannot be told.
class Rates {
 public:
  /// `before` may be absent, or come from a daemon that has been restarted since.
  Rates(const std::optional<Json>& before, const Json& status);
  [[nodiscard]] double operator()(std::string_view total) const;

 private:
  const Json* before_ = nullptr;
  const Json* now_;
  double seconds_ = 0;
};

/// One picture of `watch`, lines of text. `before`: the status of the picture before.
[[nodiscard]] std::string watch_text(const std::optional<Json>& before, const Json& status);
/// The same as one line, where there is no terminal.
[[nodiscard]] std::string watch_line(const std::optional<Json>& before, const Json& status);

}  // namespace pfsync::engine::ctl
