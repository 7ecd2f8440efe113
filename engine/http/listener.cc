#include "engine/http/listener.h"

#include <arpa/inet.h>
#include <httplib.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <csignal>
#include <cstring>
#include <deque>
#include <mutex>
#include <nlohmann/json.hpp>
#include <set>
#include <system_error>
#include <thread>
#include <unordered_map>

#include "engine/http/body.h"
#include "engine/http/connection.h"
#include "engine/http/head.h"
#include "engine/http/throttle.h"
#include "engine/http/words.h"

namespace pfsync::engine::http {
namespace {

using std::chrono::milliseconds;
using Clock = Connection::Clock;

constexpr std::size_t sources_max = 1024;
constexpr milliseconds accept_rest{1000};  ///< when the process has no descriptor left for a client
constexpr int below_the_rest = 10;         ///< nice value of the threads
constexpr unsigned sentences_per_minute = 10;
/// Read and thrown away of whoever is sent away while he still speaks, so that he comes to hear why.
constexpr std::size_t drained_bytes = std::size_t{256} * 1024;
constexpr milliseconds drained_for{1000};

std::string errno_text() { return std::generic_category().message(errno); }

struct SocketAddress {
  sockaddr_storage storage{};
  socklen_t size = sizeof(sockaddr_storage);
  [[nodiscard]] sockaddr* generic() { return reinterpret_cast<sockaddr*>(&storage); }
};

std::optional<SocketAddress> socket_address(const std::string& text, std::uint16_t port) {
  SocketAddress address;
  sockaddr_in inet{};
  if (inet_pton(AF_INET, text.c_str(), &inet.sin_addr) == 1) {
    inet.sin_family = AF_INET;
    inet.sin_port = htons(port);
    std::memcpy(&address.storage, &inet, sizeof inet);
    address.size = sizeof inet;
    return address;
  }
  sockaddr_in6 inet6{};
  if (inet_pton(AF_INET6, text.c_str(), &inet6.sin6_addr) != 1) return std::nullopt;
  inet6.sin6_family = AF_INET6;
  inet6.sin6_port = htons(port);
  std::memcpy(&address.storage, &inet6, sizeof inet6);
  address.size = sizeof inet6;
  return address;
}

std::string address_text(const SocketAddress& address) {
  std::array<char, INET6_ADDRSTRLEN> room{};
  if (address.storage.ss_family == AF_INET) {
    sockaddr_in inet{};
    std::memcpy(&inet, &address.storage, sizeof inet);
    return inet_ntop(AF_INET, &inet.sin_addr, room.data(), room.size());
  }
  sockaddr_in6 inet6{};
  std::memcpy(&inet6, &address.storage, sizeof inet6);
  return inet_ntop(AF_INET6, &inet6.sin6_addr, room.data(), room.size());
}

std::uint16_t port_of(int fd) {
  SocketAddress address;
  if (getsockname(fd, address.generic(), &address.size) != 0) return 0;
  std::uint16_t port = 0;  // at the same place in both families
  std::memcpy(&port, reinterpret_cast<const char*>(&address.storage) + offsetof(sockaddr_in, sin_port), sizeof port);
  return ntohs(port);
}

/// What of one exchange httplib sees: the head that check_head() passed on, and where the answer goes.
class Exchange : public httplib::Stream {
 public:
  Exchange(std::string_view head, Connection& connection, milliseconds patience)
      : head_{head}, connection_{connection}, patience_{patience} {}

  [[nodiscard]] bool is_readable() const override { return !head_.empty(); }
  [[nodiscard]] bool is_writable() const override { return written_; }
  ssize_t read(char* room, std::size_t size) override {
    const std::size_t count = std::min(size, head_.size());
    std::memcpy(room, head_.data(), count);
    head_.remove_prefix(count);
    return static_cast<ssize_t>(count);
  }
  ssize_t write(const char* bytes, std::size_t size) override {
    // Counted from the answer's first byte: the handler's own time is not the client's.
    if (!until_) until_ = Clock::now() + patience_;
    written_ = written_ && connection_.write({bytes, size}, *until_);
    return written_ ? static_cast<ssize_t>(size) : -1;
  }
  void get_remote_ip_and_port(std::string& ip, int& port) const override { ip.clear(), port = 0; }
  void get_local_ip_and_port(std::string& ip, int& port) const override { ip.clear(), port = 0; }
  [[nodiscard]] socket_t socket() const override { return 0; }  // for httplib's own calls, which are not used

