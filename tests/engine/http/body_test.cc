#include "engine/http/body.h"
#include "engine/http/response_reader.h"

#include <gtest/gtest.h>

#include <string>

namespace pfsync::engine::http {
namespace {

using namespace std::string_literals;

constexpr std::size_t bytes_max = 100;

struct Result {
  int status = 0;  ///< of the refusal; 0: none
  bool whole = false;
  std::string text{};
  std::string rest{};  ///< that was not the body's
};

/// The same in pieces of each size, or the test fails.
Result take(const Head& head, const std::string& bytes) {
  Result first;
  for (const std::size_t piece : {bytes.size(), std::size_t{1}, std::size_t{2}, std::size_t{3}, std::size_t{7}}) {
    Body body{head, bytes_max};
    std::size_t at = 0;
    while (at < bytes.size()) {
      const std::size_t taken = body.take(std::string_view{bytes}.substr(at, piece));
      at += taken;
      if (taken == 0) break;
    }
    Result result{.status = body.wrong() ? body.wrong()->status : 0, .whole = body.is_whole()};
    if (result.whole) result.text = body.release(), result.rest = bytes.substr(at);
    if (piece == bytes.size()) first = result;
    EXPECT_EQ(result.status, first.status) << piece << " " << bytes;
    EXPECT_EQ(result.text, first.text) << piece << " " << bytes;
    EXPECT_EQ(result.rest, first.rest) << piece << " " << bytes;
  }
  return first;
}

Result chunked(const std::string& bytes) { return take({.is_chunked = true}, bytes); }

TEST(Body, ItIsAsLongAsItsHeadSays) {
  const Result counted = take({.content_length = 4}, "bodyGET /");
  EXPECT_EQ(counted.text, "body");
  EXPECT_EQ(counted.rest, "GET /");
  EXPECT_FALSE(take({.content_length = 4}, "bod").whole);
  EXPECT_TRUE(Body({}, bytes_max).is_whole()) << "there is none";
}

TEST(Body, ChunksAreItsPieces) {
  const Result result =
      chunked("4\r\nWiki\r\n6;x=1; y\r\npedia \r\nA\r\nin\r\n\r\n\0zz\n\r\n000\r\nX: y\r\n\r\nGET /"s);
  EXPECT_EQ(result.status, 0);
  EXPECT_EQ(result.text, "Wikipedia in\r\n\r\n\0zz\n"s);
  EXPECT_EQ(result.rest, "GET /");
  EXPECT_EQ(chunked("0\r\n\r\n").text, "");
  EXPECT_TRUE(chunked("0\r\n\r\n").whole);
  EXPECT_FALSE(chunked("4\r\nWiki\r\n").whole);
  EXPECT_EQ(chunked("64\r\n" + std::string(100, 'a') + "\r\n0\r\n\r\n").text.size(), 100u);
}

TEST(Body, WhatIsNotWrittenAsAChunkIsRefused) {
  for (const char* bad : {"\r\n", "g\r\n", "-1\r\n", "+1\r\n", "0x1\r\n", " 1\r\n", "1 \r\n", "1\n", "1\r;\n", ";x\r\n",
                          "1;a\x01\r\n", "1\r\nab", "1\r\na\n", "1\r\na\r0", "0\r\nno colon\r\n\r\n",
                          "0\r\n: x\r\n\r\n", "0\r\n a: x\r\n\r\n", "0\r\nX: y\n\r\n"})
    EXPECT_EQ(chunked(bad).status, 400) << bad;
  EXPECT_EQ(chunked("1;" + std::string(Body::line_bytes_max, 'a') + "\r\n").status, 400);
}

TEST(Body, ChunksAreBoundedTogether) {
  EXPECT_EQ(chunked("65\r\n").status, 413);
  EXPECT_EQ(chunked("32\r\n" + std::string(50, 'a') + "\r\n33\r\n").status, 413);
  EXPECT_EQ(chunked("fffffffffffffffff\r\n").status, 413);
  EXPECT_EQ(chunked("ffffffffffffffff\r\n").status, 413);
  std::string lines;
  while (lines.size() <= Body::trailer_bytes_max) lines += "X: y\r\n";
  EXPECT_EQ(chunked("0\r\n" + lines + "\r\n").status, 431);
}

TEST(HttpResponseReader, ReadsAStatusAndACountedBodyInPieces) {
  const std::string text =
      "HTTP/1.1 503 Service Unavailable\r\nContent-Type: text/xml\r\nCONTENT-LENGTH: 5 \r\n\r\nhello";
  ResponseReader reader;
  for (const char& byte : text) {
    EXPECT_FALSE(reader.is_whole());
    EXPECT_EQ(reader.take({&byte, 1}), "");
  }
  ASSERT_TRUE(reader.is_whole());
  EXPECT_EQ(reader.status(), 503);
  EXPECT_EQ(reader.take("more"), "") << "is left out";
  EXPECT_EQ(reader.release(), "hello");
}

TEST(HttpResponseReader, RefusesWhatIsNoResponse) {
  const auto why = [](const std::string& head) { return ResponseReader{}.take(head + "\r\n\r\n"); };
  constexpr const char* no_http = "the other node's answer is not HTTP";
  for (const char* head :
       {"", "SSH-2.0-x", "HTTP/1.1 20", "HTTP/1.1 099 x\r\nContent-Length: 0", "HTTP/1.1 2000\r\nContent-Length: 0",
        "HTTP/1.1 200 OK", "HTTP/1.1 200 OK\r\nContent-Length: 5 bytes", "HTTP/1.1 200 OK\r\nContent-Length:",
        "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 1", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nnothing"})
    EXPECT_EQ(why(head), no_http) << head;
  EXPECT_NE(why("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked").find("chunks"), std::string::npos);
  for (const char* length : {"8388609", "99999999999999999999"})
    EXPECT_NE(why(std::string{"HTTP/1.1 200 OK\r\nContent-Length: "} + length).find("too large"), std::string::npos);
  ResponseReader endless;
  EXPECT_NE(endless.take("HTTP/1.1 200 OK\r\n" + std::string(ResponseReader::head_bytes_max, 'x')).find("head"),
            std::string::npos);
  EXPECT_NE(endless.take("\r\n\r\n"), "") << "and takes nothing from then on";
}

}  // namespace
}  // namespace pfsync::engine::http
