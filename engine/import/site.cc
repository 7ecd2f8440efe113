#include "engine/import/site.h"

#include <charconv>
#include <nlohmann/json.hpp>

namespace pfsync::engine::imports {

bool is_utf8(std::string_view text) {
  try {
    static_cast<void>(nlohmann::json(text).dump());
    return true;
  } catch (const nlohmann::json::exception&) {
    return false;
  }
}

std::string as_ascii(std::string_view text) {
  std::string ascii{text};
  for (char& c : ascii)
    if (static_cast<unsigned char>(c) >= 0x80) c = '?';
  return ascii;
}

std::string shown(std::string_view piece, std::size_t longest) {
  std::string text{piece.substr(0, longest)};
  // A character that was cut in two would not be UTF-8.
  if (piece.size() > longest) {
    while (!text.empty() && (static_cast<unsigned char>(piece[text.size()]) & 0xc0u) == 0x80) text.pop_back();
    text += "…";
  }
  for (char& c : text)
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) c = '?';
  return is_utf8(text) ? text : as_ascii(text);
}

VirtualHost* Site::add_host(VirtualHost host, const std::string& where) {
  if (hosts.size() < hosts_max) return &hosts.emplace_back(std::move(host));
  notes.add(where + ": vhid " + shown(host.vhid) + ": more than " + std::to_string(hosts_max) +
            " virtual hosts: left out");
  return nullptr;
}

void Site::add_address(VirtualHost& host, const HostAddress& address, const std::string& where) {
  if (addresses_ < addresses_max) {
    ++addresses_;
    host.addresses.push_back(address);
    return;
  }
  notes.add(where + ": " + address.text() + ": more than " + std::to_string(addresses_max) +
            " virtual addresses: left out");
}

std::optional<HostAddress> parse_host_address(std::string_view text) {
  const std::size_t slash = text.find('/');
  std::string_view host = text.substr(0, slash);
  host = host.substr(0, host.find('%'));  // the zone: the interface whose address it is
  const auto parsed = wire::parse_address(host);
  if (!parsed) return std::nullopt;
  HostAddress address{.family = parsed->first, .address = parsed->second};
  if (slash == std::string_view::npos) return address;
  unsigned bits = 0;
  const std::string_view digits = text.substr(slash + 1);
  const char* end = digits.data() + digits.size();
  const auto [stop, error] = std::from_chars(digits.data(), end, bits);
  if (error != std::errc{} || stop != end || bits > (address.family == wire::Family::inet ? 32u : 128u))
    return std::nullopt;
  address.bits = bits;
  return address;
}

bool is_in_network_of(const HostAddress& address, const HostAddress& network) {
  if (address.family != network.family || !network.bits) return false;
  for (unsigned i = 0; i < *network.bits; ++i)
    if (((address.address.bytes[i / 8] ^ network.address.bytes[i / 8]) >> (7 - i % 8) & 1) != 0) return false;
  return true;
}

}  // namespace pfsync::engine::imports
