#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <variant>
#include <vector>

#include "engine/http/listener.h"
#include "engine/http/mailbox.h"
#include "engine/http/settings.h"

namespace pfsync::engine::http {

/// Everything that a section [http] asks for. The owner's thread serves mailbox(); closing it and destroying this ends
/// the rest.
class Server {
 public:
  enum class Level : std::uint8_t { info, warning };
  using Log = std::function<void(Level level, const std::string& sentence)>;  ///< from any thread

  /// Or one sentence why not. Says where the page is, by which certificate it is known, and, as long as there is no
  /// user, how to make one. `firewall_user`: who of the users may do nothing here.
  [[nodiscard]] static std::variant<std::unique_ptr<Server>, std::string> create(const Settings& settings,
                                                                                 const std::filesystem::path& state_dir,
                                                                                 const std::string& version, Log log,
                                                                                 const std::string& firewall_user = {});
  ~Server();

  [[nodiscard]] Mailbox& mailbox();
  [[nodiscard]] std::uint16_t port() const;
  [[nodiscard]] std::vector<Listener::Count> counts() const;

 private:
  struct Parts;
  explicit Server(std::unique_ptr<Parts> parts);
  std::unique_ptr<Parts> parts_;
};

}  // namespace pfsync::engine::http
