#include "engine/dpdk/device.h"

#include <fmt/format.h>
#include <linux/capability.h>
#include <net/if.h>

#include <algorithm>
#include <cctype>
#include <filesystem>
#include <fstream>
#include <optional>
#include <string_view>

#include "engine/dpdk/port.h"

namespace pfsync::engine::dpdk {
namespace {

namespace fs = std::filesystem;

/// The value of `key` among "name,key=value,key=value".
std::optional<std::string> option(const std::string& device, const std::string& key) {
  const std::size_t start = device.find("," + key + "=");
  if (start == std::string::npos) return std::nullopt;
  const std::size_t value = start + key.size() + 2;
  return device.substr(value, device.find(',', value) - value);
}

std::string interfaces_here() {
  std::vector<std::string> names;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator{"/sys/class/net", error}) names.push_back(entry.path().filename());
  std::sort(names.begin(), names.end());
  std::string list;
  for (const std::string& name : names) list += (list.empty() ? "" : ", ") + name;
  return list;
}

/// "0000:03:00.0": domain, bus, device and function.
bool is_pci_address(const std::string& device) {
  constexpr std::string_view form = "xxxx:xx:xx.x";
  return device.size() == form.size() &&
         std::equal(device.begin(), device.end(), form.begin(), [](char c, char wanted) {
           return wanted == 'x' ? std::isxdigit(static_cast<unsigned char>(c)) != 0 : c == wanted;
         });
}

/// The effective set of this thread. Source: proc_pid_status(5), CapEff.
bool has_capability(unsigned capability) {
  std::ifstream status{"/proc/thread-self/status"};
  for (std::string line; std::getline(status, line);)
    if (line.starts_with("CapEff:")) return (std::stoull(line.substr(7), nullptr, 16) >> capability & 1) != 0;
  return false;
}

std::optional<std::string> refusal_of(const std::string& interface, std::size_t mtu, const std::string& section) {
  if (if_nametoindex(interface.c_str()) == 0)
    return fmt::format("{}.device: there is no network interface \"{}\" on this machine: give one of {}", section,
                       interface, interfaces_here());
  std::size_t has = 0;
  if (std::ifstream{"/sys/class/net/" + interface + "/mtu"} >> has && has < mtu)
    return fmt::format("{}.mtu: {} is larger than the {} of {}: lower it, or run: ip link set {} mtu {}", section, mtu,
                       has, interface, interface, mtu);
  if (!has_capability(CAP_NET_RAW))
    return fmt::format("{}.device: no permission to open {}: run as root, or with CAP_NET_RAW and CAP_NET_ADMIN",
                       section, interface);
  return std::nullopt;
}

/// The driver's ring of 512 frames is full within milliseconds of a bulk update, and what does not fit is
/// lost in the kernel. Frames above its default need larger places besides.
std::string af_packet_sizes(std::size_t mtu) {
  return mtu > 1500 ? fmt::format(",blocksz=16384,framesz={},framecnt=2048", Port::place_bytes(mtu)) : ",framecnt=8192";
}

}  // namespace

bool has_carrier(const std::string& interface) {
  int carrier = 0;
  return (std::ifstream{"/sys/class/net/" + interface + "/carrier"} >> carrier) && carrier == 1;
}

std::optional<SentAndDropped> sent_and_dropped(const std::string& interface) {
  SentAndDropped counts;
  const std::string folder = "/sys/class/net/" + interface + "/statistics/";
  if (!(std::ifstream{folder + "tx_packets"} >> counts.sent)) return std::nullopt;
  if (!(std::ifstream{folder + "tx_dropped"} >> counts.dropped)) return std::nullopt;
  return counts;
}

/// Of a file, not by a socket: a process that has given up making those can read it all the same. 0: it is not there.
unsigned InterfaceWatch::index() const {
  unsigned index = 0;
  std::ifstream{"/sys/class/net/" + interface_ + "/ifindex"} >> index;
  return index;
}

InterfaceWatch::InterfaceWatch(const Device& device)
    : interface_{device.interface}, index_{interface_.empty() ? 0 : index()} {}

bool InterfaceWatch::is_replaced() {
  if (index_ == 0) return false;
  const unsigned index = this->index();
  if (index == 0) {
    was_gone_ = true;
    return false;
  }
  return was_gone_ || index != index_;
}

std::variant<Device, std::string> find_device(const std::string& device, std::size_t mtu, const std::string& section) {
  if (is_pci_address(device)) {
    if (!fs::exists("/sys/bus/pci/devices/" + device))
      return fmt::format("{}.device: there is no PCI device {} on this machine: lspci -D lists those that are there",
                         section, device);
    return Device{.port = device, .allow = {device}};
  }
  if (!device.starts_with("net_")) {
    if (const auto refusal = refusal_of(device, mtu, section)) return *refusal;
    // Named after the interface, so that several ports do not meet.
    return Device{.port = "net_af_packet_" + device + ",iface=" + device + af_packet_sizes(mtu), .interface = device};
  }
  if (device.starts_with("net_af_packet") || device.starts_with("net_af_xdp")) {
    const auto interface = option(device, "iface");
    if (!interface) return fmt::format("{}.device: \"{}\" names no interface: add ,iface=NAME", section, device);
    if (const auto refusal = refusal_of(*interface, mtu, section)) return *refusal;
    const bool sized = device.starts_with("net_af_xdp") || option(device, "framesz") || option(device, "framecnt");
    return Device{.port = sized ? device : device + af_packet_sizes(mtu), .interface = *interface};
  }
  if (device.starts_with("net_memif")) {
    const auto socket = option(device, "socket");
    const fs::path folder = fs::path{socket.value_or("")}.parent_path();
    if (socket && option(device, "socket-abstract") == "no" && !fs::is_directory(folder))
      return fmt::format("{}.device: the folder of the socket {} is not there: create it, or name another", section,
                         *socket);
  }
  if (device.starts_with("net_memif") && mtu > 1500 && !option(device, "bsize"))
    return Device{.port = device + ",bsize=10240"};  // a place holds a whole frame
  return Device{.port = device};
}

}  // namespace pfsync::engine::dpdk
