#pragma once

namespace pfsync::bench {

/// Registers the ways in which two cores can share the packets of one receive queue, beside one core that has them all.
/// Names: apply_frames_cores/way/states.
void add_two_cores();

}  // namespace pfsync::bench
