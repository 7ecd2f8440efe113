#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <variant>

namespace pfsync::engine::http {

/// Why a request is not looked at any further.
struct BadHead {
  int status = 400;
  std::string sentence;
};

/// What of a request's head decides how many bytes follow it.
struct Head {
  std::size_t content_length = 0;  ///< 0 as well where the body tells its length itself
  bool is_chunked = false;         ///< the body comes in chunks, the last of which is empty
  bool expects_continue = false;   ///< the client waits for 100 Continue before it sends its body
  bool keep_alive = true;          ///< the client takes another answer on this connection
  /// The head to go on with, without what is not offered here: compression (with a secret in a page, its length would
  /// tell of it), ranges (they multiply an answer), and the connection's own affairs.
  std::string text{};
  [[nodiscard]] bool has_body() const noexcept { return is_chunked || content_length > 0; }
};

inline constexpr std::size_t target_bytes_max = 2048;
inline constexpr std::size_t header_lines_max = 64;

/// The door for a request's head: its lines up to and with the empty one, as they came. What passes has one request
/// line of GET, HEAD or POST, a path, header lines of one name and printable text each, one Host, and a body whose
/// length is said once: by a number of at most `body_bytes_max`, or by its chunks (`Body` bounds them). Pure.
[[nodiscard]] std::variant<Head, BadHead> check_head(std::string_view head, std::size_t body_bytes_max);

/// Where the head ends in what came so far: the offset behind its empty line.
[[nodiscard]] std::optional<std::size_t> head_end(std::string_view bytes);

/// Whether that is NAME: VALUE, in printable text, as of a head or behind the last chunk.
[[nodiscard]] bool is_header_line(std::string_view line);
/// No control character but the tab.
[[nodiscard]] bool is_printable(std::string_view text);

}  // namespace pfsync::engine::http
