#pragma once

#include <cstdint>
#include <filesystem>

namespace pfsync::engine {

/// Bytes of memory that this process can still have: what the kernel calls available, or what is left in
/// its control group (version 2 or 1) when that is less. UINT64_MAX when neither says.
/// `root` stands before /proc and /sys, for tests.
/// Source: proc_meminfo(5), MemAvailable; cgroups(7), memory.max and memory.limit_in_bytes.
[[nodiscard]] std::uint64_t available_memory(const std::filesystem::path& root = "/");

}  // namespace pfsync::engine
