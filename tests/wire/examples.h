#pragma once

#include <algorithm>
#include <cstdint>
#include <fstream>
#include <memory>
#include <nlohmann/json.hpp>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "wire/bytes.h"

/// The example packets of tests/vectors, and bytes in tests.
namespace pfsync::wire::test {

inline std::vector<std::uint8_t> from_hex(std::string_view hex) {
  std::vector<std::uint8_t> bytes;
  for (std::size_t i = 0; i + 1 < hex.size(); i += 2)
    bytes.push_back(static_cast<std::uint8_t>(std::stoul(std::string{hex.substr(i, 2)}, nullptr, 16)));
  return bytes;
}

inline std::string to_hex(Bytes bytes) {
  constexpr std::string_view digits = "0123456789abcdef";
  std::string hex;
  for (const std::uint8_t byte : bytes) {
    hex += digits[byte >> 4u];
    hex += digits[byte & 0xfu];
  }
  return hex;
}

/// A copy on the heap with no byte to spare, so that AddressSanitizer sees the first byte read too far.
class ExactCopy {
 public:
  explicit ExactCopy(Bytes bytes) : data_{new std::uint8_t[bytes.size()]}, size_{bytes.size()} {
    std::copy(bytes.begin(), bytes.end(), data_.get());
  }
  [[nodiscard]] Bytes bytes() const { return {data_.get(), size_}; }
  [[nodiscard]] Room room() { return {data_.get(), size_}; }

 private:
  std::unique_ptr<std::uint8_t[]> data_;
  std::size_t size_;
};

struct Example {
  std::string name;
  std::string dialect;
  std::vector<std::uint8_t> packet;  ///< from the IP header on
  std::size_t pfsync_offset;
  nlohmann::json facts;

  [[nodiscard]] Bytes payload() const { return Bytes{packet}.subspan(pfsync_offset); }
};

inline const std::vector<Example>& examples() {
  static const std::vector<Example> all = [] {
    std::ifstream file{PFSYNC_VECTORS_DIR "/pfsync-examples.json"};
    if (!file) throw std::runtime_error{"cannot open " PFSYNC_VECTORS_DIR "/pfsync-examples.json"};
    std::vector<Example> result;
    const nlohmann::json facts = nlohmann::json::parse(file);
    for (const auto& packet : facts.at("packets"))
      result.push_back({packet.at("name"), packet.at("dialect"), from_hex(packet.at("packet_hex").get<std::string>()),
                        packet.at("pfsync_offset"), packet});
    if (result.empty()) throw std::runtime_error{"pfsync-examples.json has no packets"};
    return result;
  }();
  return all;
}

inline const Example& example(std::string_view name) {
  for (const Example& candidate : examples())
    if (candidate.name == name) return candidate;
  throw std::runtime_error{"no example " + std::string{name}};
}

}  // namespace pfsync::wire::test
