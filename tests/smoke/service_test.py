"""pfsyncd under a service manager: when it says that it is ready, whether it keeps saying that it goes on, as whom it runs, what it logs."""
import ctypes
import os
import pathlib
import pwd
import re
import select
import socket
import subprocess
import sys
import tempfile
import time
import unittest

import tap

from daemon import Daemon, Trouble

SOON_S = 20  # what a busy machine may take
STATES = 20000
USER = "nobody"
WATCHDOG_S = 2
PTRACE_SEIZE, PTRACE_INTERRUPT, PTRACE_DETACH = 0x4206, 0x4207, 17  # ptrace(2)
WALL = 0x40000000  # waitpid(2): threads too

NULL = """[link]
device = "net_null0"
address = "192.0.2.1/24"
[table]
states_max = 10000
[sync]
request_bulk = false
"""
PAIR = """[link]
device = "net_memif0,role={role},id=0,socket={folder}/memif.sock,socket-abstract=no"
address = "192.0.2.{host}/24"
[table]
states_max = 50000
[sync]
creatorid = "0000000{host}"
{sync}
"""

PFSYNCCTL = os.environ.get("PFSYNCCTL", "")
libc = ctypes.CDLL(None, use_errno=True)


class Manager:
    """What a service manager hears: the lines of each message, with NOTIFY_SOCKET."""

    def __init__(self, path):
        self.path = path
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(str(path))
        path.chmod(0o777)

    def hear(self, seconds):
        """The next message, or None."""
        if not select.select([self.socket], [], [], seconds)[0]:
            return None
        return self.socket.recv(4096).decode().splitlines()

    def await_line(self, line, seconds=SOON_S):
        until = time.monotonic() + seconds
        heard = []
        while time.monotonic() < until:
            message = self.hear(0.2)
            heard += message or []
            if message and line in message:
                return heard
        raise AssertionError(f"{line} was not heard within {seconds} seconds, only {heard}")


class Case(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="pfsync-smoke-")
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)
        self.folder.chmod(0o755)
        self.manager = Manager(self.folder / "notify.sock")
        self.addCleanup(self.manager.socket.close)

    def start(self, name, config, *arguments, environment=(), prefix=()):
        variables = [f"NOTIFY_SOCKET={self.manager.path}", *environment]
        daemon = Daemon(name, tap.PFSYNCD, self.folder, config, prefix=["env", *variables, *prefix],
                        state_dir=self.folder / f"state-{name}")
        daemon.command += arguments
        daemon.start()
        self.addCleanup(daemon.end)
        return daemon


class Readiness(Case):
    def test_ready_means_that_the_states_are_here(self):
        load = f"request_bulk = false\n[synthetic]\nstates = {STATES}\nfill_per_s = 100000\nnew_per_s = 0\nupdates_per_s = 0\n"
        first = self.start("A", PAIR.format(role="server", host=1, folder=self.folder, sync=load))
        self.manager.await_line("READY=1")
        first.await_socket(SOON_S)
        tap.eventually(lambda: first.status()["states"] == STATES, SOON_S, "A is full")
        second = self.start("B", PAIR.format(role="client", host=2, folder=self.folder, sync="bulk_states_per_s = 10000"))
        self.manager.await_line("READY=1")
        second.await_socket(SOON_S)
        self.assertEqual(second.status()["states"], STATES)

    def test_stopping_is_said(self):
        daemon = self.start("A", NULL)
        heard = self.manager.await_line("READY=1")
        self.assertNotIn("WATCHDOG=1", heard)
        daemon.process.terminate()
        self.manager.await_line("STOPPING=1")

    def test_the_last_snapshot_is_given_time(self):
        path = self.folder / "states.snapshot"
        daemon = self.start("A", NULL + f'[snapshot]\npath = "{path}"\n')
        self.manager.await_line("READY=1")
        daemon.process.terminate()
        self.manager.await_line("EXTEND_TIMEOUT_USEC=30000000")
        self.assertEqual(daemon.process.wait(SOON_S), 0)
        self.assertTrue(path.exists())


