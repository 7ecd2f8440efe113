#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

/// XML-RPC: what is said, apart from how it is written (codec.h).
namespace pfsync::engine::xmlrpc {

struct Member;

/// One value. Integers of either width are one kind: what does not fit 32 bits is written as i8.
class Value {
 public:
  struct Nil {
    friend bool operator==(const Nil&, const Nil&) = default;
  };
  struct DateTime {
    std::string text;  ///< YYYYMMDDTHH:MM:SS, of no time zone
    friend bool operator==(const DateTime&, const DateTime&) = default;
  };
  struct Binary {
    std::string bytes;
    friend bool operator==(const Binary&, const Binary&) = default;
  };
  using Array = std::vector<Value>;
  using Struct = std::vector<Member>;  ///< in the order of the document; no name twice

  Value() = default;  ///< nil
  Value(bool value);
  Value(int value);
  Value(std::int64_t value);
  Value(double value);
  Value(const char* value);
  Value(std::string_view value);
  Value(std::string value);
  Value(DateTime value);
  Value(Binary value);
  Value(Array value);
  Value(Struct value);

  /// As it was sent; nullptr when it is of another kind.
  template <class T>
  [[nodiscard]] const T* get() const noexcept {
    return std::get_if<T>(&data_);
  }
  [[nodiscard]] bool is_nil() const noexcept { return std::holds_alternative<Nil>(data_); }

  // What PHP's encoders make of its arrays and numbers, seen as what they were.

  /// An array; or a struct all of whose names are decimal numbers, which is a list with gaps. In the document's order.
  [[nodiscard]] std::optional<std::vector<const Value*>> as_list() const;
  /// A struct; or an empty array, which is an empty map. nullptr: neither. Valid as long as this.
  [[nodiscard]] const Struct* as_map() const noexcept;
  /// Of as_map(); nullptr when there is no such member.
  [[nodiscard]] const Value* find(std::string_view name) const noexcept;
  /// A string, or a number or boolean as text.
  [[nodiscard]] std::optional<std::string> as_text() const;
  /// An integer, or a string that is one and nothing else.
  [[nodiscard]] std::optional<std::int64_t> as_integer() const;

  friend bool operator==(const Value& one, const Value& other) noexcept;

 private:
  std::variant<Nil, bool, std::int64_t, double, std::string, DateTime, Binary, Array, Struct> data_;
};

struct Member {
  std::string name;
  Value value;
  friend bool operator==(const Member&, const Member&) = default;
};

// Behind Member: who makes a variant must be able to destroy each of its kinds.
inline Value::Value(bool value) : data_{value} {}
inline Value::Value(int value) : data_{std::int64_t{value}} {}
inline Value::Value(std::int64_t value) : data_{value} {}
inline Value::Value(double value) : data_{value} {}
inline Value::Value(const char* value) : data_{std::string{value}} {}
inline Value::Value(std::string_view value) : data_{std::string{value}} {}
inline Value::Value(std::string value) : data_{std::move(value)} {}
inline Value::Value(DateTime value) : data_{std::move(value)} {}
inline Value::Value(Binary value) : data_{std::move(value)} {}
inline Value::Value(Array value) : data_{std::move(value)} {}
inline Value::Value(Struct value) : data_{std::move(value)} {}

struct Fault {
  std::int64_t code = 0;
  std::string text;
  friend bool operator==(const Fault&, const Fault&) = default;
};

/// Source: the interoperability list of fault codes, as PHP's libraries use it.
namespace fault_code {
inline constexpr int not_well_formed = -32700;
inline constexpr int invalid_request = -32600;
inline constexpr int method_not_found = -32601;
inline constexpr int invalid_parameters = -32602;
inline constexpr int internal_error = -32603;
}  // namespace fault_code

struct Call {
  std::string method;
  std::vector<Value> params;
};

}  // namespace pfsync::engine::xmlrpc
