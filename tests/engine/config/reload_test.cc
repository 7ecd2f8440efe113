#include "engine/config/reload.h"

#include <gtest/gtest.h>

#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "engine/config/config.h"

namespace pfsync::engine {
namespace {

using Lines = std::vector<std::string>;

Config config_of(const std::string& text) {
  auto result = parse_config(text, "test.toml");
  if (const auto* why = std::get_if<std::string>(&result)) {
    ADD_FAILURE() << *why;
    return {};
  }
  return std::get<Config>(std::move(result));
}

/// `text` with one part of it replaced, which must be there.
std::string with(std::string text, const std::string& part, const std::string& instead) {
  const std::size_t at = text.find(part);
  EXPECT_NE(at, std::string::npos) << part;
  return at == std::string::npos ? text : text.replace(at, part.size(), instead);
}

const std::string hub = R"(
[link]
device = "eth1"
address = "10.0.0.3/24"
sources = ["10.0.0.1"]
[[interface]]
device = "eth2"
address = "192.0.2.2/24"
[[carp]]
vhid = 1
password = "one secret"
addresses = ["10.0.0.254/24"]
advskew = 0
[[carp]]
vhid = 2
password = "another"
addresses = ["192.0.2.1/24", "192.0.2.9/24"]
interface = "eth2"
[[peer]]
address = "10.0.0.1"
source = "10.0.0.254"
[[peer]]
address = "10.0.0.2"
dialect = "1400"
[table]
states_max = 1000
[table.timeouts]
tcp_established = 100
[sync]
maxupd = 64
[log]
level = "info"
)";
const std::string group = R"(
[link]
device = "eth1"
address = "10.0.0.3/24"
)";

TEST(Reload, NothingDiffersFromItself) {
  const Difference none = difference(config_of(hub), config_of(hub));
  EXPECT_TRUE(none.is_none());
  EXPECT_FALSE(none.hosts || none.peers || none.sources || none.timeouts || none.pace || none.bulk_rate ||
               none.log_level);
  EXPECT_EQ(sentence_of(none), "nothing differs from the configuration at work");
}

/// Every key that can change while the daemon runs, and how it is told.
TEST(Reload, TellsWhatChanges) {
  struct Case {
    std::string part, instead;
    Lines changes;
  };
  const Case cases[] = {
      {"advskew = 0", "advskew = 50", {"carp 1@eth1: advskew: 0 -> 50"}},
      {"advskew = 0", "advbase = 3", {"carp 1@eth1: advbase: 1 -> 3"}},
      {"\"one secret\"", "\"new secret\"", {"carp 1@eth1: password changed"}},
      {"\"192.0.2.9/24\"", "\"192.0.2.8/24\"", {"carp 2@eth2: addresses +192.0.2.8/24 -192.0.2.9/24"}},
      {"\"192.0.2.1/24\", \"192.0.2.9/24\"",
       "\"192.0.2.9/24\", \"192.0.2.1/24\"",
       {"carp 2@eth2: addresses in another order"}},
      {"advskew = 0",
       "preempt = false\npeer = \"10.0.0.4\"",
       {"carp 1@eth1: peer: 224.0.0.18 -> 10.0.0.4", "carp 1@eth1: preempt: off"}},
      {"[[peer]]",
       "[[carp]]\nvhid = 3\npassword = \"third\"\naddresses = [\"10.0.0.253\"]\n[[peer]]",
       {"carp 3@eth1: added"}},
      {"vhid = 2", "vhid = 7", {"carp 7@eth2: added", "carp 2@eth2: removed"}},
      {"\"10.0.0.2\"", "\"10.0.0.9\"", {"peer 10.0.0.9: added", "peer 10.0.0.2: removed"}},
      {"dialect = \"1400\"", "", {"peer 10.0.0.2: dialect: 1400 -> auto"}},
      {"source = \"10.0.0.254\"", "", {"peer 10.0.0.1: source: 10.0.0.254 -> link.address"}},
      {"dialect = \"1400\"",
       "dialect = \"1400\"\nmac = \"02:00:00:00:00:07\"\ninterface_map = { a = \"b\" }",
       {"peer 10.0.0.2: mac: asked for -> 02:00:00:00:00:07", "peer 10.0.0.2: interface_map changed"}},
      {"sources = [\"10.0.0.1\"]", "", {"link.sources changed"}},
      {"tcp_established = 100", "tcp_established = 99", {"table.timeouts.tcp_established: 100 -> 99"}},
      {"maxupd = 64", "maxupd = 65\ndelay_ms = 5", {"sync.maxupd: 64 -> 65", "sync.delay_ms: 1000 -> 5"}},
      {"maxupd = 64",
       "maxupd = 64\nrequest_bulk = false\nbulk_states_per_s = 7",
       {"sync.request_bulk: off", "sync.bulk_states_per_s: 50000 -> 7"}},
      {"\"info\"", "\"debug\"", {"log.level: info -> debug"}},
  };
  for (const Case& row : cases) {
    const Config wanted = config_of(with(hub, row.part, row.instead));
    const Difference found = difference(config_of(hub), wanted);
    EXPECT_EQ(found.changes, row.changes) << row.instead;
    EXPECT_EQ(found.restart, Lines{}) << row.instead;
    // Once it is at work nothing differs any more.
    EXPECT_TRUE(difference(found.next, wanted).is_none()) << sentence_of(difference(found.next, wanted));
  }
}

