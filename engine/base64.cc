#include "engine/base64.h"

#include <openssl/evp.h>

#include <algorithm>

namespace pfsync::engine {
namespace {

constexpr std::string_view alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

const std::uint8_t* octets(std::string_view text) { return reinterpret_cast<const std::uint8_t*>(text.data()); }
std::uint8_t* octets(std::string& text) { return reinterpret_cast<std::uint8_t*>(text.data()); }

}  // namespace

std::string to_base64(std::span<const std::uint8_t> bytes) {
  std::string text((bytes.size() + 2) / 3 * 4 + 1, '\0');  // OpenSSL ends it with a zero
  EVP_EncodeBlock(octets(text), bytes.data(), static_cast<int>(bytes.size()));
  text.pop_back();
  return text;
}

std::string to_base64(std::string_view bytes) { return to_base64(std::span{octets(bytes), bytes.size()}); }

std::optional<std::string> from_base64(std::string_view text, bool exact) {
  const std::size_t digits = std::min(text.find_first_not_of(alphabet), text.size());
  const std::size_t padding = text.size() - digits;
  // Looked at before: OpenSSL passes over blanks at both ends, and takes '-' for an end.
  if (text.size() % 4 != 0 || padding > 2 || !std::ranges::all_of(text.substr(digits), [](char c) { return c == '='; }))
    return std::nullopt;
  std::string bytes(text.size() / 4 * 3, '\0');
  if (EVP_DecodeBlock(octets(bytes), octets(text), static_cast<int>(text.size())) < 0) return std::nullopt;
  bytes.resize(bytes.size() - padding);
  if (exact && to_base64(bytes) != text) return std::nullopt;
  return bytes;
}

}  // namespace pfsync::engine
