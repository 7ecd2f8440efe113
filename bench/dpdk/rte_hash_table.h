#pragma once

#include <memory>

#include "bench/work.h"

namespace pfsync::bench {

/// DPDK's hash with its lock-free flag, and bodies in an array at the positions that it gives out. Look-ups
/// in bulk, entries prefetched. Starts DPDK's environment (no hugepages needed) with the first table.
class RteHashTable {
 public:
  explicit RteHashTable(std::size_t states);
  ~RteHashTable();
  bool insert(std::uint64_t first, std::size_t count);
  bool erase(std::span<const StateId> ids);
  std::size_t apply(std::span<const Bytes> records);
  std::size_t lookup(std::span<const StateId> ids);
  std::size_t encode(Encoder& encoder);

 private:
  struct Parts;
  std::unique_ptr<Parts> parts_;
};

}  // namespace pfsync::bench
