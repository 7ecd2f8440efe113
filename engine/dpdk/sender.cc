#include "engine/dpdk/sender.h"

#include <algorithm>
#include <chrono>
#include <stdexcept>
#include <thread>
#include <variant>

#include "engine/dpdk/device.h"
#include "engine/dpdk/eal.h"
#include "engine/dpdk/port.h"
#include "wire/ethernet.h"
#include "wire/ip.h"

namespace pfsync::engine::dpdk {
namespace {

Device device_or_throw(const std::string& name) {
  constexpr std::size_t mtu = 1500;
  auto result = find_device(name, mtu, "link");
  if (const auto* sentence = std::get_if<std::string>(&result)) throw std::runtime_error{*sentence};
  return std::get<Device>(std::move(result));
}

}  // namespace

struct Sender::Parts {
  explicit Parts(const std::string& name)
      : device{device_or_throw(name)},
        eal{{.program = "pfsync-replay", .allow = device.allow}},
        port{device.port},
        mac{port.mac()} {}

  Device device;
  Eal eal;
  Port port;
  wire::MacAddress mac;
  std::uint64_t sent = 0;
};

Sender::Sender(const std::string& device) : parts_{std::make_unique<Parts>(device)} {
  // A virtual link may need a moment to find its other end.
  for (int i = 0; i < 200 && !parts_->port.link_up(); ++i) std::this_thread::sleep_for(std::chrono::milliseconds{10});
  if (!parts_->port.link_up())
    throw std::runtime_error{"link.device: " + device.substr(0, device.find(',')) +
                             " has no link: connect its other end"};
}
Sender::~Sender() = default;

std::uint64_t Sender::sent() const noexcept { return parts_->sent; }

bool Sender::flush() {
  const auto until = std::chrono::steady_clock::now() + std::chrono::seconds{2};
  while (!parts_->port.flush()) {
    if (std::chrono::steady_clock::now() >= until) return false;
    std::this_thread::sleep_for(std::chrono::microseconds{50});
  }
  return true;
}

bool Sender::send(wire::Bytes packet) {
  if (!parts_->port.can_send() && !flush()) return false;
  const wire::Room room = parts_->port.room();
  const wire::IpResult ip = wire::read_ip(packet);
  const bool is_v6 = !packet.empty() && packet[0] >> 4 == 6;
  const wire::Family family = is_v6 ? wire::Family::inet6 : wire::Family::inet;
  const bool grouped = !ip.reject && wire::is_multicast(family, ip.packet.destination);
  const wire::MacAddress to = grouped ? wire::multicast_mac(family, ip.packet.destination) : wire::broadcast_mac;
  const std::uint16_t type = is_v6 ? wire::ethertype::ipv6 : wire::ethertype::ipv4;
  const std::size_t header = wire::write_ethernet_header(to, parts_->mac, std::nullopt, type, room);
  if (header == 0 || packet.size() > room.size() - header) return false;
  std::copy(packet.begin(), packet.end(), room.begin() + static_cast<std::ptrdiff_t>(header));
  parts_->port.commit(header + packet.size());
  ++parts_->sent;
  return true;
}

}  // namespace pfsync::engine::dpdk
