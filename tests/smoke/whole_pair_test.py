"""Two engines share the address that two firewalls know as their sync peer, and the leading one is killed under load.

A bridge stands in one namespace, each of the four nodes in another.
"""
import json
import os
import pathlib
import shutil
import sys
import tempfile
import time
import unittest

import tap

from daemon import DIGESTED, Daemon, compare, differences
from carp_test import ip

NETWORK = "192.0.2."
VIRTUAL = NETWORK + "100"
STATES = 5_000          # of each firewall
UPDATES_PER_S = 25_000  # of each firewall
LOAD = 2 * UPDATES_PER_S  # updates of each firewall before the kill
MASTER_DOWN_S = 3.4    # advbase 1, skew 100
SLOW_S = 20            # what a busy machine may add before a test gives up

LINK = """
[link]
device = "node"
address = "{address}/24"
[table]
states_max = 50000
[sync]
creatorid = "0000000{number}"
delay_ms = 200
"""
PEER = """
[[peer]]
address = "{address}"
"""
ENGINE = """
[[carp]]
vhid = 7
advskew = {skew}
password = "whole pair"
addresses = ["{virtual}/24"]
"""
FIREWALL = """
[synthetic]
states = {states}
fill_per_s = 20000
new_per_s = 100
updates_per_s = {updates}
tcp_percent = 100
udp_percent = 0
seed = {number}
"""


class Node(Daemon):
    def __init__(self, case, number, config):
        super().__init__("ABCD"[number], tap.PFSYNCD, case.folder,
                         LINK.format(address=NETWORK + str(number + 1), number=number + 1) + config,
                         prefix=["ip", "netns", "exec", case.namespaces[number]])
        with open(self.config, "a") as file:  # [control] is its last section
            file.write(f"state_dir = {json.dumps(str(case.folder))}\n")
        case.addCleanup(self.end)
        self.start()
        self.await_socket(20)

    def status(self, **more):
        return self.ask("show", what="status", **more)

    def held(self):
        return self.status()["states"]

    def own_states(self):
        creator = self.status()["creatorid"]
        return {id: state for id, state in self.states().items() if id.endswith(creator)}

    def total(self, word):
        return self.status()["totals"][word]

    def counters(self):
        return self.ask("show", what="counters")["counters"]

    def load(self):
        """What the firewall that this node plays has done: how many updates made, how often put work off."""
        return self.status()["synthetic"]

    def is_master(self):
        return self.ask("show", what="carp")["hosts"][0]["state"] == "MASTER"


