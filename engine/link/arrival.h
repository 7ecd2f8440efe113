#pragma once

#include "wire/address.h"
#include "wire/bytes.h"

namespace pfsync::engine {

/// A pfsync packet that passed the link's checks. Borrowed: good for as long as the frame's bytes are.
struct Arrival {
  wire::Bytes packet;
  wire::Address source{};
  unsigned peer = 0;  ///< which of the link's destinations it belongs to
};

}  // namespace pfsync::engine
