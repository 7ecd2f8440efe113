#include "engine/http/head.h"
#include "engine/base64.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <string>

#include "engine/http/words.h"

namespace pfsync::engine::http {
namespace {

using namespace std::string_literals;

constexpr std::size_t body_max = 100;

/// 0: taken.
int status_of(const std::string& head) {
  const auto checked = check_head(head, body_max);
  const auto* bad = std::get_if<BadHead>(&checked);
  return bad == nullptr ? 0 : bad->status;
}

std::string get(const std::string& lines) { return "GET / HTTP/1.1\r\nHost: x\r\n" + lines + "\r\n"; }
std::string post(const std::string& lines) { return "POST / HTTP/1.1\r\nHost: x\r\n" + lines + "\r\n"; }

TEST(Head, WhatIsWellFormedIsTaken) {
  EXPECT_EQ(status_of(get("")), 0);
  EXPECT_EQ(status_of(get("Accept: */*\r\nX-Empty:\r\n")), 0);
  EXPECT_EQ(status_of("GET /a?b=c%20d HTTP/1.0\r\n\r\n"), 0);
  EXPECT_EQ(status_of(post("Content-Length: 100\r\n")), 0);
  const auto head = std::get<Head>(check_head(post("Content-Length: 7\r\nConnection: close\r\n"), body_max));
  EXPECT_EQ(head.content_length, 7u);
  EXPECT_FALSE(head.keep_alive);
}

TEST(Head, EachFaultHasItsStatus) {
  EXPECT_EQ(status_of("GET /\r\nHost: x\r\n\r\n"), 400);
  EXPECT_EQ(status_of("GET  / HTTP/1.1\r\nHost: x\r\n\r\n"), 400);
  EXPECT_EQ(status_of("GET http://x/ HTTP/1.1\r\nHost: x\r\n\r\n"), 400);
  EXPECT_EQ(status_of("GET /a#b HTTP/1.1\r\nHost: x\r\n\r\n"), 400);
  EXPECT_EQ(status_of("GET /a?b?c HTTP/1.1\r\nHost: x\r\n\r\n"), 400);
  EXPECT_EQ(status_of("GET /\x80 HTTP/1.1\r\nHost: x\r\n\r\n"), 400);
  EXPECT_EQ(status_of("GET / HTTP/2.0\r\nHost: x\r\n\r\n"), 505);
  EXPECT_EQ(status_of("PUT / HTTP/1.1\r\nHost: x\r\n\r\n"), 405);
  EXPECT_EQ(status_of("GET /" + std::string(target_bytes_max, 'a') + " HTTP/1.1\r\nHost: x\r\n\r\n"), 414);
  EXPECT_EQ(status_of("GET / HTTP/1.1\r\n\r\n"), 400) << "no Host";
  EXPECT_EQ(status_of(get("Host: y\r\n")), 400) << "two hosts";
  EXPECT_EQ(status_of(get(" folded\r\n")), 400);
  EXPECT_EQ(status_of(get("Bad Name: x\r\n")), 400);
  EXPECT_EQ(status_of(get("X: a\nb\r\n")), 400);
  EXPECT_EQ(status_of(get("X: a\0b\r\n"s)), 400);
  EXPECT_EQ(status_of(get("Content-Length: 3\r\n")), 400) << "a GET with a body";
  EXPECT_EQ(status_of(post("")), 411);
  EXPECT_EQ(status_of(post("Content-Length: 101\r\n")), 413);
  EXPECT_EQ(status_of(post("Content-Length: 99999999999999999999999\r\n")), 413);
  EXPECT_EQ(status_of(post("Content-Length: -1\r\n")), 400);
  EXPECT_EQ(status_of(post("Content-Length: 1\r\nContent-Length: 1\r\n")), 400);
  EXPECT_EQ(status_of(post("Transfer-Encoding: gzip, chunked\r\n")), 501);
  EXPECT_EQ(status_of(post("Transfer-Encoding: \vchunked\r\n")), 400);
  EXPECT_EQ(status_of(post("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n")), 400);
  EXPECT_EQ(status_of("POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n"), 400);
  EXPECT_EQ(status_of(get("Transfer-Encoding: chunked\r\n")), 400) << "a GET with a body";
  EXPECT_EQ(status_of(post("Content-Length: 1\r\nContent-Encoding: gzip\r\n")), 415);
  EXPECT_EQ(status_of(post("Content-Length: 1\r\nExpect: 200-ok\r\n")), 417);
  std::string many;
  for (std::size_t i = 0; i < header_lines_max; ++i) many += "X-" + std::to_string(i) + ": y\r\n";
  EXPECT_EQ(status_of(get(many)), 431);
}

TEST(Head, ABodyHasOneLength) {
  for (const char* both :
       {"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n", "Transfer-Encoding: chunked\r\nContent-Length: 3\r\n",
        "Content-Length: 0\r\ntransfer-encoding: CHUNKED\r\n"})
    EXPECT_EQ(status_of(post(both)), 400) << both;
  const auto head = std::get<Head>(check_head(post("Transfer-Encoding: Chunked\r\n"), body_max));
  EXPECT_TRUE(head.is_chunked);
  EXPECT_TRUE(head.has_body());
  EXPECT_EQ(head.content_length, 0u);
}

TEST(Head, AClientMayWaitForLeave) {
  const auto head = std::get<Head>(check_head(post("Content-Length: 9\r\nExpect: 100-Continue\r\n"), body_max));
  EXPECT_TRUE(head.expects_continue);
  EXPECT_EQ(head.text, post("Content-Length: 9\r\n")) << "who answers need not know";
  const auto old = check_head("POST / HTTP/1.0\r\nContent-Length: 9\r\nExpect: 100-continue\r\n\r\n", body_max);
  EXPECT_FALSE(std::get<Head>(old).expects_continue) << "HTTP/1.0 knows no other answer than the last";
}

TEST(Head, WhatIsNotOfferedIsNotPassedOn) {
  const auto head =
      std::get<Head>(check_head(get("Range: bytes=0-,0-\r\nAccept-Encoding: gzip\r\nCookie: a=b\r\n"), body_max));
  EXPECT_EQ(head.text, "GET / HTTP/1.1\r\nHost: x\r\nCookie: a=b\r\n\r\n");
}

TEST(Head, ItsEndIsBehindTheEmptyLine) {
  EXPECT_FALSE(head_end("GET / HTTP/1.1\r\n").has_value());
  EXPECT_EQ(head_end("GET / HTTP/1.1\r\n\r\nbody"), 18u);
}

TEST(Words, Base64IsStrictAndItsOwnInverse) {
  for (const std::string& bytes : {""s, "a"s, "ab"s, "abc"s, "\0\xff\x80z"s}) {
    const std::string text = to_base64(bytes);
    EXPECT_EQ(from_base64(text), bytes);
  }
  for (const char* bad : {"a", "ab", "abc", "ab=c", "ab==cd==", "aa=a", "a===", "aB==", "YQ= ", "YR=="})
    EXPECT_FALSE(from_base64(bad).has_value()) << bad;
}

TEST(Words, CookiesAndCredentialsAreFoundByTheirWholeName) {
  EXPECT_EQ(cookie_of("xa=1; a=2;b=3", "a"), "2");
  EXPECT_EQ(cookie_of("xa=1; a=2;b=3", "b"), "3");
  EXPECT_FALSE(cookie_of("xa=1; b", "b").has_value());
  const auto basic = basic_of("Basic dXNlcjpwYTpzcw==");
  ASSERT_TRUE(basic.has_value());
  EXPECT_EQ(basic->user, "user");
  EXPECT_EQ(basic->password, "pa:ss");
  EXPECT_FALSE(basic_of("Bearer dXNlcjpwYTpzcw==").has_value());
  EXPECT_FALSE(basic_of("Basic dXNlcg==").has_value());
}

TEST(Words, AnAuthorityIsAHostAndAPort) {
  EXPECT_EQ(authority_of("[::1]:8443"), (Authority{"::1", "8443"}));
  EXPECT_EQ(authority_of("Fw.Example:443"), (Authority{"fw.example", "443"}));
  EXPECT_EQ(authority_of("127.0.0.1"), (Authority{"127.0.0.1", ""}));
  for (const char* bad : {"", ":1", "a b", "a:", "a:70000", "[::1", "a/b", "user@a"})
    EXPECT_FALSE(authority_of(bad).has_value()) << bad;
}

TEST(Words, AQueryBecomesAControlRequest) {
  const auto request =
      show_request("states", {{"cursor", "3.120"}, {"host", "192.0.2.1"}, {"limit", "50"}, {"only_text", "true"}});
  EXPECT_EQ(std::get<nlohmann::ordered_json>(request).dump(),
            R"({"command":"show","what":"states","cursor":{"shard":3,"slot":120},"host":"192.0.2.1","limit":50,)"
            R"("only_text":true})");
  const auto refused = [](const std::vector<std::pair<std::string, std::string>>& query) {
    return std::holds_alternative<std::string>(show_request("states", query));
  };
  EXPECT_TRUE(refused({{"cursor", "3"}}));
  EXPECT_TRUE(refused({{"command", "flush"}})) << "what the path says is not for the query";
  EXPECT_TRUE(refused({{"host", "\xff"}}));
  EXPECT_TRUE(refused({{"a", "1"}, {"a", "2"}}));
}

}  // namespace
}  // namespace pfsync::engine::http
