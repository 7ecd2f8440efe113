#include "engine/dpdk/device.h"

#include <gtest/gtest.h>

namespace pfsync::engine::dpdk {
namespace {

auto found(const std::string& device, std::size_t mtu = 1500) { return find_device(device, mtu, "link"); }

std::string refusal(const std::string& device, std::size_t mtu = 1500) {
  const auto result = found(device, mtu);
  const auto* sentence = std::get_if<std::string>(&result);
  return sentence != nullptr ? *sentence : "taken";
}

TEST(Device, AVirtualDeviceIsTakenAsItIs) {
  const auto device = std::get<Device>(found("net_memif0,role=client"));
  EXPECT_EQ(device.port, "net_memif0,role=client");
  EXPECT_TRUE(device.allow.empty());
  EXPECT_TRUE(device.interface.empty());
}

TEST(Device, AnInterfaceByItsPlainName) {
  const auto result = found("lo");
  if (const auto* sentence = std::get_if<std::string>(&result)) {
    EXPECT_NE(sentence->find("no permission"), std::string::npos) << *sentence;
    return;
  }
  EXPECT_EQ(std::get<Device>(result).port, "net_af_packet_lo,iface=lo,framecnt=8192");
  EXPECT_EQ(std::get<Device>(result).interface, "lo");
}

TEST(Device, AnInterfaceThatStaysIsNotReplaced) {
  Device device{.port = "net_null0"};
  EXPECT_FALSE(InterfaceWatch{device}.is_replaced()) << "there is none";
  device.interface = "lo";
  InterfaceWatch watch{device};
  EXPECT_FALSE(watch.is_replaced());
  EXPECT_FALSE(watch.is_replaced());
}

TEST(Device, LargeFramesGetLargePlaces) {
  const auto result = found("net_af_packet0,iface=lo", 9000);
  if (std::holds_alternative<std::string>(result)) GTEST_SKIP() << std::get<std::string>(result);
  EXPECT_EQ(std::get<Device>(result).port, "net_af_packet0,iface=lo,blocksz=16384,framesz=16384,framecnt=2048");
}

TEST(Device, WhatIsNotThereIsSaidInOneSentence) {
  EXPECT_NE(refusal("eth97").find("no network interface \"eth97\""), std::string::npos);
  EXPECT_NE(refusal("eth97").find("lo"), std::string::npos) << "the ones that are there are named";
  EXPECT_NE(refusal("net_af_packet0,iface=eth97").find("no network interface \"eth97\""), std::string::npos);
  EXPECT_NE(refusal("net_af_packet0").find("iface=NAME"), std::string::npos);
  EXPECT_NE(refusal("ffff:ff:1f.7").find("no PCI device ffff:ff:1f.7"), std::string::npos);
  EXPECT_NE(refusal("net_memif0,role=server,socket-abstract=no,socket=/nowhere/at/all.sock").find("/nowhere"),
            std::string::npos);
  EXPECT_NE(refusal("lo", 100'000).find("link.mtu: 100000 is larger than the"), std::string::npos);
}

}  // namespace
}  // namespace pfsync::engine::dpdk
