#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <variant>

#include "engine/config_sync/settings.h"

namespace pfsync::engine::config_sync {

/// SHA-256 of a certificate's SubjectPublicKeyInfo: what two paired nodes know of each other.
using KeyHash = std::array<std::uint8_t, 32>;

/// How to prove who we are, and how to judge the other node.
struct ClientTls {
  std::string certificate, key;  ///< PEM files
  std::string ca{};              ///< PEM file; empty: `accept` judges alone
  /// A sentence why not; empty: taken. The dates were checked, and with `ca` the authority.
  std::function<std::string(const KeyHash&)> accept;
};

struct Posted {
  int status = 0;
  std::string body;
  KeyHash peer{};
};
inline constexpr std::chrono::milliseconds call_patience{3000};  ///< of one call to the other node

/// One POST over a TLS 1.3 connection of its own, which both sides' certificates open. Or one sentence about the cause.
/// Blocks for `patience` at most; on a thread that may.
[[nodiscard]] std::variant<Posted, std::string> post(const Endpoint& endpoint, const ClientTls& tls,
                                                     const std::string& path, const std::string& body,
                                                     std::chrono::milliseconds patience,
                                                     const char* content_type = "text/xml");

}  // namespace pfsync::engine::config_sync
