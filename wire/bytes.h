#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <type_traits>

namespace pfsync::wire {

/// Borrowed packet bytes; good for as long as the packet is.
using Bytes = std::span<const std::uint8_t>;
/// Room to write packet bytes into; its owner is the caller.
using Room = std::span<std::uint8_t>;

/// A wire struct: only byte-aligned members, so it may be copied from and to any address.
template <class R>
concept Record = std::is_trivially_copyable_v<R> && alignof(R) == 1;

/// Copies a record out of `bytes` at `offset`. Contract: offset + sizeof(R) <= bytes.size().
/// A copy, never a cast: the optimizer may assume that a cast pointer aliases nothing here.
template <Record R>
[[nodiscard]] inline R load(Bytes bytes, std::size_t offset) noexcept {
  R record;
  std::memcpy(&record, bytes.data() + offset, sizeof(R));
  return record;
}

/// Copies a record into `room` at `offset`. Contract: offset + sizeof(R) <= room.size().
template <Record R>
inline void store(Room room, std::size_t offset, const R& record) noexcept {
  std::memcpy(room.data() + offset, &record, sizeof(R));
}

}  // namespace pfsync::wire
