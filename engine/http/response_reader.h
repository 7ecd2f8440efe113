#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace pfsync::engine::http {

/// Another node's response as it arrives, in pieces of any size: a status line of HTTP/1.x, header lines of which one
/// Content-Length tells how many bytes follow, and those. Chunks are refused: none of our servers sends them (RFC 9112,
/// 4 and 6). Pure.
class ResponseReader {
 public:
  static constexpr std::size_t head_bytes_max = std::size_t{16} * 1024;
  static constexpr std::size_t body_bytes_max = std::size_t{8} * 1024 * 1024;

  /// Empty, or one clause why it is no response; it takes nothing from then on. What follows the body is left out.
  [[nodiscard]] std::string take(std::string_view bytes);
  [[nodiscard]] bool is_whole() const noexcept { return has_head_ && body_.size() == length_; }
  /// 100 to 599, of a whole one.
  [[nodiscard]] int status() const noexcept { return status_; }
  /// Of a whole one, once.
  [[nodiscard]] std::string release() { return std::move(body_); }

 private:
  [[nodiscard]] std::string read_head(std::string_view head);
  [[nodiscard]] std::string fail(std::string why) { return why_ = std::move(why); }

  std::string head_;  ///< so far
  std::string body_;
  std::string why_;
  bool has_head_ = false;
  int status_ = 0;
  std::size_t length_ = 0;
};

}  // namespace pfsync::engine::http
