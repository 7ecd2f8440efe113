#pragma once

#include <optional>
#include <string>
#include <vector>

namespace pfsync::engine::dpdk {

struct EalConfig {
  std::string program = "pfsyncd";
  std::size_t memory_mib = 64;             ///< for packet buffers, when there are no hugepages
  std::vector<std::string> allow{};        ///< PCI addresses; empty: no PCI bus at all
  std::optional<unsigned> control_core{};  ///< CPU of the control thread; none: any
  bool telemetry = false;                  ///< DPDK's telemetry socket, where its folder can be written to
  unsigned data_cores = 1;
  std::vector<unsigned> data_core_cpus{};  ///< one for each data-path core; none: any
};

/// DPDK's environment, once a process: without hugepages unless the system has some, in memory only (two
/// processes do not meet). lcore 0 is the calling thread, those from 1 on are the data path.
/// It ends with the process, not with the object: rte_eal_cleanup() of DPDK 22.11 unmaps memory that its
/// interrupt thread still uses, and a peer that hangs up at that moment ends the process by a signal.
class Eal {
 public:
  /// Throws std::runtime_error with one sentence.
  explicit Eal(const EalConfig& config);
  Eal(const Eal&) = delete;
  Eal& operator=(const Eal&) = delete;
};

}  // namespace pfsync::engine::dpdk
