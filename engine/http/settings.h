#pragma once

#include <cstdint>
#include <string>

namespace pfsync::engine::http {

/// An [http] of the configuration.
struct Settings {
  std::string address = "127.0.0.1";  ///< an IP address
  std::uint16_t port = 8443;
  std::string certificate{};  ///< PEM file; empty: one of our own, in the state_dir
  std::string key{};
  std::string users_file{};       ///< empty: "users" in the state_dir
  std::string client_ca{};        ///< PEM file: whoever has a certificate from there may change things; empty: nobody
  bool anyone_reads = true;       ///< without a user
  unsigned session_minutes = 60;  ///< from the last change or login on

  friend bool operator==(const Settings&, const Settings&) = default;
};

}  // namespace pfsync::engine::http
