#include "engine/control/control.h"

#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>
#include <cerrno>
#include <cstring>
#include <nlohmann/json.hpp>
#include <optional>
#include <system_error>

namespace pfsync::engine {
namespace {

constexpr mode_t owner_only = 0600;

std::string errno_text() { return std::generic_category().message(errno); }

Json error_json(const std::string& sentence) { return {{"ok", false}, {"error", sentence}}; }

std::optional<sockaddr_un> address_of(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.empty() || path.size() >= sizeof(address.sun_path)) return std::nullopt;
  std::memcpy(address.sun_path, path.c_str(), path.size() + 1);
  return address;
}

const sockaddr* generic(const sockaddr_un& address) { return reinterpret_cast<const sockaddr*>(&address); }

int stream_socket() { return socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0); }

/// No request nests deeper than its cursor does; what does is not kept, so that no work depends on a client's depth.
constexpr int depth_max = 4;

/// The object on the line, or nullopt when it is not one.
std::optional<Json> parse_request(const std::string& line) {
  bool too_deep = false;
  const auto bounded = [&](int depth, Json::parse_event_t, const Json&) {
    too_deep |= depth > depth_max;
    return !too_deep;
  };
  Json request = Json::parse(line, bounded, false);
  if (too_deep || !request.is_object()) return std::nullopt;
  return request;
}

/// Removes the socket file of a process that is gone. Returns a sentence when the path is taken.
std::optional<std::string> clear_path(const std::string& path, const sockaddr_un& address) {
  struct stat there {};
  if (lstat(path.c_str(), &there) != 0) return std::nullopt;  // bind will say what else is wrong
  if (!S_ISSOCK(there.st_mode))
    return "control.socket " + path + " exists and is not a socket: remove it or give another path";
  const int probe = stream_socket();
  if (probe < 0) return "no socket can be had (" + errno_text() + "): raise the limit of open files";
  const int connected = connect(probe, generic(address), sizeof(address));
  const int why = errno;
  close(probe);
  if (connected == 0 || why == EAGAIN)  // EAGAIN: somebody listens, with a full backlog
    return "another pfsyncd answers on control.socket " + path + ": stop it or give another path";
  if (why == ECONNREFUSED) unlink(path.c_str());
  return std::nullopt;
}

}  // namespace

std::variant<std::unique_ptr<ControlServer>, std::string> ControlServer::create(const std::string& path,
                                                                                Handler handler, const Limits& limits) {
  const auto address = address_of(path);
  if (!address) return "control.socket \"" + path + "\" cannot be a socket's path: give 1 to 107 characters";
  if (auto taken = clear_path(path, *address)) return *taken;
  const int listener = stream_socket();
  if (listener < 0) return "no socket can be had (" + errno_text() + "): raise the limit of open files";
  // Linux gives the file the mode that the socket has when it is bound: there is no moment at which others may connect.
  struct stat made {};
  if (fchmod(listener, owner_only) != 0 || bind(listener, generic(*address), sizeof(*address)) != 0 ||
      listen(listener, static_cast<int>(limits.clients)) != 0 || lstat(path.c_str(), &made) != 0) {
    const std::string why = errno_text();
    close(listener);
    return "control.socket " + path + " cannot be made (" + why +
           "): give a path in a folder that exists and you may write";
  }
  auto server = std::unique_ptr<ControlServer>(new ControlServer{path, listener, std::move(handler), limits});
  server->made_ = made;
  return server;
}

ControlServer::ControlServer(std::string path, int listener, Handler handler, const Limits& limits)
    : path_{std::move(path)}, listener_{listener}, handler_{std::move(handler)}, limits_{limits} {
  clients_.reserve(limits_.clients);
}

ControlServer::~ControlServer() {
  for (const Client& client : clients_) close(client.fd);
  close(listener_);
  struct stat there {};
  if (lstat(path_.c_str(), &there) == 0 && there.st_dev == made_.st_dev && there.st_ino == made_.st_ino)
    unlink(path_.c_str());
}

bool ControlServer::has_request(const Client& client) const {
  if (!client.out.empty() || client.broken) return false;
  return client.in.find('\n') != std::string::npos || client.in.size() > limits_.request_bytes ||
         (client.ended && !client.in.empty());
}

