#pragma once

#include <cstddef>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "wire/address.h"

/// Configurations of pf firewalls, read for what means something to pfsyncd. Private to the folder but for translate.h.
namespace pfsync::engine::imports {

/// Sentences for the operator, without the dot: what stands there and was not taken, and why. Bounded.
class Notes {
 public:
  static constexpr std::size_t kept = 200;
  void add(std::string sentence) {
    if (all_.size() < kept)
      all_.push_back(std::move(sentence));
    else
      ++left_out_;
  }
  /// All of them; the last one says how many more there would be.
  [[nodiscard]] std::vector<std::string> all() const {
    auto sentences = all_;
    if (left_out_ > 0) sentences.push_back(std::to_string(left_out_).append(" more, left out here"));
    return sentences;
  }

 private:
  std::vector<std::string> all_;
  std::size_t left_out_ = 0;
};

struct HostAddress {
  wire::Family family = wire::Family::none;
  wire::Address address{};
  std::optional<unsigned> bits{};  ///< of the network

  [[nodiscard]] std::string text() const {
    std::string text = wire::to_string(address, family);
    if (bits) text.append("/").append(std::to_string(*bits));
    return text;
  }
};

/// An interface of the firewall.
struct Interface {
  std::vector<HostAddress> addresses{};
  std::string mtu{};
  std::string vlan{};    ///< its id, when it is one
  std::string parent{};  ///< what carries that VLAN
};

/// A virtual address, as it stands there: numbers are looked at by whoever reads the result.
struct VirtualHost {
  std::string interface {};  ///< empty: the one with an address in its network
  std::string vhid{};
  std::string advbase{}, advskew{}, password{};
  std::string peer{}, peer6{};
  std::vector<HostAddress> addresses{};
  std::string uniqid{};  ///< pfSense: aliases name it
};

/// What is known of a firewall, whatever the form of its files.
struct Site {
  std::string syncdev{};
  std::string syncpeer{};  ///< empty: the group
  std::string maxupd{};
  std::string version{};    ///< of pfsync's messages
  std::string creatorid{};  ///< hex
  bool openbsd = false;
  bool is_pfsense = false;  ///< or OPNsense: how passwords are meant
  std::optional<bool> preempt{};
  std::map<std::string, Interface, std::less<>> interfaces{};
  std::vector<VirtualHost> hosts{};  ///< hosts_max at most
  Notes notes{};

  static constexpr std::size_t hosts_max = 512, addresses_max = 2048;  ///< of all hosts, and of all their addresses
  /// Null, with a note: there are too many.
  [[nodiscard]] VirtualHost* add_host(VirtualHost host, const std::string& where);
  void add_address(VirtualHost& host, const HostAddress& address, const std::string& where);

 private:
  std::size_t addresses_ = 0;
};

/// A sentence on its way out of a reader.
struct Unreadable {
  std::string sentence;
};

[[nodiscard]] bool is_utf8(std::string_view text);
/// With "?" for each byte that is not ASCII.
[[nodiscard]] std::string as_ascii(std::string_view text);

/// A piece of a file as part of a sentence: short UTF-8 without control characters.
[[nodiscard]] std::string shown(std::string_view piece, std::size_t longest = 60);

/// "10.0.0.1", "10.0.0.1/24", "fe80::1%em0/64".
[[nodiscard]] std::optional<HostAddress> parse_host_address(std::string_view text);

/// Whether both are in the network that `network` is in.
[[nodiscard]] bool is_in_network_of(const HostAddress& address, const HostAddress& network);

}  // namespace pfsync::engine::imports
