#pragma once

#include <cstdint>

/// Counts what this thread takes from the heap. For a program that links allocations.cc.
namespace pfsync::engine::test {

[[nodiscard]] std::uint64_t allocations() noexcept;

}  // namespace pfsync::engine::test
