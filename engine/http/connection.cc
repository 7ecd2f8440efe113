#include "engine/http/connection.h"

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>

namespace pfsync::engine::http {
namespace {

using std::chrono::milliseconds;

/// Whether the socket became ready before that time.
bool wait_for(int fd, short what, Connection::Clock::time_point until) {
  while (true) {
    const auto left = std::chrono::ceil<milliseconds>(until - Connection::Clock::now());
    if (left <= milliseconds{0}) return false;
    pollfd wanted{fd, what, 0};
    const int ready = ::poll(&wanted, 1, static_cast<int>(left.count()));
    if (ready > 0) return true;
    if (ready == 0 || errno != EINTR) return false;
  }
}

std::string version_text(int version) {
  constexpr int newest_minor = 4;
  const int minor = version - TLS1_VERSION;
  return minor >= 0 && minor <= newest_minor ? "TLS 1." + std::to_string(minor) : "SSL";
}

/// Why a handshake failed, as an operator of the other side would want to hear it. Empty: for none of the usual
/// reasons.
std::string cause_of(const SSL* ssl, unsigned long error, long verified) {
  switch (verified) {
    case X509_V_ERR_CERT_HAS_EXPIRED: return "its certificate has expired: give it a new one, or set the clocks";
    case X509_V_ERR_CERT_NOT_YET_VALID: return "its certificate is not valid yet: compare both clocks";
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT:
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY:
    case X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE:
    case X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT:
    case X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN:
      return "its certificate is from another authority than the one that is trusted here (wrong CA)";
    default: break;
  }
  switch (ERR_GET_REASON(error)) {
    case SSL_R_UNSUPPORTED_PROTOCOL:
    case SSL_R_WRONG_SSL_VERSION:
      return "it speaks " + version_text(SSL_client_version(ssl)) + " at most, too old for this door: " +
             version_text(static_cast<int>(SSL_CTX_get_min_proto_version(SSL_get_SSL_CTX(ssl)))) + " is needed";
    case SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE: return "it has shown no certificate, and only those with one come in";
    case SSL_R_HTTP_REQUEST: return "it speaks HTTP without TLS: it must ask for https";
    case SSL_R_WRONG_VERSION_NUMBER:
    case SSL_R_UNKNOWN_PROTOCOL: return "what it speaks is not TLS";
    case SSL_R_NO_SHARED_CIPHER: return "it offers no cipher that is safe";
    case SSL_R_TLSV1_ALERT_UNKNOWN_CA:
    case SSL_R_SSLV3_ALERT_BAD_CERTIFICATE:
    case SSL_R_SSLV3_ALERT_CERTIFICATE_UNKNOWN: return "it does not trust this node's certificate";
    default: return "";
  }
}

}  // namespace

Connection::Connection(int fd, const TlsContext& tls) : fd_{fd}, ssl_{SSL_new(tls.get()), SSL_free} {
  if (ssl_ == nullptr || SSL_set_fd(ssl_.get(), fd) != 1 || SSL_set_app_data(ssl_.get(), &refusal_) != 1)
    broken_ = true;
}

Connection::~Connection() {
  ssl_.reset();
  close(fd_);
}

bool Connection::ready(int result, Clock::time_point until) {
  const int error = SSL_get_error(ssl_.get(), result);
  if (error == SSL_ERROR_WANT_READ) return wait_for(fd_, POLLIN, until);
  if (error == SSL_ERROR_WANT_WRITE) return wait_for(fd_, POLLOUT, until);
  broken_ = true;
  return false;
}

std::string Connection::handshake(Clock::time_point until) {
  if (broken_) return "there is no memory for TLS";
  while (true) {
    ERR_clear_error();
    const int result = SSL_accept(ssl_.get());
    if (result == 1) return "";
    if (ready(result, until)) continue;
    if (!broken_) {
      broken_ = true;
      return "the TLS handshake took too long";
    }
    const long verified = SSL_get_verify_result(ssl_.get());
    const std::string cause = refusal_.empty() ? cause_of(ssl_.get(), ERR_peek_error(), verified) : refusal_;
    std::string why = "TLS: " + tls_error();
    if (verified != X509_V_OK) why += std::string{", "} + X509_verify_cert_error_string(verified);
    return cause.empty() ? why : cause + " (" + why + ")";
  }
}

std::optional<PeerCertificate> Connection::peer() const {
  const X509* shown = SSL_get0_peer_certificate(ssl_.get());
  if (shown == nullptr || SSL_get_verify_result(ssl_.get()) != X509_V_OK) return std::nullopt;
  return describe(*shown);
}

std::size_t Connection::read(std::span<char> room, Clock::time_point until) {
  while (!broken_) {
    ERR_clear_error();
    const int got = SSL_read(ssl_.get(), room.data(), static_cast<int>(std::min<std::size_t>(room.size(), 1u << 14u)));
    if (got > 0) return static_cast<std::size_t>(got);
    if (!ready(got, until)) break;
  }
  return 0;
}

bool Connection::write(std::string_view bytes, Clock::time_point until) {
  while (!broken_ && !bytes.empty()) {
    if (Clock::now() >= until) return false;
    ERR_clear_error();
    const int sent =
        SSL_write(ssl_.get(), bytes.data(), static_cast<int>(std::min<std::size_t>(bytes.size(), 1u << 14u)));
    if (sent > 0)
      bytes.remove_prefix(static_cast<std::size_t>(sent));
    else if (!ready(sent, until))
      return false;
  }
  return !broken_;
}

bool Connection::readable(milliseconds within) {
  return !broken_ && (SSL_pending(ssl_.get()) > 0 || wait_for(fd_, POLLIN, Clock::now() + within));
}

void Connection::finish() {
  if (broken_) return;
  ERR_clear_error();
  static_cast<void>(SSL_shutdown(ssl_.get()));
  shutdown(fd_, SHUT_WR);
}

void Connection::interrupt() const { shutdown(fd_, SHUT_RDWR); }

}  // namespace pfsync::engine::http
