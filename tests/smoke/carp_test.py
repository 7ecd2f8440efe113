"""pfsyncd and a second implementation of CARP, Debian's ucarp, on one segment: who leads, and does the address answer?

A bridge with a client on it stands in one namespace, each node in another.
"""
import ipaddress
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import unittest

import tap

from daemon import Daemon

NETWORK, OUTSIDE = "192.0.2.", "198.51.100."
VIRTUAL, CLIENT = NETWORK + "100", NETWORK + "9"
VIRTUAL6, CLIENT6 = "2001:db8::100", "2001:db8::9"
PASSWORD = "interop"
VHID = 42
MASTER_DOWN_S = 3.4  # advbase 1, skew 100
SLOW_S = 3           # what a busy machine may add before a test gives up
SETTLED_S = 5        # a wrong hash is logged when it goes on for so long

CONFIG = """
[link]
device = "{interface}"
address = "{address}/24"
[table]
states_max = 10000
[sync]
request_bulk = false
[[carp]]
vhid = {vhid}
advskew = {skew}
password = "{password}"
addresses = {addresses}
"""


def ip(*arguments):
    done = subprocess.run(["ip", *arguments], capture_output=True, text=True)
    if done.returncode != 0:
        raise OSError(f"ip {' '.join(arguments)}: {' '.join(done.stderr.split())}")
    return done.stdout


class Ping:
    """Asks the virtual address, fifty times a second unless told, until end()."""

    def __init__(self, inside, address, interval_s=0.02):
        self.process = subprocess.Popen([*inside, "ping", "-n", "-D", "-i", str(interval_s), "-W", "1", address],
                                        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)

    def end(self):
        """(how many questions stayed without an answer, the longest time between two answers in s)"""
        time.sleep(0.1)  # the last questions' answers
        self.process.send_signal(signal.SIGINT)
        text = self.process.communicate(timeout=10)[0]
        answers = [(float(at), int(number)) for at, number in re.findall(r"\[([\d.]+)\] .*icmp_seq=(\d+) .*time=", text)]
        if len(answers) < 2:
            raise AssertionError("nobody answered: " + text[-500:])
        numbers = {number for _, number in answers}
        gap = max(later[0] - earlier[0] for earlier, later in zip(answers, answers[1:]))
        return max(numbers) - min(numbers) + 1 - len(numbers), gap


SECOND_PORT = """
[[interface]]
device = "{interface}"
address = "{address}/24"
[[carp]]
vhid = {vhid}
advskew = {skew}
password = "{password}"
addresses = ["{virtual}/24"]
interface = "{interface}"
"""


ANOTHER_HOST = """
[[carp]]
vhid = {vhid}
advskew = {skew}
password = "{password}"
addresses = ["{virtual}"]
{peer} = "{other}"
"""


class Pfsyncd(Daemon):
    def __init__(self, case, side, skew, password=PASSWORD, addresses=(VIRTUAL + "/24",), more=""):
        self.namespace = case.namespaces[side]
        super().__init__("AB"[side], tap.PFSYNCD, case.folder,
                         CONFIG.format(interface=f"node-{side}", address=NETWORK + str(side + 1), vhid=VHID, skew=skew,
                                       password=password, addresses=json.dumps(list(addresses))) + more,
                         prefix=case.inside(side))
        with open(self.config, "a") as config:  # [control] is its last section
            config.write(f"state_dir = {json.dumps(str(case.folder / ('state' + self.name)))}\n")
        case.addCleanup(self.end)
        self.start()
        self.await_socket(20)

    def carp(self):
        return self.ask("show", what="carp")

    def host(self):
        return self.carp()["hosts"][0]

    def is_master(self):
        return self.host()["state"] == "MASTER"

    def lines(self):
        return self.log.read_text()


