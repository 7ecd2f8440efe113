"""Two pfsyncd in two network namespaces, on a veth pair: they agree, and what stands on the wire is as pf sends it."""
import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import unittest

import tap
from capture import pfsync_packets

from daemon import Daemon, compare, differences

STATES = 3000
MTU = 1500
A, B = "192.0.2.1", "192.0.2.2"
GROUP, GROUP_MAC = "224.0.0.240", "01:00:5e:00:00:f0"
A6, B6 = "fe80::a", "fe80::b"
A6U, B6U = "fd00::a", "fd00::b"
GROUP6, GROUP6_MAC = "ff12::f0", "33:33:00:00:00:f0"
LOW_DELAY = 0x10  # RFC 1349

CONFIG = """
[link]
device = "{interface}"
address = "{address}"
[table]
states_max = 20000
[sync]
creatorid = "{creatorid}"
probe_every_s = 0  # what is captured is what is counted when it ends
{rest}
"""
LOAD = f"[synthetic]\nstates = {STATES}\nfill_per_s = 20000\nnew_per_s = 200\nupdates_per_s = 4000\nipv6_percent = 30\n"


def ip(*arguments):
    done = subprocess.run(["ip", *arguments], capture_output=True, text=True)
    if done.returncode != 0:
        raise OSError(f"ip {' '.join(arguments)}: {' '.join(done.stderr.split())}")
    return done.stdout


class Namespaces(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="pfsync-smoke-")
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)
        for program in ("ip", "tcpdump"):
            if not shutil.which(program):
                self.skipTest(f"{program} is not installed: scripts/setup installs it")
        self.namespaces = [f"pfsync{os.getpid()}{side}" for side in "ab"]
        self.interfaces = ["sync-a", "sync-b"]
        try:
            self.make_link()
        except OSError as error:
            self.skipTest(f"no network namespaces with a veth pair can be had here: {error}")
        for namespace, interface in zip(self.namespaces, self.interfaces):
            ip("-n", namespace, "link", "set", interface, "mtu", str(MTU), "up")
        self.macs = [json.loads(ip("-n", namespace, "-j", "link", "show", interface))[0]["address"]
                     for namespace, interface in zip(self.namespaces, self.interfaces)]

    def make_link(self):
        """All that the machine may deny: privileges, a mount point to switch from, a kernel with veth."""
        for namespace in self.namespaces:
            ip("netns", "add", namespace)
            self.addCleanup(ip, "netns", "del", namespace)
            ip("netns", "exec", namespace, "true")
        (ns_a, ns_b), (if_a, if_b) = self.namespaces, self.interfaces
        ip("link", "add", if_a, "netns", ns_a, "type", "veth", "peer", "name", if_b, "netns", ns_b)

    def inside(self, side):
        return ["ip", "netns", "exec", self.namespaces[side]]

    def daemon(self, side, **config):
        daemon = Daemon("AB"[side], tap.PFSYNCD, self.folder, CONFIG.format(interface=self.interfaces[side], **config),
                        prefix=self.inside(side))
        daemon.start()
        self.addCleanup(daemon.end)
        daemon.await_socket(20)
        return daemon

    def capture(self, side):
        """What arrives on a side: what is sent need not be seen there, a device may pass the kernel's taps by."""
        file = self.folder / f"{'ab'[side]}.pcap"
        # -U with --immediate-mode: what was seen stands in the file when tcpdump ends. -s: the kernel's ring has places of
        # that size, and of the usual 256 KiB it would have a hundred.
        process = subprocess.Popen([*self.inside(side), "tcpdump", "-i", self.interfaces[side], "-Q", "in", "-n", "-U",
                                    "--immediate-mode", "-B", "32768", "-s", "2048", "-Z", "root", "-w", str(file)],
                                   stderr=subprocess.PIPE, text=True)

        def end():
            process.send_signal(signal.SIGINT)
            words = process.communicate(timeout=20)[1]
            self.assertIn("\n0 packets dropped by kernel", words)
            return list(pfsync_packets(file))

        def clean_up():
            process.kill()
            process.wait()
            process.stderr.close()

        self.addCleanup(clean_up)
        for line in process.stderr:
            if "listening on" in line:
                return end
        self.fail("tcpdump did not start")

    def sync(self, address_a, address_b, rest_a="", rest_b=""):
        """Fills A, brings B up, stops the load, waits until both agree. Returns what went over the link."""
        end_captures = [self.capture(0), self.capture(1)]
        a = self.daemon(0, address=address_a, creatorid="0000000a", rest=rest_a + LOAD)
        tap.eventually(lambda: a.status()["synthetic"]["opened"] >= STATES, 30, "A is filled")
        b = self.daemon(1, address=address_b, creatorid="0000000b", rest=rest_b)
        tap.eventually(lambda: b.status()["bulk"]["phase"] == "done", 30, "the bulk update is complete")
        # The load goes on over it: all kinds of messages are wanted on the wire.
        closed = a.status()["synthetic"]["closed"] + 200
        tap.eventually(lambda: a.status()["synthetic"]["closed"] >= closed, 30, "the load goes on")
        a.ask("synthetic", run=False)
        until = time.monotonic() + 30
        while not (found := compare(a, b))[2]:
            if time.monotonic() > until:
                self.fail(f"the digests differ: {differences(a, b)}\nA {a.ask('show', what='counters')}\nB {b.ask('show', what='counters')}")
            time.sleep(0.2)
        self.assertGreater(found[1]["digest_states"], STATES * 0.9)
        return [packet for end in end_captures for packet in end()], a, b

    def assert_as_pf_sends(self, packets, side, sender, tos):
        mine = [packet for packet in packets if packet.src == sender]
        self.assertTrue(mine)
        self.assertEqual({(packet.tos, packet.ttl, packet.dont_fragment) for packet in mine}, {(tos, 255, True)})
        self.assertEqual({packet.ether_src for packet in mine}, {self.macs[side]})
        self.assertLessEqual(max(packet.total_bytes for packet in mine), MTU)
        return sum((packet.messages for packet in mine[1:]), mine[0].messages)

    def assert_conversation(self, packets, a, b, senders=(A, B), tos=LOW_DELAY):
        """The reader read every packet to its EOF; here: who said what, and that both count the same."""
        self.assertEqual({packet.src for packet in packets}, set(senders))
        said_a, said_b = (self.assert_as_pf_sends(packets, side, senders[side], tos) for side in (0, 1))
        self.assertEqual(said_a["BUS"], 2)
        self.assertGreaterEqual(said_b["UPD_REQ"], 1)
        for name in ("INS", "UPD", "UPD_C", "DEL_C"):
            self.assertGreater(said_a[name], 0, name)
        self.assertEqual(said_b["UPD_REQ"], a.ask("show", what="counters")["received"]["upd_req"])
        self.assertEqual(said_a["BUS"], b.ask("show", what="counters")["received"]["bus"])

    def test_multicast(self):
        packets, a, b = self.sync(A, B)
        self.assert_conversation(packets, a, b)
        self.assertEqual({(packet.dst, packet.ether_dst) for packet in packets}, {(GROUP, GROUP_MAC)})

    def test_unicast(self):
        packets, a, b = self.sync(A, B, f"[[peer]]\naddress = \"{B}\"\n", f"[[peer]]\naddress = \"{A}\"\n")
        self.assert_conversation(packets, a, b)
        self.assertEqual({(packet.src, packet.dst, packet.ether_dst) for packet in packets},
                         {(A, B, self.macs[1]), (B, A, self.macs[0])})
        self.assert_answers_ping(a, "192.0.2.99/24", A)

    def test_ipv6_unicast(self):
        packets, a, b = self.sync(A6U, B6U, f"[[peer]]\naddress = \"{B6U}\"\n", f"[[peer]]\naddress = \"{A6U}\"\n")
        self.assert_conversation(packets, a, b, senders=(A6U, B6U), tos=0)
        self.assertEqual({(packet.src, packet.dst, packet.ether_dst) for packet in packets},
                         {(A6U, B6U, self.macs[1]), (B6U, A6U, self.macs[0])})
        self.assert_answers_ping(a, "fd00::99/64", A6U)

    def assert_answers_ping(self, a, neighbour, address):
        """No kernel stands behind a's address: it is a that answers b's kernel."""
        ip("-n", self.namespaces[1], "addr", "add", neighbour, "dev", self.interfaces[1], *(["nodad"] if ":" in address else []))
        done = subprocess.run([*self.inside(1), "ping", "-n", "-c", "3", "-i", "0.2", "-W", "5", address], capture_output=True, text=True)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        self.assertIn(" 0% packet loss", done.stdout)
        self.assertGreaterEqual(a.ask("show", what="counters")["outside"]["echo_replies"], 3)

    def test_ipv6_multicast(self):
        packets, a, b = self.sync(A6, B6)
        self.assert_conversation(packets, a, b, senders=(A6, B6), tos=0)
        self.assertEqual({(packet.dst, packet.ether_dst) for packet in packets}, {(GROUP6, GROUP6_MAC)})


