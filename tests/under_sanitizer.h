#pragma once

namespace pfsync {

/// Whether this is compiled for AddressSanitizer or ThreadSanitizer, under which everything takes ten times as long:
/// what is told often to see something rare is told less often there.
#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
inline constexpr bool under_sanitizer = true;
#else
inline constexpr bool under_sanitizer = false;
#endif

}  // namespace pfsync
