"""DPDK's telemetry of a pfsyncd, asked as dpdk-telemetry.py asks: a seqpacket socket in the runtime folder, a command a message."""
import json
import os
import pathlib
import socket
import sys
import tempfile
import unittest

import tap

from daemon import Daemon

CONFIG = """
[link]
device = "net_null0"
address = "192.0.2.1"
[[peer]]
address = "192.0.2.2"
[[peer]]
address = "192.0.2.3"
[table]
states_max = 1000
[[carp]]
vhid = 7
password = "x"
addresses = ["192.0.2.100/24"]
"""


class Telemetry(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="pfsync-telemetry-")
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)
        before = os.environ.get("RUNTIME_DIRECTORY")
        os.environ["RUNTIME_DIRECTORY"] = folder.name  # as systemd does
        self.addCleanup(lambda: os.environ.pop("RUNTIME_DIRECTORY") if before is None else os.environ.update(RUNTIME_DIRECTORY=before))

    def daemon(self, more=""):
        daemon = Daemon("N", tap.PFSYNCD, self.folder, CONFIG, state_dir=self.folder / "state")
        with daemon.config.open("a") as config:
            config.write(more)
        daemon.start()
        self.addCleanup(daemon.end)
        daemon.await_socket(20)
        return daemon

    def connect(self):
        client = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.addCleanup(client.close)
        client.settimeout(20)
        client.connect(str(self.folder / "dpdk" / "pfsyncd" / "dpdk_telemetry.v2"))
        greeting = json.loads(client.recv(1024))
        self.room = greeting["max_output_len"]
        return client

    def ask(self, client, command):
        client.send(command.encode())
        answer = json.loads(client.recv(self.room))
        name, = answer
        self.assertEqual(name, command.split(",")[0])
        return answer[name]

    def test_every_command(self):
        daemon = self.daemon()
        client = self.connect()
        commands = [command for command in self.ask(client, "/") if command.startswith("/pfsync/")]
        self.assertEqual(sorted(commands), ["/pfsync/bulk", "/pfsync/carp", "/pfsync/health", "/pfsync/peers", "/pfsync/stats", "/pfsync/status"])
        for command in commands:
            self.assertTrue(self.ask(client, f"/help,{command}"))
        health, status = self.ask(client, "/pfsync/health"), daemon.status()
        self.assertIn(health["verdict"], ("healthy", "degraded", "failed"))
        self.assertEqual(health["healthy"], 1 if health["verdict"] == "healthy" else 0)
        self.assertEqual(len(health["troubles"]) > 0, health["healthy"] == 0)
        shown = self.ask(client, "/pfsync/status")
        self.assertEqual((shown["creatorid"], shown["states_max"], shown["link_device"]), (status["creatorid"], 1000, "net_null0"))
        self.assertGreaterEqual(shown["uptime_ms"], 1000 * status["uptime_s"])
        counters, stats = daemon.ask("show", what="counters"), self.ask(client, "/pfsync/stats")
        for word in (*counters["counters"], *counters["outside"]):
            self.assertIn(word, stats)
        self.assertEqual(stats["received_ins"], counters["received"]["ins"])
        self.assertEqual(self.ask(client, "/pfsync/peers"), ["192.0.2.2", "192.0.2.3"])
        peer = self.ask(client, "/pfsync/peers,1")
        self.assertEqual((peer["address"], peer["dialect"], peer["counts_inserts_received"]), ("192.0.2.3", "1301", 0))
        self.assertEqual(self.ask(client, "/pfsync/bulk,0")["bulk_tries_max"], 13)
        self.assertRegex(self.ask(client, "/pfsync/carp")[0], "^7@net_null0 [A-Z]+$")
        self.assertEqual(self.ask(client, "/pfsync/carp,0")["vhid"], 7)

    def test_mistakes_are_refused_in_a_sentence(self):
        self.daemon()
        client = self.connect()
        for number in ("2", "-1", "x", "1x", "99999999999999999999"):
            self.assertEqual(self.ask(client, f"/pfsync/peers,{number}"), {"error": "there are 2: give a number from 0 on, below that"})

    def test_many_ask_at_once_while_the_daemon_ends(self):
        daemon = self.daemon()
        clients = [self.connect() for _ in range(8)]
        for client in clients:
            client.send(b"/pfsync/stats")
        for client in clients:
            self.assertIn("/pfsync/stats", json.loads(client.recv(self.room)))
        for client in clients:
            client.send(b"/pfsync/status")
        self.assertEqual(daemon.end(), 0)

    def test_off_there_is_no_socket(self):
        self.daemon("telemetry = false\n")
        self.assertFalse((self.folder / "dpdk" / "pfsyncd" / "dpdk_telemetry.v2").exists())


if __name__ == "__main__":
    sys.exit(tap.main())
