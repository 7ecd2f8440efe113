#pragma once

#include <cstddef>
#include <map>
#include <string>
#include <variant>
#include <vector>

namespace pfsync::engine::imports {

inline constexpr std::size_t file_bytes_max = std::size_t{32} << 20u;

/// A file of a firewall: its name tells what it is, as "hostname.em0", or else its text does.
struct Source {
  std::string name;
  std::string text;
};

/// What no file of the firewall tells.
struct Choice {
  /// This node's own address, as "10.0.0.3/24": it is a further node beside the firewall. Empty: it stands in the
  /// firewall's place, with its addresses.
  std::string address{};
  std::map<std::string, std::string, std::less<>> devices{};  ///< the firewall's name of an interface → the port here
};

struct Imported {
  std::string toml;                ///< passes --check-config; the notes stand in it as comments
  std::vector<std::string> notes;  ///< sentences without the dot: what was not taken, and what is to be looked at
};

/// A configuration of this daemon's that says what the files say, or one sentence. Pure.
[[nodiscard]] std::variant<Imported, std::string> translate(const std::vector<Source>& files, const Choice& choice);

}  // namespace pfsync::engine::imports
