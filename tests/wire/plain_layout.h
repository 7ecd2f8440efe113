#pragma once

#include <array>
#include <cstddef>
#include <span>
#include <string_view>

/// Rows of the tables that layout_table.py makes of the layout facts.
namespace pfsync::wire::test {

struct PlainField {
  std::string_view name;
  std::size_t offset;
  std::size_t size;
  std::string_view kind;  ///< u8, u16, u32, u64, i32, opaque, bytes, chars or padding
};

struct PlainStruct {
  std::string_view name;
  std::size_t size;
  std::span<const PlainField> fields;
};

struct PlainAction {
  std::string_view dialect;
  int number;
  std::string_view name;    ///< without the message version
  std::string_view record;  ///< the struct; empty where the dialect refuses or skips the action
};

}  // namespace pfsync::wire::test
