#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <variant>
#include <vector>

#include "engine/http/message.h"

struct ssl_ctx_st;
struct x509_st;

namespace pfsync::engine::http {

/// How a listener proves who it is, and what it asks of its clients.
struct TlsSettings {
  std::string certificate;  ///< PEM file: the listener's own, then those above it
  std::string key;          ///< PEM file of its private key
  bool only_1_3 = false;    ///< else TLS 1.2 is taken too
  enum class Client : std::uint8_t {
    none,      ///< no certificate is asked for
    optional,  ///< one that is shown must be good
    required,
  } client = Client::none;
  /// PEM file of the authorities that a client's certificate must come from. Unused where `accept` is given.
  std::string client_ca{};
  /// Judges a client's certificate in place of authorities: pins. Returns why not, as one sentence; empty: taken. Its
  /// dates have been checked. Called on the listener's threads, by several at once.
  std::function<std::string(const PeerCertificate&)> accept{};
};

using TlsContext = std::shared_ptr<ssl_ctx_st>;
/// Or one sentence why not. What `accept` says is left in the string that is an SSL's app data.
[[nodiscard]] std::variant<TlsContext, std::string> make_tls(const TlsSettings& settings);

/// SHA-256 of a PEM file's first certificate, as AB:CD:…; empty when it cannot be read.
[[nodiscard]] std::string fingerprint_of(const std::filesystem::path& certificate);
/// The host names and addresses that a PEM file's first certificate is for, in lower case.
[[nodiscard]] std::vector<std::string> names_of(const std::filesystem::path& certificate);

/// A certificate of one's own (ECDSA P-256), for those names and addresses, this machine's name and loopback. Writes
/// both files, the key for its owner alone, unless they are there, for `names` and valid for another month. Returns why
/// not.
[[nodiscard]] std::string make_self_signed(const std::filesystem::path& certificate, const std::filesystem::path& key,
                                           const std::vector<std::string>& names);

/// Why the last call of OpenSSL on this thread failed, in its words; clears its queue.
[[nodiscard]] std::string tls_error();
[[nodiscard]] PeerCertificate describe(const x509_st& certificate);

}  // namespace pfsync::engine::http
