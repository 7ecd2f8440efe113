#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace pfsync::engine::config_sync {

/// An IP address and a port.
struct Endpoint {
  std::string address{};
  std::uint16_t port = 0;
  friend bool operator==(const Endpoint&, const Endpoint&) = default;
};

enum class Role : std::uint8_t { off, primary, secondary };

/// [config_sync.compat]: a pfSense or OPNsense as this node's primary.
struct CompatSettings {
  Endpoint listen{};
  std::string user{};                  ///< of the users file, who may push and do nothing else
  std::vector<std::string> sources{};  ///< addresses that may ask at all; empty: any
  std::string config_version{};        ///< must be the sender's, or pfSense sends nothing
  std::string version = "2.8.0";       ///< told as firmware, kernel and base version
  unsigned body_mib = 32;              ///< MiB that a call may have
  bool take_peers = false;             ///< OPNsense's `peer` and `peer6`
  std::string certificate{};           ///< PEM; empty: one of our own
  std::string key{};
  friend bool operator==(const CompatSettings&, const CompatSettings&) = default;
};

/// A [config_sync] of the configuration, checked.
struct Settings {
  Role role = Role::off;
  std::optional<Endpoint> listen{};  ///< where the other node reaches us
  std::optional<Endpoint> peer{};    ///< where we reach it
  std::string cluster = "pfsyncd";
  std::string certificate{}, key{};  ///< PEM files; empty: made in state_dir
  std::string ca{};                  ///< PEM file of the authority of both nodes' certificates; empty: paired keys
  bool strict = false;               ///< refuse a push onto a configuration that somebody else changed
  unsigned confirm_s = 10;           ///< the primary confirms within, else the secondary rolls back; 0: at once
  std::map<std::string, std::string, std::less<>> interface_map{};  ///< logical name → device here
  std::map<std::string, int, std::less<>> advskew{};                ///< "VHID" or "VHID@LOGICAL" → its own skew here
  std::optional<CompatSettings> compat{};

  friend bool operator==(const Settings&, const Settings&) = default;
};

}  // namespace pfsync::engine::config_sync
