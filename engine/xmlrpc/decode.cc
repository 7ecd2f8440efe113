#include <algorithm>
#include <charconv>
#include <cmath>
#include <limits>
#include <numeric>
#include <pugixml.hpp>

#include "engine/xmlrpc/codec.h"
#include "engine/xmlrpc/text.h"

namespace pfsync::engine::xmlrpc {
namespace {

constexpr std::string_view blanks = " \t\n\r";

/// Elements around a value: <value>, its type, <data> or <member> and <name>, each opened and closed.
constexpr std::size_t elements_per_value = 12;
constexpr std::size_t elements_around = 32;

std::string_view trimmed(std::string_view text) {
  const std::size_t begin = text.find_first_not_of(blanks);
  if (begin == std::string_view::npos) return {};
  return text.substr(begin, text.find_last_not_of(blanks) - begin + 1);
}

bool is_text(const pugi::xml_node& node) { return node.type() == pugi::node_pcdata || node.type() == pugi::node_cdata; }

/// The first element below, or a null node.
pugi::xml_node first_element(const pugi::xml_node& parent) {
  pugi::xml_node child = parent.first_child();
  while (child && child.type() != pugi::node_element) child = child.next_sibling();
  return child;
}
pugi::xml_node next_element(pugi::xml_node node) {
  do node = node.next_sibling();
  while (node && node.type() != pugi::node_element);
  return node;
}

/// What is wrong with a document, on its way out of the walk.
struct Malformed {
  const char* sentence;
};

std::string text_of(const pugi::xml_node& element) {
  std::string text;
  for (const pugi::xml_node& child : element.children()) {
    if (!is_text(child)) throw Malformed{"an element stands where only text may"};
    text += child.value();
  }
  return text;
}

/// Text between elements must be blank.
void require_only_elements(const pugi::xml_node& parent) {
  for (const pugi::xml_node& child : parent.children())
    if (is_text(child) && !trimmed(child.value()).empty()) throw Malformed{"text stands where only elements may"};
}

std::string_view name_of(const pugi::xml_node& node) { return node.name(); }

std::int64_t integer_of(std::string_view text, std::int64_t low, std::int64_t high) {
  text = trimmed(text);
  if (text.starts_with('+') && text.size() > 1 && text[1] != '-') text.remove_prefix(1);
  std::int64_t value = 0;
  const char* end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, value);
  if (error != std::errc{} || stop != end) throw Malformed{"an integer is not one, or out of range"};
  if (value < low || value > high) throw Malformed{"an int is out of 32 bits"};
  return value;
}

double double_of(std::string_view text) {
  text = trimmed(text);
  if (text.starts_with('+') && text.size() > 1 && text[1] != '-') text.remove_prefix(1);
  double value = 0;
  const char* end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, value);
  if (error != std::errc{} || stop != end || !std::isfinite(value)) throw Malformed{"a double is not one"};
  return value;
}

bool boolean_of(std::string_view text) {
  text = trimmed(text);
  if (text == "1" || text == "true") return true;
  if (text == "0" || text == "false") return false;
  throw Malformed{"a boolean is neither 0 nor 1"};
}

Value::DateTime date_time_of(std::string_view text) {
  constexpr std::string_view form = "00000000T00:00:00";
  text = trimmed(text);
  bool good = text.size() == form.size();
  for (std::size_t i = 0; good && i < form.size(); ++i)
    good = form[i] == '0' ? text[i] >= '0' && text[i] <= '9' : text[i] == form[i];
  if (!good) throw Malformed{"a dateTime.iso8601 is not YYYYMMDDTHH:MM:SS"};
  return {std::string{text}};
}

Value scalar_of(const pugi::xml_node& type) {
  const std::string_view name = name_of(type);
  if (name == "nil" || name == "ex:nil") {
    if (type.first_child()) throw Malformed{"a nil holds something"};
    return {};
  }
  std::string text = text_of(type);
  if (name == "string") return {std::move(text)};
  if (name == "int" || name == "i4")
    return {integer_of(text, std::numeric_limits<std::int32_t>::min(), std::numeric_limits<std::int32_t>::max())};
  if (name == "i8" || name == "ex:i8")
    return {integer_of(text, std::numeric_limits<std::int64_t>::min(), std::numeric_limits<std::int64_t>::max())};
  if (name == "boolean") return {boolean_of(text)};
  if (name == "double") return {double_of(text)};
  if (name == "dateTime.iso8601") return {date_time_of(text)};
  if (name == "base64") {
    auto bytes = from_base64(text);
    if (!bytes) throw Malformed{"a base64 is not one"};
    return {Value::Binary{std::move(*bytes)}};
  }
  throw Malformed{"a value is of an unknown type"};
}