  [[nodiscard]] bool written() const noexcept { return written_; }
  /// What httplib would write from now on is not sent.
  void silence() { written_ = false; }

 private:
  std::string_view head_;
  Connection& connection_;
  milliseconds patience_;
  std::optional<Clock::time_point> until_;
  bool written_ = true;
};

/// httplib's reading of a request and writing of an answer, for one connection, without its sockets and threads: those
/// set no limit to lines, to queued connections, or to the time that a client takes.
class Protocol : public httplib::Server {
 public:
  /// Reads the body; nothing: there is none that could be answered, and it has been seen to.
  using TakeBody = std::function<std::optional<std::string>()>;

  Protocol(const Limits& limits, const http::Doorkeeper& doorkeeper, const http::Handler& handler,
           Connection& connection, Request facts)
      : doorkeeper_{doorkeeper},
        handler_{handler},
        connection_{connection},
        patience_{limits.response},
        facts_{std::move(facts)} {
    set_keep_alive_max_count(limits.requests_per_connection);
    set_keep_alive_timeout(std::chrono::ceil<std::chrono::seconds>(limits.idle).count());
    // Before any routing of httplib's: its patterns, files and bodies stay out of the way.
    set_pre_routing_handler([this](const httplib::Request& from, httplib::Response& into) {
      answer(from, into);
      return HandlerResponse::Handled;
    });
  }

  /// Returns whether the client has the whole answer.
  [[nodiscard]] bool exchange(std::string_view head, TakeBody take_body, bool last) {
    take_body_ = std::move(take_body);
    Exchange stream{head, connection_, patience_};
    stream_ = &stream;
    bool closed = last;
    const bool is_served = process_request(stream, last, closed, nullptr);
    stream_ = nullptr;
    return is_served && stream.written();
  }
  /// What the doorkeeper has for the client, who had no answer.
  [[nodiscard]] const std::optional<Response>& sent_away() const noexcept { return sent_away_; }
  /// Of the last answer; 0 before there is one.
  [[nodiscard]] int status() const noexcept { return status_; }

 private:
  void answer(const httplib::Request& from, httplib::Response& into) {
    Request request = facts_;
    request.method = from.method;
    request.path = from.path;
    request.query.assign(from.params.begin(), from.params.end());
    request.headers.assign(from.headers.begin(), from.headers.end());
    Response response;
    try {
      if (doorkeeper_) sent_away_ = doorkeeper_(request);
      if (sent_away_) return stream_->silence();
      auto body = take_body_();
      if (!body) return stream_->silence();
      request.body = std::move(*body);
      response = handler_(request);
    } catch (const std::exception&) {
      response = refusal(500, "the request could not be carried out: pfsyncd's memory or disk may be full");
    }
    into.status = status_ = response.status;
    for (const auto& [name, value] : response.headers) into.set_header(name, value);
    if (!response.body.empty()) into.set_content(response.body, response.content_type);
  }

  const http::Doorkeeper& doorkeeper_;
  const http::Handler& handler_;
  Connection& connection_;
  milliseconds patience_;
  Request facts_;  ///< what is the same for every request of the connection
  TakeBody take_body_;
  Exchange* stream_ = nullptr;
  std::optional<Response> sent_away_;
  int status_ = 0;
};

/// An answer after which the connection ends: to what could not be read as a request, or need not be.
std::string last_bytes(const Response& response) {
  std::string bytes = "HTTP/1.1 " + std::to_string(response.status) + (response.status == 200 ? " OK" : " Refused") +
                      "\r\nContent-Type: " + response.content_type +
                      "\r\nContent-Length: " + std::to_string(response.body.size()) + "\r\nConnection: close\r\n";
  for (const auto& [name, value] : response.headers) bytes.append(name).append(": ").append(value).append("\r\n");
  return bytes + "\r\n" + response.body;
}

Response response_to(const BadHead& bad) {
  Response response = refusal(bad.status, bad.sentence);
  if (bad.status == 405) response.headers.emplace_back("Allow", "GET, HEAD, POST");
  return response;
}

}  // namespace

std::string_view Request::header(std::string_view name) const {
  const std::string wanted = lower(name);
  for (const auto& [key, value] : headers)
    if (lower(key) == wanted) return value;
  return {};
}

Response refusal(int status, std::string_view sentence) {
  const nlohmann::ordered_json body{{"ok", false}, {"error", std::string{sentence}}};
  Response response{.status = status};
  response.body = body.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace) + "\n";
  return response;
}

