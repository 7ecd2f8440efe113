#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace pfsync::engine::http {

/// The certificate that a client has proved to hold the key of, and that the listener's rules took.
struct PeerCertificate {
  std::string common_name;                 ///< of its subject; empty when it has none
  std::array<std::uint8_t, 32> key{};      ///< SHA-256 of the SubjectPublicKeyInfo, what a pin names
  std::array<std::uint8_t, 32> content{};  ///< SHA-256 of the whole certificate
};

/// One request, checked for form and size. Header names are matched without regard to case.
struct Request {
  std::string method;                                      ///< GET, HEAD or POST
  std::string path;                                        ///< percent-decoded, without the query; begins with '/'
  std::vector<std::pair<std::string, std::string>> query;  ///< percent-decoded, in the order of their names
  std::vector<std::pair<std::string, std::string>> headers;
  std::string body;
  std::string address;           ///< the client's, as text
  std::uint16_t local_port = 0;  ///< that it came to
  std::optional<PeerCertificate> certificate;

  /// Empty when it is not there.
  [[nodiscard]] std::string_view header(std::string_view name) const;
};

struct Response {
  int status = 200;
  std::string content_type = "application/json";
  std::string body{};
  std::vector<std::pair<std::string, std::string>> headers{};
};

/// Called on a listener's threads, by several at once. What it throws becomes 500.
using Handler = std::function<Response(const Request&)>;

/// Judges a request before its body is read, by all but that: the answer to give instead of reading on, or nothing.
/// Called where a Handler is, before it.
using Doorkeeper = std::function<std::optional<Response>(const Request&)>;

/// {"ok": false, "error": SENTENCE}
[[nodiscard]] Response refusal(int status, std::string_view sentence);

}  // namespace pfsync::engine::http
