#pragma once

#include "wire/address.h"

namespace pfsync::engine {

/// Addresses that are this node's for the moment, beside the one that it always has: those of CARP while it is master.
class OwnAddresses {
 public:
  [[nodiscard]] virtual bool owns(wire::Family family, const wire::Address& address) const noexcept = 0;

 protected:
  OwnAddresses() = default;
  OwnAddresses(const OwnAddresses&) = default;
  OwnAddresses& operator=(const OwnAddresses&) = default;
  ~OwnAddresses() = default;
};

}  // namespace pfsync::engine
