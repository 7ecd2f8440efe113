#pragma once

#include <atomic>
#include <chrono>
#include <cstddef>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "engine/http/message.h"
#include "engine/http/tls.h"

struct ssl_st;

namespace pfsync::engine::http {

/// TLS over one client's socket, every call with a point in time at which it gives up. Owns the socket. Used by one
/// thread; interrupt() by any.
class Connection {
 public:
  using Clock = std::chrono::steady_clock;

  /// `fd`: connected, not blocking.
  Connection(int fd, const TlsContext& tls);
  ~Connection();
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  /// Empty, or why there is none.
  [[nodiscard]] std::string handshake(Clock::time_point until);
  [[nodiscard]] std::optional<PeerCertificate> peer() const;

  /// Some bytes, at least one; 0 when the client ended, was too slow or broke the rules of TLS.
  [[nodiscard]] std::size_t read(std::span<char> room, Clock::time_point until);
  /// All of them, or false.
  [[nodiscard]] bool write(std::string_view bytes, Clock::time_point until);
  /// Whether something can be read within that time.
  [[nodiscard]] bool readable(std::chrono::milliseconds within);
  /// Says goodbye, without waiting for an answer.
  void finish();
  /// From any thread while this lives: every call above ends at once.
  void interrupt() const;

 private:
  /// Waits until the socket is ready for what the call returned `result` wanted; false: give up.
  [[nodiscard]] bool ready(int result, Clock::time_point until);

  int fd_;
  std::unique_ptr<ssl_st, void (*)(ssl_st*)> ssl_;
  std::string refusal_;  ///< of TlsSettings::accept
  bool broken_ = false;
};

}  // namespace pfsync::engine::http
