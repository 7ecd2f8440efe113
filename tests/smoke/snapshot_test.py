"""All nodes lose their power: pfsyncd comes back with the states of its snapshot, and gives them to a firewall that comes up."""
import os
import pathlib
import subprocess
import sys
import tempfile
import unittest

import tap

from daemon import Daemon

PATIENCE_S = 20  # of a busy machine
STATES = 3000

LINK = """
[link]
device = "net_memif0,role={role},socket-abstract=no,socket={folder}/link.sock,id=0,rsize=10"
address = "10.9.0.{host}/24"
[[peer]]
address = "10.9.0.{peer}"
[table]
states_max = 10000
memory = "grow"
[sync]
delay_ms = 50
bulk_states_per_s = 0
"""
LOAD = f"""
[synthetic]
states = {STATES}
fill_per_s = 100000
new_per_s = 0
updates_per_s = 0
"""
SNAPSHOT = """
[snapshot]
path = "{path}"
interval_s = {interval_s}
at_exit = {at_exit}
"""


class Snapshot(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="pfsync-smoke-")
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)
        self.path = self.folder / "states.snapshot"

    def start(self, name, config):
        daemon = Daemon(name, tap.PFSYNCD, self.folder, config, state_dir=self.folder / name)
        daemon.start()
        self.addCleanup(daemon.end)
        daemon.await_socket(PATIENCE_S)
        return daemon

    def start_node(self, name="node", interval_s=3600, at_exit="true", more="", path=None):
        link = LINK.format(role="server", folder=self.folder, host=2, peer=1)
        return self.start(name, link + SNAPSHOT.format(path=path or self.path, interval_s=interval_s, at_exit=at_exit) + more)

    def start_firewall(self, name, load=""):
        return self.start(name, LINK.format(role="client", folder=self.folder, host=1, peer=2) + load)

    def kill(self, daemon):
        """As a power cut does."""
        daemon.process.kill()
        daemon.end()
        (self.folder / "link.sock").unlink(missing_ok=True)  # a boot finds no sockets of the life before

    def snapshot(self, daemon):
        return daemon.status()["snapshot"]

    def ctl(self, daemon, *arguments):
        return subprocess.run([os.environ["PFSYNCCTL"], "--socket", str(daemon.socket), *arguments], stdin=subprocess.DEVNULL,
                              capture_output=True, text=True, timeout=60)

    def filled(self, more=""):
        """A node that has heard all states of a firewall, and the firewall."""
        node = self.start_node(more=more)
        firewall = self.start_firewall("firewall", LOAD)
        tap.eventually(lambda: node.status()["states"] == STATES, PATIENCE_S, "the node has the firewall's states")
        return node, firewall

    def check_power_cut(self, more=""):
        node, firewall = self.filled(more)
        done = self.ctl(node, "snapshot")
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        self.assertRegex(done.stdout, rf"\A{STATES} states written to {self.path}: \d+ bytes, in \d+\.\d\d s\.\n\Z")
        digest = node.status(digest=True)["digest"]
        for daemon in (node, firewall):
            self.kill(daemon)

        node = self.start_node(more=more)
        status = node.status(digest=True)
        self.assertEqual((status["states"], status["digest"]), (STATES, digest))
        self.assertEqual((status["snapshot"]["restored"]["states"], status["snapshot"]["restored"]["of"]), (STATES, STATES))
        self.assertIn(status["bulk"]["phase"], ("none", "asked"), "what was restored does not count as a bulk update")
        self.assertRegex(node.log.read_text(), rf"{STATES} of {STATES} states restored from the snapshot of \d+ s ago")

        firewall = self.start_firewall("another")  # it comes up without memory
        tap.eventually(lambda: firewall.status()["states"] == STATES, PATIENCE_S, "the firewall got its states from the node")
        self.assertEqual(firewall.status(digest=True)["digest"], digest)
        shown = self.ctl(node, "show", "status").stdout
        self.assertIn(f"{STATES} of {STATES} states restored", shown)
        counters = node.ask("show", what="counters")["outside"]
        self.assertEqual((counters["snapshot_restored"], counters["snapshot_writes"]), (STATES, 0))

    def test_a_power_cut_of_all_nodes(self):
        self.check_power_cut()

    def test_a_power_cut_of_a_node_with_two_data_path_cores(self):
        self.check_power_cut("[cores]\ndata_cores = 2\n")

    def test_an_orderly_end_writes_one_and_an_interval_does(self):
        node, firewall = self.filled()
        self.assertEqual(node.end(), 0)
        self.assertTrue(self.path.exists())
        firewall.end()
        node = self.start_node(interval_s=1)
        self.assertEqual(node.status()["states"], STATES)
        tap.eventually(lambda: self.snapshot(node)["writes"] >= 2, PATIENCE_S, "one a second")
        self.assertEqual(self.snapshot(node)["last"]["states"], STATES)
        self.assertEqual(self.snapshot(node)["last"]["bytes"], self.path.stat().st_size)

    def test_a_damaged_file_is_refused_and_kept(self):
        node, firewall = self.filled()
        for daemon in (node, firewall):
            self.assertEqual(daemon.end(), 0)
        whole = self.path.read_bytes()
        damaged = bytearray(whole)
        damaged[len(damaged) // 2] ^= 1
        for content, why in ((bytes(damaged), "is damaged in the block at byte "), (whole[:-1], "it is cut short"),
                             (whole[:8] + b"\x09" + whole[9:], "has format version 9")):
            self.path.write_bytes(content)
            node = self.start_node(at_exit="false")
            self.assertEqual(node.status()["states"], 0)
            self.assertIn(why, self.snapshot(node)["not_restored"])
            self.assertIn(why, node.log.read_text())
            self.assertEqual((self.folder / "states.snapshot.refused").read_bytes(), content)
            self.assertEqual(self.ctl(node, "snapshot").returncode, 0, "the next one has the place")
            node.end()

    def test_a_full_disk_keeps_the_one_before(self):
        """A real file system of one MiB, which is this daemon's alone."""
        disk = self.folder / "disk"
        disk.mkdir()
        mount = ["unshare", "--mount", "sh", "-c", 'mount -t tmpfs -o size=1m tmpfs "$0" && exec "$@"', str(disk)]
        if subprocess.run([*mount, "true"], capture_output=True).returncode != 0:
            self.skipTest("no file system can be mounted here: it takes root and unshare(1) with a mount namespace")
        link = '[link]\ndevice = "net_null0"\naddress = "10.9.0.1/24"\n[table]\nstates_max = 10000\nmemory = "grow"\n'
        path = disk / "states.snapshot"
        node = Daemon("full", tap.PFSYNCD, self.folder, link + SNAPSHOT.format(path=path, interval_s=3600, at_exit="false") + LOAD,
                      prefix=mount, state_dir=self.folder / "full")
        node.start()
        self.addCleanup(node.end)
        node.await_socket(PATIENCE_S)
        tap.eventually(lambda: node.status()["states"] == STATES, PATIENCE_S, "it has its states")
        self.assertEqual(self.ctl(node, "snapshot").returncode, 0)
        seen = pathlib.Path(f"/proc/{node.process.pid}/root") / path.relative_to("/")  # as the daemon sees it
        before = seen.read_bytes()
        self.assertGreater(len(before), 10_000)
        filler = seen.parent / "filler"
        with open(filler, "wb", buffering=0) as file, self.assertRaises(OSError):
            while True:
                file.write(bytes(4096))

        done = self.ctl(node, "snapshot")
        self.assertEqual((done.returncode, done.stdout), (1, ""))
        self.assertIn(f"writing {path}.tmp: No space left on device; free some space there", done.stderr)
        self.assertEqual(seen.read_bytes(), before, "the one before is whole")
        self.assertEqual([file.name for file in seen.parent.glob("*.tmp")], [])
        status = node.status()
        self.assertIn(("snapshot", "degraded"), [(reason["trouble"], reason["level"]) for reason in status["reasons"]])
        self.assertEqual(node.ask("show", what="counters")["outside"]["snapshot_failures"], 1)
        self.assertIn("No space left on device", node.log.read_text())

        filler.unlink()
        self.assertEqual(self.ctl(node, "snapshot").returncode, 0, "it goes on once there is room")
        self.assertIsNone(self.snapshot(node)["error"])
        self.assertNotIn("snapshot", [reason["trouble"] for reason in node.status()["reasons"]])
        self.assertEqual(node.ask("show", what="counters")["outside"]["snapshot_writes"], 2)

    def test_what_cannot_be_written_is_told_everywhere(self):
        somebodys = self.folder / "notes.txt"
        somebodys.write_text("not ours")
        node = self.start_node(path=somebodys)
        self.assertIn("is no snapshot of pfsyncd", self.snapshot(node)["not_restored"])
        done = self.ctl(node, "snapshot")
        self.assertEqual((done.returncode, done.stdout), (1, ""))
        self.assertIn(f"{somebodys} is there and no snapshot of pfsyncd: remove it", done.stderr)
        self.assertIn(str(somebodys), self.snapshot(node)["error"])
        self.assertEqual(node.ask("show", what="counters")["outside"]["snapshot_failures"], 1)
        node.end()
        self.assertEqual(somebodys.read_text(), "not ours")


if __name__ == "__main__":
    sys.exit(tap.main())