struct Listener::Parts {
  struct Accepted {
    int fd;
    std::string address;
    std::string source;
    Clock::time_point at;
  };

  ListenerSettings settings;
  Limits limits = settings.limits;
  TlsContext tls;
  Handler handler;
  Log log;
  Doorkeeper doorkeeper;
  int listener = -1;
  int wake = -1;  ///< readable once all shall end
  std::uint16_t port = 0;

  std::mutex mutex;
  std::condition_variable arrived;
  std::deque<Accepted> queue;
  std::unordered_map<std::string, unsigned> open;  ///< connections by source, waiting and served
  std::set<const Connection*> serving;
  Throttle connections{static_cast<double>(limits.connections_per_s), 4.0 * limits.connections_per_s, sources_max};
  Throttle requests{static_cast<double>(limits.requests_per_s), 4.0 * limits.requests_per_s, sources_max};
  Bucket sentences{sentences_per_minute / 60.0, sentences_per_minute};
  bool ending = false;

  std::atomic<std::size_t> waiting{0};
  std::atomic<std::uint64_t> accepted{0}, requests_taken{0}, requests_bad{0}, requests_denied{0}, sent_away{0},
      refused_full{0}, refused_source{0}, refused_rate{0}, handshakes_failed{0}, timed_out{0}, accept_failed{0};
  std::vector<std::thread> threads;

  Parts(const ListenerSettings& given, TlsContext context, Handler handle, Log say, Doorkeeper judge)
      : settings{given},
        tls{std::move(context)},
        handler{std::move(handle)},
        log{std::move(say)},
        doorkeeper{std::move(judge)} {}
  ~Parts();
  void start();
  void accept_all();
  bool admit(const Accepted& client);
  void work();
  void serve(const Accepted& client);
  void converse(Connection& connection, const Accepted& client);
  bool await_request(Connection& connection) const;
  void refuse(Connection& connection, const BadHead& bad);
  void send_away(Connection& connection, const Response& response, bool still_speaks);
  void say(const std::string& sentence);
};

Listener::Parts::~Parts() {
  if (wake >= 0) {
    const std::uint64_t one = 1;
    [[maybe_unused]] const ssize_t written = write(wake, &one, sizeof one);
  }
  {
    const std::lock_guard lock{mutex};
    ending = true;
    for (const Connection* connection : serving) connection->interrupt();
  }
  arrived.notify_all();
  for (std::thread& thread : threads) thread.join();
  for (const Accepted& client : queue) close(client.fd);
  for (const int fd : {listener, wake})
    if (fd >= 0) close(fd);
}

