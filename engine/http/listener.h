#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "engine/http/message.h"
#include "engine/http/tls.h"

namespace pfsync::engine::http {

/// What one listener may cost, whoever speaks to it.
struct Limits {
  unsigned workers = 16;            ///< connections served at a time, each by a thread
  std::size_t waiting = 32;         ///< accepted connections that wait for a worker; further ones are closed
  unsigned per_address = 12;        ///< connections of one address at a time (IPv6: of one /64)
  unsigned connections_per_s = 50;  ///< of one address, in the mean; four times as many at once
  unsigned requests_per_s = 100;    ///< of one address, in the mean; four times as many at once
  std::size_t head_bytes = std::size_t{8} * 1024;
  std::size_t body_bytes = std::size_t{64} * 1024;
  std::chrono::milliseconds handshake{5000};   ///< from being served to the end of the TLS handshake
  std::chrono::milliseconds head{10'000};      ///< from a request's first byte to the end of its head
  std::chrono::milliseconds request{10'000};   ///< from there to its last byte; for the head too, if that is less
  std::chrono::milliseconds response{20'000};  ///< for the client to take the whole answer
  std::chrono::milliseconds idle{15'000};      ///< between two requests; less when others wait for a worker
  unsigned requests_per_connection = 1000;
};

struct ListenerSettings {
  std::string address;     ///< an IP address
  std::uint16_t port = 0;  ///< 0: any; port() tells which
  TlsSettings tls;
  Limits limits{};
};

/// Serves HTTPS on threads of its own, which run below the priority of the rest, take no signal and touch nothing but
/// what the handler touches. Thread-bound to its owner but for the handler.
class Listener {
 public:
  /// A sentence about a client that was refused before its request could be read: a few a minute at most.
  using Log = std::function<void(const std::string& sentence)>;

  /// Or one sentence why not. Whom the doorkeeper sends away has made no more than a head be kept.
  [[nodiscard]] static std::variant<std::unique_ptr<Listener>, std::string> create(const ListenerSettings& settings,
                                                                                   Handler handler, Log log,
                                                                                   Doorkeeper doorkeeper = {});
  /// Ends every connection and waits for the threads; a handler that waits must be woken first.
  ~Listener();
  Listener(const Listener&) = delete;
  Listener& operator=(const Listener&) = delete;

  [[nodiscard]] std::uint16_t port() const;

  struct Count {
    std::string_view word;
    std::string_view sentence;
    std::uint64_t value;
  };
  /// From any thread.
  [[nodiscard]] std::vector<Count> counts() const;

 private:
  struct Parts;
  explicit Listener(std::unique_ptr<Parts> parts);
  std::unique_ptr<Parts> parts_;
};

}  // namespace pfsync::engine::http
