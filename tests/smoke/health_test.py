"""What a pfsyncd says of a peer with which something is wrong, over veth: each peer is a firewall played by pf_peer.py. All of them run beside each
other, so that the test takes no longer than the slowest."""
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
from namespaces_test import ip

from daemon import Daemon

OWN, PEER, OTHER = "192.0.2.1", "192.0.2.2", "192.0.2.3"
PATIENCE_S = 40  # a machine that is shared; the ten seconds that users are promised are the simulator's to judge


class Sync:
    """A pfsyncd and its peers, on a veth pair of two namespaces of their own."""

    def __init__(self, test, number, peers=((),), peer_keys="", through_a_switch=False):
        self.test = test
        self.spaces = [f"pfsync{os.getpid()}h{number}{side}" for side in "ab"]
        for space in self.spaces:
            ip("netns", "add", space)
            test.addClassCleanup(ip, "netns", "del", space)
        ip("link", "add", "sync-a", "netns", self.spaces[0], "type", "veth", "peer", "name", "sync-b", "netns", self.spaces[1])
        for space, interface in zip(self.spaces, ("sync-a", "sync-b")):
            ip("-n", space, "link", "set", interface, "mtu", "1500", "up")
        if through_a_switch:
            self.put_switch_between(number)
        addresses = (PEER, OTHER)[:len(peers)]
        for address in addresses:
            ip("-n", self.spaces[1], "addr", "add", address + "/24", "dev", "sync-b")
        sections = "".join(f'[[peer]]\naddress = "{address}"\n{peer_keys}' for address in addresses)
        self.daemon = Daemon(f"N{number}", tap.PFSYNCD, test.folder,
                             f'[link]\ndevice = "sync-a"\naddress = "{OWN}"\n{sections}[table]\nstates_max = 20000\n'
                             f'[sync]\ncreatorid = "0000000a"\n', prefix=["ip", "netns", "exec", self.spaces[0]])
        self.daemon.start()
        test.addClassCleanup(self.daemon.end)
        self.peers = []
        for address, options in zip(addresses, peers):
            process = subprocess.Popen(["ip", "netns", "exec", self.spaces[1], sys.executable, "-B",
                                        str(pathlib.Path(__file__).resolve().parent / "pf_peer.py"), address, OWN, *options])
            test.addClassCleanup(self.end, process)
            self.peers.append(process)

    def put_switch_between(self, number):
        """The daemon's link ends at a bridge; what the peer has is a link of its own to there."""
        space = f"pfsync{os.getpid()}h{number}s"
        ip("netns", "add", space)
        self.test.addClassCleanup(ip, "netns", "del", space)
        ip("-n", self.spaces[1], "link", "set", "sync-b", "netns", space)
        ip("-n", space, "link", "add", "switch", "type", "bridge", "mcast_snooping", "0")
        ip("link", "add", "to-b", "netns", space, "type", "veth", "peer", "name", "sync-b", "netns", self.spaces[1])
        for interface in ("sync-b", "to-b", "switch"):
            ip("-n", space, "link", "set", interface, *(() if interface == "switch" else ("master", "switch")), "up")
        ip("-n", self.spaces[1], "link", "set", "sync-b", "mtu", "1500", "up")
        self.switch = space

    @staticmethod
    def end(process):
        process.kill()
        process.wait()

    def status(self):
        return self.daemon.status()

    def begin_fault(self):
        for process in self.peers:
            process.send_signal(signal.SIGUSR1)


