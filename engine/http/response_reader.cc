#include "engine/http/response_reader.h"

#include <algorithm>
#include <charconv>
#include <utility>

#include "engine/http/head.h"
#include "engine/http/words.h"

namespace pfsync::engine::http {
namespace {

constexpr const char* no_http = "the other node's answer is not HTTP";
constexpr const char* too_large = "the other node's answer is too large";
constexpr std::string_view end_of_line = "\r\n";

bool is_digit(char c) { return c >= '0' && c <= '9'; }

/// HTTP/1.x, a blank, three digits and, behind another blank, words for people.
int status_of(std::string_view line) {
  constexpr std::string_view begin = "HTTP/1.";
  constexpr std::size_t digits = begin.size() + 2;
  if (!line.starts_with(begin) || line.size() < digits + 3 || !is_digit(line[begin.size()]) || line[digits - 1] != ' ')
    return 0;
  if (line.size() > digits + 3 && line[digits + 3] != ' ') return 0;
  int status = 0;
  const auto [stop, error] = std::from_chars(line.data() + digits, line.data() + digits + 3, status);
  return error == std::errc{} && stop == line.data() + digits + 3 && status >= 100 && status < 600 ? status : 0;
}

}  // namespace

std::string ResponseReader::read_head(std::string_view head) {
  bool has_length = false;
  std::size_t end = head.find(end_of_line);
  status_ = status_of(head.substr(0, end));
  if (status_ == 0) return no_http;
  for (head.remove_prefix(end + end_of_line.size()); head != end_of_line; head.remove_prefix(end + 2)) {
    end = head.find(end_of_line);
    const std::string_view line = head.substr(0, end);
    if (!is_header_line(line)) return no_http;
    const std::size_t colon = line.find(':');
    const std::string name = lower(line.substr(0, colon));
    if (name == "transfer-encoding") return "the other node's answer comes in chunks, which none of its kind sends";
    if (name != "content-length") continue;
    std::string_view digits = line.substr(colon + 1);
    digits.remove_prefix(std::min(digits.find_first_not_of(" \t"), digits.size()));
    digits = digits.substr(0, digits.find_last_not_of(" \t") + 1);
    const auto [stop, error] = std::from_chars(digits.data(), digits.data() + digits.size(), length_);
    if (has_length || error == std::errc::invalid_argument || stop != digits.data() + digits.size()) return no_http;
    if (error != std::errc{} || length_ > body_bytes_max) return too_large;
    has_length = true;
  }
  return has_length ? "" : no_http;
}

std::string ResponseReader::take(std::string_view bytes) {
  if (!why_.empty()) return why_;
  if (!has_head_) {
    const std::size_t before = head_.size();
    head_.append(bytes.substr(0, head_bytes_max - before));
    const auto end = head_end(head_);
    if (!end) return head_.size() < head_bytes_max ? "" : fail("the head of the other node's answer is too large");
    bytes.remove_prefix(*end - before);
    if (std::string why = read_head(std::string_view{head_}.substr(0, *end)); !why.empty()) return fail(std::move(why));
    has_head_ = true;
    body_.reserve(length_);
  }
  body_.append(bytes.substr(0, length_ - body_.size()));
  return "";
}

}  // namespace pfsync::engine::http