TEST(Reload, NamesWhatNeedsARestart) {
  struct Case {
    std::string part, instead;
    Lines restart;
  };
  const Case cases[] = {
      {"\"eth1\"", "\"eth3\"", {"link.device", "carp"}},
      {"10.0.0.3/24", "10.0.0.4/24", {"link.address"}},
      {"[[interface]]", "mtu = 1400\nvlan = 7\n[[interface]]", {"link.mtu", "link.vlan"}},
      {"192.0.2.2/24", "192.0.2.3/24", {"interface"}},
      {"states_max = 1000",
       "states_max = 2000\nshards = 8\nmemory = \"grow\"\ncollisions = \"keep\"",
       {"table.states_max", "table.shards", "table.memory", "table.collisions"}},
      {"maxupd = 64", "maxupd = 64\ncreatorid = \"0x7\"\ndialect = \"openbsd\"", {"sync.creatorid", "sync.dialect"}},
      {"[log]",
       "[control]\nsocket = \"/run/other\"\nstate_dir = \"/var/lib/other\"\n[log]",
       {"control.socket", "control.state_dir"}},
      {"[log]",
       "[cores]\ncontrol = 1\ndata = 0\npoll = \"busy\"\n[log]",
       {"cores.control", "cores.data", "cores.poll"}},
      {"[log]", "[synthetic]\nstates = 10\n[log]", {"synthetic"}},
      {"[log]", "[http]\nlisten = \"127.0.0.1:8443\"\n[log]", {"http"}},
  };
  for (const Case& row : cases) {
    const Difference found = difference(config_of(hub), config_of(with(hub, row.part, row.instead)));
    EXPECT_EQ(found.restart, row.restart) << row.instead;
    EXPECT_EQ(found.changes, Lines{}) << row.instead;
    EXPECT_NE(sentence_of(found).find("a restart is needed for: "), std::string::npos) << sentence_of(found);
  }
}

TEST(Reload, BetweenAGroupAndPeersIsARestart) {
  const std::string unicast = group + "[[peer]]\naddress = \"10.0.0.1\"\n";
  for (const auto& [current, wanted] : {std::pair{group, unicast}, std::pair{unicast, group}}) {
    const Difference found = difference(config_of(current), config_of(wanted));
    EXPECT_EQ(found.restart, Lines{"peer (between multicast and unicast)"});
    EXPECT_EQ(found.changes, Lines{});
    EXPECT_EQ(found.next.peers.size(), config_of(current).peers.size());
  }
  const Difference moved = difference(config_of(group), config_of(group + "multicast = \"224.0.1.7\"\n"));
  EXPECT_EQ(moved.restart, Lines{"link.multicast"});
}

TEST(Reload, ChangesWhatAGroupIsWrittenIn) {
  const Difference found =
      difference(config_of(group), config_of(group + "dialect = \"1500\"\ninterface_map = { a = \"b\" }\n"));
  EXPECT_EQ(found.changes, (Lines{"link.dialect: auto -> 1500", "link.interface_map changed"}));
  EXPECT_TRUE(found.peers);
  EXPECT_EQ(found.peers_before, std::vector{Difference::Before{0}});
}

/// What can change does, also beside what cannot.
TEST(Reload, TellsTheOneFromTheOther) {
  const std::string wanted = with(with(hub, "advskew = 0", "advskew = 1"), "states_max = 1000", "states_max = 5000");
  const Difference found = difference(config_of(hub), config_of(wanted));
  EXPECT_EQ(found.changes, Lines{"carp 1@eth1: advskew: 0 -> 1"});
  EXPECT_EQ(found.restart, Lines{"table.states_max"});
  EXPECT_EQ(found.next.carp[0].host.advskew, 1);
  EXPECT_EQ(found.next.table, config_of(hub).table) << "the usual adaptive limits are of the table that is there";
  EXPECT_EQ(sentence_of(found), "changed: carp 1@eth1: advskew: 0 -> 1; a restart is needed for: table.states_max");
}

