#include "engine/http/body.h"

#include <algorithm>
#include <charconv>

namespace pfsync::engine::http {

Body::Body(const Head& head, std::size_t bytes_max)
    : bytes_max_{bytes_max},
      state_{head.is_chunked           ? State::size_line
             : head.content_length > 0 ? State::counted
                                       : State::whole},
      left_{head.content_length} {
  text_.reserve(std::min(head.content_length, bytes_max));  // in one piece: growing would take half as much again
}

std::size_t Body::take(std::string_view bytes) {
  std::size_t taken = 0;
  while (taken < bytes.size() && state_ != State::whole && !wrong_) {
    if (state_ == State::counted)
      taken += take_data(bytes.substr(taken), State::whole);
    else if (state_ == State::data)
      taken += take_data(bytes.substr(taken), State::data_end);
    else
      take_byte(bytes[taken++]);
  }
  return taken;
}

std::size_t Body::take_data(std::string_view bytes, State next) {
  const std::size_t count = std::min(left_, bytes.size());
  text_.append(bytes.substr(0, count));
  left_ -= count;
  if (left_ == 0) state_ = next;
  return count;
}

void Body::take_byte(char byte) {
  line_ += byte;
  const bool is_end = line_.ends_with("\r\n");
  if (state_ == State::data_end && line_ != "\r" && !is_end)
    return fail(400, "a chunk does not end where its size says");
  if (byte == '\n' && !is_end) return fail(400, "a line of a chunk does not end with CR LF");
  if (is_end) {
    line_.resize(line_.size() - 2);
    take_line(line_);
    line_.clear();
  } else if (state_ == State::trailer && trailer_bytes_ + line_.size() > trailer_bytes_max) {
    fail(431, "what follows the last chunk is larger than " + std::to_string(trailer_bytes_max) + " bytes");
  } else if (state_ == State::size_line && line_.size() > line_bytes_max) {
    fail(400, "the line of a chunk's size is longer than " + std::to_string(line_bytes_max) + " bytes");
  }
}

void Body::take_line(std::string_view line) {
  if (state_ == State::size_line) return begin_chunk(line);
  if (state_ == State::data_end) {
    state_ = State::size_line;
  } else if (line.empty()) {
    state_ = State::whole;
  } else if (is_header_line(line)) {
    trailer_bytes_ += line.size() + 2;
  } else {
    fail(400, "a line behind the last chunk is not NAME: VALUE");
  }
}

void Body::begin_chunk(std::string_view line) {
  const std::string_view digits = line.substr(0, line.find(';'));
  const char* end = digits.data() + digits.size();
  std::size_t size = 0;
  const auto [stop, error] = std::from_chars(digits.data(), end, size, 16);
  if (digits.empty() || stop != end || error == std::errc::invalid_argument || !is_printable(line))
    return fail(400, "a chunk's size is not a number");
  if (error != std::errc{} || size > bytes_max_ - text_.size())
    return fail(413, "the body is larger than " + std::to_string(bytes_max_) + " bytes");
  left_ = size;
  state_ = size == 0 ? State::trailer : State::data;
}

}  // namespace pfsync::engine::http
