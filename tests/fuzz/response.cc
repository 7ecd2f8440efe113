// What another node answers over HTTP, as a client reads it: the same in whatever pieces it comes, never larger than
// allowed, and with a status; or one clause why it is no answer.
#include <algorithm>
#include <cstdint>
#include <string>
#include <string_view>

#include "engine/http/response_reader.h"
#include "tests/fuzz/check.h"
#include "tests/fuzz/mutate.h"

namespace pfsync::fuzz {
namespace {

using engine::http::ResponseReader;

void check_response(std::string_view bytes) {
  ResponseReader whole, pieces;
  const std::string why = whole.take(bytes);
  check(why.empty() || is_one_line(why), "what is wrong is told in one line");
  check(why.empty() || !whole.is_whole(), "what is wrong is not whole");
  std::string why_in_pieces;
  for (std::size_t at = 0, piece = 1; at < bytes.size(); at += piece, piece = piece % 7 + 1)
    why_in_pieces = pieces.take(bytes.substr(at, piece));
  check(why == why_in_pieces, "what is wrong is wrong in pieces, too");
  check(whole.is_whole() == pieces.is_whole(), "an answer ends where it ends, in whatever pieces it comes");
  if (!whole.is_whole()) return;
  check(whole.status() >= 100 && whole.status() <= 599 && whole.status() == pieces.status(), "an answer has a status");
  const std::string body = whole.release();
  check(body.size() <= ResponseReader::body_bytes_max && body == pieces.release(), "a body is the same in pieces");
  check(bytes.find(body) != std::string_view::npos, "a body is what was sent");
  ResponseReader again;
  const std::string text =
      "HTTP/1.1 200 OK\r\ncontent-length: " + std::to_string(body.size()) + "\r\n\r\n" + body + "x";
  check(again.take(text).empty() && again.is_whole() && again.release() == body, "what was read reads the same");
}

}  // namespace
}  // namespace pfsync::fuzz

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  pfsync::fuzz::check_response({reinterpret_cast<const char*>(data), size});
  return 0;
}

extern "C" std::size_t LLVMFuzzerCustomMutator(std::uint8_t* data, std::size_t size, std::size_t max_size,
                                               unsigned seed) {
  using namespace pfsync;
  return fuzz::mutated(data, size, max_size, seed, [](fuzz::Input& input, fuzz::Random& random) {
    fuzz::mutate_text(
        input, random, "\n ",
        {"HTTP/1.1 200 OK\r\n", "HTTP/1.0 503 \r\n", "Content-Length: 5\r\n", "content-length:0\r\n",
         "Content-Length: 8388609\r\n", "Content-Length: 99999999999999999999\r\n", "Content-Length: -1\r\n",
         "Transfer-Encoding: chunked\r\n", "Connection: close\r\n", "\r\n", "hello", " 600 ", "\n"});
  });
}
