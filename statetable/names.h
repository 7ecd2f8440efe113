#pragma once

#include <cstdint>

#include "wire/state.h"

/// Names that many states share (interfaces of routes and of creation, pf tags), kept once for the whole
/// process, so that a state holds a number of 2 bytes instead of up to 64 characters. Names are never
/// forgotten; there are as many as rulesets and interfaces have, not as states.
/// Any thread, at any time; no lock, no allocation.
namespace pfsync::statetable {

enum class NameId : std::uint16_t { none = 0 };  ///< `none` is the empty name

/// Different names that can be kept.
inline constexpr std::size_t names_max = 4095;

/// The number of a name; `none` for the empty one, and for a new one when names_max are kept already.
[[nodiscard]] NameId intern(const wire::TagName& name) noexcept;
[[nodiscard]] NameId intern(const wire::InterfaceName& name) noexcept;
/// The number of a name that is kept already; `none` for any other. For names in what may yet be refused, which would
/// use up the numbers.
[[nodiscard]] NameId known(const wire::InterfaceName& name) noexcept;

/// Contract: `id` came from intern.
[[nodiscard]] const wire::TagName& name_of(NameId id) noexcept;
/// As name_of, for a name that was interned as an interface's.
[[nodiscard]] wire::InterfaceName interface_of(NameId id) noexcept;

}  // namespace pfsync::statetable
