#include "engine/http/head.h"

#include <algorithm>
#include <array>
#include <charconv>

#include "engine/http/words.h"

namespace pfsync::engine::http {
namespace {

constexpr std::string_view line_end = "\r\n";

/// Headers that say how the rest is to be read, or who asks: two of them would be two answers to one question.
constexpr std::array once{"host",         "content-length", "content-type",   "authorization",     "cookie", "origin",
                          "x-csrf-token", "connection",     "sec-fetch-site", "transfer-encoding", "expect"};

constexpr std::array dropped{"accept-encoding", "range", "if-range", "connection", "keep-alive", "upgrade", "expect"};

bool is_token(std::string_view text) {
  constexpr std::string_view marks = "!#$%&'*+-.^_`|~";
  return !text.empty() && std::all_of(text.begin(), text.end(), [&](char c) {
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
           marks.find(c) != std::string_view::npos;
  });
}

std::string_view trimmed(std::string_view text) {
  const auto is_blank = [](char c) { return c == ' ' || c == '\t'; };
  while (!text.empty() && is_blank(text.front())) text.remove_prefix(1);
  while (!text.empty() && is_blank(text.back())) text.remove_suffix(1);
  return text;
}

class Check {
 public:
  explicit Check(std::size_t body_bytes_max) : body_bytes_max_{body_bytes_max} {}

  /// nullopt: good so far.
  std::optional<BadHead> request_line(std::string_view line) {
    const std::size_t first = line.find(' '), second = line.rfind(' ');
    if (first == std::string_view::npos || second == first) return bad("the request line is not METHOD PATH HTTP/1.1");
    method_ = line.substr(0, first);
    const std::string_view target = line.substr(first + 1, second - first - 1), version = line.substr(second + 1);
    if (version != "HTTP/1.1" && version != "HTTP/1.0") return BadHead{505, "only HTTP/1.1 is spoken here"};
    if (!is_token(method_)) return bad("the method is not a word");
    if (method_ != "GET" && method_ != "HEAD" && method_ != "POST")
      return BadHead{405, "only GET, HEAD and POST are taken here"};
    if (target.size() > target_bytes_max) return BadHead{414, "the path is too long"};
    const auto is_graphic = [](char c) { return c > ' ' && c < 0x7f; };
    if (!target.starts_with('/') || !std::all_of(target.begin(), target.end(), is_graphic) ||
        target.find('#') != std::string_view::npos || std::count(target.begin(), target.end(), '?') > 1)
      return bad("the path must begin with / and be percent-encoded");
    is_1_0_ = version == "HTTP/1.0";
    head_.keep_alive = !is_1_0_;
    pass_on(line);
    return std::nullopt;
  }

  std::optional<BadHead> header(std::string_view line) {
    if (++lines_ > header_lines_max) return BadHead{431, "there are too many header lines"};
    const std::size_t colon = line.find(':');
    if (colon == std::string_view::npos || !is_token(line.substr(0, colon)))
      return bad("a header line is not NAME: VALUE");
    const std::string name = lower(line.substr(0, colon));
    const std::string_view value = trimmed(line.substr(colon + 1));
    if (!is_printable(value)) return bad("a header holds a control character");
    for (std::size_t i = 0; i < once.size(); ++i) {
      if (name != once[i]) continue;
      if (seen_[i]) return bad("the header " + name + " is there twice");
      seen_[i] = true;
    }
    if (name == "transfer-encoding") {
      // Anything in front of "chunked" would be compression; HTTP/1.0 has no chunks, so somebody between may not see
      // them.
      if (lower(value) != "chunked") return BadHead{501, "the only Transfer-Encoding taken here is chunked"};
      if (is_1_0_) return bad("HTTP/1.0 has no Transfer-Encoding");
      head_.is_chunked = true;
    }
    if (name == "content-encoding") return BadHead{415, "a body must come as it is, not compressed"};
    if (name == "expect") {
      if (lower(value) != "100-continue") return BadHead{417, "the only thing to Expect here is 100-continue"};
      head_.expects_continue = !is_1_0_;  // a client of 1.0 would take the promise for the answer
    }
    if (name == "connection" && lower(value) == "close") head_.keep_alive = false;
    if (std::find(dropped.begin(), dropped.end(), name) == dropped.end()) pass_on(line);
    return name == "content-length" ? length(value) : std::nullopt;
  }

  std::variant<Head, BadHead> finish() {
    if (!seen_[0] && !is_1_0_) return BadHead{400, "the header Host is missing"};
    // Whoever stands between may have believed the other of the two, and taken a part of this body for a request.
    if (has_length_ && head_.is_chunked) return bad("Content-Length and Transfer-Encoding are two lengths of one body");
    if (method_ == "POST" && !has_length_ && !head_.is_chunked)
      return BadHead{411, "a body must come with its Content-Length, or in chunks"};
    if (method_ != "POST" && head_.has_body()) return BadHead{400, "only a POST has a body"};
    pass_on("");
    return std::move(head_);
  }

 private:
  void pass_on(std::string_view line) { head_.text.append(line).append(line_end); }

  static BadHead bad(std::string sentence) { return {400, std::move(sentence)}; }

  std::optional<BadHead> length(std::string_view value) {
    const char* end = value.data() + value.size();
    std::size_t length = 0;
    const auto [stop, error] = std::from_chars(value.data(), end, length);
    if (value.empty() || stop != end || error == std::errc::invalid_argument)
      return bad("Content-Length is not a number");
    if (error != std::errc{} || length > body_bytes_max_)
      return BadHead{413, "the body is larger than " + std::to_string(body_bytes_max_) + " bytes"};
    head_.content_length = length;
    has_length_ = true;
    return std::nullopt;
  }

  std::size_t body_bytes_max_;
  std::string_view method_;
  bool is_1_0_ = false;
  bool has_length_ = false;
  std::size_t lines_ = 0;
  std::array<bool, once.size()> seen_{};
  Head head_;
};

}  // namespace

bool is_printable(std::string_view text) {
  return std::all_of(text.begin(), text.end(), [](char c) { return c == '\t' || (c >= ' ' && c != 0x7f) || c < 0; });
}

bool is_header_line(std::string_view line) {
  const std::size_t colon = line.find(':');
  return colon != std::string_view::npos && is_token(line.substr(0, colon)) && is_printable(line.substr(colon + 1));
}

std::optional<std::size_t> head_end(std::string_view bytes) {
  const std::size_t at = bytes.find("\r\n\r\n");
  if (at == std::string_view::npos) return std::nullopt;
  return at + 4;
}

std::variant<Head, BadHead> check_head(std::string_view head, std::size_t body_bytes_max) {
  Check check{body_bytes_max};
  bool first = true;
  while (true) {
    const std::size_t end = head.find(line_end);
    if (end == std::string_view::npos) return BadHead{400, "a line of the head does not end with CR LF"};
    const std::string_view line = head.substr(0, end);
    head.remove_prefix(end + line_end.size());
    if (!first && line.empty()) break;
    if (auto wrong = first ? check.request_line(line) : check.header(line)) return *wrong;
    first = false;
  }
  if (!head.empty()) return BadHead{400, "the head goes on behind its empty line"};
  return check.finish();
}

}  // namespace pfsync::engine::http
