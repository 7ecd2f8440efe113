#include "engine/config_sync/client.h"

#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <memory>
#include <span>
#include <system_error>
#include <utility>

#include "engine/http/response_reader.h"
#include "engine/http/tls.h"

namespace pfsync::engine::config_sync {
namespace {

using Clock = std::chrono::steady_clock;

/// The cause, on its way to the caller.
struct Cause {
  std::string sentence;
};

struct Socket {
  int fd = -1;
  ~Socket() {
    if (fd >= 0) close(fd);
  }
};

void wait_for(int fd, short events, Clock::time_point until) {
  const auto left = std::chrono::ceil<std::chrono::milliseconds>(until - Clock::now());
  pollfd one{fd, events, 0};
  const int ready = left.count() <= 0 ? 0 : poll(&one, 1, static_cast<int>(left.count()));
  if (ready < 0 && errno != EINTR) throw Cause{"the connection broke: " + std::generic_category().message(errno)};
  if (ready == 0) throw Cause{"the other node did not answer in time"};
}

void connect_to(Socket& socket_, const Endpoint& endpoint, Clock::time_point until) {
  sockaddr_storage storage{};
  socklen_t size = 0;
  auto* v4 = reinterpret_cast<sockaddr_in*>(&storage);
  auto* v6 = reinterpret_cast<sockaddr_in6*>(&storage);
  if (inet_pton(AF_INET, endpoint.address.c_str(), &v4->sin_addr) == 1) {
    v4->sin_family = AF_INET;
    v4->sin_port = htons(endpoint.port);
    size = sizeof *v4;
  } else if (inet_pton(AF_INET6, endpoint.address.c_str(), &v6->sin6_addr) == 1) {
    v6->sin6_family = AF_INET6;
    v6->sin6_port = htons(endpoint.port);
    size = sizeof *v6;
  }
  const std::string where = endpoint.address + " port " + std::to_string(endpoint.port);
  socket_.fd = socket(storage.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  const auto failed = [&](int error) {
    throw Cause{where + " cannot be reached (" + std::generic_category().message(error) +
                "): see that the other node runs and that config_sync.listen there is config_sync.peer here"};
  };
  if (socket_.fd < 0) failed(errno);
  const int on = 1;
  setsockopt(socket_.fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  if (connect(socket_.fd, reinterpret_cast<const sockaddr*>(&storage), size) == 0) return;
  if (errno != EINPROGRESS) failed(errno);
  wait_for(socket_.fd, POLLOUT, until);
  int error = 0;
  socklen_t length = sizeof error;
  getsockopt(socket_.fd, SOL_SOCKET, SO_ERROR, &error, &length);
  if (error != 0) failed(error);
}

/// What the verification found, kept beside the connection.
struct Verdict {
  const ClientTls* tls = nullptr;
  std::string why;
};

std::string sentence_of_verification(int error) {
  switch (error) {
    case X509_V_ERR_CERT_HAS_EXPIRED: return "the other node's certificate has expired: give it a new one";
    case X509_V_ERR_CERT_NOT_YET_VALID: return "the other node's certificate is not valid yet: look at both clocks";
    case X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT:
    case X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN:
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT:
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY:
    case X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE:
      return "the other node's certificate is not from the authority in config_sync.ca (wrong CA)";
    default: return std::string{"the other node's certificate is not taken: "} + X509_verify_cert_error_string(error);
  }
}

int verify(X509_STORE_CTX* store, void*) {
  auto* ssl = static_cast<SSL*>(X509_STORE_CTX_get_ex_data(store, SSL_get_ex_data_X509_STORE_CTX_idx()));
  auto* verdict = static_cast<Verdict*>(SSL_get_app_data(ssl));
  const X509* shown = X509_STORE_CTX_get0_cert(store);
  if (shown == nullptr) return 0;
  if (!verdict->tls->ca.empty()) {
    if (X509_verify_cert(store) != 1) {
      verdict->why = sentence_of_verification(X509_STORE_CTX_get_error(store));
      return 0;
    }
  } else if (X509_cmp_current_time(X509_get0_notAfter(shown)) <= 0) {
    verdict->why = sentence_of_verification(X509_V_ERR_CERT_HAS_EXPIRED);
  } else if (X509_cmp_current_time(X509_get0_notBefore(shown)) >= 0) {
    verdict->why = sentence_of_verification(X509_V_ERR_CERT_NOT_YET_VALID);
  }
  if (verdict->why.empty()) verdict->why = verdict->tls->accept(http::describe(*shown).key);
  X509_STORE_CTX_set_error(store, verdict->why.empty() ? X509_V_OK : X509_V_ERR_CERT_UNTRUSTED);
  return verdict->why.empty() ? 1 : 0;
}

using Context = std::unique_ptr<SSL_CTX, decltype(&SSL_CTX_free)>;

Context context_of(const ClientTls& tls) {
  Context context{SSL_CTX_new(TLS_client_method()), SSL_CTX_free};
  if (!context) throw Cause{"TLS cannot be set up: " + http::tls_error()};
  SSL_CTX_set_min_proto_version(context.get(), TLS1_3_VERSION);
  SSL_CTX_set_mode(context.get(), SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
  if (SSL_CTX_use_certificate_chain_file(context.get(), tls.certificate.c_str()) != 1 ||
      SSL_CTX_use_PrivateKey_file(context.get(), tls.key.c_str(), SSL_FILETYPE_PEM) != 1)
    throw Cause{"this node's own certificate or key cannot be used (" + http::tls_error() + "): " + tls.certificate};
  if (!tls.ca.empty() && SSL_CTX_load_verify_file(context.get(), tls.ca.c_str()) != 1)
    throw Cause{"config_sync.ca cannot be used (" + http::tls_error() + "): give a PEM file that pfsyncd may read"};
  SSL_CTX_set_verify(context.get(), SSL_VERIFY_PEER, nullptr);
  SSL_CTX_set_cert_verify_callback(context.get(), verify, nullptr);
  return context;
}

/// What the other side's last word, or the end of the connection, means.
std::string sentence_of_tls(const Verdict& verdict) {
  if (!verdict.why.empty()) return verdict.why;
  const unsigned long code = ERR_peek_last_error();
  switch (ERR_GET_REASON(code)) {
    case SSL_R_TLSV1_ALERT_PROTOCOL_VERSION:
    case SSL_R_UNSUPPORTED_PROTOCOL:
    case SSL_R_VERSION_TOO_LOW:
    case SSL_R_WRONG_SSL_VERSION:
      ERR_clear_error();
      return "the other node offers no TLS 1.3, and nothing older is taken";
    case SSL_R_SSLV3_ALERT_CERTIFICATE_EXPIRED:
      ERR_clear_error();
      return "the other node refused this node's certificate: it has expired";
    case SSL_R_TLSV1_ALERT_UNKNOWN_CA:
      ERR_clear_error();
      return "the other node refused this node's certificate: it is not from the authority it trusts (wrong CA)";
    case SSL_R_SSLV3_ALERT_CERTIFICATE_UNKNOWN:
    case SSL_R_SSLV3_ALERT_BAD_CERTIFICATE:
    case SSL_R_TLSV1_ALERT_ACCESS_DENIED:
    case SSL_R_TLSV13_ALERT_CERTIFICATE_REQUIRED:
      ERR_clear_error();
      return "the other node refused this node's key (wrong pin): pair the two by pfsyncctl config pair";
    default: {
      const std::string why = code == 0 ? "" : " (" + http::tls_error() + ")";
      return "the other node ended the connection" + why + ": it may not know this node's key; its log says why";
    }
  }
}

class Connection {
 public:
  Connection(int fd, SSL_CTX* context, Verdict& verdict, Clock::time_point until)
      : fd_{fd}, ssl_{SSL_new(context), SSL_free}, verdict_{verdict}, until_{until} {
    if (!ssl_ || SSL_set_fd(ssl_.get(), fd) != 1) throw Cause{"TLS cannot be set up: " + http::tls_error()};
    SSL_set_app_data(ssl_.get(), &verdict_);
    again([&] { return SSL_connect(ssl_.get()); });
  }

  void write(std::string_view bytes) {
    while (!bytes.empty()) {
      std::size_t written = 0;
      again([&] { return SSL_write_ex(ssl_.get(), bytes.data(), bytes.size(), &written); });
      bytes.remove_prefix(written);
    }
  }
  /// How many bytes came; 0 at the end.
  [[nodiscard]] std::size_t read(std::span<char> room) {
    std::size_t got = 0;
    return again([&] { return SSL_read_ex(ssl_.get(), room.data(), room.size(), &got); }) ? got : 0;
  }
  [[nodiscard]] KeyHash peer() const {
    const X509* shown = SSL_get0_peer_certificate(ssl_.get());
    return shown == nullptr ? KeyHash{} : http::describe(*shown).key;
  }
  void finish() { SSL_shutdown(ssl_.get()); }

 private:
  /// False: the other side has ended the connection in order.
  template <class F>
  bool again(F&& call) {
    for (;;) {
      ERR_clear_error();
      const int result = call();
      if (result > 0) return true;
      switch (SSL_get_error(ssl_.get(), result)) {
        case SSL_ERROR_WANT_READ: wait_for(fd_, POLLIN, until_); break;
        case SSL_ERROR_WANT_WRITE: wait_for(fd_, POLLOUT, until_); break;
        case SSL_ERROR_ZERO_RETURN: return false;
        default: throw Cause{sentence_of_tls(verdict_)};
      }
    }
  }

  int fd_;
  std::unique_ptr<SSL, decltype(&SSL_free)> ssl_;
  Verdict& verdict_;
  Clock::time_point until_;
};

Posted ask(Connection& connection, const std::string& request) {
  connection.write(request);
  http::ResponseReader response;
  std::array<char, 16'384> room;
  while (!response.is_whole()) {
    const std::size_t got = connection.read(room);
    if (got == 0) throw Cause{"the other node ended the connection without an answer"};
    if (std::string why = response.take({room.data(), got}); !why.empty()) throw Cause{std::move(why)};
  }
  connection.finish();
  return {response.status(), response.release(), connection.peer()};
}

}  // namespace

std::variant<Posted, std::string> post(const Endpoint& endpoint, const ClientTls& tls, const std::string& path,
                                       const std::string& body, std::chrono::milliseconds patience,
                                       const char* content_type) {
  try {
    const auto until = Clock::now() + patience;
    const Context context = context_of(tls);
    Socket socket;
    connect_to(socket, endpoint, until);
    Verdict verdict{&tls, ""};
    Connection connection{socket.fd, context.get(), verdict, until};
    const bool is_v6 = endpoint.address.find(':') != std::string::npos;
    const std::string host = is_v6 ? "[" + endpoint.address + "]" : endpoint.address;
    return ask(connection, "POST " + path + " HTTP/1.1\r\nHost: " + host + ":" + std::to_string(endpoint.port) +
                               "\r\nContent-Type: " + content_type + "\r\nContent-Length: " +
                               std::to_string(body.size()) + "\r\nConnection: close\r\n\r\n" + body);
  } catch (const Cause& cause) {
    return cause.sentence;
  }
}

}  // namespace pfsync::engine::config_sync
