#pragma once

#include <algorithm>
#include <cstdint>

namespace pfsync::engine {

/// The seconds that a state is said to have left. No time left means to every receiver that the state was used this
/// very moment: one that waits out its grace here (SessionConfig::foreign_grace) would begin its whole timeout anew
/// there. Source: FreeBSD and OpenBSD, pf_state_import().
[[nodiscard]] constexpr std::uint32_t said_left_s(std::uint32_t left_s) noexcept { return std::max(left_s, 1u); }

}  // namespace pfsync::engine
