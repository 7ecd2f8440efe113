#pragma once

#include <algorithm>
#include <cstdint>
#include <memory>
#include <nlohmann/json_fwd.hpp>
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
  std::shared_ptr<const nlohmann::json> facts;  ///< what the file says of it

  [[nodiscard]] Bytes payload() const { return Bytes{packet}.subspan(pfsync_offset); }
};

[[nodiscard]] const std::vector<Example>& examples();

/// Throws std::runtime_error where there is none of that name.
[[nodiscard]] const Example& example(std::string_view name);

}  // namespace pfsync::wire::test