class Ucarp:
    def __init__(self, case, side, skew, password=PASSWORD):
        self.namespace, self.interface = case.namespaces[side], f"node-{side}"
        self.log_file = case.folder / "ucarp.log"
        for name, verb in (("up", "add"), ("down", "del")):
            script = case.folder / f"{name}.sh"
            script.write_text(f"#!/bin/sh\nip addr {verb} \"$2/24\" dev \"$1\"\n")
            script.chmod(0o755)
        ip("-n", self.namespace, "addr", "add", NETWORK + str(side + 1) + "/24", "dev", self.interface)
        with open(self.log_file, "ab") as log:
            self.process = subprocess.Popen(
                [*case.inside(side), "ucarp", "-i", self.interface, "-s", NETWORK + str(side + 1), "-v", str(VHID), "-p", password,
                 "-a", VIRTUAL, "-k", str(skew), "-b", "1", "-P", "-n", "-u", str(case.folder / "up.sh"), "-d", str(case.folder / "down.sh")],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        case.addCleanup(self.end)

    def end(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGCONT)
            self.process.kill()
        self.process.wait()

    def is_master(self):
        return f"inet {VIRTUAL}/" in ip("-n", self.namespace, "addr", "show", "dev", self.interface)

    def lines(self):
        return self.log_file.read_text(errors="replace")


class Carp(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="pfsync-carp-")
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)
        for program in ("ip", "ping"):
            if not shutil.which(program):
                self.skipTest(f"{program} is not installed: scripts/setup installs it")
        self.namespaces = [f"pfcarp{os.getpid()}{side}" for side in "abc"]
        try:
            self.make_segment()
        except OSError as error:
            self.skipTest(f"no network namespaces with a bridge can be had here: {error}")

    def make_segment(self):
        for namespace in self.namespaces:
            ip("netns", "add", namespace)
            self.addCleanup(ip, "netns", "del", namespace)
            ip("netns", "exec", namespace, "true")
        self.add_bridge("segment", "node", "port")
        client = self.namespaces[2]
        ip("-n", client, "addr", "add", CLIENT + "/24", "dev", "segment")
        ip("-n", client, "addr", "add", CLIENT6 + "/64", "dev", "segment", "nodad")

    def add_bridge(self, name, node, port):
        """With the client on it; to each side its cable, node-SIDE there and port-SIDE here."""
        client = self.namespaces[2]
        ip("-n", client, "link", "add", name, "type", "bridge", "mcast_snooping", "0")
        for side in (0, 1):
            ip("-n", self.namespaces[side], "link", "add", f"{node}-{side}", "type", "veth", "peer", "name", f"{port}-{side}", "netns", client)
            ip("-n", self.namespaces[side], "link", "set", f"{node}-{side}", "up")
            ip("-n", client, "link", "set", f"{port}-{side}", "master", name, "up")
        ip("-n", client, "link", "set", name, "up")

    def inside(self, side):
        return ["ip", "netns", "exec", self.namespaces[side]]

    def ucarp(self, *arguments, **options):
        if not shutil.which("ucarp"):
            self.skipTest("ucarp is not installed: scripts/setup installs it")
        return Ucarp(self, *arguments, **options)

    def ping(self, address=VIRTUAL):
        return Ping(self.inside(2), address)

    def assert_leads(self, leader, other, seconds=MASTER_DOWN_S + SLOW_S):
        """Within that time, and then for a quiet moment, in which the address answers."""
        tap.eventually(lambda: leader.is_master() and not other.is_master(), seconds, f"{leader.__class__.__name__} leads alone")
        self.assert_answers()
        self.assertTrue(leader.is_master())
        self.assertFalse(other.is_master())

    def answers(self, address=VIRTUAL):
        """How many of five questions are answered."""
        done = subprocess.run([*self.inside(2), "ping", "-n", "-c", "5", "-i", "0.05", "-W", "1", address], capture_output=True, text=True)
        return int(re.search(r"(\d+) received", done.stdout).group(1))

    def assert_answers(self, address=VIRTUAL):
        # A host may hold on to the Ethernet address that it heard last for a second (Linux: locktime), and ucarp has the
        # address before it announces it. How long nobody answers is judged by the pings that go on meanwhile.
        tap.eventually(lambda: self.answers(address) == 5, SLOW_S, f"{address} answers")

    def test_ucarp_is_there_first_and_we_are_better(self):
        ucarp = self.ucarp(1, skew=100)
        tap.eventually(ucarp.is_master, MASTER_DOWN_S + SLOW_S, "ucarp leads while it is alone")
        ours = Pfsyncd(self, 0, skew=0)
        self.assert_leads(ours, ucarp)
        self.assertIn(f"carp: {VHID}@node-0: BACKUP -> MASTER (preempting a slower master)", ours.lines())
        self.assertEqual(ours.host()["heard"]["source"], NETWORK + "2")

        # Demotion.
        ping = self.ping()
        ours.ask("carp", do="demote", value=200)
        self.assert_leads(ucarp, ours)
        ours.ask("carp", do="demote", value=0)
        self.assert_leads(ours, ucarp)
        self.assertLess(ping.end()[1], MASTER_DOWN_S + SLOW_S)
        self.assertIn("carp: demoted by 200 to 200 (user requested via pfsyncctl)", ours.lines())

        # We are suspended.
        ping = self.ping()
        ours.process.send_signal(signal.SIGSTOP)
        tap.eventually(ucarp.is_master, MASTER_DOWN_S + SLOW_S, "ucarp takes over")
        self.assert_answers()
        ours.process.send_signal(signal.SIGCONT)
        self.assert_leads(ours, ucarp)
        self.assertLess(ping.end()[1], MASTER_DOWN_S + SLOW_S)

        # We end in order.
        ping = self.ping()
        time.sleep(0.2)
        self.assertEqual(ours.end(), 0)
        tap.eventually(ucarp.is_master, MASTER_DOWN_S, "ucarp takes over")
        self.assert_answers()
        self.assertLess(ping.end()[1], MASTER_DOWN_S - 1)  # ours said farewell

    def test_we_are_there_first_and_ucarp_is_better(self):
        ours = Pfsyncd(self, 0, skew=100)
        tap.eventually(ours.is_master, MASTER_DOWN_S + SLOW_S, "we lead while we are alone")
        self.assert_answers()
        ucarp = self.ucarp(1, skew=0)
        self.assert_leads(ucarp, ours)
        self.assertIn(f"carp: {VHID}@node-0: MASTER -> BACKUP (more frequent advertisement received)", ours.lines())

        ping = self.ping()
        ucarp.process.send_signal(signal.SIGSTOP)
        tap.eventually(ours.is_master, MASTER_DOWN_S + SLOW_S, "we take over")
        self.assertIn("(master timed out)", ours.lines())
        # The kernel of a stopped ucarp still has the address: as on a real segment, ours is the one announced last.
        ip("-n", ucarp.namespace, "addr", "del", VIRTUAL + "/24", "dev", ucarp.interface)
        self.assert_answers()
        ip("-n", ucarp.namespace, "addr", "add", VIRTUAL + "/24", "dev", ucarp.interface)
        ucarp.process.send_signal(signal.SIGCONT)
        self.assert_leads(ucarp, ours)
        self.assertLess(ping.end()[1], MASTER_DOWN_S + SLOW_S)

    def test_a_wrong_password_is_named(self):
        ours = Pfsyncd(self, 0, skew=0)
        ucarp = self.ucarp(1, skew=100, password="another")
        tap.eventually(lambda: ours.is_master() and ucarp.is_master(), MASTER_DOWN_S + 2 * SLOW_S, "neither believes the other")
        carp = tap.eventually(lambda: (it := ours.carp())["counters"]["badauth"] > 1 and it, SLOW_S + 2, "wrong hashes are counted")
        self.assertFalse(carp["healthy"])
        self.assertIn("another password", carp["reason"])
        self.assertIn(NETWORK + "2", carp["reason"])
        self.assertEqual(carp["counters"]["ipackets"], carp["counters"]["badauth"])
        self.assertEqual(carp["hosts"][0]["adverts_in"], 0)
        tap.eventually(lambda: "Bad digest" in ucarp.lines(), SLOW_S + 2, "ucarp sees it too")
        tap.eventually(lambda: "another password" in ours.lines(), SETTLED_S + 2 * SLOW_S, "it is logged when it goes on")

    def test_a_planned_handover_between_our_own_loses_nothing(self):
        addresses = (VIRTUAL + "/24", VIRTUAL6 + "/64")
        first, second = Pfsyncd(self, 0, 0, addresses=addresses), Pfsyncd(self, 1, 100, addresses=addresses)
        self.assert_leads(first, second)
        self.assert_answers(VIRTUAL6)

        pings = [self.ping(), self.ping(VIRTUAL6)]
        time.sleep(0.3)
        first.ask("carp", do="maintenance", on=True)
        self.assert_leads(second, first)
        self.assertEqual([ping.end()[0] for ping in pings], [0, 0])

        # A restart does not forget maintenance mode: the better node stays behind.
        first.end()
        first.start()
        first.await_socket(20)
        self.assertTrue(first.carp()["maintenance"])
        tap.eventually(lambda: first.host()["heard"], SLOW_S + 2, "the second is heard")
        self.assert_leads(second, first)
        first.ask("carp", do="maintenance", on=False)
        self.assert_leads(first, second)

        # Killed without a word: the other's master-down time, and not much more.
        pings = [self.ping(), self.ping(VIRTUAL6)]
        time.sleep(0.3)
        first.process.kill()
        first.process.wait()
        tap.eventually(second.is_master, MASTER_DOWN_S + SLOW_S, "the second takes over")
        self.assert_answers()
        self.assert_answers(VIRTUAL6)
        for ping in pings:
            self.assertLess(ping.end()[1], MASTER_DOWN_S + SLOW_S)

    def test_several_hosts_on_a_port_by_multicast_and_by_unicast(self):
        def link_local(side):
            mac = json.loads(ip("-n", self.namespaces[side], "-j", "link", "show", f"node-{side}"))[0]["address"]
            m = [int(part, 16) for part in mac.split(":")]
            return str(ipaddress.IPv6Address(bytes([0xfe, 0x80, *[0] * 6, m[0] ^ 2, m[1], m[2], 0xff, 0xfe, m[3], m[4], m[5]])))

        second_virtual, third_virtual = NETWORK + "101", "2001:db8::101"

        def node(side):
            skews = (0, 100) if side == 0 else (100, 0)
            more = ANOTHER_HOST.format(vhid=43, skew=skews[1], password=PASSWORD, virtual=second_virtual + "/24",
                                       peer="peer", other=NETWORK + str(2 - side))
            more += ANOTHER_HOST.format(vhid=44, skew=skews[0], password=PASSWORD, virtual=third_virtual + "/64",
                                        peer="peer6", other=link_local(1 - side))
            return Pfsyncd(self, side, skews[0], more=more)

        def states(of):
            return [host["state"] for host in of.carp()["hosts"]]

        first, second = node(0), node(1)
        tap.eventually(lambda: states(first) == ["MASTER", "BACKUP", "MASTER"] and states(second) == ["BACKUP", "MASTER", "BACKUP"],
                       2 * MASTER_DOWN_S + SLOW_S, "each leads where it is the better one")
        for address in (VIRTUAL, second_virtual, third_virtual):
            self.assert_answers(address)
        heard = {host["vhid"]: host["heard"]["source"] for host in second.carp()["hosts"] if host["heard"]}
        self.assertEqual(heard.get(VHID), NETWORK + "1")
        self.assertEqual(heard.get(44), link_local(0))
        self.assertEqual((first.carp()["reason"], second.carp()["reason"]), ("all is well", "all is well"))

        first.process.kill()
        first.process.wait()
        tap.eventually(lambda: states(second) == ["MASTER"] * 3, MASTER_DOWN_S + SLOW_S, "the second has them all")
        for address in (VIRTUAL, second_virtual, third_virtual):
            self.assert_answers(address)

    def two_ports(self, before=lambda: None):
        """Both nodes with an address on each of two segments, and how to tell that one leads on both. `before`: what happens to
        the cables before a node starts."""
        self.add_bridge("outside", "out", "far")
        ip("-n", self.namespaces[2], "addr", "add", OUTSIDE + "9/24", "dev", "outside")
        before()
        virtual = OUTSIDE + "100"
        first, second = (Pfsyncd(self, side, skew, more=SECOND_PORT.format(
            interface=f"out-{side}", address=OUTSIDE + str(side + 1), vhid=VHID, skew=skew, password=PASSWORD, virtual=virtual))
            for side, skew in ((0, 0), (1, 100)))

        def leads(node):
            return {host["interface"]: host["state"] for host in node.carp()["hosts"]} == dict.fromkeys(
                (f"{port}-{'AB'.index(node.name)}" for port in ("node", "out")), "MASTER")

        def assert_all_at(leader, other):
            tap.eventually(lambda: leads(leader) and not any(host["state"] == "MASTER" for host in other.carp()["hosts"]),
                           MASTER_DOWN_S + SLOW_S, f"{leader.name} has both addresses")
            for address in (VIRTUAL, virtual):
                self.assert_answers(address)

        return first, second, assert_all_at

    def cable(self, name, state):
        ip("-n", self.namespaces[2], "link", "set", name, state)

    def test_addresses_of_two_ports_move_together(self):
        first, second, assert_all_at = self.two_ports()
        assert_all_at(first, second)
        self.assert_answers(OUTSIDE + "1")  # the port's own address
        self.assertIn(f"carp: {VHID}@out-0: ", first.lines())

        # One cable is pulled: the node stands back with all its addresses, and takes them again when it is put back.
        self.cable("far-0", "down")
        assert_all_at(second, first)
        carp = first.carp()
        self.assertEqual(carp["demotion_parts"], {"interface_down": 240})
        self.assertIn(f"{VHID}@out-0", carp["reason"])
        self.cable("far-0", "up")
        assert_all_at(first, second)
        self.assertEqual(first.carp()["demotion"], 0)

    def test_a_cable_that_is_out_at_the_start_counts_as_pulled(self):
        first, second, assert_all_at = self.two_ports(before=lambda: self.cable("far-0", "down"))
        assert_all_at(second, first)
        self.assertEqual(first.carp()["demotion_parts"], {"interface_down": 240})
        self.assertIn("carp: demoted by 240 to 240 (interface down)", first.lines())
        self.assertNotIn("preempting", first.lines())
        self.cable("far-0", "up")
        assert_all_at(first, second)
        self.assertEqual(first.carp()["demotion"], 0)


if __name__ == "__main__":
    sys.exit(tap.main())