class Health(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        if not shutil.which("ip"):
            raise unittest.SkipTest("ip is not installed: scripts/setup installs it")
        folder = tempfile.TemporaryDirectory(prefix="pfsync-health-")
        cls.addClassCleanup(folder.cleanup)
        cls.folder = pathlib.Path(folder.name)
        try:
            cls.well = Sync(cls, 0)
            cls.deaf = Sync(cls, 1, peers=(("--fault", "deaf"),))
            cls.mute = Sync(cls, 2, peers=(("--fault", "mute"),))
            cls.lossy = Sync(cls, 3, peers=(("--fault", "loss", "--new-per-s", "500"),))
            cls.dialect = Sync(cls, 4, peer_keys='dialect = "1500"\n')
            cls.names = Sync(cls, 6, peers=(("--fault", "names", "--interface", "igb0"),), peer_keys='interface_map = { lan = "igb0" }\n')
            cls.small = Sync(cls, 8)
            cls.narrow = Sync(cls, 9, through_a_switch=True)
            cls.kernel = Sync(cls, 7, peers=(("--interface", "igb0", "--knows", "igb0"), ("--interface", "vmx0", "--knows", "vmx0")))
        except OSError as error:
            raise unittest.SkipTest(f"no network namespaces with a veth pair can be had here: {error}")
        cls.good = (cls.well, cls.deaf, cls.mute, cls.lossy, cls.names, cls.small, cls.narrow)
        for sync in (*cls.good, cls.dialect, cls.kernel):
            sync.daemon.await_socket(PATIENCE_S)
        for sync in cls.good:
            tap.eventually(lambda: (status := sync.status())["healthy"] and status["states"] > 30 and status["bulk"]["phase"] == "done",
                           PATIENCE_S, f"all is well at first: {sync.status()['reasons']}")
        cls.began = time.monotonic()
        for sync in cls.good[1:-2]:
            sync.begin_fault()
        # The peer's own link, which the daemon's device ends at; and one behind a switch.
        ip("-n", cls.small.spaces[1], "link", "set", "sync-b", "mtu", "1400")
        ip("-n", cls.narrow.switch, "link", "set", "to-b", "mtu", "1400")
        cls.note_when_each_is_told()

    @classmethod
    def note_when_each_is_told(cls):
        """For the account of seconds alone: each test below waits for itself."""
        cls.told_s = {}
        awaited = {(cls.deaf, "deaf"), (cls.mute, "mute"), (cls.lossy, "loss_in"), (cls.names, "names"), (cls.small, "mtu"), (cls.narrow, "mtu")}
        while time.monotonic() < cls.began + 15 and not awaited <= set(cls.told_s):
            for sync in {sync for sync, _ in awaited}:
                for reason in sync.status()["reasons"]:
                    cls.told_s.setdefault((sync, reason["trouble"]), time.monotonic() - cls.began)
            time.sleep(0.1)

    def expect(self, sync, trouble, verdict, *words):
        """This comes to be the worst that it says. Returns the whole status."""
        def found():
            status = sync.status()
            return status if any(reason["trouble"] == trouble for reason in status["reasons"]) else None

        try:
            status = tap.eventually(found, PATIENCE_S, trouble)
        except AssertionError:
            self.fail(f"{trouble} is not said: {json.dumps(sync.status()['reasons'])} {json.dumps(sync.status()['peers'])}")
        if (sync, trouble) in self.told_s:
            print(f"# {trouble}: after {self.told_s[sync, trouble]:.1f} s")
        reason = next(reason for reason in status["reasons"] if reason["trouble"] == trouble)
        self.assertEqual(reason["level"], verdict, reason)
        self.assertFalse(status["healthy"])
        for word in words:
            self.assertIn(word, reason["sentence"])
        return status

    def test_a_deaf_peer(self):
        self.expect(self.deaf, "deaf", "failed", f"{PEER} does not hear this node", f"lets protocol 240 in from {OWN}")

    def test_a_mute_peer(self):
        self.expect(self.mute, "mute", "failed", f"nothing was heard of {PEER}", "check that it runs")

    def test_a_peer_that_loses_one_frame_in_a_hundred(self):
        self.expect(self.lossy, "loss_in", "degraded", f"of what {PEER} says is lost", "look for errors on cables")

    def test_a_peer_whose_link_has_a_smaller_mtu(self):
        """veth drops what its other end does not take, and the kernel tries the same frame for ever: nothing leaves any more."""
        status = self.expect(self.small, "mtu", "failed", "nothing leaves sync-a (MTU 1500) any more", "raise the MTU there")
        self.assertEqual([reason["trouble"] for reason in status["reasons"]], ["mtu"], status["reasons"])
        ip("-n", self.small.spaces[1], "link", "set", "sync-b", "mtu", "1500")
        answered = status["peers"][0]["counts"]["probes_answered"]

        def has_left():
            """After some seconds the peer's kernel asks by ARP for this node, whose answer is stuck as all is, and drops what the peer says: that is told, too."""
            now = self.small.status()
            troubles = {reason["trouble"] for reason in now["reasons"]}
            return troubles <= {"loss_in", "divergence"} and now["peers"][0]["counts"]["probes_answered"] > answered + 3

        try:
            tap.eventually(has_left, PATIENCE_S, "what waited leaves once it fits")
        except AssertionError as error:
            raise AssertionError(f"{error}: {json.dumps(self.small.status()['reasons'])}") from error

    def test_a_path_with_a_smaller_mtu(self):
        self.expect(self.narrow, "mtu", "failed", f"packets of 1500 bytes do not reach {PEER}, shorter ones do")

    def test_a_peer_of_another_dialect(self):
        self.expect(self.dialect, "dialect", "failed", f"{PEER} (which speaks 1301) does not take the dialect 1500", 'set dialect = "auto"')

    def test_an_interface_that_its_map_does_not_know(self):
        self.expect(self.names, "names", "degraded", "no row in its interface_map (igb7)", "add a row")

    def test_firewalls_whose_interfaces_have_different_names(self):
        status = self.expect(self.kernel, "refused", "failed", "interface_map")
        self.assertEqual({reason["trouble"] for reason in status["reasons"]}, {"refused"}, status["reasons"])

    def test_what_is_well_remains_so(self):
        """Named to be the last: all this time."""
        self.assertEqual(self.well.status()["reasons"], [])
        counts = self.well.status()["peers"][0]["counts"]
        self.assertGreater(counts["probes_answered"], 3)
        self.assertEqual(counts["missed"], 0)
        log = self.well.daemon.log.read_text()
        self.assertNotIn("health: degraded", log)
        self.assertNotIn("health: failed", log)
        # It is logged when the daemon looks next, which may be later than somebody asked.
        tap.eventually(lambda: "health: failed (deaf): " in self.deaf.daemon.log.read_text(), PATIENCE_S, "it is logged")


if __name__ == "__main__":
    sys.exit(tap.main())