class Watchdog(Case):
    def thread(self, daemon, name):
        for task in pathlib.Path(f"/proc/{daemon.process.pid}/task").iterdir():
            if (task / "comm").read_text().strip() == name:
                return int(task.name)
        raise AssertionError(f"no thread {name}")

    def test_a_core_that_hangs_is_not_covered_up(self):
        daemon = self.start("A", NULL.replace("[sync]", "[cores]\ndata_cores = 2\n[sync]"),
                            environment=[f"WATCHDOG_USEC={WATCHDOG_S * 1000000}"])
        self.manager.await_line("READY=1")
        self.manager.await_line("WATCHDOG=1")
        daemon.await_socket(SOON_S)
        for name in ("pfsyncd-data", "pfsyncd-part"):
            thread = self.thread(daemon, name)
            if libc.ptrace(PTRACE_SEIZE, thread, None, None) != 0:
                self.skipTest(f"threads cannot be held up here: {os.strerror(ctypes.get_errno())}")
            said = daemon.log.read_text().count("stands still")
            libc.ptrace(PTRACE_INTERRUPT, thread, None, None)
            os.waitpid(thread, WALL)  # until it stands
            try:
                tap.eventually(lambda: daemon.log.read_text().count("stands still") > said, SOON_S, f"{name} is missed")
                while self.manager.hear(0):  # what was said before
                    pass
                self.assertIsNone(self.manager.hear(WATCHDOG_S))
                self.assertTrue(daemon.status()["ok"])  # the control thread goes on
            finally:
                libc.ptrace(PTRACE_DETACH, thread, None, None)
            self.manager.await_line("WATCHDOG=1")


