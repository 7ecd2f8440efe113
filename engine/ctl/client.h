#pragma once

#include <chrono>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <variant>

namespace pfsync::engine::ctl {

using Json = nlohmann::ordered_json;

/// Why there is no answer, as one sentence with what to do; no daemon was reached, or none that understands us.
struct Unreached {
  std::string sentence;
};

/// A connection to a running daemon's control socket: one request, one answer, in turns. Blocks, but never
/// longer than `patience` without a byte.
class Client {
 public:
  static constexpr std::chrono::seconds patience_default{30};  ///< a digest of a large table takes its time

  [[nodiscard]] static std::variant<Client, Unreached> connect(const std::string& path,
                                                               std::chrono::milliseconds patience = patience_default);
  ~Client();
  Client(Client&& other) noexcept;
  Client& operator=(Client&&) = delete;

  /// The answer, an object with `ok`; what the daemon refuses is an answer too.
  [[nodiscard]] std::variant<Json, Unreached> ask(const Json& request);

 private:
  Client(int fd, std::string path, std::chrono::milliseconds patience);
  [[nodiscard]] std::optional<Unreached> send(const std::string& line) const;
  [[nodiscard]] std::variant<std::string, Unreached> receive_line();
  [[nodiscard]] Unreached lost(int error) const;

  int fd_;
  std::string path_;
  std::chrono::milliseconds patience_;
  std::string in_;
};

}  // namespace pfsync::engine::ctl
