#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "engine/http/head.h"

namespace pfsync::engine::http {

/// A request's body as it arrives, in pieces of any size: as many bytes as its head says, or chunks (RFC 9112, 7.1).
/// Of chunks nothing is kept but what they hold; what extends them and what follows the last one is checked for its
/// form and left out. Pure.
class Body {
 public:
  static constexpr std::size_t line_bytes_max = 256;      ///< of a chunk's size and its extensions
  static constexpr std::size_t trailer_bytes_max = 4096;  ///< of all lines behind the last chunk

  /// Never longer than `bytes_max`.
  Body(const Head& head, std::size_t bytes_max);

  /// Returns how many of these bytes, from the first on, were the body's. The rest belongs to what comes after it.
  std::size_t take(std::string_view bytes);
  [[nodiscard]] bool is_whole() const noexcept { return state_ == State::whole; }
  /// Why it is no body; it takes nothing from then on.
  [[nodiscard]] const std::optional<BadHead>& wrong() const noexcept { return wrong_; }
  /// Of a whole one, once.
  [[nodiscard]] std::string release() { return std::move(text_); }

 private:
  enum class State : std::uint8_t { counted, size_line, data, data_end, trailer, whole };
  [[nodiscard]] std::size_t take_data(std::string_view bytes, State next);
  void take_byte(char byte);
  void take_line(std::string_view line);
  void begin_chunk(std::string_view line);
  void fail(int status, std::string sentence) { wrong_ = BadHead{status, std::move(sentence)}; }

  std::size_t bytes_max_;
  State state_;
  std::size_t left_ = 0;  ///< bytes of data, of the body or of this chunk
  std::size_t trailer_bytes_ = 0;
  std::string line_;  ///< so far
  std::string text_;
  std::optional<BadHead> wrong_;
};

}  // namespace pfsync::engine::http
