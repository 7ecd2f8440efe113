#include "engine/dpdk/ring_drops.h"

#include <linux/if_packet.h>
#include <sys/socket.h>

#include <charconv>
#include <filesystem>
#include <string>
#include <system_error>

namespace pfsync::engine::dpdk {

void RingDrops::watch(unsigned interface) {
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator{"/proc/self/fd", error}) {
    const std::string name = entry.path().filename();
    int fd = -1;
    if (std::from_chars(name.data(), name.data() + name.size(), fd).ec != std::errc{}) continue;
    sockaddr_ll address{};
    socklen_t bytes = sizeof address;
    if (getsockname(fd, reinterpret_cast<sockaddr*>(&address), &bytes) != 0) continue;
    if (address.sll_family == AF_PACKET && address.sll_ifindex == static_cast<int>(interface)) sockets_.push_back(fd);
  }
}

std::uint64_t RingDrops::value() const noexcept {
  for (const int fd : sockets_) {
    tpacket_stats since{};  // since they were asked last
    socklen_t bytes = sizeof since;
    if (getsockopt(fd, SOL_PACKET, PACKET_STATISTICS, &since, &bytes) == 0)
      drops_.fetch_add(since.tp_drops, std::memory_order_relaxed);
  }
  return drops_.load(std::memory_order_relaxed);
}

}  // namespace pfsync::engine::dpdk
