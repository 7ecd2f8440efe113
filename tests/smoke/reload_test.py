"""Two pfsyncd on one segment read their configuration files again: what is equal goes on, what changed changes.

The network is that of carp_test.py: a bridge with a client on it, which asks the virtual address all the time.
"""
import json
import os
import signal
import socket
import sys
import time
import unittest

import tap

import carp_test
from carp_test import CLIENT, NETWORK, VHID, VIRTUAL
from daemon import Daemon, Trouble

SECOND, SECOND_VHID = NETWORK + "101", 43
PATIENCE_S = 15  # of a busy machine; a VHID that comes waits 3.4 s for a master

CONFIG = """
[link]
device = "{interface}"
address = "{address}/24"
{link}
[table]
states_max = 10000
[table.timeouts]
tcp_established = {established}
[sync]
delay_ms = {delay_ms}
request_bulk = false
[log]
level = "{level}"
[[peer]]
address = "{peer}"
"""
HOST = """
[[carp]]
vhid = {vhid}
advskew = {skew}
password = "a secret of theirs"
addresses = ["{address}/24"]
"""
LOAD = """
[synthetic]
states = 300
new_per_s = 50
updates_per_s = 500
[cores]
data_cores = 2
"""


class Node(Daemon):
    def __init__(self, case, side, load=""):
        self.case, self.side, self.load = case, side, load
        super().__init__("AB"[side], tap.PFSYNCD, case.folder, "", prefix=case.inside(side))
        self.write([(VHID, 100 * side, VIRTUAL)])
        case.addCleanup(self.end)
        self.start()
        self.await_socket(20)

    def write(self, hosts, peers=(), link="", established=86400, delay_ms=100, level="info", more=""):
        text = CONFIG.format(interface=f"node-{self.side}", address=NETWORK + str(self.side + 1), link=link, established=established,
                             delay_ms=delay_ms, level=level, peer=NETWORK + str(2 - self.side))
        text += "".join(f"[[peer]]\naddress = \"{peer}\"\n" for peer in peers)
        text += "".join(HOST.format(vhid=vhid, skew=skew, address=address) for vhid, skew, address in hosts)
        text += self.load + more
        text += f"[control]\nsocket = {json.dumps(str(self.socket))}\nstate_dir = {json.dumps(str(self.case.folder / self.name))}\n"
        self.config.write_text(text)

    def reload(self, *arguments, **options):
        self.write(*arguments, **options)
        return self.ask("reload")

    def hosts(self):
        return {host["vhid"]: host for host in self.ask("show", what="carp")["hosts"]}

    def state(self, vhid):
        return self.hosts()[vhid]["state"]

    def past(self, vhid):
        """Every move that the virtual host has made."""
        return [(move["from"], move["to"], move["reason"]) for move in self.hosts()[vhid]["moves"]]


