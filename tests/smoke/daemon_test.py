"""pfsyncd as an operator meets it: what it refuses and in which words, how it ends."""
import os
import pathlib
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import unittest

import tap

from daemon import Daemon

SOON_S = 20  # what a busy machine may take

GOOD = """[link]
device = "net_null0"
address = "192.0.2.1/24"
"""


class Case(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="pfsync-smoke-")
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)
        self.config = self.folder / "x.toml"
        self.socket = self.folder / "x.sock"

    def write(self, text, control=None):
        self.config.write_text(f"{text}[control]\nsocket = \"{control or self.socket}\"\n")

    def run_it(self, *arguments, **options):
        return subprocess.run([str(tap.PFSYNCD), *map(str, arguments)], stdin=subprocess.DEVNULL, capture_output=True,
                              text=True, timeout=SOON_S, **options)

    def assert_refuses(self, done, *words):
        self.assertGreater(done.returncode, 0, done.stderr)
        self.assertEqual(done.stdout, "")
        self.assertRegex(done.stderr, r"\Apfsyncd: [^\n]+\.\n\Z", "not exactly one sentence")
        for word in words:
            self.assertIn(word, done.stderr)
        self.assertFalse(self.socket.exists())

    def start(self):
        daemon = Daemon("running", tap.PFSYNCD, self.folder, GOOD)
        daemon.start()
        self.addCleanup(daemon.end)
        daemon.await_socket(SOON_S * 2)
        return daemon


class Refusals(Case):
    def assert_start_refused(self, text, *words, **options):
        self.write(text, **options)
        self.assert_refuses(self.run_it("--config", self.config), *words)

    def test_no_such_interface(self):
        self.assert_start_refused(GOOD.replace("net_null0", "net_af_packet0,iface=nosuch0"), "link.device", "nosuch0")

    def test_no_such_pci_device(self):
        self.assert_start_refused(GOOD.replace("net_null0", "ffff:ff:1f.7"), "link.device", "ffff:ff:1f.7")

    def test_no_such_driver(self):
        self.assert_start_refused(GOOD.replace("net_null0", "net_nosuch0"), "link.device", "net_nosuch0")

    def test_a_bad_value(self):
        self.assert_start_refused(GOOD + "mtu = 3\n", f"{self.config}:4: link.mtu: ")

    def test_an_unknown_key(self):
        self.assert_start_refused(GOOD + "mtuu = 1500\n", f"{self.config}:4: link.mtuu: ")

    def test_not_toml(self):
        self.assert_start_refused(GOOD + "mtu 1500\n", f"{self.config}:4: ")

    def test_no_file(self):
        self.assert_refuses(self.run_it("--config", self.config), str(self.config))

    def test_more_states_than_memory(self):
        self.assert_start_refused(GOOD + "[table]\nstates_max = 1000000000\n", "table.states_max", "MiB")

    def test_no_folder_for_the_control_socket(self):
        self.assert_start_refused(GOOD, "control.socket", "/nonexistent/x.sock", control="/nonexistent/x.sock")

    def test_the_control_socket_is_a_file(self):
        file = self.folder / "file"
        file.write_text("keep")
        self.assert_start_refused(GOOD, "control.socket", str(file), control=file)
        self.assertEqual(file.read_text(), "keep")

    def test_the_control_socket_is_anothers(self):
        other = self.start()
        self.assert_start_refused(GOOD, "control.socket", str(other.socket), control=other.socket)
        self.assertTrue(other.status()["ok"])

    def test_an_unknown_option(self):
        done = self.run_it("--frob")
        self.assertEqual((done.returncode, done.stdout), (2, ""))
        self.assertIn("--frob", done.stderr)


class Permission(Case):
    """As nobody, with a copy of the program that nobody may reach."""

    def setUp(self):
        super().setUp()
        if os.geteuid() != 0:
            self.skipTest("only root may become nobody")
        self.program = shutil.copy(tap.PFSYNCD, self.folder)
        self.folder.chmod(0o755)

    def run_as_nobody(self):
        nobody = pwd.getpwnam("nobody")
        self.config.chmod(0o644)
        return subprocess.run([self.program, "--config", str(self.config)], stdin=subprocess.DEVNULL, capture_output=True,
                              text=True, timeout=SOON_S, cwd="/", user=nobody.pw_uid, group=nobody.pw_gid, extra_groups=[])

    def test_an_interface_needs_privileges(self):
        self.write(GOOD.replace("net_null0", "net_af_packet0,iface=lo"))
        self.assert_refuses(self.run_as_nobody(), "link.device", "permission", "CAP_NET_RAW")

    def test_a_control_socket_in_anothers_folder(self):
        self.write(GOOD)
        self.assert_refuses(self.run_as_nobody(), "control.socket", str(self.socket), "Permission denied")


class CheckConfig(Case):
    def check(self, text):
        self.write(text)
        done = self.run_it("--check-config", "--config", self.config)
        self.assertFalse(self.socket.exists())
        return done

    def test_a_good_one_starts_nothing(self):
        # A device that is not there: the file may be checked on another machine.
        done = self.check(GOOD.replace("net_null0", "net_af_packet0,iface=nosuch0"))
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        self.assertIn(str(self.config), done.stdout)

    def test_a_bad_one(self):
        self.assert_refuses(self.check(GOOD.replace("192.0.2.1/24", "192.0.2.300")), f"{self.config}:3: link.address: ")

    def test_version(self):
        done = self.run_it("--version")
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        self.assertRegex(done.stdout, r"\Apfsyncd \d+\.\d+\.\d+\n\Z")


class End(Case):
    def assert_ends_by(self, which):
        daemon = self.start()
        daemon.process.send_signal(which)
        self.assertEqual(daemon.process.wait(SOON_S), 0, daemon.last_words())
        self.assertFalse(daemon.socket.exists())

    def test_sigterm(self):
        self.assert_ends_by(signal.SIGTERM)

    def test_sigint(self):
        self.assert_ends_by(signal.SIGINT)

    def test_after_sigkill_the_next_one_takes_the_socket(self):
        dead = self.start()
        dead.process.kill()
        dead.process.wait()
        self.assertTrue(dead.socket.exists())
        self.assertTrue(self.start().status()["ok"])

    def test_a_client_with_half_a_request_does_not_hold_it_up(self):
        daemon = self.start()
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
            client.connect(str(daemon.socket))
            client.sendall(b'{"command": "sh')
            daemon.process.terminate()
            self.assertEqual(daemon.process.wait(SOON_S), 0)


if __name__ == "__main__":
    sys.exit(tap.main())
