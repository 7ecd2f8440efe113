#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "engine/xmlrpc/value.h"

namespace pfsync::engine::xmlrpc {

/// What a document may cost. Its size is judged before anything is parsed.
struct Limits {
  std::size_t bytes = std::size_t{32} * 1024 * 1024;
  std::size_t depth = 64;          ///< values within values
  std::size_t values = 1'000'000;  ///< in all; the elements around them are bounded with them
  std::size_t name_bytes = 256;    ///< of a member or a method
};

using CallResult = std::variant<Call, Fault>;
/// A response's value or fault; `broken` apart from a fault that the other side has said.
struct Broken {
  std::string sentence;
};
using ResponseResult = std::variant<Value, Fault, Broken>;

/// A request's body; or the fault to answer it with, whose text tells nothing of the inside. Takes UTF-8 and
/// ISO-8859-1. A document type or an entity of its own is refused. Pure.
[[nodiscard]] CallResult decode_call(std::string_view body, const Limits& limits = {});
[[nodiscard]] ResponseResult decode_response(std::string_view body, const Limits& limits = {});

/// As pfSense's library writes it: a declaration, a line break, and everything else on one line. A character that XML
/// cannot say, or a byte that is not UTF-8, becomes '?'.
[[nodiscard]] std::string encode_call(std::string_view method, const std::vector<Value>& params);
[[nodiscard]] std::string encode_response(const Value& value);
[[nodiscard]] std::string encode_fault(const Fault& fault);

}  // namespace pfsync::engine::xmlrpc
