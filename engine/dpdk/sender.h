#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "wire/bytes.h"

namespace pfsync::engine::dpdk {

/// Sends IP packets out of a device, one after the other, for tools that are no node themselves. Takes DPDK
/// for the process. Thread-bound.
class Sender {
 public:
  /// `device` as in [link]: an interface, a PCI address, or a virtual device with options.
  /// Throws std::runtime_error with one sentence.
  explicit Sender(const std::string& device);
  ~Sender();
  Sender(const Sender&) = delete;
  Sender& operator=(const Sender&) = delete;

  /// Queues one packet, framed for its group, or for everybody when it is for a host. Waits for a device
  /// that is busy; false when it took nothing for two seconds, or the packet is larger than the device's MTU.
  bool send(wire::Bytes ip_packet);
  /// Hands what is queued to the device; false as above.
  bool flush();
  [[nodiscard]] std::uint64_t sent() const noexcept;

 private:
  struct Parts;
  std::unique_ptr<Parts> parts_;
};

}  // namespace pfsync::engine::dpdk
