#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "engine/config/config.h"

namespace pfsync::engine::dpdk {

/// A device as DPDK takes it, found on this machine.
struct Device {
  std::string port;                  ///< for Port
  std::vector<std::string> allow{};  ///< for Eal: PCI addresses to probe
  std::string interface {};          ///< the Linux interface behind it; empty: none

  /// As people call it.
  [[nodiscard]] std::string name() const { return interface.empty() ? port_name(port) : interface; }
};

/// Looks a device up before DPDK does, whose own words about a missing one are few: a PCI address, a
/// virtual device with its options, or the plain name of a Linux interface (through af_packet).
/// One sentence when it is not there, may not be used, or has a smaller MTU. `section`: whose key it is, "link".
[[nodiscard]] std::variant<Device, std::string> find_device(const std::string& device, std::size_t mtu,
                                                            const std::string& section);

/// Whether a Linux interface has a carrier.
[[nodiscard]] bool has_carrier(const std::string& interface);

/// What a Linux interface sent, and dropped instead; nothing when that cannot be read.
struct SentAndDropped {
  std::uint64_t sent = 0, dropped = 0;
};
[[nodiscard]] std::optional<SentAndDropped> sent_and_dropped(const std::string& interface);

/// Whether the Linux interface behind an open port is still the one that was opened. One that was removed and made
/// again, or moved away and back, bears the same name, but the port's sockets hear of it no more. Thread-bound.
class InterfaceWatch {
 public:
  /// Right before its port is opened. Of a device without an interface nothing is ever said.
  explicit InterfaceWatch(const Device& device);
  /// Looks; from then on it was seen.
  [[nodiscard]] bool is_replaced();

 private:
  [[nodiscard]] unsigned index() const;

  std::string interface_;
  unsigned index_ = 0;  ///< as it was opened
  bool was_gone_ = false;
};

}  // namespace pfsync::engine::dpdk
