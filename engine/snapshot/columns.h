#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "engine/session/kept_state.h"

/// Many states ↔ bytes, field by field: what is alike lies together. Little-endian numbers; README.md has the table.
namespace pfsync::engine::snapshot {

/// States in a block at most: few enough for the second-level cache, enough to be worth compressing.
inline constexpr std::size_t block_states_max = 1024;
/// What write_columns writes at most for as many states.
[[nodiscard]] std::size_t columns_bytes_max(std::size_t states) noexcept;

/// Appends the states' columns. Those that hold nothing but what is usual are left out. Changes `states` on the way.
/// Contract: at most block_states_max.
void write_columns(std::span<KeptState> states, std::vector<std::uint8_t>& out);

/// Reads as many states as there are to fill. Hostile bytes: nullopt, or what is wrong with them in words. What is read
/// is in the form that wire/ gives to states of a packet: names ended and zero behind it, IPv4 addresses of 4 bytes,
/// `stack_af`, `stack_proto`, `rt_af` and `orig_ifname` empty where they say nothing new. Whether the values make sense
/// is for engine/session/validity.h to judge.
[[nodiscard]] std::optional<std::string> read_columns(std::span<const std::uint8_t> bytes, std::span<KeptState> states);

}  // namespace pfsync::engine::snapshot