/// Of members with one name the last stays, at its place.
void drop_repeated(Value::Struct& members) {
  if (members.size() < 2) return;
  std::vector<std::size_t> order(members.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::sort(order.begin(), order.end(), [&](std::size_t one, std::size_t other) {
    const int compared = members[one].name.compare(members[other].name);
    return compared != 0 ? compared < 0 : one < other;
  });
  std::vector<bool> dead(members.size());
  bool any = false;
  for (std::size_t i = 0; i + 1 < order.size(); ++i)
    if (members[order[i]].name == members[order[i + 1]].name) dead[order[i]] = any = true;
  if (!any) return;
  Value::Struct kept;
  for (std::size_t i = 0; i < members.size(); ++i)
    if (!dead[i]) kept.push_back(std::move(members[i]));
  members = std::move(kept);
}

/// Walks without recursion: a document's depth costs memory that the limit bounds, never the stack.
class Walk {
 public:
  explicit Walk(const Limits& limits) : limits_{limits} {}

  /// Of a <value> element.
  Value value(const pugi::xml_node& element) {
    Value result;
    bool have = begin(element, result);
    while (!have || !open_.empty()) {
      if (have) {
        give(std::move(result));
        have = false;
      }
      Level& level = open_.back();
      if (!level.next) {
        result = close();
        have = true;
        continue;
      }
      pugi::xml_node inner = level.next;
      level.next = next_element(inner);
      if (level.is_struct) inner = member(inner);
      have = begin(inner, result);
    }
    return result;
  }

 private:
  struct Level {
    bool is_struct = false;
    pugi::xml_node next;  ///< a <value>, or a <member>
    Value::Array values{};
    Value::Struct members{};
    std::string name{};  ///< of the member that is being read
  };

  /// Reads a scalar, or opens an array or a struct and returns false.
  bool begin(const pugi::xml_node& element, Value& result) {
    if (name_of(element) != "value") throw Malformed{"something else stands where a value must"};
    if (open_.size() >= limits_.depth) throw Malformed{"values are nested too deeply"};
    if (++count_ > limits_.values) throw Malformed{"there are too many values"};
    const pugi::xml_node type = first_element(element);
    if (!type) {
      result = text_of(element);
      return true;
    }
    require_only_elements(element);
    if (next_element(type)) throw Malformed{"a value has two types"};
    if (name_of(type) == "struct") {
      require_only_elements(type);
      open_.push_back({true, first_element(type)});
      return false;
    }
    if (name_of(type) != "array") {
      result = scalar_of(type);
      return true;
    }
    require_only_elements(type);
    const pugi::xml_node data = first_element(type);
    if (name_of(data) != "data" || next_element(data)) throw Malformed{"an array has no data, or more than one"};
    require_only_elements(data);
    open_.push_back({false, first_element(data)});
    return false;
  }

  /// The <value> of a <member>, whose name is kept.
  pugi::xml_node member(const pugi::xml_node& element) {
    require_only_elements(element);
    pugi::xml_node name = first_element(element);
    pugi::xml_node value = next_element(name);
    if (name_of(name) == "value") std::swap(name, value);
    if (name_of(element) != "member" || name_of(name) != "name" || name_of(value) != "value" ||
        next_element(next_element(first_element(element))))
      throw Malformed{"a struct's member has not one name and one value"};
    open_.back().name = text_of(name);
    if (open_.back().name.size() > limits_.name_bytes) throw Malformed{"a member's name is too long"};
    return value;
  }

  void give(Value value) {
    Level& level = open_.back();
    if (level.is_struct)
      level.members.push_back({std::move(level.name), std::move(value)});
    else
      level.values.push_back(std::move(value));
  }

  Value close() {
    Level level = std::move(open_.back());
    open_.pop_back();
    if (!level.is_struct) return {std::move(level.values)};
    drop_repeated(level.members);
    return {std::move(level.members)};
  }

  Limits limits_;
  std::vector<Level> open_;
  std::size_t count_ = 0;
};

/// The document's one element.
pugi::xml_node parsed(pugi::xml_document& document, std::string& text) {
  constexpr unsigned flags =
      pugi::parse_cdata | pugi::parse_escapes | pugi::parse_eol | pugi::parse_ws_pcdata_single | pugi::parse_fragment;
  text += '\n';  // the parser loses a text of one character at the very end
  const pugi::xml_parse_result result =
      document.load_buffer_inplace(text.data(), text.size(), flags, pugi::encoding_utf8);
  if (!result) throw Malformed{"the document is not well formed, or cut"};
  require_only_elements(document);
  const pugi::xml_node root = first_element(document);
  if (!root || next_element(root)) throw Malformed{"the document has not one element"};
  return root;
}

std::string text_within(std::string_view body, const Limits& limits) {
  if (body.size() > limits.bytes) throw Malformed{"the document is too large"};
  Text text = checked_text(body, limits.values * elements_per_value + elements_around);
  if (!text.why.empty()) throw Text{std::move(text)};
  return std::move(text.utf8);
}

std::vector<Value> params_of(const pugi::xml_node& params, Walk& walk) {
  std::vector<Value> values;
  require_only_elements(params);
  for (pugi::xml_node param = first_element(params); param; param = next_element(param)) {
    require_only_elements(param);
    const pugi::xml_node value = first_element(param);
    if (name_of(param) != "param" || !value || next_element(value)) throw Malformed{"a param has not one value"};
    values.push_back(walk.value(value));
  }
  return values;
}

bool is_method_char(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '.' ||
         c == ':' || c == '/';
}

struct NotACall {
  const char* sentence;
};

Call call_of(std::string_view body, const Limits& limits) {
  std::string text = text_within(body, limits);
  pugi::xml_document document;
  const pugi::xml_node root = parsed(document, text);
  if (name_of(root) != "methodCall") throw NotACall{"the document is no methodCall"};
  require_only_elements(root);
  const pugi::xml_node name = first_element(root);
  if (name_of(name) != "methodName") throw NotACall{"the methodCall has no methodName"};
  Call call;
  call.method = trimmed(text_of(name));
  if (call.method.empty() || call.method.size() > limits.name_bytes ||
      !std::all_of(call.method.begin(), call.method.end(), is_method_char))
    throw NotACall{"the methodName is empty, too long, or has characters that no method's name has"};
  const pugi::xml_node params = next_element(name);
  if (!params) return call;
  if (name_of(params) != "params" || next_element(params)) throw NotACall{"the methodCall holds something unknown"};
  Walk walk{limits};
  call.params = params_of(params, walk);
  return call;
}

ResponseResult response_of(std::string_view body, const Limits& limits) {
  std::string text = text_within(body, limits);
  pugi::xml_document document;
  const pugi::xml_node root = parsed(document, text);
  if (name_of(root) != "methodResponse") throw Malformed{"the document is no methodResponse"};
  require_only_elements(root);
  const pugi::xml_node inner = first_element(root);
  if (next_element(inner)) throw Malformed{"the methodResponse holds more than one thing"};
  Walk walk{limits};
  if (name_of(inner) == "params") {
    auto values = params_of(inner, walk);
    if (values.size() != 1) throw Malformed{"a response has exactly one param"};
    return std::move(values.front());
  }
  if (name_of(inner) != "fault") throw Malformed{"the methodResponse has neither params nor a fault"};
  require_only_elements(inner);
  const pugi::xml_node value = first_element(inner);
  if (!value || next_element(value)) throw Malformed{"a fault has exactly one value"};
  const Value fault = walk.value(value);
  const Value* code = fault.find("faultCode");
  const Value* words = fault.find("faultString");
  const auto number = code != nullptr ? code->as_integer() : std::nullopt;
  const auto sentence = words != nullptr ? words->as_text() : std::nullopt;
  if (!number || !sentence) throw Malformed{"a fault has not a faultCode and a faultString"};
  return Fault{*number, *sentence};
}

}  // namespace

CallResult decode_call(std::string_view body, const Limits& limits) {
  try {
    return call_of(body, limits);
  } catch (const NotACall& why) {
    return Fault{fault_code::invalid_request, why.sentence};
  } catch (const Malformed& why) {
    return Fault{fault_code::not_well_formed, why.sentence};
  } catch (const Text& text) {
    return Fault{fault_code::not_well_formed, text.why};
  }
}

ResponseResult decode_response(std::string_view body, const Limits& limits) {
  try {
    return response_of(body, limits);
  } catch (const Malformed& why) {
    return Broken{why.sentence};
  } catch (const Text& text) {
    return Broken{text.why};
  }
}

}  // namespace pfsync::engine::xmlrpc
