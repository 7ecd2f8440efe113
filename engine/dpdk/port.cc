#include "engine/dpdk/port.h"

#include <rte_alarm.h>
#include <rte_cycles.h>
#include <rte_dev.h>
#include <rte_errno.h>
#include <rte_mempool.h>

#include <algorithm>
#include <atomic>
#include <cstring>
#include <stdexcept>
#include <utility>

namespace pfsync::engine::dpdk {
namespace {

constexpr unsigned cache_buffers = 128;
constexpr std::size_t plain_mtu = 1500;  ///< what every device can do without being told
constexpr std::size_t mtu_max = 9000;    ///< the largest that the configuration takes

[[noreturn]] void fail(const std::string& device, const std::string& what, int error) {
  throw std::runtime_error{device + " " + what + ": " + rte_strerror(error < 0 ? -error : error)};
}

/// Drivers of DPDK 22.11 that call 1514 bytes their longest frame, and carry whatever their rings have room for.
bool says_too_little(const std::string& device) noexcept {
  return device.starts_with("net_af_packet") || device.starts_with("net_memif");
}

/// A frame of this MTU in one buffer, behind DPDK's own headroom.
std::uint16_t buffer_bytes(std::size_t mtu) noexcept {
  return static_cast<std::uint16_t>(RTE_PKTMBUF_HEADROOM + Port::place_bytes(mtu));
}

/// Calls f on DPDK's interrupt thread, where drivers handle a peer that connects or hangs up, and waits
/// for it: memif of 22.11 frees a device under that thread's hands otherwise.
template <class F>
void on_interrupt_thread(F&& f) noexcept {
  struct Call {
    F& f;
    std::atomic<bool> done{false};
  } call{.f = f};
  const auto body = [](void* given) {
    auto& it = *static_cast<Call*>(given);
    it.f();
    it.done.store(true, std::memory_order_release);
  };
  if (rte_eal_alarm_set(1, body, &call) != 0) {
    body(&call);
    return;
  }
  while (!call.done.load(std::memory_order_acquire)) rte_delay_us_sleep(50);
}

}  // namespace

std::size_t Port::place_bytes(std::size_t mtu) noexcept {
  constexpr std::size_t around = 256;  // Ethernet, VLAN, and what a kernel's ring writes before a frame
  if (mtu <= plain_mtu) return RTE_MBUF_DEFAULT_DATAROOM;
  for (const std::size_t place : {std::size_t{4096}, std::size_t{8192}})
    if (mtu + around <= place) return place;
  return 16384;
}

std::size_t Port::memory_bytes(std::size_t mtu) noexcept {
  constexpr std::size_t objects_header = 192;  // mempool's own and rte_mbuf, per buffer
  return (buffer_bytes(mtu) + objects_header) * (std::size_t{buffers} + 1);
}

void Port::DeviceRemover::operator()(const std::string* name) const noexcept {
  on_interrupt_thread([name] { rte_eal_hotplug_remove("vdev", name->c_str()); });
  delete name;
}

Port::Port(const std::string& device, std::size_t mtu, const std::string& section) {
  const std::string name = device.substr(0, device.find(','));
  const std::string key = section + ".device: " + name;
  const std::string options = name.size() == device.size() ? "" : device.substr(name.size() + 1);
  if (rte_eth_dev_get_port_by_name(name.c_str(), &id_) != 0) {
    // The driver's error number says little: -EFAULT for a driver that is not there.
    if (rte_eal_hotplug_add("vdev", name.c_str(), options.c_str()) != 0)
      throw std::runtime_error{section + ".device: " + name +
                               " cannot be made: check the driver's name and its options"};
    created_.reset(new std::string{name});
    if (const int error = rte_eth_dev_get_port_by_name(name.c_str(), &id_); error != 0)
      fail(key, "is not an Ethernet device", error);
  }
  if (mtu > mtu_max) fail(key, "cannot be configured with an MTU of " + std::to_string(mtu), EINVAL);
  const std::string pool_name = "pool_" + std::to_string(id_);
  pool_.reset(rte_pktmbuf_pool_create(pool_name.c_str(), buffers, cache_buffers, 0, buffer_bytes(mtu),
                                      static_cast<int>(rte_socket_id())));
  if (pool_ == nullptr) fail(key, "has no memory for packet buffers", rte_errno);
  rte_eth_conf config{};
  if (mtu > plain_mtu) config.rxmode.mtu = static_cast<std::uint32_t>(mtu);
  int configured = rte_eth_dev_configure(id_, 1, 1, &config);
  if (configured == -EINVAL && config.rxmode.mtu != 0 && says_too_little(name)) {
    config.rxmode.mtu = 0;
    configured = rte_eth_dev_configure(id_, 1, 1, &config);
  }
  if (configured != 0) fail(key, "cannot be configured with an MTU of " + std::to_string(mtu), configured);
  std::uint16_t rx = descriptors, tx = descriptors;
  if (const int error = rte_eth_dev_adjust_nb_rx_tx_desc(id_, &rx, &tx); error != 0)
    fail(key, "has no queues of this size", error);
  const auto socket = static_cast<unsigned>(std::max(0, rte_eth_dev_socket_id(id_)));
  if (const int error = rte_eth_rx_queue_setup(id_, 0, rx, socket, nullptr, pool_.get()); error != 0)
    fail(key, "has no receive queue", error);
  if (const int error = rte_eth_tx_queue_setup(id_, 0, tx, socket, nullptr); error != 0)
    fail(key, "has no transmit queue", error);
  if (const int error = rte_eth_dev_start(id_); error != 0) fail(key, "does not start, is its other end there", error);
  // Software drivers may know neither; what they do not filter arrives all the same.
  static_cast<void>(rte_eth_promiscuous_enable(id_));
  static_cast<void>(rte_eth_allmulticast_enable(id_));
  rte_eth_dev_info info{};
  if (name.starts_with("net_af_packet") && rte_eth_dev_info_get(id_, &info) == 0) ring_drops_.watch(info.if_index);
}

Port::~Port() {
  release_received();
  rte_pktmbuf_free_bulk(outgoing_.data(), outgoing_count_);
  if (open_ != nullptr) rte_pktmbuf_free(open_);
  on_interrupt_thread([id = id_] {
    rte_eth_dev_stop(id);
    rte_eth_dev_close(id);
  });
}

void Port::release_received() noexcept {
  rte_pktmbuf_free_bulk(received_.data(), received_count_);
  received_count_ = 0;
}

std::span<const wire::Bytes> Port::receive() noexcept {
  release_received();
  received_count_ = rte_eth_rx_burst(id_, 0, received_.data(), burst_max);
  std::size_t frames = 0;
  for (std::uint16_t i = 0; i < received_count_; ++i) {
    const rte_mbuf* buffer = received_[i];
    // A frame in several segments is larger than a buffer, which no frame of this MTU is: the first
    // segment alone fails the length checks and is counted there.
    frames_[frames++] = {rte_pktmbuf_mtod(buffer, const std::uint8_t*), buffer->data_len};
  }
  return {frames_.data(), frames};
}

rte_mbuf* Port::take() noexcept {
  rte_mbuf* const buffer = rte_pktmbuf_alloc(pool_.get());
  if (buffer == nullptr) onomem_.add();
  return buffer;
}

wire::Room Port::room() noexcept {
  if (!can_send()) return {};
  if (open_ == nullptr) open_ = take();
  return open_ == nullptr ? wire::Room{} : room_of(open_);
}

void Port::send(rte_mbuf* buffer, std::size_t bytes) noexcept {
  buffer->data_len = static_cast<std::uint16_t>(bytes);
  buffer->pkt_len = static_cast<std::uint32_t>(bytes);
  outgoing_[outgoing_count_++] = buffer;
}

void Port::commit(std::size_t bytes) noexcept {
  if (open_ == nullptr || bytes == 0) return;  // an unused buffer serves the next room
  send(open_, bytes);
  open_ = nullptr;
}

bool Port::flush() noexcept {
  if (outgoing_count_ == 0) return true;
  const std::uint16_t sent = rte_eth_tx_burst(id_, 0, outgoing_.data(), outgoing_count_);
  std::copy(outgoing_.begin() + sent, outgoing_.begin() + outgoing_count_, outgoing_.begin());
  outgoing_count_ = static_cast<std::uint16_t>(outgoing_count_ - sent);
  taken_ += sent;
  return outgoing_count_ == 0;
}

void Port::drop() noexcept {
  oerrors_.add(outgoing_count_);
  rte_pktmbuf_free_bulk(outgoing_.data(), outgoing_count_);
  outgoing_count_ = 0;
}

wire::MacAddress Port::mac() const {
  rte_ether_addr address{};
  if (rte_eth_macaddr_get(id_, &address) != 0) return {};
  wire::MacAddress mac;
  std::memcpy(mac.bytes.data(), address.addr_bytes, mac.bytes.size());
  return mac;
}

bool Port::accept(const wire::MacAddress& mac) noexcept {
  if (rte_eth_promiscuous_get(id_) == 1) return true;
  rte_ether_addr address{};
  std::memcpy(address.addr_bytes, mac.bytes.data(), mac.bytes.size());
  const int error = rte_eth_dev_mac_addr_add(id_, &address, 0);
  return error == 0 || error == -ENOTSUP;  // a software device that knows no filter has none
}

void Port::forget(const wire::MacAddress& mac) noexcept {
  if (rte_eth_promiscuous_get(id_) == 1) return;
  rte_ether_addr address{};
  std::memcpy(address.addr_bytes, mac.bytes.data(), mac.bytes.size());
  rte_eth_dev_mac_addr_remove(id_, &address);  // where it cannot be, more arrives than is looked at
}

bool Port::link_up() const noexcept {
  rte_eth_link link{};
  return rte_eth_link_get_nowait(id_, &link) == 0 && link.link_status == RTE_ETH_LINK_UP;
}

Port::Statistics Port::statistics() const noexcept {
  rte_eth_stats stats{};
  if (rte_eth_stats_get(id_, &stats) != 0) return {};
  return {stats.ipackets, stats.opackets, stats.ibytes, stats.obytes, stats.imissed + ring_drops_.value(),
          stats.ierrors};
}

}  // namespace pfsync::engine::dpdk