class Privileges(Case):
    """From root to nobody, on a real interface in a network namespace of its own."""

    def setUp(self):
        super().setUp()
        if os.geteuid() != 0:
            self.skipTest("only root can become somebody else")
        inside = ["unshare", "--net", "sh", "-c", "ip link set lo up; exec \"$@\"", "sh"]
        if subprocess.run([*inside, "true"], capture_output=True).returncode != 0:
            self.skipTest("no network namespace can be had here")
        self.state = self.folder / "state-A"
        self.state.mkdir(mode=0o700)
        (self.state / "users").write_text("")
        (self.state / "users").chmod(0o600)
        kept = self.folder / "another's"
        kept.write_text("root's")
        (self.state / "link").symlink_to(kept)
        os.link(kept, self.state / "second-name")
        config = (NULL.replace("net_null0", "lo").replace("[sync]", "[http]\nlisten = \"127.0.0.1:443\"\n[sync]") +
                  "[[carp]]\nvhid = 1\npassword = \"x\"\naddresses = [\"192.0.2.9/24\"]\n")
        self.daemon = self.start("A", config, "--user", USER, prefix=inside)
        self.kept = kept
        self.manager.await_line("READY=1")
        self.daemon.await_socket(SOON_S)

    def test_every_thread_is_somebody_elses_without_a_capability(self):
        user = pwd.getpwnam(USER)
        tasks = list(pathlib.Path(f"/proc/{self.daemon.process.pid}/task").iterdir())
        self.assertGreater(len(tasks), 2)
        for task in tasks:
            lines = dict(line.split(":\t", 1) for line in (task / "status").read_text().splitlines() if ":\t" in line)
            self.assertEqual(lines["Uid"].split(), [str(user.pw_uid)] * 4, lines["Name"])
            self.assertEqual(lines["Gid"].split(), [str(user.pw_gid)] * 4, lines["Name"])
            for word in ("CapInh", "CapEff", "CapAmb"):
                self.assertEqual(int(lines[word], 16), 0, f"{lines['Name']}: {word}")
            if task.name == str(self.daemon.process.pid):
                self.assertEqual(int(lines["CapPrm"], 16), 0)
                self.assertEqual(lines["NoNewPrivs"], "1")

    def test_no_thread_can_make_other_system_calls_than_it_needs(self):
        for task in pathlib.Path(f"/proc/{self.daemon.process.pid}/task").iterdir():
            lines = dict(line.split(":\t", 1) for line in (task / "status").read_text().splitlines() if ":\t" in line)
            self.assertEqual((lines["Seccomp"], lines["NoNewPrivs"]), ("2", "1"), lines["Name"])
            # A data-path core keeps less than the others.
            filters = int(lines["Seccomp_filters"]) - self.filters_outside()
            self.assertEqual(filters, 2 if lines["Name"] == "pfsyncd-data" else 1, lines["Name"])

    def filters_outside(self):
        """Those that a container has put around all of us."""
        return int(re.search(r"Seccomp_filters:\t(\d+)", pathlib.Path("/proc/self/status").read_text())[1])

    def test_what_it_needs_goes_on(self):
        self.assertTrue(self.daemon.status()["ok"])
        self.daemon.ask("carp", do="maintenance", on=True)
        self.assertEqual((self.state / "carp-maintenance").stat().st_uid, pwd.getpwnam(USER).pw_uid)
        self.daemon.ask("carp", do="maintenance", on=False)
        self.daemon.config.write_text(self.daemon.config.read_text().replace("vhid = 1\n", "vhid = 1\nadvskew = 7\n"))
        self.assertIn("advskew", " ".join(self.daemon.ask("reload")["changes"]))
        self.manager.await_line("READY=1")
        # What root writes for it is for it to read.
        done = subprocess.run([PFSYNCCTL, "user", "--file", str(self.state / "users"), "add", "otto"], input="a long password\n",
                              capture_output=True, text=True, timeout=SOON_S)
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        self.assertEqual((self.state / "users").stat().st_uid, pwd.getpwnam(USER).pw_uid)
        self.daemon.config.chmod(0o600)
        with self.assertRaisesRegex(Trouble, "Permission denied"):
            self.daemon.ask("reload")

    def test_it_still_sees_what_it_takes_of_the_machine(self):
        process = self.daemon.status()["process"]
        self.assertEqual([word for word, value in process.items() if not value], [])
        self.assertEqual(process["threads"], len(os.listdir(f"/proc/{self.daemon.process.pid}/task")))

    def test_only_what_is_in_its_folder_was_given_away(self):
        uid = pwd.getpwnam(USER).pw_uid
        self.assertEqual((self.state.stat().st_uid, (self.state / "users").stat().st_uid), (uid, uid))
        self.assertEqual(self.kept.stat().st_uid, 0)

    def test_its_end_is_in_order(self):
        self.daemon.process.terminate()
        self.assertEqual(self.daemon.process.wait(SOON_S), 0)


class Log(Case):
    def test_in_the_journal_lines_have_a_priority_and_no_time(self):
        config = self.folder / "x.toml"
        config.write_text(NULL + f"[control]\nsocket = \"{self.folder}/x.sock\"\n")
        reader, writer = os.pipe()
        about = os.fstat(writer)
        process = subprocess.Popen([str(tap.PFSYNCD), "--config", str(config)], stderr=writer, stdin=subprocess.DEVNULL,
                                   env=os.environ | {"JOURNAL_STREAM": f"{about.st_dev}:{about.st_ino}",
                                                     "NOTIFY_SOCKET": str(self.manager.path)})
        os.close(writer)
        self.addCleanup(process.wait)
        self.addCleanup(process.terminate)
        self.manager.await_line("READY=1")
        with os.fdopen(reader) as lines:
            self.assertRegex(lines.readline(), r"\A<6>pfsyncd \S+: host id ")
            process.terminate()
            self.assertRegex(lines.read(), r"\A(<[3-6]>[^\n]+\n)+\Z")

    def test_an_unknown_user_is_refused(self):
        config = self.folder / "x.toml"
        config.write_text(NULL)
        done = subprocess.run([str(tap.PFSYNCD), "--config", str(config), "--user", "no-such-user"], capture_output=True, text=True,
                              timeout=SOON_S)
        self.assertEqual(done.returncode, 2)
        self.assertRegex(done.stderr, r"\Apfsyncd: --user: there is no user no-such-user on this machine[^\n]+\.\n\Z")


if __name__ == "__main__":
    sys.exit(tap.main())
