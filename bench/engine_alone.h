#pragma once

namespace pfsync::bench {

/// Registers what has no rival to stand beside: cores, readers, growth, expiry, memory, each compared with the engine's
/// own quiet case. Names: op/engine/states.
void add_engine_alone();

}  // namespace pfsync::bench