/// A virtual address or a peer was checked against the link's address: without it it may be wrong.
TEST(Reload, WhatStandsOnAnotherLinkWaitsForTheRestart) {
  const std::string wanted =
      with(with(hub, "10.0.0.3/24", "10.0.0.4/24"), "address = \"10.0.0.2\"", "address = \"10.0.0.3\"");
  const Difference found = difference(config_of(hub), config_of(wanted));
  EXPECT_EQ(found.restart, (Lines{"link.address", "peer"}));
  EXPECT_EQ(found.next.peers, config_of(hub).peers);
}

TEST(Reload, WhatIsWrittenToAGroupIsNamedBesideAnotherLink) {
  const std::string wanted =
      with(group, "10.0.0.3/24\"", "10.0.0.4/24\"\ndialect = \"1400\"\ninterface_map = { lan = \"igb0\" }");
  const Difference found = difference(config_of(group), config_of(wanted));
  EXPECT_EQ(found.restart, (Lines{"link.address", "link.dialect", "link.interface_map"}));
}

TEST(Reload, PeersAreKnownByTheirAddress) {
  const Config current = config_of(group + R"(
[[peer]]
address = "10.0.0.1"
[[peer]]
address = "10.0.0.2"
)");
  const Config wanted = config_of(group + R"(
[[peer]]
address = "10.0.0.7"
[[peer]]
address = "10.0.0.2"
dialect = "1400"
[[peer]]
address = "10.0.0.1"
)");
  const Difference found = difference(current, wanted);
  EXPECT_EQ(found.peers_before, (std::vector<Difference::Before>{std::nullopt, 1, 0}));
  EXPECT_EQ(found.next.peers, wanted.peers);
  const Config turned = config_of(group + "[[peer]]\naddress = \"10.0.0.2\"\n[[peer]]\naddress = \"10.0.0.1\"\n");
  EXPECT_TRUE(difference(current, turned).is_none());
  EXPECT_EQ(difference(current, turned).next.peers, current.peers) << "the same peers in another order are the same";
}

/// Whatever differs is told, also what has no word of its own.
TEST(Reload, NothingThatDiffersIsPassedOver) {
  Config wanted = config_of(hub);
  wanted.carp[0].typed_password = "the same bytes, typed otherwise";
  EXPECT_EQ(difference(config_of(hub), wanted).changes, Lines{"carp 1@eth1: changed"});
  wanted = config_of(hub);
  wanted.peers[1].bulk_states_per_s = 7;
  const Difference found = difference(config_of(hub), wanted);
  EXPECT_EQ(found.changes, Lines{"peer 10.0.0.2: bulk_states_per_s changed"});
  EXPECT_EQ(found.next.peers, wanted.peers);
}

TEST(Reload, ARandomHostIdStays) {
  const Config current = config_of(group), wanted = config_of(group);
  EXPECT_NE(current.sync.creatorid, wanted.sync.creatorid);
  EXPECT_TRUE(difference(current, wanted).is_none());
  EXPECT_EQ(difference(current, wanted).next.sync.creatorid, current.sync.creatorid);
}

TEST(Reload, NoSentenceHoldsAPassword) {
  const Difference found = difference(config_of(hub), config_of(with(hub, "one secret", "hidden")));
  EXPECT_EQ(sentence_of(found).find("hidden"), std::string::npos);
  EXPECT_EQ(sentence_of(found).find("one secret"), std::string::npos);
  EXPECT_TRUE(found.hosts);
}

TEST(Reload, SnapshotsChangeWhileTheDaemonRuns) {
  const std::string link = "[link]\ndevice = \"eth1\"\naddress = \"10.0.0.3/24\"\n";
  const Config without = config_of(link), with_them = config_of(link + "[snapshot]\n");
  const Difference on = difference(without, with_them);
  EXPECT_EQ(on.changes, Lines{"snapshot: on"});
  EXPECT_TRUE(on.snapshot);
  EXPECT_EQ(on.next.snapshot, with_them.snapshot);
  EXPECT_EQ(difference(with_them, without).changes, Lines{"snapshot: off"});
  const Difference other = difference(
      with_them,
      config_of(link + "[snapshot]\npath = \"/srv/s\"\ninterval_s = 5\nat_exit = false\nstates_per_s = 7\n"));
  EXPECT_EQ(other.changes,
            (Lines{"snapshot.path: /var/lib/pfsyncd/states.snapshot -> /srv/s", "snapshot.interval_s: 60 -> 5",
                   "snapshot.at_exit: off", "snapshot.states_per_s: 500000 -> 7"}));
  EXPECT_TRUE(other.restart.empty());
  // What lies in another folder by default waits with that.
  const Difference moved = difference(with_them, config_of(link + "[snapshot]\n[control]\nstate_dir = \"/srv\"\n"));
  EXPECT_EQ(moved.restart, (Lines{"control.state_dir", "snapshot"}));
  EXPECT_FALSE(moved.snapshot);
  EXPECT_EQ(moved.next.snapshot, with_them.snapshot);
}

}  // namespace
}  // namespace pfsync::engine