class SnoopingSwitch(Namespaces):
    """Between the two a bridge that gives a port only the groups that it asked for."""
    test_multicast = test_unicast = test_ipv6_unicast = test_ipv6_multicast = None

    def make_link(self):
        switch = f"pfsync{os.getpid()}s"
        for namespace in (*self.namespaces, switch):
            ip("netns", "add", namespace)
            self.addCleanup(ip, "netns", "del", namespace)
            ip("netns", "exec", namespace, "true")
        self.switch = switch
        # A querier that has been there for long: it asks once a second, and forgets who does not answer.
        ip("-n", switch, "link", "add", "switch", "type", "bridge", "mcast_snooping", "1", "mcast_querier", "1", "mcast_mld_version", "2",
           "mcast_query_interval", "100", "mcast_query_response_interval", "50", "mcast_membership_interval", "300", "mcast_startup_query_interval", "50")
        for namespace, interface in zip(self.namespaces, self.interfaces):
            ip("link", "add", interface, "netns", namespace, "type", "veth", "peer", "name", f"to-{interface}", "netns", switch)
            ip("-n", switch, "link", "set", f"to-{interface}", "master", "switch", "up")
            ip("-n", switch, "link", "set", f"to-{interface}", "type", "bridge_slave", "mcast_flood", "off")
        ip("-n", switch, "link", "set", "switch", "up")

    def members(self):
        groups = json.loads(subprocess.run(["bridge", "-n", self.switch, "-j", "mdb", "show"], capture_output=True, text=True, check=True).stdout)
        return {entry["port"] for entry in groups[0]["mdb"] if entry["grp"] == GROUP6}

    def test_joins_its_groups(self):
        _, a, b = self.sync(A6, B6)
        self.assertEqual(self.members(), {"to-sync-a", "to-sync-b"})
        counted = a.ask("show", what="counters")["outside"]
        self.assertGreater(counted["membership_queries"], 0)
        self.assertGreater(counted["membership_reports"], 2)
        self.assertEqual((counted["membership_dropped"], counted["membership_refused"]), (0, 0))
        # Whoever ends in order says so, and the switch need not wait.
        self.assertEqual(b.end(), 0)
        tap.eventually(lambda: self.members() == {"to-sync-a"}, 3, "the switch forgets the one that left")


if __name__ == "__main__":
    sys.exit(tap.main())
