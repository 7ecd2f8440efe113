#include "statetable/names.h"

#include <gtest/gtest.h>

#include <array>
#include <latch>
#include <set>
#include <string>
#include <thread>

#include "statetable/entry.h"

namespace pfsync::statetable {
namespace {

wire::TagName numbered(int number) { return wire::TagName{"tag" + std::to_string(number)}; }

// Names are the process's, and a full store stays full: one test goes through its life.
TEST(Names, AreKeptOnceHoweverManyThreadsBringThemAndRefusedWhenFull) {
  constexpr int threads = 4, shared_names = 500;
  EXPECT_EQ(intern(wire::TagName{}), NameId::none);
  EXPECT_TRUE(name_of(NameId::none).empty());

  std::array<std::array<NameId, shared_names>, threads> found;
  std::latch begin{threads};
  std::array<std::thread, threads> crowd;
  for (std::size_t t = 0; t < threads; ++t)
    crowd[t] = std::thread{[&found, &begin, t] {
      begin.arrive_and_wait();
      for (int n = 0; n < shared_names; ++n) found[t][static_cast<std::size_t>(n)] = intern(numbered(n));
    }};
  for (std::thread& thread : crowd) thread.join();
  std::set<NameId> different;
  for (std::size_t n = 0; n < shared_names; ++n) {
    for (const auto& ids : found) EXPECT_EQ(ids[n], found[0][n]);
    EXPECT_EQ(name_of(found[0][n]), numbered(static_cast<int>(n)));
    different.insert(found[0][n]);
  }
  EXPECT_EQ(different.size(), static_cast<std::size_t>(shared_names));

  // The names of the other tests, which may come later.
  for (const char* name : {"em0", "igb1", "vlan100"}) EXPECT_NE(intern(wire::InterfaceName{name}), NameId::none);
  const NameId em0 = intern(wire::InterfaceName{"em0"});
  EXPECT_EQ(known(wire::InterfaceName{"em0"}), em0);
  EXPECT_EQ(known(wire::InterfaceName{"em99"}), NameId::none);
  EXPECT_EQ(known(wire::InterfaceName{}), NameId::none);
  EXPECT_EQ(interface_of(em0), wire::InterfaceName{"em0"});
  EXPECT_EQ(intern(wire::TagName{"em0"}), em0);  // a tag of the same letters is the same name
  const std::string longest(63, 'x');
  EXPECT_EQ(name_of(intern(wire::TagName{longest})).view(), longest);

  wire::State state;
  state.rt_ifname = wire::InterfaceName{"em7"};
  EXPECT_TRUE(keeps_names(cold_part(state), state));

  std::size_t kept = 0;
  for (int n = shared_names; n < 10'000; ++n) kept += intern(numbered(n)) != NameId::none ? 1u : 0u;
  EXPECT_LE(kept, names_max - shared_names - 5);
  EXPECT_GT(kept, names_max / 2);  // threads that met lost a few numbers
  EXPECT_EQ(intern(wire::TagName{"one more"}), NameId::none);
  EXPECT_EQ(known(wire::InterfaceName{"one more"}), NameId::none);
  EXPECT_EQ(intern(wire::InterfaceName{"em0"}), em0);  // what was kept is still found

  EXPECT_TRUE(keeps_names(cold_part(state), state));
  state.tag = wire::TagName{"one more"};
  EXPECT_FALSE(keeps_names(cold_part(state), state));
}

}  // namespace
}  // namespace pfsync::statetable