void ControlServer::poll_once(std::chrono::milliseconds timeout) {
  const bool accepts = Clock::now() >= accept_from_;
  std::vector<pollfd> wanted{{listener_, static_cast<short>(accepts ? POLLIN : 0), 0}};
  for (const Client& client : clients_) {
    const bool waits = !client.out.empty();
    // While an answer is unread no more is taken in: a client cannot make us hold more than one of each.
    wanted.push_back({client.fd, static_cast<short>(waits ? POLLOUT : client.ended ? 0 : POLLIN), 0});
    if (has_request(client)) timeout = std::chrono::milliseconds{0};
  }
  if (::poll(wanted.data(), wanted.size(), static_cast<int>(timeout.count())) < 0)
    return;  // a signal: the caller's turn

  for (std::size_t i = 0; i < clients_.size(); ++i) {
    Client& client = clients_[i];
    const short ready = wanted[i + 1].revents;
    if ((ready & POLLIN) != 0) receive(client);
    if ((ready & POLLOUT) != 0) send(client);
    if ((ready & (POLLERR | POLLNVAL)) != 0 || ((ready & POLLHUP) != 0 && (ready & POLLIN) == 0)) client.broken = true;
    if (has_request(client)) serve(client);
    if (client.ended && client.in.empty() && client.out.empty()) client.broken = true;
    if (!client.out.empty() && !client.broken && Clock::now() - client.progress > limits_.unread) {
      client.broken = true;
      ++clients_slow_;
    }
  }
  std::erase_if(clients_, [](const Client& client) {
    if (client.broken) close(client.fd);
    return client.broken;
  });
  if ((wanted[0].revents & POLLIN) != 0) accept_one();
}

void ControlServer::accept_one() {
  const int fd = accept4(listener_, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
  if (fd < 0) {
    if (errno == EAGAIN || errno == EINTR || errno == ECONNABORTED) return;
    // The client stays in the backlog and would end every wait at once: a busy loop for as long as the shortage lasts.
    ++accept_failed_;
    accept_from_ = Clock::now() + limits_.rest;
    return;
  }
  if (clients_.size() < limits_.clients) {
    clients_.push_back({.fd = fd});
    return;
  }
  ++clients_refused_;
  const std::string full =
      error_json(std::to_string(limits_.clients) + " clients are connected already: close one").dump() + "\n";
  // Fits any fresh socket's buffer; a client that is gone already does not matter.
  [[maybe_unused]] const ssize_t sent = ::send(fd, full.data(), full.size(), MSG_NOSIGNAL);
  close(fd);
}

void ControlServer::receive(Client& client) {
  // One byte above the limit tells that a request is too long.
  const std::size_t room = limits_.request_bytes + 1 - std::min(limits_.request_bytes + 1, client.in.size());
  if (room == 0) return;
  std::array<char, std::size_t{16} * 1024> bytes;
  const ssize_t got = recv(client.fd, bytes.data(), std::min(bytes.size(), room), 0);
  if (got > 0)
    client.in.append(bytes.data(), static_cast<std::size_t>(got));
  else if (got == 0)
    client.ended = true;
  else if (errno != EAGAIN && errno != EINTR)
    client.broken = true;
}

void ControlServer::serve(Client& client) {
  const std::size_t end = client.in.find('\n');
  if (end == std::string::npos && client.in.size() > limits_.request_bytes) {
    ++requests_bad_;
    client.in.clear();
    client.ended = true;  // where the next request begins cannot be told
    reply(client, error_json("the request is longer than " + std::to_string(limits_.request_bytes) +
                             " bytes: make it shorter"));
    return;
  }
  const std::string line = client.in.substr(0, end);
  client.in.erase(0, end == std::string::npos ? end : end + 1);
  if (line.find_first_not_of(" \t\r") == std::string::npos) return;
  ++requests_;
  reply(client, answer_to(line));
}

Json ControlServer::answer_to(const std::string& line) {
  Json answer;
  const auto request = parse_request(line);
  if (!request) {
    answer = error_json("the request is not a JSON object on one line: send {\"command\": …}");
  } else {
    try {
      answer = handler_(*request);
    } catch (const std::exception& error) {
      answer = error_json(std::string{"the request could not be carried out: "} + error.what());
    }
  }
  const auto ok = answer.find("ok");
  if (ok == answer.end() || *ok != true) ++requests_bad_;
  return answer;
}

void ControlServer::reply(Client& client, const Json& answer) {
  client.out = answer.dump(-1, ' ', false, Json::error_handler_t::replace) + "\n";
  client.out_sent = 0;
  client.progress = Clock::now();
  send(client);
}

void ControlServer::send(Client& client) {
  while (client.out_sent < client.out.size()) {
    const ssize_t sent =
        ::send(client.fd, client.out.data() + client.out_sent, client.out.size() - client.out_sent, MSG_NOSIGNAL);
    if (sent <= 0) {
      if (sent < 0 && errno != EAGAIN && errno != EINTR) client.broken = true;
      return;
    }
    client.out_sent += static_cast<std::size_t>(sent);
    client.progress = Clock::now();
  }
  client.out.clear();
  client.out_sent = 0;
}

std::vector<NamedCount> ControlServer::counts() const {
  return {{"control_requests", "requests on the control socket", requests_},
          {"control_requests_bad", "requests on the control socket that were refused", requests_bad_},
          {"control_clients_refused", "control clients refused because too many were connected", clients_refused_},
          {"control_clients_slow", "control clients dropped because they left their answer unread", clients_slow_},
          {"control_accept_failed", "control clients put off because no file descriptor was left", accept_failed_}};
}

}  // namespace pfsync::engine
