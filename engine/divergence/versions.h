#pragma once

#include <cstdint>
#include <string_view>

#include "wire/state.h"

/// Which of two versions of one state is the newer, by the rules that updates are merged by (engine/session/merge.h).
namespace pfsync::engine::divergence {

/// Of one direction.
enum class Newer : std::uint8_t {
  same,
  here,
  there,
  unclear,  ///< they differ, and either could follow the other
};

struct Versions {
  Newer src = Newer::same;
  Newer dst = Newer::same;
  bool is_one_connection = true;  ///< of one key, protocol, direction and timeout

  [[nodiscard]] constexpr bool is_newer(Newer where) const noexcept { return src == where || dst == where; }
  [[nodiscard]] constexpr bool is_unclear() const noexcept { return is_newer(Newer::unclear) || !is_one_connection; }
};

[[nodiscard]] Versions compare(const wire::State& here, const wire::State& there) noexcept;

/// How two nodes differ in one state.
enum class Kind : std::uint8_t {
  only_here,
  only_there,
  newer_here,
  newer_there,
  newer_on_both,  ///< in one direction each
  unclear,        ///< neither can be judged newer
};
inline constexpr std::size_t kinds = 6;
[[nodiscard]] constexpr std::string_view word(Kind kind) noexcept {
  constexpr std::string_view words[kinds]{"only_here",   "only_there",    "newer_here",
                                          "newer_there", "newer_on_both", "unclear"};
  return words[static_cast<std::size_t>(kind)];
}
[[nodiscard]] Kind kind_of(const Versions& versions) noexcept;

/// What one side is to have: what it has, with each direction of which the other one's is newer. Times and names are
/// `theirs`; a state's counters do not count.
[[nodiscard]] wire::State mended(const wire::State& held, const wire::State& theirs, const Versions& versions,
                                 Newer theirs_is) noexcept;

}  // namespace pfsync::engine::divergence
