#include "wire/address.h"

#include <arpa/inet.h>

#include <algorithm>
#include <charconv>

namespace pfsync::wire {

std::string to_string(const Address& address, Family family) {
  if (family == Family::none) return "-";
  std::array<char, INET6_ADDRSTRLEN> text{};
  // Cannot fail: the family is known and the room is the largest that any address needs.
  inet_ntop(family == Family::inet ? AF_INET : AF_INET6, address.bytes.data(), text.data(), text.size());
  return text.data();
}

std::optional<std::pair<Family, Address>> parse_address(std::string_view text) {
  std::array<char, INET6_ADDRSTRLEN> terminated{};
  if (text.size() >= terminated.size() || text.find('\0') != std::string_view::npos) return std::nullopt;
  std::copy(text.begin(), text.end(), terminated.begin());
  Address address;
  if (inet_pton(AF_INET, terminated.data(), address.bytes.data()) == 1) return std::pair{Family::inet, address};
  address = {};
  if (inet_pton(AF_INET6, terminated.data(), address.bytes.data()) == 1) return std::pair{Family::inet6, address};
  return std::nullopt;
}

std::string to_string(const MacAddress& address) {
  constexpr std::string_view digits = "0123456789abcdef";
  std::string text;
  for (const std::uint8_t byte : address.bytes) {
    if (!text.empty()) text += ':';
    text += digits[byte >> 4u];
    text += digits[byte & 0xfu];
  }
  return text;
}

std::optional<MacAddress> parse_mac(std::string_view text) {
  MacAddress address;
  if (text.size() != 3 * address.bytes.size() - 1) return std::nullopt;
  for (std::size_t i = 0; i < address.bytes.size(); ++i) {
    const char* pair = text.data() + 3 * i;
    const auto [end, error] = std::from_chars(pair, pair + 2, address.bytes[i], 16);
    if (error != std::errc{} || end != pair + 2) return std::nullopt;
    if (i + 1 < address.bytes.size() && pair[2] != ':') return std::nullopt;
  }
  return address;
}

}  // namespace pfsync::wire
