#include "engine/session/interface_map.h"

#include <gtest/gtest.h>

#include <string>

namespace pfsync::engine {
namespace {

using wire::InterfaceName;

InterfaceName numbered(const char* prefix, std::size_t i) { return InterfaceName{prefix + std::to_string(i)}; }

TEST(InterfaceMap, FindsEachRowFromBothSides) {
  InterfaceMap map;
  EXPECT_TRUE(map.empty());
  for (std::size_t i = 0; i < InterfaceMap::rows_max; ++i)
    ASSERT_EQ(map.add(numbered("igb", i), numbered("vmx", i)), InterfaceMap::Added::yes) << i;
  EXPECT_EQ(map.rows().size(), 64u);
  for (std::size_t i = 0; i < InterfaceMap::rows_max; ++i) {
    const InterfaceMap::Row* ours = map.of_ours(numbered("igb", i));
    const InterfaceMap::Row* theirs = map.of_theirs(numbered("vmx", i));
    ASSERT_NE(ours, nullptr) << i;
    EXPECT_EQ(ours->theirs, numbered("vmx", i));
    EXPECT_EQ(theirs, ours);
    EXPECT_EQ(map.of_ours(numbered("vmx", i)), nullptr);
    EXPECT_EQ(map.of_theirs(numbered("igb", i)), nullptr);
  }
  EXPECT_EQ(map.of_ours(InterfaceName{"igb64"}), nullptr);
  EXPECT_EQ(map.of_ours(InterfaceName{}), nullptr);
}

TEST(InterfaceMap, HasNoNameTwiceOnASide) {
  InterfaceMap map;
  ASSERT_EQ(map.add(InterfaceName{"igb0"}, InterfaceName{"vmx0"}), InterfaceMap::Added::yes);
  EXPECT_EQ(map.add(InterfaceName{"igb0"}, InterfaceName{"vmx1"}), InterfaceMap::Added::ours_twice);
  EXPECT_EQ(map.add(InterfaceName{"igb1"}, InterfaceName{"vmx0"}), InterfaceMap::Added::theirs_twice);
  // The peer's igb0 may be another than ours.
  EXPECT_EQ(map.add(InterfaceName{"vmx0"}, InterfaceName{"igb0"}), InterfaceMap::Added::yes);
  EXPECT_EQ(map.rows().size(), 2u);
}

TEST(InterfaceMap, TakesNoMoreThanItsRows) {
  InterfaceMap map;
  for (std::size_t i = 0; i < InterfaceMap::rows_max; ++i)
    ASSERT_EQ(map.add(numbered("a", i), numbered("b", i)), InterfaceMap::Added::yes);
  EXPECT_EQ(map.add(InterfaceName{"a64"}, InterfaceName{"b64"}), InterfaceMap::Added::full);
  EXPECT_EQ(map.of_ours(InterfaceName{"a64"}), nullptr);
}

InterfaceMap small_map() {
  InterfaceMap map;
  static_cast<void>(map.add(InterfaceName{"igb0"}, InterfaceName{"vmx1"}));
  static_cast<void>(map.add(InterfaceName{"igb1"}, InterfaceName{"vmx0"}));
  return map;
}

wire::State on(std::string_view ifname, std::string_view route = "", std::string_view origin = "") {
  wire::State state;
  state.ifname = InterfaceName{ifname};
  state.rt_ifname = InterfaceName{route};
  state.orig_ifname = InterfaceName{origin};
  return state;
}

TEST(InterfaceTranslator, TranslatesEveryNameOfAState) {
  InterfaceTranslator translator{small_map()};
  wire::State state = on("vmx1", "vmx0", "vmx1");
  translator.to_ours(state);
  EXPECT_EQ(state, on("igb0", "igb1", "igb0"));
  translator.to_theirs(state);
  EXPECT_EQ(state, on("vmx1", "vmx0", "vmx1"));
  wire::Clear clear{InterfaceName{"vmx0"}, 7};
  translator.to_ours(clear);
  EXPECT_EQ(clear.ifname, InterfaceName{"igb1"});
  translator.to_theirs(clear);
  EXPECT_EQ(clear.ifname, InterfaceName{"vmx0"});
  EXPECT_EQ(translator.unmapped_in().total() + translator.unmapped_out().total(), 0u);
}

TEST(InterfaceTranslator, LeavesStatesThatFloatAndNoNameAlone) {
  InterfaceTranslator translator{small_map()};
  wire::State state = on("all", "", "all");
  translator.to_ours(state);
  translator.to_theirs(state);
  wire::Clear clear{{}, 7};
  translator.to_ours(clear);
  translator.to_theirs(clear);
  EXPECT_EQ(state, on("all", "", "all"));
  EXPECT_TRUE(clear.ifname.empty());
  EXPECT_EQ(translator.unmapped_in().total() + translator.unmapped_out().total(), 0u);
}

TEST(InterfaceTranslator, CountsWhatHasNoRowAndPassesItOn) {
  InterfaceTranslator translator{small_map()};
  for (int i = 0; i < 3; ++i) {
    wire::State state = on("igb0", "em7");
    translator.to_ours(state);  // the peer's igb0, not ours
    EXPECT_EQ(state, on("igb0", "em7"));
  }
  wire::State state = on("em7");
  translator.to_theirs(state);
  EXPECT_EQ(state, on("em7"));
  const UnmappedNames& in = translator.unmapped_in();
  ASSERT_EQ(in.size(), 2u);
  EXPECT_EQ(in.name(0), InterfaceName{"igb0"});
  EXPECT_EQ(in.count(0), 3u);
  EXPECT_EQ(in.name(1), InterfaceName{"em7"});
  EXPECT_EQ(in.total(), 6u);
  ASSERT_EQ(translator.unmapped_out().size(), 1u);
  EXPECT_EQ(translator.unmapped_out().count(0), 1u);
}

TEST(InterfaceTranslator, ListsABoundedNumberOfNames) {
  InterfaceTranslator translator{small_map()};
  for (std::size_t i = 0; i < 40; ++i) {
    wire::Clear clear{numbered("em", i), 7};
    translator.to_ours(clear);
  }
  EXPECT_EQ(translator.unmapped_in().size(), UnmappedNames::names_max);
  EXPECT_EQ(translator.unmapped_in().total(), 40u);
  EXPECT_EQ(translator.unmapped_in().name(31), InterfaceName{"em31"});
}

TEST(InterfaceTranslator, WithoutAMapDoesNothing) {
  InterfaceTranslator translator{{}};
  EXPECT_TRUE(translator.is_idle());
  wire::State state = on("em0");
  translator.to_ours(state);
  translator.to_theirs(state);
  EXPECT_EQ(state, on("em0"));
  EXPECT_EQ(translator.unmapped_in().total() + translator.unmapped_out().total(), 0u);
}

}  // namespace
}  // namespace pfsync::engine
