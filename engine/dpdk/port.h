#pragma once

#include <rte_ethdev.h>
#include <rte_mbuf.h>

#include <array>
#include <cstdint>
#include <span>
#include <string>

#include "wire/address.h"
#include "wire/bytes.h"

namespace pfsync::engine::dpdk {

/// One receive and one transmit queue of any DPDK Ethernet device. Thread-bound: the data-path core,
/// after construction. Frames are read where the device put them and written where it sends them from.
class Port {
 public:
  static constexpr std::uint16_t burst_max = 32;
  static constexpr std::uint16_t descriptors = 1024;
  static constexpr unsigned buffers = 8191;

  /// `device`: a virtual device as EAL names it ("net_memif0,role=server,socket=/run/x.sock",
  /// "net_af_packet0,iface=eth1", "net_ring0", …), or the name of a device that is there already.
  /// Throws std::runtime_error with one sentence.
  explicit Port(const std::string& device);
  ~Port();
  Port(const Port&) = delete;
  Port& operator=(const Port&) = delete;

  /// The next burst, good until the next call of receive; empty when there is nothing.
  [[nodiscard]] std::span<const wire::Bytes> receive() noexcept;

  /// Room for one frame in a buffer of its own; empty when no buffer is free (counted: `onomem`).
  [[nodiscard]] wire::Room room() noexcept;
  /// Queues the frame that was written into the last room, cut to `bytes`. 0 gives the buffer back.
  void commit(std::size_t bytes) noexcept;
  /// Sends what is queued; what the device does not take is dropped and counted (`oerrors`).
  void flush() noexcept;

  [[nodiscard]] wire::MacAddress mac() const;
  [[nodiscard]] std::uint64_t onomem() const noexcept { return onomem_; }
  [[nodiscard]] std::uint64_t oerrors() const noexcept { return oerrors_; }

 private:
  void release_received() noexcept;

  std::uint16_t id_ = 0;
  std::string created_;  ///< the device to remove again; empty when it was there before
  rte_mempool* pool_ = nullptr;
  std::array<rte_mbuf*, burst_max> received_{};
  std::array<wire::Bytes, burst_max> frames_{};
  std::uint16_t received_count_ = 0;
  std::array<rte_mbuf*, burst_max> outgoing_{};
  std::uint16_t outgoing_count_ = 0;
  rte_mbuf* open_ = nullptr;  ///< the buffer behind the last room
  std::uint64_t onomem_ = 0;
  std::uint64_t oerrors_ = 0;
};

}  // namespace pfsync::engine::dpdk
