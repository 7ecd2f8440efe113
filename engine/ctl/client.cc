#include "engine/ctl/client.h"

#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <string_view>
#include <system_error>
#include <utility>

namespace pfsync::engine::ctl {
namespace {

constexpr std::size_t answer_bytes_max = 64u << 20u;  // a full page of states is 2 MB

std::string text_of(int error) { return std::generic_category().message(error); }

Unreached no_daemon(const std::string& path, int error) {
  if (error == EACCES || error == EPERM)
    return {path + " may not be opened (" + text_of(error) + "): run pfsyncctl as the user that pfsyncd runs as"};
  return {"no pfsyncd answers on " + path + " (" + text_of(error) +
          "): start pfsyncd, or name its control.socket with --socket"};
}

bool bound_waiting(int fd, std::chrono::milliseconds patience) {
  const auto ms = patience.count();
  const timeval limit{.tv_sec = ms / 1000, .tv_usec = ms % 1000 * 1000};
  return setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit) == 0 &&
         setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit) == 0;
}

}  // namespace

std::variant<Client, Unreached> Client::connect(const std::string& path, std::chrono::milliseconds patience) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.empty() || path.size() >= sizeof address.sun_path) return no_daemon(path, ENAMETOOLONG);
  std::memcpy(address.sun_path, path.c_str(), path.size() + 1);
  const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return no_daemon(path, errno);
  Client client{fd, path, patience};
  if (!bound_waiting(fd, patience) || ::connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0)
    return no_daemon(path, errno);
  return client;
}

Client::Client(int fd, std::string path, std::chrono::milliseconds patience)
    : fd_{fd}, path_{std::move(path)}, patience_{patience} {}

Client::~Client() {
  if (fd_ >= 0) close(fd_);
}

Client::Client(Client&& other) noexcept
    : fd_{std::exchange(other.fd_, -1)},
      path_{std::move(other.path_)},
      patience_{other.patience_},
      in_{std::move(other.in_)} {}

std::variant<Json, Unreached> Client::ask(const Json& request) {
  // What cannot be sent may still have an answer: a daemon with too many clients says so and hangs up.
  const auto unsent = send(request.dump(-1, ' ', false, Json::error_handler_t::replace) + "\n");
  auto line = receive_line();
  if (const auto* why = std::get_if<Unreached>(&line)) return unsent ? *unsent : *why;
  Json answer = Json::parse(std::get<std::string>(line), nullptr, false);
  const bool is_answer = answer.is_object() && answer.contains("ok") && answer["ok"].is_boolean() &&
                         (answer["ok"] == true || (answer.contains("error") && answer["error"].is_string()));
  if (!is_answer)
    return Unreached{"what answers on " + path_ + " is not pfsyncd: name its control.socket with --socket"};
  return answer;
}

std::optional<Unreached> Client::send(const std::string& line) const {
  for (std::string_view rest = line; !rest.empty();) {
    const ssize_t sent = ::send(fd_, rest.data(), rest.size(), MSG_NOSIGNAL);
    if (sent < 0 && errno != EINTR) return lost(errno);
    if (sent > 0) rest.remove_prefix(static_cast<std::size_t>(sent));
  }
  return std::nullopt;
}

std::variant<std::string, Unreached> Client::receive_line() {
  std::array<char, std::size_t{64} * 1024> bytes;
  for (std::size_t looked = 0;;) {
    if (const std::size_t end = in_.find('\n', looked); end != std::string::npos) {
      std::string line = in_.substr(0, end);
      in_.erase(0, end + 1);
      return line;
    }
    looked = in_.size();
    if (looked > answer_bytes_max) return lost(EMSGSIZE);
    const ssize_t got = recv(fd_, bytes.data(), bytes.size(), 0);
    if (got == 0) return lost(ECONNRESET);
    if (got < 0 && errno != EINTR) return lost(errno);
    if (got > 0) in_.append(bytes.data(), static_cast<std::size_t>(got));
  }
}

Unreached Client::lost(int error) const {
  if (error == EAGAIN || error == EWOULDBLOCK)
    return {"pfsyncd on " + path_ + " has not answered for " + std::to_string(patience_.count() / 1000) +
            " seconds: look at its log, and restart it if it hangs"};
  return {"pfsyncd on " + path_ + " ended the conversation (" + text_of(error) +
          "): see whether it still runs, and its log"};
}

}  // namespace pfsync::engine::ctl
