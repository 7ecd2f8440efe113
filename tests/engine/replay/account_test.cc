#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <ostream>
#include <regex>
#include <set>
#include <string>

#include "engine/replay/player.h"
#include "tests/engine/replay/account.h"
#include "tests/engine/replay/files.h"
#include "tests/engine/replay/played.h"
#include "wire/text.h"

/// The replayed table, as `--states` prints it, against what the two kernels printed of theirs.
namespace pfsync::engine::replay {
namespace {

constexpr std::size_t all = SIZE_MAX;

/// One kernel's account and how far a replay of the capture may differ from it, state by state. Every
/// difference is of one of these kinds, and there are exactly so many.
struct Comparison {
  std::string name;
  std::string capture;
  std::string account;       ///< the text file
  std::string node;          ///< whose account; empty when the file has one only
  std::size_t frames;        ///< the account was taken after so many of the capture's frames
  std::size_t states;        ///< in the table by then
  std::size_t ahead = 0;     ///< the node carries the connection: its window is newer than what it announced
  std::size_t own = 0;       ///< states of the node's own that it announced only after the account
  std::size_t expired = 0;   ///< states that ran out in the node between the frame and the account
  std::size_t collided = 0;  ///< the node has the connection under an id of its own, and refused the other

  friend void PrintTo(const Comparison& row, std::ostream* out) { *out << row.capture << ", account of " << row.node; }
};

/// Not synchronised (`no-sync` in the pair's rules): each kernel has its own.
bool is_synchronised(const PrintedState& state) {
  return state.proto != "carp" && state.proto != "pfsync" && state.proto != "ipv6-icmp";
}

/// Units: bytes that the kernel's number is ahead of ours, modulo 2^32.
bool is_little_ahead(std::uint32_t kernels, std::uint32_t ours) { return kernels - ours < 65536; }

bool is_ahead(const PrintedState& kernels, const PrintedState& ours) {
  if (!kernels.has_windows || !ours.has_windows) return false;
  for (std::size_t i = 0; i < 2; ++i) {
    const auto &k = kernels.side[i], &o = ours.side[i];
    if (k.level != o.level || k.scale != o.scale || !is_little_ahead(k.seqlo, o.seqlo) ||
        !is_little_ahead(k.seqlo + k.window, o.seqlo + o.window))
      return false;
  }
  return true;
}

/// The flow as the hosts see it, without what translation made of an end: two nodes translate one
/// connection to ports of their own.
std::string untranslated(const PrintedState& state) {
  static const std::regex translated{R"(\S+ \((\S+)\))"};
  return state.proto + " " + std::regex_replace(state.flow, translated, "$1");
}

class KernelsAccount : public testing::TestWithParam<Comparison> {};

TEST_P(KernelsAccount, AgreesStateByState) {
  const Comparison& row = GetParam();
  const std::string text = text_of(capture_path("freebsd12-pair/" + row.account + ".txt"));
  Account kernels = parse_account(row.node.empty() ? text : section_of(text, row.node));
  std::erase_if(kernels, [](const auto& entry) { return !is_synchronised(entry.second); });

  const Played played{"freebsd12-pair/" + row.capture + ".pcap", false, 64, row.frames};
  std::string printed;
  for (const wire::State& state : played->states()) printed += wire::state_text(state);
  const Account ours = parse_account(printed);
  ASSERT_EQ(ours.size(), row.states);

  std::size_t ahead = 0, own = 0, expired = 0, collided = 0;
  std::set<std::string> kernels_flows;
  for (const auto& [id, kernel] : kernels) {
    kernels_flows.insert(untranslated(kernel));
    const auto found = ours.find(id);
    if (found == ours.end()) {
      // Only a state that the node made itself and has not told of yet may be missing here.
      const Played whole{"freebsd12-pair/" + row.capture + ".pcap", false};
      const auto states = whole->states();
      const bool told_later = std::any_of(states.begin(), states.end(),
                                          [&, &wanted = id](const auto& s) { return wire::id_text(s.id) == wanted; });
      EXPECT_TRUE(told_later) << id << " " << kernel.flow;
      ++own;
      continue;
    }
    const PrintedState& state = found->second;
    EXPECT_EQ(state.proto, kernel.proto) << id;
    EXPECT_EQ(state.flow, kernel.flow) << id;
    EXPECT_EQ(state.rule, kernel.rule) << id;
    EXPECT_EQ(state.has_windows, kernel.has_windows) << id;
    if (state.side == kernel.side) continue;
    EXPECT_TRUE(is_ahead(kernel, state)) << id << " " << kernel.flow << " " << kernel.side[0].level << ":"
                                         << kernel.side[1].level << " seqlo " << kernel.side[0].seqlo << ", here "
                                         << state.side[0].level << ":" << state.side[1].level << " seqlo "
                                         << state.side[0].seqlo;
    ++ahead;
  }
  for (const auto& [id, state] : ours) {
    if (kernels.contains(id)) continue;
    if (kernels_flows.contains(untranslated(state))) {
      ++collided;
      continue;
    }
    EXPECT_LE(state.expires_s, 10u) << id << " " << state.flow << " is in no account";
    ++expired;
  }
  EXPECT_EQ(ahead, row.ahead);
  EXPECT_EQ(own, row.own);
  EXPECT_EQ(expired, row.expired);
  EXPECT_EQ(collided, row.collided);
}

// fw2 is the standby that received what fw1 announced; in 08 it carries the connections while fw1 is
// frozen. Each text says in its first line when its account was taken; `frames` is the moment in the capture.
INSTANTIATE_TEST_SUITE_P(
    Replay, KernelsAccount,
    testing::Values(
        // The TCP connection was still open then; the capture goes on to its end.
        Comparison{.name = "Traffic_fw2",
                   .capture = "02-mcast-tcp-udp-icmp-nat",
                   .account = "02-mcast-tcp-udp-icmp-nat",
                   .node = "fw2",
                   .frames = 10,
                   .states = 14},
        // Both states of that connection have moved by 2 bytes since fw1's last message about them.
        Comparison{.name = "Traffic_fw1",
                   .capture = "02-mcast-tcp-udp-icmp-nat",
                   .account = "02-mcast-tcp-udp-icmp-nat",
                   .node = "fw1",
                   .frames = 10,
                   .states = 14,
                   .ahead = 2},
        Comparison{.name = "KillAndClear_fw1",
                   .capture = "03-mcast-kill-clr-ipv6",
                   .account = "03-mcast-kill-clr-ipv6",
                   .node = "fw1",
                   .frames = all,
                   .states = 0},
        Comparison{.name = "KillAndClear_fw2",
                   .capture = "03-mcast-kill-clr-ipv6",
                   .account = "03-mcast-kill-clr-ipv6",
                   .node = "fw2",
                   .frames = all,
                   .states = 0},
        Comparison{.name = "ManyFlows_fw1",
                   .capture = "04-mcast-500udp-flows",
                   .account = "04-mcast-500udp-flows",
                   .node = "fw1",
                   .frames = all,
                   .states = 992},
        Comparison{.name = "ManyFlows_fw2",
                   .capture = "04-mcast-500udp-flows",
                   .account = "04-mcast-500udp-flows",
                   .node = "fw2",
                   .frames = all,
                   .states = 992},
        // fw1's account fits anywhere between the bulk update and the DEL_C that follow when flows time out.
        Comparison{.name = "Bulk_fw1",
                   .capture = "05-bulk-after-reboot",
                   .account = "05-bulk-after-reboot",
                   .node = "fw1",
                   .frames = 1921,
                   .states = 1784},
        // fw2 was asked last: 22 flows with 7 s to live had ended there; its own IGMP reports it announced later.
        Comparison{.name = "Bulk_fw2",
                   .capture = "05-bulk-after-reboot",
                   .account = "05-bulk-after-reboot",
                   .node = "fw2",
                   .frames = 1921,
                   .states = 1784,
                   .own = 3,
                   .expired = 22},
        Comparison{.name = "Unicast_fw1",
                   .capture = "06-unicast-syncpeer",
                   .account = "06-unicast-syncpeer",
                   .node = "fw1",
                   .frames = all,
                   .states = 44},
        Comparison{.name = "Unicast_fw2",
                   .capture = "06-unicast-syncpeer",
                   .account = "06-unicast-syncpeer",
                   .node = "fw2",
                   .frames = all,
                   .states = 44},
        Comparison{.name = "Defer_fw1",
                   .capture = "07-unicast-defer",
                   .account = "07-unicast-defer",
                   .node = "fw1",
                   .frames = all,
                   .states = 66},
        Comparison{.name = "Defer_fw2",
                   .capture = "07-unicast-defer",
                   .account = "07-unicast-defer",
                   .node = "fw2",
                   .frames = all,
                   .states = 66},
        Comparison{.name = "Failover_fw1",
                   .capture = "08-failover-sync",
                   .account = "08-carp-lan",
                   .node = "fw1",
                   .frames = all,
                   .states = 104},
        Comparison{.name = "Failover_fw2",
                   .capture = "08-failover-sync",
                   .account = "08-carp-lan",
                   .node = "fw2",
                   .frames = all,
                   .states = 104},
        // fw2 carries the connections now, and is a byte ahead in some. One connection had begun on both nodes
        // at once: two states of fw1's stand here beside fw2's own, which fw2 kept.
        Comparison{.name = "FailedOver_fw2",
                   .capture = "08-failover-sync",
                   .account = "08-failover-fw2-after",
                   .node = "",
                   .frames = 270,
                   .states = 106,
                   .ahead = 5,
                   .collided = 2}),
    [](const auto& tested) { return tested.param.name; });

TEST(Account, ParserReadsEveryStateOfTheKernels) {
  const std::string text = text_of(capture_path("freebsd12-pair/02-mcast-tcp-udp-icmp-nat.txt"));
  const Account fw1 = parse_account(section_of(text, "fw1"));
  EXPECT_EQ(fw1.size(), 21u);
  const PrintedState& tcp = fw1.at("id: 000000006b03a1a3 creatorid: 97bc0c81");
  EXPECT_EQ(tcp.flow, "10.2.0.254:64898 (10.1.0.100:47572) -> 10.2.0.100:8000");
  EXPECT_EQ(tcp.side[0], (PrintedState::Side{"ESTABLISHED", 3101188114, 86016, "wscale 10"}));
  EXPECT_EQ(tcp.side[1].seqlo, 3429298741u);
  EXPECT_EQ(tcp.age_s, 4u);
  EXPECT_EQ(tcp.expires_s, 86400u);
  EXPECT_EQ(tcp.rule, "rule 3");
}

}  // namespace
}  // namespace pfsync::engine::replay
