#pragma once

namespace pfsync::statetable {

/// Brings a cache line here while other work goes on. g++ 12 takes a function that only prefetches for one without
/// effect and drops calls of it; the empty statement is an effect.
[[gnu::always_inline]] inline void fetch(const void* line) noexcept {
  __builtin_prefetch(line);
  asm volatile("");
}

}  // namespace pfsync::statetable