class WholePair(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="pfsync-whole-")
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)
        if not shutil.which("ip"):
            self.skipTest("ip is not installed: scripts/setup installs it")
        self.namespaces = [f"pfwhole{os.getpid()}{side}" for side in "abcds"]
        try:
            for namespace in self.namespaces:
                ip("netns", "add", namespace)
                self.addCleanup(ip, "netns", "del", namespace)
                ip("netns", "exec", namespace, "true")
            segment = self.namespaces[-1]
            ip("-n", segment, "link", "add", "segment", "type", "bridge", "mcast_snooping", "0")
            for number, namespace in enumerate(self.namespaces[:-1]):
                ip("-n", namespace, "link", "add", "node", "type", "veth", "peer", "name", f"port-{number}", "netns", segment)
                ip("-n", namespace, "link", "set", "node", "up")
                ip("-n", segment, "link", "set", f"port-{number}", "master", "segment", "up")
            ip("-n", segment, "link", "set", "segment", "up")
        except OSError as error:
            self.skipTest(f"no network namespaces with a bridge can be had here: {error}")

    def engine(self, number, skew):
        shared = f'source = "{VIRTUAL}"\n'
        peers = PEER.format(address=NETWORK + str(2 - number))
        for firewall in (3, 4):
            peers += PEER.format(address=NETWORK + str(firewall)) + shared
        return Node(self, number, peers + ENGINE.format(skew=skew, virtual=VIRTUAL))

    def firewall(self, number):
        return Node(self, number, PEER.format(address=VIRTUAL) +
                    FIREWALL.format(states=STATES, updates=UPDATES_PER_S, number=number))

    def assert_follows(self, node, what):
        """The node hears of both firewalls' updates, a good part of what they say."""
        before, began = node.total("messages_in"), time.monotonic()
        time.sleep(1)
        rate = (node.total("messages_in") - before) / (time.monotonic() - began)
        self.assertGreater(rate, 1000, f"{what}: {rate:.0f} messages/s")

    def assert_made(self, firewalls, since, updates):
        tap.eventually(lambda: all(firewall.load()["updated"] >= then["updated"] + updates for firewall, then in zip(firewalls, since)),
                       4 * SLOW_S, f"each firewall makes {updates} further updates")

    def assert_one_table(self, engines, firewalls):
        def agree():
            status_a, status_b, same = compare(*engines)
            return same and status_b["queued"] == 0
        try:
            tap.eventually(agree, SLOW_S, "the engines' tables agree")
        except AssertionError as error:
            raise AssertionError(f"{error}: {differences(*engines)}") from error
        tap.eventually(lambda: all(node.status()["queued"] == 0 for node in firewalls), SLOW_S, "the firewalls have said all")
        own = {}
        for firewall in firewalls:
            own.update(firewall.own_states())
        # What ended while nobody was master may come back to its own firewall: there are more than it plays with.
        self.assertGreaterEqual(len(own), 2 * STATES)
        for node in (*engines, *firewalls):
            held = node.states()
            lost = [id for id in own if id not in held or any(held[id][word] != own[id][word] for word in DIGESTED)]
            self.assertEqual(lost[:3], [], f"{len(lost)} states are not on {node.name} as their firewall has them")

    def test_the_leading_engine_is_killed_under_load(self):
        first, second = self.engine(0, skew=0), self.engine(1, skew=100)
        tap.eventually(lambda: first.is_master() and not second.is_master(), MASTER_DOWN_S + SLOW_S, "the first leads")
        firewalls = [self.firewall(number) for number in (2, 3)]
        everybody = [first, second, *firewalls]
        tap.eventually(lambda: all(node.held() >= 2 * STATES * 0.99 for node in everybody), 2 * SLOW_S, "all know of both firewalls' states")
        for node in everybody:
            self.assert_follows(node, f"{node.name} before")
        shared = [peer for peer in second.status()["peers"] if peer["source"] == VIRTUAL]
        self.assertEqual([peer["active"] for peer in shared], [False, False])
        self.assertEqual(second.status()["queued"], 0)  # what is held for a moment waits for nobody
        before = second.counters()
        begun, began = [firewall.load() for firewall in firewalls], time.monotonic()
        heard = first.total("messages_in")

        # What both engines have, of what will not have ended meanwhile.
        both = first.states().keys() & second.states().keys()
        # The load goes on at its own pace until the moment of the kill, and the one that is killed takes it: told by counts, since
        # work that is due and not done yet on a busy machine is made up for, unless it is put off.
        self.assert_made(firewalls, begun, LOAD)
        tap.eventually(lambda: first.total("messages_in") - heard > LOAD / 10, SLOW_S, "the first hears of them")
        killed = [firewall.load() for firewall in firewalls]
        self.assertEqual([load["waited"] for load in killed], [load["waited"] for load in begun], "the load was put off")
        first.process.kill()
        first.process.wait()
        tap.eventually(second.is_master, MASTER_DOWN_S + SLOW_S, "the second takes over")
        held = second.states().keys()
        alive = set().union(*(firewall.own_states() for firewall in firewalls))
        self.assertGreater(len(both & alive), STATES / 5)
        self.assertEqual(len((both & alive) - held), 0, "states that both engines had are lost")
        after_kill = [firewall.load() for firewall in firewalls]
        rate = sum(now["updated"] - then["updated"] for now, then in zip(after_kill, begun)) / (time.monotonic() - began)
        print(f"# the firewalls made {rate:.0f} updates/s before and while the first was killed", flush=True)
        self.assert_made(firewalls, killed, UPDATES_PER_S)
        self.assertEqual([load["waited"] for load in after_kill], [load["waited"] for load in killed], "the load was put off")
        tap.eventually(lambda: all(peer["active"] and peer["bulk"]["phase"] == "done" for peer in second.status()["peers"][1:]), SLOW_S,
                       "the second has asked both firewalls what was said to nobody")
        taken_over = second.counters()
        for node in everybody[1:]:
            self.assert_follows(node, f"{node.name} after")
        after = second.counters()
        taken, *refused = (after[word] - taken_over[word] for word in ("updates", "stale", "badstate"))
        self.assertLess(sum(refused), taken / 100, "updates that the firewalls made next are refused")
        self.assertEqual(after["expired"], before["expired"])

        first.start()
        first.await_socket(20)
        tap.eventually(lambda: first.is_master() and not second.is_master(), MASTER_DOWN_S + 2 * SLOW_S,
                       "the first has caught up, and leads again")
        self.assertGreater(first.status()["peers"][0]["bulk"]["states_received"], 2 * STATES * 0.95)
        for node in everybody:
            self.assert_follows(node, f"{node.name} at the end")
        for firewall in firewalls:
            firewall.ask("synthetic", run=False)
        self.assert_one_table([first, second], firewalls)
        self.assertEqual([node.counters()["expired"] for node in everybody], [0, 0, 0, 0])


if __name__ == "__main__":
    sys.exit(tap.main())