class Reload(unittest.TestCase):
    setUp = carp_test.Carp.setUp
    make_segment = carp_test.Carp.make_segment
    add_bridge = carp_test.Carp.add_bridge
    inside = carp_test.Carp.inside
    ping = carp_test.Carp.ping
    answers = carp_test.Carp.answers

    def test_a_running_pair_changes(self):
        b = Node(self, 1)  # first, so that it hears of every state
        a = Node(self, 0, LOAD)
        tap.eventually(lambda: a.state(VHID) == "MASTER" and b.state(VHID) == "BACKUP", PATIENCE_S, "A leads")
        tap.eventually(lambda: b.status()["states"] >= 300, PATIENCE_S, "B has the states")
        tap.eventually(lambda: self.answers() == 5, PATIENCE_S, "the address answers")
        past = a.past(VHID), b.past(VHID)
        ping = self.ping()
        first = (VHID, 0, VIRTUAL), (VHID, 100, VIRTUAL)

        # A virtual host comes, on both.
        for node in (a, b):
            answer = node.reload([first[node.side], (SECOND_VHID, 100 * node.side, SECOND)])
            self.assertEqual(answer["changes"], [f"carp {SECOND_VHID}@node-{node.side}: added"])
            self.assertEqual(answer["restart"], [])
        tap.eventually(lambda: a.state(SECOND_VHID) == "MASTER", PATIENCE_S, "A leads the second, too")
        tap.eventually(lambda: self.answers(SECOND) == 5, PATIENCE_S, "the second address answers")

        # Its skew changes: the other node takes it. With it go timeouts, pace and the log's level.
        answer = a.reload([first[0], (SECOND_VHID, 200, SECOND)], established=3600, delay_ms=50, level="debug")
        self.assertEqual(answer["changes"], [f"carp {SECOND_VHID}@node-0: advskew: 0 -> 200", "table.timeouts.tcp_established: 86400 -> 3600",
                                             "sync.delay_ms: 100 -> 50", "log.level: info -> debug"])
        tap.eventually(lambda: b.state(SECOND_VHID) == "MASTER" and a.state(SECOND_VHID) == "BACKUP", PATIENCE_S, "B takes the second")

        # A peer comes; the one that was there is still told everything.
        options = {"established": 3600, "delay_ms": 50, "level": "debug"}
        answer = a.reload([first[0], (SECOND_VHID, 200, SECOND)], [CLIENT], **options)
        self.assertEqual(answer["changes"], [f"peer {CLIENT}: added"])
        a.ask("synthetic", run=False)
        tap.eventually(lambda: a.status(digest=True)["digest"] == b.status(digest=True)["digest"], PATIENCE_S, "both tables agree")
        answer = a.reload([first[0], (SECOND_VHID, 200, SECOND)], **options)
        self.assertEqual(answer["changes"], [f"peer {CLIENT}: removed"])

        # The second virtual host goes where it was master, then where it was not.
        self.assertEqual(b.reload([first[1]])["changes"], [f"carp {SECOND_VHID}@node-1: removed"])
        tap.eventually(lambda: a.state(SECOND_VHID) == "MASTER", PATIENCE_S, "A hears the farewell")
        self.assertEqual(a.reload([first[0]], **options)["changes"], [f"carp {SECOND_VHID}@node-0: removed"])
        self.assertEqual(list(a.hosts()), [VHID])
        self.assertEqual(self.answers(SECOND), 0)

        lost, _ = ping.end()
        self.assertEqual((a.past(VHID), b.past(VHID)), past, "the first virtual host has never moved")
        self.assertEqual(lost, 0)
        self.assertNotIn("a secret", a.log.read_text())
        for node in (a, b):
            self.assertEqual(node.end(), 0, node.last_words())

    def listen_as_systemd(self):
        """A socket that hears what the daemons started from now on tell their service manager."""
        manager = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.addCleanup(manager.close)
        manager.bind(str(self.folder / "notify"))
        manager.settimeout(PATIENCE_S)
        os.environ["NOTIFY_SOCKET"] = str(self.folder / "notify")
        self.addCleanup(os.environ.pop, "NOTIFY_SOCKET")
        return manager

    def assert_told(self, manager, *lines):
        while (told := manager.recv(4096).decode()).startswith("STATUS="):  # the verdict, which comes by itself
            pass
        for line in lines:
            self.assertRegex(told, f"(?m)^{line}$")
        return told

    def test_what_cannot_be_is_said_and_what_can_is_done(self):
        manager = self.listen_as_systemd()
        a = Node(self, 0)
        self.assert_told(manager, "READY=1")
        host = [(VHID, 0, VIRTUAL)]
        self.assertEqual(a.ask("reload")["sentence"], "nothing differs from the configuration at work")
        self.assert_told(manager, "RELOADING=1")
        self.assert_told(manager, "READY=1", "STATUS=following the sync network")

        # A file with a mistake changes nothing, not even what is right in it.
        with self.assertRaisesRegex(Trouble, r"A\.toml:\d+: link\.mtu: .*; nothing was changed"):
            a.reload(host, level="debug", link="mtu = 7")
        self.assert_told(manager, "RELOADING=1", r"MONOTONIC_USEC=\d+")
        self.assert_told(manager, "READY=1", "STATUS=the last reload was refused: the log says why")
        before_us = time.monotonic() * 1e6
        self.assertEqual(a.reload(host)["changes"], [])
        told = self.assert_told(manager, "RELOADING=1", r"MONOTONIC_USEC=\d+")
        self.assertGreaterEqual(int(told.split("MONOTONIC_USEC=")[1]), before_us)
        self.assert_told(manager, "READY=1", "STATUS=following the sync network")

        # A key that needs a restart is named, by the answer and, on SIGHUP, in the log; the rest changes.
        answer = a.reload(host, level="debug", link="mtu = 1400")
        self.assertEqual((answer["changes"], answer["restart"]), (["log.level: info -> debug"], ["link.mtu"]))
        a.write([], level="debug", more="[cores]\npoll = \"busy\"\n")
        a.process.send_signal(signal.SIGHUP)
        told = f"configuration: carp {VHID}@node-0: removed", "configuration: cores.poll: needs a restart"
        tap.eventually(lambda: all(line in a.log.read_text() for line in told), PATIENCE_S, "the log tells of both")
        with self.assertRaisesRegex(Trouble, "this node has no virtual address"):
            a.hosts()
        a.reload(host)
        tap.eventually(lambda: a.state(VHID) == "MASTER", PATIENCE_S, "the virtual address is back")
        self.assertEqual(a.end(), 0, a.last_words())


if __name__ == "__main__":
    sys.exit(tap.main())
