// What others have set up wrongly: seen, named, told once.
#include <gtest/gtest.h>

#include <algorithm>

#include "tests/engine/carp/carp_bench.h"

namespace pfsync::engine::carp::test {
namespace {

using wire::CarpReject;
using wire::Family;

TEST(CarpNode, NamesASecondMasterButNotAHandover) {
  Bench bench{node_config({host_config(1, 0, {"192.168.1.100"})})};
  Other worse{host_config(1, 100, {"192.168.1.100"})};
  bench.hear(worse.advert(1, 100));
  bench.pass(10ms);
  bench.hear(worse.advert(1, 100));
  EXPECT_EQ(bench.mistakes(Mistake::two_masters), 0u);
  for (int i = 0; i < 5; ++i) {
    bench.pass(1390ms);
    bench.hear(worse.advert(1, 100));
  }
  EXPECT_GT(bench.mistakes(Mistake::two_masters), 0u);
  EXPECT_EQ(bench.status().mistakes[0].source.address, worse.source.address);
}

TEST(CarpNode, ABackupSeesTwoMastersWhoDoNotHearEachOther) {
  Bench bench{node_config({host_config(1, 200, {"192.168.1.100"})})};
  Other first{host_config(1, 0, {"192.168.1.100"})},
      second{host_config(1, 100, {"192.168.1.100"}), address("192.168.1.3")};
  for (int i = 0; i < 6; ++i) {
    bench.hear(first.advert(1, 0));
    bench.pass(500ms);
    bench.hear(second.advert(1, 100));
    bench.pass(500ms);
  }
  EXPECT_GT(bench.mistakes(Mistake::two_masters), 0u);
}

TEST(CarpNode, TheTwoAddressesOfOneMasterAreNotTwoMasters) {
  Bench bench{node_config({host_config(1, 200, {"192.168.1.100", "2001:db8::1"})})};
  Other inet{host_config(1, 0, {"192.168.1.100", "2001:db8::1"})};
  Other inet6{inet.config, address("fe80::2")};
  for (int i = 0; i < 10; ++i) {
    bench.hear(inet.advert(1, 0));
    bench.hear(inet6.advert(1, 0));
    bench.pass(1s);
  }
  EXPECT_EQ(bench.mistakes(Mistake::two_masters), 0u);
  EXPECT_EQ(bench.status().reigns, 1u);
}

TEST(CarpNode, TellsAnotherListOfAddressesFromAnotherPassword) {
  Bench bench{node_config({host_config(1, 0, {"192.168.1.100", "192.168.1.101", "2001:db8::1"})})};
  const auto odd_of = [&](const HostConfig& theirs) {
    const std::uint64_t named = bench.mistakes(Mistake::addresses_differ);
    bench.pass(1s);
    bench.hear(Other{theirs}.advert(1, 0));
    const auto index = static_cast<std::size_t>(Mistake::addresses_differ);
    return bench.mistakes(Mistake::addresses_differ) > named ? bench.status().mistakes[index].odd : wire::CarpAddress{};
  };
  EXPECT_EQ(odd_of(host_config(1, 0, {"192.168.1.100", "2001:db8::1"})), address("192.168.1.101"));
  EXPECT_EQ(odd_of(host_config(1, 0, {"192.168.1.100", "192.168.1.101"})), address("2001:db8::1"));
  EXPECT_EQ(bench.count(CarpReject::badaddrs), 2u);
  EXPECT_EQ(bench.count(CarpReject::badauth), 0u);

  // One that is not known here shows itself by its announcement.
  const auto theirs = host_config(1, 0, {"192.168.1.100", "192.168.1.101", "192.168.1.7", "2001:db8::1"});
  EXPECT_EQ(odd_of(theirs), wire::CarpAddress{});
  EXPECT_EQ(bench.mistakes(Mistake::wrong_password), 1u);
  EXPECT_EQ(bench.count(CarpReject::badauth), 1u);
  const wire::Arp announced{.sender_mac = wire::carp_mac(1),
                            .sender = address("192.168.1.7").address,
                            .target = address("192.168.1.7").address};
  bench.hear(arp_frame(wire::broadcast_mac, announced));
  EXPECT_EQ(odd_of(theirs), address("192.168.1.7"));
  EXPECT_EQ(odd_of(host_config(1, 0, {"192.168.1.7", "192.168.1.101", "2001:db8::1"})), address("192.168.1.7"))
      << "in the place of another";
  const wire::Neighbour announced6{
      .override = true, .target = address("2001:db8::7").address, .mac = wire::carp_mac(1)};
  Frame message(32);
  ASSERT_EQ(wire::write_neighbour(announced6, address("fe80::2").address, wire::all_nodes_inet6, message), 32u);
  bench.hear(framed(wire::multicast_mac(Family::inet6, wire::all_nodes_inet6), wire::carp_mac(1),
                    {Family::inet6, address("fe80::2").address, wire::all_nodes_inet6, wire::ipproto::icmpv6},
                    message));
  EXPECT_EQ(odd_of(host_config(1, 0, {"192.168.1.100", "192.168.1.101", "192.168.1.7", "2001:db8::1", "2001:db8::7"})),
            address("192.168.1.7"))
      << "both of them";

  // Several are missing there.
  EXPECT_EQ(odd_of(host_config(1, 0, {"192.168.1.101"})), address("192.168.1.100")) << "one alone";
  EXPECT_EQ(odd_of(host_config(1, 0, {"2001:db8::1"})), address("192.168.1.100")) << "one family";

  auto liar = host_config(1, 0, {"192.168.1.100", "192.168.1.101", "2001:db8::1"});
  liar.password = "other";
  EXPECT_EQ(odd_of(liar), wire::CarpAddress{});
  EXPECT_EQ(bench.mistakes(Mistake::wrong_password), 2u);
  EXPECT_EQ(bench.status().adverts_in, 0u);
}

TEST(CarpNode, KnowsTheListOfOneFamily) {
  for (const auto& theirs :
       {host_config(1, 0, {"192.168.1.100", "192.168.1.101"}), host_config(1, 0, {"2001:db8::1", "2001:db8::2"})}) {
    Bench bench{node_config({host_config(1, 100, {"192.168.1.100", "192.168.1.101", "2001:db8::1", "2001:db8::2"})})};
    bench.hear(Other{theirs}.advert(1, 0));
    EXPECT_EQ(bench.mistakes(Mistake::addresses_differ), 1u);
    EXPECT_EQ(bench.mistakes(Mistake::wrong_password), 0u);
  }
}

TEST(CarpNode, KnowsEveryPartOfAShortList) {
  const auto four = host_config(1, 100, {"192.168.1.100", "192.168.1.101", "192.168.1.102", "192.168.1.103"});
  auto eight = host_config(1, 100,
                           {"192.168.1.100", "192.168.1.101", "192.168.1.102", "192.168.1.103", "192.168.1.104",
                            "2001:db8::1", "2001:db8::2", "2001:db8::3"});
  for (const HostConfig& ours : {four, eight}) {
    Bench bench{node_config({ours})};
    std::uint64_t heard = 0;
    for (unsigned part = 1; part + 1 < 1u << ours.addresses.size(); part += part < 16 ? 1 : 7) {
      HostConfig theirs = ours;
      theirs.addresses.clear();
      const wire::CarpAddress* missing = nullptr;
      for (std::size_t i = 0; i < ours.addresses.size(); ++i)
        if ((part >> i & 1u) != 0)
          theirs.addresses.push_back(ours.addresses[i]);
        else if (missing == nullptr)
          missing = &ours.addresses[i];
      bench.now += 1s;
      const bool inet = theirs.addresses[0].family == Family::inet;
      bench.hear(Other{theirs, inet ? address("192.168.1.2") : address("fe80::2")}.advert(1, 0));
      ASSERT_EQ(bench.mistakes(Mistake::addresses_differ), ++heard) << part;
      EXPECT_EQ(bench.status().mistakes[static_cast<std::size_t>(Mistake::addresses_differ)].odd, *missing) << part;
    }
    EXPECT_EQ(bench.count(CarpReject::badauth), 0u);
  }
}

TEST(CarpNode, LooksIntoSoManyWrongHashesASecondAndNoMore) {
  Bench bench{node_config({host_config(1, 100, {"192.168.1.100", "192.168.1.101", "192.168.1.102", "192.168.1.103"})})};
  Other liar{host_config(1, 0, {"192.168.1.100"})};
  liar.config.password = "other";
  for (unsigned i = 0; i < Host::hmacs_per_s_max; ++i) bench.hear(liar.advert(1, 0));
  Other other{host_config(1, 0, {"192.168.1.101", "192.168.1.103"})};
  bench.hear(other.advert(1, 0));
  EXPECT_EQ(bench.mistakes(Mistake::addresses_differ), 0u) << "enough for this second";
  bench.now += 1s;
  bench.hear(other.advert(1, 0));
  EXPECT_EQ(bench.mistakes(Mistake::addresses_differ), 1u);
}

/// The other had its further address announced before this node was there.
TEST(CarpNode, TwoMastersWithDifferentListsTellEachOtherTheirAddresses) {
  Bench first{node_config({host_config(1, 0, {"192.168.1.100", "192.168.1.101"})})};
  first.pass(60s);
  NodeConfig config = node_config({host_config(1, 100, {"192.168.1.100"})});
  config.mac = peer_mac;
  config.inet = address("192.168.1.2").address;
  Bench second{config};
  second.now = first.now;
  const std::uint64_t announced = first.count(Tally::announcements);
  for (int i = 0; i < 400; ++i) {
    for (const Frame& frame : first.pass(50ms)) second.hear(frame);
    for (const Frame& frame : second.pass(50ms)) first.hear(frame);
    first.now = second.now = std::max(first.now, second.now);
  }
  const auto odd = static_cast<std::size_t>(Mistake::addresses_differ);
  EXPECT_EQ(first.state(), State::master);
  EXPECT_EQ(first.status().mistakes[odd].odd, address("192.168.1.101"));
  EXPECT_EQ(second.status().mistakes[odd].odd, address("192.168.1.101"));
  EXPECT_GT(first.count(Tally::announcements), announced);
  EXPECT_LE(first.count(Tally::announcements), announced + 4 * 2) << "once in ten seconds, two addresses";
  while (const auto entry = second.journal.pop())
    if (entry->kind == Entry::Kind::mistake) {
      EXPECT_EQ(entry->mistake, Mistake::addresses_differ);
    }
}

TEST(CarpNode, CallsNoPasswordWrongThatIsExplainedInAMoment) {
  Bench bench{node_config({host_config(1, 100, {"192.168.1.100"})})};
  Other other{host_config(1, 0, {"192.168.1.100", "192.168.1.7"})};
  bench.hear(other.advert(1, 0));
  bench.hear(arp_frame(wire::broadcast_mac, {.sender_mac = wire::carp_mac(1),
                                             .sender = address("192.168.1.7").address,
                                             .target = address("192.168.1.7").address}));
  for (int i = 0; i < 5; ++i) {
    bench.pass(1s);
    bench.hear(other.advert(1, 0));
  }
  std::vector<Mistake> told;
  while (const auto entry = bench.journal.pop())
    if (entry->kind == Entry::Kind::mistake) told.push_back(entry->mistake);
  EXPECT_EQ(told, std::vector{Mistake::addresses_differ});
}

TEST(CarpNode, VrrpForInet6HasEthernetAddressesOfItsOwn) {
  Bench bench{node_config({host_config(1, 0, {"192.168.1.100", "2001:db8::1"})})};
  const Frame vrrp{0x31, 1, 100, 1, 0, 100, 0xab, 0xcd, 0xfe, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 9};
  bench.hear(framed({}, peer_mac,
                    {Family::inet6, address("fe80::9").address, wire::carp_group_inet6, wire::ipproto::carp}, vrrp));
  EXPECT_EQ(bench.count(CarpReject::vrrp), 1u);
  EXPECT_EQ(bench.mistakes(Mistake::vrrp_clash), 0u);
  // FreeBSD's VRRP comes from CARP's address over IPv6, too.
  bench.hear(framed({}, wire::carp_mac(1),
                    {Family::inet6, address("fe80::9").address, wire::carp_group_inet6, wire::ipproto::carp}, vrrp));
  EXPECT_EQ(bench.count(CarpReject::vrrp), 2u);
  EXPECT_EQ(bench.mistakes(Mistake::vrrp_clash), 1u);
}

TEST(CarpNode, NamesAnotherAdvbase) {
  Bench bench{node_config({host_config(1, 100, {"192.168.1.100"})})};
  Other other{host_config(1, 0, {"192.168.1.100"})};
  bench.hear(other.advert(1, 0));
  EXPECT_EQ(bench.mistakes(Mistake::intervals_differ), 0u);
  bench.hear(other.advert(2, 0));
  EXPECT_EQ(bench.mistakes(Mistake::intervals_differ), 1u);
}

TEST(CarpNode, LogsAMistakeOnceAMinuteHoweverOftenItIsSeen) {
  Bench bench{node_config({host_config(1, 100, {"192.168.1.100"})})};
  Other liar{host_config(1, 0, {"192.168.1.100"})};
  liar.config.password = "other";
  for (int i = 0; i < 1000; ++i) {
    bench.hear(liar.advert(1, 0));
    bench.pass(100ms);
  }
  unsigned told = 0;
  while (const auto entry = bench.journal.pop()) told += entry->kind == Entry::Kind::mistake ? 1 : 0;
  EXPECT_EQ(told, 2u);  // in 100 s
  EXPECT_EQ(bench.status().badauth, 1000u);
}

}  // namespace
}  // namespace pfsync::engine::carp::test
