#pragma once

#include <cstdint>
#include <span>

#include "wire/bytes.h"
#include "wire/dialect.h"
#include "wire/state.h"

/// Records ↔ values: the only code that knows both the layouts and the neutral values.
/// Contract for every read_*: the record has at least the size that its action's row states, which
/// PacketReader has checked. No value is judged here: a family that the dialect does not know reads as
/// Family::none, and levels, timeouts and directions are passed on as they are. What a dialect has no word
/// for when written is told by wire/fields.h.
namespace pfsync::wire {

[[nodiscard]] State read_state(Layout layout, Bytes record) noexcept;
/// From UPD_C, or the same fields from a full state.
[[nodiscard]] Update read_update(Layout layout, Bytes record) noexcept;
/// The pair that names a state, from any message that has one; cheaper than reading all of it.
[[nodiscard]] StateId read_id(Message message, Layout layout, Bytes record) noexcept;
[[nodiscard]] Clear read_clear(Bytes record) noexcept;
[[nodiscard]] BulkStatus read_bulk_status(Bytes record) noexcept;
[[nodiscard]] Tdb read_tdb(Layout layout, Bytes record) noexcept;

/// Each write_* fills `record` completely, padding included, and needs exactly its action's size.
void write_id(StateId id, Room record) noexcept;
void write_clear(const Clear& clear, Room record) noexcept;
void write_bulk_status(const BulkStatus& status, Room record) noexcept;
void write_tdb(Layout layout, const Tdb& tdb, Room record) noexcept;
/// Records in a row, as a section has them.
void write_states(Layout layout, std::span<const State> states, Room records) noexcept;
void write_updates(Dialect dialect, std::span<const Update> updates, Room records) noexcept;

inline void write_state(Layout layout, const State& state, Room record) noexcept {
  write_states(layout, {&state, 1}, record);
}
inline void write_update(Dialect dialect, const Update& update, Room record) noexcept {
  write_updates(dialect, {&update, 1}, record);
}

}  // namespace pfsync::wire
