// Two masters of the same rank: exactly one stays, whatever reaches them of each other.
#include <gtest/gtest.h>

#include "tests/engine/carp/carp_bench.h"

namespace pfsync::engine::carp::test {
namespace {

using wire::Family;

/// Two nodes of equal skews on one segment, by number; one has the lower IPv4 address, the other the lower IPv6
/// address.
struct Pair {
  explicit Pair(bool both_families) {
    for (const bool second : {false, true}) {
      NodeConfig config = node_config({host_config(1, 50, {"192.168.1.100", "2001:db8::100"})});
      config.hosts[0].both_families = both_families;
      config.mac = second ? peer_mac : own_mac;
      config.inet = address(second ? "192.168.1.2" : "192.168.1.1").address;
      config.inet6 = address(second ? "fe80::1" : "fe80::2").address;
      config.seed = second ? 8 : 7;
      benches.push_back(std::make_unique<Bench>(config));
    }
  }
  /// `passes(family)`: whether advertisements of that family reach the other.
  template <class F>
  void run(Duration duration, F&& passes) {
    for (const Instant end = now() + duration; now() < end;) {
      std::vector<std::vector<Frame>> sent;
      for (auto& bench : benches) sent.push_back(bench->pass(10ms));
      for (std::size_t from = 0; from < 2; ++from)
        for (const Frame& frame : sent[from])
          if (const auto ethernet = wire::read_ethernet(frame);
              passes(ethernet->ethertype == wire::ethertype::ipv6 ? Family::inet6 : Family::inet))
            benches[1 - from]->hear(frame);
      two_masters = masters() == 2 ? two_masters + 10ms : 0ms;
      longest = std::max(longest, two_masters);
    }
  }
  [[nodiscard]] Instant now() const { return benches[0]->now; }
  [[nodiscard]] unsigned masters() const {
    return (benches[0]->state() == State::master ? 1u : 0u) + (benches[1]->state() == State::master ? 1u : 0u);
  }

  std::vector<std::unique_ptr<Bench>> benches;
  Duration two_masters{}, longest{};
};

constexpr auto all = [](Family) { return true; };
constexpr auto none_at_all = [](Family) { return false; };
constexpr auto only_inet = [](Family family) { return family == Family::inet; };
constexpr auto only_inet6 = [](Family family) { return family == Family::inet6; };

TEST(CarpTies, WithBothFamiliesTheLowerInet4AddressStays) {
  Pair pair{false};
  pair.run(10s, none_at_all);
  ASSERT_EQ(pair.masters(), 2u);
  pair.run(2s, all);
  EXPECT_EQ(pair.masters(), 1u);
  EXPECT_EQ(pair.benches[0]->state(), State::master);
}

TEST(CarpTies, WhereOneFamilyIsFilteredTheOtherDecides) {
  for (const bool inet : {true, false}) {
    Pair pair{true};
    pair.run(10s, none_at_all);
    ASSERT_EQ(pair.masters(), 2u);
    if (inet)
      pair.run(8s, only_inet);
    else
      pair.run(8s, only_inet6);
    EXPECT_EQ(pair.masters(), 1u);
    EXPECT_EQ(pair.benches[inet ? 0 : 1]->state(), State::master);
    if (inet)
      pair.run(60s, only_inet);
    else
      pair.run(60s, only_inet6);
    EXPECT_EQ(pair.masters(), 1u) << "for good";
  }
}

/// Without both_families a backup takes the silence of one family for the master's death, as the kernels do: it leads
/// for a moment, again and again. Two masters for good it does not make.
TEST(CarpTies, AFilteredFamilyMakesNoTwoMastersForGood) {
  Pair pair{false};
  pair.run(10s, none_at_all);
  pair.longest = pair.two_masters = {};
  pair.run(120s, only_inet6);
  EXPECT_LT(pair.longest, master_down(1, 50) + 2 * interval(1, 50));
}

}  // namespace
}  // namespace pfsync::engine::carp::test
