// The head of an HTTP request as a client sends it, and the words in it that the daemon reads itself: what passes the
// door is well-formed and can be read again to the same; cookies, credentials, authorities and queries hold together.
// And the body behind it, in chunks or not: the same in whatever pieces it comes, and never larger than allowed.
#include "engine/base64.h"
#include "engine/http/body.h"
#include "engine/http/head.h"

#include <algorithm>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "engine/http/users.h"
#include "engine/http/words.h"
#include "tests/fuzz/check.h"
#include "tests/fuzz/mutate.h"

namespace pfsync::fuzz {
namespace {

using namespace engine::http;

constexpr std::size_t body_max = 1000;

void check_words(std::string_view value) {
  if (const auto cookie = cookie_of(value, "a"))
    check(value.find("a=" + std::string{*cookie}) != std::string_view::npos, "a cookie's value stands in its header");
  if (const auto credentials = basic_of(value)) {
    const std::string both = credentials->user + ":" + credentials->password;
    const auto again = basic_of("Basic " + engine::to_base64(both));
    check(again && again->user == credentials->user && again->password == credentials->password,
          "credentials that were read are written and read the same");
    check(credentials->user.find(':') == std::string::npos, "a user's name has no colon");
  }
  if (const auto authority = authority_of(value)) {
    const bool is_inet6 = authority->host.find(':') != std::string::npos;
    const std::string text = (is_inet6 ? "[" + authority->host + "]" : authority->host) +
                             (authority->port.empty() ? "" : ":" + authority->port);
    check(authority_of(text) == authority, "an authority that was read is written and read the same");
  }
  std::vector<std::pair<std::string, std::string>> query{
      {std::string{value.substr(0, value.size() / 2)}, std::string{value.substr(value.size() / 2)}},
      {"cursor", std::string{value}}};
  const auto request = show_request(value, query);
  if (const auto* json = std::get_if<nlohmann::ordered_json>(&request)) {
    check((*json)["command"] == "show", "a query orders nothing");
    check((*json)["what"] == std::string{value}, "what is shown is what the path says");
    static_cast<void>(json->dump());
  }
  if (const auto decoded = engine::from_base64(value))
    check(engine::to_base64(*decoded) == value, "base64 has one form");
  const auto users = parse_users(value, "f");
  if (const auto* all = std::get_if<Users>(&users))
    check(std::get<Users>(parse_users(users_text(*all), "f")) == *all, "users are written and read the same");
}

void check_body(const Head& head, std::string_view bytes) {
  Body whole{head, body_max}, pieces{head, body_max};
  const std::size_t taken = whole.take(bytes);
  check(taken <= bytes.size(), "a body takes no more than there is");
  std::size_t at = 0, piece = 1;
  while (at < bytes.size()) {
    const std::size_t count = pieces.take(bytes.substr(at, piece));
    if (count == 0) break;
    at += count;
    piece = piece % 7 + 1;
  }
  check(at == taken && whole.is_whole() == pieces.is_whole(), "a body ends where it ends, in whatever pieces it comes");
  check(whole.wrong().has_value() == pieces.wrong().has_value(), "what is wrong is wrong in pieces too");
  check(!(whole.wrong() && whole.is_whole()), "a whole body is right");
  if (whole.wrong()) check(whole.wrong()->status == pieces.wrong()->status, "and for the same reason");
  if (!whole.is_whole()) return;
  const std::string text = whole.release();
  check(text.size() <= body_max && text.size() <= bytes.size(), "a body has its limit");
  check(text == pieces.release(), "a body is the same in pieces");
}

void check_request(std::string_view bytes) {
  const auto end = head_end(bytes);
  if (!end) return;
  const auto checked = check_head(bytes.substr(0, *end), body_max);
  if (const auto* bad = std::get_if<BadHead>(&checked)) {
    check(bad->status >= 400 && bad->status < 600 && !bad->sentence.empty(), "a refusal has a status and a sentence");
    return;
  }
  const Head& head = std::get<Head>(checked);
  check(head.content_length <= body_max, "a body has its limit");
  check(head.text.size() <= *end, "nothing is added to a head");
  check(head_end(head.text) == head.text.size(), "a head has one end");
  const auto clean = [](char c) { return c == '\r' || c == '\n' || c == '\t' || (c >= ' ' && c != 0x7f) || c < 0; };
  check(std::all_of(head.text.begin(), head.text.end(), clean), "no control character passes the door");
  const auto again = check_head(head.text, body_max);
  check(std::holds_alternative<Head>(again) && std::get<Head>(again).text == head.text &&
            std::get<Head>(again).content_length == head.content_length &&
            std::get<Head>(again).is_chunked == head.is_chunked,
        "what passed the door passes it again as it is");
  check(!(head.is_chunked && head.content_length > 0), "a body has one length");
  check_body(head, bytes.substr(*end));
}

}  // namespace
}  // namespace pfsync::fuzz

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view bytes{reinterpret_cast<const char*>(data), size};
  pfsync::fuzz::check_request(bytes);
  pfsync::fuzz::check_words(bytes);
  pfsync::fuzz::check_body({.is_chunked = true}, bytes);
  return 0;
}

extern "C" std::size_t LLVMFuzzerCustomMutator(std::uint8_t* data, std::size_t size, std::size_t max_size,
                                               unsigned seed) {
  using namespace pfsync;
  return fuzz::mutated(data, size, max_size, seed, [](fuzz::Input& input, fuzz::Random& random) {
    fuzz::mutate_text(input, random, "\r\n 	,;",
                      {"GET / HTTP/1.1\r\n", "Host: a\r\n", "Content-Length: 10\r\n", "Transfer-Encoding: chunked\r\n",
                       "Connection: close\r\n", "Expect: 100-continue\r\n", "\r\n", "0\r\n\r\n", "5\r\nhello\r\n",
                       "ffffffffffffffff\r\n", ";a=b", "Basic dTpw", "a=b; ", "[::1]:8443", "states", "cursor", "%2e"});
  });
}
