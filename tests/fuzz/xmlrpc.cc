// An XML-RPC document, as call and as response: what was read reads the same once it was written again.
#include "engine/xmlrpc/codec.h"

#include <cstdint>
#include <string_view>
#include <variant>

#include "tests/fuzz/check.h"
#include "tests/fuzz/mutate.h"

namespace pfsync::fuzz {
namespace {

using namespace engine::xmlrpc;

constexpr Limits limits{.bytes = 1500, .depth = 8, .values = 64, .name_bytes = 16};  // each door is tried

/// How deep, and how many values, as the limits count them.
std::size_t measure(const Value& value, std::size_t& values) {
  ++values;
  std::size_t depth = 0;
  if (const auto* array = value.get<Value::Array>())
    for (const Value& element : *array) depth = std::max(depth, measure(element, values));
  if (const auto* members = value.get<Value::Struct>())
    for (const Member& member : *members) {
      check(member.name.size() <= limits.name_bytes, "a name keeps its limit");
      depth = std::max(depth, measure(member.value, values));
    }
  if (const auto list = value.as_list()) check(list->size() <= limits.values, "a list is as long as what it views");
  return depth + 1;
}

void check_call(std::string_view input) {
  const CallResult result = decode_call(input, limits);
  if (const auto* fault = std::get_if<Fault>(&result)) {
    check(fault->code < 0 && !fault->text.empty(), "a refusal has a code and a sentence");
    return;
  }
  const auto& call = std::get<Call>(result);
  std::size_t values = 0;
  for (const Value& value : call.params) check(measure(value, values) <= limits.depth, "values keep their depth");
  check(values <= limits.values, "values keep their number");
  const CallResult again = decode_call(encode_call(call.method, call.params));
  const auto* same = std::get_if<Call>(&again);
  check(same != nullptr && same->method == call.method && same->params == call.params,
        "a call reads as it was written");
}

void check_response(std::string_view input) {
  const ResponseResult result = decode_response(input, limits);
  if (const auto* broken = std::get_if<Broken>(&result))
    return check(!broken->sentence.empty(), "a refusal has a sentence");
  if (const auto* fault = std::get_if<Fault>(&result)) {
    const ResponseResult again = decode_response(encode_fault(*fault));
    return check(std::get_if<Fault>(&again) != nullptr && std::get<Fault>(again) == *fault,
                 "a fault reads as it was written");
  }
  const ResponseResult again = decode_response(encode_response(std::get<Value>(result)));
  check(std::get_if<Value>(&again) != nullptr && std::get<Value>(again) == std::get<Value>(result),
        "a response reads as it was written");
}

}  // namespace
}  // namespace pfsync::fuzz

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view input{reinterpret_cast<const char*>(data), size};
  pfsync::fuzz::check_call(input);
  pfsync::fuzz::check_response(input);
  return 0;
}

extern "C" std::size_t LLVMFuzzerCustomMutator(std::uint8_t* data, std::size_t size, std::size_t max_size,
                                               unsigned seed) {
  using namespace pfsync;
  return fuzz::mutated(data, size, max_size, seed, [](fuzz::Input& input, fuzz::Random& random) {
    fuzz::mutate_text(input, random, "<>",
                      {"<value><int>1</int></value>", "<value><i8>-9223372036854775808</i8></value>",
                       "<value><double>1.5</double></value>", "<value><boolean>1</boolean></value>",
                       "<value><string>a</string></value>", "<value><base64>YQ==</base64></value>",
                       "<value><dateTime.iso8601>20260101T00:00:00</dateTime.iso8601></value>", "<value><nil/></value>",
                       "<value><struct><member><name>a</name><value/></member></struct></value>",
                       "<value><array><data></data></array></value>", "<param><value>a</value></param>", "<params>",
                       "</params>", "<fault>", "&#x0;", "&lt;", "<![CDATA[a]]>", "<!-- a -->"});
  });
}
