// What this process takes of the machine.
#pragma once

#include <nlohmann/json_fwd.hpp>

namespace pfsync::engine {

/// `resident_bytes`, `virtual_bytes`, `heap_bytes` (handed out by malloc and not given back, and what threads keep at
/// hand, up to some 200 KiB each: unlike resident memory it knows no band, so a leak shows), `cpu_s` of all its
/// threads, `open_files` of `open_files_max`, `threads`, `start_time_s` (since 1970). What cannot be read is null. Any
/// thread; some tens of microseconds. Sources: proc_pid_stat(5), getrusage(2), mallinfo2(3).
[[nodiscard]] nlohmann::ordered_json process_json();

}  // namespace pfsync::engine
