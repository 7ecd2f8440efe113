#pragma once

#include <sys/stat.h>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <variant>
#include <vector>

#include "engine/control/report.h"

namespace pfsync::engine {

/// The operator's door: a unix stream socket that takes one JSON request a line and answers each by one
/// line. Bounded in every direction: request length, clients, and the time a client may leave its answer
/// unread. Thread-bound: the control thread calls poll_once() in turns with its other work.
class ControlServer {
 public:
  using Handler = std::function<Json(const Json& request)>;
  struct Limits {
    std::size_t request_bytes = std::size_t{64} * 1024;
    std::size_t clients = 16;
    std::chrono::milliseconds unread{5000};  ///< without taking a byte of its answer
    std::chrono::milliseconds rest{1000};    ///< from accepting, when the process has no descriptor left for a client
  };

  /// Takes the path, replacing the socket of a process that is gone. Or one sentence why not.
  [[nodiscard]] static std::variant<std::unique_ptr<ControlServer>, std::string> create(const std::string& path,
                                                                                        Handler handler,
                                                                                        const Limits& limits);
  [[nodiscard]] static std::variant<std::unique_ptr<ControlServer>, std::string> create(const std::string& path,
                                                                                        Handler handler) {
    return create(path, std::move(handler), Limits{});
  }
  ~ControlServer();
  ControlServer(const ControlServer&) = delete;
  ControlServer& operator=(const ControlServer&) = delete;

  /// Waits up to this long for something to do, then does one turn: at most one request of each client.
  void poll_once(std::chrono::milliseconds timeout);

  [[nodiscard]] std::size_t clients() const noexcept { return clients_.size(); }
  [[nodiscard]] std::vector<NamedCount> counts() const;

 private:
  using Clock = std::chrono::steady_clock;
  struct Client {
    int fd;
    std::string in{};
    std::string out{};
    std::size_t out_sent = 0;
    Clock::time_point progress{};  ///< when it last took bytes, while `out` is not empty
    bool ended = false;            ///< it will send no more
    bool broken = false;           ///< to be closed
  };

  ControlServer(std::string path, int listener, Handler handler, const Limits& limits);
  void accept_one();
  void receive(Client& client);
  void serve(Client& client);
  void send(Client& client);
  [[nodiscard]] Json answer_to(const std::string& line);
  void reply(Client& client, const Json& answer);
  [[nodiscard]] bool has_request(const Client& client) const;

  std::string path_;
  int listener_;
  Handler handler_;
  Limits limits_;
  struct stat made_ {};  ///< the socket file as created: only that is removed at the end
  std::vector<Client> clients_;
  std::uint64_t requests_ = 0;
  std::uint64_t requests_bad_ = 0;
  std::uint64_t clients_refused_ = 0;
  std::uint64_t clients_slow_ = 0;
  std::uint64_t accept_failed_ = 0;
  Clock::time_point accept_from_{};
};

}  // namespace pfsync::engine
