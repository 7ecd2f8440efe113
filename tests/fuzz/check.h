#pragma once

#include <cstdio>
#include <cstdlib>

namespace pfsync::fuzz {

/// A property that must hold for every input; the fuzzer keeps the input that breaks it.
inline void check(bool holds, const char* property) {
  if (holds) return;
  std::fprintf(stderr, "broken: %s\n", property);
  std::abort();
}

}  // namespace pfsync::fuzz
