#pragma once

#include <cstdint>
#include <string_view>

#include "tests/wire/plain_layout.h"
#include "tests/wire/walk.h"

/// The slow, obvious decoder that the fast one is compared with: it finds every field by its name in tables
/// made of the layout facts, and knows none of the structs of wire/.
namespace pfsync::wire::test {

/// One record and the struct it is read by.
class PlainRecord {
 public:
  PlainRecord(std::string_view struct_name, Bytes bytes);

  [[nodiscard]] std::string_view name() const noexcept { return layout_->name; }
  [[nodiscard]] std::span<const PlainField> fields() const noexcept { return layout_->fields; }
  [[nodiscard]] bool has(std::string_view field) const noexcept { return find(field) != nullptr; }
  /// The field's bytes; throws when the struct has none of that name.
  [[nodiscard]] Bytes bytes(std::string_view field) const;
  /// The field as a big-endian number.
  [[nodiscard]] std::uint64_t number(std::string_view field) const;

 private:
  [[nodiscard]] const PlainField* find(std::string_view field) const noexcept;

  const PlainStruct* layout_;
  Bytes bytes_;
};

[[nodiscard]] const PlainStruct& plain_struct(std::string_view name);
[[nodiscard]] std::span<const PlainAction> plain_action_rows();

/// A whole packet, as the receiver rules of the protocol document have it.
[[nodiscard]] Walk plain_walk(Bytes payload);

}  // namespace pfsync::wire::test
