#pragma once

#include <rte_ethdev.h>
#include <rte_mbuf.h>

#include <array>
#include <cstdint>
#include <memory>
#include <span>
#include <string>

#include "engine/counters.h"
#include "engine/dpdk/ring_drops.h"
#include "wire/address.h"
#include "wire/bytes.h"

namespace pfsync::engine::dpdk {

/// One receive and one transmit queue of any DPDK Ethernet device. Thread-bound: the data-path core,
/// after construction; counters and `link_up` are for any thread. Frames are read where the device put
/// them and written where it sends them from.
class Port {
 public:
  static constexpr std::uint16_t burst_max = 32;
  static constexpr std::uint16_t descriptors = 1024;
  static constexpr unsigned buffers = 8191;

  /// `device`: a virtual device as EAL names it ("net_memif0,role=server,socket=/run/x.sock",
  /// "net_af_packet0,iface=eth1", "net_ring0", …), or the name of a device that is there already.
  /// `mtu`: bytes from the IP header on. Throws std::runtime_error with one sentence about the section's device.
  explicit Port(const std::string& device, std::size_t mtu = 1500, const std::string& section = "link");
  ~Port();
  Port(const Port&) = delete;
  Port& operator=(const Port&) = delete;

  /// Bytes of memory that the buffers of a port take.
  [[nodiscard]] static std::size_t memory_bytes(std::size_t mtu) noexcept;
  /// Room for a whole frame in buffers and in a kernel's ring, a part of 16 KiB without rest. `mtu`: at most 9000.
  [[nodiscard]] static std::size_t place_bytes(std::size_t mtu) noexcept;

  /// The next burst, good until the next call of receive; empty when there is nothing.
  [[nodiscard]] std::span<const wire::Bytes> receive() noexcept;

  /// Room for one frame in a buffer of its own. Empty when the device takes no more for now, or when no
  /// buffer is free (counted: `onomem`).
  [[nodiscard]] wire::Room room() noexcept;
  /// Queues the frame that was written into the last room, cut to `bytes`. 0 gives the buffer back.
  void commit(std::size_t bytes) noexcept;
  /// Hands what is queued to the device. False when it did not take all: the rest waits for the next call.
  bool flush() noexcept;
  /// Drops what is queued, counted as `oerrors`.
  void drop() noexcept;
  /// How many frames the device has taken so far: while it takes any, it works.
  [[nodiscard]] std::uint64_t taken() const noexcept { return taken_; }

  // Buffers that travel to another thread, to be filled there.
  /// A free buffer, or null (counted: `onomem`).
  [[nodiscard]] rte_mbuf* take() noexcept;
  [[nodiscard]] static wire::Room room_of(rte_mbuf* buffer) noexcept {
    return {rte_pktmbuf_mtod(buffer, std::uint8_t*), rte_pktmbuf_tailroom(buffer)};
  }
  /// Whether `send` may be called; hands queued frames to the device when that makes room.
  [[nodiscard]] bool can_send() noexcept {
    return outgoing_count_ < burst_max || (flush(), outgoing_count_ < burst_max);
  }
  /// Queues a buffer of `take` as a frame of that many bytes. Contract: can_send().
  void send(rte_mbuf* buffer, std::size_t bytes) noexcept;

  [[nodiscard]] wire::MacAddress mac() const;

  // Any thread:
  [[nodiscard]] bool link_up() const noexcept;
  /// Whether frames for a further Ethernet address arrive.
  [[nodiscard]] bool accept(const wire::MacAddress& mac) noexcept;
  /// They need not any more.
  void forget(const wire::MacAddress& mac) noexcept;
  [[nodiscard]] std::uint64_t onomem() const noexcept { return onomem_.value(); }
  [[nodiscard]] std::uint64_t oerrors() const noexcept { return oerrors_.value(); }
  struct Statistics {
    std::uint64_t ipackets, opackets, ibytes, obytes, imissed, ierrors;
  };
  [[nodiscard]] Statistics statistics() const noexcept;

 private:
  struct DeviceRemover {
    void operator()(const std::string* name) const noexcept;
  };
  struct PoolFreer {
    void operator()(rte_mempool* pool) const noexcept { rte_mempool_free(pool); }
  };
  void release_received() noexcept;

  // A constructor that throws half way gives back what it took: the device first, then its buffers.
  std::unique_ptr<rte_mempool, PoolFreer> pool_;
  std::unique_ptr<const std::string, DeviceRemover> created_;  ///< empty when the device was there before
  std::uint16_t id_ = 0;
  std::array<rte_mbuf*, burst_max> received_{};
  std::array<wire::Bytes, burst_max> frames_{};
  std::uint16_t received_count_ = 0;
  std::array<rte_mbuf*, burst_max> outgoing_{};
  std::uint16_t outgoing_count_ = 0;
  std::uint64_t taken_ = 0;
  rte_mbuf* open_ = nullptr;  ///< the buffer behind the last room
  Counter onomem_, oerrors_;
  RingDrops ring_drops_;
};

}  // namespace pfsync::engine::dpdk
