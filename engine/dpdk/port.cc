#include "engine/dpdk/port.h"

#include <rte_dev.h>
#include <rte_errno.h>
#include <rte_mempool.h>

#include <algorithm>
#include <cstring>
#include <stdexcept>

namespace pfsync::engine::dpdk {
namespace {

[[noreturn]] void fail(const std::string& device, const std::string& what, int error) {
  throw std::runtime_error{"device " + device + ": " + what + ": " + rte_strerror(error < 0 ? -error : error)};
}

}  // namespace

Port::Port(const std::string& device) {
  const std::string name = device.substr(0, device.find(','));
  const std::string options = name.size() == device.size() ? "" : device.substr(name.size() + 1);
  if (rte_eth_dev_get_port_by_name(name.c_str(), &id_) != 0) {
    if (const int error = rte_eal_hotplug_add("vdev", name.c_str(), options.c_str()); error != 0) fail(name, "cannot be made", error);
    created_ = name;
    if (const int error = rte_eth_dev_get_port_by_name(name.c_str(), &id_); error != 0) fail(name, "is not an Ethernet device", error);
  }
  const std::string pool_name = "pool_" + std::to_string(id_);
  pool_ = rte_pktmbuf_pool_create(pool_name.c_str(), buffers, 128, 0, RTE_MBUF_DEFAULT_BUF_SIZE, static_cast<int>(rte_socket_id()));
  if (pool_ == nullptr) fail(name, "no memory for packet buffers", rte_errno);
  const rte_eth_conf config{};
  if (const int error = rte_eth_dev_configure(id_, 1, 1, &config); error != 0) fail(name, "cannot be configured", error);
  std::uint16_t rx = descriptors, tx = descriptors;
  if (const int error = rte_eth_dev_adjust_nb_rx_tx_desc(id_, &rx, &tx); error != 0) fail(name, "has no queues of this size", error);
  const auto socket = static_cast<unsigned>(std::max(0, rte_eth_dev_socket_id(id_)));
  if (const int error = rte_eth_rx_queue_setup(id_, 0, rx, socket, nullptr, pool_); error != 0) fail(name, "has no receive queue", error);
  if (const int error = rte_eth_tx_queue_setup(id_, 0, tx, socket, nullptr); error != 0) fail(name, "has no transmit queue", error);
  if (const int error = rte_eth_dev_start(id_); error != 0) fail(name, "does not start", error);
  // Software drivers may know neither; what they do not filter arrives all the same.
  static_cast<void>(rte_eth_promiscuous_enable(id_));
  static_cast<void>(rte_eth_allmulticast_enable(id_));
}

Port::~Port() {
  release_received();
  rte_pktmbuf_free_bulk(outgoing_.data(), outgoing_count_);
  if (open_ != nullptr) rte_pktmbuf_free(open_);
  rte_eth_dev_stop(id_);
  rte_eth_dev_close(id_);
  if (!created_.empty()) rte_eal_hotplug_remove("vdev", created_.c_str());
  rte_mempool_free(pool_);
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
    // A frame in several segments is larger than a buffer, which no pfsync frame is: the first
    // segment alone fails the length checks and is counted there.
    frames_[frames++] = {rte_pktmbuf_mtod(buffer, const std::uint8_t*), buffer->data_len};
  }
  return {frames_.data(), frames};
}

wire::Room Port::room() noexcept {
  if (open_ == nullptr) open_ = rte_pktmbuf_alloc(pool_);
  if (open_ == nullptr) {
    ++onomem_;
    return {};
  }
  return {rte_pktmbuf_mtod(open_, std::uint8_t*), rte_pktmbuf_tailroom(open_)};
}

void Port::commit(std::size_t bytes) noexcept {
  if (open_ == nullptr || bytes == 0) return;  // an unused buffer serves the next room
  open_->data_len = static_cast<std::uint16_t>(bytes);
  open_->pkt_len = static_cast<std::uint32_t>(bytes);
  outgoing_[outgoing_count_++] = open_;
  open_ = nullptr;
  if (outgoing_count_ == burst_max) flush();
}

void Port::flush() noexcept {
  const std::uint16_t sent = rte_eth_tx_burst(id_, 0, outgoing_.data(), outgoing_count_);
  oerrors_ += static_cast<std::uint64_t>(outgoing_count_ - sent);
  rte_pktmbuf_free_bulk(outgoing_.data() + sent, static_cast<unsigned>(outgoing_count_ - sent));
  outgoing_count_ = 0;
}

wire::MacAddress Port::mac() const {
  rte_ether_addr address{};
  if (rte_eth_macaddr_get(id_, &address) != 0) return {};
  wire::MacAddress mac;
  std::memcpy(mac.bytes.data(), address.addr_bytes, mac.bytes.size());
  return mac;
}

}  // namespace pfsync::engine::dpdk
