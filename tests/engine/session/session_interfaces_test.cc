// Peers whose interfaces have other names than ours.
#include "engine/session/bulk_sender.h"
#include "tests/engine/session/session_hub.h"

namespace pfsync::engine {
namespace {

using wire::InterfaceName;

InterfaceMap map_of(std::initializer_list<std::pair<const char*, const char*>> rows) {
  InterfaceMap map;
  for (const auto& [ours, theirs] : rows)
    EXPECT_EQ(map.add(InterfaceName{ours}, InterfaceName{theirs}), InterfaceMap::Added::yes);
  return map;
}

/// A hub whose names are lan and wan, a firewall with igb and one with vmx.
class Interfaces : public Hub {
 protected:
  static constexpr unsigned igb = 0, vmx = 1;
  const InterfaceMap igb_map = map_of({{"lan", "igb0"}, {"wan", "igb1"}});
  const InterfaceMap vmx_map = map_of({{"lan", "vmx1"}, {"wan", "vmx0"}});

  void make_two() {
    by_connection = true;
    make_hub({{.dialect = Dialect::freebsd_1500, .interfaces = igb_map},
              {.dialect = Dialect::freebsd_1500, .interfaces = vmx_map}});
  }
  static wire::State on(std::uint64_t id, const char* ifname, const char* route = "", const char* origin = "") {
    wire::State state = tcp_state(id);
    state.ifname = InterfaceName{ifname};
    state.rt_ifname = InterfaceName{route};
    state.orig_ifname = InterfaceName{origin};
    if (!state.rt_ifname.empty()) state.rt = wire::route::route_to;
    return state;
  }
  void state_of(unsigned peer, const wire::State& state, Instant now, Message message = Message::ins) {
    from(
        peer, now, [&](wire::PacketWriter& writer) { ASSERT_TRUE(writer.append_state(message, state)); },
        Dialect::freebsd_1500);
  }
  /// Names in what a peer is told: of states all three, of clears one.
  using Names = std::vector<std::vector<std::string>>;
  static Names names_in(wire::Bytes packet) {
    Names all;
    wire::PacketReader reader{packet};
    for (wire::Section section; reader.next(section);)
      for (std::size_t i = 0; i < section.count; ++i) {
        const Message message = section.action->message;
        if (message == Message::ins || message == Message::upd) {
          const wire::State state = wire::read_state(section.action->layout, section.record(i));
          all.push_back({std::string{state.ifname.view()}, std::string{state.rt_ifname.view()},
                         std::string{state.orig_ifname.view()}});
        } else if (message == Message::clr) {
          all.push_back({std::string{wire::read_clear(section.record(i)).ifname.view()}});
        }
      }
    return all;
  }
  Names told_names(unsigned peer, Instant now) {
    Names all;
    std::vector<std::uint8_t> room(1480);
    while (const std::size_t bytes = session->transmit(peer, room, now))
      for (auto& names : names_in(wire::Bytes{room}.first(bytes))) all.push_back(std::move(names));
    return all;
  }
  [[nodiscard]] std::string held_on(std::uint64_t id) const {
    const auto state = held({id, peer_creatorid});
    return state ? std::string{state->cold.ifname.view()} : "(not held)";
  }
};

TEST_F(Interfaces, OfOneFirewallBecomeThoseOfTheOther) {
  make_two();
  state_of(igb, on(1, "igb0", "igb1", "igb1"), t0);
  EXPECT_EQ(held_on(1), "lan");
  EXPECT_EQ(statetable::interface_of(held({1, peer_creatorid})->cold.rt_ifname), InterfaceName{"wan"});
  EXPECT_EQ(statetable::interface_of(held({1, peer_creatorid})->cold.orig_ifname), InterfaceName{"wan"});
  EXPECT_EQ(told_names(vmx, t0 + 1s), (Names{{"vmx1", "vmx0", "vmx0"}}));
  // The first full state of a bulk update comes as UPD.
  state_of(vmx, on(2, "vmx0", "vmx1", "vmx1"), t0 + 1s, Message::upd);
  EXPECT_EQ(held_on(2), "wan");
  EXPECT_EQ(told_names(igb, t0 + 2s), (Names{{"igb1", "igb0", "igb0"}}));
}

TEST_F(Interfaces, AreTranslatedInWhatIsAskedFor) {
  make_two();
  state_of(igb, on(1, "igb0"), t0);
  told_names(vmx, t0 + 1s);
  id_from(vmx, Message::upd_req, {1, peer_creatorid}, t0 + 1s);
  const Names names = told_names(vmx, t0 + 1s);
  ASSERT_EQ(names.size(), 1u);
  EXPECT_EQ(names[0][0], "vmx1");
}

TEST_F(Interfaces, AreOursBeforeAConnectionIsLookedFor) {
  make_two();
  const wire::State first = on(1, "igb0");
  wire::State second = on(2, "vmx1");  // the same connection, on the same network
  second.key = first.key;
  second.id.creatorid = 0x33333333;
  state_of(igb, first, t0);
  state_of(vmx, second, t0);
  EXPECT_EQ(count(Tally::collisions), 1u);
  second.id.id = 3;
  second.ifname = InterfaceName{"vmx0"};  // another network
  state_of(vmx, second, t0);
  EXPECT_EQ(count(Tally::collisions), 1u);
  EXPECT_EQ(table->size(), 2u);
}

TEST_F(Interfaces, OfAClearAreTranslatedBothWays) {
  make_two();
  state_of(igb, on(1, "igb0"), t0);
  state_of(igb, on(2, "igb1"), t0);
  told_names(vmx, t0 + 1s);
  from(igb, t0 + 1s, [](wire::PacketWriter& writer) {
    ASSERT_TRUE(writer.append_clear({InterfaceName{"igb1"}, peer_creatorid}));
  });
  EXPECT_EQ(held_on(1), "lan");
  EXPECT_EQ(held_on(2), "(not held)");
  EXPECT_EQ(told_names(vmx, t0 + 2s), (Names{{"vmx0"}}));
  session->flush(InterfaceName{"lan"}, t0 + 3s);
  EXPECT_EQ(told_names(igb, t0 + 3s), (Names{{"igb0"}}));
  EXPECT_EQ(told_names(vmx, t0 + 3s), (Names{{"vmx1"}}));
}

TEST_F(Interfaces, AreTranslatedInABulkUpdate) {
  make_two();
  state_of(igb, on(1, "igb0", "em9", "igb1"), t0);
  BulkSender sender{{.dialect = Dialect::freebsd_1500, .interfaces = vmx_map}, *table};
  sender.start(t0);
  std::vector<std::uint8_t> room(1480);
  const std::size_t bytes = sender.transmit(room, t0);
  EXPECT_EQ(names_in(wire::Bytes{room}.first(bytes)), (Names{{"vmx1", "em9", "vmx0"}}));
  EXPECT_EQ(sender.interfaces().unmapped_out().total(), 1u);
  EXPECT_EQ(session->interfaces(vmx).unmapped_out().total(), 0u);
}

TEST_F(Interfaces, WithoutARowPassAndAreCountedOfThatPeer) {
  make_two();
  state_of(igb, on(1, "em9"), t0);
  state_of(igb, on(2, "all"), t0);
  EXPECT_EQ(held_on(1), "em9");
  EXPECT_EQ(told_names(vmx, t0 + 1s), (Names{{"em9", "", ""}, {"all", "", ""}}));
  EXPECT_EQ(session->interfaces(igb).unmapped_in().total(), 1u);
  EXPECT_EQ(session->interfaces(igb).unmapped_out().total(), 0u);
  EXPECT_EQ(session->interfaces(vmx).unmapped_in().total(), 0u);
  ASSERT_EQ(session->interfaces(vmx).unmapped_out().size(), 1u);
  EXPECT_EQ(session->interfaces(vmx).unmapped_out().name(0), InterfaceName{"em9"});
}

TEST_F(Interfaces, PassAsTheyAreWithoutAMap) {
  make_hub({{.dialect = Dialect::freebsd_1500}, {.dialect = Dialect::freebsd_1500, .interfaces = vmx_map}});
  state_of(igb, on(1, "lan"), t0);
  EXPECT_EQ(held_on(1), "lan");
  const Names names = told_names(vmx, t0 + 1s);
  ASSERT_EQ(names.size(), 1u);
  EXPECT_EQ(names[0][0], "vmx1");
  EXPECT_EQ(session->interfaces(igb).unmapped_in().total(), 0u);
}

}  // namespace
}  // namespace pfsync::engine