void Listener::Parts::start() {
  // Threads inherit the mask: the daemon's signals are for its main thread, and no write may end the process.
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  threads.emplace_back([this] { accept_all(); });
  for (unsigned i = 0; i < limits.workers; ++i) threads.emplace_back([this] { work(); });
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

void Listener::Parts::say(const std::string& sentence) {
  {
    const std::lock_guard lock{mutex};
    if (!sentences.take(Clock::now())) return;
  }
  log(sentence);
}

// --- accepting ---------------------------------------------------------------------------------------

void Listener::Parts::accept_all() {
  pthread_setname_np(pthread_self(), "pfsyncd-http");
  setpriority(PRIO_PROCESS, 0, below_the_rest);  // of this thread alone, on Linux
  std::array<pollfd, 2> wanted{pollfd{wake, POLLIN, 0}, pollfd{listener, POLLIN, 0}};
  while (true) {
    if (::poll(wanted.data(), wanted.size(), -1) < 0 && errno != EINTR) return;
    if (wanted[0].revents != 0) return;
    if (wanted[1].revents == 0) continue;
    SocketAddress from;
    const int fd = accept4(listener, from.generic(), &from.size, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0) {
      if (errno == EAGAIN || errno == EINTR || errno == ECONNABORTED) continue;
      // The client stays in the backlog: without a rest this would be a busy loop for as long as the shortage lasts.
      ++accept_failed;
      if (::poll(wanted.data(), 1, static_cast<int>(accept_rest.count())) > 0) return;
      continue;
    }
    ++accepted;
    const int on = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    const std::string text = address_text(from);
    if (!admit({fd, text, source_of(text), Clock::now()})) close(fd);
  }
}

bool Listener::Parts::admit(const Accepted& client) {
  {
    const std::lock_guard lock{mutex};
    if (!connections.take(client.source, client.at)) {
      ++refused_rate;
      return false;
    }
    if (queue.size() >= limits.waiting) {
      ++refused_full;
      return false;
    }
    const auto found = open.find(client.source);
    if (found != open.end() && found->second >= limits.per_address) {
      ++refused_source;
      return false;
    }
    ++open[client.source];
    queue.push_back(client);
    waiting = queue.size();
  }
  arrived.notify_one();
  return true;
}

// --- serving -----------------------------------------------------------------------------------------

void Listener::Parts::work() {
  pthread_setname_np(pthread_self(), "pfsyncd-https");
  setpriority(PRIO_PROCESS, 0, below_the_rest);
  while (true) {
    std::unique_lock lock{mutex};
    arrived.wait(lock, [&] { return ending || !queue.empty(); });
    if (ending) return;
    const Accepted client = std::move(queue.front());
    queue.pop_front();
    waiting = queue.size();
    lock.unlock();
    serve(client);
    lock.lock();
    const auto found = open.find(client.source);
    if (--found->second == 0) open.erase(found);
  }
}

void Listener::Parts::serve(const Accepted& client) {
  Connection connection{client.fd, tls};
  {
    const std::lock_guard lock{mutex};
    if (ending) return;
    serving.insert(&connection);
  }
  if (const std::string why = connection.handshake(Clock::now() + limits.handshake); !why.empty()) {
    ++handshakes_failed;
    say("http: " + client.address + " was refused: " + why);
  } else {
    converse(connection, client);
    connection.finish();
  }
  const std::lock_guard lock{mutex};
  serving.erase(&connection);
}

/// An idle connection gives way to one that waits.
bool Listener::Parts::await_request(Connection& connection) const {
  constexpr milliseconds look_around{100};
  for (const auto until = Clock::now() + limits.idle; Clock::now() < until;) {
    if (connection.readable(look_around)) return true;
    if (waiting > 0) return false;
  }
  return false;
}

void Listener::Parts::refuse(Connection& connection, const BadHead& bad) {
  ++requests_bad;
  static_cast<void>(connection.write(last_bytes(response_to(bad)), Clock::now() + limits.handshake));
}

void Listener::Parts::send_away(Connection& connection, const Response& response, bool still_speaks) {
  ++sent_away;
  if (!connection.write(last_bytes(response), Clock::now() + limits.handshake) || !still_speaks) return;
  connection.finish();
  // Bytes that nobody reads would make the kernel reset the connection, and the answer may be lost with it.
  std::array<char, 4096> room;
  const auto until = Clock::now() + drained_for;
  for (std::size_t drained = 0; drained < drained_bytes;) {
    const std::size_t got = connection.read(room, until);
    if (got == 0) return;
    drained += got;
  }
}

void Listener::Parts::converse(Connection& connection, const Accepted& client) {
  Request facts;
  facts.address = client.address;
  facts.local_port = port;
  facts.certificate = connection.peer();
  Protocol protocol{limits, doorkeeper, handler, connection, std::move(facts)};
  std::string bytes;
  std::array<char, 4096> room;
  for (unsigned served = 1; served <= limits.requests_per_connection; ++served) {
    if (bytes.empty() && !await_request(connection)) return;
    auto until = Clock::now() + std::min(limits.head, limits.request);
    const auto more = [&] {
      const std::size_t got = connection.read(room, until);
      bytes.append(room.data(), got);
      if (got == 0 && Clock::now() >= until) ++timed_out;
      return got > 0;
    };
    std::optional<std::size_t> end;
    while (!(end = head_end(bytes)) && bytes.size() <= limits.head_bytes)
      if (!more()) return;
    if (!end || *end > limits.head_bytes)
      return refuse(connection, {431, "the head is larger than " + std::to_string(limits.head_bytes) + " bytes"});
    const auto head = check_head(std::string_view{bytes}.substr(0, *end), limits.body_bytes);
    if (const auto* bad = std::get_if<BadHead>(&head)) return refuse(connection, *bad);
    const Head& good = std::get<Head>(head);
    {
      const std::unique_lock lock{mutex};
      if (!requests.take(client.source, Clock::now())) {
        ++refused_rate;
        break;
      }
    }
    bytes.erase(0, *end);
    std::optional<BadHead> wrong;
    const auto take_body = [&]() -> std::optional<std::string> {
      until = Clock::now() + limits.request;
      if (good.expects_continue && good.has_body() && bytes.empty() &&
          !connection.write("HTTP/1.1 100 Continue\r\n\r\n", until))
        return std::nullopt;
      Body body{good, limits.body_bytes};
      while (true) {
        bytes.erase(0, body.take(bytes));
        wrong = body.wrong();
        if (wrong) return std::nullopt;
        if (body.is_whole()) break;
        if (!more()) return std::nullopt;
      }
      ++requests_taken;
      return body.release();
    };
    const bool last = !good.keep_alive || served == limits.requests_per_connection;
    const bool answered = protocol.exchange(good.text, take_body, last);
    if (wrong) return refuse(connection, *wrong);
    if (const auto& response = protocol.sent_away())
      return send_away(connection, *response, good.has_body() && !good.expects_continue);
    if (protocol.status() >= 400) ++requests_denied;
    if (!answered || last) return;
  }
  if (!bytes.empty()) refuse(connection, {429, "these are too many requests: make a pause"});
}

// --- making ------------------------------------------------------------------------------------------

std::variant<std::unique_ptr<Listener>, std::string> Listener::create(const ListenerSettings& settings, Handler handler,
                                                                      Log log, Doorkeeper doorkeeper) {
  auto tls = make_tls(settings.tls);
  if (const auto* why = std::get_if<std::string>(&tls)) return *why;
  auto parts = std::make_unique<Parts>(settings, std::get<TlsContext>(tls), std::move(handler), std::move(log),
                                       std::move(doorkeeper));
  auto address = socket_address(settings.address, settings.port);
  if (!address) return "\"" + settings.address + "\" is not an IP address: a listener needs one";
  const std::string where = settings.address + " port " + std::to_string(settings.port);
  const int on = 1;
  parts->wake = eventfd(0, EFD_CLOEXEC);
  parts->listener = socket(address->storage.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (parts->wake < 0 || parts->listener < 0)
    return "no socket can be had (" + errno_text() + "): raise the limit of open files";
  setsockopt(parts->listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  if (address->storage.ss_family == AF_INET6) setsockopt(parts->listener, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on);
  if (bind(parts->listener, address->generic(), address->size) != 0 ||
      listen(parts->listener, static_cast<int>(settings.limits.waiting)) != 0)
    return "nobody can be served on " + where + " (" + errno_text() +
           "): give an address of this machine and a free port";
  parts->port = port_of(parts->listener);
  parts->start();
  return std::unique_ptr<Listener>(new Listener{std::move(parts)});
}

Listener::Listener(std::unique_ptr<Parts> parts) : parts_{std::move(parts)} {}
Listener::~Listener() = default;

std::uint16_t Listener::port() const { return parts_->port; }

std::vector<Listener::Count> Listener::counts() const {
  const Parts& parts = *parts_;
  return {
      {"http_connections", "connections accepted", parts.accepted},
      {"http_requests", "requests taken", parts.requests_taken},
      {"http_requests_bad", "requests refused for their form or size", parts.requests_bad},
      {"http_requests_denied", "requests taken and answered by a refusal, of a user, a path or what they ask for",
       parts.requests_denied},
      {"http_sent_away", "requests refused before their body was read", parts.sent_away},
      {"http_refused_full", "connections closed because too many waited", parts.refused_full},
      {"http_refused_source", "connections closed because their address had too many", parts.refused_source},
      {"http_refused_rate", "connections and requests refused because their address came too often",
       parts.refused_rate},
      {"http_handshakes_failed", "connections that did not come to speak TLS", parts.handshakes_failed},
      {"http_timed_out", "requests given up because their client was too slow", parts.timed_out},
      {"http_accept_failed", "connections not accepted for lack of descriptors", parts.accept_failed},
  };
}

}  // namespace pfsync::engine::http
