#include <array>
#include <charconv>
#include <limits>

#include "engine/base64.h"
#include "engine/xmlrpc/codec.h"
#include "engine/xmlrpc/text.h"

namespace pfsync::engine::xmlrpc {
namespace {

constexpr std::string_view declaration = "<?xml version=\"1.0\" encoding=\"utf-8\"?>\n";

void append(std::string& out, const Value& value);

void append_scalar(std::string& out, const Value& value) {
  const auto element = [&out](std::string_view name, std::string_view text) {
    out.append("<").append(name).append(">").append(text).append("</").append(name).append(">");
  };
  if (const auto* text = value.get<std::string>()) {
    out += "<string>";
    append_escaped(out, *text);
    out += "</string>";
  } else if (const auto* flag = value.get<bool>()) {
    element("boolean", *flag ? "1" : "0");
  } else if (const auto* number = value.get<std::int64_t>()) {
    const bool fits =
        *number >= std::numeric_limits<std::int32_t>::min() && *number <= std::numeric_limits<std::int32_t>::max();
    element(fits ? "int" : "i8", std::to_string(*number));
  } else if (const auto* real = value.get<double>()) {
    std::array<char, 400> digits{};  // the longest double without an exponent has 327 characters
    const auto [end, error] =
        std::to_chars(digits.data(), digits.data() + digits.size(), *real, std::chars_format::fixed);
    element("double", error == std::errc{} ? std::string_view{digits.data(), end} : "0");
  } else if (const auto* time = value.get<Value::DateTime>()) {
    out += "<dateTime.iso8601>";
    append_escaped(out, time->text);
    out += "</dateTime.iso8601>";
  } else if (const auto* binary = value.get<Value::Binary>()) {
    element("base64", to_base64(binary->bytes));
  } else {
    out += "<nil/>";
  }
}

/// As deep as what is said, which is ours: decoded values are bounded by their limit.
void append(std::string& out, const Value& value) {
  out += "<value>";
  if (const auto* array = value.get<Value::Array>()) {
    out += "<array><data>";
    for (const Value& element : *array) append(out, element);
    out += "</data></array>";
  } else if (const auto* members = value.get<Value::Struct>()) {
    out += "<struct>";
    for (const Member& member : *members) {
      out += "<member><name>";
      append_escaped(out, member.name);
      out += "</name>";
      append(out, member.value);
      out += "</member>";
    }
    out += "</struct>";
  } else {
    append_scalar(out, value);
  }
  out += "</value>";
}

}  // namespace

std::string encode_call(std::string_view method, const std::vector<Value>& params) {
  std::string out{declaration};
  out += "<methodCall><methodName>";
  append_escaped(out, method);
  out += "</methodName><params>";
  for (const Value& value : params) {
    out += "<param>";
    append(out, value);
    out += "</param>";
  }
  out += "</params></methodCall>";
  return out;
}

std::string encode_response(const Value& value) {
  std::string out{declaration};
  out += "<methodResponse><params><param>";
  append(out, value);
  out += "</param></params></methodResponse>";
  return out;
}

std::string encode_fault(const Fault& fault) {
  std::string out{declaration};
  out += "<methodResponse><fault>";
  append(out, Value{Value::Struct{{"faultCode", fault.code}, {"faultString", fault.text}}});
  out += "</fault></methodResponse>";
  return out;
}

}  // namespace pfsync::engine::xmlrpc
