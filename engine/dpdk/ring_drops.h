#pragma once

#include <atomic>
#include <cstdint>
#include <vector>

namespace pfsync::engine::dpdk {

/// Frames that the kernel dropped because the ring of an af_packet device was full. DPDK 22.11's driver does not ask
/// the kernel for them, so its own sockets are asked here. Source: packet(7), PACKET_STATISTICS.
class RingDrops {
 public:
  /// From now on those of the packet sockets that this process has on the interface. Before any other thread asks.
  void watch(unsigned interface);

  /// How many so far. Any thread; a system call for each socket.
  [[nodiscard]] std::uint64_t value() const noexcept;

 private:
  std::vector<int> sockets_;  ///< the driver's, open for as long as the device is
  mutable std::atomic<std::uint64_t> drops_{0};
};

}  // namespace pfsync::engine::dpdk
