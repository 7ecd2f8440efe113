#include "wire/text.h"

#include <gtest/gtest.h>

#include "wire/address.h"

namespace pfsync::wire {
namespace {

/// The TCP connection of capture 02, as fw1's `pfctl -ss -vv` shows it.
State nat_out() {
  State state;
  state.id = {0x6b03a1a3, 0x97bc0c81};
  state.ifname = InterfaceName{"all"};
  state.key[wire_side] = {{ipv4_address(10, 2, 0, 100), ipv4_address(10, 2, 0, 254)}, {8000, 64898}};
  state.key[stack_side] = {{ipv4_address(10, 2, 0, 100), ipv4_address(10, 1, 0, 100)}, {8000, 47572}};
  state.src = {.seqlo = 3101188114, .seqhi = 3101274130, .state = tcps::established, .wscale = 0x8a};
  state.dst = {.seqlo = 3429298741, .seqhi = 3429384757, .state = tcps::established, .wscale = 0x8a};
  state.rule = 3;
  state.creation_s = 4;
  state.expire_s = 86400;
  state.packets = {43, 33};
  state.bytes = {22252, 21732};
  state.af = Family::inet;
  state.proto = ipproto::tcp;
  state.direction = Direction::out;
  return state;
}

TEST(StateText, PrintsATranslatedConnectionGoingOutAsPfctlDoes) {
  EXPECT_EQ(state_text(nat_out()),
            "all tcp 10.2.0.254:64898 (10.1.0.100:47572) -> 10.2.0.100:8000       ESTABLISHED:ESTABLISHED\n"
            "   [3101188114 + 86016] wscale 10  [3429298741 + 86016] wscale 10\n"
            "   age 00:00:04, expires in 24:00:00, 43:33 pkts, 22252:21732 bytes, rule 3\n"
            "   id: 000000006b03a1a3 creatorid: 97bc0c81\n");
}

TEST(StateText, PrintsTheDestinationFirstForAStateComingIn) {
  State state = nat_out();
  state.direction = Direction::in;
  state.key[wire_side] =
      state.key[stack_side] = {{ipv4_address(10, 1, 0, 100), ipv4_address(10, 2, 0, 100)}, {47572, 8000}};
  state.src.state = tcps::fin_wait_2;
  state.dst.state = tcps::close_wait;
  const std::string text = state_text(state);
  EXPECT_EQ(text.substr(0, text.find("   age")),
            "all tcp 10.2.0.100:8000 <- 10.1.0.100:47572       CLOSE_WAIT:FIN_WAIT_2\n"
            "   [3429298741 + 86016] wscale 10  [3101188114 + 86016] wscale 10\n");
}

TEST(StateText, PrintsARedirectedDestinationInParentheses) {
  State state = nat_out();
  state.direction = Direction::in;
  state.key[wire_side] = {{ipv4_address(192, 0, 2, 9), ipv4_address(10, 2, 0, 1)}, {5000, 80}};
  state.key[stack_side] = {{ipv4_address(192, 0, 2, 9), ipv4_address(10, 1, 0, 7)}, {5000, 8080}};
  EXPECT_TRUE(state_text(state).starts_with("all tcp 10.1.0.7:8080 (10.2.0.1:80) <- 192.0.2.9:5000       "));
}

TEST(StateText, ShowsAnIcmpIdOnceThoughTranslationChangedIt) {
  State state = nat_out();
  state.proto = ipproto::icmp;
  state.key[wire_side] = {{ipv4_address(10, 2, 0, 100), ipv4_address(10, 2, 0, 254)}, {14115, 14115}};
  state.key[stack_side] = {{ipv4_address(10, 2, 0, 100), ipv4_address(10, 1, 0, 100)}, {10635, 10635}};
  state.src.state = state.dst.state = 0;
  EXPECT_TRUE(state_text(state).starts_with(
      "all icmp 10.2.0.254:14115 (10.1.0.100:10635) -> 10.2.0.100:14115       0:0\n   age"));
}

TEST(StateText, PrintsIpv6PortsInBracketsAndLeavesOutPortZero) {
  const auto address = parse_address("2001:db8::1:53");
  ASSERT_TRUE(address);
  EXPECT_EQ(host_text(address->second, Family::inet6, 53), "2001:db8::1:53[53]");
  EXPECT_EQ(host_text(address->second, Family::inet6, 0), "2001:db8::1:53");
  EXPECT_EQ(host_text(ipv4_address(10, 0, 0, 1), Family::inet, 0), "10.0.0.1");
}

TEST(StateText, ShowsScalesOnlyWhenBothEndsOfferedOne) {
  const Peer with{.seqlo = 10, .seqhi = 5, .wscale = 0x80}, without{.seqlo = 1, .seqhi = 65, .seqdiff = 7};
  EXPECT_EQ(window_text(with, without), "[10 + 4294967291]  [1 + 64](+7)");  // windows are modulo 2^32
  EXPECT_EQ(window_text(with, with), "[10 + 4294967291] wscale 0  [10 + 4294967291] wscale 0");
}

TEST(LevelsText, NamesLevelsByProtocol) {
  EXPECT_EQ(levels_text(ipproto::tcp, 10, 0), "TIME_WAIT:CLOSED");
  EXPECT_EQ(levels_text(ipproto::tcp, 4, 11), "PROXY:SRC");
  EXPECT_EQ(levels_text(ipproto::tcp, 12, 4), "PROXY:DST");
  EXPECT_EQ(levels_text(ipproto::tcp, 13, 4), "<BAD STATE LEVELS 13:4>");
  EXPECT_EQ(levels_text(ipproto::udp, 2, 1), "MULTIPLE:SINGLE");
  EXPECT_EQ(levels_text(ipproto::udp, 3, 1), "3:1");
  EXPECT_EQ(levels_text(ipproto::icmp, 0, 0), "0:0");
  EXPECT_EQ(levels_text(ipproto::icmpv6, 0, 0), "NO_TRAFFIC:NO_TRAFFIC");
}

TEST(StateText, TellsAnchorsAndFlags) {
  State state = nat_out();
  state.anchor = 5;
  state.rule = no_rule;
  state.state_flags = state_flag::sloppy;
  state.sync_flags = 0x0c;
  EXPECT_NE(state_text(state).find("bytes, anchor 5, sloppy, source-track, sticky-address\n"), std::string::npos);
}

TEST(StateText, TellsWhatTheRulesetSaysOfTheStatesPackets) {
  State state = nat_out();
  state.state_flags = 0x43ff;  // all but INP_UNLINKED and DN_IS_QUEUE
  state.sync_flags = sync_flag::source_node;
  state.set_tos = 0x10;
  state.set_prio = {3, 7};
  state.dnpipe = 101;
  state.dnrpipe = 102;
  state.log = 2;
  state.min_ttl = 64;
  state.max_mss = 1400;
  state.qid = 4;
  state.rtableid = {2, 2};
  state.tag = TagName{"WEB"};
  EXPECT_NE(
      state_text(state).find(", allow-opts, sloppy, no-sync, pflow, psync-ack, no-df, set-tos 0x10, random-id, "
                             "reassemble-tcp, set-prio (0x03 0x07), dummynet pipe (101 102), source-track, log (all), "
                             "min-ttl 64, max-mss 1400, queue (4 0), rtable 2, tag WEB\n"),
      std::string::npos)
      << state_text(state);
  state = nat_out();
  state.state_flags = state_flag::dn_is_queue;
  state.dnrpipe = 9;
  state.log = 1;
  state.rtableid = {-1, 0};
  state.rdomain = {0, 3};
  EXPECT_NE(state_line(state).find(", dummynet queue (0 9), log, rtable (-1 0), rdomain (0 3)  id: "),
            std::string::npos)
      << state_line(state);
}

TEST(StateText, TellsTheRouteBehindTheId) {
  State state = nat_out();
  state.rt = route::route_to;
  state.rt_addr = ipv4_address(203, 0, 113, 1);
  state.rt_ifname = InterfaceName{"em0"};
  state.orig_ifname = InterfaceName{"em1"};
  EXPECT_TRUE(state_text(state).ends_with(" creatorid: 97bc0c81 route-to: 203.0.113.1@em0 origif: em1\n"))
      << state_text(state);
  state.rt = route::reply_to;
  state.rt_af = Family::inet6;
  state.rt_addr = Address{{0xfe, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1}};
  state.rt_ifname = state.orig_ifname = {};
  EXPECT_TRUE(state_line(state).ends_with(" reply-to: fe80::1")) << state_line(state);
}

// A client at 2001:db8::7 reaches 192.0.2.1 as 64:ff9b::c000:201, through the translator's 198.51.100.1. The
// ends of the two keys stand crosswise, as OpenBSD's and FreeBSD 15's pfctl read them.
TEST(StateText, PrintsBothFamiliesOfATranslatedConnection) {
  State state;
  state.ifname = InterfaceName{"all"};
  state.af = Family::inet6;
  state.stack_af = Family::inet;
  state.proto = ipproto::tcp;
  state.direction = Direction::in;
  state.key[wire_side] = {.addr = {Address{{0x20, 0x01, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 7}},
                                   Address{{0, 0x64, 0xff, 0x9b, 0, 0, 0, 0, 0, 0, 0, 0, 0xc0, 0, 2, 1}}},
                          .port = {50000, 443}};
  state.key[stack_side] = {.addr = {ipv4_address(192, 0, 2, 1), ipv4_address(198, 51, 100, 1)}, .port = {443, 61000}};
  EXPECT_TRUE(state_line(state).starts_with(
      "all tcp 198.51.100.1:61000 (2001:db8::7[50000]) <- 192.0.2.1:443 (64:ff9b::c000:201[443])   CLOSED:CLOSED"))
      << state_line(state);
}

TEST(StateText, SurvivesEveryValueOfEveryByteThatAPeerChooses) {
  State state = nat_out();
  for (int value = 0; value <= 0xff; ++value) {
    const auto byte = static_cast<std::uint8_t>(value);
    state.proto = byte;
    state.src.state = byte;
    state.direction = Direction{byte};
    state.rt = byte;
    state.log = byte;
    state.af = value % 3 == 0 ? Family::none : value % 3 == 1 ? Family::inet : Family::inet6;
    EXPECT_NE(state_text(state).find("creatorid: 97bc0c81"), std::string::npos);
    EXPECT_FALSE(timeout_text(byte).empty());
    EXPECT_FALSE(update_line({.id = state.id, .src = state.src, .dst = state.dst, .timeout = byte}).empty());
  }
}

TEST(Text, ShowsNoControlBytesFromAPeer) {
  State state = nat_out();
  state.ifname = InterfaceName{"em\x1b[2J\x80\n"};
  EXPECT_TRUE(state_text(state).starts_with("em?[2J?? tcp"));
  state.tag = TagName{"\x1b]0;"};
  state.rt = route::dup_to;
  state.rt_ifname = InterfaceName{"\r"};
  EXPECT_NE(state_text(state).find(", tag ?]0;\n"), std::string::npos);
  EXPECT_NE(state_text(state).find("@?\n"), std::string::npos);
  EXPECT_EQ(clear_line({.ifname = InterfaceName{"\r\x07"}, .creatorid = 1}), "creatorid: 00000001 interface: ??");
}

TEST(MessageLines, UseThePrintersWords) {
  EXPECT_EQ(id_text({0x100000001, 0xc0ffee01}), "id: 0000000100000001 creatorid: c0ffee01");
  EXPECT_EQ(clear_line({.ifname = {}, .creatorid = 0xc0ffee01}), "creatorid: c0ffee01");
  EXPECT_EQ(bulk_status_line({.creatorid = 1, .endtime_s = 3725, .status = 1}),
            "creatorid: 00000001 age: 01:02:05 status: start");
  EXPECT_EQ(bulk_status_line({.creatorid = 1, .endtime_s = 360000, .status = 2}),
            "creatorid: 00000001 age: 100:00:00 status: end");
  EXPECT_EQ(bulk_status_line({.creatorid = 1, .endtime_s = 0, .status = 9}),
            "creatorid: 00000001 age: 00:00:00 status: UNKNOWN 9");
  const State state = nat_out();
  EXPECT_EQ(update_line({.id = state.id, .src = state.src, .dst = state.dst, .timeout = 2}),
            "id: 000000006b03a1a3 creatorid: 97bc0c81  ESTABLISHED:ESTABLISHED  "
            "[3101188114 + 86016] wscale 10  [3429298741 + 86016] wscale 10  timeout tcp.established");
  EXPECT_EQ(update_line({.id = {1, 2}, .src = {.state = 1}, .dst = {.state = 2}, .timeout = 8}),
            "id: 0000000000000001 creatorid: 00000002  SINGLE:MULTIPLE  timeout udp.multiple");
  EXPECT_EQ(tdb_line({.spi = 0x1234,
                      .af = Family::inet,
                      .dst = ipv4_address(192, 0, 2, 1),
                      .rpl = 7,
                      .cur_bytes = 9,
                      .sproto = 50}),
            "spi: 0x00001234 dst: 192.0.2.1 proto: esp rpl: 7 cur_bytes: 9");
  EXPECT_EQ(tdb_line({.spi = 0x1234, .af = Family::none, .sproto = 51, .rdomain = 2}),
            "spi: 0x00001234 dst: - proto: ah rpl: 0 cur_bytes: 0 rdomain: 2");
}

}  // namespace
}  // namespace pfsync::wire
